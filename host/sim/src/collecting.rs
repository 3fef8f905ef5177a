//! The collector of a node: a thread of its own, as in a real node, that runs only when it is its turn.
//!
//! A cycle calls the strategy, and a cycle over nodes calls [`Others`], from deep inside; it can only be left by going on or by giving up. So each collector has a thread, and
//! the world hands it a turn and waits until it gives it back: between two steps, at a rest, and while its verdict is out. Exactly one thread runs at any time.

use std::sync::mpsc::{Receiver, Sender, channel};
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

/// The world's end of a collector.
pub(crate) struct Collecting {
    orders: Option<Sender<Order>>,
    turns: Receiver<Turn>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Collecting {
    pub(crate) fn new(heap: &Heap, make: Make, kind: Kind, seed: u64) -> Collecting {
        let (orders, to_do) = channel();
        let (done, turns) = channel();
        let heap = heap.clone();
        let thread = std::thread::spawn(move || serve(&heap, make, kind, seed, &to_do, done));
        Collecting { orders: Some(orders), turns, thread: Some(thread), busy: false }
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
        let ended = "the thread of a collector has ended: see its panic above";
        let orders = self.orders.as_ref().ok_or(ended)?;
        orders.send(order).map_err(|_| ended)?;
        let turn = self.turns.recv().map_err(|_| ended)?;
        self.busy = !matches!(turn, Turn::Done(_));
        Ok(turn)
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // Without orders a cycle gives up and the thread ends.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(heap: &Heap, make: Make, kind: Kind, seed: u64, orders: &Receiver<Order>, turns: Sender<Turn>) {
    let mut collector = Collector::new(heap);
    let anew = || Paced::new(make(kind, heap), kind, seed);
    let mut strategy: Box<dyn Strategy> = Box::new(anew());
    while let Ok(order) = orders.recv() {
        let Order::Begin(task) = order else { continue };
        let baton = Baton { orders, turns: &turns };
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
        if turns.send(Turn::Done(Box::new(report))).is_err() {
            return;
        }
    }
}

/// The turn, in the hands of a cycle.
struct Baton<'a> {
    orders: &'a Receiver<Order>,
    turns: &'a Sender<Turn>,
}

impl Baton<'_> {
    /// Gives the turn back and waits for the next one. False when the cycle is to be given up.
    fn pass(&self, turn: Turn) -> bool {
        self.turns.send(turn).is_ok() && matches!(self.orders.recv(), Ok(Order::GoOn))
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
            if self.baton.turns.send(Turn::Awaits).is_err() {
                return false;
            }
            match self.baton.orders.recv() {
                Ok(Order::GiveUp) => self.seat.give_up(),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
