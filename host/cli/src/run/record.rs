//! `--record`: a trace of what the mutators do.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gc_lab::WorkloadSpec;
use gc_lab::trace::{Facts, Recording};
use gc_node::NodeConfig;
use serde::Serialize;

use crate::output::note;
use crate::units::{bytes, count};

/// A trace that is being written.
pub(crate) struct Record {
    recording: Recording,
    /// Whether the person was told that it ended early.
    told: bool,
}

/// What came of it, for the summary.
#[derive(Debug, Serialize)]
pub(crate) struct Recorded {
    file: String,
    bytes: u64,
    operations: u64,
    waited_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Record {
    /// Opens it, and gives the heap its tape. What stands in the file goes when there is something to be recorded.
    pub(crate) fn start(
        path: &Path,
        node: &mut NodeConfig,
        load: Option<&WorkloadSpec>,
    ) -> anyhow::Result<Record> {
        let mut facts = Facts::default();
        facts.add("program", concat!("host ", env!("CARGO_PKG_VERSION")));
        facts.add("strategy", node.strategy.label());
        facts.add("heap_bytes", node.heap.limit_bytes);
        if let Some(load) = load {
            facts.add("load", load.name());
        }
        let recording = Recording::start(path, &facts)?;
        node.heap.tape = Some(recording.tape());
        Ok(Record { recording, told: false })
    }

    /// Says once if it has ended early.
    pub(crate) fn watch(&mut self) {
        if self.told {
            return;
        }
        if let Some(problem) = self.recording.problem() {
            self.told = true;
            note(format!(
                "warning: recording has stopped: {problem}; the node goes on, and what was recorded can be replayed"
            ));
        }
    }

    pub(crate) fn finish(self) -> Recorded {
        let mut this = self;
        this.watch();
        let report = this.recording.finish();
        if let (Some(problem), false) = (&report.problem, this.told) {
            note(format!("warning: recording has stopped: {problem}; what was recorded can be replayed"));
        }
        Recorded {
            file: report.path.display().to_string(),
            bytes: report.bytes,
            operations: report.operations,
            waited_ns: u64::try_from(report.waited.as_nanos()).unwrap_or(u64::MAX),
            problem: report.problem,
        }
    }
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "record     {} operations in {}, {}",
            count(self.operations),
            self.file,
            bytes(self.bytes)
        )?;
        match &self.problem {
            Some(problem) => write!(f, ", not to the end: {problem}"),
            None => Ok(()),
        }
    }
}

/// Whether two paths lead to the same plain file, which is there, or to the same place where none is.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| std::fs::metadata(path).ok();
    match (found(one), found(other)) {
        (Some(one), Some(other)) => one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (None, None) => place(one).is_some_and(|one| Some(one) == place(other)),
        _ => false,
    }
}

fn place(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    Some(std::fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_has_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("a"), "").unwrap();
        std::fs::write(at("b"), "").unwrap();
        std::fs::hard_link(at("a"), at("hard")).unwrap();
        std::os::unix::fs::symlink("a", at("soft")).unwrap();
        for same in ["a", "d/../a", "hard", "soft"] {
            assert!(is_same(&at("a"), &at(same)), "{same}");
        }
        assert!(is_same(&at("new"), &at("d/../new")) && !is_same(&at("new"), &at("newer")));
        for (one, other) in [("a", "b"), ("a", "new"), ("d", "d")] {
            assert!(!is_same(&at(one), &at(other)), "{one} {other}");
        }
        assert!(!is_same(Path::new("/dev/null"), Path::new("/dev/null")), "it takes what anybody writes");
    }
}
