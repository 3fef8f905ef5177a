//! Swaps on a running node, with native strategies that are wrong in every way.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Wrong, await_step, count, marker, node, plant, steps};
use gc_heap::{
    Change, CycleInfo, Fault, Graph, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};
use gc_node::{Event, Node, NodeError, StrategySource};

fn words(steps: &[(String, String)]) -> Vec<&str> {
    steps.iter().map(|(_, step)| step.as_str()).collect()
}

#[test]
fn a_swap_while_mutators_run_loses_nothing() {
    let node = node(marker("first", Wrong::Never));
    plant(&node, "kept", 10);
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (node, stop) = (&node, &stop);
            threads.spawn(move || {
                let name = format!("mine-{thread}");
                while !stop.load(Ordering::Relaxed) {
                    plant(node, &name, 6);
                    assert_eq!(count(node, &name), 63);
                }
            });
        }
        for name in ["second", "third", "fourth"] {
            let report = node.swap(marker(name, Wrong::Never)).unwrap();
            assert_eq!(report.serving.name, name);
            for _ in 0..4 {
                node.collect().unwrap();
            }
            assert_eq!(node.status(0).tenure, "sound");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(count(&node, "kept"), 1023);
    node.collect().unwrap();
    assert_eq!(node.status(0).heap.live_objects, 1023 + 2 * 63);
    assert_eq!(node.status(0).swaps, 3);
}

/// The mutator fills the heap faster than the candidate marks it, so alone it would never end.
#[test]
fn a_candidate_is_rehearsed_beside_where_the_heap_is_full_before_it_is_done() {
    let node = node(marker("first", Wrong::Never));
    plant(&node, "kept", 10);
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                plant(&node, "mine", 12);
            }
        });
        let refused = node.swap(marker("liar", Wrong::SlowLie));
        let swapped = node.swap(marker("slow", Wrong::Slow));
        stop.store(true, Ordering::Relaxed);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("something that survives refers"), "{refused}");
        assert_eq!(swapped.unwrap().serving.name, "slow");
    });
    assert_eq!(count(&node, "kept"), 1023);
}

#[test]
fn a_candidate_that_lies_is_refused_in_its_rehearsal() {
    for wrong in [Wrong::Lie(1), Wrong::Panic(1), Wrong::Fault(1), Wrong::Nonsense(1)] {
        let node = node(marker("good", Wrong::Never));
        plant(&node, "kept", 8);
        let refused = node.swap(marker("bad", wrong)).unwrap_err();
        assert!(matches!(refused, NodeError::SwapFailed { .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("bad@1.2.3") && text.contains("good"), "{text}");
        assert_eq!(node.status(0).strategy.name, "good");
        assert_eq!(words(&steps(&node)), ["requested", "loaded", "rehearsal-failed"]);
        assert_eq!(count(&node, "kept"), 255);
        assert_eq!(node.collect().unwrap().outcome, "settled");
    }
}

#[test]
fn a_candidate_that_turns_bad_on_probation_is_rolled_back() {
    // The rehearsal is its first cycle.
    for wrong in [Wrong::Lie(2), Wrong::Panic(3), Wrong::Fault(3), Wrong::Nonsense(2)] {
        let node = node(marker("good", Wrong::Never));
        plant(&node, "kept", 8);
        let events = node.subscribe();
        assert_eq!(node.swap(marker("bad", wrong)).unwrap().serving.name, "bad");
        assert_eq!(node.status(0).warm.unwrap().name, "good");
        node.collect().unwrap();
        node.collect().unwrap();
        assert_eq!(await_step(&events, "probation-failed").strategy, "bad");
        assert_eq!(await_step(&events, "rolled-back").strategy, "good");
        assert_eq!(node.status(0).strategy.name, "good");
        assert_eq!(count(&node, "kept"), 255);
        assert_eq!(node.collect().unwrap().live_objects, 255);
    }
}

#[test]
fn a_sound_strategy_that_faults_gives_way_to_the_one_before_it() {
    let node = node(marker("first", Wrong::Never));
    plant(&node, "kept", 8);
    let events = node.subscribe();
    // Rehearsal, three cycles of probation, and it is sound.
    node.swap(marker("second", Wrong::Fault(5))).unwrap();
    for _ in 0..4 {
        node.collect().unwrap();
    }
    let faulted = await_step(&events, "faulted");
    assert_eq!(faulted.strategy, "second");
    assert!(faulted.reason.unwrap().contains("interrupted"));
    await_step(&events, "held");
    assert_eq!(await_step(&events, "exchanged").strategy, "first");
    assert_eq!(node.status(0).strategy.name, "first");
    assert_eq!(count(&node, "kept"), 255);
}

#[test]
fn when_nobody_sound_is_left_hold_serves_and_says_so() {
    let node = node(marker("only", Wrong::Lie(2)));
    plant(&node, "kept", 8);
    let events = node.subscribe();
    assert_eq!(node.collect().unwrap().outcome, "settled");
    let refused = node.collect().unwrap();
    assert_eq!(refused.outcome, "refused");
    assert!(refused.reason.unwrap().contains("refers to"));
    assert_eq!(await_step(&events, "held").strategy, "hold");
    let status = node.status(0);
    assert_eq!((status.strategy.name.as_str(), status.tenure.as_str()), ("hold", "held"));
    assert_eq!((status.refused, status.faults), (1, 1));
    // Mutators go on, nothing is freed, and a good strategy is welcome.
    plant(&node, "kept", 4);
    assert_eq!(node.collect().unwrap().condemned_objects, 0);
    node.swap(marker("good", Wrong::Never)).unwrap();
    assert_eq!(node.collect().unwrap().condemned_objects, 255);
    assert_eq!(count(&node, "kept"), 15);
}

#[test]
fn messages_name_the_strategy_that_failed() {
    let node = node(marker("culprit", Wrong::Panic(1)));
    let events = node.subscribe();
    node.collect().unwrap();
    let mut said = Vec::new();
    while let Ok(event) = events.next_within(Duration::from_millis(200)) {
        if let Event::Message(message) = event {
            said.push(message.text);
        }
    }
    assert!(
        said.iter().any(|text| text.contains("culprit@1.2.3") && text.contains("on purpose")),
        "{said:?}"
    );
    assert!(said.iter().any(|text| text.contains("host swap")), "{said:?}");
}

#[test]
fn a_shadow_is_compared_and_changes_nothing() {
    let node = node("hold".into());
    plant(&node, "kept", 6);
    plant(&node, "gone", 6);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let report = node.shadow(marker("candidate", Wrong::Never), 2).unwrap();
    assert_eq!(report.serving.name, "hold");
    let shadow = report.shadow.unwrap();
    assert_eq!(shadow.cycles, 2);
    assert_eq!(shadow.only_shadow_cells, 2 * 63, "63 objects in each of two cycles: {shadow:?}");
    assert_eq!((shadow.both_cells, shadow.only_serving_cells), (0, 0));
    assert_eq!(node.status(0).heap.live_objects, 126);
    assert!(node.status(0).candidate.is_none());
}

#[test]
fn a_shadow_that_lies_is_found_out() {
    let node = node(marker("good", Wrong::Never));
    plant(&node, "kept", 6);
    for wrong in [Wrong::Lie(2), Wrong::Panic(1)] {
        let refused = node.shadow(marker("bad", wrong), 3).unwrap_err();
        assert!(refused.to_string().contains("bad"), "{refused}");
        assert_eq!(node.status(0).strategy.name, "good");
        assert_eq!(count(&node, "kept"), 63);
    }
    assert!(matches!(node.shadow("hold", 0), Err(NodeError::ShadowCycles)));
}

#[test]
fn a_pause_budget_is_kept_on_probation() {
    let node = Node::builder()
        .strategy(marker("good", Wrong::Never))
        .heap_limit(8 << 20)
        .configure(|config| {
            config.pause_budget = Some(Duration::from_nanos(1));
            config.probation_cycles = 1000;
        })
        .start()
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                plant(&node, "busy", 6);
            }
        });
        let events = node.subscribe();
        node.swap(marker("slow", Wrong::Never)).unwrap();
        // Some operation is held up for longer than a nanosecond within a few hundred cycles.
        let mut rolled_back = false;
        for _ in 0..500 {
            node.collect().unwrap();
            rolled_back = std::iter::from_fn(|| events.try_next().ok())
                .any(|event| matches!(event, Event::Swap(record) if record.step == "rolled-back"));
            if rolled_back {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(rolled_back, "no pause was ever over budget: {:?}", node.status(0).heap);
    });
}

#[test]
fn a_pause_on_probation_counts_however_long_others_had_to_wait_before() {
    let node = Node::builder()
        .strategy(marker("first", Wrong::Nap(400)))
        .heap_limit(1 << 20)
        .configure(|config| {
            config.pause_budget = Some(Duration::from_millis(30));
            config.probation_cycles = 1000;
        })
        .start()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while node.status(0).heap.pause_ns_max < 250_000_000 {
        assert!(Instant::now() < until, "nobody waited for room: {:?}", node.status(0).heap);
        plant(&node, "busy", 6);
    }
    let events = node.subscribe();
    node.swap(marker("second", Wrong::Nap(80))).unwrap();
    let mut rolled_back = false;
    while !rolled_back {
        let heap = node.status(0).heap;
        assert!(Instant::now() < until, "no pause was over budget: {heap:?}");
        plant(&node, "busy", 6);
        rolled_back = std::iter::from_fn(|| events.try_next().ok())
            .any(|event| matches!(event, Event::Swap(record) if record.step == "rolled-back"));
    }
    let failed = node.status(100).journal.into_iter().find(|record| record.step == "probation-failed");
    assert!(failed.unwrap().reason.unwrap().contains("held up"));
}

#[test]
fn a_candidate_that_panics_while_it_is_made_is_refused_and_the_next_one_is_not() {
    let node = node(marker("good", Wrong::Never));
    let panics = |name| StrategySource::native(name, |_| -> common::Marker { panic!("no maker") });
    let refused = node.swap(panics("bad")).unwrap_err().to_string();
    assert!(refused.contains("bad") && refused.contains("panicked: no maker"), "{refused}");
    assert_eq!(words(&steps(&node)), ["requested", "load-failed"]);
    assert_eq!(node.swap(marker("second", Wrong::Never)).unwrap().serving.name, "second");
    let refused = Node::builder().strategy(panics("first")).heap_limit(1 << 20).start().map(drop);
    assert!(refused.unwrap_err().to_string().contains("no maker"));
}

/// A strategy that panics when it is dropped, which no fault can be made of.
struct Clinging(common::Marker);

impl Drop for Clinging {
    fn drop(&mut self) {
        panic!("not yet");
    }
}

impl Strategy for Clinging {
    fn identity(&self) -> &StrategyIdentity {
        self.0.identity()
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        Err(Fault::Error("refused".into()))
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.0.roots(cells)
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.0.changed(changes)
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.0.retired(cells, grace_epochs)
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.0.shade(cells)
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        self.0.step(budget)
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.0.finish()
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.0.settled(outcome)
    }
}

#[test]
fn a_collector_that_ends_is_noticed() {
    let node = node(marker("good", Wrong::Never));
    plant(&node, "kept", 4);
    let events = node.subscribe();
    assert_eq!(node.failure(), None);
    let clinging = |graph: &Arc<Graph>| Clinging(common::Marker::new("clinging", graph, Wrong::Never));
    let swapped = node.swap(StrategySource::native("clinging", clinging));
    assert!(swapped.is_err(), "{swapped:?}");
    let said = std::iter::from_fn(|| events.next_within(Duration::from_secs(10)).ok())
        .find_map(|event| if let Event::Message(message) = event { Some(message) } else { None })
        .unwrap();
    assert_eq!(said.level, "error");
    assert!(said.text.contains("the collector panicked: not yet"), "{}", said.text);
    assert_eq!(node.failure().as_deref(), Some(said.text.as_str()));
    let status = node.status(0);
    assert_eq!((status.tenure.as_str(), status.failure), ("ended", node.failure()));
    assert!(matches!(node.collect(), Err(NodeError::Stopped)));
    assert_eq!(count(&node, "kept"), 15);
}

#[test]
fn unknown_names_and_missing_files_change_nothing() {
    let node = node(marker("good", Wrong::Never));
    for (source, word) in [("no-such", "no-such"), ("/no/such.wasm", "/no/such.wasm")] {
        let refused = node.swap(source).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(node.status(0).strategy.name, "good");
    assert_eq!(node.status(0).swaps, 0);
}
