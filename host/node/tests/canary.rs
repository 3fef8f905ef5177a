//! Canaries and shadow runs on a running node: what is decided, and why.

mod common;

use common::{Wrong, await_step, count, marker, node, plant, steps};
use gc_node::canary::{Amount, Budget, Limit, Measure};
use gc_node::{CanaryOrder, CanaryRecord, Node, NodeError, StrategySource};

fn order(strategy: StrategySource, limits: Vec<Limit>) -> CanaryOrder {
    CanaryOrder { shadow_cycles: 2, probation_cycles: 3, ..CanaryOrder::new(strategy, Budget(limits)) }
}

/// Runs a canary to its end, on a node where trees come and go.
fn decide(node: &Node, order: CanaryOrder) -> Result<CanaryRecord, NodeError> {
    let pending = node.canary(order).unwrap();
    loop {
        if let Some(ended) = pending.poll() {
            return ended.map(|report| report.canary.unwrap());
        }
        plant(node, "kept", 6);
        node.collect().unwrap();
    }
}

fn words(node: &Node) -> Vec<String> {
    steps(node).into_iter().map(|(_, step)| step).collect()
}

#[test]
fn a_canary_that_keeps_its_budget_is_promoted_and_the_journal_says_why() {
    let node = node(marker("old", Wrong::Never));
    let limits = vec![
        Limit::below("max < 1h", Measure::HoldupMax, 3.6e12),
        Limit { amount: Amount::Ratio(2.0), ..Limit::below("heap < 2x", Measure::Heap, 0.0) },
        Limit::below("missed < 5%", Measure::Missed, 0.05),
    ];
    let decided = decide(&node, order(marker("new", Wrong::Never), limits)).unwrap();
    assert!(decided.promoted, "{decided:?}");
    for word in ["kept max < 1h (it was", "heap < 2x (it was", "missed < 5% (it was 0 %)", "3 of 3 cycles"] {
        assert!(decided.reason.contains(word), "{word}: {decided:?}");
    }
    let status = node.status(100);
    assert_eq!((status.strategy.name.as_str(), status.tenure.as_str()), ("new", "sound"));
    let last = status.journal.last().unwrap();
    assert_eq!((last.step.as_str(), &last.reason), ("sound", &Some(decided.reason.clone())));
    let way = ["canary-requested", "loaded", "shadow-ended", "rehearsed", "exchanged", "sound"];
    assert_eq!(words(&node), way);
    let heap = decided.measures.iter().find(|measured| measured.measure == "heap").unwrap();
    assert!(heap.present > Some(0.0) && heap.candidate > Some(0.0) && heap.limit.is_some(), "{heap:?}");
    assert_eq!(count(&node, "kept"), 63);
}

#[test]
fn a_canary_that_breaks_its_budget_is_rolled_back_and_the_journal_says_why() {
    let node = node(marker("old", Wrong::Never));
    // Something is always in use, and only who serves answers for it.
    let limits = vec![Limit::below("heap < 1B", Measure::Heap, 1.0)];
    let decided = decide(&node, order(marker("new", Wrong::Never), limits)).unwrap();
    assert!(!decided.promoted && decided.reason.contains("broke heap < 1B"), "{decided:?}");
    assert!(decided.reason.contains("after 1 of 3 cycles"), "{decided:?}");
    let status = node.status(100);
    assert_eq!((status.strategy.name.as_str(), status.tenure.as_str()), ("old", "sound"));
    let failed = status.journal.iter().find(|record| record.step == "probation-failed").unwrap();
    assert_eq!((failed.strategy.as_str(), &failed.reason), ("new", &Some(decided.reason)));
    assert_eq!(words(&node).last().unwrap(), "rolled-back");
}

#[test]
fn a_canary_that_faults_while_it_serves_is_rolled_back() {
    let node = node(marker("old", Wrong::Never));
    // Two cycles beside, one rehearsal, one served.
    let decided = decide(&node, order(marker("new", Wrong::Lie(5)), Vec::new())).unwrap();
    assert!(!decided.promoted && decided.reason.contains("refused"), "{decided:?}");
    assert_eq!(node.status(0).strategy.name, "old");
    assert_eq!(count(&node, "kept"), 63);
}

#[test]
fn a_canary_that_misses_garbage_beside_never_serves() {
    let node = node(marker("old", Wrong::Never));
    plant(&node, "kept", 6);
    let limits = vec![Limit::below("missed < 5%", Measure::Missed, 0.05)];
    let refused = decide(&node, order("hold".into(), limits)).unwrap_err().to_string();
    assert!(refused.contains("missed < 5% (it was 100 %), beside the present strategy"), "{refused}");
    assert_eq!(words(&node), ["canary-requested", "loaded", "shadow-failed"]);
}

#[test]
fn a_canary_that_cannot_be_decided_is_refused_or_answered_at_the_end() {
    let node = node(marker("old", Wrong::Never));
    let relative = Limit { amount: Amount::Ratio(1.1), ..Limit::below("cpu < +10%", Measure::Cpu, 0.0) };
    let blind = CanaryOrder { shadow_cycles: 0, ..order("hold".into(), vec![relative]) };
    assert!(matches!(node.canary(blind), Err(NodeError::Config { .. })));
    let endless = CanaryOrder { probation_cycles: 0, ..order("hold".into(), Vec::new()) };
    assert!(matches!(node.canary(endless), Err(NodeError::Config { .. })));
    let events = node.subscribe();
    let pending = node.canary(order(marker("new", Wrong::Never), Vec::new())).unwrap();
    await_step(&events, "loaded");
    node.shutdown();
    assert!(matches!(pending.wait(), Err(NodeError::Stopped)));
}

#[test]
fn a_shadow_that_finds_more_says_what_and_when() {
    let node = node("hold".into());
    plant(&node, "kept", 6);
    plant(&node, "gone", 6);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let shadow = node.shadow(marker("candidate", Wrong::Never), 3).unwrap().shadow.unwrap();
    assert_eq!((shadow.shadow.cells, shadow.shadow.earlier_cells, shadow.serving.cells), (63, 63, 0));
    assert!(shadow.shadow.lag_ns_p50 > Some(0) && shadow.serving.lag_ns_p50.is_none(), "{shadow:?}");
    // What one leaves for three cycles the other had found in the first.
    assert!(shadow.serving.floating_bytes_mean > shadow.shadow.floating_bytes_mean, "{shadow:?}");
    assert_eq!(shadow.missed_cells, 0);
}

#[test]
fn a_shadow_that_finds_less_says_what_it_missed() {
    let node = node(marker("serving", Wrong::Never));
    plant(&node, "kept", 6);
    plant(&node, "gone", 6);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let shadow = node.shadow("hold", 3).unwrap().shadow.unwrap();
    assert_eq!((shadow.serving.cells, shadow.shadow.cells, shadow.missed_cells), (63, 0, 63));
    assert!(shadow.shadow.floating_bytes_mean > shadow.serving.floating_bytes_mean, "{shadow:?}");
}
