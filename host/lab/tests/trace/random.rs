//! Programs drawn at random, alone and several at a time.

use gc_heap::{Handle, Heap, Local, Mutator, Pin, Scope};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::graph::shape;
use crate::{beside_cycles, common, ended, recorded, replayed};

/// Roots that all programs share.
const ROOTS: u32 = 6;

/// A program that does anything, over and over. What it cannot do at the moment it leaves.
pub(crate) struct Program {
    random: ChaCha8Rng,
    handles: Vec<Handle>,
    pins: Vec<Pin>,
}

impl Program {
    pub(crate) fn new(seed: u64) -> Program {
        Program { random: ChaCha8Rng::seed_from_u64(seed), handles: Vec::new(), pins: Vec::new() }
    }

    pub(crate) fn run(&mut self, mutator: &mut Mutator, scopes: u32) {
        for _ in 0..scopes {
            let count = self.random.random_range(1..40);
            mutator.scope(|scope| self.act(scope, count, 0));
        }
    }

    fn act(&mut self, scope: &mut Scope<'_>, count: u32, depth: u32) {
        let mut held: Vec<Local<'_>> = Vec::new();
        for _ in 0..count {
            if depth < 4 && self.random.random_bool(0.1) {
                let count = self.random.random_range(0..20);
                scope.scope(|inner| self.act(inner, count, depth + 1));
            } else if let Some(found) = self.operation(scope, &held) {
                held.push(found);
            }
        }
    }

    fn any<'s>(&mut self, held: &[Local<'s>]) -> Option<Local<'s>> {
        (!held.is_empty()).then(|| held[self.random.random_range(0..held.len())])
    }

    fn name(&mut self) -> String {
        format!("root {}", self.random.random_range(0..ROOTS))
    }

    fn operation<'s>(&mut self, scope: &Scope<'s>, held: &[Local<'s>]) -> Option<Local<'s>> {
        match self.random.random_range(0..20) {
            0..5 => {
                let most = if self.random.random_bool(0.05) { 40 } else { 7 };
                let slots: Vec<_> = (0..self.random.random_range(0..most))
                    .map(|_| if self.random.random_bool(0.5) { self.any(held) } else { None })
                    .collect();
                let payload = vec![7; self.random.random_range(0..100)];
                let made = scope.alloc(&slots, &payload).unwrap();
                if self.random.random_bool(0.3) {
                    self.handles.push(scope.handle(made));
                }
                Some(made)
            }
            5..9 => {
                let object = self.any(held)?;
                let slot = self.random.random_range(0..scope.slot_count(object) as u32);
                scope.load(object, slot).unwrap()
            }
            9..13 => {
                let (object, value) = (self.any(held)?, self.any(held));
                let slot = self.random.random_range(0..scope.slot_count(object) as u32);
                let value = value.filter(|_| self.random.random_bool(0.8));
                scope.store(object, slot, value).unwrap();
                None
            }
            13 => {
                let value = self.any(held).filter(|_| self.random.random_bool(0.8));
                scope.set_root(&self.name(), value);
                None
            }
            14 => scope.root(&self.name()),
            15..17 if !self.handles.is_empty() => {
                let at = self.random.random_range(0..self.handles.len());
                scope.resolve(self.handles[at]).ok()
            }
            17 => {
                let object = self.any(held)?;
                self.pins.push(scope.pin(object));
                None
            }
            18 if !self.pins.is_empty() => {
                let at = self.random.random_range(0..self.pins.len());
                let found = scope.pinned(&self.pins[at]);
                if self.random.random_bool(0.7) {
                    drop(self.pins.swap_remove(at));
                }
                Some(found)
            }
            _ => {
                scope.read(self.any(held)?, &mut Vec::new());
                None
            }
        }
    }
}

fn record(heap: &Heap, seed: u64, threads: u64, scopes: u32) {
    beside_cycles(heap, |_| {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let mut program = Program::new(seed ^ thread << 32);
                    program.run(&mut heap.mutator(), scopes);
                });
            }
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_alone_leaves_the_same_graph(seed: u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let (first, recording) = recorded(16, &path);
        record(&first, seed, 1, 200);
        let report = ended(&first, recording);
        let second = common::heap(16);
        prop_assert_eq!(replayed(&path, &second).operations, report.operations);
        prop_assert!(shape(&first) == shape(&second));
    }

    /// Threads that store in the same slot at the same time leave something that no trace knows; everything else must be as it was.
    #[test]
    fn programs_beside_each_other_come_by_what_they_came_by(seed: u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let (first, recording) = recorded(16, &path);
        record(&first, seed, 3, 300);
        let report = ended(&first, recording);
        let second = common::heap(16);
        let replay = replayed(&path, &second);
        prop_assert_eq!((replay.operations, replay.threads), (report.operations, 3));
        let names = |heap: &Heap| heap.named_roots().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        prop_assert_eq!(names(&first), names(&second));
    }
}
