//! Mappings made by the Linux kernel.
//!
//! **Invariants.** (1) `base..base + bytes` is mapped readable and writable from creation to drop, by this process and for nothing else.
//! (2) It reads as zero where nothing was written since creation or since the last `discard`. (3) Nothing here creates a Rust reference to it.

use std::ffi::{CString, c_void};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::{HUGE_PAGE_BYTES, PAGE_BYTES};
use crate::MemoryError;

/// A mapped range: anonymous and private, or shared and backed by a memfd.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    file: Option<OwnedFd>,
}

// SAFETY: the mapping is not tied to a thread; the pointer is only handed out, never read through, by this type.
unsafe impl Send for Mapping {}
// SAFETY: as above; every method that takes `&self` is a system call that the kernel serialises.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Anonymous memory. `bytes` is a positive multiple of the page size.
    pub(crate) fn private(bytes: usize) -> Result<Mapping, MemoryError> {
        Ok(Mapping { base: reserve(bytes)?, bytes, file: None })
    }

    /// Memory that can be mapped again through its descriptor. It can neither shrink nor grow. `bytes` is a positive multiple of the page size.
    pub(crate) fn shared(name: &str, bytes: usize) -> Result<Mapping, MemoryError> {
        let refused = |action| move |errno| kernel_error(action, bytes, errno);
        let name = CString::new(name.replace('\0', "_")).unwrap_or_default();
        let file = rustix::fs::memfd_create(&name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(refused("create a memory file of"))?;
        rustix::fs::ftruncate(&file, bytes as u64).map_err(refused("size a memory file of"))?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(refused("seal a memory file of"))?;
        let mut mapping = Mapping { base: reserve(bytes)?, bytes, file: None };
        // SAFETY: the range was reserved just above, belongs to `mapping` alone and nobody has its address: it may be replaced.
        unsafe {
            rustix::mm::mmap(
                mapping.base.as_ptr().cast(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE,
                &file,
                0,
            )
        }
        .map_err(refused("map"))?;
        mapping.file = Some(file);
        Ok(mapping)
    }

    /// First byte; aligned to a huge page when the mapping is at least that large, else to a page.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives pages back to the kernel: they read as zero afterwards. The range is page-aligned and inside the mapping.
    ///
    /// `_widths` says which bytes are accessed in which element size; only the simulation needs it.
    pub(crate) fn discard(
        &self,
        range: Range<usize>,
        _widths: &[(Range<u64>, u64)],
    ) -> Result<(), MemoryError> {
        self.check(&range);
        let bytes = range.len();
        if bytes == 0 {
            return Ok(());
        }
        let done = match &self.file {
            // A shared mapping keeps its pages in the file: only a hole gives them back (MADV_FREE is EINVAL, MADV_DONTNEED keeps them).
            Some(file) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(file, flags, range.start as u64, bytes as u64)
            }
            // SAFETY: the range is inside this mapping (checked above) and page-aligned. It stays mapped; other threads that look at it
            // use atomics and see a zero that was written by the kernel.
            None => unsafe { rustix::mm::madvise(self.at(range.start), bytes, Advice::LinuxDontNeed) },
        };
        done.map_err(|errno| kernel_error("release", bytes, errno))
    }

    /// Asks for huge pages, or for small ones, in a page-aligned range. A range with no room for a huge page is left as it is.
    pub(crate) fn advise_huge(&self, range: Range<usize>, huge: bool) {
        self.check(&range);
        if range.len() as u64 >= HUGE_PAGE_BYTES {
            let advice = if huge { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
            // SAFETY: the range is inside this mapping (checked above); the advice changes no byte. A kernel without huge pages refuses, and
            // nothing is lost.
            let _ = unsafe { rustix::mm::madvise(self.at(range.start), range.len(), advice) };
        }
    }

    /// Makes pages resident now rather than at the first touch. Best effort: a kernel that cannot leaves it to the first touch.
    pub(crate) fn populate(&self, range: Range<usize>) {
        self.check(&range);
        if !range.is_empty() {
            // SAFETY: the range is inside this mapping (checked above); populating changes no byte.
            let _ =
                unsafe { rustix::mm::madvise(self.at(range.start), range.len(), Advice::LinuxPopulateWrite) };
        }
    }

    /// Bytes of the mapping that occupy physical memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        const PAGES_PER_CALL: usize = 1 << 16;
        let page = PAGE_BYTES as usize;
        let mut state = vec![0_u8; PAGES_PER_CALL.min(self.bytes / page)];
        let mut resident = 0;
        for start in (0..self.bytes).step_by(PAGES_PER_CALL * page) {
            let pages = ((self.bytes - start) / page).min(PAGES_PER_CALL);
            // SAFETY: the range is inside this mapping, and `state` has one byte for each of its pages.
            let status = unsafe { libc::mincore(self.at(start), pages * page, state.as_mut_ptr()) };
            if status == 0 {
                resident += state[..pages].iter().filter(|&&s| s & 1 != 0).count() as u64 * PAGE_BYTES;
            }
        }
        resident
    }

    /// The same memory behind a new descriptor that cannot write.
    pub(crate) fn read_only_fd(&self) -> Result<OwnedFd, MemoryError> {
        let file = self.file.as_ref().ok_or(MemoryError::NotShared)?;
        // A duplicate would share the open file description, and with it the right to write: open it anew.
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| kernel_error("reopen read-only (through /proc)", self.bytes, errno))
    }

    fn at(&self, offset: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_add(offset).cast()
    }

    fn check(&self, range: &Range<usize>) {
        let page = PAGE_BYTES as usize;
        assert!(range.start <= range.end && range.end <= self.bytes, "{range:?} is outside the mapping");
        assert!(
            range.start.is_multiple_of(page) && range.end.is_multiple_of(page),
            "{range:?} is not whole pages"
        );
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `reserve` for this value, and everything that holds a pointer into it keeps this value alive.
        let unmapped = unsafe { rustix::mm::munmap(self.at(0), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
    }
}

/// Maps anonymous zero pages, aligned to a huge page if at least one fits. Nothing is resident, nothing counts as promised.
fn reserve(bytes: usize) -> Result<NonNull<u8>, MemoryError> {
    let align = if bytes as u64 >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { PAGE_BYTES } as usize;
    let slack = align - PAGE_BYTES as usize;
    let refused = |errno| kernel_error("reserve", bytes, errno);
    let total = bytes.checked_add(slack).ok_or(refused(rustix::io::Errno::NOMEM))?;
    // SAFETY: no address is asked for, so the kernel picks a range that nobody uses.
    let start = unsafe {
        rustix::mm::mmap_anonymous(
            ptr::null_mut(),
            total,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }
    .map_err(refused)?;
    let head = start.addr().next_multiple_of(align) - start.addr();
    let base = start.wrapping_byte_add(head);
    trim(start, head);
    trim(base.wrapping_byte_add(bytes), slack - head);
    Ok(NonNull::new(base.cast()).expect("the kernel never maps address zero unasked"))
}

/// Unmaps the part of a fresh reservation that alignment leaves over.
fn trim(start: *mut c_void, bytes: usize) {
    if bytes > 0 {
        // SAFETY: called by `reserve` alone, on whole pages of the range that it has just mapped and that nobody knows yet.
        let unmapped = unsafe { rustix::mm::munmap(start, bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
    }
}

fn kernel_error(action: &'static str, bytes: usize, errno: rustix::io::Errno) -> MemoryError {
    MemoryError::Kernel { action, bytes: bytes as u64, source: io::Error::from(errno) }
}

/// Physical memory and swap that this process may use: the machine's, or less if its control groups say so.
#[must_use]
pub fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64 + info.totalswap as u64).saturating_mul(u64::from(info.mem_unit));
    control_group_limits().fold(machine, u64::min)
}

/// `memory.max` of the control group (version 2) of this process and of all above it, as far as they can be seen.
fn control_group_limits() -> impl Iterator<Item = u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let folders: Vec<_> = Path::new("/sys/fs/cgroup").join(own).ancestors().map(Path::to_owned).collect();
    folders
        .into_iter()
        .take_while(|folder| folder.starts_with("/sys/fs/cgroup"))
        .filter_map(|folder| std::fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok())
}
