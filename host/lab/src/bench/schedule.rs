//! What is run in which order.
//!
//! A round has every strategy once in every workload and heap. Within a workload and heap the strategies follow each other directly, in an order that is
//! shuffled anew each time: what drifts in the machine meets both alike. Workloads and heaps are shuffled too, except in the first round, which goes
//! to the ends and the middle first, so that a comparison that is ended early has something to say.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::bench::model::{Kind, Plan};

/// A run to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it is for.
    pub kind: Kind,
    /// Index of the strategy.
    pub subject: usize,
    /// Index of the workload.
    pub workload: usize,
    /// Side of an A/A pair.
    pub side: u32,
    /// The heap, in minimum heaps of the workload; none for the baseline.
    pub heap_multiple: Option<f64>,
    /// Number of the round.
    pub round: u32,
    /// Place in its round.
    pub position: u32,
    /// Seed of the workload.
    pub seed: u64,
}

/// What takes part.
#[derive(Debug, Clone)]
pub struct Field {
    /// The strategies that are compared.
    pub subjects: Vec<usize>,
    /// `none`, where there is a baseline.
    pub baseline: Option<usize>,
    /// The workloads that have a minimum heap.
    pub workloads: Vec<usize>,
}

/// The multiple at which things are measured that are measured once: the one nearest to twice the minimum.
#[must_use]
pub fn middle(multiples: &[f64]) -> Option<f64> {
    let distance = |multiple: f64| (multiple / 2.0).ln().abs();
    multiples.iter().copied().min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
}

/// Ends and middle first, then the middles of what is between.
fn telling_order(multiples: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = Vec::new();
    let mut add = |at: usize| {
        if !order.contains(&at) {
            order.push(at);
        }
    };
    let last = multiples.len().saturating_sub(1);
    let mut step = last;
    while step > 0 {
        (0..=last).step_by(step).for_each(&mut add);
        add(last);
        step /= 2;
    }
    (0..multiples.len()).for_each(&mut add);
    order.into_iter().map(|at| multiples[at]).collect()
}

/// A generator of orders.
struct Shuffler {
    random: ChaCha8Rng,
    seed: u64,
}

impl Shuffler {
    fn new(plan: &Plan, stream: u64) -> Shuffler {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        random.set_stream(stream);
        Shuffler { random, seed: plan.seed }
    }

    /// A round over these workloads and heaps: the given sides of the given strategies once each.
    fn round(
        &mut self,
        kind: Kind,
        round: u32,
        cells: &[(usize, Option<f64>)],
        sides: &[(usize, u32)],
    ) -> Vec<Job> {
        let mut jobs = Vec::new();
        for &(workload, heap_multiple) in cells {
            let mut order = sides.to_vec();
            order.shuffle(&mut self.random);
            for (subject, side) in order {
                let position = jobs.len() as u32;
                let seed = self.seed.wrapping_add(u64::from(round));
                jobs.push(Job { kind, subject, workload, side, heap_multiple, round, position, seed });
            }
        }
        jobs
    }
}

/// The first strategy against itself.
#[must_use]
pub fn noise(plan: &Plan, field: &Field) -> Vec<Job> {
    let (Some(&first), heap @ Some(_)) = (field.subjects.first(), middle(&plan.heap_multiples)) else {
        return Vec::new();
    };
    let mut shuffler = Shuffler::new(plan, 1);
    let cells: Vec<_> = field.workloads.iter().map(|&workload| (workload, heap)).collect();
    let sides = [(first, 0), (first, 1)];
    (0..plan.noise_rounds).flat_map(|round| shuffler.round(Kind::Same, round, &cells, &sides)).collect()
}

/// One round of the comparison.
#[must_use]
pub fn round(plan: &Plan, field: &Field, round: u32) -> Vec<Job> {
    let mut shuffler = Shuffler::new(plan, 1000 + u64::from(round));
    let heaps = telling_order(&plan.heap_multiples);
    let mut cells: Vec<_> = heaps
        .iter()
        .flat_map(|&heap| field.workloads.iter().map(move |&workload| (workload, Some(heap))))
        .collect();
    if round > 0 {
        cells.shuffle(&mut shuffler.random);
    }
    let sides: Vec<_> = field.subjects.iter().map(|&subject| (subject, 0)).collect();
    shuffler.round(Kind::Timed, round, &cells, &sides)
}

/// Runs of one kind at the middle heap: fuel, oracle, swaps.
#[must_use]
pub fn aside(plan: &Plan, field: &Field, kind: Kind, rounds: u32) -> Vec<Job> {
    let heap @ Some(_) = middle(&plan.heap_multiples) else { return Vec::new() };
    let mut shuffler = Shuffler::new(plan, 2 + kind as u64);
    let cells: Vec<_> = field.workloads.iter().map(|&workload| (workload, heap)).collect();
    let sides: Vec<_> = field.subjects.iter().map(|&subject| (subject, 0)).collect();
    (0..rounds).flat_map(|round| shuffler.round(kind, round, &cells, &sides)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan() -> Plan {
        Plan {
            heap_multiples: vec![1.0, 1.5, 2.0, 3.0, 6.0],
            rounds: 20,
            noise_rounds: 20,
            seed: 7,
            ..Plan::default()
        }
    }

    fn field() -> Field {
        Field { subjects: vec![0, 1], baseline: Some(2), workloads: vec![0, 1] }
    }

    #[test]
    fn a_round_has_everyone_once_and_pairs_side_by_side() {
        for number in 0..5 {
            let jobs = round(&plan(), &field(), number);
            assert_eq!(jobs.len(), 2 * 2 * 5);
            for pair in jobs.chunks(2) {
                let cell = |job: &Job| (job.workload, job.heap_multiple.map(f64::to_bits), job.seed);
                assert_eq!(cell(&pair[0]), cell(&pair[1]));
                assert_ne!(pair[0].subject, pair[1].subject);
            }
        }
    }

    #[test]
    fn who_comes_first_is_shuffled_and_the_seed_says_how() {
        let firsts: Vec<usize> = (0..20).map(|number| round(&plan(), &field(), number)[0].subject).collect();
        assert!(firsts.iter().collect::<BTreeSet<_>>().len() == 2, "{firsts:?}");
        assert_eq!(round(&plan(), &field(), 3), round(&plan(), &field(), 3));
        assert_ne!(round(&plan(), &field(), 3), round(&Plan { seed: 8, ..plan() }, &field(), 3));
        let sides: BTreeSet<u32> = noise(&plan(), &field()).iter().step_by(2).map(|job| job.side).collect();
        assert_eq!(sides.len(), 2);
    }

    #[test]
    fn the_first_round_goes_to_ends_and_middle_first() {
        assert_eq!(telling_order(&[1.0, 1.5, 2.0, 3.0, 6.0]), [1.0, 6.0, 2.0, 1.5, 3.0]);
        assert_eq!(telling_order(&[2.0]), [2.0]);
        assert_eq!(telling_order(&[]), [0.0; 0]);
        assert_eq!(middle(&[1.0, 1.5, 3.0, 6.0]), Some(1.5));
    }
}
