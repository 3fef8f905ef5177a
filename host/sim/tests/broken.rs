//! Each of these rules of the protocol, and of what it stands on, is broken once, and some seed notices. That is how it is known that the simulator looks.

use gc_protocol::limits::CYCLE_FAN_OUT;
use gc_protocol::{Faults, HomeMode, Rule};
use gc_sim::{Settings, World};

/// Runs seeds until one notices what was broken. Runs that seed unbroken too: then it is right.
fn notices(what: &str, count: u64, right: impl Fn(u64) -> Settings, broken: impl Fn(Settings) -> Settings) {
    for seed in 0..count {
        if let Err(wrong) = World::new(broken(right(seed))).run() {
            println!("{what}: seed {seed}: {wrong}");
            World::new(right(seed))
                .run()
                .unwrap_or_else(|wrong| panic!("and when nothing is broken: {wrong}"));
            return;
        }
    }
    panic!("{what} is broken, and {count} runs are right");
}

fn breaking(rule: Rule, count: u64, settings: impl Fn(u64) -> Settings) {
    let faults = Faults::breaking(rule);
    notices(&format!("{rule:?}"), count, settings, |settings| Settings { faults, ..settings });
}

fn forgetful(seed: u64) -> Settings {
    Settings { active_ms: 600, ..Settings::calm(seed).cyclic().forgetful() }
}

#[test]
fn without_pins_it_goes_wrong() {
    breaking(Rule::SenderPins, 20, Settings::calm);
}

#[test]
fn acknowledged_before_registration_it_goes_wrong() {
    breaking(Rule::AcknowledgeAfterRegistration, 60, Settings::calm);
}

#[test]
fn reacquired_without_registration_it_goes_wrong() {
    breaking(Rule::ReacquireRegisters, 60, Settings::calm);
}

#[test]
fn with_drops_that_crossed_an_arrival_it_goes_wrong() {
    breaking(Rule::DropCarriesImport, 30, Settings::calm);
}

#[test]
fn with_repeated_frames_it_goes_wrong() {
    breaking(Rule::DedupeFrames, 60, Settings::rough);
}

#[test]
fn with_frames_of_earlier_lives_it_goes_wrong() {
    breaking(Rule::CheckIncarnations, 30, Settings::rough);
}

#[test]
fn with_holders_that_do_not_fence_first_it_goes_wrong() {
    breaking(Rule::HolderFencesFirst, 30, Settings::rough);
}

#[test]
fn with_lapsed_leases_renewed_it_goes_wrong() {
    breaking(Rule::LapsedLeaseIsNotRenewed, 60, Settings::rough);
}

#[test]
fn with_scions_let_go_without_a_report_it_goes_wrong() {
    breaking(Rule::ScionsNeedReports, 20, forgetful);
}

#[test]
fn spoken_for_unheard_it_goes_wrong() {
    let nodes = |seed| CYCLE_FAN_OUT + 2 + (seed % 5) as usize;
    breaking(Rule::SubtreesSpeakAsOne, 20, |seed| Settings { nodes: nodes(seed), ..forgetful(75 + seed) });
}

#[test]
fn swept_against_a_vote_it_goes_wrong() {
    breaking(Rule::SweepIsUnanimous, 20, forgetful);
}

/// Nobody decides about who is silent, and what it holds is let go when its lease lapses: a process that goes on, or whose way is free again, finds that its objects are gone.
#[test]
fn let_go_at_the_lapse_it_goes_wrong() {
    let undecided = |seed| Settings { exiles: false, ..Settings::rough(seed) };
    notices("what a home does at a lapse", 60, undecided, |settings| Settings {
        home_mode: HomeMode::LeaseFree,
        ..settings
    });
}

/// Clocks that count no suspend: whoever slept believes that its leases are good.
#[test]
fn with_clocks_that_sleep_with_their_process_it_goes_wrong() {
    notices("the clock that counts suspend", 60, Settings::rough, |settings| Settings {
        clocks_sleep: true,
        ..settings
    });
}

#[test]
fn with_clocks_that_drift_more_than_leases_know_it_goes_wrong() {
    notices("the bound of the drift", 200, Settings::rough, |settings| Settings {
        clock_drift_ppm: 400_000,
        ..settings
    });
}
