//! Nodes in one process, joined over loopback.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Wrong, marker};
use gc_cluster::Decides;
use gc_cluster::authority::Authority;
use gc_cluster::limits::CERTIFICATES_LOOK;
use gc_heap::Pin;
use gc_node::{Cluster, ClusterConfig, Event, Node, StrategySource};

/// Longer than anything here takes on the slowest machine, and shorter than a patient person waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two nodes that begin no cycle by themselves because nothing happens.
fn two(folder: &Path) -> Vec<Node> {
    some(folder, 2, || marker("marker", Wrong::Never))
}

/// So many nodes n1, n2, n3 with such a strategy.
fn some(folder: &Path, count: usize, strategy: impl Fn() -> StrategySource) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"].into_iter().take(count) {
        nodes.push(join(folder, name, &nodes, strategy()));
    }
    await_that("all are there", || {
        let there = |node: &Node| node.cluster().unwrap().peers().iter().filter(|peer| peer.there).count();
        nodes.iter().all(|node| there(node) == count)
    });
    nodes
}

/// Another node, which joins the first of these.
fn join(folder: &Path, name: &str, nodes: &[Node], strategy: StrategySource) -> Node {
    let authority = if nodes.is_empty() { Authority::init(folder, "shop") } else { Authority::open(folder) };
    authority.unwrap().issue(name, &folder.join(name), 1).unwrap();
    let cluster = ClusterConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        join: nodes.first().and_then(Node::cluster).map(Cluster::address).into_iter().collect(),
        certs: folder.join(name),
        name: Some(name.into()),
        state: folder.join(format!("{name}-state")),
        decides: Decides::Seat,
    };
    let configure = |config: &mut gc_node::NodeConfig| {
        (config.cluster, config.cache_dir) = (Some(cluster), Some(folder.join("cache")));
    };
    Node::builder().strategy(strategy).heap_limit(8 << 20).idle(None).configure(configure).start().unwrap()
}

fn await_that(what: &str, mut until: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A reference goes from one node to another. The caller holds what it names.
fn hand_over(from: &Node, to: &Node, handle: gc_heap::Handle) -> Pin {
    let number = to.cluster().unwrap().me().number;
    from.cluster().unwrap().send(number, &[handle], b"").unwrap();
    let came = to.cluster().unwrap().receive(PATIENCE).unwrap().expect("it comes");
    came.references.into_iter().next().unwrap().expect("it is there")
}

#[test]
fn what_a_node_has_dropped_its_home_need_not_wait_for() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = two(folder.path());
    let (home, holder) = (&nodes[0], &nodes[1]);
    home.mutator().scope(|scope| {
        let object = scope.alloc(&[], b"object").unwrap();
        let to = holder.cluster().unwrap().me().number;
        home.cluster().unwrap().send(to, &[scope.handle(object)], b"").unwrap();
    });
    let came = holder.cluster().unwrap().receive(PATIENCE).unwrap().expect("it comes");
    let pin = came.references.into_iter().next().unwrap().expect("it is there");
    holder.mutator().scope(|scope| scope.set_root("mine", Some(scope.pinned(&pin))));
    drop(pin);
    // Its home does not need it, and keeps it.
    await_that("registered", || home.heap().stats().held_objects == 1);
    home.collect().unwrap();
    assert_eq!(home.status(0).heap.live_objects, 1);

    holder.mutator().scope(|scope| scope.set_root("mine", None));
    // The stub is condemned, and rests in quarantine. Nobody asks for another cycle here.
    holder.collect().unwrap();
    await_that("reclaimed", || {
        home.collect().unwrap();
        home.status(0).heap.live_objects == 0
    });
    assert_eq!(holder.heap().stats().stubs, 0);
    nodes.into_iter().rev().for_each(Node::shutdown);
}

/// What a node says that it serves with.
fn serves(node: &Node) -> (String, Option<String>) {
    let status = node.status(0);
    (status.strategy.name, status.options.get("slice-percent").cloned())
}

#[test]
fn a_swap_of_all_nodes_carries_its_options_also_to_who_joins_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = two(folder.path());
    let component = gc_node::read(&"tracing".into()).unwrap();
    let options = |value: &str| [("slice-percent".to_owned(), value.to_owned())].into();
    let cluster = nodes[1].cluster().unwrap().clone();
    let unknown = [("slices".to_owned(), "7".to_owned())].into();
    let refused = cluster.swap_with("tracing", component.clone(), unknown).unwrap_err().to_string();
    assert!(refused.contains("no option 'slices'") || refused.contains("could not load"), "{refused}");

    let first = cluster.swap_with("tracing", component.clone(), options("17")).unwrap();
    await_that("both have taken it", || {
        nodes.iter().all(|node| serves(node) == ("tracing".into(), Some("17".into())))
    });
    // The same component with other options is another strategy.
    let second = cluster.swap_with("tracing", component.clone(), options("19")).unwrap();
    assert_eq!((first.generation + 1, first.digest == second.digest), (second.generation, false));
    await_that("both have taken that", || nodes.iter().all(|node| serves(node).1.as_deref() == Some("19")));
    nodes.push(join(folder.path(), "n3", &nodes, marker("marker", Wrong::Never)));
    await_that("the third runs it too", || serves(&nodes[2]) == ("tracing".into(), Some("19".into())));
    // And without any it is a third one.
    cluster.swap("tracing", component).unwrap();
    await_that("all have taken that", || nodes.iter().all(|node| serves(node) == ("tracing".into(), None)));
    nodes.into_iter().rev().for_each(Node::shutdown);
}

/// n1 has two objects that n2 alone holds; they lead to a third, and one of them to one that a root of n1 leads to, too.
#[test]
fn what_would_go_without_a_node_is_more_than_it_holds_and_less_than_that_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = two(folder.path());
    let (home, holder) = (&nodes[0], &nodes[1]);
    home.mutator().scope(|scope| {
        let kept = scope.alloc(&[], &[0; 1000]).unwrap();
        scope.set_root("kept", Some(kept));
        let below = scope.alloc(&[], &[0; 1000]).unwrap();
        let tops = [0, 1].map(|_| scope.alloc(&[Some(below), Some(kept)], &[]).unwrap());
        let to = holder.cluster().unwrap().me().number;
        let handles = tops.map(|top| scope.handle(top));
        home.cluster().unwrap().send(to, &handles, b"").unwrap();
    });
    let came = holder.cluster().unwrap().receive(PATIENCE).unwrap().expect("it comes");
    await_that("registered", || home.heap().stats().held_objects == 2);
    let cluster = home.cluster().unwrap();
    let mut status = cluster.status_with_retained().unwrap();
    await_that("nothing is under way", || {
        status = cluster.status_with_retained().unwrap();
        status.pins == 0
    });
    let member = status.members.iter().find(|member| !member.me).unwrap();
    assert_eq!((member.scions, member.only_objects, member.only_bytes), (2, 2, 64));
    assert_eq!(member.retained_objects, Some(3));
    let bytes = member.retained_bytes.unwrap();
    assert!((64 + 32 + 1000..64 + 32 + 2000).contains(&bytes), "{bytes}");
    let scion = status.held.iter().find(|held| held.reason == "scion").unwrap();
    assert_eq!((scion.objects, scion.bytes, scion.retained_bytes), (2, 64, Some(bytes)));
    // Asked from either node it is the same.
    let without = cluster.without("n2").unwrap().nodes;
    assert_eq!((without[0].objects, without[0].bytes, without[0].held), (3, bytes, 2), "{without:?}");
    let without = holder.cluster().unwrap().without("n1").unwrap().nodes;
    assert_eq!((without[0].objects, without[0].held), (0, 0), "{without:?}");
    drop(came);
    nodes.into_iter().rev().for_each(Node::shutdown);
}

/// What is in the heap of each node, stubs included.
fn live(nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(|node| node.status(0).heap.live_objects).collect()
}

/// A root of n3 leads to an object of n2, and that to one of n1, which n3 has a reference to as well: handed on by n2, to whom it does not belong. Without the root all of
/// that is garbage, and no node sees more of it than its own part. Cycles are of each node alone.
fn a_chain_goes(strategy: &str, retires: bool) {
    let folder = tempfile::tempdir().unwrap();
    let nodes = some(folder.path(), 3, || strategy.into());
    let [n1, n2, n3] = &nodes[..] else { unreachable!() };
    let retired = |scope: &gc_heap::Scope<'_>, object: gc_heap::Local<'_>| {
        if retires {
            scope.retire(object);
        }
    };
    let first = n1.mutator().scope(|scope| {
        let first = scope.alloc(&[], b"first").unwrap();
        let pin = hand_over(n1, n2, scope.handle(first));
        retired(scope, first);
        pin
    });
    let (second, other) = n2.mutator().scope(|scope| {
        let first = scope.pinned(&first);
        let second = scope.alloc(&[Some(first)], b"second").unwrap();
        let pins = (hand_over(n2, n3, scope.handle(second)), hand_over(n2, n3, scope.handle(first)));
        retired(scope, second);
        retired(scope, first);
        pins
    });
    drop(first);
    n3.mutator().scope(|scope| {
        let all = scope.alloc(&[Some(scope.pinned(&second)), Some(scope.pinned(&other))], b"").unwrap();
        scope.set_root("all", Some(all));
    });
    drop((second, other));
    let held = || nodes.iter().map(|node| node.heap().stats().held_objects).collect::<Vec<_>>();
    await_that("registered", || held() == [1, 1, 0]);

    // The first stays as well, whether its home is asked, or all.
    for _ in 0..3 {
        nodes.iter().for_each(|node| drop(node.collect().unwrap()));
    }
    n1.cluster().unwrap().collect().unwrap();
    assert_eq!((live(&nodes), held()), (vec![1, 2, 3], vec![1, 1, 0]), "{strategy}");

    n3.mutator().scope(|scope| {
        let all = scope.root("all").unwrap();
        for slot in 0..2 {
            retired(scope, scope.load(all, slot).unwrap().unwrap());
        }
        retired(scope, all);
        scope.set_root("all", None);
    });
    if strategy == "none" {
        nodes.iter().for_each(|node| drop(node.collect().unwrap()));
        assert_eq!(live(&nodes), [1, 2, 3]);
    } else {
        await_that(&format!("all of it goes under {strategy}"), || {
            nodes.iter().for_each(|node| drop(node.collect().unwrap()));
            live(&nodes) == [0; 3]
        });
        await_that("nobody is listed", || held() == [0; 3]);
        let left = |node: &Node| (node.heap().stats().stubs, node.cluster().unwrap().ledger().unwrap().stubs);
        await_that("no stub is left", || nodes.iter().all(|node| left(node) == (0, 0)));
    }
    nodes.into_iter().rev().for_each(Node::shutdown);
}

#[test]
fn garbage_without_cycles_goes_from_all_nodes_under_every_strategy() {
    for strategy in ["mark-sweep", "tracing", "refcount"] {
        a_chain_goes(strategy, false);
    }
    // It finds nothing out: it is told.
    a_chain_goes("epoch", true);
    a_chain_goes("none", false);
}

#[test]
fn a_certificate_that_cannot_be_read_to_its_end_holds_no_node_up() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = two(folder.path());
    let events = nodes[0].subscribe();
    let pem = folder.path().join("n1/node.pem");
    std::fs::remove_file(&pem).unwrap();
    // As on a machine that does not answer: whoever opens it waits until somebody writes.
    assert!(std::process::Command::new("mkfifo").arg(&pem).status().unwrap().success());
    let begun = Instant::now();
    while begun.elapsed() < 4 * CERTIFICATES_LOOK {
        let asked = Instant::now();
        assert_eq!(nodes[1].cluster().unwrap().collect().unwrap().ending, "swept");
        assert!(asked.elapsed() < PATIENCE / 4, "n1 stands still");
    }
    std::fs::write(&pem, "no certificate").unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if let Event::Message(said) = events.next_within(left).expect("it is said")
            && said.text.contains("node.pem is damaged")
        {
            assert!(said.text.contains("the old ones stay"), "{said:?}");
            break;
        }
    }
    nodes.into_iter().rev().for_each(Node::shutdown);
}
