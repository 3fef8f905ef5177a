//! Replays a trace into a heap, through mutators like any others.
//!
//! ```text
//!  file ──▶ conductor: decodes, names locals ──batches──▶ one thread per recorded mutator ──▶ heap
//!                                               (one of them works at a time, in the order of the plan)
//! ```
//!
//! Every recorded mutator is a mutator of the replay, on a thread of its own, and opens and ends the same scopes. The [plan](super::plan) says in which
//! order their events come, and one works at a time: so what is done, and in which order, is the same in every replay of a trace. What is
//! not recorded is filled in: payloads have the recorded lengths, and bytes that say nothing.
//!
//! The conductor decodes ahead of the threads, so that what they do between two operations is to look at the next step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use gc_heap::Heap;
use gc_heap::tape::HEAP_STREAM;

use crate::driver::{Driver, Phase, Ticker};
use crate::error::{TraceError, WorkloadError};
use crate::trace::error::Damage;
use crate::trace::events::Event;
use crate::trace::file::TraceFile;
use crate::trace::lane::Lane;
use crate::trace::locals::Locals;
use crate::trace::plan::{Plan, Run, Take, Unwatched, plan};
use crate::trace::stage::{Batch, Come, Pace, Stage, Step, play};

/// Steps that are handed to a thread at once.
const BATCH_STEPS: usize = 4096;

/// Batches that wait for one thread.
const BATCHES_AHEAD: usize = 4;

/// Mutators that are replayed at the same time.
pub(crate) const THREADS_MAX: usize = 1024;

/// Stack of a thread: a recorded scope inside another is a call inside another.
const STACK_BYTES: usize = 4 << 20;

/// What a replay came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Events carried out, scopes and stamps included.
    pub events: u64,
    /// Operations carried out.
    pub operations: u64,
    /// Objects allocated.
    pub objects: u64,
    /// Bytes of payload allocated.
    pub payload_bytes: u64,
    /// References stored in new objects and in old ones.
    pub references: u64,
    /// Mutators replayed.
    pub threads: u32,
    /// Loads and look-ups whose object had to be kept or found in another way than they did in the recording: see the plan.
    pub taken: u64,
    /// Events that were left out, because others that they build on are missing.
    pub left_over: u64,
    /// Where the trace stopped being good.
    pub damage: Option<Damage>,
    /// Time that it took, planning not included.
    pub took: Duration,
    /// How far it fell behind at most, where it keeps the recorded pace.
    pub late: Duration,
    /// The driver asked for an early end.
    pub stopped: bool,
    /// What the cycles of a deterministic replay came to, as a SHA-256 in hexadecimal.
    pub digest: Option<String>,
    /// Cycles of a deterministic replay.
    pub cycles: u64,
}

/// A trace that is ready to be replayed, any number of times.
pub struct Replay {
    file: TraceFile,
    plan: Plan,
}

impl Replay {
    /// Opens a trace, checks it and makes the plan. Reads the file twice.
    ///
    /// # Errors
    ///
    /// [`TraceError`] when nothing of it can be used.
    pub fn open(path: &Path) -> Result<Replay, TraceError> {
        Replay::of(TraceFile::open(path)?)
    }

    /// Makes the plan of a trace that is open.
    ///
    /// # Errors
    ///
    /// When the file cannot be read any more.
    pub fn of(file: TraceFile) -> Result<Replay, TraceError> {
        let plan = plan(&file, &mut Unwatched)?;
        Ok(Replay { file, plan })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &TraceFile {
        &self.file
    }

    /// Where the trace stops being good: bytes, and events that make no sense.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.plan.damage.as_ref()
    }

    /// Carries it out.
    ///
    /// # Errors
    ///
    /// When the heap is full, or loses an object; when the file cannot be read any more.
    pub fn run(
        &self,
        heap: &Heap,
        pace: &Pace<'_>,
        driver: &dyn Driver,
    ) -> Result<ReplayReport, WorkloadError> {
        let stage = Stage::new(heap, pace, driver);
        let begun = Instant::now();
        let done = std::thread::scope(|threads| {
            let mut conductor = Conductor::new(self, &stage, threads);
            if let Err(error) = conductor.run(driver) {
                stage.fail(error);
            }
            conductor.done
        });
        let tally = stage.end()?;
        Ok(ReplayReport {
            events: done.events,
            operations: done.operations,
            objects: tally.objects,
            payload_bytes: tally.payload_bytes,
            references: tally.references,
            threads: done.mutators,
            taken: self.plan.takes.len() as u64,
            left_over: self.plan.left_over,
            damage: self.plan.damage.clone(),
            took: begun.elapsed(),
            late: tally.late,
            stopped: done.stopped,
            digest: tally.digest,
            cycles: tally.cycles,
        })
    }
}

/// One stream, as the conductor sees it.
struct Player<'t> {
    lane: Lane<'t>,
    locals: Locals<()>,
    outlet: SyncSender<Batch>,
}

/// How far the conductor is.
#[derive(Debug, Copy, Clone, Default)]
struct Done {
    mutators: u32,
    stopped: bool,
    events: u64,
    operations: u64,
}

struct Conductor<'t, 'scope, 'env> {
    replay: &'t Replay,
    stage: &'t Stage<'t>,
    threads: &'scope Scope<'scope, 'env>,
    players: BTreeMap<u32, Player<'t>>,
    done: Done,
    /// Number of the next batch.
    ticket: u64,
    /// The next take.
    take: usize,
    /// Objects to be kept: from which event on, for which, and in which cell they are. In this order.
    holds: Vec<(u64, u64, u32)>,
    hold: usize,
    batch: Batch,
}

impl<'t, 'scope> Conductor<'t, 'scope, '_>
where
    't: 'scope,
{
    fn new<'env>(
        replay: &'t Replay,
        stage: &'t Stage<'t>,
        threads: &'scope Scope<'scope, 'env>,
    ) -> Conductor<'t, 'scope, 'env> {
        let held = |take: &Take| Some((take.held_from?, take.event, take.cell));
        let mut holds: Vec<_> = replay.plan.takes.iter().filter_map(held).collect();
        holds.sort_unstable();
        Conductor {
            replay,
            stage,
            threads,
            players: BTreeMap::new(),
            done: Done::default(),
            ticket: 0,
            take: 0,
            holds,
            hold: 0,
            batch: Batch::default(),
        }
    }

    fn run(&mut self, driver: &dyn Driver) -> Result<(), WorkloadError> {
        let mut ticker = Ticker::new(driver, Phase::Mutate, Some(self.replay.plan.events));
        for &Run { stream, events } in &self.replay.plan.runs {
            let mut player = match self.players.remove(&stream) {
                Some(player) => player,
                None => self.enter(stream)?,
            };
            let mut left = false;
            self.batch.at_us = player.lane.now_us();
            for _ in 0..events {
                left = self.step(&mut player)?;
                if self.batch.steps.len() >= BATCH_STEPS || self.is_due(&player) {
                    self.send(&player);
                    if self.stage.is_over() || ticker.tick(self.done.events) {
                        self.done.stopped = true;
                        self.stage.stop();
                        return Ok(());
                    }
                }
            }
            self.send(&player);
            if !left {
                self.players.insert(stream, player);
            }
        }
        // Those whose end was not recorded go too, one after the other.
        for player in std::mem::take(&mut self.players).into_values() {
            self.batch.steps.push(Step::Leave);
            self.send(&player);
        }
        Ok(())
    }

    fn enter(&mut self, stream: u32) -> Result<Player<'t>, WorkloadError> {
        if self.players.len() >= THREADS_MAX {
            return Err(WorkloadError::Trace(TraceError::TooMuch {
                what: format!("has more than {THREADS_MAX} mutators at the same time"),
                max: THREADS_MAX as u64,
                remedy: "cut it to a part with fewer",
            }));
        }
        let (outlet, inlet) = sync_channel(BATCHES_AHEAD);
        let stage = self.stage;
        self.done.mutators += u32::from(stream != HEAP_STREAM);
        std::thread::Builder::new()
            .name(format!("replay-{stream}"))
            .stack_size(STACK_BYTES)
            .spawn_scoped(self.threads, move || play(stage, inlet))
            .map_err(|source| WorkloadError::Trace(TraceError::Thread { source }))?;
        Ok(Player { lane: Lane::new(&self.replay.file, stream), locals: Locals::default(), outlet })
    }

    /// In a replay at the recorded pace a batch covers a millisecond at most.
    fn is_due(&self, player: &Player<'_>) -> bool {
        self.stage.is_paced() && player.lane.now_us() >= self.batch.at_us + 1000
    }

    fn send(&mut self, player: &Player<'_>) {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.at_us = player.lane.now_us();
        if batch.steps.is_empty() {
            return;
        }
        batch.ticket = self.ticket;
        self.ticket += 1;
        // A thread that has gone has said why.
        let _ = player.outlet.send(batch);
    }

    /// Turns the next event into steps. Answers whether its mutator has gone.
    fn step(&mut self, player: &mut Player<'t>) -> Result<bool, WorkloadError> {
        let Player { lane, locals, .. } = player;
        let Some((event, slots)) = lane.peek()? else { return Err(changed()) };
        let take = self.replay.plan.takes.get(self.take).filter(|take| take.event == self.done.events);
        self.take += usize::from(take.is_some());
        let place = |cell: u32| locals.find(cell).map(|(place, ())| place).ok_or_else(changed);
        let value = |cell: u32| if cell == 0 { Ok(None) } else { place(cell).map(Some) };
        let come = |found: u32| match (found, take) {
            (0, _) => Come::Nothing,
            (_, None) => Come::Held,
            (_, Some(_)) => Come::Otherwise,
        };
        let mut comes_by = 0;
        let mut left = false;
        let step = match *event {
            Event::Stamp(_) => None,
            Event::Open => locals.open().then_some(Step::Open),
            Event::Close => locals.close(|()| ()).ok_or_else(changed)?.then_some(Step::Close),
            Event::Alloc { cell, slots: count, payload_bytes } => {
                let from = self.batch.operands.len() as u32;
                for &slot in slots {
                    self.batch.operands.push(value(slot)?.map_or(0, |place| place + 1));
                }
                let given = (from, self.batch.operands.len() as u32);
                let named = self.replay.plan.named.contains(&cell).then_some(cell);
                locals.push(cell, ());
                Some(Step::Alloc { slots: count, given, payload_bytes, named })
            }
            Event::Load { object, slot, found } => {
                comes_by = found;
                Some(Step::Load { object: place(object)?, slot, come: come(found) })
            }
            Event::Store { object, slot, value: cell } => {
                Some(Step::Store { object: place(object)?, slot, value: value(cell)? })
            }
            Event::Read { object } => Some(Step::Read { object: place(object)? }),
            Event::Retire { object } => Some(Step::Retire { object: place(object)? }),
            Event::Found { cell } => {
                comes_by = cell;
                take.is_none().then_some(Step::Find { cell })
            }
            Event::Gone => Some(Step::Gone),
            Event::RootSet { ref name, value: cell, .. } => {
                Some(Step::RootSet { name: Arc::clone(name), value: value(cell)? })
            }
            Event::RootGet { ref name, found, .. } => {
                comes_by = found;
                Some(Step::RootGet { name: Arc::clone(name), come: come(found) })
            }
            Event::Pin { place: at, object, .. } => Some(Step::Pin { place: at, object: place(object)? }),
            Event::PinRead { place, found } => {
                comes_by = found;
                Some(Step::PinRead { place, come: come(found) })
            }
            Event::Unpin { place, .. } => Some(Step::Unpin { place }),
            Event::Leave => {
                left = true;
                Some(Step::Leave)
            }
        };
        self.batch.steps.extend(step);
        if let Some(take) = take {
            self.batch.steps.push(match take.held_from {
                Some(_) => Step::Take { key: take.event },
                None => Step::Find { cell: take.cell },
            });
        }
        if comes_by != 0 {
            locals.push(comes_by, ());
        }
        while let Some(&(_, key, cell)) = self.holds.get(self.hold).filter(|hold| hold.0 == self.done.events)
        {
            let (object, ()) = locals.find(cell).ok_or_else(changed)?;
            self.batch.steps.push(Step::Hold { object, key });
            self.hold += 1;
        }
        self.done.operations += u64::from(event.is_operation());
        self.done.events += 1;
        lane.advance();
        Ok(left)
    }
}

/// The plan was made from another content.
fn changed() -> WorkloadError {
    WorkloadError::Trace(TraceError::Diverged { what: "the file has changed since it was opened".into() })
}
