//! Verdicts in words, the noise band, and limits, on made-up results whose truth is known.

mod plausible;

use gc_lab::answer::limit::{Kept, Limit};
use gc_lab::answer::words::{line, lines, noise_line, summary};
use gc_lab::answer::{Answer, Side, Verdict};
use gc_lab::bench::model::{Kind, Report};
use gc_lab::stats::{Bootstrap, Rule};
use plausible::{Shape, report};

fn answer(report: &Report) -> Answer {
    let bootstrap = Bootstrap { resamples: 200, ..Bootstrap::default() };
    Answer::by_rule(report, &Rule { bootstrap, ..Rule::default() })
}

/// Two strategies; tracing uses some percent more CPU at two times the heap, and pauses a third as long.
fn shape() -> Shape {
    Shape { workloads: 2, strategies: 2, heaps: vec![1.5, 2.0], rounds: 12, ..Shape::default() }
}

fn verdict<'a>(answer: &'a Answer, key: &str, workload: usize) -> &'a Verdict {
    answer
        .verdicts
        .iter()
        .find(|verdict| {
            verdict.metric.key == key && verdict.workload == workload && verdict.heap_multiple == Some(2.0)
        })
        .unwrap_or_else(|| panic!("no verdict on {key}"))
}

#[test]
fn verdicts_are_sentences_with_effect_interval_and_rounds() {
    let report = report(&shape());
    let answer = answer(&report);
    let said = |key: &str| line(&report, &answer, verdict(&answer, key, 0));
    let cpu = said("cpu");
    assert!(
        cpu.starts_with("-  tracing uses ")
            && cpu.contains(" more CPU time than mark-sweep: gcbench, 2x heap (12 rounds; "),
        "{cpu}"
    );
    assert!(cpu.contains(" % [") && cpu.contains(" s against "), "{cpu}");
    let pause = said("pause-p99");
    assert!(
        pause.starts_with("+  tracing has 0.3")
            && pause.contains("x [0.")
            && pause.contains("the p99 pause of mark-sweep"),
        "{pause}"
    );
    let even = said("mutator-cpu");
    assert!(
        even.starts_with("~  no difference found in CPU time of mutators between tracing and mark-sweep ("),
        "{even}"
    );
    let few = said("fuel");
    assert!(
        few.starts_with("?  fuel of tracing against mark-sweep: 6 rounds say nothing when 2 workloads"),
        "{few}"
    );
    let few = said("floating");
    assert!(few.contains("1 round says nothing, take at least 6"), "{few}");
    let all = lines(&report, &answer);
    assert_eq!(all.len(), answer.verdicts.len() + answer.means.len());
    assert!(all[0].contains("geometric mean of 2 workloads, 1.5x heap"), "{}", all[0]);
}

#[test]
fn the_summary_counts_cases() {
    let report = report(&shape());
    let summaries = summary(&report, &answer(&report));
    assert_eq!(summaries.len(), 1);
    let names =
        |tallies: &[gc_lab::answer::words::Tally]| tallies.iter().map(|tally| tally.name).collect::<Vec<_>>();
    assert!(names(&summaries[0].better).contains(&"p99 pause"));
    assert!(names(&summaries[0].worse).contains(&"CPU time"));
    assert!(
        summaries[0].even.contains(&"peak footprint") || summaries[0].even.contains(&"strategy's own memory")
    );
    assert!(summaries[0].unsaid.contains(&"fuel"));
    let cpu = summaries[0].worse.iter().find(|tally| tally.name == "CPU time").unwrap();
    assert!(cpu.text().starts_with("CPU time (") && cpu.text().ends_with(" of 4 cases)"), "{}", cpu.text());
}

#[test]
fn a_strategy_without_difference_is_the_same_as_itself() {
    let mut report = report(&shape());
    let a: Vec<_> = report.runs.iter().filter(|run| run.subject == 0).cloned().collect();
    report.runs = a;
    let twin: Vec<_> = report
        .runs
        .iter()
        .cloned()
        .map(|mut run| {
            run.subject = 1;
            run
        })
        .collect();
    report.runs.extend(twin);
    let answer = answer(&report);
    assert!(answer.verdicts.iter().all(|verdict| matches!(verdict.side(), Side::Even | Side::Unsaid)));
    let cpu = line(&report, &answer, verdict(&answer, "cpu", 0));
    assert!(cpu.contains("(they are the same)"), "{cpu}");
}

/// The goal: at most five of a hundred measures of A against A come out as different, over 20 repetitions.
#[test]
fn a_against_a_is_called_different_in_at_most_five_of_a_hundred_measures() {
    let (mut different, mut decided) = (0, 0);
    for seed in 0..20 {
        let shape =
            Shape { seed, workloads: 1, strategies: 1, heaps: vec![2.0], rounds: 20, ..Shape::default() };
        let mut report = report(&shape);
        report.runs.retain(|run| run.kind == Kind::Same);
        let answer = answer(&report);
        let (wrong, all) = answer.false_alarms();
        different += wrong;
        decided += all;
        assert!(noise_line(&report, &answer).starts_with("A/A: of "), "{}", noise_line(&report, &answer));
    }
    println!("A/A: {different} of {decided} measures, {:.1} %", 100.0 * different as f64 / decided as f64);
    assert!(decided > 200 && different * 20 <= decided, "{different} of {decided}");
}

#[test]
fn rounds_of_which_one_side_failed_are_left_out_of_the_pairs() {
    let mut report = report(&shape());
    let gone =
        report.runs.iter_mut().filter(|run| run.subject == 1 && run.kind == Kind::Timed && run.round < 2);
    gone.for_each(|run| run.measures = None);
    let answer = answer(&report);
    assert_eq!(verdict(&answer, "cpu", 0).comparison.rounds, 10);
}

fn held(report: &Report, answer: &Answer, text: &str) -> Vec<Kept> {
    let limit: Limit = text.parse().unwrap();
    limit.hold(report, answer).into_iter().map(|held| held.kept).collect()
}

#[test]
fn limits_are_broken_by_what_was_found_and_not_by_noise() {
    let report = report(&shape());
    let answer = answer(&report);
    let all = |text: &str| held(&report, &answer, text);
    assert_eq!(all("gcbench/cpu@2x > +1%"), [Kept::Broken]);
    assert_eq!(all("gcbench/cpu@2x > +50%"), [Kept::Kept]);
    assert_eq!(all("gcbench/cpu@2x > 1.01x"), [Kept::Broken]);
    assert_eq!(all("gcbench/cpu@2x > +1ms"), [Kept::Broken]);
    assert_eq!(all("gcbench/cpu@2x > 10s"), [Kept::Kept]);
    assert_eq!(all("gcbench/cpu@2x > 10ms"), [Kept::Broken]);
    assert_eq!(all("gcbench/pause-p99@2x < -50%"), [Kept::Broken]);
    assert_eq!(all("cpu > +1%").len(), 4);
    assert_eq!(all("gcbench/fuel@2x > +1%"), [Kept::Unsaid]);
    assert_eq!(all("elsewhere/cpu > +1%"), []);
    // The medians differ in the last digits, as they always do; that is no difference.
    assert_eq!(all("gcbench/mutator-cpu@2x > +0%"), [Kept::Kept]);
    assert_eq!(all("gcbench/mutator-cpu@2x < -0%"), [Kept::Kept]);
    let limit: Limit = "gcbench/cpu@2x > +1%".parse().unwrap();
    let found = limit.hold(&report, &answer)[0].to_string();
    assert!(found.starts_with("CPU time of tracing on gcbench at 2x heap: "), "{found}");
}
