//! The desk between the thread that drives a [`Member`](crate::Member) and the thread that collects, for cycles over nodes.
//!
//! The protocol says what other nodes have reached and when to decide; the collector says what it has reached, when it rests, and its verdict. Neither
//! waits for the other inside a lock: the driver leaves word and goes on, the collector takes word when it rests.
//!
//! ```text
//!  driver    begin ─▶ shade, shade … ─▶ decide ──────────▶ (votes) ─▶ end(swept or not)
//!               │        ▲                │                   ▲           │
//!               ▼        │ reached, rested▼                   │ verdict   ▼
//!  collector  sit ─▶ roots ─▶ work ⇄ rest ─▶ decide, proof ─▶ prove ──────▶ sweep or drop
//! ```
//!
//! 1. What the collector says reaches the node in the order in which it was said: what was reached before a rest is known before the rest is.
//! 2. A rest is said only when nothing lies on the desk, and names the last hand-over that did: all that was handed over before is worked off.
//! 3. Once a verdict is out it is the others' to decide. The collector learns the outcome when the cycle has ended, not before, whatever it wants meanwhile: by then
//!    this node may have voted, and others may have swept. Wanting to give up makes this node vote against it. That ends the cycle here, with the driver's next turn, unless this node
//!    has agreed before: then the answer of the others ends the wait.
//! 4. Every wait ends when the desk is closed, and the desk is closed when its member goes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use gc_heap::{Handle, Heap, Heard, Others};
use gc_protocol::{CycleId, Event, Life, Object, Reference};

use crate::limits::{OUTCOME_LOOK, REST};
use crate::names::{handle_of, reference_of};

/// Where a cycle stands, as this node has been told.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Phase {
    /// No cycle, or it has ended.
    Over,
    Marking,
    /// Marking has ended everywhere; the verdict is wanted.
    Deciding,
    /// The verdict is out.
    Proved,
}

/// What the collector has said of its work last.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Said {
    Working,
    Rests(u64),
}

#[derive(Debug)]
struct State {
    cycle: CycleId,
    phase: Phase,
    /// The last cycle that was swept. It may have been followed by another before the collector looks.
    swept: CycleId,
    roots: Vec<Handle>,
    /// A collector has taken part in it.
    seated: bool,
    /// Reached from elsewhere and not taken by the collector.
    shade: Vec<Handle>,
    /// Number of the last hand-over.
    handed: u64,
    said: Said,
    /// The collector has asked for this cycle to be dropped.
    gives_up: bool,
    /// For the node.
    events: VecDeque<Event>,
    closed: bool,
    waker: Option<Waker>,
}

/// Shared by a member and its collector. See the top of this file.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    word: Condvar,
}

impl Desk {
    pub(crate) fn new() -> Arc<Desk> {
        let state = State {
            cycle: CycleId::NONE,
            phase: Phase::Over,
            swept: CycleId::NONE,
            roots: Vec::new(),
            seated: false,
            shade: Vec::new(),
            handed: 0,
            said: Said::Working,
            gives_up: false,
            events: VecDeque::new(),
            closed: false,
            waker: None,
        };
        Arc::new(Desk { state: Mutex::new(state), word: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to wake when the collector has left word: the driver then calls [`Member::poll`](crate::Member::poll).
    pub fn set_waker(&self, waker: Waker) {
        self.state().waker = Some(waker);
    }

    /// Wakes the driver, for instance when a collection has freed stubs.
    pub fn ring(&self) {
        let waker = self.state().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The collector takes part in a cycle that [`Effect::BeginCycle`](gc_protocol::Effect::BeginCycle) announced. None when it has ended meanwhile, or somebody
    /// sits for it already.
    #[must_use]
    pub fn sit(self: &Arc<Desk>, cycle: CycleId, heap: &Heap) -> Option<Seat> {
        let mut state = self.state();
        if state.cycle != cycle || state.phase != Phase::Marking || state.closed || state.seated {
            return None;
        }
        state.seated = true;
        let roots = std::mem::take(&mut state.roots);
        drop(state);
        Some(Seat { desk: Arc::clone(self), cycle, heap: heap.clone(), roots, verdict_out: false })
    }

    // The driver's side.

    pub(crate) fn begin(&self, cycle: CycleId, me: Life, roots: &BTreeSet<Object>) {
        let mut state = self.state();
        state.cycle = cycle;
        state.phase = Phase::Marking;
        state.roots = roots.iter().map(|&object| handle_of(Reference { home: me, object })).collect();
        state.seated = false;
        state.shade.clear();
        state.handed = 0;
        state.said = Said::Working;
        state.gives_up = false;
        self.word.notify_all();
    }

    pub(crate) fn shade(&self, cycle: CycleId, me: Life, objects: &[Object], number: u64) {
        let mut state = self.state();
        if state.cycle == cycle && state.phase == Phase::Marking {
            state.shade.extend(objects.iter().map(|&object| handle_of(Reference { home: me, object })));
            state.handed = number;
            self.word.notify_all();
        }
    }

    pub(crate) fn decide(&self, cycle: CycleId) {
        let mut state = self.state();
        if state.cycle == cycle && state.phase == Phase::Marking {
            state.phase = Phase::Deciding;
            self.word.notify_all();
        }
    }

    pub(crate) fn end(&self, cycle: CycleId, swept: bool) {
        let mut state = self.state();
        if state.cycle == cycle {
            state.phase = Phase::Over;
            if swept {
                state.swept = cycle;
            }
            self.word.notify_all();
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.phase = Phase::Over;
        state.waker = None;
        self.word.notify_all();
    }

    pub(crate) fn next_event(&self) -> Option<Event> {
        self.state().events.pop_front()
    }
}

/// The collector's place at the desk, for one cycle. Through [`Others`] it waits for the driver; the methods below answer at once.
pub struct Seat {
    desk: Arc<Desk>,
    cycle: CycleId,
    heap: Heap,
    roots: Vec<Handle>,
    verdict_out: bool,
}

impl Seat {
    /// The cycle.
    #[must_use]
    pub fn cycle(&self) -> CycleId {
        self.cycle
    }

    /// What there is to hear at a rest. Says that the collector rests if that is nothing.
    pub fn hear(&mut self) -> Heard {
        let mut state = self.desk.state();
        let heard = hear(&mut state, self.cycle);
        let rests = Said::Rests(state.handed);
        if matches!(heard, Heard::Wait) && state.said != rests {
            state.said = rests;
            let worked_off = state.handed;
            self.tell(state, Event::MarkingRested { cycle: self.cycle, worked_off });
        }
        heard
    }

    /// Leaves the verdict on the desk.
    pub fn put_verdict(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) {
        self.verdict_out = true;
        let mut state = self.desk.state();
        if state.cycle == self.cycle && state.phase == Phase::Deciding {
            state.phase = Phase::Proved;
            let objects = objects.into_iter().map(|handle| reference_of(handle).object).collect();
            let stubs = stubs.into_iter().map(reference_of).collect();
            return self.tell(state, Event::Proved { cycle: self.cycle, objects, stubs });
        }
        drop(state);
        // Nobody has asked for it, or nobody wants it any more.
        self.give_up();
    }

    /// What became of the verdict: whether to sweep. None while that is open.
    #[must_use]
    pub fn outcome(&self) -> Option<bool> {
        let state = self.desk.state();
        let over = state.cycle != self.cycle || state.phase == Phase::Over;
        over.then_some(state.swept == self.cycle)
    }

    /// Votes against the cycle, because this heap needs to go on. See invariant 3.
    pub fn give_up(&mut self) {
        let mut state = self.desk.state();
        let over = state.phase == Phase::Over;
        if state.cycle == self.cycle && !over && !state.gives_up {
            state.gives_up = true;
            self.tell(state, Event::ProofFailed { cycle: self.cycle });
        }
    }

    fn tell(&self, mut state: MutexGuard<'_, State>, event: Event) {
        state.events.push_back(event);
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait(&self, at_most: Duration) {
        let state = self.desk.state();
        let nothing = |state: &mut State| {
            state.cycle == self.cycle
                && state.shade.is_empty()
                && matches!(state.phase, Phase::Marking | Phase::Proved)
        };
        drop(self.desk.word.wait_timeout_while(state, at_most, nothing));
    }
}

fn hear(state: &mut State, cycle: CycleId) -> Heard {
    if state.cycle != cycle {
        return Heard::GiveUp;
    }
    match state.phase {
        Phase::Over => Heard::GiveUp,
        // What came before the decision is worked off first.
        _ if !state.shade.is_empty() => Heard::Shade(std::mem::take(&mut state.shade)),
        Phase::Deciding => Heard::Decide,
        Phase::Marking | Phase::Proved => Heard::Wait,
    }
}

impl Others for Seat {
    fn roots(&mut self) -> Vec<Handle> {
        std::mem::take(&mut self.roots)
    }

    fn reached(&mut self, stubs: Vec<Handle>) {
        let mut state = self.desk.state();
        if state.cycle != self.cycle {
            return;
        }
        if state.said != Said::Working {
            state.said = Said::Working;
            state.events.push_back(Event::MarkingResumed { cycle: self.cycle });
        }
        let references: Vec<Reference> = stubs.into_iter().map(reference_of).collect();
        self.tell(state, Event::StubsReached { cycle: self.cycle, references });
    }

    fn rest(&mut self) -> Heard {
        match self.hear() {
            Heard::Wait => {
                self.wait(REST);
                self.hear()
            }
            heard => heard,
        }
    }

    fn prove(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) -> bool {
        // Nobody else has a say in what concerns nobody else.
        let alone = objects.is_empty() && stubs.is_empty();
        self.put_verdict(objects, stubs);
        if alone {
            return true;
        }
        loop {
            if let Some(swept) = self.outcome() {
                return swept;
            }
            if self.heap.signal().is_full() {
                self.give_up();
            }
            self.wait(OUTCOME_LOOK);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A collector that leaves without a verdict has none: the others need not wait for it.
        if !self.verdict_out {
            self.give_up();
        }
    }
}
