//! Recording, replaying and looking into traces, with the real binary.

mod common;

use common::Place;

#[test]
fn a_run_is_recorded_looked_into_and_replayed_the_same_each_time() {
    let place = Place::new();
    let load = "churn?live=2k&operations=100k&threads=2";
    let run = ["run", "--load", load, "--heap", "64MiB", "--record", "churn.trace", "--json"];
    let recorded = place.host(&run);
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    let operations = recorded.json()["record"]["operations"].as_u64().unwrap();
    assert!(operations > 70_000, "{recorded:?}");

    let info = place.host(&["trace", "info", "churn.trace", "--json"]).json();
    assert_eq!((&info["complete"], &info["threads"]), (&true.into(), &2.into()));
    assert_eq!(info["operations"], operations);
    assert!(info["bytes_per_operation"].as_f64().unwrap() < 6.0, "{info}");
    let text = place.host(&["trace", "info", "churn.trace"]).out;
    assert!(text.contains("complete") && text.contains("alloc"), "{text}");
    let head = place.host(&["trace", "head", "churn.trace", "-n", "3"]).out;
    assert_eq!(head.lines().count(), 3, "{head}");

    let cut = place.host(&["trace", "cut", "churn.trace", "short.trace", "--ops", "60000"]);
    assert_eq!(cut.code, Some(0), "{cut:?}");
    for strategy in ["tracing", "refcount"] {
        let replay = [
            "replay",
            "short.trace",
            "--strategy",
            strategy,
            "--heap",
            "4MiB",
            "--deterministic",
            "--json",
            "-q",
        ];
        let first = place.host(&replay).json();
        assert_eq!((&first["operations"], &first["complete"]), (&60_000.into(), &true.into()));
        assert!(first["strategy_fuel"].as_u64().unwrap() > 1000, "{first}");
        assert!(first["cycles"].as_u64().unwrap() > 2, "{first}");
        let second = place.host(&replay).json();
        for same in ["replay_digest", "strategy_fuel", "cycles", "heap_reclaimed_objects"] {
            assert_eq!(first[same], second[same], "{strategy}: {same}");
        }
        assert_eq!(first["replay_digest"].as_str().unwrap().len(), 64);
    }
    let free = place.host(&["replay", "churn.trace", "--json", "-q"]).json();
    assert_eq!(free["operations"], operations);
    assert_eq!((&free["refused_verdicts"], &free["tenure"]), (&0.into(), &"sound".into()));
    let load = place.host(&["run", "--load", "trace:churn.trace", "--json", "-q"]).json();
    assert_eq!(load["load"]["operations"], operations);
}

#[test]
fn what_is_wrong_with_a_trace_is_said() {
    let place = Place::new();
    let load = "churn?live=500&operations=5k&threads=1";
    let recorded = place.host(&["run", "--load", load, "--heap", "16MiB", "--record", "a.trace", "-q"]);
    assert!(recorded.out.contains("record     "), "{recorded:?}");
    let mut bytes = std::fs::read(place.path("a.trace")).unwrap();
    std::fs::write(place.path("cut.trace"), &bytes[..bytes.len() - 10]).unwrap();
    bytes[8] = 9;
    std::fs::write(place.path("future.trace"), &bytes).unwrap();

    let cut = place.host(&["replay", "cut.trace", "-q"]);
    assert_eq!(cut.code, Some(1));
    assert!(cut.out.contains("replayed") && cut.err.contains("at byte"), "{cut:?}");
    let future = place.host(&["replay", "future.trace"]);
    assert!(future.err.contains("version 9") && future.err.contains("version 2"), "{future:?}");
    for (args, says, code) in [
        (&["replay", "nowhere.trace"][..], "nowhere.trace", 1),
        (&["trace", "info", "/dev/null"], "is no trace", 1),
        (&["trace", "cut", "a.trace", "b.trace"], "--ops", 2),
        (&["trace", "cut", "a.trace", "a.trace", "--ops", "1"], "onto itself", 2),
        (&["run", "--load", "churn", "--record", "/dev/full"], "/dev/full", 1),
        (&["run", "--load", "trace:a.trace", "--record", "./a.trace"], "is what is replayed", 2),
    ] {
        let ended = place.host(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.err.contains(says), "{args:?}: {ended:?}");
    }
}
