//! A workload as a person writes it: `git:PATH?payload=true`, `churn?threads=4&live=1M`.
//!
//! The part before the first `:` or `?` names the workload. Options follow the last `?` as `key=value`,
//! joined by `&`. A path that itself has a `?` in it is written with another `?` at its end.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gc_heap::Heap;

use crate::binary_trees::BinaryTreesSpec;
use crate::cache::CacheSpec;
use crate::churn::ChurnSpec;
use crate::driver::Driver;
use crate::editor::EditorSpec;
use crate::error::WorkloadError;
use crate::gcbench::GcBenchSpec;
use crate::limits::{PLACED_NODES, PLACED_NODES_MAX};
use crate::options::{Options, SpecError, path_and_options, path_of};
use crate::queue::QueueSpec;
use crate::random_workers::RandomWorkersSpec;
use crate::report::WorkloadReport;
use crate::service::ServiceSpec;

/// What to run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WorkloadSpec {
    /// Import a git repository and collect.
    Git(GitSpec),
    /// Replay the history of a git repository.
    GitHistory(HistorySpec),
    /// Import a graph from a text file and collect.
    Graph(GraphSpec),
    /// Synthetic load.
    Churn(ChurnSpec),
    /// The classic artificial benchmark.
    GcBench(GcBenchSpec),
    /// The one of the Benchmarks Game.
    BinaryTrees(BinaryTreesSpec),
    /// Requests about records, for sessions.
    Service(ServiceSpec),
    /// Producers and consumers over a linked queue.
    Queue(QueueSpec),
    /// A cache whose entries expire and are retired.
    Cache(CacheSpec),
    /// An editor of trees that remembers versions.
    Editor(EditorSpec),
    /// Workers on several nodes.
    RandomWorkers(RandomWorkersSpec),
    /// A recorded trace.
    Trace(TraceSpec),
}

/// `git:PATH[?payload=true][&place=hash&nodes=N&stay=true]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSpec {
    /// A work tree, a `.git` folder or a bare repository.
    pub path: PathBuf,
    /// Whether contents are imported too, each as the payload of its object. Without, blobs are not even
    /// read.
    pub payload: bool,
    /// Which node gets an object.
    pub place: Place,
}

/// Where objects of a workload are.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Place {
    /// All on this node.
    Here,
    /// On that one of `nodes` members of a cluster which the object's id says. All run the same workload on the same input.
    Hash {
        /// How many members there must be when the work begins.
        nodes: u32,
        /// Whether the nodes go on collecting when nothing changes any more, until they are stopped.
        stay: bool,
    },
}

/// `git-history:PATH?keep=N[&payload=true]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySpec {
    /// A work tree, a `.git` folder or a bare repository.
    pub path: PathBuf,
    /// How many commits are kept: the newest ones in the order of the replay.
    pub keep: usize,
    /// Whether contents are allocated too.
    pub payload: bool,
}

/// `graph:FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSpec {
    /// The file.
    pub path: PathBuf,
}

/// `trace:FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSpec {
    /// The file.
    pub path: PathBuf,
}

impl std::str::FromStr for WorkloadSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<WorkloadSpec, SpecError> {
        let end = text.find([':', '?']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let unknown = || SpecError::UnknownWorkload(text.chars().take(80).collect());
        let options = |workload| match rest.starts_with(':') {
            true => Err(unknown()),
            false => Options::parse(workload, rest.strip_prefix('?').unwrap_or("")),
        };
        match name {
            "git" => parse_git(rest).map(WorkloadSpec::Git),
            "git-history" => parse_history(rest).map(WorkloadSpec::GitHistory),
            "graph" => {
                let path = path_of("graph", rest.strip_prefix(':'), "graph:FILE")?;
                Ok(WorkloadSpec::Graph(GraphSpec { path }))
            }
            "trace" => {
                let path = path_of("trace", rest.strip_prefix(':'), "trace:FILE")?;
                Ok(WorkloadSpec::Trace(TraceSpec { path }))
            }
            "churn" => ChurnSpec::parse(&mut options("churn")?).map(WorkloadSpec::Churn),
            "gcbench" => GcBenchSpec::parse(&mut options("gcbench")?).map(WorkloadSpec::GcBench),
            "binary-trees" => {
                BinaryTreesSpec::parse(&mut options("binary-trees")?).map(WorkloadSpec::BinaryTrees)
            }
            "service" => ServiceSpec::parse(&mut options("service")?).map(WorkloadSpec::Service),
            "queue" => QueueSpec::parse(&mut options("queue")?).map(WorkloadSpec::Queue),
            "cache" => CacheSpec::parse(&mut options("cache")?).map(WorkloadSpec::Cache),
            "editor" => EditorSpec::parse(&mut options("editor")?).map(WorkloadSpec::Editor),
            "random-workers" => {
                RandomWorkersSpec::parse(&mut options("random-workers")?).map(WorkloadSpec::RandomWorkers)
            }
            _ => Err(unknown()),
        }
    }
}

impl WorkloadSpec {
    /// The name of the workload, without its options.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            WorkloadSpec::Git(_) => "git",
            WorkloadSpec::GitHistory(_) => "git-history",
            WorkloadSpec::Graph(_) => "graph",
            WorkloadSpec::Churn(_) => "churn",
            WorkloadSpec::GcBench(_) => "gcbench",
            WorkloadSpec::BinaryTrees(_) => "binary-trees",
            WorkloadSpec::Service(_) => "service",
            WorkloadSpec::Editor(_) => "editor",
            WorkloadSpec::Cache(_) => "cache",
            WorkloadSpec::Queue(_) => "queue",
            WorkloadSpec::RandomWorkers(_) => "random-workers",
            WorkloadSpec::Trace(_) => "trace",
        }
    }

    /// The file or repository that it reads, if any.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            WorkloadSpec::Git(spec) => Some(&spec.path),
            WorkloadSpec::GitHistory(spec) => Some(&spec.path),
            WorkloadSpec::Graph(spec) => Some(&spec.path),
            WorkloadSpec::Trace(spec) => Some(&spec.path),
            _ => None,
        }
    }

    /// What it stresses, in a sentence.
    #[must_use]
    pub fn stresses(&self) -> &'static str {
        match self {
            WorkloadSpec::Git(_) => "one big acyclic graph with shared subtrees, marked once",
            WorkloadSpec::GitHistory(_) => {
                "a window that slides over shared versions: old garbage, weak look-ups, unlinking"
            }
            WorkloadSpec::Graph(_) => "any shape: cycles, hubs, long chains",
            WorkloadSpec::Churn(_) => {
                "a steady live size: allocation, stores into old objects, cyclic garbage, several threads"
            }
            WorkloadSpec::GcBench(_) => "allocation of which next to all dies at once, above a live tree",
            WorkloadSpec::BinaryTrees(_) => {
                "allocation of which next to all dies at once, each object read once more before"
            }
            WorkloadSpec::Service(_) => {
                "three lifetimes at once, young objects stored into old ones by several threads, and who waits"
            }
            WorkloadSpec::Queue(_) => {
                "long chains, live and dead; objects made by one thread and dropped by another"
            }
            WorkloadSpec::Cache(_) => {
                "retired objects, an old structure that is rewired all the time, dead entries that refer to live ones"
            }
            WorkloadSpec::Editor(_) => "a big structure shared by many versions, and garbage of middle age",
            WorkloadSpec::RandomWorkers(_) => {
                "references between nodes that come and go, hand-over by third nodes, garbage cycles over nodes"
            }
            WorkloadSpec::Trace(_) => "what was recorded, one mutator at a time",
        }
    }

    /// About the most bytes that it keeps alive at once, as the heap's limit counts them; none where only the
    /// input says it. A search for the smallest heap can begin there.
    #[must_use]
    pub fn live_bytes(&self) -> Option<u64> {
        match self {
            WorkloadSpec::Git(_) | WorkloadSpec::GitHistory(_) | WorkloadSpec::Graph(_) => None,
            WorkloadSpec::Trace(_) | WorkloadSpec::RandomWorkers(_) => None,
            WorkloadSpec::Churn(spec) => Some(spec.live_bytes()),
            WorkloadSpec::GcBench(spec) => Some(spec.live_bytes()),
            WorkloadSpec::BinaryTrees(spec) => Some(spec.live_bytes()),
            WorkloadSpec::Service(spec) => Some(spec.live_bytes()),
            WorkloadSpec::Editor(spec) => Some(spec.live_bytes()),
            WorkloadSpec::Cache(spec) => Some(spec.live_bytes()),
            WorkloadSpec::Queue(spec) => Some(spec.live_bytes()),
        }
    }

    /// How many nodes of this process work on it together, where nothing else brings them: 1 for most.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        match self {
            WorkloadSpec::RandomWorkers(spec) => spec.nodes,
            _ => 1,
        }
    }

    /// Makes it draw other random numbers; says whether it draws any.
    pub fn set_seed(&mut self, seed: u64) -> bool {
        match self {
            WorkloadSpec::Churn(spec) => spec.seed = seed,
            WorkloadSpec::Service(spec) => spec.seed = seed,
            WorkloadSpec::Editor(spec) => spec.seed = seed,
            WorkloadSpec::Cache(spec) => spec.seed = seed,
            WorkloadSpec::RandomWorkers(spec) => spec.seed = seed,
            _ => return false,
        }
        true
    }

    /// Has the nodes write down the lives of their objects, from which [`bench::fates`](crate::bench::fates) tells when each died and was reclaimed. Says
    /// whether this is work over several nodes, for which that can be done.
    pub fn write_down_lives(&mut self) -> bool {
        match self {
            WorkloadSpec::RandomWorkers(spec) => spec.lives = true,
            _ => return false,
        }
        true
    }

    /// Does the work, in this thread and, for most, in others that end before this returns.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`]. The heap stays usable; what was built by then is unreachable.
    pub fn run(&self, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
        let begun = Instant::now();
        match self {
            WorkloadSpec::Git(spec) => crate::git::run(spec, heap, driver, begun),
            WorkloadSpec::GitHistory(spec) => crate::history::run(spec, heap, driver, begun),
            WorkloadSpec::Graph(spec) => crate::graph::run(spec, heap, driver, begun),
            WorkloadSpec::Churn(spec) => crate::churn::run(spec, heap, driver),
            WorkloadSpec::GcBench(spec) => crate::gcbench::run(spec, heap, driver),
            WorkloadSpec::BinaryTrees(spec) => crate::binary_trees::run(spec, heap, driver),
            WorkloadSpec::Service(spec) => crate::service::run(spec, heap, driver),
            WorkloadSpec::Editor(spec) => crate::editor::run(spec, heap, driver),
            WorkloadSpec::Cache(spec) => crate::cache::run(spec, heap, driver),
            WorkloadSpec::Queue(spec) => crate::queue::run(spec, heap, driver),
            WorkloadSpec::RandomWorkers(spec) => crate::random_workers::run(spec, heap, driver),
            WorkloadSpec::Trace(spec) => crate::trace::run(&spec.path, heap, driver),
        }
    }
}

fn parse_git(rest: &str) -> Result<GitSpec, SpecError> {
    let (path, mut options) = path_and_options("git", rest, "git:PATH")?;
    let payload = options.flag("payload")?;
    let hashed = options.take("place", "here or hash", |value| match value {
        "here" => Some(false),
        "hash" => Some(true),
        _ => None,
    })?;
    let nodes = options.number("nodes", 1, PLACED_NODES_MAX, "a number of nodes from 1 to 1024")?;
    let stay = options.flag("stay")?;
    options.finish("payload, place, nodes and stay")?;
    let place = match (hashed, nodes, stay) {
        (Some(true), nodes, stay) => Place::Hash {
            nodes: nodes.map_or(PLACED_NODES, |nodes| nodes as u32),
            stay: stay.unwrap_or(false),
        },
        (_, None, None) => Place::Here,
        (_, _, _) => {
            return Err(SpecError::Conflict {
                what: "nodes and stay are for objects that several nodes share",
                remedy: "give place=hash as well, or leave it out",
            });
        }
    };
    Ok(GitSpec { path, payload: payload.unwrap_or(false), place })
}

fn parse_history(rest: &str) -> Result<HistorySpec, SpecError> {
    const EXAMPLE: &str = "git-history:PATH?keep=100";
    let (path, mut options) = path_and_options("git-history", rest, EXAMPLE)?;
    let keep = options.number("keep", 1, u32::MAX.into(), "a number of commits from 1")?;
    let payload = options.flag("payload")?;
    options.finish("keep and payload")?;
    let keep = keep.ok_or(SpecError::Missing { workload: "git-history", key: "keep", example: EXAMPLE })?;
    Ok(HistorySpec { path, keep: keep as usize, payload: payload.unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WorkloadSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn paths_and_options_are_told_apart() {
        let git = |path: &str, payload| {
            Ok(WorkloadSpec::Git(GitSpec { path: path.into(), payload, place: Place::Here }))
        };
        assert_eq!(read("git:."), git(".", false));
        assert_eq!(read("git:/a b/c?payload=true"), git("/a b/c", true));
        assert_eq!(read("git:C:/x"), git("C:/x", false));
        assert_eq!(read("git:odd?name?"), git("odd?name", false));
        assert_eq!(read("graph:odd?name"), Ok(WorkloadSpec::Graph(GraphSpec { path: "odd?name".into() })));
        assert_eq!(
            read("git-history:x?keep=2k&payload=false"),
            Ok(WorkloadSpec::GitHistory(HistorySpec { path: "x".into(), keep: 2000, payload: false }))
        );
        assert_eq!(read("churn"), Ok(WorkloadSpec::Churn(ChurnSpec::default())));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_there_is() {
        for (text, says) in [
            ("", "'' is no workload: write git:PATH"),
            ("gcbench?depth=3", "depth=3 cannot be: write 4 to 25"),
            ("binary-trees:21", "is no workload"),
            ("service?quick=maybe", "quick=maybe cannot be: write true or false"),
            ("service?arrivals=never", "arrivals=never cannot be: write poisson or uniform"),
            ("queue?size=15", "size=15 cannot be: write 16 to"),
            ("cache?polcy=lru", "cache has no option 'polcy': it has threads,"),
            ("editor?seconds=0", "seconds=0 cannot be"),
            ("gti:.", "'gti:.' is no workload"),
            ("churn:x", "'churn:x' is no workload"),
            ("git", "git needs a path: write git:PATH"),
            ("git:", "git needs a path"),
            ("graph:", "graph needs a path: write graph:FILE"),
            ("git:.?keep=3", "git has no option 'keep': it has payload, place, nodes and stay"),
            ("git:.?place=there", "place=there cannot be: write here or hash"),
            ("git:.?place=hash&nodes=0", "nodes=0 cannot be"),
            ("git:.?nodes=3", "place=hash"),
            ("git:.?payload=yes", "payload=yes cannot be: write true or false"),
            ("git:.?payload", "payload= cannot be: write true or false"),
            ("git:.?payload=true&payload=true", "option 'payload' is given twice"),
            ("git-history:.", "git-history needs 'keep': write git-history:PATH?keep=100"),
            ("git-history:.?keep=0", "keep=0 cannot be: write a number of commits from 1"),
            ("git-history:.?keep=-1", "keep=-1 cannot be"),
            ("churn?treads=2", "churn has no option 'treads': it has threads,"),
            ("churn?threads=0", "threads=0 cannot be"),
            ("churn?size=uniform:9:1", "size=uniform:9:1 cannot be: write fixed:BYTES"),
            ("churn?lifetime=young:2", "lifetime=young:2 cannot be"),
            ("churn?reads=1.5", "reads=1.5 cannot be: write a share from 0 to 1"),
            ("churn?retire=true&shared=0.1", "retire"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn quick_is_a_size_and_other_options_stand_beside_it() {
        for name in ["gcbench", "binary-trees", "service", "queue", "cache", "editor"] {
            let [full, quick, same] =
                [name.to_owned(), format!("{name}?quick"), format!("{name}?quick=true")]
                    .map(|text| read(&text).unwrap());
            assert_eq!((full.name(), &quick), (name, &same));
            assert_ne!(full, quick, "{name}");
            let (full, quick) = (full.live_bytes().unwrap(), quick.live_bytes().unwrap());
            assert!((1 << 18..full / 5).contains(&quick), "{name}: {quick} of {full}");
        }
        let mixed = read("editor?quick&versions=7");
        assert_eq!(mixed, Ok(WorkloadSpec::Editor(EditorSpec { versions: 7, ..EditorSpec::quick() })));
    }

    #[test]
    fn a_seed_is_taken_where_something_is_drawn() {
        for (name, draws) in [("churn", true), ("service", true), ("editor", true), ("queue", false)] {
            let mut spec = read(name).unwrap();
            assert_eq!(spec.set_seed(99), draws, "{name}");
            assert_eq!(spec != read(name).unwrap(), draws, "{name}");
        }
    }
}
