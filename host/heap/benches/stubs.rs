//! What the driver of the protocol pays for stubs and scions: to make a stub, to find one again, to hold and to release an object.
//!
//! `cargo bench -p gc-heap --bench stubs`. Medians of rounds on fresh heaps.

use std::hint::black_box;
use std::time::Instant;

use gc_heap::{Handle, Heap, HeapConfig};

const COUNT: u32 = 200_000;
const ROUNDS: usize = 9;

fn per_one(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / f64::from(COUNT)
}

fn round() -> [f64; 5] {
    let heap = Heap::new(HeapConfig::with_limit(64 << 20)).expect("64 MiB can be had");
    let elsewhere =
        |number: u32| Handle { node: 1 + number % 3, incarnation: 1, cell: number + 1, generation: 0 };
    heap.mutator().scope(|scope| {
        let import = |import: u32| {
            for number in 0..COUNT {
                black_box(scope.import(elsewhere(number), import).expect("there is room"));
            }
        };
        let fresh = per_one(|| import(1));
        let again = per_one(|| import(2));
        let objects: Vec<Handle> =
            (0..COUNT).map(|_| scope.handle(scope.alloc(&[], &[]).expect("there is room"))).collect();
        let hold = per_one(|| objects.iter().for_each(|&object| heap.hold(object).expect("it is there")));
        let release = per_one(|| objects.iter().for_each(|&object| heap.release(object)));
        let resolve = per_one(|| {
            for number in 0..COUNT {
                black_box(scope.resolve(elsewhere(number)).expect("there is a stub"));
            }
        });
        [fresh, again, resolve, hold, release]
    })
}

fn main() {
    let mut rounds: Vec<[f64; 5]> = (0..ROUNDS).map(|_| round()).collect();
    let names = ["a fresh stub", "a stub that is there", "a look-up of a stub", "to hold", "to release"];
    for (at, name) in names.into_iter().enumerate() {
        rounds.sort_by(|one, other| one[at].total_cmp(&other[at]));
        println!("{name}: {:.0} ns", rounds[ROUNDS / 2][at]);
    }
}
