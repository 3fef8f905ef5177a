//! Marking over nodes: what a strategy may tell, when, and what becomes of the rest; and components from before there was such a thing.

use std::sync::atomic::Ordering;

use gc_heap::{
    Cause, Collector, CycleEnd, CycleInfo, CycleReport, CycleRequest, Fault, Handle, Heap, Heard, Others,
    Pace, Progress, Strategy,
};
use gc_plugin::{Access, CONTRACT, PluginError, WasmStrategy};

use crate::common::*;

/// A heap of the usual kind in whose plane three free cells are called stubs, for a strategy that is called without a cycle of the heap around it.
fn heap_with_stubs() -> (Heap, [u32; 3]) {
    let heap = heap();
    let stubs = [40_000, 40_001, 65_535];
    for cell in stubs {
        heap.graph().stub()[cell as usize / 64].fetch_or(1 << (cell % 64), Ordering::Relaxed);
    }
    (heap, stubs)
}

fn over_nodes() -> CycleInfo {
    CycleInfo { cause: Cause::Cluster, ..info() }
}

/// Calls a strategy up to its last step, and answers what it has told.
fn told(strategy: &mut WasmStrategy, cycle: &CycleInfo, roots: &[u32]) -> Result<Vec<u32>, Fault> {
    strategy.begin(cycle)?;
    strategy.roots(roots)?;
    let mut told = Vec::new();
    while strategy.step(1000)? == Progress::More {
        told.extend(strategy.take_reached()?);
    }
    told.extend(strategy.take_reached()?);
    Ok(told)
}

/// The nonsense with which a mode ends in a cycle over nodes, and how often the strategy could be called after it.
fn nonsense(mode: &str) -> String {
    let (heap, _) = heap_with_stubs();
    let mut strategy = windowed(mode, &heap);
    let fault = told(&mut strategy, &over_nodes(), &[1, 2]).and_then(|_| strategy.finish()).unwrap_err();
    let calls = strategy.crossings();
    assert_eq!(strategy.take_reached(), Err(fault.clone()), "{mode}");
    assert_eq!(strategy.begin(&info()), Err(fault.clone()), "{mode}");
    assert_eq!(strategy.crossings(), calls, "{mode} is not entered again");
    assert!(intact(&heap), "{mode}");
    match fault {
        Fault::Nonsense(message) => message,
        other => panic!("{mode}: {other:?}"),
    }
}

#[test]
fn what_is_reached_arrives_in_order_and_once() {
    let (heap, [first, second, third]) = heap_with_stubs();
    for access in [Access::Window, Access::Portable] {
        let mut strategy = attach("reach-honestly", &heap, access).unwrap();
        assert!(strategy.needs().cluster_mark);
        assert_eq!(told(&mut strategy, &over_nodes(), &[third, first, 5]), Ok(vec![first, third]));
        assert_eq!(strategy.take_reached(), Ok(vec![]));
        // A mark of another node in the same cycle, and another cycle that knows nothing of this one.
        assert_eq!(strategy.shade(&[second]), Ok(true));
        assert_eq!(strategy.step(1000), Ok(Progress::Idle));
        assert!(strategy.take_reached().unwrap().contains(&second));
        strategy.finish().unwrap();
        assert_eq!(told(&mut strategy, &over_nodes(), &[5]), Ok(vec![]));
    }
}

#[test]
fn what_was_told_in_a_cycle_that_was_given_up_is_forgotten() {
    let (heap, stubs) = heap_with_stubs();
    let mut strategy = windowed("reach-all", &heap);
    strategy.begin(&over_nodes()).unwrap();
    assert_eq!(strategy.step(1000), Ok(Progress::Idle));
    strategy.begin(&over_nodes()).unwrap();
    assert_eq!(strategy.take_reached(), Ok(vec![]));
    assert_eq!(strategy.step(1000), Ok(Progress::Idle));
    assert_eq!(strategy.take_reached(), Ok(stubs.to_vec()));
}

#[test]
fn cells_outside_of_the_heap_are_nonsense() {
    assert!(nonsense("reach-beyond").contains("hostile in `step`: it told that it reached cell 65536"));
    assert!(nonsense("reach-null").contains("cell 0,"));
}

#[test]
fn floods_end_at_a_bound() {
    assert!(nonsense("reach-too-many").contains("65537 reached cells at once"));
    assert!(nonsense("reach-flood").contains("than the 65536 that the heap has"));
}

#[test]
fn telling_at_any_other_time_is_nonsense() {
    for mode in ["reach-in-begin", "reach-in-finish"] {
        let call = mode.strip_prefix("reach-in-").unwrap();
        let message = nonsense(mode);
        assert!(
            message.contains(&format!("hostile in `{call}`: ")) && message.contains("no nodes"),
            "{message}"
        );
    }
    let refused = load("reach-in-describe").unwrap_err();
    assert!(matches!(refused, PluginError::Undescribed { fault: Fault::Nonsense(_), .. }), "{refused}");
    // In a cycle that is not over nodes.
    let Fault::Nonsense(message) = fault("reach-honestly") else { panic!("no nonsense") };
    assert!(message.contains("`step`") && message.contains("no nodes"), "{message}");
}

#[test]
fn a_list_in_the_window_is_refused() {
    let (heap, _) = heap_with_stubs();
    let mut strategy = windowed("reach-in-window", &heap);
    let fault = told(&mut strategy, &over_nodes(), &[]).unwrap_err();
    assert!(matches!(fault, Fault::Trap(message) if message.contains("lies in the window")));
}

#[test]
fn a_strategy_from_before_marking_over_nodes_loads_and_collects() {
    let bytes = compiled(&["contract-0-1-0"], &[]);
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("gc:strategy/heap@0.1.0") && !text.contains(&format!("@{CONTRACT}")),
        "it is of the old contract"
    );
    assert!(!text.contains("gc:strategy/cluster"));
    let loaded = loader().load(bytes, "old.wasm").unwrap();
    assert!(!loaded.description().needs.cluster_mark);
    for access in [Access::Window, Access::Portable] {
        let heap = heap();
        let mut strategy = loaded.attach(heap.graph(), &options(&[]), access).unwrap();
        assert_eq!(cycle(&heap, &mut strategy).condemned_objects, 1000);
        assert_eq!(
            told(&mut strategy, &over_nodes(), &[1]),
            Ok(vec![]),
            "it knows the cause as one of later hosts"
        );
        assert!(intact(&heap));
    }
}

/// Other nodes that reach nothing here, and agree with everything.
#[derive(Default)]
struct Elsewhere {
    told: Vec<u32>,
    condemned: Vec<u32>,
    proved: bool,
}

/// Stubs by the cells of what they stand for, which the test chose.
fn cells(handles: Vec<Handle>) -> impl Iterator<Item = u32> {
    handles.into_iter().map(|handle| handle.cell)
}

impl Others for Elsewhere {
    fn roots(&mut self) -> Vec<Handle> {
        Vec::new()
    }

    fn reached(&mut self, stubs: Vec<Handle>) {
        self.told.extend(cells(stubs));
    }

    fn rest(&mut self) -> Heard {
        Heard::Decide
    }

    fn prove(&mut self, _: Vec<Handle>, stubs: Vec<Handle>) -> bool {
        self.proved = true;
        self.condemned.extend(cells(stubs));
        true
    }
}

/// A heap of the usual kind with stubs for the objects 7 and 8 of another node. One is on the list, the other with an object that another node holds.
fn member() -> Heap {
    let heap = heap();
    let held = heap.mutator().scope(|scope| {
        let stub =
            |cell, import| scope.import(Handle { node: 4711, incarnation: 1, cell, generation: 0 }, import);
        let end = (1..1000).fold(scope.root("list").unwrap(), |at, _| scope.load(at, 0).unwrap().unwrap());
        scope.store(end, 1, Some(stub(7, 1).unwrap())).unwrap();
        scope.handle(scope.alloc(&[Some(stub(8, 2).unwrap())], b"held").unwrap())
    });
    heap.hold(held).unwrap();
    heap
}

fn run_over_nodes(mode: &str, access: Access) -> (Heap, CycleReport, Elsewhere) {
    let heap = member();
    let mut strategy = attach(mode, &heap, access).unwrap();
    let request = CycleRequest::new(Cause::Cluster);
    let mut others = Elsewhere::default();
    let report =
        Collector::new(&heap).run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
    assert!(intact(&heap), "{mode}");
    (heap, report, others)
}

#[test]
fn a_cycle_over_nodes_hears_each_stub_once_and_frees_what_nobody_reached() {
    for (mode, told) in [("reach-honestly", vec![7]), ("reach-often", vec![7]), ("reach-all", vec![7, 8])] {
        for access in [Access::Window, Access::Portable] {
            let (heap, report, others) = run_over_nodes(mode, access);
            assert_eq!(report.end, CycleEnd::Settled, "{mode}");
            assert_eq!((others.told, others.condemned), (told.clone(), vec![8]), "{mode}");
            // The list and its stub.
            assert_eq!(heap.stats().live_objects, 1001, "{mode}");
            assert_eq!(heap.take_freed_stubs().len(), 1, "{mode}");
        }
    }
}

#[test]
fn what_is_no_stub_in_use_is_nonsense() {
    for mode in ["reach-an-object", "reach-what-is-free"] {
        let (heap, report, others) = run_over_nodes(mode, Access::Window);
        assert!(matches!(report.end, CycleEnd::Faulted(Fault::Nonsense(_))), "{mode}: {:?}", report.end);
        assert!(others.told.is_empty() && !others.proved, "{mode}");
        assert_eq!(heap.stats().live_objects, 2003, "{mode}");
    }
}

#[test]
fn a_strategy_that_takes_no_part_is_not_asked_and_every_stub_is_kept() {
    let (heap, report, mut others) = run_over_nodes("honest", Access::Window);
    others.told.sort_unstable();
    assert_eq!((report.end, others.told), (CycleEnd::Settled, vec![7, 8]));
    assert_eq!(heap.stats().live_objects, 2003);
}
