//! What a comparison says: every measure of every strategy against the first one, decided by [`crate::stats`], and told in words.
//!
//! ```text
//!  Report ──▶ Answer::of ──▶ Verdict per measure, workload and heap ──▶ words (terminal), page, exports
//!                 │                                                 └─▶ limit: --fail-if
//!                 └──▶ the same of A against A (the noise band), means over workloads
//! ```
//!
//! Nothing here is stored: a report holds raw figures, and this is computed from it whenever it is asked for. The same report gives the same answer.

pub mod limit;
pub mod units;
pub mod words;

use std::collections::BTreeMap;

use crate::bench::metric::{METRICS, Metric};
use crate::bench::model::{Kind, Report, Run};
use crate::stats::{Comparison, Estimate, Finding, Pairs, Rule, compare};

/// Everything that a report says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// One per measure, strategy but the first, heap and workload: in the order of the measures, then strategies, heaps, workloads.
    pub verdicts: Vec<Verdict>,
    /// Means over workloads, where there are several.
    pub means: Vec<Mean>,
    /// The first strategy against itself.
    pub noise: Vec<Verdict>,
    /// The rule that decided.
    pub rule: Rule,
}

/// What can be said of one measure on one workload in one heap: B against A.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The measure.
    pub metric: &'static Metric,
    /// Index of A into [`Report::subjects`].
    pub a: usize,
    /// Index of B; A again in a verdict on noise.
    pub b: usize,
    /// Index into [`Report::workloads`].
    pub workload: usize,
    /// The heap as a multiple of the minimum.
    pub heap_multiple: Option<f64>,
    /// The values of the rounds that both finished.
    pub pairs: Pairs,
    /// What follows from them.
    pub comparison: Comparison,
}

/// The mean of the ratios of a measure over workloads.
#[derive(Debug, Clone)]
pub struct Mean {
    /// The measure.
    pub metric: &'static Metric,
    /// Index of A into [`Report::subjects`].
    pub a: usize,
    /// Index of B.
    pub b: usize,
    /// The heap as a multiple of the minimum.
    pub heap_multiple: Option<f64>,
    /// How many workloads.
    pub workloads: usize,
    /// Whether there were enough rounds on each of them to say anything.
    pub decided: bool,
    /// Geometric mean of the median ratios, B over A.
    pub ratio: Estimate,
}

/// Whether a difference is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// No difference was found.
    Even,
    /// Nothing can be said.
    Unsaid,
}

impl Verdict {
    /// Whether B is better.
    #[must_use]
    pub fn side(&self) -> Side {
        match self.comparison.finding {
            Finding::Unsaid(_) => Side::Unsaid,
            Finding::NotFound => Side::Even,
            Finding::Different => {
                let less = self.comparison.difference.value < 0.0;
                if less == self.metric.less_is_better { Side::Better } else { Side::Worse }
            }
        }
    }
}

impl Answer {
    /// The answer of a report by the usual rule.
    #[must_use]
    pub fn of(report: &Report) -> Answer {
        Answer::by_rule(report, &Rule::default())
    }

    /// The same by another rule.
    #[must_use]
    pub fn by_rule(report: &Report, rule: &Rule) -> Answer {
        let mut verdicts = Vec::new();
        let mut means = Vec::new();
        for metric in METRICS {
            let values = Values::of(report, |run| metric.value(run));
            for b in opponents(report) {
                for heap in values.heaps() {
                    let family = family(report, metric, (0, b), heap, |workload| {
                        values.pairs(workload, heap, (0, 0), (b, 0))
                    });
                    let found = decided(family, rule);
                    means.extend(mean(&found, rule));
                    verdicts.extend(found);
                }
            }
        }
        Answer { verdicts, means, noise: noise(report, rule), rule: *rule }
    }

    /// How many measures of the A/A check were decided, and how many of them came out as different.
    #[must_use]
    pub fn false_alarms(&self) -> (usize, usize) {
        let decided = self.noise.iter().filter(|verdict| verdict.side() != Side::Unsaid);
        let different =
            self.noise.iter().filter(|verdict| matches!(verdict.side(), Side::Better | Side::Worse));
        (different.count(), decided.count())
    }

    /// The verdict on the A/A check of the same measure, workload and heap.
    #[must_use]
    pub fn noise_of(&self, verdict: &Verdict) -> Option<&Verdict> {
        self.noise.iter().find(|noise| {
            noise.metric.key == verdict.metric.key
                && noise.workload == verdict.workload
                && noise.heap_multiple == verdict.heap_multiple
        })
    }
}

/// Strategies that are compared with the first one.
#[must_use]
pub fn opponents(report: &Report) -> Vec<usize> {
    (1..report.subjects.len()).filter(|&subject| !report.subjects[subject].baseline).collect()
}

/// A heap multiple as a key that sorts.
fn key(heap_multiple: Option<f64>) -> Option<u64> {
    // Multiples are not negative, and then their bits sort as they do.
    heap_multiple.map(f64::to_bits)
}

/// Workload, heap, strategy, side.
type Place = (usize, Option<u64>, usize, u32);

/// Values of one measure by configuration and round.
struct Values {
    by_place: BTreeMap<Place, BTreeMap<u32, f64>>,
}

impl Values {
    fn of(report: &Report, value: impl Fn(&Run) -> Option<f64>) -> Values {
        let mut by_place: BTreeMap<Place, BTreeMap<u32, f64>> = BTreeMap::new();
        for run in &report.runs {
            if let Some(value) = value(run) {
                let place = (run.workload, key(run.heap_multiple), run.subject, run.side);
                by_place.entry(place).or_default().insert(run.round, value);
            }
        }
        Values { by_place }
    }

    fn heaps(&self) -> Vec<Option<u64>> {
        let mut heaps: Vec<Option<u64>> = self.by_place.keys().map(|&(_, heap, _, _)| heap).collect();
        heaps.sort_unstable();
        heaps.dedup();
        heaps
    }

    /// The rounds that both of two (subject, side) finished.
    fn pairs(&self, workload: usize, heap: Option<u64>, a: (usize, u32), b: (usize, u32)) -> Option<Pairs> {
        let a = self.by_place.get(&(workload, heap, a.0, a.1))?;
        let b = self.by_place.get(&(workload, heap, b.0, b.1))?;
        Pairs::new(a.iter().filter_map(|(round, &value)| Some((value, *b.get(round)?))))
    }
}

/// A verdict before it is decided.
struct Question {
    metric: &'static Metric,
    sides: (usize, usize),
    workload: usize,
    heap: Option<u64>,
    pairs: Pairs,
}

fn family(
    report: &Report,
    metric: &'static Metric,
    sides: (usize, usize),
    heap: Option<u64>,
    pairs: impl Fn(usize) -> Option<Pairs>,
) -> Vec<Question> {
    let question = |workload| Some(Question { metric, sides, workload, heap, pairs: pairs(workload)? });
    (0..report.workloads.len()).filter_map(question).collect()
}

fn decided(family: Vec<Question>, rule: &Rule) -> Vec<Verdict> {
    let pairs: Vec<Pairs> = family.iter().map(|question| question.pairs.clone()).collect();
    let verdict = |(question, comparison): (Question, Comparison)| Verdict {
        metric: question.metric,
        a: question.sides.0,
        b: question.sides.1,
        workload: question.workload,
        heap_multiple: question.heap.map(f64::from_bits),
        pairs: question.pairs,
        comparison,
    };
    family.into_iter().zip(compare(&pairs, rule)).map(verdict).collect()
}

fn mean(family: &[Verdict], rule: &Rule) -> Option<Mean> {
    let first = family.first().filter(|_| family.len() > 1)?;
    let ratios: Option<Vec<Vec<f64>>> = family.iter().map(|verdict| verdict.pairs.ratios()).collect();
    Some(Mean {
        metric: first.metric,
        a: first.a,
        b: first.b,
        heap_multiple: first.heap_multiple,
        workloads: family.len(),
        decided: family.iter().all(|verdict| verdict.side() != Side::Unsaid),
        ratio: rule.bootstrap.geometric_mean_of_medians(&ratios?)?,
    })
}

fn noise(report: &Report, rule: &Rule) -> Vec<Verdict> {
    let mut found = Vec::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Timed) {
        let values = Values::of(report, |run| {
            let usable = run.kind == Kind::Same && run.outcome.is_ok();
            run.measures.as_deref().filter(|_| usable).and_then(metric.of)
        });
        for heap in values.heaps() {
            let family =
                family(report, metric, (0, 0), heap, |workload| values.pairs(workload, heap, (0, 0), (0, 1)));
            found.extend(decided(family, rule));
        }
    }
    found
}
