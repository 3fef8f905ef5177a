//! Real components that misbehave, in a running node: each is refused, rolled back or replaced with a message that names it, and the threads that work on
//! the heap meanwhile find all that they have put there.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::hostile::hostile;
use common::{await_step, count, plant, steps};
use gc_heap::{Mutator, Quarantine};
use gc_node::{Builder, Event, Node, NodeError, StrategySource};
use gc_plugin::{CONTRACT, Limits};

/// What a component does, by its mode, and what is said of it.
const WRONGS: [(&str, &str); 9] = [
    ("step-trap", "trapped: hostile in `step`"),
    ("step-loop", "one call took longer than"),
    ("step-grow", "asked for more than its limit"),
    ("step-window-store", "wrote into its window"),
    ("step-window-fill", "wrote into its window"),
    ("step-window-copy", "wrote into its window"),
    ("bitmap-short", "answered nonsense: hostile in `finish`"),
    ("condemn-beyond", "answered nonsense: hostile in `finish`"),
    ("bitmap-zero", "survives"),
];

/// A node, and the mutator that has the first cells of its heap: nothing is there, so that who writes there is found out by that and not by what it reads.
fn started(strategy: impl Into<StrategySource>) -> (Node, Mutator) {
    let node = node(strategy).start().unwrap();
    let mut first = node.mutator();
    first.scope(|scope| scope.alloc(&[], b"").map(drop)).unwrap();
    (node, first)
}

fn node(strategy: impl Into<StrategySource>) -> Builder {
    Node::builder().strategy(strategy).heap_limit(256 << 20).configure(|config| {
        config.heap.quarantine = Quarantine::Off;
        // No cycle but those that are asked for, as far as that can be.
        config.goal_percent = 100_000;
        config.limits =
            Limits { memory_bytes: 32 << 20, deadline: Duration::from_millis(400), ..Limits::default() };
    })
}

/// Sees to it that threads end, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Two threads build trees and count them, over and over, while `during` runs. Every object must be there each time.
fn beside_mutators<R>(node: &Node, during: impl FnOnce(&AtomicU64) -> R) -> R {
    let (stop, trees) = (AtomicBool::new(false), AtomicU64::new(0));
    let result = std::thread::scope(|threads| {
        for name in ["left", "right"] {
            let (stop, trees) = (&stop, &trees);
            threads.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    plant(node, name, 6);
                    assert_eq!(count(node, name), 63);
                    trees.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let _stop = Stop(&stop);
        during(&trees)
    });
    assert!(trees.load(Ordering::Relaxed) > 0, "nobody worked meanwhile");
    result
}

#[test]
fn a_candidate_that_misbehaves_is_refused_and_mutators_go_on() {
    let (node, _first) = started("mark-sweep");
    plant(&node, "kept", 8);
    beside_mutators(&node, |trees| {
        for (mode, says) in WRONGS {
            let before = trees.load(Ordering::Relaxed);
            let refused = node.swap(hostile(mode)).expect_err(mode);
            assert!(matches!(refused, NodeError::SwapFailed { .. }), "{mode}: {refused}");
            let text = refused.to_string();
            assert!(text.contains("hostile@1.2.3#") && text.contains(says), "{mode}: {text}");
            assert!(text.contains("mark-sweep"), "who goes on is said: {text}");
            assert_eq!(node.status(0).strategy.name, "mark-sweep", "{mode}");
            if mode == "step-loop" {
                assert!(trees.load(Ordering::Relaxed) > before + 10, "mutators waited for the loop to end");
            }
        }
        assert_eq!(node.collect().unwrap().outcome, "settled");
    });
    assert_eq!(count(&node, "kept"), 255);
    let failed = steps(&node).into_iter().filter(|(_, step)| step == "rehearsal-failed").count();
    assert_eq!(failed, WRONGS.len());
    node.collect().unwrap();
    assert_eq!(node.status(0).heap.live_objects, 255 + 2 * 63);
}

#[test]
fn a_candidate_that_misbehaves_on_probation_is_rolled_back() {
    let (node, _first) = started("mark-sweep");
    plant(&node, "kept", 8);
    beside_mutators(&node, |_| {
        for (mode, says) in WRONGS {
            let events = node.subscribe();
            let served =
                node.swap(hostile(&format!("later:{mode}"))).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(served.serving.name, "hostile");
            node.collect().unwrap();
            let failed = await_step(&events, "probation-failed");
            assert_eq!(failed.strategy, "hostile");
            assert!(failed.reason.as_ref().is_some_and(|reason| reason.contains(says)), "{mode}: {failed:?}");
            assert_eq!(await_step(&events, "rolled-back").strategy, "mark-sweep");
            assert_eq!(node.collect().unwrap().outcome, "settled", "{mode}");
        }
    });
    assert_eq!(count(&node, "kept"), 255);
}

#[test]
fn a_first_strategy_that_misbehaves_gives_way_to_hold_with_a_message_that_names_it() {
    for (mode, says) in WRONGS {
        let (node, _first) = started(hostile(mode));
        plant(&node, "kept", 6);
        plant(&node, "gone", 6);
        node.mutator().scope(|scope| scope.set_root("gone", None));
        let events = node.subscribe();
        beside_mutators(&node, |_| {
            node.collect().unwrap();
            let said =
                std::iter::from_fn(|| events.next_within(Duration::from_secs(10)).ok()).find_map(|event| {
                    if let Event::Message(message) = event { Some(message.text) } else { None }
                });
            let said = said.unwrap_or_else(|| panic!("{mode}: nothing was said"));
            assert!(said.contains("hostile@1.2.3#") && said.contains(says), "{mode}: {said}");
            assert_eq!(await_step(&events, "held").strategy, "hold", "{mode}");
            assert_eq!(node.collect().unwrap().condemned_objects, 0, "hold frees nothing");
            node.swap("tracing").unwrap();
        });
        node.collect().unwrap();
        assert_eq!(count(&node, "kept"), 63, "{mode}");
        assert_eq!(node.status(0).heap.live_objects, 3 * 63, "{mode}");
    }
}

#[test]
fn a_strategy_for_another_version_of_the_contract_is_refused_with_both_versions() {
    let node = node("mark-sweep").start().unwrap();
    let StrategySource::Bytes { mut bytes, .. } = hostile("honest") else { panic!() };
    for interface in ["types", "heap", "telemetry", "cluster", "strategy", "window"] {
        let (from, to) =
            (format!("gc:strategy/{interface}@{CONTRACT}"), format!("gc:strategy/{interface}@0.2.0"));
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
    }
    beside_mutators(&node, |_| {
        let later = StrategySource::Bytes { origin: "later.wasm".into(), bytes };
        let refused = node.swap(later).unwrap_err().to_string();
        for part in ["later.wasm", "0.2.0", CONTRACT, "mark-sweep"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    });
    assert_eq!(node.status(0).strategy.name, "mark-sweep");
}

#[test]
fn a_memory_budget_is_kept_in_the_rehearsal_and_on_probation() {
    let node = node("mark-sweep").heap_limit(2 << 20);
    let node = node.configure(|config| config.memory_budget = Some(16 << 20)).start().unwrap();
    let refused = node.swap(hostile("step-grow-quietly")).unwrap_err().to_string();
    assert!(refused.contains("hostile@1.2.3#") && refused.contains("16777216 are allowed"), "{refused}");
    let events = node.subscribe();
    assert_eq!(node.swap(hostile("later:step-grow-quietly")).unwrap().serving.name, "hostile");
    node.collect().unwrap();
    let failed = await_step(&events, "probation-failed");
    assert!(
        failed.reason.as_ref().is_some_and(|reason| reason.contains("16777216 are allowed")),
        "{failed:?}"
    );
    assert_eq!(await_step(&events, "rolled-back").strategy, "mark-sweep");
}
