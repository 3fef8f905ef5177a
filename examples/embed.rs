//! A garbage-collected heap in a Rust program: allocate, link, root, collect, ask.

use gc_heap::HeapError;
use gc_node::Node;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().strategy("tracing").heap_limit(64 << 20).start()?;

    let mut mutator = node.mutator();
    // What a scope holds lives as long as the scope.
    let lost = mutator.scope(|scope| {
        let page = scope.alloc(&[], b"a page of text")?;
        let cache = scope.alloc(&[Some(page)], b"")?;
        scope.set_root("cache", Some(cache));
        let session = scope.alloc(&[Some(cache)], b"nobody keeps this one")?;
        Ok::<_, HeapError>(scope.handle(session))
    })?;

    let cycle = node.collect()?;
    println!("{} freed {} object, {} live on", cycle.strategy, cycle.condemned_objects, cycle.live_objects);
    println!("{:?}", node.why(lost));

    assert_eq!((cycle.condemned_objects, cycle.live_objects), (1, 2));
    drop(mutator);
    node.shutdown();
    Ok(())
}
