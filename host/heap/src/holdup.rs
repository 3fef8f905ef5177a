//! Hold-ups: how long operations of mutators were kept from going on, and by what.
//!
//! Whoever is held up notes it here, by cause, in counters that all mutators of a heap share: it happens some ten times in a cycle and mutator,
//! and takes a microsecond, so a shared line costs nothing. Anybody may read meanwhile; nothing here is a lock.
//!
//! Beside the time on the wall stands the time that the thread was running. What differs for an operation that waits for nobody
//! ([`Holdup::Handshake`], [`Holdup::Log`]) is what the kernel gave to others: it fell into the section that is timed as it would have fallen into any
//! other instruction, and no collector can do anything about it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use gc_memory::clock::running_ns;

use crate::limits::HOLDUPS_LISTED_MAX;
use crate::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, at_once, lock, read};

/// What an operation was held up by.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Holdup {
    /// It carried out what the collector asks of every mutator. Waits for nobody.
    Handshake,
    /// It needed another piece of memory for its log. Waits for nobody.
    Log,
    /// It looked up an object whose fate was being decided, and waited for the decision.
    Lookup,
    /// The heap was full, and it waited for the collector to make room.
    Room,
    /// The heap was nearly full, and it was slowed so that the collector gets done before it is.
    Brake,
    /// It needed a lock that another thread held: of the table of roots, of the free cells, or of the decisions.
    Lock,
}

/// All of them, in the order of [`Holdups::causes`].
const CAUSES: [Holdup; 6] =
    [Holdup::Handshake, Holdup::Log, Holdup::Lookup, Holdup::Room, Holdup::Brake, Holdup::Lock];

impl Holdup {
    /// The word used in log lines and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Holdup::Handshake => "handshake",
            Holdup::Log => "log",
            Holdup::Lookup => "lookup",
            Holdup::Room => "room",
            Holdup::Brake => "brake",
            Holdup::Lock => "lock",
        }
    }
}

/// Hold-ups of one cause. Nanoseconds.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct HoldupsBy {
    /// What it was.
    pub cause: Holdup,
    /// How often.
    pub count: u64,
    /// All together.
    pub sum_ns: u64,
    /// Longest, on the wall.
    pub max_ns: u64,
    /// The most time that a thread was running in one. Much less than `max_ns` for a cause that waits for nobody means that the kernel had put
    /// the mutator aside. 0 where the system does not tell.
    pub max_running_ns: u64,
}

/// How long operations of mutators were held up. Nanoseconds on the wall.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Holdups {
    /// How often.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// All together.
    pub sum_ns: u64,
    /// The same by cause.
    pub causes: [HoldupsBy; CAUSES.len()],
}

impl Default for Holdups {
    fn default() -> Holdups {
        HoldupCounts::default().present()
    }
}

/// One hold-up, for who lists them: see [`Heap::list_holdups`](crate::Heap::list_holdups).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// By what.
    pub cause: Holdup,
    /// Since when.
    pub begun: Instant,
    /// For how long, on the wall.
    pub wall_ns: u64,
    /// For how much of that the thread was running. 0 where the system does not tell.
    pub running_ns: u64,
    /// Whose operation.
    pub thread: ThreadId,
}

/// When a hold-up began.
pub(crate) struct Begun {
    wall: Instant,
    running_ns: u64,
}

impl Begun {
    pub(crate) fn now() -> Begun {
        Begun { running_ns: running_ns(), wall: Instant::now() }
    }

    /// How long that is ago, and for how much of it the thread was running, where the system tells.
    pub(crate) fn elapsed(&self) -> (Duration, Option<Duration>) {
        let running = running_ns().checked_sub(self.running_ns).filter(|_| self.running_ns > 0);
        (self.wall.elapsed(), running.map(Duration::from_nanos))
    }
}

/// Values below this have a bucket each.
const EXACT: u64 = 64;
/// Buckets per doubling above that: what is read back is at most 1/32 too long.
const PER_DOUBLING: usize = 32;
/// Doublings: up to 2^37 ns, two minutes. What is longer counts as that long in quantiles.
const DOUBLINGS: usize = 31;
const BUCKETS: usize = EXACT as usize + DOUBLINGS * PER_DOUBLING;

#[derive(Default)]
struct CauseCounts {
    count: AtomicU64,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
    max_running_ns: AtomicU64,
}

/// The counters of a heap: 9 KiB.
pub(crate) struct HoldupCounts {
    buckets: Box<[AtomicU64]>,
    causes: [CauseCounts; CAUSES.len()],
    /// Whether each hold-up is listed too.
    listing: AtomicBool,
    list: Mutex<Vec<HeldUp>>,
}

impl Default for HoldupCounts {
    fn default() -> HoldupCounts {
        let buckets = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        HoldupCounts {
            buckets,
            causes: Default::default(),
            listing: AtomicBool::new(false),
            list: Mutex::new(Vec::new()),
        }
    }
}

impl HoldupCounts {
    /// Notes what began then and ends here.
    pub(crate) fn note(&self, cause: Holdup, begun: &Begun) {
        let wall_ns = begun.wall.elapsed().as_nanos() as u64;
        let running_ns = running_ns().saturating_sub(begun.running_ns);
        self.add(cause, wall_ns, running_ns);
        if self.listing.load(Ordering::Relaxed) {
            let mut list = lock(&self.list);
            if list.len() < HOLDUPS_LISTED_MAX {
                let thread = std::thread::current().id();
                list.push(HeldUp { cause, begun: begun.wall, wall_ns, running_ns, thread });
            }
        }
    }

    /// Lists each hold-up from here on.
    pub(crate) fn list(&self) {
        self.listing.store(true, Ordering::Relaxed);
    }

    /// What was listed, and lists anew.
    pub(crate) fn take_list(&self) -> Vec<HeldUp> {
        std::mem::take(&mut lock(&self.list))
    }

    /// Takes a lock that others hold for a few instructions each. Notes how long it took when somebody did.
    pub(crate) fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> MutexGuard<'m, T> {
        at_once(mutex.try_lock()).unwrap_or_else(|| self.waiting(|| lock(mutex)))
    }

    /// The same for reading.
    pub(crate) fn read<'m, T>(&self, shared: &'m RwLock<T>) -> RwLockReadGuard<'m, T> {
        at_once(shared.try_read()).unwrap_or_else(|| self.waiting(|| read(shared)))
    }

    /// The same for writing.
    pub(crate) fn write<'m, T>(&self, shared: &'m RwLock<T>) -> RwLockWriteGuard<'m, T> {
        let wait = || shared.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        at_once(shared.try_write()).unwrap_or_else(|| self.waiting(wait))
    }

    #[cold]
    fn waiting<G>(&self, wait: impl FnOnce() -> G) -> G {
        let begun = Begun::now();
        let guard = wait();
        self.note(Holdup::Lock, &begun);
        guard
    }

    fn add(&self, cause: Holdup, wall_ns: u64, running_ns: u64) {
        let counts = &self.causes[cause as usize];
        self.buckets[bucket(wall_ns)].fetch_add(1, Ordering::Relaxed);
        counts.count.fetch_add(1, Ordering::Relaxed);
        counts.sum_ns.fetch_add(wall_ns, Ordering::Relaxed);
        counts.max_ns.fetch_max(wall_ns, Ordering::Relaxed);
        counts.max_running_ns.fetch_max(running_ns, Ordering::Relaxed);
    }

    /// What was noted. Each number was true at some moment of the call.
    pub(crate) fn present(&self) -> Holdups {
        self.sum(|counter| counter.load(Ordering::Relaxed))
    }

    /// What was noted, and begins anew.
    pub(crate) fn take(&self) -> Holdups {
        self.sum(|counter| counter.swap(0, Ordering::Relaxed))
    }

    fn sum(&self, get: impl Fn(&AtomicU64) -> u64) -> Holdups {
        let buckets: Vec<u64> = self.buckets.iter().map(&get).collect();
        let causes = CAUSES.map(|cause| {
            let counts = &self.causes[cause as usize];
            HoldupsBy {
                cause,
                count: get(&counts.count),
                sum_ns: get(&counts.sum_ns),
                max_ns: get(&counts.max_ns),
                max_running_ns: get(&counts.max_running_ns),
            }
        });
        let count = buckets.iter().sum();
        let max_ns = causes.iter().map(|by| by.max_ns).max().unwrap_or(0);
        let at = |share: f64| quantile(&buckets, count, share).min(max_ns);
        let sum_ns = causes.iter().map(|by| by.sum_ns).sum();
        Holdups { count, p50_ns: at(0.5), p99_ns: at(0.99), p999_ns: at(0.999), max_ns, sum_ns, causes }
    }
}

fn bucket(ns: u64) -> usize {
    if ns < EXACT {
        return ns as usize;
    }
    // At least 6.
    let doubling = ns.ilog2() as usize;
    let within = (ns >> (doubling - 5)) as usize % PER_DOUBLING;
    (EXACT as usize + (doubling - 6) * PER_DOUBLING + within).min(BUCKETS - 1)
}

/// The longest that falls into a bucket.
fn longest(bucket: usize) -> u64 {
    if bucket < EXACT as usize {
        return bucket as u64;
    }
    let above = bucket - EXACT as usize;
    let (doubling, within) = (above / PER_DOUBLING + 6, (above % PER_DOUBLING) as u64);
    ((PER_DOUBLING as u64 + within + 1) << (doubling - 5)) - 1
}

fn quantile(buckets: &[u64], count: u64, share: f64) -> u64 {
    let wanted = (count as f64 * share).ceil() as u64;
    let mut below = 0;
    for (at, &here) in buckets.iter().enumerate() {
        below += here;
        if below >= wanted && below > 0 {
            return longest(at);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_a_32nd_shorter_than_its_longest() {
        for shift in 0..37 {
            for ns in [1u64 << shift, (1 << shift) + 1, (1 << shift) * 3 / 2, (1 << (shift + 1)) - 1] {
                let read = longest(bucket(ns));
                assert!(read >= ns && read - ns <= ns / 32, "{ns} is read back as {read}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_and_causes_are_those_of_what_was_noted() {
        let counts = HoldupCounts::default();
        (1..=1000).for_each(|us| counts.add(Holdup::Handshake, us * 1000, 7));
        counts.add(Holdup::Lock, 9_000_000, 11);
        let read = counts.present();
        assert_eq!((read.count, read.max_ns), (1001, 9_000_000));
        for (value, wanted) in [(read.p50_ns, 500_000.0), (read.p99_ns, 990_000.0), (read.p999_ns, 1e6)] {
            assert!((value as f64 / wanted - 1.0).abs() < 0.04, "{value} for {wanted}");
        }
        let by = |cause: Holdup| read.causes.into_iter().find(|by| by.cause == cause).unwrap();
        assert_eq!((by(Holdup::Lock).count, by(Holdup::Lock).max_running_ns), (1, 11));
        assert_eq!((by(Holdup::Handshake).count, by(Holdup::Handshake).max_ns), (1000, 1_000_000));
        assert_eq!(counts.take(), read);
        assert_eq!(counts.present(), Holdups::default());
        assert_eq!(Holdups::default().max_ns, 0);
    }

    #[test]
    fn who_lists_hold_ups_gets_each_of_them_once() {
        let counts = HoldupCounts::default();
        counts.note(Holdup::Log, &Begun::now());
        assert_eq!(counts.take_list(), []);
        counts.list();
        let begun = Begun::now();
        counts.note(Holdup::Room, &begun);
        let list = counts.take_list();
        assert_eq!((list.len(), list[0].cause, list[0].begun), (1, Holdup::Room, begun.wall));
        assert_eq!(list[0].thread, std::thread::current().id());
        assert_eq!((counts.take_list().len(), counts.present().count), (0, 2));
    }
}
