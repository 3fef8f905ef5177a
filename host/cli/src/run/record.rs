//! `--record`: a trace of what the mutators do.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gc_lab::WorkloadSpec;
use gc_lab::trace::{Facts, Recording, TraceError};
use gc_node::NodeConfig;
use serde::Serialize;

use crate::Usage;
use crate::output::note;
use crate::run::beside::Beside;
use crate::units::{bytes, count};

/// A trace that is being written.
pub(crate) struct Record {
    recording: Recording,
    path: PathBuf,
    place: Beside,
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
    /// Begins it, and gives the heap its tape.
    pub(crate) fn start(
        path: &Path,
        node: &mut NodeConfig,
        load: Option<&WorkloadSpec>,
    ) -> anyhow::Result<Record> {
        if load.and_then(WorkloadSpec::path).is_some_and(|input| is_same(input, path)) {
            let what = format!("{} is what is replayed: give another file with --record", path.display());
            return Err(Usage(what).into());
        }
        let mut facts = Facts::default();
        facts.add("program", concat!("host ", env!("CARGO_PKG_VERSION")));
        facts.add("strategy", node.strategy.label());
        facts.add("heap_bytes", node.heap.limit_bytes);
        if let Some(load) = load {
            facts.add("load", load.name());
        }
        let place = Beside::new(path);
        let recording = Recording::start(place.path(), &facts).map_err(|error| match error {
            TraceError::File { what, source, .. } => TraceError::File { what, path: path.to_owned(), source },
            other => other,
        })?;
        node.heap.tape = Some(recording.tape());
        Ok(Record { recording, path: path.to_owned(), place, told: false })
    }

    /// There is a node, and so a run to be recorded: the file takes its place, and that of a file that was there.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}: give another path with --record", self.path.display());
        self.place.settle().with_context(cannot)
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
            file: this.path.display().to_string(),
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

/// Whether two paths lead to the same file, which is there.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}
