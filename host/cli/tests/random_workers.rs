//! `random-workers` with the real binary: nothing that somebody knows is lost, and what nobody knows goes where the strategy says so.

mod common;

use std::net::UdpSocket;

use common::{Ended, Place};
use gc_lab::bench::model::{Kind, Report};
use serde_json::Value;

fn run(place: &Place, strategy: &str, options: &str) -> Value {
    let load = format!("random-workers?{options}");
    // Cycles of each node and over all of them run beside the work.
    std::fs::write(place.path("often.toml"), "[collector]\nidle = \"20ms\"\n").unwrap();
    let args = ["run", "--json", "--config", "often.toml", "--heap", "64MiB", "--strategy", strategy];
    let ended = place.host(&[&args[..], &["--load", &load]].concat());
    assert_eq!(ended.code, Some(0), "{strategy} {options}: {}", ended.err);
    ended.json()["load"].clone()
}

fn each<'v>(load: &'v Value, field: &'v str) -> impl Iterator<Item = u64> + 'v {
    load["nodes"].as_array().unwrap().iter().map(move |node| node[field].as_u64().unwrap())
}

fn sum(load: &Value, field: &str) -> u64 {
    each(load, field).sum()
}

fn said(load: &Value) -> String {
    load["checks"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn whoever_marks_over_nodes_reclaims_everybody_and_loses_nobody() {
    let place = Place::new();
    for (strategy, options) in [
        ("tracing", "turns=5k"),
        ("mark-sweep", "turns=5k&seed=7"),
        ("tracing", "turns=300&nodes=5"),
        ("tracing", "turns=120&nodes=2&mode=streaming"),
        ("mark-sweep", "turns=300&mode=torture-large"),
    ] {
        let load = run(&place, strategy, options);
        let nodes = load["nodes"].as_array().unwrap();
        assert!(!load["stopped"].as_bool().unwrap() && nodes.len() >= 2, "{load}");
        for node in nodes {
            assert_eq!(node["left_workers"], 0, "{strategy} {options}: {load}");
            assert!(node["lag_ns"].as_u64() > Some(0), "{strategy} {options}: {load}");
        }
        for field in ["workers", "verified", "messages", "bytes", "settle_messages", "settle_bytes"] {
            assert!(each(&load, field).sum::<u64>() > 0, "{field}: {load}");
        }
        // Which of them still fall into the work depends on who is done first.
        let mut messages = each(&load, "messages").zip(each(&load, "settle_messages"));
        assert!(messages.all(|(at_work, after)| at_work > 0 && at_work + after > 20), "{load}");
        assert!(said(&load).contains("no worker in use was lost; all"), "{load}");
        assert!(load["operations"].as_u64().unwrap() > load["nodes"].as_array().unwrap().len() as u64 * 300);
    }
}

#[test]
fn who_counts_alone_reclaims_everybody_where_there_are_no_cycles() {
    let place = Place::new();
    let load = run(&place, "refcount", "turns=4k&acyclic=true");
    assert_eq!(sum(&load, "left_workers"), 0, "{load}");
    assert!(said(&load).contains("reclaimed"), "{load}");
    // With cycles over nodes some stay, and the end is found all the same.
    let load = run(&place, "refcount", "turns=4k");
    let (left, all) = (sum(&load, "left_workers"), sum(&load, "workers"));
    assert!((1..all / 10).contains(&left), "{load}");
}

#[test]
fn what_nobody_frees_is_told_as_left_over() {
    let place = Place::new();
    let load = run(&place, "none", "turns=200");
    let all = sum(&load, "workers");
    assert!(all > 100 && sum(&load, "left_workers") == all, "{load}");
    let line = said(&load);
    assert!(line.contains(&format!("{all} of {all} workers left over")), "{line}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let place = Place::new();
    for (args, says) in [
        (&["--load", "random-workers?nodes=0"][..], "2 to 64 nodes"),
        (&["--load", "random-workers?nodes=1"], "2 to 64 nodes"),
        (&["--load", "random-workers?nodes=65"], "2 to 64 nodes"),
        (&["--load", "random-workers?node=3"], "has no option 'node'"),
        (&["--load", "random-workers?mode=calm"], "torture-small, torture-large or streaming"),
        (&["--load", "random-workers", "--record", "x.trace"], "--record is for one node"),
        (&["--load", "random-workers", "--canary", "refcount"], "--canary is for one node"),
        (&["--load", "random-workers?nodes=64", "--heap", "1TiB"], "more than"),
    ] {
        let ended = place.host(&[&["run"], args].concat());
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.contains(says), "{args:?}: {ended:?}");
    }
}

#[test]
fn nodes_may_be_processes_of_their_own() {
    let place = Place::new();
    for args in [&["cert", "init", "workers"][..], &["cert", "issue", "n1", "n2"]] {
        let ended = place.host(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (first, second) = (free(), free());
    let load = "random-workers?nodes=2&turns=300";
    let node = |name: &str, listen: &str, join: &[&str]| {
        let (state, socket) = (format!("{name}-state"), format!("{name}.sock"));
        let args = ["run", "--json", "--heap", "64MiB", "--load", load, "--certs", "certs", "--node", name];
        let rest = ["--listen", listen, "--state", &state, "--socket", &socket];
        place.command(&[&args[..], &rest, join].concat()).spawn().unwrap()
    };
    let one = node("n1", &first, &[]);
    let two = node("n2", &second, &["--join", &first]);
    for (child, number) in [(two, 2), (one, 1)] {
        let ended: Ended = child.wait_with_output().unwrap().into();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let load = ended.json()["load"].clone();
        assert_eq!(
            (&load["nodes"][0]["node"], &load["nodes"][0]["left_workers"]),
            (&number.into(), &0.into())
        );
    }
}

#[test]
fn a_comparison_over_several_nodes_has_messages_and_what_is_left() {
    let place = Place::new();
    let work = ["--nodes", "2", "--workload", "random-workers?turns=600"];
    let args = ["bench", "--json", "--out", "out", "--a", "tracing", "--b", "refcount", "--rounds", "6"];
    let ended = place.host(&[&args[..], &work, &["--heap", "2x", "--warmup", "0"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: Report =
        serde_json::from_str(&std::fs::read_to_string(place.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(
        (report.plan.nodes, report.workloads[0].text.as_str()),
        (2, "random-workers?turns=600&nodes=2")
    );
    let timed: Vec<_> = report.runs.iter().filter(|run| run.kind == Kind::Timed).collect();
    assert_eq!(timed.len(), 12);
    for run in timed {
        let measures = run.measures.as_deref().unwrap_or_else(|| panic!("{run:?}"));
        assert!(measures.messages > Some(50) && measures.message_bytes > Some(1000), "{run:?}");
        assert!(run.subject != 0 || measures.left_over_objects == Some(0), "{run:?}");
        let cpu = &measures.cpu;
        assert_eq!(cpu.collector_ns() + cpu.mutator_ns + cpu.other_ns, measures.cpu_ns);
        assert_eq!((measures.operations, measures.mutators), (1200, 2));
    }
    let judged: Vec<_> = report.runs.iter().filter(|run| run.kind == Kind::Oracle).collect();
    assert_eq!(judged.len(), 4);
    for run in judged {
        let measures = run.measures.as_deref().unwrap_or_else(|| panic!("{run:?}"));
        let quality = measures.quality.as_ref().unwrap();
        assert!(quality.lag.count() > 50 && quality.floating_bytes_max > 1000, "{quality:?}");
        assert!(quality.looks > 60 && quality.cost_share < 0.5, "{quality:?}");
        // Whoever marks over nodes finds all that died.
        assert!(run.subject != 0 || quality.never_condemned_cells == 0, "{quality:?}");
        let known = measures.heap.iter().all(|sample| sample.garbage_bytes.is_some());
        assert!(known && (run.round > 0 || !measures.heap.is_empty()), "{:?}", measures.heap);
    }
    let verdicts = ended.json()["verdicts"].clone();
    for measure in ["messages", "message-bytes", "left-over", "settle", "cpu", "floating", "lag"] {
        assert!(
            verdicts.as_array().unwrap().iter().any(|verdict| verdict["measure"] == measure),
            "{measure}: {verdicts}"
        );
    }
}
