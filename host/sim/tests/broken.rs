//! Each rule is broken once, and some seed notices. That is how it is known that the simulator looks.

use gc_protocol::{Faults, Rule};
use gc_sim::{Kind, Settings, World};

fn lazy(settings: Settings) -> Settings {
    Settings { strategies: vec![Kind::Forgetful, Kind::Tracing], heal_ms: 0, ..settings.cyclic() }
}

/// How many seeds it takes until one notices.
fn first_to_notice(
    rule: Rule,
    seeds: std::ops::Range<u64>,
    settings: &dyn Fn(u64) -> Settings,
) -> Option<(u64, String)> {
    let faults = Faults::breaking(rule);
    let tried = seeds.start;
    seeds
        .map(|seed| (seed, World::new(Settings { faults, ..settings(seed) }).run()))
        .find_map(|(seed, run)| run.err().map(|wrong| (seed - tried + 1, wrong)))
}

/// `SIM_SURVEY=300 cargo test -p gc-sim --test broken survey -- --nocapture` shows for every rule which kind of run notices it first.
#[test]
fn survey() {
    let Some(count) = std::env::var("SIM_SURVEY").ok().and_then(|value| value.parse::<u64>().ok()) else {
        return;
    };
    let kinds: [(&str, &dyn Fn(u64) -> Settings); 6] = [
        ("calm", &Settings::calm),
        ("rough", &Settings::rough),
        ("calm cyclic", &|seed| Settings::calm(seed).cyclic()),
        ("rough cyclic", &|seed| Settings::rough(seed).cyclic()),
        ("calm lazy", &|seed| lazy(Settings::calm(seed))),
        ("rough lazy", &|seed| lazy(Settings::rough(seed))),
    ];
    use Rule::*;
    for rule in [
        SenderPins,
        AcknowledgeAfterRegistration,
        ForwardWhenRegistered,
        IgnoreOldMentions,
        CleansLeaveTombstones,
        ReacquireRegisters,
        DropCarriesImport,
        DedupeFrames,
        CheckIncarnations,
        NoFramesFromTheFuture,
        WaitForExileAcks,
        ExileAcksCarryAdmitted,
        ExileRestarts,
        HealingHasWatermark,
        HolderFencesFirst,
        LapsedLeaseIsNotRenewed,
        TwoWaves,
        ScionsNeedReports,
        ReportsNameTheirCycle,
        ArrivalsVeto,
        PinsAreRoots,
        SweepIsUnanimous,
    ] {
        for (name, settings) in &kinds {
            match first_to_notice(rule, 0..count, settings) {
                Some((after, wrong)) => {
                    println!("{rule:?}: {name}: after {after}: {}", &wrong[..wrong.len().min(150)])
                }
                None => println!("{rule:?}: {name}: no"),
            }
        }
    }
}
