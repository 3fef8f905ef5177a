//! `editor`: an editor of documents that are trees, which remembers its last versions.
//!
//! Source: *path copying*, the way to keep old versions of a linked structure for which Driscoll, Sarnak, Sleator
//! and Tarjan (*Making Data Structures Persistent*, Journal of Computer and System Sciences 38, 1989) give the
//! costs: an edit copies the nodes from the changed one up to the root and shares everything else with the version
//! before.
//!
//! ```text
//!  ring of versions ──▶ root ──▶ node ──▶ up to three children        node ──▶ text (payload)
//!                   └─▶ root'──▶ node' ──▶ one child is new, the others are those of `node`
//! ```
//!
//! An edit goes down from the root at random and changes the text of a node, inserts a node, or deletes a small
//! subtree; an *undo* goes back some versions, and the next edit gives up what was undone. The ring holds the
//! versions that can be undone to; the oldest falls out.
//!
//! What it stresses: a big structure of which little changes, shared by hundreds of versions; garbage of middle
//! age (the copied path of an edit dies some hundred edits later), which a bet on youth loses; fresh objects that
//! refer to old ones, and only the ring the other way round.
//!
//! **What is alive at the end**: the ring, the nodes and texts of the oldest version in it, and what each later
//! version added. Exactly that, because a copy is in no version before its own, and what was undone is given up.

mod document;
mod spec;

use std::time::Instant;

use gc_heap::Heap;

use crate::crew::{self, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::latency::LatencyLog;
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
use document::{Counts, Editor};
pub use spec::EditorSpec;

pub(crate) fn run(
    spec: &EditorSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    let result = work(spec, heap, driver);
    if result.is_err() {
        let roots = (0..spec.threads).map(document::root);
        heap.mutator().scope(|scope| roots.for_each(|root| scope.set_root(&root, None)));
    }
    result
}

fn work(spec: &EditorSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let nodes = u64::from(spec.threads) * spec.nodes;
    let task = Task { phase: Phase::Build, total: Some(nodes), duration: None };
    let members = vec![(); spec.threads as usize];
    let opened = crew::run(heap, driver, task, members, |(), post, mutator| {
        let mut editor = Editor::new(spec, post.thread);
        editor.open(post, mutator)?;
        Ok(editor)
    })?;
    let set_up_time = begun.elapsed();
    let task = Task { phase: Phase::Mutate, total: spec.edits, duration: spec.duration };
    let done = crew::run(heap, driver, task, opened.results, |mut editor, post, mutator| {
        let recorder = editor.work(post, mutator)?;
        Ok((editor, recorder))
    })?;
    let (editors, recorders): (Vec<Editor<'_>>, Vec<_>) = done.results.into_iter().unzip();
    let sum = |count: fn(&Counts) -> u64| editors.iter().map(|editor| count(&editor.counts)).sum();
    let latency = LatencyLog::merge("edit", recorders);
    let mut report = WorkloadReport {
        objects: sum(|counts| counts.objects),
        references: sum(|counts| counts.references),
        payload_bytes: sum(|counts| counts.payload_bytes),
        operations: sum(|counts| counts.operations),
        threads: spec.threads,
        set_up_time,
        mutate_begun: Some(done.begun),
        mutate_time: done.took,
        requests: latency.as_ref().map_or(0, LatencyLog::count),
        request_unit: "edit",
        latency,
        stopped: driver.stop_requested(),
        ..WorkloadReport::default()
    };
    if !report.stopped {
        let undos = sum(|counts| counts.undos);
        let task = Task { phase: Phase::Collect, total: None, duration: None };
        let read = crew::run(heap, driver, task, editors, |mut editor, post, mutator| {
            Ok(editor.read_all(post, mutator)?.then_some(editor))
        })?;
        if let Some(editors) = read.results.into_iter().collect::<Option<Vec<_>>>() {
            report.expected_live = Some(editors.iter().map(Editor::live).sum());
            let versions: usize = editors.iter().map(|editor| editor.size().0).sum();
            let nodes: u64 = editors.iter().map(|editor| editor.size().1).sum();
            report
                .checks
                .push(format!("{versions} versions, the last of {nodes} nodes, after {undos} undos"));
        }
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}
