//! Every built-in strategy is loaded by the plugin host and collects a heap, through the window and in batches.

use std::collections::BTreeMap;

use gc_heap::{Cause, Collector, CycleEnd, CycleRequest, Heap, HeapConfig, Pace, Quarantine};
use gc_plugin::{Access, Completeness, Loader, LoaderConfig};

const CYCLES: u32 = 6;

fn heap() -> Heap {
    let config = HeapConfig {
        cell_capacity: Some(1 << 16),
        quarantine: Quarantine::Off,
        share_proofs: false,
        ..HeapConfig::with_limit(16 << 20)
    };
    let heap = Heap::new(config).unwrap();
    heap.mutator().scope(|scope| {
        for name in ["garbage", "list"] {
            let head = (0..1000).fold(None, |tail, _| Some(scope.alloc(&[tail], &[]).unwrap()));
            scope.set_root(name, head);
        }
        scope.set_root("garbage", None);
    });
    heap
}

#[test]
fn every_one_is_served_and_frees_what_it_promises() {
    let loader = Loader::new(LoaderConfig::default()).unwrap();
    for builtin in gc_builtin::all() {
        let loaded = loader.load(builtin.bytes.to_vec(), builtin.name).unwrap();
        let description = loaded.description();
        assert_eq!(description.name, builtin.name);
        let imports = |name: &str| builtin.bytes.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert_eq!(
            imports("gc:strategy/cluster@"),
            description.needs.cluster_mark,
            "{} must load on hosts without marking over nodes if it takes no part in it",
            builtin.name
        );
        for access in [Access::Auto, Access::Portable] {
            let heap = heap();
            let mut strategy = loaded.attach(heap.graph(), &BTreeMap::new(), access).unwrap();
            assert_eq!(strategy.windowed(), access == Access::Auto && loaded.windowed(), "{}", builtin.name);
            let mut collector = Collector::new(&heap);
            let mut live = 0;
            for _ in 0..CYCLES {
                let request = CycleRequest::new(Cause::Request);
                let report = collector.run(&request, &mut strategy, None, &mut |_| Pace::Go);
                assert!(matches!(report.end, CycleEnd::Settled), "{}: {:?}", builtin.name, report.end);
                live = report.live_objects;
            }
            let expected = match description.completeness {
                Completeness::Acyclic(cycles) | Completeness::All(cycles) => {
                    assert!(cycles <= CYCLES, "{} promises late", builtin.name);
                    1000
                }
                Completeness::Nothing | Completeness::Retired(_) => 2000,
            };
            assert_eq!(live, expected, "{} with {access:?}", builtin.name);
        }
    }
}
