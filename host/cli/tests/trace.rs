//! Recording, replaying and looking into traces, with the real binary.

mod common;

use common::{Ended, Place};

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
fn a_disk_that_fills_while_recording_ends_the_recording_alone() {
    let place = Place::new();
    // No file may be larger than 1.5 MiB, which is enough for the memory of a small heap: what is written beyond that fails as on a full disk.
    let limited = ["bash", "-c", "ulimit -f 1536; exec \"$0\" \"$@\""];
    let load = "churn?live=500&operations=600k&threads=1";
    let run = ["run", "--load", load, "--heap", "2MiB", "--record", "a.trace", "--json"];
    let ended: Ended = place.command_under(&limited, &run).output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (load, record) = (&ended.json()["load"], &ended.json()["record"]);
    assert!(load["operations"].as_u64() > Some(600_000), "{ended:?}");
    assert!(
        ended.err.contains("recording has stopped") && ended.err.contains("can be replayed"),
        "{ended:?}"
    );
    assert!(
        record["problem"].as_str().is_some_and(|problem| problem.contains("cannot be written")),
        "{record}"
    );
    let info = place.host(&["trace", "info", "a.trace", "--json"]).json();
    let kept = info["operations"].as_u64().unwrap();
    assert!((100_000..600_000).contains(&kept), "{info}");
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
    let compared = ["bench", "--a", "tracing", "--b", "refcount", "--trace", "future.trace", "--out", "out"];
    let ended = place.host(&compared);
    assert!(ended.code == Some(1) && ended.err.contains("version 9"), "{ended:?}");
    assert!(!place.path("out").exists());
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
