//! Large pages for memory that is about to be filled.
//! Owns: the wish, which the system may not grant. Must not know: what lies in the memory.
//!
//! The system hands out fresh memory page by page, each zeroed at its first use: for tens of megabytes that takes several
//! times as long as to fill them. With pages of 2 MiB it does not.

use rustix::mm::{Advice, madvise};

/// From this size on large pages are asked for.
pub const LARGE: usize = 4 << 20;

/// Makes room for `more` bytes at the end of `bytes`, in large pages where that is worth while. Room grows at least by
/// doubling, so that who appends piece by piece moves little.
pub fn make_room(bytes: &mut Vec<u8>, more: usize) {
    if !try_make_room(bytes, more) {
        bytes.reserve(more);
    }
}

/// The same where memory may be short: whether there was enough. It grows by less than double then, and is not used up to its
/// last byte, or others would be the first to meet the end of it.
#[must_use]
pub fn try_make_room(bytes: &mut Vec<u8>, more: usize) -> bool {
    if bytes.capacity().saturating_sub(bytes.len()) >= more {
        return true;
    }
    let step = more.saturating_add(bytes.len() >> 3);
    if bytes.try_reserve(more).is_err() && bytes.try_reserve_exact(step).is_err() {
        return false;
    }
    if bytes.capacity() >= LARGE {
        wish(bytes.as_mut_ptr(), bytes.capacity());
    }
    true
}

/// Asks for large pages for the `len` bytes from `start` on. Does nothing where they are few.
///
/// The pages in which they begin and end are asked for, too: if a part of an allocation differed from the rest, the system
/// could not move it when it grows, and all of it would be copied.
pub fn wish(start: *mut u8, len: usize) {
    if len < LARGE {
        return;
    }
    let page = rustix::param::page_size();
    let begin = start.addr() / page * page;
    let end = start.addr().saturating_add(len).next_multiple_of(page);
    // SAFETY: the advice changes no content, whatever lies there, and memory that cannot follow it stays as it is; so does
    // what is not mapped, which is an error that nobody needs to hear of.
    let _ = unsafe { madvise(start.with_addr(begin).cast(), end.saturating_sub(begin), Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_and_what_was_there_stays() {
        let mut bytes = vec![7; 100];

        make_room(&mut bytes, 8 << 20);

        assert!(bytes.capacity() >= 100 + (8 << 20));
        assert_eq!(bytes, vec![7; 100]);
    }

    #[test]
    fn room_that_there_is_not_changes_nothing() {
        let mut bytes = vec![7; 100];

        assert!(!try_make_room(&mut bytes, usize::MAX >> 1));

        assert_eq!(bytes, vec![7; 100]);
    }

    #[test]
    fn room_that_is_there_is_left_as_it_is() {
        let mut bytes: Vec<u8> = Vec::with_capacity(100);
        let start = bytes.as_ptr();

        make_room(&mut bytes, 100);

        assert_eq!((bytes.as_ptr(), bytes.capacity()), (start, 100));
    }

    #[test]
    fn wish_for_little_is_no_wish() {
        let mut byte = 1_u8;

        wish(&raw mut byte, 1);

        assert_eq!(byte, 1);
    }
}
