//! `host bench` from begin to end, with the real binary. What it finds depends on the machine; what these tests hold it to does not.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, Place};
use gc_lab::bench::model::{Failure, Kind, Outcome, Report};

/// A workload of a few tens of milliseconds.
const SMALL: &str = "churn?operations=10k&live=2k&threads=1";

fn bench(place: &Place, args: &[&str]) -> Ended {
    place.host(&[&["bench", "--json", "--out", "out"], args].concat())
}

fn report(place: &Place) -> Report {
    let text = std::fs::read_to_string(place.path("out/report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn runs(report: &Report, kind: Kind, subject: usize) -> impl Iterator<Item = &gc_lab::bench::model::Run> {
    report.runs.iter().filter(move |run| run.kind == kind && run.subject == subject)
}

/// A component of the hostile crate in a mode, as a file.
fn hostile(place: &Place, mode: &str) -> String {
    let bytes = gc_wasm_build::hostile(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), mode);
    let path = place.path(&format!("{mode}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// A graph that is built and collected: so many cycles over so many cells, whatever else the machine does.
fn graph(place: &Place) {
    let mut text = String::from("root 0\n");
    for node in 1..20_000_u32 {
        text += &format!("edge {} {node}\n", node / 3);
        text += &format!("edge {node} {}\n", node / 2);
    }
    std::fs::write(place.path("graph.txt"), text).unwrap();
}

#[test]
fn a_comparison_ends_with_a_report_that_has_everything_in_it() {
    let place = Place::new();
    // Enough allocation for cycles that nobody asks for.
    let work = "churn?operations=100k&live=15k&threads=1";
    let args = ["--a", "tracing", "--b", "mark-sweep", "--workload", work, "--rounds", "6", "--heap", "2x"];
    let ended = bench(&place, &[&args[..], &["--swap-at", "0.3", "--warmup", "0"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&place);
    assert_eq!((report.plan.rounds, report.interrupted), (6, false));
    assert!(
        report.workloads[0].minimum_heap_bytes.is_some_and(|bytes| bytes > 1 << 18),
        "{:?}",
        report.workloads
    );
    for subject in [0, 1] {
        assert_eq!(runs(&report, Kind::Timed, subject).count(), 6);
        assert_eq!(runs(&report, Kind::Fuel, subject).count(), 6);
        for run in report.runs.iter().filter(|run| run.subject == subject && run.outcome.is_ok()) {
            let measures = run.measures.as_deref().unwrap();
            let cpu = &measures.cpu;
            let parts = cpu.collector_ns() + cpu.mutator_ns + cpu.other_ns;
            assert_eq!(parts, measures.cpu_ns, "{run:?}");
            assert!(measures.wall_ns > 0 && measures.operations > 0 && measures.footprint.byte_seconds > 0.0);
        }
        assert!(
            runs(&report, Kind::Fuel, subject).any(|run| run.measures.as_deref().unwrap().fuel > Some(0))
        );
    }
    let first =
        runs(&report, Kind::Timed, 0).find(|run| run.round == 0).unwrap().measures.as_deref().unwrap();
    assert!(!first.heap.is_empty() && first.latency.is_some() && !first.mmu.is_empty(), "{first:?}");
    assert_eq!(runs(&report, Kind::Same, 0).filter(|run| run.side == 1).count(), 6);
    assert!(runs(&report, Kind::Baseline, 2).count() >= 2);
    // Both sides of a round do the same work.
    for run in runs(&report, Kind::Timed, 0) {
        let other = runs(&report, Kind::Timed, 1)
            .find(|other| (other.round, other.heap_bytes) == (run.round, run.heap_bytes))
            .unwrap();
        assert_eq!(run.seed, other.seed);
        let operations =
            |run: &gc_lab::bench::model::Run| run.measures.as_deref().map(|measures| measures.operations);
        assert_eq!(operations(run), operations(other));
    }
    for file in ["report.html", "verdicts.csv", "samples.csv", "trace.json", "pauses.hlog"] {
        assert!(place.path("out").join(file).is_file(), "{file} is missing");
    }
    let summary = ended.json();
    if cfg!(debug_assertions) {
        let page = std::fs::read_to_string(place.path("out/report.html")).unwrap();
        assert!(summary["noisy"].to_string().contains("this is a debug build"), "{summary}");
        assert!(page.contains("Noisy machine") && page.contains("this is a debug build"));
    }
    assert_eq!(summary["event"], "bench");
    assert!(
        summary["verdicts"].as_array().unwrap().iter().any(|verdict| verdict["measure"] == "cpu"),
        "{summary}"
    );
    assert!(ended.err.is_empty(), "{ended:?}");
}

#[test]
fn as_many_rounds_are_made_as_fit_into_the_time_and_never_fewer_than_six() {
    let place = Place::new();
    let args = ["--a", "tracing", "--b", "mark-sweep", "--workload", SMALL, "--heap", "2x", "--warmup", "0"];
    let ended = bench(&place, &[&args[..], &["--within", "1s"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&place);
    assert_eq!((report.plan.rounds, report.interrupted), (6, false));
    for subject in [0, 1] {
        assert_eq!(runs(&report, Kind::Timed, subject).count(), 6);
        // What is measured beside the rounds is not what is left out.
        assert_eq!(runs(&report, Kind::Fuel, subject).count(), 7);
        assert_eq!(runs(&report, Kind::Oracle, subject).count(), 2);
    }
    let both = bench(&place, &[&args[..], &["--within", "1m", "--quick"]].concat());
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[test]
fn a_collector_made_slower_on_purpose_is_found_and_the_same_one_is_not() {
    let place = Place::new();
    graph(&place);
    let (honest, slower) = (hostile(&place, "honest"), hostile(&place, "slower"));
    let compare = |b: &str| {
        let args =
            ["--a", &honest, "--b", b, "--workload", "graph:graph.txt", "--rounds", "8", "--heap", "4x"];
        let ended = bench(&place, &[&args[..], &["--warmup", "0", "--fail-if", "fuel > +1%"]].concat());
        let summary = ended.json();
        let fuel = summary["verdicts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|verdict| verdict["measure"] == "fuel")
            .cloned();
        (ended, fuel.unwrap())
    };
    let (ended, fuel) = compare(&slower);
    assert_eq!((ended.code, &fuel["is"]), (Some(4), &"worse".into()), "{fuel}");
    let ratio = fuel["ratio"].as_f64().unwrap();
    assert!((1.02..1.05).contains(&ratio), "{fuel}");
    let (ended, fuel) = compare(&honest);
    assert_eq!((ended.code, &fuel["is"]), (Some(0), &"even".into()), "{fuel}");
}

#[test]
fn a_strategy_that_fails_is_marked_and_the_others_stand() {
    let place = Place::new();
    let broken = hostile(&place, "finish-trap");
    let args = ["--a", "mark-sweep", "--b", &broken, "--workload", SMALL, "--rounds", "6", "--heap", "2x"];
    let ended = bench(&place, &[&args[..], &["--warmup", "0"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&place);
    assert!(runs(&report, Kind::Timed, 0).filter(|run| run.outcome.is_ok()).count() >= 5);
    let failed: Vec<_> = runs(&report, Kind::Timed, 1).collect();
    assert!(!failed.is_empty());
    for run in failed {
        let Outcome::Failed { how, why } = &run.outcome else { panic!("{run:?}") };
        assert!(*how == Failure::Strategy && why.contains("trap") && run.measures.is_none(), "{why}");
    }
    assert!(
        report.remarks.iter().any(|remark| remark.contains("finish") && remark.contains("failed")),
        "{:?}",
        report.remarks
    );
}

#[test]
fn few_rounds_say_nothing_and_say_so() {
    let place = Place::new();
    let args = ["--a", "tracing", "--b", "mark-sweep", "--workload", SMALL, "--rounds", "3", "--heap", "2x"];
    let ended = bench(&place, &args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let verdicts = ended.json()["verdicts"].clone();
    for verdict in verdicts.as_array().unwrap() {
        assert_eq!(verdict["is"], "unsaid", "{verdict}");
        assert!(verdict["text"].as_str().unwrap().contains("at least 6"), "{verdict}");
    }
}

#[test]
fn what_fits_into_no_heap_is_named_and_the_rest_stands() {
    let place = Place::new();
    // 131,071 nodes that live at once, and room for 65,536 cells.
    let (large, both) = ("binary-trees?depth=16", format!("binary-trees?depth=16,{SMALL}"));
    let args = ["--a", "mark-sweep", "--b", "tracing", "--heap", "2x", "--rounds", "1", "--warmup", "0"];
    let args = [&args[..], &["--heap-max", "2MiB", "--workload"]].concat();
    let says =
        "binary-trees does not get through in any heap up to 2.0 MiB with any strategy that frees: heap full";
    let ended = bench(&place, &[&args[..], &[&both]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&place);
    assert!(report.remarks.iter().any(|remark| remark.contains(says)), "{:?}", report.remarks);
    assert_eq!((report.workloads[0].minimum_heap_bytes, report.workloads.len()), (None, 2));
    assert!(report.workloads[0].probes.iter().all(|probe| probe.heap_bytes <= 2 << 20));
    let whose: Vec<usize> = runs(&report, Kind::Timed, 0).map(|run| run.workload).collect();
    assert_eq!(whose, [1]);

    let alone = bench(&place, &[&args[..], &[large]].concat());
    assert_eq!((alone.code, alone.out.as_str()), (Some(1), ""), "{alone:?}");
    assert!(alone.err.contains("there is nothing to compare") && alone.err.contains(says), "{alone:?}");
}

/// The process that makes the run of a comparison.
fn child_of(parent: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until something has been measured and written, which is done every few seconds.
fn measured(place: &Place) {
    wait_for("a run of the first strategy against itself", || {
        let text = std::fs::read_to_string(place.path("out/report.json")).ok()?;
        text.contains("\"kind\":\"same\"").then_some(())
    });
}

/// Whether there is such a process, and it has not ended.
fn runs_on(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn what_a_killed_comparison_had_measured_can_be_answered_from() {
    let place = Place::new();
    // Each run takes longer than this test waits for its end.
    let long = "churn?operations=300k&live=2k&threads=1";
    let args =
        ["bench", "--a", "tracing", "--b", "mark-sweep", "--workload", long, "--out", "out", "--heap", "2x"];
    let mut child =
        place.command(&[&args[..], &["--rounds", "500", "--warmup", "0"]].concat()).spawn().unwrap();
    measured(&place);
    let run = wait_for("a run", || child_of(child.id()));
    kill("-KILL", child.id());
    child.wait().unwrap();
    wait_for("the end of the run", || (!runs_on(run)).then_some(()));
    let first = report(&place);
    assert!(first.interrupted && runs(&first, Kind::Same, 0).count() > 0 && first.took_ns > 0);
    assert!(!place.path("out/report.html").exists());

    let again = place.host(&["bench", "--json", "--report", "out/report.json", "--fail-if", "cpu > +3%"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(
        (&again.json()["interrupted"], &again.json()["limits"][0]["broken"]),
        (&true.into(), &false.into())
    );
    assert!(again.json()["remarks"].to_string().contains("did not come to an end"), "{again:?}");
    assert!(place.path("out/report.html").exists() && report(&place) == first);
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let place = Place::new();
    let args =
        ["bench", "--a", "tracing", "--b", "mark-sweep", "--workload", SMALL, "--out", "out", "--heap", "2x"];
    let child = place.command(&[&args[..], &["--rounds", "500", "--warmup", "0"]].concat()).spawn().unwrap();
    measured(&place);
    kill("-INT", child.id());
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let report = report(&place);
    assert!(report.interrupted && runs(&report, Kind::Same, 0).count() > 0);
    assert!(ended.err.contains("interrupted"), "{ended:?}");
}

#[test]
fn a_run_whose_process_dies_is_marked() {
    let place = Place::new();
    let args = [
        "bench",
        "--json",
        "--a",
        "tracing",
        "--b",
        "mark-sweep",
        "--workload",
        "churn?operations=300k&live=2k",
    ];
    let rest = ["--out", "out", "--rounds", "1", "--heap", "3x", "--warmup", "0"];
    let child = place.command(&[&args[..], &rest].concat()).spawn().unwrap();
    // The first run is the baseline.
    let run = wait_for("the first run", || child_of(child.id()));
    kill("-KILL", run);
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&place);
    let Outcome::Failed { how: Failure::Crashed, why } = &report.runs[0].outcome else {
        panic!("{:?}", report.runs[0])
    };
    assert!(why.contains("signal"), "{why}");
    assert!(report.remarks.iter().any(|remark| remark.contains("no baseline")), "{:?}", report.remarks);
    assert!(report.runs[1..].iter().all(|run| run.outcome.is_ok()), "{:?}", report.runs);
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_runs() {
    let place = Place::new();
    let two = ["bench", "--a", "tracing", "--b", "mark-sweep"];
    for (args, code, word) in [
        (vec!["bench", "--a", "tracing", "--workload", SMALL], 2, "--b"),
        ([&two[..], &["--workload", SMALL, "--nodes", "3"]].concat(), 2, "cluster"),
        ([&two[..], &["--workload", "random-workers", "--nodes", "0"]].concat(), 2, "2 to 64 nodes"),
        ([&two[..], &["--workload", "random-workers", "--nodes", "65"]].concat(), 2, "2 to 64 nodes"),
        ([&two[..], &[]].concat(), 2, "--workload"),
        ([&two[..], &["--workload", "juggling"]].concat(), 2, "juggling"),
        ([&two[..], &["--workload", SMALL, "--heap", "0.5x"]].concat(), 2, "1.5x"),
        ([&two[..], &["--workload", SMALL, "--fail-if", "speed > 3%"]].concat(), 2, "speed"),
        ([&two[..], &["--workload", SMALL, "--fail-if", "churm/cpu > +3%"]].concat(), 2, "one of churn"),
        (
            [&two[..], &["--workload", SMALL, "--heap", "2x", "--fail-if", "cpu@4x > +3%"]].concat(),
            2,
            "4x is not",
        ),
        ([&two[..], &["--trace", "nowhere.trace", "--out", "out"]].concat(), 1, "nowhere.trace"),
        ([&two[..], &["--workload", "graph:nowhere.txt", "--out", "out"]].concat(), 1, "nowhere.txt"),
        (vec!["bench", "--a", "tracing?depth=3", "--b", "mark-sweep", "--workload", SMALL], 1, "depth"),
        (vec!["bench", "--a", "generational", "--b", "mark-sweep", "--workload", SMALL], 1, "generational"),
        ([&two[..], &["--workload", SMALL, "--out", "/proc/nothing"]].concat(), 1, "--out"),
        (vec!["bench", "--report", "nowhere.json"], 1, "nowhere.json"),
        (vec!["bench", "--report", "/dev/null"], 1, "this is no report"),
        ([&two[..], &["--report", "nowhere.json"]].concat(), 2, "--report"),
    ] {
        let ended = place.host(&args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.err.contains(word), "{args:?}: {ended:?}");
    }
    assert!(!place.path("out").exists(), "a folder is left behind though nothing came of it");
}
