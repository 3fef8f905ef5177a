//! Many short runs, each from one seed. `SIM_SEEDS=5000` makes that many of each kind.

use gc_protocol::limits::CYCLE_FAN_OUT;
use gc_sim::{Kind, Settings, Stats, World, shrink};

/// Runs this many seeds, or as many as the environment says. Panics with the seed and what went wrong, and with the smallest run that was found.
fn all_right(first: u64, count: u64, settings: impl Fn(u64) -> Settings) -> Stats {
    let wanted = std::env::var("SIM_SEEDS").ok().and_then(|value| value.parse().ok());
    let mut sum = Stats::default();
    for seed in first..first + wanted.unwrap_or(count) {
        match World::new(settings(seed)).run() {
            Ok(stats) => sum += &stats,
            Err(wrong) => {
                let smaller = shrink::shrink(&settings(seed));
                panic!("{wrong}\nsmaller: {smaller:#?}");
            }
        }
    }
    println!("{sum:?}");
    sum
}

#[test]
fn nothing_is_lost_and_nothing_left_when_nothing_happens() {
    let stats = all_right(0, 60, Settings::calm);
    assert!(stats.delivered > 500 && stats.condemned > 1000, "{stats:?}");
    assert_eq!((stats.exiles, stats.healed), (0, 0));
}

#[test]
fn nothing_is_lost_and_nothing_left_after_trouble() {
    let stats = all_right(0, 150, Settings::rough);
    assert!(stats.exiles > 20 && stats.restarts > 50 && stats.revived > 100, "{stats:?}");
}

/// As where people decide who is gone, and nobody does: the default without etcd.
#[test]
fn nothing_is_lost_and_nothing_left_where_nobody_is_exiled() {
    let undecided = |seed| Settings { exiles: false, ..Settings::rough(seed) };
    let stats = all_right(5000, 80, undecided);
    assert!(stats.exiles == 0 && stats.restarts > 30, "{stats:?}");
    let stats = all_right(6000, 60, |seed| undecided(seed).cyclic());
    assert!(stats.exiles == 0 && stats.swept > 50, "{stats:?}");
}

#[test]
fn cycles_over_nodes_go_too() {
    let stats = all_right(0, 60, |seed| Settings::calm(seed).cyclic());
    assert!(stats.swept > 200 && stats.swept_cells > 200, "{stats:?}");
}

#[test]
fn cycles_over_nodes_go_after_trouble() {
    let stats = all_right(1000, 150, |seed| Settings::rough(seed).cyclic());
    assert!(stats.swept > 200 && stats.swept_cells > 200, "{stats:?}");
}

/// So many nodes that in a cycle some speak for others.
#[test]
fn cycles_over_nodes_go_where_nodes_speak_for_others() {
    let nodes = |seed| CYCLE_FAN_OUT + 3 + (seed % 3) as usize;
    let stats = all_right(0, 20, |seed| Settings { nodes: nodes(seed), ..Settings::calm(seed).cyclic() });
    assert!(stats.swept > 200 && stats.swept_cells > 100, "{stats:?}");
    let stats = all_right(2000, 40, |seed| Settings { nodes: nodes(seed), ..Settings::rough(seed).cyclic() });
    assert!(stats.swept > 100 && stats.cycles_lost > 50, "{stats:?}");
}

/// What they leave over is not asked for: a node that keeps stubs to itself keeps its part of each cycle.
#[test]
fn strategies_that_tell_too_little_lose_nothing() {
    let stats =
        all_right(0, 60, |seed| Settings { active_ms: 600, ..Settings::calm(seed).cyclic().forgetful() });
    assert!(stats.voted_down > 15, "{stats:?}");
}

/// A node whose strategy marks nothing over nodes keeps its part alive, and holds up nobody.
#[test]
fn a_node_that_does_not_mark_keeps_what_it_has_and_no_more() {
    let stats = all_right(0, 40, |seed| {
        let strategies = vec![Kind::Tracing, Kind::Refcount, Kind::MarkSweep];
        Settings { strategies, tidy: false, ..Settings::rough(seed).cyclic() }
    });
    assert!(stats.swept > 50, "{stats:?}");
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in 0..10 {
        for settings in [Settings::calm(seed), Settings::rough(seed), Settings::rough(seed).cyclic()] {
            let first = World::new(settings.clone()).run();
            assert_eq!(first, World::new(settings).run(), "seed {seed}");
        }
    }
    let digest = |seed| World::new(Settings::rough(seed)).run().map(|stats| stats.digest);
    assert_ne!(digest(1), digest(2));
}
