//! Regions, ranges of mapped memory, and columns, typed views of them.
//!
//! The graph plane and the host's own columns live in regions; the payload arena is one. A *shared* region is a memfd, so that a strategy can have it
//! mapped a second time, read-only and copy-on-write; a *private* one is anonymous memory.
//!
//! **Invariants.**
//! 1. A region stays mapped, readable and writable, as long as the region or any column of it lives.
//! 2. Memory is only reached through columns, that is through atomics: several threads may do so at once, and a released page that is read
//!    is a zero, not a fault.
//! 3. No byte is reached through two element sizes. (Racing atomics of different sizes are undefined behaviour.)
//! 4. Nothing is resident before it is touched or after it is released.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crate::MemoryError;
use crate::os::{Mapping, PAGE_BYTES};

/// The largest region: what an x86-64 or arm64 process can address.
const REGION_BYTES_MAX: u64 = 1 << 47;

/// A range of zeroed, mapped memory.
pub struct Region {
    mapping: Mapping,
    /// Which bytes have been handed out, in which element size (invariant 3).
    claims: Mutex<Vec<(Range<u64>, u64)>>,
}

impl Region {
    /// Memory behind a sealed descriptor of fixed size, to be mapped a second time. `name` is shown in `/proc/PID/maps`.
    ///
    /// The size is rounded up to whole pages. From 2 MiB on, the region is aligned to 2 MiB and asks for huge pages.
    pub fn shared(name: &str, bytes: u64) -> Result<Arc<Region>, MemoryError> {
        let region = Region::over(Mapping::shared(name, whole_pages(bytes)?)?)?;
        region.advise_huge(0..region.len(), true);
        Ok(region)
    }

    /// Anonymous memory of this process. Size, alignment and huge pages as for [`Region::shared`].
    pub fn private(bytes: u64) -> Result<Arc<Region>, MemoryError> {
        let region = Region::private_small_pages(bytes)?;
        region.advise_huge(0..region.len(), true);
        Ok(region)
    }

    /// The same without huge pages, for what is sparsely used, or advised range by range.
    pub(crate) fn private_small_pages(bytes: u64) -> Result<Arc<Region>, MemoryError> {
        Region::over(Mapping::private(whole_pages(bytes)?)?)
    }

    fn over(mapping: Mapping) -> Result<Arc<Region>, MemoryError> {
        crate::fence::prepare();
        Ok(Arc::new(Region { mapping, claims: Mutex::new(Vec::new()) }))
    }

    /// A view of `len` elements that begins `byte_offset` bytes into the region.
    ///
    /// Columns of one element size may overlap, columns of different sizes may not.
    pub fn column<T: Element>(
        self: &Arc<Self>,
        byte_offset: u64,
        len: usize,
    ) -> Result<Column<T>, MemoryError> {
        let width = size_of::<T>() as u64;
        let end = (len as u64).checked_mul(width).and_then(|bytes| byte_offset.checked_add(bytes));
        let range = byte_offset..end.unwrap_or(u64::MAX);
        self.check_bounds(&range)?;
        check_multiple(byte_offset, width)?;
        self.claim(range, width)?;
        // SAFETY: `byte_offset` is at most the length of the mapping (checked above), so the result is inside it or one past its end.
        let first = unsafe { self.mapping.base().add(byte_offset as usize) };
        Ok(Column { first: first.cast(), len, region: Arc::clone(self), elements: PhantomData })
    }

    /// A descriptor of the same memory that cannot write, whatever is done with it; shared regions only.
    pub fn read_only_fd(&self) -> Result<OwnedFd, MemoryError> {
        self.mapping.read_only_fd()
    }

    /// Gives pages back to the kernel; they read as zero afterwards and become resident again when written.
    ///
    /// Both ends must be multiples of the page size (4096). Elements that other threads write meanwhile may or may not survive.
    pub fn release(&self, bytes: Range<u64>) -> Result<(), MemoryError> {
        self.check_bounds(&bytes)?;
        check_multiple(bytes.start, PAGE_BYTES)?;
        check_multiple(bytes.end, PAGE_BYTES)?;
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        self.mapping.discard(bytes.start as usize..bytes.end as usize, &claims)
    }

    /// Bytes that occupy physical memory. Asks the kernel: linear in the length, about 20 us per GiB that is not resident.
    pub fn resident_bytes(&self) -> u64 {
        self.mapping.resident_bytes()
    }

    /// Bytes in the region, a multiple of the page size.
    #[expect(clippy::len_without_is_empty, reason = "no region is empty")]
    pub fn len(&self) -> u64 {
        self.mapping.bytes() as u64
    }

    /// Asks for huge pages, or for none, in a page-aligned range inside the region, from the next touch on.
    pub(crate) fn advise_huge(&self, bytes: Range<u64>, huge: bool) {
        self.mapping.advise_huge(bytes.start as usize..bytes.end as usize, huge);
    }

    /// Makes the pages of a page-aligned range inside the region resident.
    pub(crate) fn populate(&self, bytes: Range<u64>) {
        self.mapping.populate(bytes.start as usize..bytes.end as usize);
    }

    fn check_bounds(&self, range: &Range<u64>) -> Result<(), MemoryError> {
        if range.start <= range.end && range.end <= self.len() {
            return Ok(());
        }
        Err(MemoryError::OutOfRange { start: range.start, end: range.end, region: self.len() })
    }

    fn claim(&self, range: Range<u64>, width: u64) -> Result<(), MemoryError> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let meets = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        if claims.iter().any(|(other, other_width)| *other_width != width && meets(other)) {
            return Err(MemoryError::Overlap { start: range.start, end: range.end });
        }
        let claim = (range, width);
        if !claims.contains(&claim) {
            claims.push(claim);
        }
        Ok(())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

fn whole_pages(bytes: u64) -> Result<usize, MemoryError> {
    if bytes == 0 || bytes > REGION_BYTES_MAX {
        return Err(MemoryError::RegionSize { bytes, most: REGION_BYTES_MAX });
    }
    Ok(bytes.next_multiple_of(PAGE_BYTES) as usize)
}

fn check_multiple(offset: u64, align: u64) -> Result<(), MemoryError> {
    if offset.is_multiple_of(align) { Ok(()) } else { Err(MemoryError::Misaligned { offset, align }) }
}

mod sealed {
    pub trait Sealed {}
}

/// What a column consists of: an atomic integer of 8, 16, 32 or 64 bits, for which zero bytes are a valid value.
pub trait Element: sealed::Sealed + Send + Sync + 'static {}

macro_rules! elements {
    ($($atomic:ty),*) => { $(impl sealed::Sealed for $atomic {} impl Element for $atomic {})* };
}
elements!(AtomicU8, AtomicU16, AtomicU32, AtomicU64);

/// A typed view of a region, which it keeps alive. Dereferences to a slice; cloning is an atomic increment.
pub struct Column<T> {
    first: NonNull<T>,
    len: usize,
    region: Arc<Region>,
    elements: PhantomData<[T]>,
}

// SAFETY: a column is a shared slice of atomics plus the owner of the memory; `T: Element` is Send and Sync.
unsafe impl<T: Element> Send for Column<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Column<T> {}

impl<T: Element> Column<T> {
    /// The region that this is a view of.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

impl<T: Element> Deref for Column<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: bounds and alignment were checked by `Region::column`; the memory is initialised (zeroed, and every bit pattern is valid); it is
        // only reached through atomics of this size (invariants 2, 3), so sharing it is sound; it lives as long as `self.region`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Column<T> {
        Column { first: self.first, len: self.len, region: Arc::clone(&self.region), elements: PhantomData }
    }
}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column").field("len", &self.len).finish_non_exhaustive()
    }
}
