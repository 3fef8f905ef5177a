//! The words of the control protocol.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::PathBuf;

use gc_heap::{DecisionRecord, Handle, Why};
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterStatus, ClusterSwapReport, ExileReport, OverRecord, WithoutRecord};
use crate::limits::WHY_PATH_END;
use crate::record::{CycleRecord, Status, SwapReport};

/// Rises when a request or an answer changes its meaning. Fields that are added do not count.
pub const PROTOCOL_VERSION: u32 = 1;

/// What can be asked of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What it is doing.
    Status {
        /// How many journal records to send along.
        #[serde(default)]
        journal: usize,
        /// How many named roots, at most 256.
        #[serde(default)]
        roots: usize,
    },
    /// Another strategy. Exactly one of `name` and `path`.
    Swap {
        /// A built-in one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        name: Option<String>,
        /// A component in a file, as an absolute path.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        path: Option<PathBuf>,
        /// Its options.
        #[serde(default)]
        options: BTreeMap<String, String>,
        /// Only beside the serving one, for this many cycles.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        shadow: Option<u32>,
    },
    /// A cycle at once.
    Collect {
        /// Only say what would go.
        #[serde(default)]
        dry_run: bool,
        /// In a cluster: of this node alone.
        #[serde(default)]
        local: bool,
        /// In a cluster, with `dry_run`: what would go if this node were gone.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        without: Option<String>,
    },
    /// Another strategy for all nodes of the cluster. Exactly one of `name` and `path`.
    SwapCluster {
        /// A built-in one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        name: Option<String>,
        /// A component in a file, as an absolute path.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        path: Option<PathBuf>,
        /// Its options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
        options: BTreeMap<String, String>,
    },
    /// Who is a member of the cluster, and what is held for whom.
    Cluster {
        /// With what each member and each reason alone keeps alive: takes a walk over the heap.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        retained: bool,
    },
    /// Take a member out of the cluster.
    Exile {
        /// Its name.
        node: String,
    },
    /// Why an object is alive, or gone.
    Why {
        /// Its handle, as text.
        handle: String,
    },
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Swap`].
    Swap(SwapReport),
    /// To [`Request::Collect`].
    Collect(Box<CycleRecord>),
    /// To [`Request::Why`].
    Why(WhyRecord),
    /// To [`Request::Collect`] in a cluster.
    Over(Box<OverRecord>),
    /// To [`Request::Collect`] with `without`.
    Without(WithoutRecord),
    /// To [`Request::SwapCluster`].
    SwapCluster(ClusterSwapReport),
    /// To [`Request::Cluster`].
    Cluster(Box<ClusterStatus>),
    /// To [`Request::Exile`].
    Exile(ExileReport),
}

/// Why an object is alive, or gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyRecord {
    /// What was asked about.
    pub handle: String,
    /// Whether it can be reached from a root.
    pub alive: bool,
    /// One sentence.
    pub text: String,
    /// From a root to the object, for one that is alive. Of a long path both ends.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub path: Vec<String>,
    /// Objects of the path that are left out between its ends.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub left_out: u64,
    /// For how long nothing is known of a node on which the answer depends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unknown_since_s: Option<f64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl WhyRecord {
    /// A record with no path.
    pub(crate) fn short(handle: Handle, text: String) -> WhyRecord {
        WhyRecord {
            handle: handle.to_string(),
            alive: false,
            text,
            path: Vec::new(),
            left_out: 0,
            unknown_since_s: None,
        }
    }

    pub(crate) fn new(handle: Handle, why: &Why) -> WhyRecord {
        let mut left_out = 0;
        let (alive, text, path) = match why {
            Why::Alive { root, path } => {
                let text = format!(
                    "{handle} is alive: {root} leads to it over {} references",
                    path.len().saturating_sub(1)
                );
                let ends = if path.len() > 2 * WHY_PATH_END { WHY_PATH_END } else { path.len() };
                let tail = &path[ends.max(path.len() - ends)..];
                left_out = (path.len() - ends - tail.len()) as u64;
                (true, text, path[..ends].iter().chain(tail).map(ToString::to_string).collect())
            }
            Why::Unreachable => (
                false,
                format!("{handle} is garbage: nothing leads to it, and no cycle has condemned it yet"),
                vec![],
            ),
            Why::Quarantined(decision) => {
                (false, format!("{handle} is in quarantine: {}", decided(decision.as_ref())), vec![])
            }
            Why::Gone(decision) => {
                (false, format!("{handle} is gone: {}", decided(decision.as_ref())), vec![])
            }
        };
        WhyRecord { alive, path, left_out, ..WhyRecord::short(handle, text) }
    }
}

fn decided(decision: Option<&DecisionRecord>) -> String {
    decision.map_or_else(|| "no decision about it is kept".into(), ToString::to_string)
}

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A word for programs: `version`, `syntax`, `refused`, `overloaded`.
    pub kind: String,
    /// A sentence for people.
    pub message: String,
}

#[derive(Serialize, Deserialize)]
struct Asked<R> {
    version: u32,
    #[serde(flatten)]
    request: R,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ok: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Failure {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Failure {
        Failure { kind: kind.into(), message: message.into() }
    }
}

/// A request as a line, without the end of line.
pub(crate) fn ask(request: &Request) -> String {
    serde_json::to_string(&Asked { version: PROTOCOL_VERSION, request }).expect("a request is plain data")
}

/// Reads a request. The version is looked at first, so that a newer client gets a useful answer.
pub(crate) fn read_request(line: &str) -> Result<Request, Failure> {
    let syntax = |error: serde_json::Error| {
        Failure::new(
            "syntax",
            format!("not a request: {error}: send one JSON object with version and request"),
        )
    };
    let Versioned { version } = serde_json::from_str(line).map_err(syntax)?;
    if version != PROTOCOL_VERSION {
        let message = format!(
            "the request has protocol version {version} and this node speaks {PROTOCOL_VERSION}: use the `host` of the node's own version"
        );
        return Err(Failure::new("version", message));
    }
    Ok(serde_json::from_str::<Asked<Request>>(line).map_err(syntax)?.request)
}

/// An answer as a line, without the end of line.
pub(crate) fn answer(answer: Result<Answer, Failure>) -> String {
    let (ok, error) = match answer {
        Ok(answer) => (Some(answer), None),
        Err(failure) => (None, Some(failure)),
    };
    serde_json::to_string(&Answered { version: PROTOCOL_VERSION, ok, error })
        .expect("an answer is plain data")
}

/// Reads an answer.
pub(crate) fn read_answer(line: &str) -> Result<Answer, Failure> {
    let syntax = |error: serde_json::Error| {
        Failure::new(
            "syntax",
            format!("the node answered something else: {error}: use the `host` of the node's own version"),
        )
    };
    let Versioned { version } = serde_json::from_str(line).map_err(syntax)?;
    if version != PROTOCOL_VERSION {
        let message = format!(
            "the node speaks protocol version {version} and this `host` speaks {PROTOCOL_VERSION}: use the `host` of the node's own version"
        );
        return Err(Failure::new("version", message));
    }
    let answered: Answered = serde_json::from_str(line).map_err(syntax)?;
    match (answered.ok, answered.error) {
        (Some(answer), None) => Ok(answer),
        (_, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::new("syntax", "the node answered nothing: ask again")),
    }
}

/// Reads a line of at most `limit` bytes. None at the end of the stream.
pub(crate) fn read_line(reader: &mut impl BufRead, limit: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *reader, limit as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && read > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line of more than {limit} bytes")));
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a line that is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use gc_heap::RootKind;

    use super::*;
    use crate::limits::{CONTROL_ANSWER_BYTES, WHY_HOPS_MAX};
    use crate::record::RootRecord;

    #[test]
    fn requests_read_back() {
        for request in [
            Request::Status { journal: 3, roots: 4 },
            Request::Swap {
                name: None,
                path: Some("/x.wasm".into()),
                options: [("a".into(), "1".into())].into(),
                shadow: Some(2),
            },
            Request::Collect { dry_run: true, local: false, without: Some("n3".into()) },
            Request::SwapCluster { name: Some("tracing".into()), path: None, options: BTreeMap::new() },
            Request::SwapCluster {
                name: Some("tracing".into()),
                path: None,
                options: [("a".into(), "1".into())].into(),
            },
            Request::Cluster { retained: false },
            Request::Cluster { retained: true },
            Request::Exile { node: "n3".into() },
            Request::Why { handle: "n0.1:2.3".into() },
        ] {
            assert_eq!(read_request(&ask(&request)), Ok(request));
        }
    }

    #[test]
    fn another_version_is_answered_with_both_versions() {
        let failure = read_request(r#"{"version":9,"request":"fly","to":"moon"}"#).unwrap_err();
        assert_eq!(failure.kind, "version");
        assert!(failure.message.contains('9') && failure.message.contains('1'), "{}", failure.message);
    }

    #[test]
    fn nonsense_is_answered_as_such() {
        for line in [
            "",
            "status",
            "{}",
            r#"{"version":1}"#,
            r#"{"version":1,"request":"fly"}"#,
            "[1]",
            "{\"version\":1,",
        ] {
            assert_eq!(read_request(line).unwrap_err().kind, "syntax", "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_read() {
        let mut reader = io::BufReader::new(&b"0123456789\nab\n"[..]);
        assert_eq!(read_line(&mut reader, 10).unwrap().as_deref(), Some("0123456789"));
        assert_eq!(read_line(&mut reader, 10).unwrap().as_deref(), Some("ab"));
        assert_eq!(read_line(&mut reader, 10).unwrap(), None);
        let mut reader = io::BufReader::new(&b"01234567890\n"[..]);
        assert!(read_line(&mut reader, 10).is_err());
    }

    #[test]
    fn of_a_path_as_deep_as_the_heap_both_ends_are_told() {
        let handle = |cell| Handle { node: 0, incarnation: 1, cell, generation: 0 };
        let record = |length: u32| {
            let path = (1..=length).map(handle).collect();
            WhyRecord::new(handle(length), &Why::Alive { root: RootKind::Named("list".into()), path })
        };
        let deep = record(1_000_000);
        assert_eq!((deep.path.len(), deep.left_out), (2 * WHY_PATH_END, 1_000_000 - 2 * WHY_PATH_END as u64));
        assert_eq!(deep.path.first(), Some(&handle(1).to_string()));
        assert_eq!(deep.path.last(), Some(&handle(1_000_000).to_string()));
        assert!(deep.text.contains("over 999999 references"), "{}", deep.text);
        assert!(answer(Ok(Answer::Why(deep))).len() < CONTROL_ANSWER_BYTES / WHY_HOPS_MAX);
        for short in [1, 2, 2 * WHY_PATH_END as u32] {
            assert_eq!((record(short).path.len(), record(short).left_out), (short as usize, 0));
        }
    }

    #[test]
    fn names_of_roots_fit_into_an_answer() {
        let handle = Handle { node: u32::MAX, incarnation: u64::MAX, cell: u32::MAX, generation: u32::MAX };
        let worst = RootRecord::new("\u{1}".repeat(1 << 20), handle);
        assert!(
            serde_json::to_string(&worst).unwrap().len() < 2 << 10,
            "what the bound on answers counts on"
        );
        assert_eq!(RootRecord::new("ä".repeat(101), handle).name, "ä".repeat(100) + "…");
        assert_eq!(RootRecord::new("ä".repeat(100), handle).name, "ä".repeat(100));
    }

    #[test]
    fn failures_read_back() {
        let failure = Failure::new("refused", "no: try again");
        assert_eq!(read_answer(&answer(Err(failure.clone()))), Err(failure));
    }
}
