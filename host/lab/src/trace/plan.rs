//! In which order the events of several mutators are replayed, and what has to be kept alive meanwhile.
//!
//! # The order
//!
//! A recording has one stream per mutator and no order between them but times that are known in part: an event happened between the stamp before it
//! and the stamp behind it. Let *real* be the order in which the operations took effect. The replay carries all events out one after the other, in an
//! order T that is computed once, from the trace alone, so that it is the same in every replay. T keeps
//!
//! 1. the order of each stream,
//! 2. an allocation before every use of its object, by whomever,
//! 3. the turns at the table of roots and pins, which are recorded exactly.
//!
//! Real keeps all three, so whatever part of T is done, the event that really came first among the rest has all that it waits for: T never comes to a
//! halt, unless events are missing. Among those that may be next, the one with the earliest stamp is taken.
//!
//! # Loads across threads
//!
//! A reference that one mutator stores and another loads has no turn. So the plan follows the graph in a [`Shadow`], and compares what each load found
//! in the recording with what it would find in T. If that differs, either the store is still to come: then the load waits, for as long as any
//! other event can have happened before it, which the stamps bound. Or T has gone too far and the reference was overwritten: then the load is
//! *taken* at that place all the same. It is carried out, and what it found in the recording is given to the mutator in another way.
//!
//! # What was there in the recording is there in the replay
//!
//! A mutator comes by an object by allocating, loading, or looking up a root, a pin or a handle; afterwards it holds it, in the replay as in the
//! recording, until the same scope ends. So all that matters is that the object lives when somebody comes by it. *Claim: it does, for any T with 1 and
//! 2.* For an allocation it is trivial, and for a load that finds in T what it found in the recording as well: somebody holds the object with
//! the slot. For a load that is taken, and for a look-up by a handle, let u be the last event before it in T that used the object; by 2 there is one.
//! Whoever did u held the object then. There the replay pins it, and it takes it from the pin here.
//!
//! The pin keeps nothing alive that was not: the recording came by the object here, so it had been in memory all the time since u. (For a handle that is
//! the very point: a handle keeps nothing alive, and the program found the object because no collector had been there yet. A faster collector would
//! have made the program do something else, which no trace can tell. So what the recording found is kept until it is found, under every strategy.)
//!
//! A pin costs a lock and a root, so there are as few as possible: none where the object is surely reachable by then, which the shadow
//! knows as long as nothing has made a cycle.
//!
//! # Two objects in one cell
//!
//! Objects are named by their cells. The second object in a cell is allocated after a cycle has found the first unreachable, and each mutator that
//! does anything after that has a stamp before it (see `gc_heap::tape`). So events that use the first object, and those that made it unreachable, have
//! earlier stamps than those that use the second, and come first in T. A load that finds the cell in its slot in T means the object that is there in T:
//! were it the second one in the recording, the first would have been overwritten before, with an earlier stamp. And a load or look-up that
//! does not find it waits, as above, for the allocation that may be still to come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use gc_heap::cell_bytes;
use gc_heap::tape::HEAP_STREAM;
use rustc_hash::FxHashSet;

use crate::error::TraceError;
use crate::trace::error::Damage;
use crate::trace::events::Event;
use crate::trace::file::TraceFile;
use crate::trace::lane::Lane;
use crate::trace::locals::Locals;
use crate::trace::shadow::{Id, Made, Shadow};

/// Loads and look-ups that a replay prepares, over its whole length: 32 bytes each while the plan is there.
pub(crate) const TAKES_MAX: usize = 16 << 20;

/// So many events of one stream are next.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stream: u32,
    pub(crate) events: u32,
}

/// How a mutator comes by an object that its operation does not give it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Take {
    /// The event.
    pub(crate) event: u64,
    /// The event at which the object is pinned; nothing when it is found by its handle.
    pub(crate) held_from: Option<u64>,
    pub(crate) cell: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) runs: Vec<Run>,
    /// In the order of their events.
    pub(crate) takes: Vec<Take>,
    /// Cells whose objects are found by their handles.
    pub(crate) named: FxHashSet<u32>,
    pub(crate) events: u64,
    /// Events that wait for others that are missing.
    pub(crate) left_over: u64,
    pub(crate) damage: Option<Damage>,
    pub(crate) live_bytes_max: u64,
    pub(crate) cyclic: bool,
}

/// Watches the events of a plan go by.
pub(crate) trait Watch {
    /// The next event in the order of the plan. The references are those of an allocation. Answers whether the plan goes on.
    fn event(&mut self, stream: u32, at_us: u64, event: &Event, slots: &[u32]) -> bool;
}

/// Nobody watches.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    fn event(&mut self, _: u32, _: u64, _: &Event, _: &[u32]) -> bool {
        true
    }
}

/// Why the next event of a lane is not done.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Wait {
    /// Something is not allocated yet.
    Object,
    Turn(u64),
    /// What it found in the recording is not there. That may still come.
    Store,
}

enum Tried {
    Done,
    Waits(Wait),
    Nonsense(String),
    Ended,
}

struct Player<'t> {
    lane: Lane<'t>,
    locals: Locals<Id>,
}

/// Makes the plan of a trace. Reads the whole trace once.
pub(crate) fn plan(file: &TraceFile, watch: &mut dyn Watch) -> Result<Plan, TraceError> {
    Planner::new(file, watch).run()
}

struct Planner<'t, 'w> {
    file: &'t TraceFile,
    watch: &'w mut dyn Watch,
    players: Vec<Option<Box<Player<'t>>>>,
    /// Who may be next, by time.
    ready: BinaryHeap<Reverse<(u64, u32)>>,
    waiting: Vec<(u32, Wait)>,
    shadow: Shadow,
    turn: u64,
    plan: Plan,
    ids: Vec<Id>,
    /// Who watches has seen enough.
    over: bool,
}

impl<'t, 'w> Planner<'t, 'w> {
    fn new(file: &'t TraceFile, watch: &'w mut dyn Watch) -> Planner<'t, 'w> {
        let begun = |stream: &Vec<u32>| Some(file.blocks()[*stream.first()? as usize].head.begun_ns / 1000);
        let ready = (0..).zip(file.streams());
        Planner {
            file,
            watch,
            players: std::iter::repeat_with(|| None).take(file.streams().len()).collect(),
            ready: ready.filter_map(|(stream, blocks)| Some(Reverse((begun(blocks)?, stream)))).collect(),
            waiting: Vec::new(),
            shadow: Shadow::default(),
            turn: 1,
            plan: Plan { damage: file.damage().cloned(), ..Plan::default() },
            ids: Vec::new(),
            over: false,
        }
    }

    fn run(mut self) -> Result<Plan, TraceError> {
        while !self.over {
            if let Some(Reverse((_, stream))) = self.ready.pop() {
                self.play(stream, false)?;
            } else if !self.release()? {
                break;
            }
        }
        self.plan.live_bytes_max = self.shadow.live_bytes_max();
        self.plan.cyclic = self.shadow.is_cyclic();
        Ok(self.plan)
    }

    /// Carries events of one stream out for as long as it is the earliest.
    fn play(&mut self, stream: u32, mut impatient: bool) -> Result<(), TraceError> {
        let begun = || Box::new(Player { lane: Lane::new(self.file, stream), locals: Locals::default() });
        let mut player = self.players[stream as usize].take().unwrap_or_else(begun);
        loop {
            let tried = self.attempt(&mut player, impatient)?;
            impatient = false;
            if let Some(damage) = player.lane.take_damage() {
                self.note(damage);
            }
            match tried {
                Tried::Done => {}
                Tried::Waits(wait) => {
                    self.waiting.push((stream, wait));
                    break;
                }
                Tried::Nonsense(what) => {
                    let damage = player.lane.condemn(&what);
                    self.note(damage);
                }
                Tried::Ended => {
                    while player.locals.close(|id| self.shadow.let_go(id)).is_some() {}
                    return Ok(());
                }
            }
            let now_us = player.lane.now_us();
            let waiting = !self.waiting.is_empty();
            self.retry();
            let earlier = self.ready.peek().is_some_and(|Reverse((other, _))| *other < now_us);
            if waiting || earlier || self.over {
                self.ready.push(Reverse((now_us, stream)));
                break;
            }
        }
        self.players[stream as usize] = Some(player);
        Ok(())
    }

    /// Something has happened: those who wait look again. They are few, and not for long.
    fn retry(&mut self) {
        for (stream, _) in self.waiting.drain(..) {
            let now_us = self.players[stream as usize].as_ref().map_or(0, |player| player.lane.now_us());
            self.ready.push(Reverse((now_us, stream)));
        }
    }

    /// All who are left wait. Answers whether somebody can go on.
    fn release(&mut self) -> Result<bool, TraceError> {
        let loads = self.waiting.iter().position(|(_, wait)| *wait == Wait::Store);
        if let Some(at) = loads {
            let (stream, _) = self.waiting.remove(at);
            self.play(stream, true)?;
            return Ok(true);
        }
        let turn = |&(_, wait): &(u32, Wait)| if let Wait::Turn(turn) = wait { Some(turn) } else { None };
        if let Some(next) = self.waiting.iter().filter_map(turn).min() {
            // Those between were not recorded.
            self.turn = next;
            self.retry();
            return Ok(true);
        }
        for (stream, _) in std::mem::take(&mut self.waiting) {
            if let Some(player) = &self.players[stream as usize] {
                self.plan.left_over += player.lane.left_over();
            }
        }
        Ok(false)
    }

    fn note(&mut self, damage: Damage) {
        let earlier = self.plan.damage.as_ref().is_some_and(|other| other.offset <= damage.offset);
        if !earlier {
            self.plan.damage = Some(damage);
        }
    }

    fn attempt(&mut self, player: &mut Player<'t>, impatient: bool) -> Result<Tried, TraceError> {
        let stream = player.lane.stream;
        let Some((event, slots)) = player.lane.peek()? else { return Ok(Tried::Ended) };
        let event = event.clone();
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        ids.extend(slots.iter().map(|&cell| player.locals.find(cell).map_or(0, |(_, id)| id)));
        let lost = slots.iter().zip(&ids).find(|&(&cell, &id)| cell != 0 && id == 0);
        let tried = match lost {
            Some((&cell, _)) => Err(not_held(cell)),
            None => {
                let patient = !impatient && self.may_still_come(&player.lane, &event);
                self.carry_out(stream, &mut player.locals, &event, &ids, patient)
            }
        };
        self.ids = ids;
        if let Err(stop) = tried {
            return Ok(match stop {
                Stop::Wait(wait) => Tried::Waits(wait),
                Stop::Nonsense(what) => Tried::Nonsense(what),
            });
        }
        let now_us = player.lane.now_us();
        if let Some((event, slots)) = player.lane.peek()? {
            self.over |= !self.watch.event(stream, now_us, event, slots);
        }
        player.lane.advance();
        self.plan.count(stream);
        Ok(Tried::Done)
    }

    /// Whether what another stream still has to do can have happened before this event.
    fn may_still_come(&self, lane: &Lane<'_>, event: &Event) -> bool {
        let comes_by = matches!(
            event,
            Event::Load { .. } | Event::Found { .. } | Event::RootGet { .. } | Event::PinRead { .. }
        );
        comes_by
            && match self.ready.peek() {
                Some(Reverse((earliest, _))) => *earliest <= lane.until_us(),
                None => !self.waiting.is_empty(),
            }
    }

    fn carry_out(
        &mut self,
        stream: u32,
        locals: &mut Locals<Id>,
        event: &Event,
        slots: &[Id],
        patient: bool,
    ) -> Result<(), Stop> {
        let heap = stream == HEAP_STREAM;
        let of_heap = matches!(event, Event::Unpin { .. });
        if event.is_operation() && of_heap != heap || heap && !of_heap && !matches!(event, Event::Stamp(_)) {
            return nonsense("an operation of a mutator by the heap, or the other way round");
        }
        if event.is_operation() && !heap && locals.depth() == 0 {
            return nonsense("an operation outside of any scope");
        }
        if let Some(turn) = event.turn().filter(|&turn| turn > self.turn) {
            return Err(Stop::Wait(Wait::Turn(turn)));
        }
        match *event {
            Event::Stamp(_) | Event::Gone => {}
            Event::Open => {
                locals.open();
            }
            Event::Close => {
                if locals.close(|id| self.shadow.let_go(id)).is_none() {
                    return nonsense("the end of a scope that was not begun");
                }
            }
            Event::Leave if locals.depth() > 0 => return nonsense("a mutator that goes while it is at work"),
            Event::Leave => {}
            Event::Alloc { cell, slots: count, payload_bytes } => {
                let slot_count = whole_cells(count);
                let bytes =
                    cell_bytes(u64::from(count) / 3 + 1) + u64::from(payload_bytes).next_multiple_of(64);
                let made = Made { cell, slot_count, bytes };
                slots.iter().filter(|&&id| id != 0).for_each(|&id| self.shadow.touch(id, self.plan.events));
                let id = self.shadow.allocate(&made, slots, self.plan.events);
                locals.push(cell, id);
            }
            Event::Load { object, slot, found } => {
                let id = self.slot_of(locals, object, slot)?;
                self.come_by(locals, found, Some(self.shadow.slot(id, slot)), patient)?;
            }
            Event::Store { object, slot, value } => {
                let id = self.slot_of(locals, object, slot)?;
                let value = if value == 0 { 0 } else { self.held(locals, value)? };
                self.shadow.store(id, slot, value);
            }
            Event::Read { object } | Event::Retire { object } => {
                self.held(locals, object)?;
            }
            Event::Found { cell } => self.come_by(locals, cell, None, patient)?,
            Event::RootSet { ref name, value, .. } => {
                let value = if value == 0 { 0 } else { self.held(locals, value)? };
                self.shadow.set_root(name, value);
            }
            Event::RootGet { ref name, found, .. } => {
                self.come_by(locals, found, Some(self.shadow.root(name)), patient)?;
            }
            Event::Pin { place, object, .. } => {
                let id = self.held(locals, object)?;
                self.shadow.pin(place, id);
            }
            Event::PinRead { place, found } => {
                self.come_by(locals, found, Some(self.shadow.pinned(place)), patient)?;
            }
            Event::Unpin { place, .. } => self.shadow.unpin(place),
        }
        self.turn = event.turn().map_or(self.turn, |turn| self.turn.max(turn + 1));
        Ok(())
    }

    /// An object that the mutator holds, and uses.
    fn held(&mut self, locals: &Locals<Id>, cell: u32) -> Result<Id, Stop> {
        let (_, id) = locals.find(cell).ok_or_else(|| not_held(cell))?;
        self.shadow.touch(id, self.plan.events);
        Ok(id)
    }

    fn slot_of(&mut self, locals: &Locals<Id>, object: u32, slot: u32) -> Result<Id, Stop> {
        let id = self.held(locals, object)?;
        if slot >= self.shadow.slot_count(id) {
            return nonsense(format!("slot {slot} of an object that has {}", self.shadow.slot_count(id)));
        }
        Ok(id)
    }

    /// A mutator comes by the object in a cell, which is `there` if it looked at a place of the graph.
    fn come_by(
        &mut self,
        locals: &mut Locals<Id>,
        cell: u32,
        there: Option<Id>,
        patient: bool,
    ) -> Result<(), Stop> {
        if cell == 0 {
            return Ok(());
        }
        let id = self.shadow.object(cell).ok_or(Stop::Wait(Wait::Object))?;
        let plain = there.map_or_else(|| self.shadow.is_surely_alive(id), |there| there == id);
        if there.is_none() {
            self.plan.named.insert(cell);
        }
        if !plain {
            let by_handle = there.is_none() && !self.shadow.is_dead(id);
            if patient && !by_handle {
                return Err(Stop::Wait(Wait::Store));
            }
            self.take(id, cell)?;
        }
        self.shadow.hold(id);
        self.shadow.touch(id, self.plan.events);
        locals.push(cell, id);
        Ok(())
    }

    fn take(&mut self, id: Id, cell: u32) -> Result<(), Stop> {
        if self.plan.takes.len() >= TAKES_MAX {
            return nonsense(format!("more than {TAKES_MAX} look-ups that a replay has to prepare"));
        }
        self.plan.named.insert(cell);
        let held_from = (!self.shadow.is_surely_alive(id)).then(|| self.shadow.used(id));
        self.plan.takes.push(Take { event: self.plan.events, held_from, cell });
        Ok(())
    }
}

impl Plan {
    fn count(&mut self, stream: u32) {
        self.events += 1;
        match self.runs.last_mut() {
            Some(run) if run.stream == stream && run.events < u32::MAX => run.events += 1,
            _ => self.runs.push(Run { stream, events: 1 }),
        }
    }
}

/// Why an event was not carried out.
enum Stop {
    Wait(Wait),
    Nonsense(String),
}

fn nonsense<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Nonsense(what.into()))
}

fn not_held(cell: u32) -> Stop {
    Stop::Nonsense(format!("a use of cell {cell} by a mutator that does not hold it"))
}

/// Slots that an object has when this many were asked for.
fn whole_cells(slots: u32) -> u32 {
    if slots <= 4 { 4 } else { 3 + (slots - 3).next_multiple_of(4) }
}
