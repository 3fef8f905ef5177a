//! Two members in one process, their frames carried by hand.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;
use std::time::Duration;

use gc_heap::{
    Cause, Change, Collector, CycleEnd, CycleInfo, CycleReport, CycleRequest, Fault, Handle, Heap,
    HeapConfig, Heard, Needs, Outcome, Pace, Pin, Progress, Quarantine, Strategy, StrategyIdentity, Verdict,
    Why,
};
use gc_protocol::{Config, CycleEnding, CycleId, Effect, Event, Life, MembershipEpoch};
use gc_remote::{Delivery, Member, Outward, Seat};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// Marks what is reachable.
pub(crate) struct Marking {
    identity: StrategyIdentity,
    heap: Heap,
    marks: Vec<u64>,
    work: Vec<u32>,
    reached: Vec<u32>,
}

impl Marking {
    pub(crate) fn new(heap: &Heap) -> Marking {
        let identity =
            StrategyIdentity { name: "marking".into(), version: "0".into(), digest: "native".into() };
        Marking { identity, heap: heap.clone(), marks: Vec::new(), work: Vec::new(), reached: Vec::new() }
    }
    fn mark(&mut self, cell: u32) -> bool {
        let word = &mut self.marks[cell as usize / 64];
        let fresh = cell != 0 && *word >> (cell % 64) & 1 == 0;
        if fresh {
            *word |= 1 << (cell % 64);
            self.work.push(cell);
            let stubs =
                self.heap.graph().stub()[cell as usize / 64].load(std::sync::atomic::Ordering::Relaxed);
            if stubs >> (cell % 64) & 1 != 0 {
                self.reached.push(cell);
            }
        }
        fresh
    }
}

impl Strategy for Marking {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        Needs { cluster_mark: true, ..Needs::default() }
    }
    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        self.marks = vec![0; self.heap.graph().capacity() as usize / 64];
        Ok(())
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.shade(cells).map(|_| ())
    }
    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }
    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        Ok(cells.iter().filter(|&&cell| self.mark(cell)).count() > 0)
    }
    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        while let Some(cell) = self.work.pop() {
            for slot in 0..4 {
                let at = cell as usize * 4 + slot;
                let next = self.heap.graph().cells()[at].load(std::sync::atomic::Ordering::Acquire);
                self.mark(next);
            }
        }
        Ok(Progress::Idle)
    }
    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        Ok(std::mem::take(&mut self.reached))
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::Survivors(std::mem::take(&mut self.marks)))
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

/// Two members that are connected.
pub(crate) struct Two {
    pub(crate) now: u64,
    pub(crate) members: Vec<Member>,
    /// What has arrived, kept.
    pub(crate) arrived: [Vec<Delivery>; 2],
    /// Effects that are neither frames nor deliveries.
    pub(crate) effects: [Vec<Effect>; 2],
    pub(crate) frames: Vec<(usize, Vec<u8>)>,
    /// Frames to this one wait.
    pub(crate) held_back: Option<usize>,
}

pub(crate) fn life(at: usize) -> Life {
    Life::new(at as u32 + 1, 1)
}

pub(crate) fn member(at: usize, limit_bytes: u64) -> Member {
    let heap = HeapConfig {
        node: life(at).node.0,
        incarnation: 1,
        quarantine: Quarantine::Off,
        full_wait: Duration::from_millis(300),
        ..HeapConfig::with_limit(limit_bytes)
    };
    let config = Config::new(life(at), 7, at as u64);
    Member::new(Heap::new(heap).unwrap(), config).unwrap()
}

impl Two {
    pub(crate) fn new() -> Two {
        Two::with_limits(1 << 20, 1 << 20)
    }

    pub(crate) fn with_limits(a: u64, b: u64) -> Two {
        let mut two = Two {
            now: MS,
            members: vec![member(A, a), member(B, b)],
            arrived: Default::default(),
            effects: Default::default(),
            frames: Vec::new(),
            held_back: None,
        };
        let members: BTreeSet<Life> = [life(A), life(B)].into();
        for at in [A, B] {
            let changed = Event::MembershipChanged { epoch: MembershipEpoch(1), members: members.clone() };
            two.feed(at, changed);
            two.feed(at, Event::Connected { peer: life(1 - at).node, wall_ms: 0 });
        }
        two.pass(100);
        two
    }

    pub(crate) fn feed(&mut self, at: usize, event: Event) {
        let outward = self.members[at].step(self.now, event);
        self.take(at, outward);
    }

    pub(crate) fn take(&mut self, at: usize, outward: Vec<Outward>) {
        for outward in outward {
            match outward {
                Outward::Delivered(delivery) => self.arrived[at].push(delivery),
                Outward::Effect(Effect::Transmit { peer, frame }) => {
                    self.frames.push((peer.0 as usize - 1, frame))
                }
                Outward::Effect(effect) => self.effects[at].push(effect),
            }
        }
    }

    /// Lets this many milliseconds pass. Frames arrive at once.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now += MS;
            for at in [A, B] {
                self.feed(at, Event::Ticked);
            }
            for (to, frame) in std::mem::take(&mut self.frames) {
                if self.held_back == Some(to) {
                    self.frames.push((to, frame));
                } else {
                    self.feed(to, Event::Received { peer: life(1 - to).node, frame });
                }
            }
        }
    }

    pub(crate) fn heap(&self, at: usize) -> Heap {
        self.members[at].heap().clone()
    }

    /// An object with room for four references.
    pub(crate) fn make(&self, at: usize) -> Pin {
        self.heap(at).mutator().scope(|scope| {
            let object = scope.alloc(&[], b"x").unwrap();
            scope.pin(object)
        })
    }

    pub(crate) fn send(&mut self, from: usize, held: &[Pin]) {
        let outward = self.members[from].send(self.now, life(1 - from).node, held, Vec::new(), 0);
        self.take(from, outward);
    }

    /// Sends an object and answers the stub at the other end.
    pub(crate) fn hand_over(&mut self, from: usize, object: &Pin) -> Pin {
        let pin = self.heap(from).mutator().scope(|scope| scope.pin(scope.pinned(object)));
        self.send(from, &[pin]);
        self.pass(20);
        let delivery = self.arrived[1 - from].pop().unwrap();
        delivery.references.into_iter().next().unwrap().pin.unwrap()
    }

    pub(crate) fn store(&self, at: usize, holder: &Pin, value: &Pin) {
        let stored = self
            .heap(at)
            .mutator()
            .scope(|scope| scope.store(scope.pinned(holder), 0, Some(scope.pinned(value))));
        stored.unwrap();
    }

    pub(crate) fn collect(&mut self, at: usize) -> CycleReport {
        let heap = self.heap(at);
        let request = CycleRequest::new(Cause::Request);
        let report = Collector::new(&heap).run(&request, &mut Marking::new(&heap), None, &mut |_| Pace::Go);
        assert_eq!(report.end, CycleEnd::Settled);
        self.pass(20);
        report
    }

    pub(crate) fn is_there(&self, at: usize, handle: Handle) -> bool {
        matches!(self.heap(at).why(handle), Why::Alive { .. } | Why::Unreachable)
    }

    /// Begins a cycle over nodes, and both collectors sit down.
    pub(crate) fn begin(&mut self) -> (Seat, Seat) {
        self.feed(A, Event::CycleRequested);
        self.pass(10);
        let begun = |effects: &[Effect]| -> CycleId {
            let begun = effects.iter().rev().find_map(|effect| match effect {
                Effect::BeginCycle(cycle) => Some(*cycle),
                _ => None,
            });
            begun.unwrap()
        };
        let seat = |at: usize| {
            let cycle = begun(&self.effects[at]);
            self.members[at].desk().sit(cycle, self.members[at].heap()).unwrap()
        };
        (seat(A), seat(B))
    }

    /// Both rest until the verdict is wanted.
    pub(crate) fn until_decided(&mut self, a: &mut Seat, b: &mut Seat) {
        for _ in 0..100 {
            let heard = (a.hear(), b.hear());
            if heard == (Heard::Decide, Heard::Decide) {
                return;
            }
            self.pass(1);
        }
        panic!("marking does not end");
    }

    pub(crate) fn ended(&self, at: usize) -> Option<CycleEnding> {
        self.effects[at].iter().rev().find_map(|effect| match effect {
            Effect::CycleEnded(_, why) => Some(*why),
            _ => None,
        })
    }
}
