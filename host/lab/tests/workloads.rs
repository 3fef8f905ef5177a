//! What every synthetic workload is asked, whatever it does: is it the same with the same seed, does it end when it is told to, does it leave a heap that
//! is too small as it was, does it fit into what it says that it keeps alive.

mod common;

use gc_lab::{WorkloadError, WorkloadSpec};

/// A workload and what it is asked with. Empty where a question does not arise.
struct Asked {
    name: &'static str,
    /// Options under which it does some work, without a seed, and whether its end is the same too, because its threads do not meet; none for a workload
    /// that draws nothing.
    seeded: Option<(&'static str, bool)>,
    /// Options that make it long enough to be stopped, with milliseconds until then: while it builds, and while it works.
    stopped: &'static [(&'static str, u64)],
    /// Options with which 8 MiB are too little.
    too_large: &'static [&'static str],
    /// Options for the bytes that it keeps alive. Values of many sizes need slabs of many classes, for which a heap of a few megabytes has no room.
    fits: &'static [&'static str],
}

const ALL: &[Asked] = &[
    Asked {
        name: "gcbench",
        seeded: None,
        stopped: &[("depth=18", 0), ("depth=18", 50), ("depth=18", 400), ("depth=8&rounds=100000", 400)],
        too_large: &["depth=18"],
        fits: &["quick", "quick&threads=4"],
    },
    Asked {
        name: "binary-trees",
        seeded: None,
        stopped: &[("depth=20", 0), ("depth=20", 50), ("depth=20", 400)],
        too_large: &["depth=18&threads=2"],
        fits: &["depth=14"],
    },
    Asked {
        name: "service",
        seeded: Some(("requests=20k&keys=500&size=lognormal:80:1", false)),
        stopped: &[("keys=1M", 50), ("seconds=100&keys=100", 300), ("rate=1&keys=10", 300)],
        too_large: &["keys=50k"],
        fits: &["quick", "quick&updates=1&sessions=1000", "quick&fields=1&size=fixed:1000&updates=0"],
    },
    Asked {
        name: "queue",
        seeded: None,
        stopped: &[("length=20M", 100), ("items=1G", 300), ("items=1G&consumers=3&length=2", 300)],
        too_large: &["length=1M", "length=1M&producers=3&consumers=3&items=10M"],
        fits: &["items=100k&length=20k", "items=100k&length=40k&size=200&producers=2"],
    },
    Asked {
        name: "cache",
        seeded: Some(("quick", true)),
        stopped: &[("capacity=1M", 100), ("quick&seconds=100", 300)],
        too_large: &["capacity=100k"],
        fits: &["quick&size=fixed:200", "operations=50k&size=uniform:16:100&retire=false", "operations=50k"],
    },
    Asked {
        name: "editor",
        seeded: Some(("quick", true)),
        stopped: &[("nodes=5M", 100), ("quick&seconds=100", 300)],
        too_large: &["nodes=300k&threads=2"],
        fits: &["quick&nodes=20k&size=fixed:40", "quick&versions=5000&size=fixed:40"],
    },
    Asked {
        name: "churn",
        seeded: Some(("operations=100k&live=2k&shared=0.2", true)),
        stopped: &[("live=1M&rate=1", 100)],
        too_large: &["live=1M&threads=4"],
        fits: &[],
    },
];

#[test]
fn the_same_seed_does_the_same_work() {
    for Asked { name, seeded, .. } in ALL {
        let Some((options, ends_alike)) = seeded else { continue };
        let counts = |seed: u32| {
            let report = common::run(&format!("{name}?{options}&seed={seed}")).unwrap();
            let counted = (report.objects, report.references, report.payload_bytes, report.operations);
            let end = ends_alike.then_some((report.checks, report.expected_live));
            (counted, report.requests, end)
        };
        let first = counts(7);
        assert_eq!(counts(7), first, "{name}");
        assert_ne!(counts(8), first, "{name}");
    }
}

#[test]
fn a_wish_to_stop_is_granted_at_once_in_every_part() {
    for Asked { name, stopped, .. } in ALL {
        for (options, wait_ms) in *stopped {
            let workload = format!("{name}?{options}");
            let asked = common::stopped_after(&common::heap(4096), &workload, *wait_ms);
            assert!(asked.as_secs_f64() < 1.0, "{workload} after {wait_ms} ms: {asked:?}");
        }
    }
}

#[test]
fn a_heap_that_is_too_small_leaves_nothing_behind() {
    for Asked { name, too_large, .. } in ALL {
        for options in *too_large {
            let heap = common::tight_heap(8);
            let ended = common::run_in(&heap, &format!("{name}?{options}"));
            assert!(matches!(ended, Err(WorkloadError::Heap(_))), "{name}?{options}");
            assert_eq!(heap.named_roots(), [], "{name}?{options}");
        }
    }
}

#[test]
fn what_is_alive_fits_into_what_was_stated() {
    for Asked { name, fits, .. } in ALL {
        for options in *fits {
            let workload = format!("{name}?{options}");
            let spec: WorkloadSpec = workload.parse().unwrap();
            common::fits(&workload, spec.live_bytes().unwrap());
        }
    }
}
