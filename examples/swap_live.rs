//! The collector replaced while two threads work: they do not notice, and a bad candidate does not get in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gc_heap::HeapError;
use gc_node::Node;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().strategy("mark-sweep").heap_limit(256 << 20).start()?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let working = ["left", "right"].map(|name| {
            let (node, stop) = (&node, &stop);
            threads.spawn(move || {
                let mut mutator = node.mutator();
                while !stop.load(Ordering::Relaxed) {
                    mutator.scope(|scope| {
                        let mut list = None;
                        for _ in 0..100 {
                            list = Some(scope.alloc(&[list], name.as_bytes())?);
                        }
                        scope.set_root(name, list);
                        Ok::<_, HeapError>(())
                    })?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok::<_, HeapError>(())
            })
        });
        for name in ["tracing", "refcount", "mark-sweep"] {
            let swap = node.swap(name)?;
            println!(
                "{} serves after a rehearsal, on probation for {} cycles",
                swap.serving, swap.probation_cycles
            );
        }
        match node.swap("no-such-strategy") {
            Ok(_) => unreachable!("there is none of that name"),
            Err(error) => println!("refused: {error}"),
        }
        stop.store(true, Ordering::Relaxed);
        for thread in working {
            thread.join().expect("a mutator does not panic")?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    node.collect()?;
    let status = node.status(0);
    println!("{} swaps, longest hold-up of a mutator {} ns", status.swaps, status.heap.pause_ns_max);
    assert_eq!((status.swaps, status.heap.live_objects), (3, 200));
    node.shutdown();
    Ok(())
}
