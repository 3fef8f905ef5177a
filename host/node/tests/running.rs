//! A node as a program uses it: pacing, requests, embedding, metrics, the control socket, shutdown.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Wrong, count, marker, plant};
use gc_heap::limits::DRY_RUN_NAMED;
use gc_heap::{Quarantine, Why};
use gc_node::{Answer, Client, ControlError, Event, Node, NodeError, Request};

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
fn code_that_cannot_be_kept_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let start = || Node::builder().strategy("none").heap_limit(8 << 20).cache_dir(&cache).start().unwrap();
    drop(start());
    // The code cannot take the place of a folder with something in it.
    let kept: Vec<_> = walk(&cache);
    assert_eq!(kept.len(), 1, "{kept:?}");
    std::fs::remove_file(&kept[0]).unwrap();
    std::fs::create_dir_all(kept[0].join("inside")).unwrap();
    let node = start();
    let Some(Event::Message(message)) = node.subscribe().next() else { panic!("nothing was said") };
    assert_eq!(message.level, "warn");
    assert!(message.text.contains("was not kept") && message.text.contains("--cache"), "{message:?}");
}

/// The files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_dry_run_says_what_would_go_and_frees_nothing() {
    let node = good().start().unwrap();
    plant(&node, "gone", 4);
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let dry = node.collect_dry_run().unwrap();
    assert_eq!((dry.outcome.as_str(), dry.condemned_objects), ("dry-run", 15));
    assert_eq!(dry.would_condemn.len(), DRY_RUN_NAMED);
    for named in &dry.would_condemn {
        assert_eq!(node.why(named.parse().unwrap()), Why::Unreachable, "{named}");
    }
    assert_eq!(node.status(0).heap.live_objects, 15);
    assert_eq!(node.collect().unwrap().condemned_objects, 15);
    assert_eq!(node.release_quarantine().unwrap().objects, 15);
    assert_eq!(node.status(0).heap.used_bytes, 0);
}

#[test]
fn what_waits_in_quarantine_can_be_restored_and_what_is_freed_cannot() {
    let node = good().start().unwrap();
    plant(&node, "tree", 4);
    let handle = node.heap().named_roots()[0].1;
    let cut = || node.mutator().scope(|scope| scope.set_root("tree", None));
    drop(node.restore(handle).expect("it was not condemned"));
    cut();
    assert_eq!(node.collect().unwrap().condemned_objects, 15);
    assert!(matches!(node.why(handle), Why::Quarantined(_)), "{:?}", node.why(handle));
    let pin = node.restore(handle).unwrap();
    node.mutator().scope(|scope| scope.set_root("tree", Some(scope.pinned(&pin))));
    drop(pin);
    assert_eq!(node.collect().unwrap().condemned_objects, 0);
    assert_eq!(count(&node, "tree"), 15);
    cut();
    assert_eq!(node.collect().unwrap().condemned_objects, 15);
    assert_eq!(node.release_quarantine().unwrap().objects, 15);
    let gone = node.restore(handle).map(drop).unwrap_err();
    assert!(matches!(gone, NodeError::Gone(_)) && gone.to_string().contains("quarantine"), "{gone}");
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let node = good().strategy(marker("slow", Wrong::Slow)).control(&path).start().unwrap();
    plant(&node, "kept", 4);
    let collect = Request::Collect { dry_run: false, local: false, without: None };
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (mut client, collect) = (Client::connect(&path).unwrap(), collect.clone());
            std::thread::spawn(move || client.ask(&collect))
        })
        .collect();
    // Every step of it takes a tenth of a second: it has begun by then, and has not ended.
    std::thread::sleep(Duration::from_millis(50));
    let heap = node.heap().clone();
    let began = Instant::now();
    node.shutdown();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for thread in asking {
        let refused = thread.join().unwrap().unwrap_err();
        assert!(matches!(&refused, ControlError::Refused(why) if why.kind == "stopped"), "{refused}");
    }
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
        let required = std::env::var_os("PROMTOOL").is_some_and(|wanted| wanted == "required");
        assert!(!required, "promtool is not installed: install prometheus");
        eprintln!("promtool is not installed: its check is left out");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// The value of a metric without labels.
fn metric(node: &Node, name: &str) -> f64 {
    let text = node.metrics_text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

#[test]
fn fragmentation_of_payload_memory_is_in_the_status_and_a_metric() {
    let node = good().configure(|config| config.heap.quarantine = Quarantine::Off).start().unwrap();
    // Blocks side by side, of which one in sixteen stays: their slabs cannot be given back.
    node.mutator().scope(|scope| {
        let (mut all, mut kept) = (None, None);
        for number in 0..1024 {
            let block = scope.alloc(&[all, kept], &[7; 2950]).unwrap();
            all = Some(block);
            if number % 16 == 0 {
                kept = Some(scope.alloc(&[kept], &[7; 3000]).unwrap());
            }
        }
        scope.set_root("kept", kept);
        scope.set_root("all", all);
    });
    node.collect().unwrap();
    let before = node.status(0).heap;
    assert!(before.payload_fragmentation < 0.3, "{before:?}");
    node.mutator().scope(|scope| scope.set_root("all", None));
    node.collect().unwrap();
    let after = node.status(0).heap;
    assert!(after.payload_fragmentation > 0.7, "{after:?}");
    assert!(after.payload_committed_bytes > 8 * after.payload_bytes, "{after:?}");
    assert!(after.payload_rounding > 0.0 && after.payload_rounding < 64.0 / 2950.0, "{after:?}");
    for (name, value) in [
        ("gc_payload_fragmentation_ratio", after.payload_fragmentation),
        ("gc_payload_rounding_ratio", after.payload_rounding),
        ("gc_payload_used_bytes", after.payload_bytes as f64),
        ("gc_payload_committed_bytes", after.payload_committed_bytes as f64),
    ] {
        assert_eq!(metric(&node, name), value, "{name}");
    }
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
    plant(&node, "kept too", 1);
    let handle = node.heap().named_roots()[0].1;
    let mut client = Client::connect(&path).unwrap();
    let Answer::Status(status) = client.ask(&Request::Status { journal: 5, roots: 1 }).unwrap() else {
        panic!()
    };
    assert_eq!(status.strategy.name, "good");
    assert_eq!((status.roots[0].name.as_str(), &status.roots[0].handle), ("kept", &handle.to_string()));
    assert_eq!((status.roots.len(), status.roots_left_out), (1, 1));
    let collect = Request::Collect { dry_run: true, local: false, without: None };
    let Answer::Collect(cycle) = client.ask(&collect).unwrap() else { panic!() };
    assert_eq!(cycle.live_objects, 8);
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

/// Puts `count` objects with a payload under a root, lets go of them, and waits until `bytes` less are taken from the system. Cycles follow each other all the
/// time: there is no pause in which the collector had nothing to do.
fn gives_back(count: usize, payload: &[u8], bytes: u64) {
    let settings = |config: &mut gc_node::NodeConfig| {
        config.heap.quarantine = Quarantine::Off;
        config.heap.slabs.pool.idle = Duration::from_millis(1);
    };
    let node = good().heap_limit(256 << 20).configure(settings).start().unwrap();
    node.mutator().scope(|scope| {
        let all: Vec<_> = (0..count).map(|_| Some(scope.alloc(&[], payload).unwrap())).collect();
        let holder = scope.alloc(&all, b"").unwrap();
        scope.set_root("gone", Some(holder));
    });
    node.mutator().scope(|scope| scope.set_root("gone", None));
    let mut most = 0;
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        node.collect().unwrap();
        let left = node.status(0).heap.committed_bytes;
        // The figure may be a tenth of a second old, and to condemn takes memory too.
        most = left.max(most);
        if left + bytes < most {
            return;
        }
        assert!(Instant::now() < until, "{left} bytes are left of {most}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn memory_of_payloads_goes_back_also_where_cycles_follow_each_other() {
    gives_back(2000, &[7; 4096], 4 << 20);
}

#[test]
fn memory_of_cells_goes_back_also_where_cycles_follow_each_other() {
    gives_back(1 << 18, b"", 2 << 20);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for builder in [
        good().configure(|config| config.cpu_share = 0.0),
        good().configure(|config| config.cpu_share = f64::NAN),
        good().configure(|config| config.goal_percent = 0),
        good().configure(|config| config.slice_target = Duration::ZERO),
        good().configure(|config| config.limits.deadline = Duration::from_nanos(1)),
        good().heap_limit(10),
        good().option("depth", "3"),
    ] {
        let refused = builder.start().err().expect("it cannot be").to_string();
        assert!(refused.contains(':'), "it says what to do: {refused}");
    }
}
