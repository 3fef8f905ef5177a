//! The memory of guests, the graph mapped into it, and the loading of cached code: all unsafe code of this crate.
//!
//! A guest's linear memory is a reservation of 4 GiB and a guard, so that compiled code needs no bounds checks. It is ours and not wasmtime's
//! ([`GuestMemories`] is the engine's `MemoryCreator`), so that mapping something else into it is our right. A *window* is a range of it
//! over which the heap's graph plane is mapped, private and copy-on-write, from a read-only descriptor.
//!
//! Why private and writable, and not shared and read-only: `memory.fill`, `memory.copy` and the lowering of lists run in the host, and a fault there
//! ends the process. Through a private mapping every write succeeds, and reaches a copy that only this guest sees. Why not from the engine's own
//! memories: with memory images copied on write the engine maps over the range itself, and the pooling allocator leaves a window in place for the
//! next instance. So the engine is made with `memory_init_cow(false)` and the on-demand allocator.
//!
//! Invariants:
//!
//! 1. `base .. base + reserved + guard` belongs to one [`GuestMemory`] until that is dropped. Whoever uses an address of it holds the `Arc`.
//! 2. `base .. base + size` is readable and writable at all times; what follows is not accessible. `size` never falls.
//! 3. A window lies below `size`, and the file behind it is sealed against shrinking and long enough: no load in it can fail.
//! 4. Nothing in the host keeps a reference into a window. Rust code reads guest memory only through wasmtime. Lists that a guest hands to an import are
//!    refused by their address before they are read (`imports.rs`). Texts, and the answers of a guest, wasmtime decodes before anybody can see where
//!    they lay: a text in UTF-8 that lies in the window is refused after that, one in UTF-16 and an answer are copies by then. Such bytes may have
//!    changed while they were copied, which hurts nobody but the strategy: what was copied is checked like any other answer. What compiled guest
//!    code reads is outside of Rust's memory model, which is why the heap writes only aligned atomics.

#![allow(unsafe_code, reason = "the one file of this crate where it is allowed")]

use std::cell::RefCell;
use std::ffi::c_void;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::SealFlags;
use rustix::ioctl::{self, Opcode, Updater};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::component::Component;
use wasmtime::{Engine, LinearMemory, MemoryCreator, MemoryType};

use crate::cache::Artefact;
use crate::limits::WINDOW_ALIGN;

/// Growth of at least this much asks for huge pages.
const HUGE: usize = WINDOW_ALIGN as usize;

/// Makes the memories of guests. Each is handed to the innermost [`capture`] of its thread.
pub(crate) struct GuestMemories;

/// One linear memory: address space that belongs to a guest.
pub(crate) struct GuestMemory {
    /// What was reserved from the kernel.
    reservation: Range<usize>,
    /// Where linear memory begins: a multiple of [`WINDOW_ALIGN`].
    base: NonNull<u8>,
    /// How much it may grow.
    reserved: usize,
    /// How much of it is accessible.
    size: AtomicUsize,
}

// SAFETY: the pointer is an address of memory that this type owns alone; it is only ever given to wasmtime and the kernel.
unsafe impl Send for GuestMemory {}
// SAFETY: as above; `size` is atomic, and only the engine grows a memory, through `&mut`.
unsafe impl Sync for GuestMemory {}

/// What wasmtime holds of a [`GuestMemory`].
struct Owned(Arc<GuestMemory>);

thread_local!(static CAPTURED: RefCell<Option<Vec<Arc<GuestMemory>>>> = const { RefCell::new(None) });

/// Runs `instantiate` and answers the memories that were made by it on this thread: the engine does not say whose memory it asks for.
pub(crate) fn capture<R>(instantiate: impl FnOnce() -> R) -> (R, Vec<Arc<GuestMemory>>) {
    let outer = CAPTURED.replace(Some(Vec::new()));
    let result = instantiate();
    (result, CAPTURED.replace(outer).unwrap_or_default())
}

// SAFETY: memories are zeroed (anonymous), readable and writable below their size, inaccessible from there to the end of the guard,
// and never move: see the invariants above.
unsafe impl MemoryCreator for GuestMemories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.ok_or("this engine reserves its memories")?;
        let memory = GuestMemory::reserve(reserved, guard).map_err(|error| {
            format!("cannot reserve {} MiB of addresses: {error}", (reserved + guard) >> 20)
        })?;
        memory.grow_to(minimum).map_err(|error| format!("cannot commit {minimum} bytes: {error}"))?;
        let memory = Arc::new(memory);
        CAPTURED
            .with_borrow_mut(|captured| captured.iter_mut().for_each(|all| all.push(Arc::clone(&memory))));
        Ok(Box::new(Owned(memory)))
    }
}

// SAFETY: `as_ptr` is valid for `byte_size` bytes as long as this lives, and growing does not move it.
unsafe impl LinearMemory for Owned {
    fn byte_size(&self) -> usize {
        self.0.size()
    }

    fn byte_capacity(&self) -> usize {
        self.0.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow_to(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base.as_ptr()
    }
}

impl GuestMemory {
    /// Reserves addresses, aligned for huge pages, all inaccessible.
    fn reserve(reserved: usize, guard: usize) -> io::Result<GuestMemory> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        // The slack aligns the base; what is left of it before the base guards against negative offsets.
        let length =
            reserved.checked_add(guard).and_then(|sum| sum.checked_add(2 * HUGE)).ok_or_else(too_large)?;
        // SAFETY: the kernel chooses a range that nobody uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                length,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let address = start.addr();
        let base = (address + 1).next_multiple_of(HUGE);
        // SAFETY: the base lies in the new range, less than two alignments from its start.
        let base = unsafe { start.cast::<u8>().add(base - address) };
        Ok(GuestMemory {
            reservation: address..address + length,
            base: NonNull::new(base).ok_or_else(too_large)?,
            reserved,
            size: AtomicUsize::new(0),
        })
    }

    /// Bytes of linear memory, windows included.
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn grow_to(&self, new_size: usize) -> io::Result<()> {
        let size = self.size();
        if new_size > self.reserved || new_size < size {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if new_size == size {
            return Ok(());
        }
        let (start, length) = (self.at(size), new_size - size);
        // SAFETY: the range is above `size` and inside the reservation: nobody uses it, and it is not accessible yet.
        unsafe { rustix::mm::mprotect(start, length, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        if length >= HUGE {
            // Marks and worklists are read at random. Only a hint: a kernel without huge pages refuses it.
            // SAFETY: advice does not change contents, and the range is ours.
            let _ = unsafe { rustix::mm::madvise(start, length, Advice::LinuxHugepage) };
        }
        self.size.store(new_size, Ordering::Relaxed);
        Ok(())
    }

    /// The host address of an offset up to the end of the reservation.
    fn at(&self, offset: usize) -> *mut c_void {
        assert!(offset <= self.reserved, "an offset outside of linear memory");
        // SAFETY: the offset lies inside the reservation.
        unsafe { self.base.as_ptr().add(offset) }.cast()
    }

    /// Maps the first `bytes` of `plane` over the range at `offset`, private and copy-on-write. Whatever was there is gone.
    ///
    /// The caller sees to it that the guest expects that. Everything that could hurt the host is checked here.
    pub(crate) fn map(
        self: &Arc<Self>,
        plane: BorrowedFd<'_>,
        bytes: u64,
        offset: u64,
    ) -> io::Result<Window> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let end = offset.checked_add(bytes).ok_or_else(|| invalid("the window ends beyond all addresses"))?;
        let page = rustix::param::page_size() as u64;
        if end > self.size() as u64 || !offset.is_multiple_of(page) || bytes == 0 {
            return Err(invalid("the window does not lie inside of linear memory at a page"));
        }
        if !rustix::fs::fcntl_get_seals(plane)?.contains(SealFlags::SHRINK) {
            return Err(invalid("the graph plane is not sealed against shrinking"));
        }
        let length = u64::try_from(rustix::fs::fstat(plane)?.st_size).unwrap_or(0);
        if length < bytes.next_multiple_of(page) {
            return Err(invalid("the graph plane is shorter than it says"));
        }
        let pagemap = File::open("/proc/self/pagemap")?;
        let (offset, bytes) = (offset as usize, bytes as usize);
        let start = self.at(offset);
        // SAFETY: the range lies below `size` of a memory that is ours (invariant 2), so nothing else is replaced. It stays readable and
        // writable. The file cannot shrink below it (invariant 3). Rust code holds no reference into guest memory here: this runs between calls.
        unsafe {
            rustix::mm::mmap(
                start,
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                plane,
                0,
            )
        }?;
        if bytes >= HUGE {
            // SAFETY: advice does not change contents, and the range is ours.
            let _ = unsafe { rustix::mm::madvise(start, bytes, Advice::LinuxHugepage) };
        }
        Ok(Window { memory: Arc::clone(self), offset, bytes, pagemap })
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        let start = ptr::with_exposed_provenance_mut(self.reservation.start);
        // SAFETY: the last owner is gone, so neither the engine nor a window uses the range. Windows in it go with it.
        let unmapped = unsafe { rustix::mm::munmap(start, self.reservation.len()) };
        debug_assert!(unmapped.is_ok(), "the reservation was ours");
    }
}

/// The graph, mapped into a guest's memory.
pub(crate) struct Window {
    memory: Arc<GuestMemory>,
    offset: usize,
    bytes: usize,
    pagemap: File,
}

/// With which pages the kernel shows the graph.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum PageKind {
    /// Pages of the base size only.
    Small,
    /// Some at least are huge.
    Huge,
}

impl Window {
    /// Host addresses of the window.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.memory.base.as_ptr().addr() + self.offset;
        start..start + self.bytes
    }

    /// Bytes of the window.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// How many pages the guest has written to, ever. About 25 us per MiB of the window that has been read.
    pub(crate) fn written_pages(&self) -> io::Result<u64> {
        let range = self.addresses();
        match scan(self.pagemap.as_fd(), &range) {
            Ok(pages) => Ok(pages),
            Err(_) => read_pagemap(&self.pagemap, &range),
        }
    }

    /// With which pages the kernel shows the graph; small until the guest has read some of it.
    pub(crate) fn pages(&self) -> io::Result<PageKind> {
        let smaps = fs::read_to_string("/proc/self/smaps")?;
        let range = self.addresses();
        let mut ours = false;
        for line in smaps.lines() {
            if let Some((start, end)) = header(line) {
                ours = start < range.end && end > range.start;
            } else if ours
                && let Some((key, value)) = line.split_once(':')
                && matches!(key, "ShmemPmdMapped" | "FilePmdMapped")
                && value.trim() != "0 kB"
            {
                return Ok(PageKind::Huge);
            }
        }
        Ok(PageKind::Small)
    }
}

/// The range of addresses that a line of `smaps` opens.
fn header(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    region_count: u64,
    max_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

/// `struct page_region` of `linux/fs.h`.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
struct ScanRegion {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGEMAP_SCAN: Opcode = ioctl::opcode::read_write::<ScanArgument>(b'f', 16);

/// Pages of the range that are anonymous: private copies that a write has made. Linux 6.7 and later.
fn scan(pagemap: BorrowedFd<'_>, range: &Range<usize>) -> io::Result<u64> {
    let page = rustix::param::page_size() as u64;
    let (mut start, end) = (range.start as u64, range.end as u64);
    let mut written = 0;
    while start < end {
        let mut regions = [ScanRegion::default(); 64];
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            flags: 0,
            start,
            end,
            walk_end: 0,
            regions: regions.as_mut_ptr().expose_provenance() as u64,
            region_count: regions.len() as u64,
            max_pages: 0,
            inverted: PAGE_IS_FILE,
            all_of: PAGE_IS_FILE,
            any_of: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            returned: 0,
        };
        // SAFETY: the opcode belongs to this struct, whose pointer and length describe `regions`.
        let call = unsafe { Updater::<PAGEMAP_SCAN, _>::new(&mut argument) };
        // SAFETY: the descriptor is this process's pagemap; the call writes to the argument and to `regions` only.
        unsafe { ioctl::ioctl(pagemap, call) }?;
        written += regions.iter().map(|region| (region.end - region.start) / page).sum::<u64>();
        if argument.walk_end <= start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        start = argument.walk_end;
    }
    Ok(written)
}

/// The same from the table of entries, for kernels without the scan.
fn read_pagemap(pagemap: &File, range: &Range<usize>) -> io::Result<u64> {
    const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
    const FILE_OR_SHARED: u64 = 1 << 61;
    let page = rustix::param::page_size();
    let (mut entry, last) = (range.start / page, range.end.div_ceil(page));
    let mut buffer = [0_u8; 8 * 1024];
    let mut written = 0;
    while entry < last {
        let bytes = ((last - entry) * 8).min(buffer.len());
        pagemap.read_exact_at(&mut buffer[..bytes], entry as u64 * 8)?;
        let entries = buffer[..bytes].chunks_exact(8);
        let entries = entries.map(|entry| u64::from_ne_bytes(entry.try_into().expect("eight bytes")));
        written += entries.filter(|bits| bits & PRESENT_OR_SWAPPED != 0 && bits & FILE_OR_SHARED == 0).count()
            as u64;
        entry += bytes / 8;
    }
    Ok(written)
}

/// Loads compiled code.
///
/// Wasmtime trusts such bytes as it trusts this program: whoever can forge them runs as us. An [`Artefact`] is only made from what this process compiled, or
/// from a file that is ours, in a folder that only we can write to, and whose digest is that of what was written; whoever can forge that can
/// replace this program as well.
pub(crate) fn load_compiled(engine: &Engine, artefact: &Artefact) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are the output of `Component::serialize` of an engine with the same compatibility hash; see above.
    unsafe { Component::deserialize(engine, artefact.bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;
    use std::os::fd::OwnedFd;

    fn plane(bytes: usize, seal: bool) -> OwnedFd {
        let fd = rustix::fs::memfd_create("plane", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&fd, &vec![7; bytes]).unwrap();
        if seal {
            rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        }
        fd
    }

    fn memory(bytes: usize) -> Arc<GuestMemory> {
        let memory = GuestMemory::reserve(1 << 30, 32 << 20).unwrap();
        memory.grow_to(bytes).unwrap();
        Arc::new(memory)
    }

    fn byte(memory: &GuestMemory, offset: usize) -> *mut u8 {
        memory.at(offset).cast()
    }

    #[test]
    fn both_ways_of_looking_find_exactly_the_pages_that_were_written() {
        let page = rustix::param::page_size();
        let (memory, plane) = (memory(1 << 20), plane(256 << 10, true));
        let window = memory.map(plane.as_fd(), 256 << 10, 128 << 10).unwrap();
        let counts = || {
            let range = window.addresses();
            (window.written_pages().unwrap(), read_pagemap(&window.pagemap, &range).unwrap())
        };
        for at in (0..256 << 10).step_by(page) {
            // SAFETY: inside the window, which is readable.
            assert_eq!(unsafe { byte(&memory, (128 << 10) + at).read_volatile() }, 7);
        }
        assert_eq!(counts(), (0, 0));
        for at in [128 << 10, (128 << 10) + 5 * page, (384 << 10) - 1] {
            // SAFETY: inside the window, which is writable.
            unsafe { byte(&memory, at).write_volatile(9) };
        }
        assert_eq!(counts(), (3, 3));
        // SAFETY: below `size`, before the window: not the window's business.
        unsafe { byte(&memory, 0).write_volatile(9) };
        assert_eq!(counts(), (3, 3));
        let mut first = [0];
        rustix::io::pread(&plane, &mut first, 0).unwrap();
        assert_eq!(first, [7], "the plane itself is intact");
    }

    #[test]
    fn a_window_must_lie_in_memory_over_a_sealed_plane_that_is_long_enough() {
        let (memory, sealed) = (memory(1 << 20), plane(64 << 10, true));
        let refused =
            |fd: &OwnedFd, bytes, offset| memory.map(fd.as_fd(), bytes, offset).err().unwrap().to_string();
        assert!(refused(&sealed, 64 << 10, 1 << 20).contains("inside"));
        assert!(refused(&sealed, 64 << 10, 100).contains("inside"));
        assert!(refused(&sealed, 64 << 10, u64::MAX - 4095).contains("beyond"));
        assert!(refused(&sealed, 128 << 10, 0).contains("shorter"));
        assert!(refused(&plane(64 << 10, false), 64 << 10, 0).contains("sealed"));
    }

    #[test]
    fn memory_outlives_the_engine_while_a_window_is_held_and_goes_with_the_last() {
        let (memory, plane) = (memory(1 << 20), plane(64 << 10, true));
        let window = memory.map(plane.as_fd(), 64 << 10, 0).unwrap();
        drop(memory);
        assert_eq!(window.written_pages().unwrap(), 0);
        let range = window.addresses();
        drop(window);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains(&format!("{:x}-", range.start)));
    }

    #[test]
    fn only_the_memories_of_the_call_are_captured() {
        let new = || {
            GuestMemories.new_memory(MemoryType::new(1, None), 65536, None, Some(1 << 30), 1 << 20).unwrap()
        };
        let _before = new();
        let ((_, inner), outer) = capture(|| {
            let _outer = new();
            capture(|| (new(), new()))
        });
        let _after = new();
        assert_eq!((outer.len(), inner.len()), (1, 2));
    }
}
