//! How often the rule that decides is wrong, on simulated rounds whose truth is known.
//!
//! `cargo test -p gc-lab --test decision -- --nocapture` prints the rates.

use gc_lab::stats::{Bootstrap, Finding, Pairs, Rule, compare, signed_rank};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUNDS: usize = 20;
const REPETITIONS: usize = 1000;

/// Two sides that do the same, each with noise of its own.
type Noise = fn(&mut ChaCha8Rng, round: usize) -> (f64, f64);

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn both(random: &mut ChaCha8Rng, noise: impl Fn(&mut ChaCha8Rng) -> f64) -> (f64, f64) {
    (noise(random), noise(random))
}

/// What machines do to figures. All have a true difference of zero.
const NOISES: &[(&str, Noise)] = &[
    ("normal", |random, _| both(random, |random| 100.0 + normal(random))),
    ("long tail", |random, _| both(random, |random| 100.0 * (0.3 * normal(random)).exp())),
    ("now and then far out", |random, _| {
        both(random, |random| 100.0 + normal(random) * if random.random_bool(0.1) { 30.0 } else { 1.0 })
    }),
    ("drift over rounds", |random, round| {
        let drift = round as f64 * 2.0;
        both(random, |random| 100.0 + drift + normal(random))
    }),
    ("rounds share most of it", |random, _| {
        let shared = 100.0 + 10.0 * normal(random);
        both(random, |random| shared + normal(random))
    }),
    ("few different values", |random, _| both(random, |random| (4.0 + normal(random)).round().max(0.0))),
    ("mostly zero", |random, _| {
        both(random, |random| if random.random_bool(0.8) { 0.0 } else { random.random::<f64>() })
    }),
    ("two modes", |random, _| {
        both(random, |random| normal(random) + if random.random_bool(0.5) { 100.0 } else { 120.0 })
    }),
    ("the second of a round is slower", |random, _| {
        let pair = (100.0 + normal(random), 103.0 + normal(random));
        if random.random_bool(0.5) { pair } else { (pair.1, pair.0) }
    }),
];

fn rule() -> Rule {
    Rule { bootstrap: Bootstrap { resamples: 400, ..Bootstrap::default() }, ..Rule::default() }
}

fn pairs(random: &mut ChaCha8Rng, rounds: usize, noise: Noise, factor: f64) -> Pairs {
    let values = (0..rounds).map(|round| noise(random, round)).map(|(a, b)| (a, b * factor));
    Pairs::new(values).expect("there are rounds")
}

/// The share of comparisons that come out as different, of `families` families of so many workloads.
fn share_different(noise: Noise, rounds: usize, workloads: usize, factor: f64, families: usize) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut different = 0;
    for _ in 0..families {
        let family: Vec<Pairs> = (0..workloads).map(|_| pairs(&mut random, rounds, noise, factor)).collect();
        let found = compare(&family, &rule());
        different += found.iter().filter(|comparison| comparison.finding == Finding::Different).count();
    }
    different as f64 / (families * workloads) as f64
}

/// 1000 repetitions leave 0.7 % of chance for one kind of noise, 0.2 % for all.
#[test]
fn a_against_a_is_called_different_in_at_most_five_of_a_hundred() {
    let mut all = 0.0;
    for &(name, noise) in NOISES {
        let share = share_different(noise, ROUNDS, 1, 1.0, REPETITIONS);
        println!("A/A, {ROUNDS} rounds, one workload, {name}: {:.2} %", 100.0 * share);
        assert!(share <= 0.06, "{name}: {share}");
        all += share / NOISES.len() as f64;
    }
    println!("A/A, {ROUNDS} rounds, all kinds of noise: {:.2} %", 100.0 * all);
    assert!(all <= 0.05, "{all}");
}

/// What Holm promises: in at most five of a hundred families is there even one false alarm. 400 families leave 1.1 % of chance.
#[test]
fn a_against_a_over_several_workloads_has_hardly_ever_a_false_alarm() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let alarmed = (0..400).filter(|_| {
        let family: Vec<Pairs> = (0..5).map(|_| pairs(&mut random, ROUNDS, NOISES[0].1, 1.0)).collect();
        compare(&family, &rule()).iter().any(|comparison| comparison.finding == Finding::Different)
    });
    let share = alarmed.count() as f64 / 400.0;
    println!("A/A, {ROUNDS} rounds: {:.1} % of families of five workloads have a false alarm", 100.0 * share);
    assert!(share <= 0.065, "{share}");
}

/// Not simulated but counted out: of all patterns of signs, each as likely as any other when the order in a round is a coin flip, at most five of a
/// hundred pass the test, whatever the sizes of the differences are.
#[test]
fn of_all_patterns_of_signs_at_most_five_of_a_hundred_pass() {
    for rounds in 6..=14_usize {
        let different: Vec<f64> = (0..rounds).map(|i| 1.0 + i as f64).collect();
        let tied: Vec<f64> = (0..rounds).map(|i| 1.0 + (i % 3) as f64).collect();
        for sizes in [different, tied] {
            let passes = (0..1_u32 << rounds).filter(|signs| {
                let sign = |i: usize| if signs >> i & 1 == 1 { 1.0 } else { -1.0 };
                let differences: Vec<f64> =
                    sizes.iter().enumerate().map(|(i, size)| size * sign(i)).collect();
                signed_rank(&differences).p <= Rule::default().false_alarms_max
            });
            let share = passes.count() as f64 / (1_u64 << rounds) as f64;
            println!("A/A, {rounds} rounds: {:.2} % of all patterns of signs", 100.0 * share);
            assert!(share > 0.0 && share <= 0.05, "{rounds}: {share}");
        }
    }
}

#[test]
fn three_percent_slower_under_one_percent_of_noise_is_found() {
    for (workloads, families) in [(1, 200), (8, 25)] {
        let found = share_different(NOISES[0].1, ROUNDS, workloads, 1.03, families);
        println!("3 % slower, 1 % of noise, {workloads} workloads: found {:.1} %", 100.0 * found);
        assert!(found >= 0.99, "{found}");
    }
}

/// The reason why rounds are paired: what they share, here ten percent, would hide the three.
#[test]
fn noise_that_rounds_share_hides_nothing() {
    let noise = NOISES.iter().find(|(name, _)| name.contains("share")).expect("it is in the list").1;
    let found = share_different(noise, ROUNDS, 1, 1.03, 200);
    println!("3 % slower, 1 % of noise, 10 % that rounds share: found {:.1} %", 100.0 * found);
    assert!(found >= 0.99, "{found}");
}

#[test]
fn the_interval_holds_the_truth_as_often_as_it_says() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let repetitions = 1000;
    let held = (0..repetitions).filter(|_| {
        let family = [pairs(&mut random, ROUNDS, NOISES[0].1, 1.0)];
        compare(&family, &rule())[0].difference.interval.is_some_and(|interval| interval.holds(0.0))
    });
    let share = held.count() as f64 / f64::from(repetitions);
    println!("the 95 % interval holds the truth in {:.1} % of cases", 100.0 * share);
    assert!((0.93..=0.97).contains(&share), "{share}");
}
