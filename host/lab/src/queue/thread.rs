//! What the threads do with the queue: fill it, bring, take, and count what is left.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gc_heap::{Local, Mutator, Scope};

use super::QUEUE;
use super::spec::QueueSpec;
use crate::cost::Effort;
use crate::crew::{self, Post};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::leftover::retire_leftover;
use crate::limits::STEPS_PER_LOOK;

/// Slots of the queue.
const HEAD: u32 = 0;
const TAIL: u32 = 1;
/// Slots of a node.
const NEXT: u32 = 0;
const VALUE: u32 = 1;

/// How long a thread sleeps that finds the queue full or empty.
const PATIENCE: Duration = Duration::from_micros(100);

/// What the threads share beside the heap.
pub(super) struct Ends {
    /// Held by who takes.
    pub(super) head: Mutex<()>,
    /// Held by who brings.
    pub(super) tail: Mutex<()>,
    /// Items that consumers may rely on to be there.
    pub(super) ready: AtomicU64,
}

/// What a thread did.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) effort: Effort,
    /// Of who counts what is left: how many there are.
    pub(super) items: u64,
    /// Sum of the numbers of the items that it took; for the end check.
    pub(super) sum: u128,
    pub(super) whole: bool,
}

/// Who brought an item, and which of its items it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Item {
    producer: u64,
    number: u64,
}

/// Who brings the items that are there at the begin.
const FILLER: u64 = u64::MAX;

/// An empty queue, and the items that are in it at the begin.
pub(super) fn fill(
    spec: &QueueSpec,
    ends: &Ends,
    kept: u64,
    post: Post<'_>,
    mutator: &mut Mutator,
) -> Result<Counts, WorkloadError> {
    retire_leftover(mutator, QUEUE, spec.retire)?;
    let mut thread = Thread::new(spec, ends, post);
    mutator.scope(|scope| {
        let dummy = thread.counts.effort.alloc(scope, &[None; 2], &[])?;
        let queue = thread.counts.effort.alloc(scope, &[Some(dummy); 2], &[])?;
        scope.set_root(QUEUE, Some(queue));
        Ok::<_, WorkloadError>(())
    })?;
    thread.counts.effort.operations += 1;
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
pub(super) struct Thread<'w> {
    spec: &'w QueueSpec,
    ends: &'w Ends,
    post: Post<'w>,
    recorder: Recorder,
    counts: Counts,
    buffer: Vec<u8>,
}

impl<'w> Thread<'w> {
    pub(super) fn new(spec: &'w QueueSpec, ends: &'w Ends, post: Post<'w>) -> Thread<'w> {
        Thread { spec, ends, post, recorder: post.recorder(), counts: Counts::default(), buffer: Vec::new() }
    }

    /// Does steps, each in a scope of its own inside one that holds the queue, until one says that it is enough.
    fn some(
        &mut self,
        mutator: &mut Mutator,
        mut step: impl FnMut(&mut Thread<'w>, &mut Scope<'_>, Local<'_>) -> Result<bool, WorkloadError>,
    ) -> Result<(), WorkloadError> {
        mutator.scope(|scope| {
            let queue = scope.root(QUEUE).ok_or_else(|| WorkloadError::lost("the queue"))?;
            self.counts.effort.operations += 1;
            while scope.scope(|inner| step(self, inner, queue))? {}
            Ok(())
        })
    }

    pub(super) fn produce(mut self, mutator: &mut Mutator) -> Result<(Counts, Recorder), WorkloadError> {
        let producer = u64::from(self.post.thread);
        let all = crew::share(self.spec.items, self.post.thread, self.spec.producers);
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
        let effort = &mut self.counts.effort;
        let value = effort.alloc(scope, &[], &self.buffer)?;
        let node = effort.alloc(scope, &[None, Some(value)], &[])?;
        {
            let _tail = self.ends.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let last = effort.load(scope, queue, TAIL, "the tail")?;
            effort.store(scope, last, NEXT, Some(node))?;
            effort.store(scope, queue, TAIL, Some(node))?;
        }
        Ok(())
    }

    pub(super) fn consume(mut self, mutator: &mut Mutator) -> Result<(Counts, Recorder), WorkloadError> {
        // The latest item of each producer, and of the filler.
        let mut latest = vec![0; self.spec.producers as usize + 1];
        let consumer = self.post.thread - self.spec.producers;
        let all = crew::share(self.spec.items, consumer, self.spec.consumers);
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
            let effort = &mut self.counts.effort;
            let dummy = effort.load(scope, queue, HEAD, "the head")?;
            let first = effort.load(scope, dummy, NEXT, "the first item")?;
            let value = effort.load(scope, first, VALUE, "a value")?;
            effort.store(scope, first, VALUE, None)?;
            effort.store(scope, queue, HEAD, Some(first))?;
            if self.spec.cut {
                effort.store(scope, dummy, NEXT, None)?;
            }
            (dummy, value)
        };
        let item = self.item(scope, value)?;
        if self.spec.retire {
            self.counts.effort.retire(scope, dummy);
            self.counts.effort.retire(scope, value);
        }
        Ok(item)
    }

    /// Reads an item and checks that its payload is whole.
    fn item(&mut self, scope: &Scope<'_>, value: Local<'_>) -> Result<Item, WorkloadError> {
        self.counts.effort.operations += 1;
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
pub(super) fn walk(
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
        if left.items.is_multiple_of(STEPS_PER_LOOK) && post.is_over() {
            return Ok(left);
        }
        let next = mutator.scope(|scope| {
            let node = scope.resolve(at)?;
            let Some(next) = scope.load(node, NEXT)? else { return Ok::<_, WorkloadError>(None) };
            let value = scope.load(next, VALUE)?.ok_or_else(|| WorkloadError::lost("a value"))?;
            left.sum += u128::from(thread.item(scope, value)?.number);
            left.items += 1;
            Ok(Some(scope.handle(next)))
        })?;
        match next {
            Some(next) => at = next,
            None => return Ok(Counts { whole: true, ..left }),
        }
    }
}
