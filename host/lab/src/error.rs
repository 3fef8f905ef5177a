//! How a workload can fail. The heap stays whole in every case; what the workload had built by then is
//! garbage for the next cycle.

use std::io;
use std::path::PathBuf;

use gc_heap::{Gone, HeapError};

use crate::driver::CollectFailed;
use crate::peers::PeersFailed;

/// A workload that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The graph file cannot be read.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The heap refused an operation, most likely because it is full.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// An object that the workload keeps was reclaimed: the proof is off and the strategy condemned something
    /// that was in use.
    #[error("{0}, but it was reachable: switch the proof on, or choose another strategy")]
    Lost(Box<Gone>),
    /// The trace cannot be replayed.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The final cycle could not be run.
    #[error(transparent)]
    Collect(#[from] CollectFailed),
    /// The workload is for a cluster, and the node is in none.
    #[error(
        "place=hash spreads objects over the nodes of a cluster: start the node with --listen and --certs, or leave out place=hash"
    )]
    NoCluster,
    /// The workload is for several nodes, and there is one.
    #[error(
        "random-workers needs several nodes: `host run` and `host bench` start them in one process; start the node with --listen and --certs to run it on nodes of their own"
    )]
    NoNodes,
    /// References of another node did not fit: what arrives does not wait for a cycle, as an allocation does.
    #[error(
        "heap full: n{to} had no room for references that n{from} sent: raise --heap, or choose a strategy that frees more"
    )]
    NoRoom {
        /// Who sent them.
        from: u32,
        /// Who had no room.
        to: u32,
    },
    /// Another node does not do the same work.
    #[error("node n{node} {what}: give all nodes the same --load")]
    Peer {
        /// Which node.
        node: u32,
        /// What is different there.
        what: String,
    },
    /// The cluster did not do what it was asked.
    #[error(transparent)]
    Peers(#[from] PeersFailed),
    /// An object that the workload holds came back different from what was written. Either the heap is
    /// broken, or the proof is off and the strategy condemned something that was in use.
    #[error(
        "{what} in object {object}: its memory was reused while it was reachable; switch the proof on, or report this with the strategy's digest"
    )]
    Corrupted {
        /// What was found.
        what: String,
        /// The handle of the object.
        object: String,
    },
    /// A workload whose result is known came to another one.
    #[error(
        "{what}: the heap or the strategy lost or doubled objects; report this with the strategy's digest"
    )]
    Wrong {
        /// What was found, and what is right.
        what: String,
    },
    /// More objects were made than lives can be written down of.
    #[error(
        "more than {limit} objects were made on one node, too many to write down when each died: give the workload fewer turns"
    )]
    TooManyLives {
        /// As many can be.
        limit: usize,
    },
    /// A mutator thread of the workload panicked.
    #[error(
        "a mutator thread of the workload panicked: this is a bug of the workload; please report it with the message above"
    )]
    Panicked,
}

impl WorkloadError {
    /// Something that the workload keeps is not there.
    pub(crate) fn lost(what: &str) -> WorkloadError {
        WorkloadError::Wrong { what: format!("{what} is not where it was put") }
    }
}

impl From<Gone> for WorkloadError {
    fn from(gone: Gone) -> WorkloadError {
        WorkloadError::Lost(Box::new(gone))
    }
}

/// A repository that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// Nothing there, or something else.
    #[error("{} is no git repository ({why}): give the folder that has .git in it, or a bare repository", path.display())]
    NoRepository {
        /// What was given.
        path: PathBuf,
        /// What git's library says.
        why: String,
    },
    /// The repository uses something that is not read.
    #[error("{} uses {what}: {remedy}", path.display())]
    Unsupported {
        /// The repository.
        path: PathBuf,
        /// What it uses.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something in the repository is damaged.
    #[error("{what}: run 'git fsck --full' in {}, and restore the file from a clone or a backup", path.display())]
    Damaged {
        /// The repository.
        path: PathBuf,
        /// What is damaged, and how.
        what: String,
    },
    /// No commit to begin with.
    #[error("{} has no commit at HEAD: make one, or check out a branch that has some", path.display())]
    NoHead {
        /// The repository.
        path: PathBuf,
    },
    /// More objects than can be numbered.
    #[error("{} has more than {max} objects: import a part of it, for example a shallow clone", path.display())]
    TooManyObjects {
        /// The repository.
        path: PathBuf,
        /// How many can be.
        max: usize,
    },
}

/// A trace that cannot be used at all. What is damaged in part is no error: see [`Damage`](crate::trace::Damage).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The system refused to open, read or write the file.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another kind of file.
    #[error("{} is no trace: give a file that `host run --record` has written", path.display())]
    NoTrace {
        /// The file.
        path: PathBuf,
    },
    /// The header does not match its checksum.
    #[error("the header of {} is damaged ({what}): nothing behind it can be trusted, record anew", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A trace of another version.
    #[error(
        "{} is a trace of version {found}, and this program reads version {wanted}: replay it with the program that recorded it, or record anew",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The version that is read.
        wanted: u16,
    },
    /// More than can be replayed.
    #[error("the trace {what}, and at most {max} can be: {remedy}")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// How much there can be.
        max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The replay came upon something else than the plan of the trace says.
    #[error(
        "the replay differs from the trace: {what}; if the proof is on and the file is the same, report this with the trace"
    )]
    Diverged {
        /// What was found.
        what: String,
    },
    /// No thread for a mutator.
    #[error("no thread can be started for a mutator ({source}): raise the limit on processes and threads")]
    Thread {
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A graph file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The file cannot be read.
    #[error("{} cannot be read ({source}): check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no fact at all.
    #[error(
        "{} has no facts: write one per line, 'root ID', 'edge FROM TO' or 'size ID BYTES'", path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line that is no fact.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: GraphProblem,
    },
}

/// What can be wrong with a line of a graph file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphProblem {
    /// The first word is none that is known.
    #[error("'{0}' is no fact: write 'root ID', 'edge FROM TO', 'size ID BYTES' or '# comment'")]
    UnknownFact(String),
    /// Too few words, or too many.
    #[error("'{fact}' takes {wanted}, but {found} words follow it: write '{form}'")]
    WordCount {
        /// The fact.
        fact: &'static str,
        /// How many words it takes.
        wanted: &'static str,
        /// How many there are.
        found: usize,
        /// How it is written.
        form: &'static str,
    },
    /// A size that is no number.
    #[error("'{0}' is no size: write a whole number of bytes, for example 4096")]
    NoSize(String),
    /// A size that no payload can have.
    #[error("{bytes} bytes are too many for one object: at most {max}; split it into several")]
    TooLarge {
        /// The size.
        bytes: u64,
        /// The largest.
        max: u64,
    },
    /// Two different sizes of one object.
    #[error("'{id}' has {second} bytes here and {first} bytes on another line: keep one of them")]
    TwoSizes {
        /// The object.
        id: String,
        /// The size that was seen first.
        first: u64,
        /// This one.
        second: u64,
    },
    /// A line without end, as in a binary file.
    #[error("the line is longer than {0} bytes: is this a text file with one fact per line?")]
    TooLong(usize),
    /// More objects than can be numbered.
    #[error("the graph has more than {0} objects: split the file")]
    TooManyObjects(usize),
}

/// A word of the input, cut and made printable, for messages.
pub(crate) fn printable(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(&word[..word.len().min(48)]);
    let mut shown: String = text.chars().flat_map(char::escape_default).take(80).collect();
    if word.len() > 48 {
        shown.push_str("...");
    }
    shown
}
