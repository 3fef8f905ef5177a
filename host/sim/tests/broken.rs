//! Each of these rules of the protocol is broken once, and some seed notices. That is how it is known that the simulator looks.

use gc_protocol::{Faults, Rule};
use gc_sim::{Settings, World};

/// How many seeds it takes until one notices, and what it says.
fn first_to_notice(rule: Rule, count: u64, settings: &dyn Fn(u64) -> Settings) -> Option<(u64, String)> {
    let faults = Faults::breaking(rule);
    (0..count).find_map(|seed| {
        let wrong = World::new(Settings { faults, ..settings(seed) }).run().err()?;
        World::new(settings(seed))
            .run()
            .unwrap_or_else(|wrong| panic!("and when no rule is broken: {wrong}"));
        Some((seed, wrong))
    })
}

fn forgetful(seed: u64) -> Settings {
    Settings { active_ms: 600, ..Settings::calm(seed).cyclic().forgetful() }
}

fn notices(rule: Rule, count: u64, settings: impl Fn(u64) -> Settings) {
    match first_to_notice(rule, count, &settings) {
        Some((seed, wrong)) => println!("{rule:?}: seed {seed}: {wrong}"),
        None => panic!("{rule:?} is broken, and {count} runs are right"),
    }
}

#[test]
fn without_pins_it_goes_wrong() {
    notices(Rule::SenderPins, 20, Settings::calm);
}

#[test]
fn acknowledged_before_registration_it_goes_wrong() {
    notices(Rule::AcknowledgeAfterRegistration, 60, Settings::calm);
}

#[test]
fn reacquired_without_registration_it_goes_wrong() {
    notices(Rule::ReacquireRegisters, 60, Settings::calm);
}

#[test]
fn with_drops_that_crossed_an_arrival_it_goes_wrong() {
    notices(Rule::DropCarriesImport, 30, Settings::calm);
}

#[test]
fn with_repeated_frames_it_goes_wrong() {
    notices(Rule::DedupeFrames, 60, Settings::rough);
}

#[test]
fn with_frames_of_earlier_lives_it_goes_wrong() {
    notices(Rule::CheckIncarnations, 30, Settings::rough);
}

#[test]
fn with_holders_that_do_not_fence_first_it_goes_wrong() {
    notices(Rule::HolderFencesFirst, 30, Settings::rough);
}

#[test]
fn with_lapsed_leases_renewed_it_goes_wrong() {
    notices(Rule::LapsedLeaseIsNotRenewed, 60, Settings::rough);
}

#[test]
fn with_scions_let_go_without_a_report_it_goes_wrong() {
    notices(Rule::ScionsNeedReports, 20, forgetful);
}

#[test]
fn swept_against_a_vote_it_goes_wrong() {
    notices(Rule::SweepIsUnanimous, 20, forgetful);
}
