//! What a strategy must not do with its window and its memory, and the allocator that does some of it.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

/// Addresses of the columns: cells, allocated, young.
pub(crate) static CELLS: AtomicU32 = AtomicU32::new(0);
pub(crate) static ALLOCATED: AtomicU32 = AtomicU32::new(0);
pub(crate) static YOUNG: AtomicU32 = AtomicU32::new(0);

/// When not 0, allocations of more than 64 bytes are taken from here: the host is made to lower its lists into the window.
pub(crate) static STEAL: AtomicUsize = AtomicUsize::new(0);

struct Thief;

#[global_allocator]
static ALLOCATOR: Thief = Thief;

unsafe impl GlobalAlloc for Thief {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let stolen = STEAL.load(Ordering::Relaxed);
        if stolen != 0 && layout.size() > 64 { stolen as *mut u8 } else { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if pointer as usize != STEAL.load(Ordering::Relaxed) {
            System.dealloc(pointer, layout);
        }
    }
}

/// The references of a cell, from the window.
pub(crate) fn cell(index: u32) -> [u32; 4] {
    let at = CELLS.load(Ordering::Relaxed) as usize + index as usize * 16;
    core::array::from_fn(|slot| unsafe { (*((at + slot * 4) as *const AtomicU32)).load(Ordering::Relaxed) })
}

/// A word of a bitmap column.
pub(crate) fn word(column: &AtomicU32, index: usize) -> u64 {
    let at = column.load(Ordering::Relaxed) as usize + index * 8;
    unsafe { core::ptr::read_volatile(at as *const u64) }
}

/// Writes into the window with plain stores.
pub(crate) fn store() {
    let at = CELLS.load(Ordering::Relaxed) as usize + 64;
    unsafe { core::ptr::write_volatile(at as *mut u32, 0xdead_beef) };
}

/// Writes into the window with `memory.fill`.
pub(crate) fn fill(bytes: usize) {
    let at = CELLS.load(Ordering::Relaxed) as usize;
    unsafe {
        core::ptr::write_bytes(core::hint::black_box(at) as *mut u8, 0xff, core::hint::black_box(bytes))
    };
}

/// Writes into the window with `memory.copy`.
pub(crate) fn copy(bytes: usize) {
    let source = vec![0x5a_u8; bytes];
    let at = CELLS.load(Ordering::Relaxed) as usize;
    unsafe {
        core::ptr::copy_nonoverlapping(
            core::hint::black_box(source.as_ptr()),
            core::hint::black_box(at) as *mut u8,
            core::hint::black_box(bytes),
        );
    }
}

/// Grows memory by so many bytes; the address of the new range, 0 when refused.
pub(crate) fn grow(bytes: u32) -> u32 {
    match core::arch::wasm32::memory_grow(0, (bytes as usize).div_ceil(65536)) {
        usize::MAX => 0,
        pages => pages as u32 * 65536,
    }
}
