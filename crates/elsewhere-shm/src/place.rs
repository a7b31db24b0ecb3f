//! A typed place in a segment: atomics that both processes use.
//! Owns: the step from bytes of a mapping to atomics. Must not know: what they mean.

use std::fmt;

#[cfg(not(all(test, loom)))]
use std::ptr::NonNull;

#[cfg(not(all(test, loom)))]
use crate::segment::Segment;
use crate::sync::Arc;

/// What may lie in shared memory.
///
/// # Safety
/// The type consists of integer atomics (and padding), so that every content is a valid value, and a reference to it says
/// nothing about what others do with the memory meanwhile.
#[cfg(not(all(test, loom)))]
pub(crate) unsafe trait Shared {}

// SAFETY: an integer atomic.
#[cfg(not(all(test, loom)))]
unsafe impl Shared for crate::sync::AtomicU32 {}
// SAFETY: an integer atomic.
#[cfg(not(all(test, loom)))]
unsafe impl Shared for crate::sync::AtomicU64 {}

/// `len` values of type `T` in a segment, which it keeps alive.
#[cfg(not(all(test, loom)))]
pub(crate) struct Place<T> {
    segment: Arc<Segment>,
    start: NonNull<T>,
    len: usize,
}

/// The same on the heap, for loom, whose atomics are more than their bytes.
#[cfg(all(test, loom))]
pub(crate) struct Place<T> {
    values: Arc<Vec<T>>,
}

#[cfg(not(all(test, loom)))]
// SAFETY: it is a shared reference to atomics, together with the owner of the memory, which is Send and Sync.
unsafe impl<T: Shared> Send for Place<T> {}
#[cfg(not(all(test, loom)))]
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Place<T> {}

#[cfg(not(all(test, loom)))]
impl<T: Shared> Place<T> {
    /// None if the range does not lie in the segment, or not at the alignment of `T`.
    pub(crate) fn new(segment: &Arc<Segment>, offset: usize, len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<T>())?;
        let is_inside = offset.checked_add(bytes)? <= segment.bytes();
        // The segment begins at a page, to which every alignment in use is a divisor.
        let is_aligned = offset.is_multiple_of(align_of::<T>()) && align_of::<T>() <= 4096;
        if !is_inside || !is_aligned {
            return None;
        }
        // SAFETY: the offset is at most the size of the one mapping that the pointer belongs to.
        let start = unsafe { segment.start().add(offset) }.cast();
        Some(Self { segment: Arc::clone(segment), start, len })
    }

    /// The values; None in a child of a fork, which does not have the mapping.
    pub(crate) fn get(&self) -> Option<&[T]> {
        if !self.segment.is_own() {
            return None;
        }
        // SAFETY: `new` checked range and alignment; the segment lives as long as `self` and is mapped in this process.
        // `T: Shared` is valid for any content and consists of atomics, so that a reference to it does not promise that
        // nobody writes.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) })
    }
}

#[cfg(all(test, loom))]
impl<T: Default> Place<T> {
    pub(crate) fn on_heap(len: usize) -> Self {
        Self { values: Arc::new((0..len).map(|_| T::default()).collect()) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the real one may have none")]
    pub(crate) fn get(&self) -> Option<&[T]> {
        Some(&self.values)
    }
}

impl<T> Place<T> {
    /// The same place once more.
    pub(crate) fn share(&self) -> Self {
        #[cfg(not(all(test, loom)))]
        return Self { segment: Arc::clone(&self.segment), start: self.start, len: self.len };
        #[cfg(all(test, loom))]
        return Self { values: Arc::clone(&self.values) };
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Place").finish_non_exhaustive()
    }
}
