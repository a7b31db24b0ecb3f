//! Segments: anonymous memory of a fixed size that two processes map.
//! Owns: memfds from their creation to the mapping, and the mapping. Must not know: what lies in it.
//!
//! A segment has no name: nothing appears in `/dev/shm`, and the kernel frees it with the last mapping and descriptor,
//! however the processes end. It is sealed before anybody maps it. Without the seals the other side could shrink it, and
//! each access behind its end would be SIGBUS. What no seal forbids (short of forbidding to write) is to punch holes into
//! it: the kernel fills them with zeros on the next access. All pages are allocated at the creation, so that running out
//! of memory is an error of that call.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

use crate::copy;
use crate::error::SegmentError;
use crate::fork;
use crate::pages;

/// What every segment has, and no other seal on its writing.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
const FORBIDDEN: SealFlags = SealFlags::WRITE.union(SealFlags::FUTURE_WRITE);

/// Whoever copies more looks after so many bytes whether to go on: a few milliseconds of work.
pub const PIECE: usize = 16 << 20;

/// What a child of a fork in user code gets of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The same memory: for buffers, which may be in use there too.
    WithForks,
    /// Nothing: for rings and their like, which have one user per side.
    NotWithForks,
}

/// What is the same for all mappings of a segment, and for nothing else as long as one of them is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    device: u64,
    inode: u64,
}

impl Key {
    /// That of the segment behind `fd`.
    ///
    /// # Errors
    /// Those of fstat.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// A mapped segment; unmapped when dropped. Its memory goes back to the system with the last mapping on either side.
#[derive(Debug)]
pub struct Segment {
    start: NonNull<u8>,
    bytes: usize,
    sharing: Sharing,
    stamp: u32,
    key: Key,
    /// Whether the pages are in the page table, so that touching them does not fault.
    is_populated: AtomicBool,
}

// SAFETY: a mapping belongs to the process, not to a thread, and is unmapped by its only owner, whichever thread that is.
unsafe impl Send for Segment {}
// SAFETY: `&Segment` gives out an address and copies. The copies are data races in no sense that the compiler could
// use (see `copy`), and what else is done with the address is the responsibility of that code.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a zeroed segment of `bytes` bytes, rounded up to whole pages, and maps it with all its pages present. The
    /// descriptor is for the peer; the mapping does not need it.
    ///
    /// # Errors
    /// [`SegmentError::Size`], [`SegmentError::FileLimit`], [`SegmentError::Memory`] or [`SegmentError::System`]; nothing is left behind.
    pub fn create(bytes: usize, sharing: Sharing) -> Result<(Self, OwnedFd), SegmentError> {
        Self::create_with(&[], bytes, sharing, &mut || true)
    }

    /// The same, beginning with `content`. For cold memory this is twice as fast as to create and then copy, because the
    /// kernel need not zero what is written at once. The pages are present, but as nobody may ever touch them here, the
    /// mapping learns of them only by [`Segment::populate`]. Before each [`PIECE`] of `content` it asks whether it `goes_on`.
    ///
    /// # Errors
    /// Those of [`Segment::create`]; [`SegmentError::Size`] also if `content` is longer than `bytes`;
    /// [`SegmentError::GivenUp`] if it does not go on.
    pub fn create_with(
        content: &[u8],
        bytes: usize,
        sharing: Sharing,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(Self, OwnedFd), SegmentError> {
        let bytes = whole_pages(bytes).filter(|bytes| *bytes >= content.len()).ok_or(SegmentError::Size(bytes))?;
        if let Some(limit) = getrlimit(Resource::Fsize).current.filter(|limit| *limit < bytes as u64) {
            return Err(SegmentError::FileLimit { limit, bytes });
        }
        pages::check(bytes)?;
        let failed = |call| move |errno| SegmentError::System { call, bytes, errno };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("elsewhere", flags).map_err(failed("memfd_create"))?;
        rustix::fs::ftruncate(&fd, bytes as u64).map_err(failed("ftruncate"))?;
        for piece in content.chunks(PIECE) {
            if !goes_on() {
                return Err(SegmentError::GivenUp);
            }
            write_all(&fd, piece).map_err(failed("write"))?;
        }
        let rest = content.len() as u64;
        if rest < bytes as u64 {
            retried(|| rustix::fs::fallocate(&fd, FallocateFlags::empty(), rest, bytes as u64 - rest))
                .map_err(failed("fallocate"))?;
        }
        rustix::fs::fcntl_add_seals(&fd, SEALS).map_err(failed("fcntl"))?;
        Ok((Self::map(&fd, bytes, sharing, content.is_empty())?, fd))
    }

    /// Maps what a peer made. `bytes` comes from its message, never from the descriptor.
    ///
    /// # Errors
    /// All but [`SegmentError::FileLimit`] and [`SegmentError::Memory`]: the descriptor is refused unless it is memory of exactly that size (rounded up
    /// to whole pages), sealed as [`Segment::create`] does it, open for reading and writing, and without holes.
    pub fn open(fd: impl AsFd, bytes: usize, sharing: Sharing) -> Result<Self, SegmentError> {
        Self::open_with(fd, bytes, sharing, true)
    }

    /// The same without telling the mapping of its pages: it takes the same time whatever the size (where all are mapped at
    /// once, a gigabyte keeps whoever does it for a tenth of a second). The kernel maps those around a page with it when one
    /// is read, so that to read all of them takes no longer than here and now.
    ///
    /// # Errors
    /// Those of [`Segment::open`].
    pub fn open_lazily(fd: impl AsFd, bytes: usize, sharing: Sharing) -> Result<Self, SegmentError> {
        Self::open_with(fd, bytes, sharing, false)
    }

    fn open_with(fd: impl AsFd, bytes: usize, sharing: Sharing, populated: bool) -> Result<Self, SegmentError> {
        let bytes = whole_pages(bytes).ok_or(SegmentError::Size(bytes))?;
        let failed = |call| move |errno| SegmentError::System { call, bytes, errno };
        // First the seals: from then on the size cannot change between the look and the mapping.
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(SegmentError::NotMemory)?;
        if !seals.contains(SEALS) || seals.intersects(FORBIDDEN) {
            return Err(SegmentError::Seals { found: seals.bits(), expected: SEALS.bits() });
        }
        let status = rustix::fs::fcntl_getfl(&fd).map_err(failed("fcntl"))?;
        if status & OFlags::RWMODE != OFlags::RDWR || status.contains(OFlags::PATH) {
            return Err(SegmentError::NotWritable);
        }
        let stat = rustix::fs::fstat(&fd).map_err(failed("fstat"))?;
        let found = u64::try_from(stat.st_size).unwrap_or(0);
        if found != bytes as u64 {
            return Err(SegmentError::WrongSize { found, expected: bytes });
        }
        let present = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        if present < bytes as u64 {
            return Err(SegmentError::Holes { found: present, expected: bytes });
        }
        Self::map(&fd, bytes, sharing, populated)
    }

    /// `fd` is sealed and has `bytes` bytes, a multiple of the page and not zero.
    fn map(fd: impl AsFd, bytes: usize, sharing: Sharing, populated: bool) -> Result<Self, SegmentError> {
        let failed = |call| move |errno| SegmentError::System { call, bytes, errno };
        let key = Key::of(&fd).map_err(failed("fstat"))?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // A fault per page would cost several times as much, on the way of a call.
        let flags = MapFlags::SHARED | if populated { MapFlags::POPULATE } else { MapFlags::empty() };
        // SAFETY: a mapping at an address of the kernel's choice replaces nothing. The seals keep the file as long as the
        // mapping, so that no access inside of it faults.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) }
            .map_err(failed("mmap"))?;
        let start = NonNull::new(start.cast()).ok_or(SegmentError::Size(bytes))?;
        let is_populated = AtomicBool::new(populated);
        let segment = Self { start, bytes, sharing, stamp: fork::stamp(), key, is_populated };
        if sharing == Sharing::NotWithForks {
            // SAFETY: the range is the mapping of above, which nobody else knows yet. The advice changes nothing here; in
            // children of a fork the mapping is missing, which `is_here` tells before every access.
            unsafe { rustix::mm::madvise(start.as_ptr().cast(), bytes, Advice::LinuxDontFork) }
                .map_err(failed("madvise"))?;
        }
        Ok(segment)
    }

    /// Has all pages in the page table, so that who writes next meets no fault. Does nothing the second time. They are
    /// mapped as for reading: that the memory may be written is known to the mapping, and it takes half as long.
    pub fn populate(&self) {
        // Relaxed: nothing depends on it but the time that a write takes.
        if !self.is_here() || self.is_populated.swap(true, Ordering::Relaxed) {
            return;
        }
        // SAFETY: the range is this mapping. The advice changes no content.
        let advised = unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.bytes, Advice::LinuxPopulateRead) };
        if advised.is_err() {
            self.touch(); // Linux before 5.14 does not know the advice
        }
    }

    /// Reads a byte of each page.
    fn touch(&self) {
        for offset in (0..self.bytes).step_by(rustix::param::page_size()) {
            // SAFETY: the offset is below the size of the mapping, which is here; a volatile read of a byte that others may
            // write yields some byte.
            let _ = unsafe { self.start.as_ptr().add(offset).read_volatile() };
        }
    }

    /// Which segment it is, however often it is mapped.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Bytes of the segment, whole pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this process has the mapping: false in a child of a fork that did not get it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.sharing == Sharing::WithForks || self.is_own()
    }

    /// Whether this process made or opened it, and did not inherit it.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.stamp == fork::stamp()
    }

    /// Where the segment begins, aligned to a page. It is valid for reads and writes of [`Segment::bytes`] bytes while the
    /// segment lives and [`Segment::is_here`]. The peer may read and write the same bytes at any time, so a Rust reference
    /// to them is never right.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Copies `source` into the segment from `offset` on. Returns whether it fits and the mapping is here.
    #[must_use]
    pub fn write(&self, offset: usize, source: &[u8]) -> bool {
        let Some(target) = self.at(offset, source.len()) else { return false };
        // SAFETY: `at` checked the range; nobody has a reference into a segment.
        unsafe { copy::into_shared(target, source) };
        true
    }

    /// Fills `target` from the segment, from `offset` on. Returns whether so much is there and the mapping is here.
    #[must_use]
    pub fn read(&self, offset: usize, target: &mut [u8]) -> bool {
        let Some(source) = self.at(offset, target.len()) else { return false };
        // SAFETY: `at` checked the range; nobody has a reference into a segment.
        unsafe { copy::from_shared(target, source) };
        true
    }

    fn at(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= self.bytes);
        // SAFETY: the offset is at most the size of the one mapping that the pointer belongs to.
        (is_inside && self.is_here()).then(|| unsafe { self.start.as_ptr().add(offset) })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.is_here() {
            return; // a child without the mapping, where something else may lie at this address by now
        }
        // SAFETY: the range is the mapping made in `map`; it is owned by this value alone and nobody uses it after its drop.
        // It fails only for arguments that are no mapping.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn whole_pages(bytes: usize) -> Option<usize> {
    let rounded = bytes.checked_next_multiple_of(rustix::param::page_size())?;
    (rounded > 0 && isize::try_from(rounded).is_ok()).then_some(rounded)
}

fn write_all(fd: &OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        let written = retried(|| rustix::io::write(fd, content))?;
        content = content.get(written..).filter(|_| written > 0).ok_or(Errno::IO)?;
    }
    Ok(())
}

fn retried<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
pub(crate) mod tests;
