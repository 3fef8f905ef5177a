//! The decision about a canary, played through without a node.

use super::*;

fn limit(text: &str, measure: Measure, amount: Amount) -> Limit {
    Limit { text: text.into(), measure, above: false, or_equal: false, amount }
}

fn watch(limits: Vec<Limit>, cycles: u32) -> Watch {
    Watch::new(Budget(limits), cycles)
}

/// A cycle with these hold-ups, in microseconds.
fn held(us: &[u64]) -> Seen {
    Seen {
        holdups_ns: us.iter().map(|us| us * 1000).collect(),
        wall_ns: 1_000_000,
        cpu_ns: 200_000,
        mark_ns: 100_000,
        memory_bytes: 1 << 20,
        used_bytes: Some(8 << 20),
    }
}

fn is_broken(ruling: &Ruling, words: &[&str]) -> bool {
    matches!(ruling, Ruling::Broken(why) if words.iter().all(|word| why.contains(word)))
}

#[test]
fn a_canary_within_its_budget_is_kept_to_the_end_and_says_how_well() {
    let mut watch = watch(vec![Limit::below("p999 < 50us", Measure::HoldupP999, 50_000.0)], 3);
    for _ in 0..2 {
        assert!(matches!(watch.served(held(&[1, 2, 49])), Ruling::Kept(_)));
    }
    let Ruling::Kept(why) = watch.served(held(&[1])) else { panic!("it was within") };
    assert_eq!(why, "kept p999 < 50us (it was 49 us), after 3 of 3 cycles and 7 hold-ups");
}

#[test]
fn the_longest_hold_up_is_judged_at_once() {
    let mut watch = watch(vec![Limit::below("max < 1ms", Measure::HoldupMax, 1e6)], 10);
    assert!(matches!(watch.served(held(&[999])), Ruling::Kept(_)));
    let ruling = watch.served(held(&[1000]));
    assert!(is_broken(&ruling, &["broke max < 1ms (it was 1 ms)", "2 of 10 cycles"]), "{ruling:?}");
}

#[test]
fn a_percentile_goes_by_what_the_whole_probation_may_have() {
    let limits = || vec![Limit::below("p99 < 1ms", Measure::HoldupP99, 1e6)];
    let mut hundred = vec![1; 100];
    // One too long in 100 hold-ups of one cycle of ten: ten are allowed in all.
    hundred[0] = 5000;
    let mut patient = watch(limits(), 10);
    assert!(matches!(patient.served(held(&hundred)), Ruling::Kept(_)));
    for _ in 0..8 {
        assert!(matches!(patient.served(held(&[1; 100])), Ruling::Kept(_)));
    }
    assert!(matches!(patient.served(held(&[1; 100])), Ruling::Kept(_)), "1 of 1000 is below the 99th");
    // Eleven too long in the first: it cannot come right.
    hundred[..11].fill(5000);
    let ruling = watch(limits(), 10).served(held(&hundred));
    assert!(is_broken(&ruling, &["p99 < 1ms (it was 5 ms)", "1 of 10"]), "{ruling:?}");
}

#[test]
fn with_few_hold_ups_a_high_percentile_is_the_longest() {
    let mut watch = watch(vec![Limit::below("p999 < 1ms", Measure::HoldupP999, 1e6)], 1);
    assert!(is_broken(&watch.served(held(&[1, 1, 1, 2000])), &["it was 2 ms"]));
}

#[test]
fn nobody_held_up_is_within_any_budget() {
    let mut watch = watch(vec![Limit::below("p50 < 1us", Measure::HoldupP50, 1e3)], 1);
    let Ruling::Kept(why) = watch.served(held(&[])) else { panic!("nobody was held up") };
    assert!(why.contains("it was 0 ns"), "{why}");
}

#[test]
fn means_are_judged_at_the_end_and_before_it_when_all_is_spent() {
    let limits = || vec![Limit::below("cpu < 10%", Measure::Cpu, 0.1)];
    // 20 % in one of four cycles is 5 % of the whole; in the second it is all that there is.
    let mut early = watch(limits(), 4);
    assert!(matches!(early.served(held(&[])), Ruling::Kept(_)));
    assert!(is_broken(&early.served(held(&[])), &["cpu < 10% (it was 20 %)", "2 of 4"]));
    let mut late = watch(limits(), 4);
    late.served(held(&[]));
    for _ in 0..2 {
        assert!(matches!(late.served(Seen { cpu_ns: 0, ..held(&[]) }), Ruling::Kept(_)));
    }
    assert!(matches!(late.served(Seen { cpu_ns: 0, ..held(&[]) }), Ruling::Kept(_)), "5 % in all");
}

#[test]
fn a_relative_limit_is_held_against_the_present_strategy() {
    let limits = || vec![limit("heap < +10%", Measure::Heap, Amount::Ratio(1.1))];
    let beside =
        |watch: &mut Watch| watch.beside(held(&[]), Seen { used_bytes: None, ..held(&[]) }, None, true);
    let mut same = watch(limits(), 1);
    assert!(matches!(beside(&mut same), Ruling::Kept(_)));
    assert!(matches!(same.served(held(&[])), Ruling::Kept(_)));
    let mut larger = watch(limits(), 5);
    beside(&mut larger);
    let ruling = larger.served(Seen { used_bytes: Some(9 << 20), ..held(&[]) });
    assert!(is_broken(&ruling, &["heap < +10% (it was 9 MiB against 8.8 MiB)"]), "{ruling:?}");
    let mut unseen = watch(limits(), 1);
    let Ruling::Kept(why) = unseen.served(held(&[])) else { panic!("there is nothing to compare with") };
    assert!(why.contains("nothing was seen to judge it by"), "{why}");
    let mut more = watch(vec![limit("max < +2us", Measure::HoldupMax, Amount::Difference(2e3))], 1);
    more.beside(held(&[3]), Seen { used_bytes: None, ..held(&[]) }, None, true);
    assert!(is_broken(&more.served(held(&[5])), &["max < +2us (it was 5 us against 5 us)"]));
}

#[test]
fn what_can_be_seen_beside_is_judged_beside() {
    let aside = |mark_ns, memory_bytes| Seen { mark_ns, memory_bytes, ..Seen::default() };
    let mut memory = watch(vec![Limit::below("memory < 2MiB", Measure::Memory, (2 << 20) as f64)], 1);
    assert!(is_broken(&memory.beside(held(&[]), aside(1, 2 << 20), None, false), &["2 MiB", "beside"]));
    let mut mark = watch(vec![Limit::below("mark < 1us", Measure::Mark, 1e3)], 1);
    assert!(matches!(mark.beside(held(&[]), aside(5000, 0), None, false), Ruling::Kept(_)));
    assert!(is_broken(&mark.beside(held(&[]), aside(5000, 0), None, true), &["mark < 1us (it was 5 us)"]));
    let mut missed = watch(vec![Limit::below("missed < 5%", Measure::Missed, 0.05)], 1);
    assert!(is_broken(&missed.beside(held(&[]), aside(1, 1), Some(0.25), true), &["25 %"]));
    // Hold-ups are nobody's but the one's who serves.
    let mut pause = watch(vec![Limit::below("max < 1us", Measure::HoldupMax, 1e3)], 1);
    assert!(matches!(pause.beside(held(&[9]), aside(1, 1), None, true), Ruling::Kept(_)));
}

#[test]
fn a_limit_from_below_is_judged_at_the_end_alone() {
    let floor = Limit { above: true, ..Limit::below("cpu > 50%", Measure::Cpu, 0.5) };
    let mut watch = watch(vec![floor], 2);
    assert!(matches!(watch.served(held(&[])), Ruling::Kept(_)));
    assert!(is_broken(&watch.served(held(&[])), &["cpu > 50%"]));
}

#[test]
fn without_a_budget_only_faults_count() {
    let mut watch = watch(Vec::new(), 1);
    let Ruling::Kept(why) = watch.served(held(&[1_000_000])) else { panic!("nothing is limited") };
    assert!(why.starts_with("no fault and no refused verdict"), "{why}");
}

#[test]
fn the_report_has_both_sides() {
    let mut watch = watch(vec![Limit::below("max < 1s", Measure::HoldupMax, 1e9)], 1);
    watch.beside(held(&[7]), Seen { memory_bytes: 5, ..Seen::default() }, Some(0.5), true);
    watch.served(held(&[9]));
    let measured = watch.measured();
    let of = |key: &str| measured.iter().find(|measured| measured.measure == key).unwrap();
    assert_eq!((of("max").present, of("max").candidate), (Some(7000.0), Some(9000.0)));
    assert_eq!(of("max").limit.as_deref(), Some("max < 1s"));
    assert_eq!((of("missed").present, of("missed").candidate), (None, Some(0.5)));
}
