//! The oracle over several nodes: when each object died and when it was reclaimed, from what all nodes wrote down ([`Lives`]).
//!
//! Merlin's rule: an object lives as long as somebody holds it, or something lives that leads to it. So it died at the latest moment at which it, or
//! anything that it can be reached from, was held. Workers are taken from the latest such moment to the earliest, and each gives its own to all whom it
//! leads to and who have none yet. Every worker and every reference is visited once.
//!
//! Unlike the oracle of one heap ([`crate::bench::oracle`]) this computes nothing while the work goes on. It knows deaths to the length of a scope, and
//! reclaims to the time between two looks of a node.

use std::time::Instant;

use gc_heap::Handle;
use rustc_hash::FxHashMap;

use crate::bench::histogram::Counts;
use crate::bench::model::Quality;
use crate::lives::Lives;

/// One object.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fate {
    handle: Handle,
    bytes: u64,
    born: Instant,
    died: Instant,
    gone: Option<Instant>,
}

/// What became of all objects. See the module.
#[derive(Debug, Clone, Default)]
pub struct Fates {
    all: Vec<Fate>,
    node_count: usize,
    look_count: u64,
    looking_ns: u64,
    looked_over_ns: u64,
}

impl Fates {
    /// Of all nodes, by what each wrote down.
    pub fn of<'l>(nodes: impl IntoIterator<Item = &'l Lives>) -> Fates {
        let nodes: Vec<&Lives> = nodes.into_iter().collect();
        let mut fates = Fates { node_count: nodes.len(), ..Fates::default() };
        for (lives, died) in nodes.iter().zip(deaths(&nodes)) {
            let mut numbers = 0..;
            for thing in &lives.things {
                let worker = thing.owner.map_or_else(|| numbers.next().unwrap_or(0), |owner| owner as usize);
                fates.all.push(Fate {
                    handle: thing.handle,
                    bytes: thing.bytes,
                    born: thing.born,
                    died: thing.replaced.unwrap_or(died[worker]),
                    gone: thing.gone,
                });
            }
            fates.look_count += lives.look_count;
            fates.looking_ns += lives.looking.as_nanos() as u64;
            fates.looked_over_ns += ns(lives.begun, lives.looked);
        }
        fates
    }

    /// When an object died.
    #[must_use]
    pub fn died(&self, object: Handle) -> Option<Instant> {
        self.all.iter().find(|fate| fate.handle == object).map(|fate| fate.died)
    }

    /// An object that was reclaimed before it died: the collector's mistake, or that of these books.
    #[must_use]
    pub fn too_early(&self) -> Option<Handle> {
        let early = |fate: &&Fate| fate.gone.is_some_and(|gone| gone < fate.died);
        self.all.iter().find(early).map(|fate| fate.handle)
    }

    /// What died from `begin` to `end`, and what of it was still there then, or was reclaimed when; and what floated meanwhile.
    #[must_use]
    pub fn quality(&self, begin: Instant, end: Instant) -> Quality {
        let wall_ns = ns(begin, end).max(1) as f64;
        let died: Vec<&Fate> = self.all.iter().filter(|fate| (begin..=end).contains(&fate.died)).collect();
        let lags = || died.iter().filter_map(|fate| Some((fate.died, fate.gone?)));
        let births = self.births();
        let born_by = |moment: Instant| match births.partition_point(|&(born, _)| born <= moment) {
            0 => 0,
            count => births[count - 1].1,
        };
        let (mean, max) = self.floating(begin, end);
        Quality {
            looks: self.look_count.min(u32::MAX.into()) as u32,
            cost_share: self.looking_ns as f64 / wall_ns / self.node_count.max(1) as f64,
            period_ns: self.looked_over_ns / self.look_count.max(1),
            floating_bytes_mean: mean,
            floating_bytes_max: max,
            lag: Counts::of(lags().map(|(died, gone)| ns(died, gone).max(1))),
            lag_allocated_bytes: Counts::of(
                lags().map(|(died, gone)| (born_by(gone) - born_by(died)).max(1)),
            ),
            never_condemned_cells: died.iter().filter(|fate| fate.gone.is_none()).count() as u64,
        }
    }

    /// Garbage at each of these moments, which rise.
    #[must_use]
    pub fn floating_at(&self, moments: &[Instant]) -> Vec<u64> {
        let steps = self.steps();
        let mut steps = steps.iter().peekable();
        let mut bytes = 0;
        let until = |moment: &Instant| {
            while let Some((_, change)) = steps.next_if(|(at, _)| at <= moment) {
                bytes += change;
            }
            bytes.max(0) as u64
        };
        moments.iter().map(until).collect()
    }

    /// When garbage rises and falls, and by how many bytes.
    fn steps(&self) -> Vec<(Instant, i64)> {
        let rise = |fate: &Fate| (fate.died, fate.bytes as i64);
        let fall = |fate: &Fate| Some((fate.gone?, -(fate.bytes as i64)));
        let mut steps: Vec<_> = self.all.iter().map(rise).chain(self.all.iter().filter_map(fall)).collect();
        // What goes at once has not floated.
        steps.sort_unstable();
        steps
    }

    /// Garbage on average and at most.
    fn floating(&self, begin: Instant, end: Instant) -> (f64, u64) {
        let (mut bytes, mut since, mut area, mut max) = (0, begin, 0.0, 0);
        for (at, change) in self.steps().into_iter().take_while(|(at, _)| *at < end) {
            if at > begin {
                (area, max) = (area + bytes as f64 * ns(since, at) as f64, max.max(bytes));
                since = at;
            }
            bytes += change;
        }
        area += bytes as f64 * ns(since, end) as f64;
        (area / ns(begin, end).max(1) as f64, max.max(bytes).max(0) as u64)
    }

    /// When objects were born, and how many bytes there had been by then.
    fn births(&self) -> Vec<(Instant, u64)> {
        let mut births: Vec<(Instant, u64)> = self.all.iter().map(|fate| (fate.born, fate.bytes)).collect();
        births.sort_unstable();
        let mut sum = 0;
        for (_, bytes) in &mut births {
            sum += *bytes;
            *bytes = sum;
        }
        births
    }
}

fn ns(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_nanos() as u64
}

/// When the workers of each node died, by their numbers.
fn deaths(nodes: &[&Lives]) -> Vec<Vec<Instant>> {
    let mut places: FxHashMap<Handle, usize> = FxHashMap::default();
    let mut held: Vec<Instant> = Vec::new();
    let firsts: Vec<usize> = nodes
        .iter()
        .map(|lives| {
            let first = held.len();
            for thing in lives.workers() {
                places.insert(thing.handle, held.len());
                held.push(thing.born);
            }
            first
        })
        .collect();
    for (worker, &moment) in nodes.iter().flat_map(|lives| &lives.held) {
        if let Some(&place) = places.get(worker) {
            held[place] = held[place].max(moment);
        }
    }
    let mut known: Vec<Vec<usize>> = vec![Vec::new(); held.len()];
    for (lives, first) in nodes.iter().zip(&firsts) {
        for (worker, whom) in &lives.known {
            known[first + *worker as usize].extend(places.get(whom));
        }
    }
    let mut died = spread(&held, &known).into_iter();
    nodes.iter().map(|lives| died.by_ref().take(lives.workers().count()).collect()).collect()
}

/// For each the latest moment of all from which it can be reached, itself included.
fn spread(held: &[Instant], known: &[Vec<usize>]) -> Vec<Instant> {
    let mut latest_first: Vec<usize> = (0..held.len()).collect();
    latest_first.sort_unstable_by_key(|&worker| std::cmp::Reverse(held[worker]));
    let mut died: Vec<Option<Instant>> = vec![None; held.len()];
    let mut pending = Vec::new();
    for from in latest_first {
        pending.push(from);
        while let Some(worker) = pending.pop() {
            if died[worker].is_none() {
                died[worker] = Some(held[from]);
                pending.extend(&known[worker]);
            }
        }
    }
    died.into_iter().zip(held).map(|(died, &held)| died.unwrap_or(held)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const WORKERS: usize = 8;

    /// What happens at one moment.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A node begins to hold a worker by itself.
        Hold(usize, usize),
        /// It lets go of it.
        LetGo(usize, usize),
        /// The first one comes to know the second one.
        Know(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..2_usize, 0..WORKERS).prop_map(|(node, worker)| Step::Hold(node, worker)),
            (0..2_usize, 0..WORKERS).prop_map(|(node, worker)| Step::LetGo(node, worker)),
            (0..WORKERS, 0..WORKERS).prop_map(|(worker, whom)| Step::Know(worker, whom)),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// Which workers can be reached from those that some node holds.
    fn reached(held: &[[bool; WORKERS]; 2], known: &[Vec<usize>]) -> [bool; WORKERS] {
        let mut reached = [false; WORKERS];
        let mut pending: Vec<usize> =
            (0..WORKERS).filter(|&worker| held.iter().any(|held| held[worker])).collect();
        while let Some(worker) = pending.pop() {
            if !std::mem::replace(&mut reached[worker], true) {
                pending.extend(&known[worker]);
            }
        }
        reached
    }

    proptest! {
        #[test]
        fn the_dead_are_those_that_cannot_be_reached_from_that_moment_on(steps in steps()) {
            let begun = Instant::now();
            let moment = |number: usize| begun + Duration::from_micros(number as u64);
            // Both nodes hold everybody at first, and nobody at the end.
            let mut holding = [[true; WORKERS]; 2];
            let mut known = vec![Vec::new(); WORKERS];
            let mut held = vec![moment(0); WORKERS];
            let mut alive_until = [moment(0); WORKERS];
            for (number, &step) in steps.iter().enumerate() {
                let now = moment(number + 1);
                let alive = reached(&holding, &known);
                alive.iter().zip(&mut alive_until).filter(|(alive, _)| **alive).for_each(|(_, until)| *until = now);
                match step {
                    // Nobody comes back from the dead, and the dead do nothing.
                    Step::Hold(node, worker) => holding[node][worker] |= alive[worker],
                    Step::Know(worker, whom) if alive[worker] && alive[whom] => known[worker].push(whom),
                    Step::Know(..) => {}
                    Step::LetGo(node, worker) => {
                        if std::mem::take(&mut holding[node][worker]) {
                            held[worker] = now;
                        }
                    }
                }
            }
            let now = moment(steps.len() + 1);
            let alive = reached(&holding, &known);
            alive.iter().zip(&mut alive_until).filter(|(alive, _)| **alive).for_each(|(_, until)| *until = now);
            for (worker, held) in held.iter_mut().enumerate() {
                if holding.iter().any(|holding| holding[worker]) {
                    *held = now;
                }
            }
            prop_assert_eq!(spread(&held, &known), alive_until.to_vec());
        }
    }

    fn fate(cell: u32, bytes: u64, born: u64, died: u64, gone: Option<u64>, begun: Instant) -> Fate {
        let at = |ms| begun + Duration::from_millis(ms);
        let handle = Handle { node: 1, incarnation: 1, cell, generation: 0 };
        Fate { handle, bytes, born: at(born), died: at(died), gone: gone.map(at) }
    }

    #[test]
    fn what_floats_is_what_has_died_and_is_not_gone() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let all = vec![
            fate(1, 100, 0, 10, Some(30), begun),
            fate(2, 50, 20, 20, None, begun),
            fate(3, 7, 25, 90, Some(95), begun),
        ];
        let fates = Fates { all, node_count: 1, look_count: 9, looking_ns: 4_000_000, looked_over_ns: 90 };
        assert_eq!(
            fates.floating_at(&[at(5), at(10), at(20), at(29), at(30), at(200)]),
            [0, 100, 150, 150, 50, 50]
        );
        let quality = fates.quality(at(0), at(40));
        // 100 bytes for 20 of 40 ms, 50 for another 20.
        assert_eq!((quality.floating_bytes_mean, quality.floating_bytes_max), (75.0, 150));
        assert_eq!((quality.lag.max, quality.lag.count(), quality.never_condemned_cells), (20_000_000, 1, 1));
        // Two were born while the first one was dead.
        assert_eq!((quality.lag_allocated_bytes.max, quality.period_ns, quality.looks), (57, 10, 9));
        assert!((quality.cost_share - 0.1).abs() < 1e-9, "{quality:?}");
        let late = fates.quality(at(25), at(30));
        assert_eq!((late.floating_bytes_mean, late.floating_bytes_max, late.lag.count()), (150.0, 150, 0));
        assert_eq!(fates.too_early(), None);
    }

    #[test]
    fn what_goes_before_it_dies_is_found() {
        let begun = Instant::now();
        let all = vec![fate(1, 32, 0, 5, Some(6), begun), fate(2, 32, 0, 5, Some(4), begun)];
        let early = Fates { all, ..Fates::default() }.too_early();
        assert_eq!(early.map(|handle| handle.cell), Some(2));
    }
}
