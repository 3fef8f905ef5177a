//! Thousands of short runs of the composed node, each from one seed; and each rule broken once, to show that some run notices.

mod heap;
mod random;
mod world;

use world::{Settings, Stats, World};

/// Runs these seeds. Panics with the seed and what went wrong.
fn all_right(seeds: std::ops::Range<u64>, settings: impl Fn(u64) -> Settings) -> Stats {
    let mut sum = Stats::default();
    for seed in seeds {
        let stats = World::new(settings(seed)).run().unwrap_or_else(|wrong| panic!("{wrong}"));
        sum.events += stats.events;
        sum.frames += stats.frames;
        sum.bytes += stats.bytes;
        sum.messages += stats.messages;
        sum.copies += stats.copies;
        sum.delivered += stats.delivered;
        sum.freed += stats.freed;
        sum.exiles += stats.exiles;
        sum.restarts += stats.restarts;
        sum.healed += stats.healed;
        sum.swept += stats.swept;
        sum.swept_objects += stats.swept_objects;
        sum.voted_down += stats.voted_down;
        sum.cycles_lost += stats.cycles_lost;
    }
    println!("{sum:?}");
    sum
}

#[test]
fn nothing_is_lost_and_nothing_left_when_nothing_happens() {
    let stats = all_right(0..100, Settings::calm);
    assert!(stats.delivered > 1000 && stats.freed > 1000);
    assert_eq!((stats.exiles, stats.healed), (0, 0));
}

#[test]
fn nothing_is_lost_and_nothing_left_after_trouble() {
    let stats = all_right(0..3000, Settings::rough);
    assert!(stats.exiles > 50 && stats.restarts > 50);
}

#[test]
fn cycles_over_nodes_go_too() {
    let stats = all_right(0..100, |seed| Settings { cycles: true, ..Settings::calm(seed) });
    assert!(stats.swept > 500 && stats.swept_objects > 500, "{stats:?}");
}

#[test]
fn cycles_over_nodes_go_after_trouble() {
    let stats = all_right(1000..1400, |seed| Settings { cycles: true, ..Settings::rough(seed) });
    assert!(stats.swept > 500 && stats.swept_objects > 500, "{stats:?}");
}

#[test]
fn a_strategy_that_marks_too_little_is_voted_down() {
    let stats = all_right(0..100, |seed| {
        // What it leaves over is not asked for.
        Settings { cycles: true, lazy_marker: true, heal_ms: 0, ..Settings::calm(seed) }
    });
    assert!(stats.voted_down > 100, "{stats:?}");
}

/// `SEED=83 KIND=rough cargo test -p gc-protocol --test simulation replay -- --nocapture` shows every effect of a run.
#[test]
fn replay() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let kind = std::env::var("KIND").unwrap_or_default();
    let settings = if kind.contains("rough") { Settings::rough(seed) } else { Settings::calm(seed) };
    all_right(seed..seed + 1, |_| Settings {
        trace: true,
        cycles: kind.contains("cycles"),
        ..settings.clone()
    });
}
