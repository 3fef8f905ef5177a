//! `queue`: producers and consumers over one linked queue.
//!
//! Source: the two-lock queue of Michael and Scott (*Simple, Fast, and Practical Non-Blocking and Blocking
//! Concurrent Queue Algorithms*, PODC 1996): a list with a dummy at its head, one lock for each end. The dummy
//! that a consumer leaves behind still refers to the node after it, and so a dead node leads to a live one, and
//! all dead ones form one chain. Where one of them is old, it keeps all that came after it alive in a collector
//! that does not look at old objects (*nepotism*: Ungar and Jackson, *Tenuring Policies for Generation-Based
//! Storage Reclamation*, OOPSLA 1988); where references are counted, the chain falls like dominoes. Doug Lea's
//! `LinkedBlockingQueue` cuts the reference for that reason; so does `cut=true`.
//!
//! ```text
//!  queue ── head ──▶ dummy ──▶ node ──▶ node ──▶ ... ──▶ node ◀── tail
//!                      ▲         └▶ value                  └▶ value
//!  dead ──▶ dead ──────┘
//! ```
//!
//! What it stresses: long chains, both of live objects (marking has nothing to do side by side) and of garbage;
//! objects made by one thread and dropped by another; two old slots that are stored to all the time. Nothing is
//! drawn at random.
//!
//! **What is alive at the end**: the queue, its dummy, and as many nodes with their values as were in it before
//! the measured part: consumers take as many items as producers bring. Each consumer sees the items of one
//! producer in their order, and all items together have the sum that they must have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gc_heap::{Heap, Local, Mutator, Scope};

use crate::cost::object_bytes;
use crate::crew::{self, Post, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::latency::{LatencyLog, Recorder};
use crate::leftover::retire_leftover;
use crate::limits::{PAYLOAD_DRAWN_MAX, STEPS_PER_LOOK};
use crate::options::{Options, SpecError};
use crate::report::WorkloadReport;
use crate::settle::settle_timed;

const KNOWN: &str = "producers, consumers, length, items, size, cut, retire and quick";
const QUEUE: &str = "queue";

/// Slots of the queue.
const HEAD: u32 = 0;
const TAIL: u32 = 1;
/// Slots of a node.
const NEXT: u32 = 0;
const VALUE: u32 = 1;

/// How long a thread sleeps that finds the queue full or empty.
const PATIENCE: Duration = Duration::from_micros(100);

/// `queue[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `producers=N` | 1 | 1 | threads that bring items |
/// | `consumers=N` | 1 | 1 | threads that take items |
/// | `length=N` | 50k | 5k | items at which producers wait; half of that is in the queue at the begin and at the end |
/// | `items=N` | 2M | 200k | items that go through |
/// | `size=BYTES` | 48 | 48 | payload of a value, at least 16 |
/// | `cut=BOOL` | false | false | whether a node that leaves the queue lets go of the next one |
/// | `retire=BOOL` | false | false | whether nodes and values are retired when they leave |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Threads that bring items.
    pub producers: u32,
    /// Threads that take items.
    pub consumers: u32,
    /// Items at which producers wait.
    pub length: u64,
    /// Items that go through.
    pub items: u64,
    /// Bytes of a value.
    pub size: u64,
    /// Whether nodes that leave let go of the next one.
    pub cut: bool,
    /// Whether what leaves is retired.
    pub retire: bool,
}

impl Default for QueueSpec {
    fn default() -> QueueSpec {
        QueueSpec {
            producers: 1,
            consumers: 1,
            length: 50_000,
            items: 2_000_000,
            size: 48,
            cut: false,
            retire: false,
        }
    }
}

impl QueueSpec {
    /// The same with a tenth of the items and of the length.
    #[must_use]
    pub fn quick() -> QueueSpec {
        QueueSpec { length: 5000, items: 200_000, ..QueueSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<QueueSpec, SpecError> {
        let base = if options.quick()? { QueueSpec::quick() } else { QueueSpec::default() };
        let spec = QueueSpec {
            producers: options.or("producers", base.producers.into(), 1, 128, "1 to 128")? as u32,
            consumers: options.or("consumers", base.consumers.into(), 1, 128, "1 to 128")? as u32,
            length: options.or("length", base.length, 2, 1 << 30, "2 to 1G items")?,
            items: options.or("items", base.items, 1, 1 << 40, "a number from 1, for example 10M")?,
            size: options.or("size", base.size, 16, PAYLOAD_DRAWN_MAX, "16 to 64M bytes")?,
            cut: options.flag("cut")?.unwrap_or(base.cut),
            retire: options.flag("retire")?.unwrap_or(base.retire),
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// The most bytes that are alive at once: a full queue.
    pub(crate) fn live_bytes(&self) -> u64 {
        (self.length + u64::from(self.producers)) * (object_bytes(2, 0) + object_bytes(0, self.size))
    }
}

/// What the threads share beside the heap.
struct Ends {
    /// Held by who takes.
    head: Mutex<()>,
    /// Held by who brings.
    tail: Mutex<()>,
    /// Items that consumers may rely on to be there.
    ready: AtomicU64,
}

/// What a thread did.
#[derive(Default)]
struct Counts {
    objects: u64,
    references: u64,
    operations: u64,
    /// Sum of the numbers of the items that it took; for the end check.
    sum: u128,
    whole: bool,
}

/// Who brought an item, and which of its items it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Item {
    producer: u64,
    number: u64,
}

/// Who brings the items that are there at the begin.
const FILLER: u64 = u64::MAX;

pub(crate) fn run(
    spec: &QueueSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    let result = work(spec, heap, driver);
    if result.is_err() {
        heap.mutator().scope(|scope| scope.set_root(QUEUE, None));
    }
    result
}

fn work(spec: &QueueSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let kept = spec.length / 2;
    let ends = Ends { head: Mutex::default(), tail: Mutex::default(), ready: AtomicU64::new(kept) };
    let task = Task { phase: Phase::Build, total: Some(kept), duration: None };
    let filled =
        crew::run(heap, driver, task, vec![()], |(), post, mutator| fill(spec, &ends, kept, post, mutator))?;
    let set_up_time = begun.elapsed();
    let task = Task { phase: Phase::Mutate, total: Some(2 * spec.items), duration: None };
    let members = vec![(); (spec.producers + spec.consumers) as usize];
    let done = crew::run(heap, driver, task, members, |(), post, mutator| {
        let thread = Thread::new(spec, &ends, post);
        if post.thread < spec.producers { thread.produce(mutator) } else { thread.consume(mutator) }
    })?;
    let (mut counts, recorders): (Vec<Counts>, Vec<_>) = done.results.into_iter().unzip();
    counts.extend(filled.results);
    let sum = |count: fn(&Counts) -> u64| counts.iter().map(count).sum();
    let latency = LatencyLog::merge("item brought or taken", recorders);
    let mut report = WorkloadReport {
        objects: sum(|counts| counts.objects),
        references: sum(|counts| counts.references),
        operations: sum(|counts| counts.operations),
        threads: spec.producers + spec.consumers,
        set_up_time,
        mutate_begun: Some(done.begun),
        mutate_time: done.took,
        requests: latency.as_ref().map_or(0, LatencyLog::count),
        request_unit: "item brought or taken",
        latency,
        stopped: !counts.iter().all(|counts| counts.whole),
        ..WorkloadReport::default()
    };
    report.payload_bytes = (report.objects.saturating_sub(2)) / 2 * spec.size;
    if !report.stopped {
        let left = crew::run(
            heap,
            driver,
            Task { phase: Phase::Collect, total: None, duration: None },
            vec![()],
            |(), post, mutator| walk(spec, &ends, post, mutator),
        )?;
        let taken = counts.iter().map(|counts| counts.sum).sum::<u128>();
        check(spec, kept, taken, &left.results[0], &mut report)?;
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}

/// Nothing may be lost and nothing be doubled.
fn check(
    spec: &QueueSpec,
    kept: u64,
    taken: u128,
    left: &Counts,
    report: &mut WorkloadReport,
) -> Result<(), WorkloadError> {
    if !left.whole {
        report.stopped = true;
        return Ok(());
    }
    // Items are numbered from 1: those of the filler up to `kept`, those of producers up to their shares.
    let triangle = |count: u64| u128::from(count) * (u128::from(count) + 1) / 2;
    let brought = (0..spec.producers).map(|producer| triangle(share(spec.items, producer, spec.producers)));
    let wanted = triangle(kept) + brought.sum::<u128>();
    if left.objects != kept || taken + left.sum != wanted {
        let what =
            format!("the queue holds {} items and not {kept}, or others than were brought", left.objects);
        return Err(WorkloadError::Wrong { what });
    }
    report.expected_live = Some(2 + 2 * kept);
    report
        .checks
        .push(format!("{} items went through, {kept} are left, none was lost or doubled", spec.items));
    Ok(())
}

fn share(all: u64, thread: u32, threads: u32) -> u64 {
    all / u64::from(threads) + u64::from(u64::from(thread) < all % u64::from(threads))
}

/// An empty queue, and the items that are in it at the begin.
fn fill(
    spec: &QueueSpec,
    ends: &Ends,
    kept: u64,
    post: Post<'_>,
    mutator: &mut Mutator,
) -> Result<Counts, WorkloadError> {
    retire_leftover(mutator, QUEUE, spec.retire)?;
    mutator.scope(|scope| {
        let dummy = scope.alloc(&[None; 2], &[])?;
        let queue = scope.alloc(&[Some(dummy); 2], &[])?;
        scope.set_root(QUEUE, Some(queue));
        Ok::<_, WorkloadError>(())
    })?;
    let mut thread = Thread::new(spec, ends, post);
    thread.counts = Counts { objects: 2, references: 2, operations: 3, ..Counts::default() };
    let mut number = 0;
    while number < kept && !post.is_over() {
        let until = kept.min(number + STEPS_PER_LOOK);
        thread.some(mutator, |thread, scope, queue| {
            number += 1;
            thread.bring(scope, queue, Item { producer: FILLER, number })?;
            Ok(number < until)
        })?;
        post.tell(number);
    }
    thread.counts.whole = number == kept;
    Ok(thread.counts)
}

/// One thread: a producer, a consumer, or who looks at the queue.
struct Thread<'w> {
    spec: &'w QueueSpec,
    ends: &'w Ends,
    post: Post<'w>,
    recorder: Recorder,
    counts: Counts,
    buffer: Vec<u8>,
}

impl<'w> Thread<'w> {
    fn new(spec: &'w QueueSpec, ends: &'w Ends, post: Post<'w>) -> Thread<'w> {
        let recorder = Recorder::new(post.begun, post.thread, post.threads);
        Thread { spec, ends, post, recorder, counts: Counts::default(), buffer: Vec::new() }
    }

    /// Does steps, each in a scope of its own inside one that holds the queue, until one says that it is enough.
    fn some(
        &mut self,
        mutator: &mut Mutator,
        mut step: impl FnMut(&mut Thread<'w>, &mut Scope<'_>, Local<'_>) -> Result<bool, WorkloadError>,
    ) -> Result<(), WorkloadError> {
        mutator.scope(|scope| {
            let queue = scope.root(QUEUE).ok_or_else(|| WorkloadError::lost("the queue"))?;
            self.counts.operations += 1;
            while scope.scope(|inner| step(self, inner, queue))? {}
            Ok(())
        })
    }

    fn produce(mut self, mutator: &mut Mutator) -> Result<(Counts, Recorder), WorkloadError> {
        let producer = u64::from(self.post.thread);
        let all = share(self.spec.items, self.post.thread, self.spec.producers);
        let mut number = 0;
        while number < all && !self.post.is_over() {
            if !self.has_room() {
                std::thread::sleep(PATIENCE);
                continue;
            }
            self.recorder.restart();
            let until = all.min(number + STEPS_PER_LOOK);
            self.some(mutator, |thread, scope, queue| {
                number += 1;
                thread.bring(scope, queue, Item { producer, number })?;
                // Pairs with the Acquire in `claim`.
                thread.ends.ready.fetch_add(1, Ordering::Release);
                thread.recorder.lap();
                Ok(number < until && thread.has_room())
            })?;
            self.post.tell(number);
        }
        self.counts.whole = number == all;
        Ok((self.counts, self.recorder))
    }

    /// Producers may overshoot by one item each.
    fn has_room(&self) -> bool {
        self.ends.ready.load(Ordering::Relaxed) < self.spec.length
    }

    /// Appends an item.
    fn bring(&mut self, scope: &Scope<'_>, queue: Local<'_>, item: Item) -> Result<(), WorkloadError> {
        let pair = [item.producer.to_le_bytes(), item.number.to_le_bytes()];
        self.buffer.clear();
        self.buffer.extend(pair.as_flattened().iter().cycle().take(self.spec.size as usize));
        let value = scope.alloc(&[], &self.buffer)?;
        let node = scope.alloc(&[None, Some(value)], &[])?;
        {
            let _tail = self.ends.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let last = scope.load(queue, TAIL)?.ok_or_else(|| WorkloadError::lost("the tail"))?;
            scope.store(last, NEXT, Some(node))?;
            scope.store(queue, TAIL, Some(node))?;
        }
        self.counts.objects += 2;
        self.counts.references += 3;
        self.counts.operations += 5;
        Ok(())
    }

    fn consume(mut self, mutator: &mut Mutator) -> Result<(Counts, Recorder), WorkloadError> {
        // The latest item of each producer, and of the filler.
        let mut latest = vec![0; self.spec.producers as usize + 1];
        let consumer = self.post.thread - self.spec.producers;
        let all = share(self.spec.items, consumer, self.spec.consumers);
        let mut taken = 0;
        while taken < all && !self.post.is_over() {
            if self.ends.ready.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(PATIENCE);
                continue;
            }
            self.recorder.restart();
            let until = all.min(taken + STEPS_PER_LOOK);
            self.some(mutator, |thread, scope, queue| {
                if !thread.claim() {
                    return Ok(false);
                }
                let item = thread.take(scope, queue)?;
                thread.in_order(item, &mut latest)?;
                thread.counts.sum += u128::from(item.number);
                thread.recorder.lap();
                taken += 1;
                Ok(taken < until)
            })?;
            self.post.tell(taken);
        }
        self.counts.whole = taken == all;
        Ok((self.counts, self.recorder))
    }

    /// Takes one of the items that are ready for itself.
    fn claim(&self) -> bool {
        let one_less = |ready: u64| ready.checked_sub(1);
        // Acquire: pairs with the Release of who brought it; the node is linked.
        self.ends.ready.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_less).is_ok()
    }

    /// Removes the first item. The node that held it becomes the dummy.
    fn take(&mut self, scope: &Scope<'_>, queue: Local<'_>) -> Result<Item, WorkloadError> {
        let (dummy, value) = {
            let _head = self.ends.head.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let dummy = scope.load(queue, HEAD)?.ok_or_else(|| WorkloadError::lost("the head"))?;
            let first = scope.load(dummy, NEXT)?.ok_or_else(|| WorkloadError::lost("the first item"))?;
            let value = scope.load(first, VALUE)?.ok_or_else(|| WorkloadError::lost("a value"))?;
            scope.store(first, VALUE, None)?;
            scope.store(queue, HEAD, Some(first))?;
            if self.spec.cut {
                scope.store(dummy, NEXT, None)?;
            }
            (dummy, value)
        };
        self.counts.operations += 5 + u64::from(self.spec.cut);
        let item = self.item(scope, value)?;
        if self.spec.retire {
            scope.retire(dummy);
            scope.retire(value);
            self.counts.operations += 2;
        }
        Ok(item)
    }

    /// Reads an item and checks that its payload is whole.
    fn item(&mut self, scope: &Scope<'_>, value: Local<'_>) -> Result<Item, WorkloadError> {
        self.counts.operations += 1;
        self.buffer.clear();
        scope.read(value, &mut self.buffer);
        let words = self.buffer.as_chunks::<8>().0;
        let word = |at: usize| words.get(at).copied().map_or(0, u64::from_le_bytes);
        let item = Item { producer: word(0), number: word(1) };
        let pair = [item.producer.to_le_bytes(), item.number.to_le_bytes()];
        let mut right = pair.as_flattened().iter().cycle();
        let known = item.producer == FILLER || item.producer < self.spec.producers.into();
        let whole = self.buffer.len() as u64 == self.spec.size;
        if known && whole && self.buffer.iter().all(|byte| Some(byte) == right.next()) {
            return Ok(item);
        }
        let what = "a payload that is none of an item was found".to_owned();
        Err(WorkloadError::Corrupted { what, object: scope.handle(value).to_string() })
    }

    fn in_order(&self, item: Item, latest: &mut [u64]) -> Result<(), WorkloadError> {
        let place = item.producer.min(self.spec.producers.into()) as usize;
        let before = std::mem::replace(&mut latest[place], item.number);
        if item.number > before {
            return Ok(());
        }
        let what = format!("item {} of a producer came after its item {before}", item.number);
        Err(WorkloadError::Wrong { what })
    }
}

/// Counts what is in the queue, from its head to its tail.
fn walk(
    spec: &QueueSpec,
    ends: &Ends,
    post: Post<'_>,
    mutator: &mut Mutator,
) -> Result<Counts, WorkloadError> {
    let mut thread = Thread::new(spec, ends, post);
    let mut at = mutator.scope(|scope| {
        let head = scope.root(QUEUE).and_then(|queue| scope.load(queue, HEAD).ok().flatten());
        head.map(|head| scope.handle(head)).ok_or_else(|| WorkloadError::lost("the head"))
    })?;
    let mut left = Counts::default();
    loop {
        if left.objects.is_multiple_of(STEPS_PER_LOOK) && post.is_over() {
            return Ok(left);
        }
        let next = mutator.scope(|scope| {
            let node = scope.resolve(at)?;
            let Some(next) = scope.load(node, NEXT)? else { return Ok::<_, WorkloadError>(None) };
            let value = scope.load(next, VALUE)?.ok_or_else(|| WorkloadError::lost("a value"))?;
            left.sum += u128::from(thread.item(scope, value)?.number);
            left.objects += 1;
            Ok(Some(scope.handle(next)))
        })?;
        match next {
            Some(next) => at = next,
            None => return Ok(Counts { whole: true, ..left }),
        }
    }
}
