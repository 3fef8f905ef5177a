//! Where a replay takes place: the steps of mutators, the threads that carry them out one at a time, and what they share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gc_heap::limits::{ACCOUNT_BYTES, CELL_BYTES};
use gc_heap::{Handle, Heap, HeapError, Local, Mutator, Pin, Scope};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::driver::{CollectFailed, Driver};
use crate::error::{TraceError, WorkloadError};

/// Cycles that a deterministic replay runs in a row before it takes the heap for full.
const FULL_CYCLES: u32 = 3;

/// Longest sleep without a look at whether the replay is to stop.
const NAP: Duration = Duration::from_millis(50);

/// How fast a trace is replayed, and who begins cycles.
pub enum Pace<'a> {
    /// As fast as it goes. Cycles are begun by whoever does so for any mutators.
    Free,
    /// Not before the time at which it was recorded.
    Recorded,
    /// As fast as it goes, with cycles at the same places each time: run by this, between two operations.
    Deterministic(&'a dyn Clockwork),
}

/// Runs cycles for a deterministic replay. It must begin none by itself meanwhile.
pub trait Clockwork: Sync {
    /// Runs a cycle from begin to end.
    ///
    /// # Errors
    ///
    /// [`CollectFailed`] when there will be no cycle.
    fn cycle(&self, cause: Due) -> Result<Ticked, CollectFailed>;
}

/// Why a deterministic replay wants a cycle.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Due {
    /// The bytes in use have reached the goal.
    Goal,
    /// There is no room for the next object.
    Full,
    /// The replay has come to its end.
    End,
}

/// What came of a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticked {
    /// Bytes in use at which the next one is due.
    pub goal_bytes: u64,
    /// Objects condemned.
    pub condemned_objects: u64,
    /// Everything about it that must be the same in every replay. Goes into the digest, with which cells are there after it.
    pub facts: String,
}

/// One thing that a thread does. Objects are named by their place among what the mutator holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Close,
    /// Its references are in the batch, one more than the place, 0 for null. `named`: it will be looked up by its handle, by this recorded cell.
    Alloc {
        slots: u32,
        given: (u32, u32),
        payload_bytes: u32,
        named: Option<u32>,
    },
    Load {
        object: u32,
        slot: u32,
        come: Come,
    },
    Store {
        object: u32,
        slot: u32,
        value: Option<u32>,
    },
    Read {
        object: u32,
    },
    Retire {
        object: u32,
    },
    /// By the handle of what was allocated last in this recorded cell.
    Find {
        cell: u32,
    },
    Gone,
    RootSet {
        name: std::sync::Arc<str>,
        value: Option<u32>,
    },
    RootGet {
        name: std::sync::Arc<str>,
        come: Come,
    },
    Pin {
        place: u32,
        object: u32,
    },
    PinRead {
        place: u32,
        come: Come,
    },
    Unpin {
        place: u32,
    },
    /// Keeps an object until it is taken.
    Hold {
        object: u32,
        key: u64,
    },
    Take {
        key: u64,
    },
    Leave,
}

/// What becomes of what a load finds.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Come {
    /// It found nothing in the recording.
    Nothing,
    /// The mutator holds it.
    Held,
    /// The mutator comes by its object in the next step.
    Otherwise,
}

/// Steps of one mutator in a row.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Which batch of the replay this is: they are carried out in this order.
    pub(super) ticket: u64,
    /// When it was recorded, in microseconds.
    pub(super) at_us: u64,
    pub(super) steps: Vec<Step>,
    pub(super) operands: Vec<u32>,
}

/// Sums over all threads.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) objects: u64,
    pub(super) payload_bytes: u64,
    pub(super) references: u64,
    pub(super) cycles: u64,
    pub(super) late: Duration,
    pub(super) digest: Option<String>,
}

/// What the threads share. One of them works at a time, so nobody waits for a lock.
#[derive(Default)]
struct Props {
    handles: FxHashMap<u32, Handle>,
    pins: FxHashMap<u32, Pin>,
    holds: FxHashMap<u64, Pin>,
    tally: Tally,
    digest: Sha256,
    failure: Option<WorkloadError>,
}

/// See the module.
pub(super) struct Stage<'a> {
    heap: &'a Heap,
    pace: &'a Pace<'a>,
    driver: &'a dyn Driver,
    begun: Instant,
    /// Batches done.
    done: Mutex<u64>,
    advanced: Condvar,
    over: AtomicBool,
    goal_bytes: AtomicU64,
    props: Mutex<Props>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Stage<'a> {
    pub(super) fn new(heap: &'a Heap, pace: &'a Pace<'a>, driver: &'a dyn Driver) -> Stage<'a> {
        Stage {
            heap,
            pace,
            driver,
            begun: Instant::now(),
            done: Mutex::new(0),
            advanced: Condvar::new(),
            over: AtomicBool::new(false),
            goal_bytes: AtomicU64::new(FIRST_GOAL_BYTES.min(heap.config().limit_bytes / 2)),
            props: Mutex::default(),
        }
    }

    /// Everybody goes home, because of this if it is the first reason.
    pub(super) fn fail(&self, error: WorkloadError) {
        lock(&self.props).failure.get_or_insert(error);
        self.stop();
    }

    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
        // Under the lock, so that nobody looks just before and sleeps just after.
        drop(lock(&self.done));
        self.advanced.notify_all();
    }

    pub(super) fn is_paced(&self) -> bool {
        matches!(self.pace, Pace::Recorded)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Cycles until nothing more is condemned, for a deterministic replay; then the sums.
    pub(super) fn end(self) -> Result<Tally, WorkloadError> {
        if let Some(failure) = lock(&self.props).failure.take() {
            return Err(failure);
        }
        lock(&self.props).pins.clear();
        if let Pace::Deterministic(clockwork) = self.pace {
            for _ in 0..crate::limits::FINAL_CYCLES_MAX {
                if self.cycle(*clockwork, Due::End)? == 0 {
                    break;
                }
            }
        }
        let props = self.props.into_inner().unwrap_or_else(PoisonError::into_inner);
        let digest =
            matches!(self.pace, Pace::Deterministic(_)).then(|| hexadecimal(&props.digest.finalize()));
        Ok(Tally { digest, ..props.tally })
    }

    /// Waits for the turn of a batch, and for its time. Answers whether it is to be carried out.
    fn begin(&self, batch: &Batch) -> bool {
        let mut done = lock(&self.done);
        while *done != batch.ticket && !self.is_over() {
            done = self.advanced.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
        drop(done);
        if matches!(self.pace, Pace::Recorded) {
            self.wait_until(Duration::from_micros(batch.at_us));
        }
        !self.is_over()
    }

    fn wait_until(&self, due: Duration) {
        loop {
            let now = self.begun.elapsed();
            let Some(left) = due.checked_sub(now).filter(|left| !left.is_zero()) else {
                let mut props = lock(&self.props);
                props.tally.late = props.tally.late.max(now - due);
                return;
            };
            if self.is_over() || self.driver.stop_requested() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    fn finish(&self, ticket: u64) {
        *lock(&self.done) = ticket + 1;
        self.advanced.notify_all();
    }

    // Cycles of a deterministic replay.

    /// Before an object of so many bytes, so that no allocation waits for a collector that runs beside it.
    fn make_room(&self, bytes: u64) -> Result<(), WorkloadError> {
        let Pace::Deterministic(clockwork) = self.pace else { return Ok(()) };
        for _ in 0..FULL_CYCLES {
            if self.heap.used().bytes + bytes + ACCOUNT_BYTES <= self.heap.config().limit_bytes {
                break;
            }
            self.cycle(*clockwork, Due::Full)?;
        }
        Ok(())
    }

    /// Answers whether a cycle was run that may have made room.
    fn compact(&self) -> Result<bool, WorkloadError> {
        let Pace::Deterministic(clockwork) = self.pace else { return Ok(false) };
        self.cycle(*clockwork, Due::Full).map(|_| true)
    }

    fn after_allocation(&self) -> Result<(), WorkloadError> {
        let Pace::Deterministic(clockwork) = self.pace else { return Ok(()) };
        if self.heap.used().bytes >= self.goal_bytes.load(Ordering::Relaxed) {
            self.cycle(*clockwork, Due::Goal)?;
        }
        Ok(())
    }

    fn cycle(&self, clockwork: &dyn Clockwork, cause: Due) -> Result<u64, WorkloadError> {
        let ticked = clockwork.cycle(cause)?;
        self.goal_bytes.store(ticked.goal_bytes, Ordering::Relaxed);
        let mut props = lock(&self.props);
        props.tally.cycles += 1;
        props.digest.update(format!("{cause:?} {} {}\n", ticked.goal_bytes, ticked.facts));
        for (index, word) in (0_u64..).zip(self.heap.graph().allocated()) {
            let word = word.load(Ordering::Relaxed);
            if word != 0 {
                props.digest.update(index.to_le_bytes());
                props.digest.update(word.to_le_bytes());
            }
        }
        Ok(ticked.condemned_objects)
    }
}

/// Bytes in use at which the first cycle of a deterministic replay is due, unless half the heap is less.
const FIRST_GOAL_BYTES: u64 = 4 << 20;

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the steps of a thread come from.
struct Feed<'a> {
    stage: &'a Stage<'a>,
    inlet: Receiver<Batch>,
    batch: Batch,
    at: usize,
    begun: bool,
    tally: Tally,
    payload: Vec<u8>,
    read: Vec<u8>,
}

impl Feed<'_> {
    fn next(&mut self) -> Option<Step> {
        while self.at == self.batch.steps.len() {
            self.finish();
            self.batch = self.inlet.recv().ok()?;
            self.at = 0;
            if !self.stage.begin(&self.batch) {
                return None;
            }
            self.begun = true;
        }
        self.at += 1;
        Some(self.batch.steps[self.at - 1].clone())
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.stage.finish(self.batch.ticket);
        }
    }

    fn payload(&mut self, bytes: u32) -> &[u8] {
        let bytes = bytes as usize;
        if self.payload.len() < bytes {
            self.payload = (0..=u8::MAX).cycle().take(bytes.next_power_of_two()).collect();
        }
        &self.payload[..bytes]
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        let mut props = lock(&self.stage.props);
        let all = &mut props.tally;
        all.objects += self.tally.objects;
        all.payload_bytes += self.tally.payload_bytes;
        all.references += self.tally.references;
        drop(props);
        if std::thread::panicking() {
            self.stage.fail(WorkloadError::Panicked);
        }
    }
}

/// Whether a mutator goes on.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Flow {
    On,
    Leave,
}

/// Carries out what one recorded mutator did. What it leaves is left within its last batch, so that the order of all that happens is that of the batches.
pub(super) fn play(stage: &Stage<'_>, inlet: Receiver<Batch>) {
    let batch = Batch::default();
    let mut feed = Feed {
        stage,
        inlet,
        batch,
        at: 0,
        begun: false,
        tally: Tally::default(),
        payload: Vec::new(),
        read: Vec::new(),
    };
    let mut mutator: Option<Mutator> = None;
    let played = loop {
        match feed.next() {
            None | Some(Step::Leave) => break Ok(()),
            Some(Step::Open) => {
                let mutator = mutator.get_or_insert_with(|| stage.heap.mutator());
                match mutator.scope(|scope| act(scope, None, &mut feed)) {
                    Ok(Flow::On) => {}
                    Ok(Flow::Leave) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
            Some(Step::Unpin { place }) => drop(lock(&stage.props).pins.remove(&place)),
            Some(step) => break Err(diverged(format!("{step:?} outside of any scope"))),
        }
    };
    drop(mutator);
    if let Err(error) = played {
        stage.fail(error);
    }
    feed.finish();
}

/// What an open scope holds, and those around it.
trait Holds {
    fn local(&self, index: u32) -> Option<Local<'_>>;
}

struct Frame<'f, 's> {
    outer: Option<&'f dyn Holds>,
    base: u32,
    locals: Vec<Local<'s>>,
}

impl Holds for Frame<'_, '_> {
    fn local(&self, index: u32) -> Option<Local<'_>> {
        match index.checked_sub(self.base) {
            Some(own) => self.locals.get(own as usize).copied(),
            None => self.outer?.local(index),
        }
    }
}

impl Frame<'_, '_> {
    fn get(&self, index: u32) -> Result<Local<'_>, WorkloadError> {
        self.local(index).ok_or_else(|| diverged(format!("the mutator holds no object {index}")))
    }

    fn end(&self) -> u32 {
        self.base + self.locals.len() as u32
    }
}

fn diverged(what: String) -> WorkloadError {
    WorkloadError::Trace(TraceError::Diverged { what })
}

/// The steps of one scope.
fn act<'s>(
    scope: &mut Scope<'s>,
    outer: Option<(&dyn Holds, u32)>,
    feed: &mut Feed<'_>,
) -> Result<Flow, WorkloadError> {
    let (outer, base) = outer.map_or((None, 0), |(outer, base)| (Some(outer), base));
    let mut frame: Frame<'_, 's> = Frame { outer, base, locals: Vec::new() };
    loop {
        match feed.next() {
            None | Some(Step::Leave) => return Ok(Flow::Leave),
            Some(Step::Close) => return Ok(Flow::On),
            Some(Step::Open) => {
                let around = Some((&frame as &dyn Holds, frame.end()));
                if scope.scope(|inner| act(inner, around, feed))? == Flow::Leave {
                    return Ok(Flow::Leave);
                }
            }
            Some(step) => {
                if let Some(local) = carry_out(scope, &frame, feed, step)? {
                    frame.locals.push(local);
                }
            }
        }
    }
}

/// One step. Answers what the mutator comes by.
fn carry_out<'s>(
    scope: &mut Scope<'s>,
    frame: &Frame<'_, 's>,
    feed: &mut Feed<'_>,
    step: Step,
) -> Result<Option<Local<'s>>, WorkloadError> {
    let stage = feed.stage;
    match step {
        Step::Alloc { slots, given, payload_bytes, named } => {
            let local = allocate(scope, frame, feed, (slots, given, payload_bytes))?;
            if let Some(cell) = named {
                lock(&stage.props).handles.insert(cell, scope.handle(local));
            }
            stage.after_allocation()?;
            return Ok(Some(local));
        }
        Step::Load { object, slot, come } => {
            let object = frame.get(object)?;
            return come_by(scope, come, |scope| Ok(scope.load(object, slot)?));
        }
        Step::Store { object, slot, value } => {
            feed.tally.references += u64::from(value.is_some());
            let value = value.map(|value| frame.get(value)).transpose()?;
            scope.store(frame.get(object)?, slot, value)?;
        }
        Step::Read { object } => {
            feed.read.clear();
            scope.read(frame.get(object)?, &mut feed.read);
        }
        Step::Retire { object } => scope.retire(frame.get(object)?),
        Step::Find { cell } => {
            let handle = lock(&stage.props).handles.get(&cell).copied();
            let handle = handle.ok_or_else(|| diverged(format!("cell {cell} has no object yet")))?;
            return Ok(Some(scope.resolve(handle)?));
        }
        Step::Gone => {
            let config = stage.heap.config();
            let (node, incarnation) = (config.node, config.incarnation);
            // No object is in cell 0: a look-up in vain.
            let _ = scope.resolve(Handle { node, incarnation, cell: 0, generation: 0 });
        }
        Step::RootSet { name, value } => {
            let value = value.map(|value| frame.get(value)).transpose()?;
            scope.set_root(&name, value);
        }
        Step::RootGet { name, come } => return come_by(scope, come, |scope| Ok(scope.root(&name))),
        Step::Pin { place, object } => {
            let pin = scope.pin(frame.get(object)?);
            drop(lock(&stage.props).pins.insert(place, pin));
        }
        Step::PinRead { place, come } => {
            let props = lock(&stage.props);
            let Some(pin) = props.pins.get(&place) else { return Ok(None) };
            return come_by(scope, come, |scope| Ok(Some(scope.pinned(pin))));
        }
        Step::Hold { object, key } => {
            let pin = scope.pin(frame.get(object)?);
            lock(&stage.props).holds.insert(key, pin);
        }
        Step::Take { key } => {
            let pin = lock(&stage.props).holds.remove(&key);
            let pin = pin.ok_or_else(|| diverged(format!("nothing is kept for event {key}")))?;
            return Ok(Some(scope.pinned(&pin)));
        }
        Step::Unpin { .. } | Step::Open | Step::Close | Step::Leave => {
            return Err(diverged(format!("{step:?} in a scope")));
        }
    }
    Ok(None)
}

fn allocate<'s>(
    scope: &Scope<'s>,
    frame: &Frame<'_, 's>,
    feed: &mut Feed<'_>,
    (slots, (from, to), payload_bytes): (u32, (u32, u32), u32),
) -> Result<Local<'s>, WorkloadError> {
    let bytes = CELL_BYTES * (u64::from(slots) / 3 + 1) + u64::from(payload_bytes) + 128;
    feed.stage.make_room(bytes)?;
    let operands = &feed.batch.operands[from as usize..to as usize];
    let given =
        operands.iter().map(|&operand| operand.checked_sub(1).map(|index| frame.get(index)).transpose());
    let mut given: Vec<Option<Local<'_>>> = given.collect::<Result<_, _>>()?;
    feed.tally.objects += 1;
    feed.tally.payload_bytes += u64::from(payload_bytes);
    feed.tally.references += given.iter().flatten().count() as u64;
    if u64::from(slots) / 4 < u64::from(feed.stage.heap.graph().capacity()) {
        given.resize(slots as usize, None);
    }
    for _ in 0..FULL_CYCLES {
        match scope.alloc(&given, feed.payload(payload_bytes)) {
            // There were bytes enough, in pieces too small.
            Err(HeapError::Full { .. }) if feed.stage.compact()? => {}
            done => return Ok(done?),
        }
    }
    Ok(scope.alloc(&given, feed.payload(payload_bytes))?)
}

fn come_by<'s>(
    scope: &mut Scope<'s>,
    come: Come,
    find: impl for<'i> FnOnce(&Scope<'i>) -> Result<Option<Local<'i>>, WorkloadError>,
) -> Result<Option<Local<'s>>, WorkloadError> {
    match come {
        Come::Held => match find(scope)? {
            None => Err(diverged("a reference is missing".into())),
            found => Ok(found),
        },
        Come::Nothing | Come::Otherwise => scope.scope(|inner| find(inner).map(|_| None)),
    }
}
