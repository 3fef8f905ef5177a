//! The policy alone, driven through simulated loads.

use super::*;
use proptest::prelude::*;
use std::ops::Range;

const MINUTE: Duration = Duration::from_secs(60);

fn literal(initial: u64, maximum: u64) -> ElasticConfig {
    ElasticConfig { initial, maximum, ramp: false, ..ElasticConfig::default() }
}

fn pool(config: ElasticConfig, unit: u64) -> Elastic {
    let mut pool = Elastic::new(config, unit).unwrap();
    let initial = pool.grow(0);
    pool.grown(initial);
    pool
}

#[test]
fn it_grows_by_a_tenth_of_the_maximum_at_eighty_percent() {
    let mut pool = pool(literal(100, 1000), 1);
    assert_eq!(pool.committed(), 100);
    assert_eq!(pool.grow(79), 0);
    assert_eq!(pool.grow(80), 100);
    pool.grown(100);
    assert_eq!(pool.grow(159), 0);
    assert_eq!(pool.grow(160), 100);
    pool.grown(800);
    assert_eq!(pool.grow(1000), 0, "the maximum is the maximum");
}

#[test]
fn it_shrinks_by_a_tenth_of_the_committed_after_a_minute_over_half_free() {
    let mut pool = pool(literal(100, 1000), 1);
    pool.grown(900);
    let at = |seconds| Duration::from_secs(seconds);
    assert_eq!(pool.tick(at(0), 500), 0, "exactly half free is not over half free");
    assert_eq!(pool.tick(at(100), 499), 0, "the minute begins");
    assert_eq!(pool.tick(at(159), 499), 0);
    assert_eq!(pool.tick(at(160), 499), 100);
    pool.shrunk(100);
    assert_eq!(pool.tick(at(161), 400), 0, "the next minute has begun");
    assert_eq!(pool.tick(at(220), 400), 90);
    pool.shrunk(90);
    assert_eq!(pool.tick(at(221), 600), 0, "a busy moment");
    assert_eq!(pool.tick(at(280), 100), 0, "starts the minute again");
}

#[test]
fn it_never_shrinks_under_the_initial_count_until_closed() {
    let mut pool = pool(literal(100, 1000), 1);
    pool.grown(100);
    for minute in 0..100 {
        let released = pool.tick(MINUTE * minute, 0);
        pool.shrunk(released);
    }
    assert_eq!(pool.committed(), 100);
    assert_eq!(pool.close(), 100);
    assert_eq!((pool.committed(), pool.grow(1000), pool.tick(MINUTE * 200, 0)), (0, 0, 0));
}

#[test]
fn a_ramp_doubles_until_a_tenth_of_the_maximum() {
    let mut pool = Elastic::new(ElasticConfig { maximum: 1000, ..ElasticConfig::default() }, 1).unwrap();
    let mut steps = Vec::new();
    while pool.committed() < 1000 {
        let step = pool.grow(pool.committed().max(1));
        pool.grown(step);
        steps.push(step);
    }
    assert_eq!(steps[..9], [1, 1, 2, 4, 8, 16, 32, 64, 100]);
}

#[test]
fn contradictory_numbers_are_refused() {
    let refused = |config: ElasticConfig| Elastic::new(config, 1).unwrap_err().to_string();
    let sound = ElasticConfig::default;
    assert!(refused(ElasticConfig { initial: 2, maximum: 1, ..sound() }).contains("above its maximum"));
    assert!(refused(ElasticConfig { grow_at_percent: 0, ..sound() }).contains("between 1 and 100"));
    assert!(refused(ElasticConfig { shrink_by_percent: 101, ..sound() }).contains("between 1 and 100"));
    assert!(refused(ElasticConfig { grow_at_percent: 50, ..sound() }).contains("as soon as it has grown"));
}

/// Plays a load against a pool that does as it is told, and counts the changes.
fn play(pool: &mut Elastic, minutes: Range<u32>, load: impl Fn(u32) -> u64) -> (usize, usize) {
    let (mut growths, mut releases) = (0, 0);
    for minute in minutes {
        let used = load(minute).min(pool.config().maximum);
        while pool.committed() < used {
            let step = pool.grow(used).max(1);
            pool.grown(step);
            growths += 1;
        }
        let step = pool.grow(used);
        pool.grown(step);
        growths += usize::from(step > 0);
        let released = pool.tick(MINUTE * minute, used);
        assert!(released <= pool.committed() - used, "released a block in use");
        pool.shrunk(released);
        releases += usize::from(released > 0);
    }
    (growths, releases)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 1, for any load, bounds, unit, and rhythm of looking.
    #[test]
    fn the_bounds_hold_under_any_load(
        unit in 1_u64..50, initial in 0_u64..500, room in 0_u64..5000, ramp: bool,
        loads in prop::collection::vec(0_u64..6000, 1..200), seconds in 1_u64..200,
    ) {
        let config = ElasticConfig { initial, maximum: initial + room, ramp, ..ElasticConfig::default() };
        let mut pool = pool(config, unit);
        let mut now = Duration::ZERO;
        for load in loads {
            let used = load.min(pool.config().maximum);
            let step = pool.grow(used);
            prop_assert_eq!(step % unit, 0);
            pool.grown(step);
            while pool.committed() < used {
                pool.grown(unit);
            }
            let before = pool.committed();
            now += Duration::from_secs(seconds);
            let released = pool.tick(now, used);
            prop_assert_eq!(released % unit, 0);
            pool.shrunk(released);
            prop_assert!(pool.committed() >= used);
            prop_assert!((pool.config().initial..=pool.config().maximum).contains(&pool.committed()));
            prop_assert!(released == 0 || pool.grow(used) == 0, "{before} -> {} with {used} used", pool.committed());
        }
    }

    /// Invariant 2: a load that trembles around any level settles; it does not make the pool breathe.
    #[test]
    fn a_load_on_an_edge_does_not_flap(
        unit in 1_u64..20, level in 1_u64..900, swing in 0_u64..20, initial in 0_u64..200, ramp: bool, seed: u64,
    ) {
        let mut pool = pool(ElasticConfig { initial, maximum: 1000, ramp, ..ElasticConfig::default() }, unit);
        let load = |minute: u32| level.max(10 * swing) + (seed.wrapping_mul(u64::from(minute) + 1) >> 33) % (swing + 1);
        // Settle first, then count.
        play(&mut pool, 0..400, load);
        let (growths, releases) = play(&mut pool, 400..800, load);
        prop_assert!(growths <= 1 && releases <= 1, "{growths} growths, {releases} releases around {level}");
    }
}
