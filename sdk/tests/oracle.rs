//! The mock heap catches what a strategy may not do: each of these strategies misbehaves in one way.

use std::sync::atomic::{AtomicU32, AtomicU64};

use gc_sdk::graph::Columns;
use gc_sdk::testing::{Access, MockHeap, Runner, Violation, check_complete, check_safe, random_heap};
use gc_sdk::{Cell, Completeness, Error, Graph, Info, Marker, Options, Progress, Shape, Strategy, Verdict};

/// Defines a strategy that promises everything and answers `finish` and `step` as given.
macro_rules! strategy {
    ($name:ident, $finish:expr, $step:expr) => {
        struct $name;

        impl Strategy for $name {
            const INFO: Info =
                Info { completeness: Completeness::All(1), ..Info::new("bad", "0.1.0", "Misbehaves.") };

            fn new(_: &Options, _: Shape) -> Result<$name, Error> {
                Ok($name)
            }

            fn step(&mut self, _: &impl Graph, _: u32) -> Result<Progress, Error> {
                Ok($step)
            }

            fn finish(&mut self, _: &impl Graph) -> Result<Verdict, Error> {
                Ok($finish)
            }
        }
    };
}

strategy!(CondemnsTwo, Verdict::Condemned(vec![2]), Progress::Idle);
strategy!(CondemnsTooFar, Verdict::Condemned(vec![1 << 20]), Progress::Idle);
strategy!(AnswersOneWord, Verdict::Survivors(vec![0]), Progress::Idle);
strategy!(NeverIdle, Verdict::KeepAll, Progress::More);
strategy!(KeepsAll, Verdict::KeepAll, Progress::Idle);

/// Marks, but forgets what mutators overwrite.
struct ForgetsShades(Marker);

impl Strategy for ForgetsShades {
    const INFO: Info = Info::new("forgets-shades", "0.1.0", "Misbehaves.");

    fn new(_: &Options, shape: Shape) -> Result<ForgetsShades, Error> {
        Ok(ForgetsShades(Marker::new(shape)))
    }

    fn begin(&mut self, _: &gc_sdk::CycleInfo) -> Result<(), Error> {
        self.0.clear();
        Ok(())
    }

    fn roots(&mut self, cells: &[Cell]) {
        self.0.add(cells);
    }

    fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
        Ok(self.0.run(graph, budget))
    }

    fn finish(&mut self, _: &impl Graph) -> Result<Verdict, Error> {
        Ok(Verdict::Survivors(self.0.survivors()))
    }
}

/// Cell 1 is a root and refers to cell 2; cell 3 is garbage and refers to cell 4.
fn heap() -> MockHeap {
    let mut heap = MockHeap::new(128, Access::Window);
    let cells: [Cell; 4] = std::array::from_fn(|_| heap.alloc([0; 4]));
    heap.store(cells[0], 0, cells[1]);
    heap.store(cells[2], 0, cells[3]);
    heap.root(cells[0]);
    heap
}

fn violation<S: Strategy>(mut heap: MockHeap) -> Violation {
    Runner::<S>::new(&heap).cycle(&mut heap).expect_err("the strategy misbehaves")
}

#[test]
fn a_reachable_cell_in_the_verdict_is_found() {
    assert!(matches!(violation::<CondemnsTwo>(heap()), Violation::Reachable { cell: 2 }));
}

#[test]
fn garbage_that_other_garbage_refers_to_may_not_go_alone() {
    let mut heap = MockHeap::new(64, Access::Window);
    let (parent, child) = (heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.store(parent, 0, child);
    assert!(matches!(violation::<CondemnsTwo>(heap), Violation::Referenced { cell: 2, from: 1 }));
}

#[test]
fn nonsense_and_endless_work_are_found() {
    assert!(matches!(violation::<CondemnsTooFar>(heap()), Violation::Nonsense(_)));
    assert!(matches!(violation::<AnswersOneWord>(heap()), Violation::Nonsense(_)));
    assert!(matches!(violation::<NeverIdle>(heap()), Violation::Endless));
}

#[test]
fn a_broken_promise_is_found() {
    let result = check_complete::<KeepsAll>(&mut heap(), 3);
    assert!(matches!(result, Err(Violation::Incomplete { left: 2, example: 3, cycles: 3 })), "{result:?}");
}

#[test]
fn a_marker_that_forgets_shades_is_found_by_a_random_mutator() {
    let found = (0..20).filter(|&seed| check_safe::<ForgetsShades>(seed).is_err()).count();
    assert!(found > 5, "only {found} of 20 seeds find it");
}

#[test]
fn window_and_portable_path_mark_the_same() {
    for seed in 0..10 {
        let mut marks = [Access::Window, Access::Portable].map(|access| {
            let heap = random_heap(seed, 3000, access);
            let mut marker = Marker::new(Shape { capacity: heap.capacity() });
            marker.add(&heap.roots().collect::<Vec<_>>());
            while marker.run(&heap, 100) == Progress::More {}
            marker.survivors()
        });
        let heap = random_heap(seed, 3000, Access::Window);
        let mut naive = vec![0u64; marks[0].len()];
        naive[0] = 1;
        heap.reachable().iter().for_each(|cell| naive[*cell as usize / 64] |= 1 << (cell % 64));
        assert_eq!(marks[0], naive, "seed {seed}");
        assert_eq!(std::mem::take(&mut marks[1]), naive, "seed {seed}");
    }
}

#[test]
#[should_panic(expected = "cell 64 is not below the capacity 64")]
fn a_column_with_a_reference_out_of_range_stops_the_marker() {
    let cells: Vec<AtomicU32> = (0..256).map(|at| AtomicU32::new(if at == 5 { 64 } else { 0 })).collect();
    let bitmap = [AtomicU64::new(0)];
    let graph = Columns { cells: &cells, allocated: &bitmap, young: &bitmap, stub: &bitmap };
    let mut marker = Marker::new(Shape { capacity: 64 });
    marker.add(&[1]);
    marker.run(&graph, 10);
}
