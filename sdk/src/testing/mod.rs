//! Testing a strategy without Wasm: a heap with a built-in oracle, mutators that run between steps, and the host's own limits.
//!
//! ```
//! use gc_sdk::testing::{Access, MockHeap, Runner};
//! # use gc_sdk::{Error, Info, Options, Shape, Strategy};
//! # struct KeepAll;
//! # impl Strategy for KeepAll {
//! #     const INFO: Info = Info::new("keep-all", "0.1.0", "Frees nothing.");
//! #     fn new(_: &Options, _: Shape) -> Result<KeepAll, Error> { Ok(KeepAll) }
//! # }
//! let mut heap = MockHeap::new(1024, Access::Window);
//! let object = heap.alloc([0; 4]);
//! heap.root(object);
//! let mut runner = Runner::<KeepAll>::new(&heap);
//! let report = runner.cycle(&mut heap).expect("a strategy that frees nothing is safe");
//! assert!(report.condemned.is_empty());
//! ```

mod heap;
mod nodes;
mod random;
mod runner;

pub use heap::{Access, MockHeap};
pub use nodes::{check_complete_over_nodes, check_safe_over_nodes};
pub use random::{Mutator, Random, random_heap, random_member};
pub use runner::{Report, Runner, Violation, check_complete, check_safe};

/// Runs a strategy over many random heaps with mutators between its steps, on both access paths, and panics with the seed when a verdict is unsafe.
///
/// `assert_safe!(MyCollector, seeds = 0..20);`
#[macro_export]
macro_rules! assert_safe {
    ($strategy:ty, seeds = $seeds:expr) => {
        for seed in $seeds {
            if let Err(violation) = $crate::testing::check_safe::<$strategy>(seed) {
                panic!("seed {seed}: {violation}");
            }
        }
    };
}

/// Panics when garbage of the kind that the strategy promises is still there after that many cycles.
///
/// `assert_complete_within!(MyCollector, heap, cycles = 2);`
#[macro_export]
macro_rules! assert_complete_within {
    ($strategy:ty, $heap:expr, cycles = $cycles:expr) => {
        if let Err(violation) = $crate::testing::check_complete::<$strategy>(&mut $heap, $cycles) {
            panic!("{violation}");
        }
    };
}
