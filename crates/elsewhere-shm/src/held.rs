//! The bytes of a message, a part of which may become a value without a copy.
//! Owns: their memory, and that no two values are made of it. Must not know: what they mean.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::pages;

/// Room at the end that is given back.
const SURPLUS: usize = 64 * 1024;

/// Long memory that was held for less is put aside for the next message.
pub const SOON: Duration = Duration::from_secs(1);

/// Bytes that stay where they are until the last who holds them lets go.
#[derive(Debug)]
pub struct Held {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
    is_taken: AtomicBool,
    since: Instant,
}

// SAFETY: it is memory of its own, as a vector is. What is read of it is read through a shared reference; who writes the part
// that was taken answers for that.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// Holds `bytes`.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.capacity() - bytes.len() > SURPLUS {
            bytes.shrink_to_fit(); // long memory is cut off where it is, and not copied
        }
        let mut bytes = ManuallyDrop::new(bytes);
        let start = NonNull::from(bytes.as_mut_slice()).cast();
        Self {
            start,
            len: bytes.len(),
            capacity: bytes.capacity(),
            is_taken: AtomicBool::new(false),
            since: Instant::now(),
        }
    }

    /// All of them. A part that was taken is its owner's, who may change it: nothing is to depend on what it reads there. Who
    /// looks for references that a failed call leaves passes over it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes of the vector, which lives as long as this, and is not changed but for the part taken.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Gives away `part` of [`bytes`](Self::bytes), once: where it begins, to be read and written as long as these bytes are
    /// held. None if something was given away before, or if it is no part of them.
    #[must_use]
    pub fn take(&self, part: &[u8]) -> Option<NonNull<u8>> {
        let offset = part.as_ptr().addr().checked_sub(self.start.addr().get())?;
        if offset.checked_add(part.len())? > self.len || self.is_taken.swap(true, Ordering::Relaxed) {
            return None; // Relaxed: the flag alone decides
        }
        // SAFETY: the offset lies inside, as was just seen.
        Some(unsafe { self.start.add(offset) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: these are the parts of the vector that this was made of, which nobody else has.
        let bytes = unsafe { Vec::from_raw_parts(self.start.as_ptr(), self.len, self.capacity) };
        if self.since.elapsed() < SOON {
            pages::put_aside(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_where_and_what_they_were() {
        let bytes = vec![7; 1000];
        let start = bytes.as_ptr();

        let held = Held::new(bytes);

        assert_eq!((held.bytes().as_ptr(), held.bytes()), (start, &[7; 1000][..]));
    }

    #[test]
    fn room_that_nobody_needs_is_given_back() {
        let mut bytes = Vec::with_capacity(1 << 20);
        bytes.extend_from_slice(b"few");

        let held = Held::new(bytes);

        assert_eq!((held.capacity, held.bytes()), (3, &b"few"[..]));
    }

    #[test]
    fn part_is_given_away_once() {
        let held = Held::new(b"a head and the content".to_vec());
        let content = &held.bytes()[15..];

        let taken = held.take(content);

        assert_eq!(taken.map(|start| start.as_ptr().cast_const()), Some(content.as_ptr()));
        assert_eq!(held.take(content), None);
    }

    #[test]
    fn what_is_no_part_is_not_given_away() {
        let held = Held::new(vec![7; 16]);
        let other = [7; 16];

        assert_eq!(held.take(&other), None);

        assert!(held.take(held.bytes()).is_some(), "the refusal took it");
    }

    #[test]
    fn nothing_is_held_as_well() {
        assert_eq!(Held::new(Vec::new()).bytes(), &[]);
    }
}
