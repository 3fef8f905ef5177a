//! The binary as a person uses it.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::Place;

const GRAPH: &str = "# kept and lost\nroot a\nedge a b\nedge b a\nedge lost-1 lost-2\nedge lost-2 lost-1\nedge lost-1 b\nsize b 100\n";

#[test]
fn a_graph_is_loaded_collected_and_told_about() {
    let place = Place::new();
    std::fs::write(place.path("graph.txt"), GRAPH).unwrap();
    for strategy in ["tracing", "mark-sweep", "refcount"] {
        let ended = place.host(&[
            "run",
            "--strategy",
            strategy,
            "--heap",
            "64MiB",
            "--load",
            "graph:graph.txt",
            "--reclaimed",
            "gone",
            "--json",
        ]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let mut gone: Vec<String> =
            std::fs::read_to_string(place.path("gone")).unwrap().lines().map(Into::into).collect();
        gone.sort();
        assert_eq!(gone, ["lost-1", "lost-2"], "{strategy}");
        let summary = ended.json();
        assert_eq!(summary["event"], "summary");
        assert_eq!(summary["strategy"], strategy);
        assert_eq!((&summary["live_objects"], &summary["reclaimed_objects"]), (&2.into(), &2.into()));
        for key in [
            "digest",
            "cycles",
            "pause_ns_p50",
            "pause_ns_p999",
            "pause_ns_max",
            "mark_ns_last",
            "proof_ns_last",
            "heap_committed_bytes",
        ] {
            assert!(!summary[key].is_null(), "{key} is missing: {summary}");
        }
        // The last cycle finds nothing and proves nothing; the one before did.
        assert!(summary["proof_ns_last"].as_u64() > Some(0), "{summary}");
        let events: Vec<serde_json::Value> =
            ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(events.iter().any(|event| event["event"] == "cycle" && event["outcome"] == "settled"));
    }
    let text = place.host(&["run", "--heap", "64MiB", "--load", "graph:graph.txt"]);
    assert!(text.out.contains("2 of 4 objects") && text.out.contains("lost-2"), "{text:?}");
    assert!(text.err.contains("cause=request outcome=settled"), "{text:?}");
}

#[test]
fn a_strategy_is_extracted_and_run_from_its_file() {
    let place = Place::new();
    assert_eq!(place.host(&["strategy", "extract", "epoch"]).code, Some(0));
    let inspected = place.host(&["strategy", "inspect", "epoch.wasm", "--json"]).json();
    assert_eq!(inspected["name"], "epoch");
    assert_eq!(inspected["promises"], "what was retired");
    let ended = place.host(&[
        "run",
        "--strategy",
        "epoch.wasm",
        "--heap",
        "512MiB",
        "--load",
        "churn",
        "--for",
        "300ms",
        "--json",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    assert_eq!((&summary["strategy"], &summary["digest"]), (&inspected["name"], &inspected["digest"]));
    assert!(summary["allocated_objects"].as_u64().unwrap() > 0);
    // What has other content is not written over.
    std::fs::write(place.path("none.wasm"), "precious").unwrap();
    assert_eq!(place.host(&["strategy", "extract", "none"]).code, Some(1));
    assert_eq!(place.host(&["strategy", "extract", "none", "--force"]).code, Some(0));
}

#[test]
fn what_a_workload_has_found_out_is_printed_as_its_source_does() {
    let place = Place::new();
    let run = ["run", "--load", "binary-trees?depth=6", "--heap", "64MiB", "-q"];
    let published = ["stretch tree of depth 7\t check: 255", "long lived tree of depth 6\t check: 127"];
    let text = place.host(&run);
    assert!(published.iter().all(|line| text.out.lines().any(|found| found == *line)), "{text:?}");
    let checks = place.host(&[&run[..], &["--json"]].concat()).json()["load"]["checks"].clone();
    assert_eq!((&checks[0], checks.as_array().unwrap().len()), (&published[0].into(), 4));
}

#[test]
fn a_running_node_is_asked_and_swapped() {
    let place = Place::new();
    // The machine that runs tests may be busy with others: a call may take long by the clock. The load is light: cycles come by themselves all the same.
    std::fs::write(
        place.path("node.toml"),
        "heap = \"512MiB\"\nload = \"churn?rate=20000&live=20000\"\n[limits]\ndeadline = \"30s\"\n[collector]\nidle = \"50ms\"\n",
    )
    .unwrap();
    // A port that is free at this moment.
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let flags =
        ["--config", "node.toml", "--strategy", "mark-sweep", "--journal", "swaps.jsonl", "--metrics"];
    let running = place.node(&[&flags[..], &[&metrics]].concat());
    let mut scraped = String::new();
    let mut stream = TcpStream::connect(&metrics).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_string(&mut scraped).unwrap();
    assert!(scraped.contains("\ngc_heap_limit_bytes 536870912\n"), "{scraped}");
    let status = place.host(&["status", "--json"]).json();
    assert_eq!(status["strategy"]["name"], "mark-sweep");
    assert_eq!(place.host(&["collect", "--json"]).json()["outcome"], "settled");
    // The load fills its table before it lets go of anything.
    let until = Instant::now() + Duration::from_secs(60);
    while place.host(&["collect", "--json"]).json()["condemned_objects"].as_u64() < Some(100) {
        assert!(Instant::now() < until, "no garbage is made");
    }
    let dry = place.host(&["collect", "--dry-run", "--json"]).json();
    assert_eq!(dry["outcome"], "dry-run");
    assert_eq!(dry["would_condemn"][0].is_string(), dry["condemned_objects"].as_u64() > Some(0), "{dry}");
    handles_are_where_a_person_looks(&place);
    let shadow = place.host(&["swap", "refcount", "--shadow", "2"]);
    for words in ["2 cycles", "found dead", "lag from death, p99", "floating garbage", "crossings per cycle"]
    {
        assert!(shadow.out.contains(words), "{words}: {shadow:?}");
    }
    let shadow = place.host(&["swap", "tracing", "--shadow", "3", "--json"]).json()["shadow"].clone();
    for side in ["serving", "shadow"] {
        // Both mark the whole heap of a load that makes garbage all the time.
        assert!(shadow[side]["cells"].as_u64().unwrap() > 0, "{shadow}");
        assert!(shadow[side]["lag_ns_p50"].as_u64().unwrap() > 0, "{shadow}");
        assert!(shadow[side]["memory_bytes"].as_u64().unwrap() > 0, "{shadow}");
        assert!(shadow[side]["crossings"].as_u64().unwrap() > 0, "{shadow}");
    }
    assert_eq!(shadow["missed_cells"], 0, "what one marks the other one marks: {shadow}");
    for name in ["tracing", "refcount", "epoch"] {
        let swapped = place.host(&["swap", name, "--json"]);
        assert_eq!(swapped.code, Some(0), "{swapped:?}");
        assert_eq!(swapped.json()["serving"]["name"], name);
    }
    std::fs::write(place.path("bad.wasm"), "no").unwrap();
    for (strategy, word) in [("bad.wasm", "not WebAssembly"), ("nothing", "nothing")] {
        let refused = place.host(&["swap", strategy]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(word) && refused.err.contains("epoch"), "{refused:?}");
    }
    let unknown = place.host(&["why", "n0.1:1.4000000000"]);
    assert!(unknown.code == Some(0) && unknown.out.contains("gone"), "{unknown:?}");
    let status = place.host(&["status"]);
    assert!(status.out.contains("epoch@") && status.out.contains("load-failed"), "{status:?}");
    let ended = running.end("-INT");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("epoch@"), "{ended:?}");
    let journal = std::fs::read_to_string(place.path("swaps.jsonl")).unwrap();
    let steps: Vec<String> = journal
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(steps.iter().filter(|step| *step == "exchanged").count(), 3, "{steps:?}");
    assert_eq!(place.host(&["status"]).code, Some(3));
}

/// From what a status shows to why an object is alive.
fn handles_are_where_a_person_looks(place: &Place) {
    let status = place.host(&["status", "--roots", "256", "--json"]).json();
    assert_eq!(status["roots_left_out"], 0, "{status}");
    let roots = status["roots"].as_array().unwrap();
    let table = roots.iter().find(|root| root["name"] == "churn table 0").expect("a root of the load");
    let (name, handle) = (table["name"].as_str().unwrap(), table["handle"].as_str().unwrap());
    let why = place.host(&["why", handle]);
    assert!(why.code == Some(0) && why.out.contains(&format!("alive: the root '{name}'")), "{why:?}");
    assert!(why.out.contains(&format!("root {handle}")), "{why:?}");
    // At a terminal: some of them, and how many more there are.
    let text = place.host(&["status", "--roots", "1"]).out;
    let shown = text.split_once("roots ").unwrap().1.lines().nth(1).unwrap().trim().to_owned();
    assert!(shown.starts_with("n0.1:") && shown.contains(" churn "), "{text}");
    assert!(text.contains(" more, see --roots"), "{text}");
}

#[test]
fn the_built_in_strategies_are_listed_and_pass_the_kit() {
    let place = Place::new();
    let listed = place.host(&["strategy", "list"]);
    for name in ["none", "mark-sweep", "refcount", "epoch", "tracing", "hold"] {
        assert!(listed.out.lines().any(|line| line.starts_with(name)), "{name}: {listed:?}");
    }
    for name in ["none", "mark-sweep", "refcount", "epoch", "tracing"] {
        let checked = place.host(&["strategy", "check", name, "--quick"]);
        assert_eq!(checked.code, Some(0), "{name}: {checked:?}");
        assert!(checked.out.contains("passes all"), "{checked:?}");
    }
}

#[test]
fn a_new_strategy_builds_and_its_tests_pass() {
    let place = Place::new();
    let made = place.host(&["strategy", "new", "my-collector"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let folder = place.path("my-collector");
    for file in [
        "Cargo.toml",
        ".cargo/config.toml",
        "rust-toolchain.toml",
        "README.md",
        "src/lib.rs",
        "tests/collector.rs",
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(!text.contains("@NAME@") && !text.contains("@SDK@"), "{file}");
    }
    let again = place.host(&["strategy", "new", "my-collector"]);
    assert!(again.code == Some(1) && again.err.contains("not empty"), "{again:?}");
    // The crates that it needs are those of this workspace, which are at hand: no network is asked.
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    // Where the SDK's test of the template builds the same.
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("my-collector/target");
    let cargo = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO"))
            .args(args)
            .arg("--offline")
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    cargo(&["test", "--quiet"]);
    cargo(&["build", "--release", "--target", "wasm32-wasip2", "--quiet"]);
    let component = target.join("wasm32-wasip2/release/my_collector.wasm");
    let checked = place.host(&["strategy", "check", component.to_str().unwrap(), "--quick"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
