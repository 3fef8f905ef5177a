//! The mock heap catches what a strategy may not do: each of these strategies misbehaves in one way.

use std::sync::atomic::{AtomicU32, AtomicU64};

use gc_sdk::graph::Columns;
use gc_sdk::testing::{
    Access, MockHeap, Runner, Violation, check_complete, check_complete_over_nodes, check_safe, random_heap,
};
use gc_sdk::{
    Cause, Cell, Completeness, CycleInfo, Error, Graph, Info, Marker, Need, Options, Progress, Shape,
    Strategy, Verdict,
};

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
strategy!(CondemnsNull, Verdict::Condemned(vec![3, 0]), Progress::Idle);
strategy!(CondemnsOverAndOver, Verdict::Condemned(vec![3; 128]), Progress::Idle);
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
    assert!(matches!(violation::<CondemnsNull>(heap()), Violation::Nonsense(_)));
    assert!(matches!(violation::<CondemnsOverAndOver>(heap()), Violation::Nonsense(_)));
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

/// A marker that takes part in marking over nodes; what it tells and whether it begins properly is given.
macro_rules! over_nodes {
    ($name:ident, $begin:ident, $told:expr) => {
        struct $name(Marker);

        impl Strategy for $name {
            const INFO: Info = Info {
                needs: &[Need::ClusterMark],
                completeness: Completeness::All(1),
                ..Info::new("over-nodes", "0.1.0", "Marks over nodes.")
            };

            fn new(_: &Options, shape: Shape) -> Result<$name, Error> {
                Ok($name(Marker::new(shape)))
            }

            fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
                self.0.$begin(cycle);
                Ok(())
            }

            fn roots(&mut self, cells: &[Cell]) {
                self.0.add(cells);
            }

            fn shade(&mut self, cells: &[Cell]) -> bool {
                self.0.add(cells)
            }

            fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
                Ok(self.0.run(graph, budget))
            }

            fn take_reached(&mut self) -> Vec<Cell> {
                ($told)(&mut self.0)
            }

            fn finish(&mut self, _: &impl Graph) -> Result<Verdict, Error> {
                Ok(Verdict::Survivors(self.0.survivors()))
            }
        }
    };
}

trait Forgetful {
    fn forget(&mut self, cycle: &CycleInfo);
}

impl Forgetful for Marker {
    fn forget(&mut self, _: &CycleInfo) {
        self.clear();
    }
}

over_nodes!(Honest, begin, Marker::take_reached);
over_nodes!(NeverLooks, forget, Marker::take_reached);
over_nodes!(TellsHalf, begin, |marker: &mut Marker| {
    let mut reached = marker.take_reached();
    reached.truncate(reached.len() / 2);
    reached
});
over_nodes!(TellsTwice, begin, |marker: &mut Marker| marker.take_reached().repeat(2));
over_nodes!(TellsAnObject, begin, |_: &mut Marker| vec![1]);
over_nodes!(TellsTooFar, begin, |_: &mut Marker| vec![1 << 20]);
// Cell 4 is the stub of the heap below that nothing reaches.
over_nodes!(TellsMore, begin, |marker: &mut Marker| [marker.take_reached(), vec![4]].concat());

/// Cell 1 is a root and refers to the stub 2; other nodes hold cell 3, which refers to the stub 4.
fn member() -> MockHeap {
    let mut heap = MockHeap::new(128, Access::Window);
    let (root, reached) = (heap.alloc([0; 4]), heap.import());
    let (exported, hidden) = (heap.alloc([0; 4]), heap.import());
    heap.store(root, 0, reached);
    heap.store(exported, 0, hidden);
    heap.root(root);
    heap.export(exported);
    heap
}

#[test]
fn a_cycle_over_nodes_tells_the_stubs_that_it_reaches_and_frees_what_nobody_reaches() {
    let mut heap = member();
    let mut runner = Runner::<Honest>::new(&heap);
    assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty(), "another node holds cell 3");
    // It is reached over there: a mark arrives when all seems done.
    let mut marks = vec![3];
    let report = runner.cycle_over_nodes(&mut heap, |_, _| std::mem::take(&mut marks)).unwrap();
    assert_eq!((report.condemned, report.reached), (vec![], vec![2, 4]));
    let mut told = Vec::new();
    let report = runner.cycle_over_nodes(&mut heap, |_, reached| {
        told.extend(reached);
        Vec::new()
    });
    let report = report.unwrap();
    assert_eq!((report.condemned, report.reached, told), (vec![3, 4], vec![2], vec![2]));
}

#[test]
fn a_stub_that_survives_untold_is_found() {
    for result in [check_complete_over_nodes::<NeverLooks>, check_complete_over_nodes::<TellsHalf>]
        .map(|check| check(&mut member(), 1))
    {
        assert!(matches!(result, Err(Violation::Untold { cell: 2 })), "{result:?}");
    }
    assert!(check_safe::<Honest>(1).is_ok());
    assert!(matches!(check_safe::<TellsHalf>(1), Err(Violation::Untold { .. })));
}

#[test]
fn telling_what_is_no_stub_is_found() {
    let none = |result| matches!(result, Err(Violation::NoStub { .. }));
    assert!(none(check_complete_over_nodes::<TellsAnObject>(&mut member(), 1)));
    assert!(none(check_complete_over_nodes::<TellsTooFar>(&mut member(), 1)));
}

#[test]
fn telling_too_much_is_safe_and_finds_too_little() {
    assert!(check_complete_over_nodes::<TellsTwice>(&mut member(), 1).is_ok());
    let mut heap = member();
    let runner = &mut Runner::<TellsMore>::new(&heap);
    assert!(runner.cycle_over_nodes(&mut heap, |_, _| Vec::new()).is_ok());
    let result = check_complete_over_nodes::<TellsMore>(&mut member(), 1);
    assert!(matches!(result, Err(Violation::Unreached { cell: 4 })), "{result:?}");
}

fn cycle(number: u64, cause: Cause) -> CycleInfo {
    CycleInfo { number, cause, rebuild: false, allocated_cells: 0, goal_cells: 0, safe_grace_epoch: 0 }
}

#[test]
fn a_marker_finds_each_stub_once_in_a_cycle_over_nodes_and_none_in_others() {
    let mut heap = MockHeap::new(1024, Access::Window);
    let stubs: [Cell; 3] = std::array::from_fn(|_| heap.import());
    let mut marker = Marker::new(Shape { capacity: heap.capacity() });
    let mut found = |cause: Cause, batches: &[&[Cell]]| {
        marker.begin(&cycle(1, cause));
        let found = batches.iter().flat_map(|batch| {
            marker.add(batch);
            while marker.run(&heap, 3) == Progress::More {}
            marker.take_reached()
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(found(Cause::Cluster, &[&stubs[..1], &stubs[..], &stubs[1..]]), stubs);
    assert_eq!(found(Cause::Cluster, &[&stubs[2..]]), stubs[2..], "each cycle begins anew");
    assert_eq!(found(Cause::Request, &[&stubs[..]]), []);
}

#[test]
fn stubs_that_are_reached_late_are_told() {
    // Enough bitmap for several looks of the smallest budget, and a chain that mutators feed while it is marked.
    let mut heap = MockHeap::new(8192, Access::Portable);
    let root = heap.alloc([0; 4]);
    heap.root(root);
    let exported: Vec<Cell> = (0..40)
        .map(|_| {
            let stub = heap.import();
            let cell = heap.alloc([stub, 0, 0, 0]);
            heap.export(cell);
            cell
        })
        .collect();
    let mut waves = exported.iter().rev();
    let mut told: Vec<Cell> = Vec::new();
    let mut runner = Runner::<Honest>::new(&heap).budget(1);
    let report = runner.cycle_over_nodes(&mut heap, |_, reached| {
        told.extend(reached);
        waves.next().copied().into_iter().collect()
    });
    let report = report.unwrap();
    told.sort_unstable();
    assert_eq!(told, exported.iter().map(|cell| cell - 1).collect::<Vec<_>>());
    assert!(report.condemned.is_empty());
}
