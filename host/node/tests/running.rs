//! A node as a program uses it: pacing, requests, embedding, metrics, the control socket, shutdown.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Wrong, count, marker, plant};
use gc_node::{Answer, Client, Event, Node, NodeError, Request};

fn good() -> gc_node::Builder {
    Node::builder().strategy(marker("good", Wrong::Never)).heap_limit(8 << 20)
}

#[test]
fn garbage_is_collected_without_being_asked_for() {
    let node = good().start().unwrap();
    let events = node.subscribe();
    plant(&node, "kept", 4);
    // 16 MiB through a heap of 8.
    for _ in 0..128 {
        plant(&node, "churn", 11);
    }
    let status = node.status(0);
    assert!(status.cycles > 1, "{status:?}");
    assert!(status.heap.freed_objects > 100_000, "{:?}", status.heap);
    assert_eq!(count(&node, "kept"), 15);
    let causes: Vec<String> = std::iter::from_fn(|| events.try_next().ok())
        .filter_map(|event| if let Event::Cycle(cycle) = event { Some(cycle.cause) } else { None })
        .collect();
    assert!(causes.iter().all(|cause| cause == "goal" || cause == "full"), "{causes:?}");
}

#[test]
fn an_idle_node_collects_after_its_timer() {
    let node = good().idle(Some(Duration::from_millis(50))).start().unwrap();
    let events = node.subscribe();
    plant(&node, "gone", 4);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let until = Instant::now() + Duration::from_secs(10);
    while node.status(0).heap.live_objects > 0 {
        assert!(Instant::now() < until, "{:?}", node.status(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(events.next(), Some(Event::Cycle(cycle)) if cycle.cause == "idle"));
}

#[test]
fn a_dry_run_says_what_would_go_and_frees_nothing() {
    let node = good().start().unwrap();
    plant(&node, "gone", 4);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let dry = node.collect_dry_run().unwrap();
    assert_eq!((dry.outcome.as_str(), dry.condemned_objects), ("dry-run", 15));
    assert_eq!(node.status(0).heap.live_objects, 15);
    assert_eq!(node.collect().unwrap().condemned_objects, 15);
    assert_eq!(node.release_quarantine().unwrap().objects, 15);
    assert_eq!(node.status(0).heap.used_bytes, 0);
}

#[test]
fn a_full_heap_is_an_error_that_says_how_full() {
    let node = good().heap_limit(1 << 20).start().unwrap();
    let full = node.mutator().scope(|scope| {
        let mut held = None;
        loop {
            match scope.alloc(&[held], &[7; 100]) {
                Ok(object) => held = Some(object),
                Err(error) => return error,
            }
        }
    });
    assert!(full.to_string().contains("heap full"), "{full}");
    // What the scope held is garbage, and there is room again.
    plant(&node, "kept", 8);
    assert_eq!(count(&node, "kept"), 255);
}

#[test]
fn shutting_down_in_the_middle_of_a_cycle_answers_everybody() {
    let node = good().start().unwrap();
    for n in 0..4 {
        plant(&node, &n.to_string(), 12);
    }
    std::thread::scope(|threads| {
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let client = node.heap().clone();
                let node = &node;
                threads.spawn(move || {
                    let _heap = client;
                    for _ in 0..50 {
                        if matches!(node.collect(), Err(NodeError::Stopped)) {
                            return;
                        }
                    }
                })
            })
            .collect();
        for thread in asking {
            thread.join().unwrap();
        }
    });
    let heap = node.heap().clone();
    node.shutdown();
    // The heap outlives the node; a full one fails at once because nobody collects.
    let began = Instant::now();
    let mut mutator = heap.mutator();
    let full = mutator.scope(|scope| (0..).find_map(|_| scope.alloc(&[], &[0; 1000]).err()));
    assert!(full.is_some());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn metrics_pass_promtool_and_move() {
    let node = good().metrics("127.0.0.1:0".parse().unwrap()).start().unwrap();
    plant(&node, "kept", 4);
    node.collect().unwrap();
    node.swap(marker("second", Wrong::Never)).unwrap();
    node.collect().unwrap();
    let mut stream = TcpStream::connect(node.metrics_address().unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, text) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    for line in [
        r#"gc_cycles_total{cause="request",outcome="settled",strategy="good",version="1.2.3"} 1"#,
        r#"gc_cycles_total{cause="rehearsal",outcome="dry-run",strategy="second",version="1.2.3"} 1"#,
        r#"gc_strategy_state{digest="native",state="probation",strategy="second",version="1.2.3"} 1"#,
        r#"gc_strategy_swaps_total{result="exchanged"} 1"#,
        "gc_heap_live_objects 15",
        "gc_allocated_objects_total 15",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("promtool is not installed: its check is left out");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn only_metrics_are_served() {
    let node = good().metrics("127.0.0.1:0".parse().unwrap()).start().unwrap();
    for (request, status) in [("GET / HTTP/1.1", "404"), ("POST /metrics HTTP/1.1", "405")] {
        let mut stream = TcpStream::connect(node.metrics_address().unwrap()).unwrap();
        stream.write_all(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert_eq!(response.split(' ').nth(1), Some(status), "{response}");
    }
    // An address that is taken is said so.
    let taken = good().metrics(node.metrics_address().unwrap()).start().err().unwrap().to_string();
    assert!(taken.contains("cannot serve metrics"), "{taken}");
}

#[test]
fn the_control_socket_does_what_the_api_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let node = good().control(&path).start().unwrap();
    plant(&node, "kept", 3);
    let handle = node.heap().named_roots()[0].1;
    let mut client = Client::connect(&path).unwrap();
    let Answer::Status(status) = client.ask(&Request::Status { journal: 5 }).unwrap() else { panic!() };
    assert_eq!(status.strategy.name, "good");
    let collect = Request::Collect { dry_run: true, local: false, without: None };
    let Answer::Collect(cycle) = client.ask(&collect).unwrap() else { panic!() };
    assert_eq!(cycle.live_objects, 7);
    let Answer::Why(why) = client.ask(&Request::Why { handle: handle.to_string() }).unwrap() else {
        panic!()
    };
    assert!(why.alive && why.text.contains("'kept'"), "{why:?}");
    let swap = |name: Option<&str>| Request::Swap {
        name: name.map(Into::into),
        path: None,
        options: BTreeMap::new(),
        shadow: None,
    };
    let Answer::Swap(report) = client.ask(&swap(Some("hold"))).unwrap() else { panic!() };
    assert_eq!(report.serving.name, "hold");
    for (request, word) in [
        (swap(Some("nothing")), "nothing"),
        (swap(None), "name or a path"),
        (Request::Why { handle: "x".into() }, "n0.1:4711.0"),
    ] {
        let refused = client.ask(&request).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    }
    // A second node on the same socket ends before it has begun.
    let second = good().control(&path).start().err().unwrap();
    assert!(matches!(second, NodeError::Control(_)), "{second}");
    node.shutdown();
    assert!(!path.exists());
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for builder in [
        good().configure(|config| config.cpu_share = 0.0),
        good().configure(|config| config.cpu_share = f64::NAN),
        good().configure(|config| config.goal_percent = 0),
        good().configure(|config| config.slice_target = Duration::ZERO),
        good().heap_limit(10),
        good().option("depth", "3"),
    ] {
        let refused = builder.start().err().expect("it cannot be").to_string();
        assert!(refused.contains(':'), "it says what to do: {refused}");
    }
}
