//! What a strategy that does as it should can rely on.

use gc_heap::{CycleEnd, Strategy, Verdict};
use gc_plugin::{Access, CONTRACT, Completeness, OptionValue, PageKind};

use crate::common::*;

#[test]
fn an_honest_strategy_collects_through_the_window_and_in_batches() {
    for access in [Access::Window, Access::Portable, Access::Auto] {
        let heap = heap();
        let mut strategy = attach("honest", &heap, access).unwrap();
        assert_eq!(strategy.windowed(), access != Access::Portable);
        let report = cycle(&heap, &mut strategy);
        assert!(matches!(report.end, CycleEnd::Settled), "{access:?}: {:?}", report.end);
        assert_eq!((report.condemned_objects, report.live_objects), (1000, 1000), "{access:?}");
        assert!(intact(&heap));
    }
}

#[test]
fn a_strategy_without_a_window_works_in_batches() {
    let bytes = compiled(&["no-window"], &[]);
    let loaded = loader().load(bytes, "portable.wasm").unwrap();
    assert!(!loaded.windowed());
    assert_eq!(loaded.world(), format!("gc:strategy/collector@{CONTRACT}"));
    let heap = heap();
    let refused = loaded.attach(heap.graph(), &options(&[]), Access::Window).unwrap_err().to_string();
    assert!(refused.contains("hostile") && refused.contains("portable"), "{refused}");
    let mut strategy = loaded.attach(heap.graph(), &options(&[]), Access::Auto).unwrap();
    assert_eq!(cycle(&heap, &mut strategy).condemned_objects, 1000);
}

#[test]
fn every_read_of_the_portable_path_shows_what_the_window_shows() {
    for access in [Access::Window, Access::Portable] {
        let heap = heap();
        let mut strategy = attach("step-read-all", &heap, access).unwrap();
        let report = cycle(&heap, &mut strategy);
        assert!(matches!(report.end, CycleEnd::Settled), "{:?}", report.end);
        assert!(strategy.take_log().lines.iter().any(|line| line.text == "read everything"));
    }
}

#[test]
fn a_window_follows_what_mutators_write() {
    let heap = heap();
    let mut strategy = windowed("honest", &heap);
    assert_eq!(cycle(&heap, &mut strategy).live_objects, 1000);
    heap.mutator().scope(|scope| {
        let head = scope.root("list").unwrap();
        let second = scope.load(head, 0).unwrap().unwrap();
        let third = scope.load(second, 0).unwrap();
        scope.store(head, 0, third).unwrap();
    });
    let report = cycle(&heap, &mut strategy);
    assert_eq!((report.condemned_objects, report.live_objects), (1, 999));
}

#[test]
fn two_strategies_see_one_heap_at_once() {
    let heap = heap();
    let (mut one, mut two) = (windowed("honest", &heap), windowed("keep-all", &heap));
    assert_eq!(cycle(&heap, &mut two).condemned_objects, 0);
    assert_eq!(cycle(&heap, &mut one).condemned_objects, 1000);
    drop(one);
    assert!(matches!(cycle(&heap, &mut two).end, CycleEnd::Settled));
}

#[test]
fn windows_come_and_go_without_leaving_memory_behind() {
    let heap = heap();
    let loaded = load("honest").unwrap();
    let reserved = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("gc-graph").count();
    for _ in 0..50 {
        let mut strategy = loaded.attach(heap.graph(), &options(&[]), Access::Window).unwrap();
        assert!(matches!(cycle(&heap, &mut strategy).end, CycleEnd::Settled));
    }
    assert!(intact(&heap));
    // Other tests map their own heaps at the same time; fifty leaked windows would still stand out.
    assert!(reserved() < 40, "{} mappings of planes", reserved());
}

#[test]
fn what_is_said_of_a_strategy_is_what_it_says() {
    let loaded = load("honest").unwrap();
    let description = loaded.description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("hostile", "1.2.3"));
    assert!(description.needs.change_log && description.needs.retired);
    assert_eq!(description.completeness, Completeness::All(1));
    assert_eq!(description.options[1].default, OptionValue::Integer(7));
    assert_eq!(loaded.world(), format!("gc:strategy/windowed-collector@{CONTRACT}"));
    assert_eq!(loaded.bytes(), hostile("honest"));
    assert_eq!(loaded.digest().len(), 64);
    assert_eq!(loaded.identity().digest, loaded.digest());
}

#[test]
fn options_arrive_settled_and_in_their_declared_order() {
    let heap = heap();
    let loaded = load("configure-echo").unwrap();
    let set = options(&[("ratio", OptionValue::Number(2.5)), ("eager", OptionValue::Boolean(false))]);
    let said = loaded.attach(heap.graph(), &set, Access::Auto).unwrap_err().to_string();
    for part in
        ["eager=OptionValue::Boolean(false) depth=OptionValue::Integer(7)", "Number(2.5)", "Text(\"x\")"]
    {
        assert!(said.contains(part), "{said}");
    }
    let refused = loaded.attach(heap.graph(), &options(&[("deep", OptionValue::Integer(1))]), Access::Auto);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("deep") && refused.contains("eager, depth, ratio, label"), "{refused}");
}

#[test]
fn messages_arrive_as_they_were_sent() {
    let heap = heap();
    let mut strategy = windowed("echo", &heap);
    strategy.begin(&info()).unwrap();
    strategy.changed(&[[1, 2, 3, 4, 5, 6, 7, 8, 9], [11, 12, 13, 14, 15, 16, 17, 18, 19]]).unwrap();
    strategy.retired(&[21, 22], &[31, 32]).unwrap();
    let seen: Vec<u32> = (1..=9).chain(11..=19).chain([21, 22, 31, 32]).collect();
    assert_eq!(strategy.finish().unwrap(), Verdict::Condemned(seen));
}

#[test]
fn telemetry_counts_what_a_strategy_uses() {
    let heap = heap();
    let mut strategy = windowed("honest", &heap);
    let before = strategy.crossings();
    strategy.begin(&info()).unwrap();
    assert_eq!(strategy.crossings(), before + 1);
    assert!((1 << 16..32 << 20).contains(&strategy.memory_bytes()), "{}", strategy.memory_bytes());
    assert_eq!(strategy.fuel_used(), None);
    assert!(matches!(strategy.pages(), Some(PageKind::Small | PageKind::Huge)));
    assert_eq!(attach("honest", &heap, Access::Portable).unwrap().pages(), None);
}

#[test]
fn fuel_is_counted_exactly_when_it_is_asked_for() {
    let heap = heap();
    let loader = gc_plugin::Loader::new(gc_plugin::LoaderConfig { fuel: true, ..config() }).unwrap();
    let loaded = loader.load(hostile("honest"), "honest.wasm").unwrap();
    let used = || {
        let mut strategy = loaded.attach(heap.graph(), &options(&[]), Access::Portable).unwrap();
        strategy.begin(&info()).unwrap();
        strategy.roots(&[1, 2, 3]).unwrap();
        strategy.step(1000).unwrap();
        strategy.fuel_used().unwrap()
    };
    assert_eq!(used(), used());
    assert!(used() > 1000);
}
