//! The same face as `linux.rs`, with memory of the global allocator: Miri checks every access, but there are no pages and no descriptors.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::PAGE_BYTES;
use crate::MemoryError;

pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    shared: bool,
}

// SAFETY: the memory is not tied to a thread; the pointer is only handed out.
unsafe impl Send for Mapping {}
// SAFETY: as above; `discard` writes with atomics of the width that everybody else uses for these bytes.
unsafe impl Sync for Mapping {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, PAGE_BYTES as usize).expect("sizes are checked by Region")
}

impl Mapping {
    pub(crate) fn private(bytes: usize) -> Result<Mapping, MemoryError> {
        assert!(bytes > 0, "an empty mapping");
        // SAFETY: the layout has a size above zero.
        let base = unsafe { alloc_zeroed(layout(bytes)) };
        let base = NonNull::new(base).ok_or_else(|| MemoryError::Kernel {
            action: "reserve",
            bytes: bytes as u64,
            source: io::ErrorKind::OutOfMemory.into(),
        })?;
        Ok(Mapping { base, bytes, shared: false })
    }

    pub(crate) fn shared(_name: &str, bytes: usize) -> Result<Mapping, MemoryError> {
        let mut mapping = Mapping::private(bytes)?;
        mapping.shared = true;
        Ok(mapping)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn discard(
        &self,
        range: Range<usize>,
        widths: &[(Range<u64>, u64)],
    ) -> Result<(), MemoryError> {
        assert!(range.start <= range.end && range.end <= self.bytes, "{range:?} is outside the mapping");
        for (claimed, width) in widths {
            let start = claimed.start.max(range.start as u64);
            let end = claimed.end.min(range.end as u64);
            for offset in (start..end).step_by(*width as usize) {
                // SAFETY: the offset is inside the allocation.
                let at = unsafe { self.base.as_ptr().add(offset as usize) };
                zero(at, *width);
            }
        }
        Ok(())
    }

    pub(crate) fn advise_huge(&self, _range: Range<usize>, _huge: bool) {}

    pub(crate) fn populate(&self, _range: Range<usize>) {}

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.bytes as u64
    }

    pub(crate) fn read_only_fd(&self) -> Result<OwnedFd, MemoryError> {
        if !self.shared {
            return Err(MemoryError::NotShared);
        }
        Err(MemoryError::Kernel {
            action: "reopen read-only",
            bytes: self.bytes as u64,
            source: io::ErrorKind::Unsupported.into(),
        })
    }
}

/// Zeroes one element: initialised, aligned to `width` (claims are), and only accessed with this width.
fn zero(at: *mut u8, width: u64) {
    match width {
        // SAFETY: see above.
        1 => unsafe { AtomicU8::from_ptr(at) }.store(0, Ordering::Relaxed),
        // SAFETY: see above.
        2 => unsafe { AtomicU16::from_ptr(at.cast()) }.store(0, Ordering::Relaxed),
        // SAFETY: see above.
        4 => unsafe { AtomicU32::from_ptr(at.cast()) }.store(0, Ordering::Relaxed),
        // SAFETY: see above.
        _ => unsafe { AtomicU64::from_ptr(at.cast()) }.store(0, Ordering::Relaxed),
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated by `private` with this very layout; everything that holds a pointer into it keeps this value alive.
        unsafe { dealloc(self.base.as_ptr(), layout(self.bytes)) };
    }
}

/// What is simulated has so much.
#[must_use]
pub fn machine_bytes() -> u64 {
    1 << 30
}
