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
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
use document::Editor;
pub use spec::EditorSpec;

pub(crate) fn run(
    spec: &EditorSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, (0..spec.threads).map(document::root))
}

fn work(spec: &EditorSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let nodes = u64::from(spec.threads) * spec.nodes;
    let task = Task { phase: Phase::Build, total: Some(nodes), duration: None };
    let opened = crew::run(heap, driver, task, crew::each(spec.threads), |(), post, mutator| {
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
    let (editors, report) = done.measured("edit");
    let efforts = editors.iter().map(|editor| editor.effort);
    let mut report =
        WorkloadReport { set_up_time, stopped: driver.stop_requested(), ..report.with_efforts(efforts) };
    if !report.stopped {
        let undos: u64 = editors.iter().map(|editor| editor.undos).sum();
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
