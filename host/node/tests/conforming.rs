//! The conformance kit finds what it is there to find.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::hostile::hostile;
use common::{Marker, Wrong, marker};
use gc_heap::{
    Change, CycleInfo, Fault, Graph, Needs, Outcome as Settled, Progress, Strategy, StrategyIdentity, Verdict,
};
use gc_node::StrategySource;
use gc_node::conformance::{Check, Outcome, Plan, check};

fn failures(wrong: Wrong) -> Vec<&'static str> {
    let plan = Plan { seed: 1, quick: true, only: None };
    let report = check(&marker("subject", wrong), &Default::default(), &plan, &mut |_| {}).unwrap();
    let described = &report.checks[0];
    assert!(matches!(described.outcome, Outcome::Skipped { .. }), "a native strategy has no description");
    report.failed().map(|check| check.name).collect()
}

#[test]
fn a_right_strategy_passes() {
    assert_eq!(failures(Wrong::Never), Vec::<&str>::new());
}

#[test]
fn a_strategy_that_condemns_what_is_in_use_fails() {
    let failed = failures(Wrong::Lie(1));
    assert!(
        failed.contains(&"random graphs against the oracle") && failed.contains(&"deep list"),
        "{failed:?}"
    );
}

#[test]
fn a_strategy_that_panics_or_talks_nonsense_fails() {
    for wrong in [Wrong::Panic(2), Wrong::Fault(2), Wrong::Nonsense(2)] {
        assert!(failures(wrong).contains(&"empty heap"), "{wrong:?}");
    }
}

/// How one check of a strategy ends.
fn one(source: &StrategySource, only: &str) -> Outcome {
    let plan = Plan { seed: 1, quick: true, only: Some(only.into()) };
    let mut report = check(source, &Default::default(), &plan, &mut |_| {}).unwrap();
    assert_eq!(report.checks.len(), 1);
    report.checks.remove(0).outcome
}

fn fails(source: &StrategySource, only: &str, says: &str) {
    let outcome = one(source, only);
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains(says)), "{only}: {outcome:?}");
}

#[test]
fn a_strategy_that_does_not_keep_its_promise_fails() {
    // It promises everything within one cycle, and keeps everything.
    for only in
        ["all garbage", "self loops and rings", "random graphs", "retired objects", "abandoned", "full heap"]
    {
        let says = if only == "full heap" { "no room was made" } else { "promise" };
        fails(&hostile("keep-all"), only, says);
    }
    fails(&hostile("describe-long-promise"), "describes itself", "within 4294967295 cycles");
    assert!(matches!(one(&hostile("describe-long-promise"), "empty heap"), Outcome::Passed { .. }));
}

#[test]
fn a_strategy_that_takes_its_time_fails() {
    // A few slow steps may be the fault of the machine; these are more.
    fails(&marker("busy", Wrong::Busy), "random graphs", "respect the budget");
    fails(&hostile("step-loop"), "empty heap", "one call took longer than");
}

#[test]
fn a_strategy_that_answers_differently_when_it_is_asked_again_fails() {
    fails(&marker("fickle", Wrong::Fickle), "same calls", "answered finish differently");
}

#[test]
fn a_strategy_that_writes_into_its_window_fails_where_it_has_one() {
    fails(&hostile("step-window-store"), "empty heap", "(window) cycle 1: it wrote into its window");
}

#[test]
fn a_check_that_is_not_there_is_no_success() {
    let plan = Plan { seed: 1, quick: true, only: Some("everything".into()) };
    let refused = check(&"tracing".into(), &Default::default(), &plan, &mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("'everything'") && refused.contains("deep list"), "{refused}");
}

/// Which stubs a [`Reaching`] tells.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Tells {
    Marked,
    AllThere,
    /// Every other one of those that it has marked.
    Half,
    Nothing,
    /// Objects of this node.
    Objects,
}

/// A right marker that takes part in marking over nodes, and tells more or less of what it reached.
struct Reaching {
    inner: Marker,
    graph: Arc<Graph>,
    tells: Tells,
}

impl Reaching {
    fn source(tells: Tells) -> StrategySource {
        StrategySource::native("reaching", move |graph| Reaching {
            inner: Marker::new("reaching", graph, Wrong::Never),
            graph: Arc::clone(graph),
            tells,
        })
    }
}

impl Strategy for Reaching {
    fn identity(&self) -> &StrategyIdentity {
        self.inner.identity()
    }

    fn needs(&self) -> Needs {
        Needs { cluster_mark: true, ..Needs::default() }
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.inner.begin(cycle)
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.inner.roots(cells)
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.inner.changed(changes)
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.inner.retired(cells, grace_epochs)
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.inner.shade(cells)
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        self.inner.step(budget)
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        let words = match self.tells {
            Tells::Objects => self.graph.allocated(),
            _ => self.graph.stub(),
        };
        let has = |cell: &u32| words[*cell as usize / 64].load(Ordering::Relaxed) >> (cell % 64) & 1 == 1;
        let there = (1..self.graph.capacity()).filter(has);
        Ok(match self.tells {
            Tells::Marked => there.filter(|&cell| self.inner.is_marked(cell)).collect(),
            Tells::AllThere => there.collect(),
            Tells::Half => there.filter(|&cell| self.inner.is_marked(cell)).step_by(2).collect(),
            Tells::Nothing => Vec::new(),
            Tells::Objects => there.take(1).collect(),
        })
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.inner.finish()
    }

    fn settled(&mut self, outcome: &Settled) -> Result<(), Fault> {
        self.inner.settled(outcome)
    }
}

/// How the check of marking over nodes ends.
fn over_nodes(source: &StrategySource) -> Outcome {
    let plan = Plan { seed: 1, quick: true, only: Some("over nodes".into()) };
    let mut report = check(source, &Default::default(), &plan, &mut |_: &Check| {}).unwrap();
    assert_eq!(report.checks.len(), 1);
    report.checks.remove(0).outcome
}

#[test]
fn telling_every_stub_that_is_kept_passes_and_so_does_telling_more() {
    for tells in [Tells::Marked, Tells::AllThere] {
        let outcome = over_nodes(&Reaching::source(tells));
        assert!(matches!(outcome, Outcome::Passed { .. }), "{tells:?}: {outcome:?}");
    }
    let outcome = over_nodes(&marker("alone", Wrong::Never));
    assert!(matches!(outcome, Outcome::Skipped { .. }), "{outcome:?}");
}

#[test]
fn telling_less_than_is_kept_fails() {
    for tells in [Tells::Half, Tells::Nothing] {
        let outcome = over_nodes(&Reaching::source(tells));
        assert!(
            matches!(&outcome, Outcome::Failed { why } if why.contains("not told as reached")),
            "{tells:?}: {outcome:?}"
        );
    }
    let outcome = over_nodes(&Reaching::source(Tells::Objects));
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains("nonsense")), "{outcome:?}");
}

#[test]
fn the_strategies_that_mark_over_nodes_pass_and_the_others_are_left_out() {
    for (name, takes_part) in
        [("tracing", true), ("mark-sweep", true), ("refcount", false), ("epoch", false), ("none", false)]
    {
        let outcome = over_nodes(&StrategySource::from(name));
        let right = match outcome {
            Outcome::Passed { .. } => takes_part,
            Outcome::Skipped { .. } => !takes_part,
            Outcome::Failed { .. } => false,
        };
        assert!(right, "{name}: {outcome:?}");
    }
}
