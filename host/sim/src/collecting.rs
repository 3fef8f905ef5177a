//! The collector of a node: a thread of its own, as in a real node, that runs only when it is its turn.
//!
//! A cycle calls the strategy, and a cycle over nodes calls [`Others`], from deep inside; it can only be left by going on or by giving up. So each collector has a thread, and
//! the world hands it a turn and waits until it gives it back: between two steps, at a rest, and while its verdict is out. Exactly one thread runs at any time.
//!
//! A run is some thousands of turns, and what they cost is the kernel's: so a turn passes with one wake-up and one wait, and no more ([`Relay`]).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Handle, Heap, Heard, Others, Pace, Strategy,
};
use gc_remote::Seat;

use crate::strategies::{Kind, Make, Paced};

/// What a collector is to do.
pub(crate) enum Task {
    Collect(Cause),
    OverNodes(Seat),
}

/// Where a collector gives its turn back.
pub(crate) enum Turn {
    /// In the middle of its work.
    Working,
    /// Nothing is left to mark here.
    Rests,
    /// Its verdict is out, and local look-ups of what it condemns wait.
    Awaits,
    /// The cycle is over.
    Done(Box<CycleReport>),
}

enum Order {
    Begin(Task),
    GoOn,
    GiveUp,
}

/// Who has the turn, and what came with it until it is taken.
enum Side {
    Collector(Option<Order>),
    World(Option<Turn>),
    /// One of the two has gone.
    Nobody,
}

/// The turn between two threads, of which one waits at most: whoever passes it on does not wait yet.
struct Relay {
    side: Mutex<Side>,
    passed: Condvar,
}

impl Relay {
    fn side(&self) -> MutexGuard<'_, Side> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, to: Side) {
        let mut side = self.side();
        if !matches!(*side, Side::Nobody) {
            *side = to;
        }
        // First let go: whoever wakes up wants it.
        drop(side);
        self.passed.notify_one();
    }

    fn wait_while(&self, waits: impl FnMut(&mut Side) -> bool) -> MutexGuard<'_, Side> {
        self.passed.wait_while(self.side(), waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// What the collector gives its turn back with. None when it has gone.
    fn turn(&self) -> Option<Turn> {
        match &mut *self.wait_while(|side| matches!(side, Side::Collector(_))) {
            Side::World(turn) => turn.take(),
            Side::Collector(_) | Side::Nobody => None,
        }
    }

    /// What the world wants. None when it has gone.
    fn order(&self) -> Option<Order> {
        match &mut *self.wait_while(|side| matches!(side, Side::World(_))) {
            Side::Collector(order) => order.take(),
            Side::World(_) | Side::Nobody => None,
        }
    }
}

/// One end of a relay: when it goes the other does not wait for it.
struct End(Arc<Relay>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.pass(Side::Nobody);
    }
}

/// The world's end of a collector.
pub(crate) struct Collecting {
    end: Option<End>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Collecting {
    pub(crate) fn new(heap: &Heap, make: Make, kind: Kind, seed: u64) -> Collecting {
        let relay = Arc::new(Relay { side: Mutex::new(Side::World(None)), passed: Condvar::new() });
        let (heap, end) = (heap.clone(), End(Arc::clone(&relay)));
        let thread = std::thread::spawn(move || serve(&heap, make, kind, seed, &end.0));
        Collecting { end: Some(End(relay)), thread: Some(thread), busy: false }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(crate) fn begin(&mut self, task: Task) -> Result<Turn, String> {
        self.turn(Order::Begin(task))
    }

    pub(crate) fn go_on(&mut self) -> Result<Turn, String> {
        self.turn(Order::GoOn)
    }

    pub(crate) fn give_up(&mut self) -> Result<Turn, String> {
        self.turn(Order::GiveUp)
    }

    fn turn(&mut self, order: Order) -> Result<Turn, String> {
        let passed = self.end.as_ref().and_then(|End(relay)| {
            relay.pass(Side::Collector(Some(order)));
            relay.turn()
        });
        let turn = passed.ok_or("the thread of a collector has ended: see its panic above")?;
        self.busy = !matches!(turn, Turn::Done(_));
        Ok(turn)
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // Without orders a cycle gives up and the thread ends.
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(heap: &Heap, make: Make, kind: Kind, seed: u64, relay: &Relay) {
    let mut collector = Collector::new(heap);
    let anew = || Paced::new(make(kind, heap), kind, seed);
    let mut strategy: Box<dyn Strategy> = Box::new(anew());
    while let Some(order) = relay.order() {
        let Order::Begin(task) = order else { continue };
        let baton = Baton { relay };
        let report = match task {
            Task::Collect(cause) => {
                collector.run(&CycleRequest::new(cause), &mut *strategy, None, &mut |_| baton.pace())
            }
            Task::OverNodes(seat) => {
                let request = CycleRequest::new(Cause::Cluster);
                let mut others = Elsewhere { seat, baton: &baton };
                collector.run_over_nodes(&request, &mut *strategy, &mut others, &mut |_| baton.pace())
            }
        };
        if matches!(report.end, CycleEnd::Faulted(_) | CycleEnd::Refused(_)) {
            strategy = Box::new(anew());
            collector.forget();
        }
        relay.pass(Side::World(Some(Turn::Done(Box::new(report)))));
    }
}

/// The turn, in the hands of a cycle.
struct Baton<'a> {
    relay: &'a Relay,
}

impl Baton<'_> {
    /// Gives the turn back and waits for the next one. None when nobody wants anything any more.
    fn give_back(&self, turn: Turn) -> Option<Order> {
        self.relay.pass(Side::World(Some(turn)));
        self.relay.order()
    }

    /// The same. False when the cycle is to be given up.
    fn pass(&self, turn: Turn) -> bool {
        matches!(self.give_back(turn), Some(Order::GoOn))
    }

    fn pace(&self) -> Pace {
        if self.pass(Turn::Working) { Pace::Go } else { Pace::Abandon }
    }
}

/// The other nodes. Where a real collector waits, this one passes the turn.
struct Elsewhere<'a> {
    seat: Seat,
    baton: &'a Baton<'a>,
}

impl Others for Elsewhere<'_> {
    fn roots(&mut self) -> Vec<Handle> {
        self.seat.roots()
    }

    fn reached(&mut self, stubs: Vec<Handle>) {
        self.seat.reached(stubs);
    }

    fn rest(&mut self) -> Heard {
        match self.seat.hear() {
            Heard::Wait if self.baton.pass(Turn::Rests) => self.seat.hear(),
            Heard::Wait => Heard::GiveUp,
            heard => heard,
        }
    }

    fn prove(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) -> bool {
        let alone = objects.is_empty() && stubs.is_empty();
        self.seat.put_verdict(objects, stubs);
        if alone {
            return true;
        }
        loop {
            if let Some(swept) = self.seat.outcome() {
                return swept;
            }
            match self.baton.give_back(Turn::Awaits) {
                Some(Order::GiveUp) => self.seat.give_up(),
                Some(_) => {}
                None => return false,
            }
        }
    }
}
