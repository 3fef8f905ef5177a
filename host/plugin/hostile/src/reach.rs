//! What it tells of other nodes, rightly and wrongly.

use core::sync::atomic::Ordering;

use crate::strategy::gc::strategy::cluster;
use crate::strategy::gc::strategy::heap::{self, Bitmap};
use crate::strategy::{is_marked, mode};
use crate::window;

/// Tells what the mode wants told in this call.
pub(crate) fn tell(call: &str, capacity: u32) {
    match (mode().as_str(), call) {
        ("reach-honestly", "step") => cluster::reached(&stubs(capacity)),
        ("reach-often", "step") => (0..3).for_each(|_| cluster::reached(&stubs(capacity))),
        ("reach-all", "step") => cluster::reached(&all_stubs(capacity)),
        ("reach-beyond", "step") => cluster::reached(&[1, capacity]),
        ("reach-null", "step") => cluster::reached(&[0]),
        ("reach-an-object", "step") => cluster::reached(&[1]),
        ("reach-what-is-free", "step") => cluster::reached(&[capacity - 1]),
        ("reach-too-many", "step") => cluster::reached(&vec![1; 65_537]),
        ("reach-flood", "step") => loop {
            cluster::reached(&[1; 1000]);
        },
        ("reach-in-window", "step") => cluster::reached(in_window()),
        ("reach-in-describe", "describe") | ("reach-in-begin", "begin") | ("reach-in-finish", "finish") => {
            cluster::reached(&[]);
        }
        _ => {}
    }
}

/// The stubs that are marked.
fn stubs(capacity: u32) -> Vec<u32> {
    all_stubs(capacity).into_iter().filter(|cell| is_marked(*cell)).collect()
}

fn all_stubs(capacity: u32) -> Vec<u32> {
    let words = heap::read_bitmap(Bitmap::Stub, 0, capacity / 64);
    (0..capacity).filter(|cell| words[*cell as usize / 64] >> (cell % 64) & 1 == 1).collect()
}

fn in_window() -> &'static [u32] {
    let at = window::CELLS.load(Ordering::Relaxed) as usize;
    unsafe { core::slice::from_raw_parts(at as *const u32, 16) }
}
