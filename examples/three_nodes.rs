//! Three nodes of one cluster: objects that refer to each other in a ring over all of them live as long as one root does, and go together after that.
//!
//! In one process for the sake of the example; `host run --listen ...` is the same in three.

use std::time::{Duration, Instant};

use gc_cluster::Decides;
use gc_cluster::authority::Authority;
use gc_heap::HeapError;
use gc_node::{ClusterConfig, Node};

type Error = Box<dyn std::error::Error>;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("gc-three-nodes-{}", std::process::id()));
    let done = ring(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    done
}

fn ring(folder: &std::path::Path) -> Result<(), Error> {
    let mut authority = Authority::init(folder, "example")?;
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        authority.issue(name, &folder.join(name), 1)?;
        // The first one founds the cluster, the others come to it.
        let join = nodes.first().and_then(Node::cluster).map(gc_node::Cluster::address);
        let cluster = ClusterConfig {
            listen: "127.0.0.1:0".parse()?,
            advertise: None,
            join: join.into_iter().collect(),
            certs: folder.join(name),
            name: Some(name.into()),
            state: folder.join(format!("{name}-state")),
            decides: Decides::Seat,
        };
        let builder = Node::builder().strategy("tracing").heap_limit(16 << 20);
        nodes.push(builder.configure(|config| config.cluster = Some(cluster)).start()?);
    }
    let clusters: Vec<_> = nodes.iter().filter_map(Node::cluster).collect();
    wait(|| clusters.iter().all(|cluster| cluster.peers().iter().filter(|peer| peer.there).count() == 3))?;

    // Each makes an object and gives the next node a reference to it.
    let mut mutators: Vec<_> = nodes.iter().map(Node::mutator).collect();
    let mut made = Vec::new();
    for (at, mutator) in mutators.iter_mut().enumerate() {
        let next = clusters[(at + 1) % 3].me().number;
        made.push(mutator.scope(|scope| {
            let part = scope.alloc(&[None], format!("part {at} of the ring").as_bytes())?;
            scope.set_root("mine", Some(part));
            clusters[at].send(next, &[scope.handle(part)], b"refer to this")?;
            Ok::<_, Error>(scope.handle(part))
        })?);
    }
    for (at, mutator) in mutators.iter_mut().enumerate() {
        let came = clusters[at].receive(PATIENCE)?.ok_or("nothing came")?;
        let pin = came.references.into_iter().next().flatten().ok_or("it is gone")?;
        mutator.scope(|scope| {
            let mine = scope.root("mine").ok_or(HeapError::Config { what: "no root".into(), remedy: "" })?;
            scope.store(mine, 0, Some(scope.pinned(&pin)))
        })?;
    }

    // One root is enough for all three.
    for mutator in &mut mutators[1..] {
        mutator.scope(|scope| scope.set_root("mine", None));
    }
    assert_eq!(clusters[0].collect()?.ending, "swept");
    let why = clusters[0].why(made[1])?;
    println!("{}", why.text);
    assert!(why.alive, "{why:?}");
    assert_eq!(nodes.iter().map(|node| node.status(0).heap.live_objects).min(), Some(2));

    // None is too little: every node's object is held by the others alone, in a ring.
    mutators[0].scope(|scope| scope.set_root("mine", None));
    wait(|| {
        // The first that begins after the root went finds it; one that was under way may not.
        let swept = clusters[0].collect().is_ok_and(|over| over.ending == "swept");
        let _ = nodes.iter().map(Node::collect).count();
        swept && nodes.iter().all(|node| node.status(0).heap.live_objects == 0)
    })?;
    println!("the ring is gone, on all nodes");
    drop(mutators);
    // Those who only came go first; the seat, which decides about the membership, goes last.
    while let Some(node) = nodes.pop() {
        node.shutdown();
    }
    Ok(())
}

fn wait(mut until: impl FnMut() -> bool) -> Result<(), Error> {
    let begun = Instant::now();
    while !until() {
        if begun.elapsed() > PATIENCE {
            return Err("it takes too long".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
