//! Two members in one process, their frames carried by hand.

use std::collections::BTreeSet;

use gc_heap::{
    Cause, Change, Collector, CycleEnd, CycleInfo, CycleReport, CycleRequest, Fault, Handle, Heap,
    HeapConfig, Heard, Needs, Others, Outcome, Pace, Pin, Progress, Quarantine, Strategy, StrategyIdentity,
    Verdict, Why,
};
use gc_protocol::{
    Config, CycleEnding, CycleId, Effect, Event, Life, MembershipEpoch, NodeId, Reference, Refusal,
};
use gc_remote::{Delivery, Lost, Member, Outward, Seat, Standing, handle_of, reference_of};

const MS: u64 = 1_000_000;
const A: usize = 0;
const B: usize = 1;

/// Marks what is reachable.
struct Marking {
    identity: StrategyIdentity,
    heap: Heap,
    marks: Vec<u64>,
    work: Vec<u32>,
    reached: Vec<u32>,
}

impl Marking {
    fn new(heap: &Heap) -> Marking {
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
struct Two {
    now: u64,
    members: Vec<Member>,
    /// What has arrived, kept.
    arrived: [Vec<Delivery>; 2],
    /// Effects that are neither frames nor deliveries.
    effects: [Vec<Effect>; 2],
    frames: Vec<(usize, Vec<u8>)>,
    /// Frames to this one wait.
    held_back: Option<usize>,
}

fn life(at: usize) -> Life {
    Life::new(at as u32 + 1, 1)
}

fn member(at: usize, limit_bytes: u64) -> Member {
    let heap = HeapConfig {
        node: life(at).node.0,
        incarnation: 1,
        quarantine: Quarantine::Off,
        ..HeapConfig::with_limit(limit_bytes)
    };
    let config = Config::new(life(at), 7, at as u64);
    Member::new(Heap::new(heap).unwrap(), config).unwrap()
}

impl Two {
    fn new() -> Two {
        Two::with_limits(1 << 20, 1 << 20)
    }

    fn with_limits(a: u64, b: u64) -> Two {
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

    fn feed(&mut self, at: usize, event: Event) {
        let outward = self.members[at].step(self.now, event);
        self.take(at, outward);
    }

    fn take(&mut self, at: usize, outward: Vec<Outward>) {
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
    fn pass(&mut self, milliseconds: u64) {
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

    fn heap(&self, at: usize) -> Heap {
        self.members[at].heap().clone()
    }

    /// An object with room for four references.
    fn make(&self, at: usize) -> Pin {
        self.heap(at).mutator().scope(|scope| {
            let object = scope.alloc(&[], b"x").unwrap();
            scope.pin(object)
        })
    }

    fn send(&mut self, from: usize, held: &[Pin]) {
        let outward = self.members[from].send(self.now, life(1 - from).node, held, Vec::new(), 0);
        self.take(from, outward);
    }

    /// Sends an object and answers the stub at the other end.
    fn hand_over(&mut self, from: usize, object: &Pin) -> Pin {
        let pin = self.heap(from).mutator().scope(|scope| scope.pin(scope.pinned(object)));
        self.send(from, &[pin]);
        self.pass(20);
        let delivery = self.arrived[1 - from].pop().unwrap();
        delivery.references.into_iter().next().unwrap().pin.unwrap()
    }

    fn store(&self, at: usize, holder: &Pin, value: &Pin) {
        let stored = self
            .heap(at)
            .mutator()
            .scope(|scope| scope.store(scope.pinned(holder), 0, Some(scope.pinned(value))));
        stored.unwrap();
    }

    fn collect(&mut self, at: usize) -> CycleReport {
        let heap = self.heap(at);
        let request = CycleRequest::new(Cause::Request);
        let report = Collector::new(&heap).run(&request, &mut Marking::new(&heap), None, &mut |_| Pace::Go);
        assert_eq!(report.end, CycleEnd::Settled);
        self.pass(20);
        report
    }

    fn is_there(&self, at: usize, handle: Handle) -> bool {
        matches!(self.heap(at).why(handle), Why::Alive { .. } | Why::Unreachable)
    }

    /// Begins a cycle over nodes, and both collectors sit down.
    fn begin(&mut self) -> (Seat, Seat) {
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
    fn until_decided(&mut self, a: &mut Seat, b: &mut Seat) {
        for _ in 0..100 {
            let heard = (a.hear(), b.hear());
            if heard == (Heard::Decide, Heard::Decide) {
                return;
            }
            self.pass(1);
        }
        panic!("marking does not end");
    }

    fn ended(&self, at: usize) -> Option<CycleEnding> {
        self.effects[at].iter().rev().find_map(|effect| match effect {
            Effect::CycleEnded(_, why) => Some(*why),
            _ => None,
        })
    }
}

#[test]
fn an_object_stays_as_long_as_another_node_has_a_stub_of_it() {
    let mut two = Two::new();
    let object = two.make(A);
    let handle = object.handle();
    let stub = two.hand_over(A, &object);
    assert_eq!(stub.handle(), handle, "a stub is called as its home calls the object");
    assert_eq!(two.members[B].standing(reference_of(handle)), Standing::Good);
    drop(object);
    two.collect(A);
    assert!(two.is_there(A, handle), "it is held for the other node");
    drop(stub);
    two.collect(B);
    two.collect(A);
    assert!(!two.is_there(A, handle), "nothing holds it");
}

#[test]
fn what_one_collection_frees_travels_together() {
    let mut two = Two::new();
    let objects: Vec<Pin> = (0..100).map(|_| two.make(A)).collect();
    two.send(A, &objects);
    two.pass(50);
    two.arrived[B].clear();
    let heap = two.heap(B);
    let request = CycleRequest::new(Cause::Request);
    Collector::new(&heap).run(&request, &mut Marking::new(&heap), None, &mut |_| Pace::Go);
    let outward = two.members[B].poll(two.now);
    two.take(B, outward);
    let listed = |two: &Two| two.members[A].node().references().listed_count(life(B));
    assert_eq!(listed(&two), 100);
    for (to, frame) in std::mem::take(&mut two.frames) {
        two.feed(to, Event::Received { peer: life(1 - to).node, frame });
    }
    assert_eq!(listed(&two), 0, "in this very moment");
}

#[test]
fn a_reference_that_comes_again_while_its_stub_goes_is_kept() {
    let mut two = Two::new();
    let object = two.make(A);
    let first = two.hand_over(A, &object);
    // The stub is freed before the second copy arrives, and that is said after it.
    drop(first);
    two.held_back = Some(B);
    let again = two.heap(A).mutator().scope(|scope| scope.pin(scope.pinned(&object)));
    two.send(A, &[again]);
    two.pass(5);
    let heap = two.heap(B);
    Collector::new(&heap).run(
        &CycleRequest::new(Cause::Request),
        &mut Marking::new(&heap),
        None,
        &mut |_| Pace::Go,
    );
    two.held_back = None;
    two.pass(20);
    let handle = object.handle();
    drop(object);
    two.collect(A);
    assert!(two.is_there(A, handle), "the second stub holds it");
    assert_eq!(two.members[B].standing(reference_of(handle)), Standing::Good);
}

#[test]
fn a_garbage_cycle_over_two_nodes_goes_with_collectors_of_their_own() {
    let mut two = Two::new();
    let (a, b) = (two.make(A), two.make(B));
    let handles = (a.handle(), b.handle());
    let (stub_of_a, stub_of_b) = (two.hand_over(A, &a), two.hand_over(B, &b));
    two.store(A, &a, &stub_of_b);
    two.store(B, &b, &stub_of_a);
    drop((a, b, stub_of_a, stub_of_b));
    two.collect(A);
    two.collect(B);
    assert!(two.is_there(A, handles.0) && two.is_there(B, handles.1), "each holds the other");
    let (seat_a, seat_b) = two.begin();
    let (heap_a, heap_b) = (two.heap(A), two.heap(B));
    let reports: Vec<CycleReport> = std::thread::scope(|threads| {
        let collect = |heap: Heap, mut seat: Seat| {
            let mut strategy = Marking::new(&heap);
            let request = CycleRequest::new(Cause::Cluster);
            Collector::new(&heap).run_over_nodes(&request, &mut strategy, &mut seat, &mut |_| Pace::Go)
        };
        let work =
            [threads.spawn(move || collect(heap_a, seat_a)), threads.spawn(move || collect(heap_b, seat_b))];
        while !work.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            two.pass(1);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        work.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        reports.iter().all(|report| report.end == CycleEnd::Settled && report.condemned_objects >= 1),
        "{reports:?}"
    );
    assert_eq!(two.ended(A), Some(CycleEnding::Swept));
    assert!(!two.is_there(A, handles.0) && !two.is_there(B, handles.1));
    two.pass(50);
    for member in &two.members {
        assert_eq!(member.node().references().stub_count(), 0, "freed stubs are cleaned");
    }
}

/// Where both have decided, B condemns its stub of an object of A, and a copy of it arrives at B before B's node has heard the verdict.
fn arrival_before_the_verdict_is_heard(arrives: bool) -> (Option<CycleEnding>, Option<bool>) {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    let kept = arrives.then(|| two.hand_over(A, &object));
    a.put_verdict(Vec::new(), Vec::new());
    b.put_verdict(Vec::new(), vec![stub.handle()]);
    two.pass(30);
    drop(kept);
    (two.ended(B), b.outcome())
}

#[test]
fn what_arrives_before_a_verdict_is_heard_speaks_against_it() {
    assert_eq!(arrival_before_the_verdict_is_heard(false), (Some(CycleEnding::Swept), Some(true)));
    let (ended, outcome) = arrival_before_the_verdict_is_heard(true);
    assert_ne!(ended, Some(CycleEnding::Swept));
    assert_eq!(outcome, Some(false));
}

#[test]
fn what_others_let_go_stays_held_until_the_verdict_is_heard() {
    let mut two = Two::new();
    let object = two.make(A);
    let handle = object.handle();
    let stub = two.hand_over(A, &object);
    drop(object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    drop(stub);
    two.collect(B);
    assert!(two.members[A].node().held_by(reference_of(handle).object).0.is_empty(), "nobody is listed");
    two.collect(A);
    assert!(two.is_there(A, handle), "a verdict that condemns it would have to name it");
    a.put_verdict(vec![handle], Vec::new());
    b.put_verdict(Vec::new(), Vec::new());
    two.pass(30);
    two.collect(A);
    assert!(!two.is_there(A, handle));
}

#[test]
fn a_collector_that_leaves_without_a_verdict_ends_the_cycle_for_all() {
    let mut two = Two::new();
    let (mut a, b) = two.begin();
    assert_eq!(a.hear(), Heard::Wait);
    drop(b);
    two.pass(20);
    assert_eq!((two.ended(A), two.ended(B)), (Some(CycleEnding::VotedDown), Some(CycleEnding::Abandoned)));
    assert_eq!(a.hear(), Heard::GiveUp);
    assert!(two.members[A].desk().sit(a.cycle(), two.members[A].heap()).is_none(), "it is over");
}

#[test]
fn a_rest_names_what_was_worked_off_before_it() {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    assert_eq!(a.hear(), Heard::Wait);
    b.reached(vec![stub.handle()]);
    for _ in 0..50 {
        // B rests; A does not come to its desk, where the mark lies.
        assert_eq!(b.hear(), Heard::Wait, "marking has ended before A has worked off what B reached");
        two.pass(1);
    }
    assert_eq!(a.hear(), Heard::Shade(vec![object.handle()]));
    two.until_decided(&mut a, &mut b);
}

#[test]
fn whoever_gives_up_before_it_has_agreed_waits_for_nobody() {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    // Whoever coordinates is silent from here on.
    two.held_back = Some(A);
    b.put_verdict(Vec::new(), vec![stub.handle()]);
    two.pass(20);
    assert_eq!(b.outcome(), None, "the others have not been heard");
    b.give_up();
    two.pass(1);
    assert_eq!(b.outcome(), Some(false), "the collector is kept by a node that is silent");
    two.held_back = None;
    two.pass(20);
    assert_eq!(two.ended(A), Some(CycleEnding::VotedDown));
}

#[test]
fn a_reference_that_there_is_no_room_for_is_let_go_at_once() {
    let mut two = Two::with_limits(1 << 20, 1 << 18);
    let object = two.make(A);
    let heap = two.heap(B);
    let mut pins = Vec::new();
    heap.mutator().scope(|scope| {
        for payload in [&[0_u8; 200][..], &[]] {
            while let Ok(object) = scope.alloc(&[], payload) {
                pins.push(scope.pin(object));
            }
        }
    });
    // Where somebody collects, whoever needs room waits for it.
    let collector = Collector::new(&heap);
    two.send(A, &[two.heap(A).mutator().scope(|scope| scope.pin(scope.pinned(&object)))]);
    let begun = std::time::Instant::now();
    two.pass(50);
    assert!(begun.elapsed() < heap.config().full_wait, "nobody waits for room");
    drop(collector);
    let delivery = two.arrived[B].pop().unwrap();
    assert!(matches!(delivery.references[0].pin, Err(Lost::NoRoom)));
    let (listed, pinned) = two.members[A].node().held_by(reference_of(object.handle()).object);
    assert!(listed.is_empty() && !pinned, "its home has heard that it is not held");
}

/// What is held already needs no room. If the second delivery were refused, its drop would take the first one's place in the listing with it.
#[test]
fn a_reference_that_is_held_arrives_in_a_full_heap_too() {
    let mut two = Two::new();
    let object = two.make(A);
    let again = two.heap(A).mutator().scope(|scope| scope.pin(scope.pinned(&object)));
    two.send(A, &[object]);
    two.pass(50);
    let held = two.arrived[B].pop().unwrap();
    let heap = two.heap(B);
    let mut pins = Vec::new();
    heap.mutator().scope(|scope| {
        for payload in [&[0_u8; 200][..], &[]] {
            while let Ok(object) = scope.alloc(&[], payload) {
                pins.push(scope.pin(object));
            }
        }
    });
    let listed = reference_of(again.handle()).object;
    two.send(A, &[again]);
    two.pass(50);
    let delivery = two.arrived[B].pop().unwrap();
    assert!(delivery.references[0].pin.is_ok());
    drop(delivery);
    two.pass(50);
    assert_eq!(two.members[A].node().held_by(listed).0.len(), 1, "its home lists the holder");
    drop(held);
}

#[test]
fn what_is_not_held_cannot_be_sent_and_to_nobody_either() {
    let mut two = Two::new();
    let object = two.make(A);
    let outward = two.members[A].send(two.now, NodeId(9), &[object], Vec::new(), 44);
    two.take(A, outward);
    let refused = Effect::NotSent { token: 44, reason: Refusal::NoSuchMember };
    assert!(two.effects[A].contains(&refused));
}

#[test]
fn a_desk_that_is_closed_keeps_nobody() {
    let mut two = Two::new();
    let (mut a, b) = two.begin();
    drop(two);
    assert_eq!(a.hear(), Heard::GiveUp);
    assert_eq!((a.outcome(), b.outcome()), (Some(false), Some(false)));
}

#[test]
fn a_heap_of_another_life_is_refused() {
    let heap = Heap::new(HeapConfig { node: 1, incarnation: 4, ..HeapConfig::with_limit(1 << 20) }).unwrap();
    let error = Member::new(heap, Config::new(Life::new(1, 5), 7, 0)).err().unwrap();
    assert!(error.to_string().contains("n1.4") && error.to_string().contains("n1.5"), "{error}");
}

#[test]
fn a_name_reads_back() {
    let reference =
        Reference { home: Life::new(3, u64::MAX), object: gc_protocol::Object { cell: 9, generation: 2 } };
    assert_eq!(reference_of(handle_of(reference)), reference);
}
