//! Minimum mutator utilisation: of every window of some length, the one in which a mutator had the least time for itself (Cheng and Blelloch 2001).
//!
//! The minimum lies at a window that begins where a pause begins or ends where one ends, so only those are looked at: sums of pauses up to a moment come
//! from a table, and every window costs two look-ups.

use crate::bench::model::{Pause, Utilisation};

/// Windows of the curve: six decades, four points each.
#[must_use]
pub fn windows(length_ns: u64) -> Vec<u64> {
    let points = (0..=24).map(|step| 10_f64.powf(4.0 + f64::from(step) / 4.0).round() as u64);
    points.take_while(|&window| window <= length_ns).collect()
}

/// The curve over a run of `length_ns` for these pauses: the worst of all mutators at each window.
#[must_use]
pub fn curve(pauses: &[Pause], length_ns: u64) -> Vec<Utilisation> {
    let mut mutators: Vec<u32> = pauses.iter().map(|pause| pause.mutator).collect();
    mutators.sort_unstable();
    mutators.dedup();
    let tables: Vec<Table> = mutators.iter().map(|&mutator| Table::new(pauses, mutator, length_ns)).collect();
    let point = |window_ns: u64| Utilisation {
        window_ns,
        share: tables.iter().map(|table| table.least(window_ns, length_ns)).fold(1.0, f64::min),
    };
    windows(length_ns).into_iter().map(point).collect()
}

/// The pauses of one mutator, in order and without overlap, and how long they were together before each.
struct Table {
    pauses: Vec<(u64, u64)>,
    before: Vec<u64>,
}

impl Table {
    fn new(pauses: &[Pause], mutator: u32, length_ns: u64) -> Table {
        let mut own: Vec<(u64, u64)> = pauses
            .iter()
            .filter(|pause| pause.mutator == mutator)
            .map(|pause| {
                (pause.at_ns.min(length_ns), pause.at_ns.saturating_add(pause.length_ns).min(length_ns))
            })
            .filter(|(begin, end)| begin < end)
            .collect();
        own.sort_unstable();
        own.dedup_by(|next, previous| {
            let overlaps = next.0 <= previous.1;
            if overlaps {
                previous.1 = previous.1.max(next.1);
            }
            overlaps
        });
        let mut sum = 0;
        let before = own
            .iter()
            .map(|(begin, end)| {
                let earlier = sum;
                sum += end - begin;
                earlier
            })
            .collect();
        Table { pauses: own, before }
    }

    /// Pauses together from the begin of the run to `moment`.
    fn until(&self, moment: u64) -> u64 {
        match self.pauses.partition_point(|&(begin, _)| begin < moment) {
            0 => 0,
            count => {
                let (begin, end) = self.pauses[count - 1];
                self.before[count - 1] + end.min(moment) - begin
            }
        }
    }

    fn least(&self, window_ns: u64, length_ns: u64) -> f64 {
        let last = length_ns.saturating_sub(window_ns);
        let begins = self.pauses.iter().flat_map(|&(begin, end)| [begin, end.saturating_sub(window_ns)]);
        let lost = begins
            .map(|begin| begin.min(last))
            .map(|begin| self.until(begin + window_ns) - self.until(begin));
        1.0 - lost.max().unwrap_or(0) as f64 / window_ns as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pause(mutator: u32, at_ns: u64, length_ns: u64) -> Pause {
        Pause { at_ns, length_ns, mutator }
    }

    fn at(curve: &[Utilisation], window_ns: u64) -> f64 {
        curve.iter().find(|point| point.window_ns == window_ns).unwrap().share
    }

    #[test]
    fn a_window_as_long_as_a_pause_may_be_lost_altogether() {
        let curve = curve(&[pause(0, 500_000, 100_000)], 10_000_000);
        assert_eq!(at(&curve, 10_000), 0.0);
        assert_eq!(at(&curve, 100_000), 0.0);
        assert_eq!(at(&curve, 1_000_000), 0.9);
        assert_eq!(at(&curve, 10_000_000), 0.99);
    }

    #[test]
    fn pauses_of_different_mutators_do_not_add_up() {
        let both = [pause(0, 0, 100_000), pause(1, 100_000, 100_000)];
        assert_eq!(at(&curve(&both, 1_000_000), 1_000_000), 0.9);
        assert!(curve(&[], 1_000_000).iter().all(|point| point.share == 1.0));
    }

    #[test]
    fn pauses_that_overlap_count_once() {
        let nested = [pause(0, 100_000, 500_000), pause(0, 200_000, 100_000), pause(0, 550_000, 150_000)];
        assert_eq!(at(&curve(&nested, 1_000_000), 1_000_000), 0.4);
    }

    proptest! {
        #[test]
        fn no_window_anywhere_is_worse(
            pauses in prop::collection::vec((0_u64..2_000_000, 1_u64..200_000), 0..20), moved in 0_u64..1_000_000,
        ) {
            let length = 2_000_000;
            let pauses: Vec<Pause> = pauses.into_iter().map(|(at, length)| pause(0, at, length)).collect();
            let table = Table::new(&pauses, 0, length);
            for point in curve(&pauses, length) {
                let begin = moved.min(length - point.window_ns);
                // The slow way: every nanosecond-wide step that is inside of some pause, counted by its edges.
                let mut edges: Vec<(u64, u64)> = table.pauses.clone();
                edges.retain(|&(from, to)| to > begin && from < begin + point.window_ns);
                let lost: u64 = edges.iter().map(|&(from, to)| to.min(begin + point.window_ns) - from.max(begin)).sum();
                let share = 1.0 - lost as f64 / point.window_ns as f64;
                prop_assert!(point.share <= share + 1e-9, "{point:?} {share}");
            }
        }
    }
}
