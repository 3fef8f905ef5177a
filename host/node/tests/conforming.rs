//! The conformance kit finds what it is there to find.

mod common;

use common::{Wrong, marker};
use gc_node::conformance::{Outcome, Plan, check};

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
