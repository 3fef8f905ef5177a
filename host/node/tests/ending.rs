//! A node that has ended leaves nothing behind. One test in a process of its own, for others have nodes too.

mod common;

use std::time::{Duration, Instant};

use common::{count, plant};
use gc_node::Node;

/// A node with everything that a node can have, from its beginning to its end.
fn live(folder: &std::path::Path) {
    let node = Node::builder()
        .strategy("tracing")
        .heap_limit(64 << 20)
        .control(folder.join("control"))
        .metrics("127.0.0.1:0".parse().unwrap())
        .start()
        .unwrap();
    plant(&node, "kept", 10);
    node.collect().unwrap();
    node.swap("refcount").unwrap();
    node.collect().unwrap();
    assert_eq!(count(&node, "kept"), 1023);
    node.shutdown();
}

/// Threads of this process, mappings of graph planes, and addresses in use in MiB.
fn left() -> (usize, usize, u64) {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    let planes = std::fs::read_to_string("/proc/self/maps").unwrap().matches("gc-graph").count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    (threads, planes, kib >> 10)
}

#[test]
fn a_node_that_has_ended_leaves_no_thread_and_no_memory_behind() {
    let folder = tempfile::tempdir().unwrap();
    // What a process sets up once.
    live(folder.path());
    let before = left();
    assert_eq!(before.1, 0, "the plane of a node that has ended is mapped: {before:?}");
    for _ in 0..3 {
        live(folder.path());
    }
    // A thread that was joined may be in the list of the kernel for a moment. A heap alone has more than 64 MiB of addresses, a strategy 4 GiB.
    let until = Instant::now() + Duration::from_secs(5);
    while left().0 > before.0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let after = left();
    assert_eq!((after.0, after.1), (before.0, before.1), "{before:?} before, {after:?} after");
    assert!(after.2 < before.2 + 64, "{before:?} before, {after:?} after");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a socket was left behind");
}
