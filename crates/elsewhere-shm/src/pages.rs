//! Large pages for memory that is about to be filled, and memory that was filled once.
//! Owns: the wish, which the system may not grant, and what was put aside. Must not know: what lies in the memory.
//!
//! The system hands out fresh memory page by page, each zeroed at its first use: for tens of megabytes that takes several
//! times as long as to fill them. With pages of 2 MiB it does not.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use rustix::mm::{Advice, madvise};

use crate::error::Shortage;
use crate::memory;

/// From this size on large pages are asked for.
pub const LARGE: usize = 4 << 20;

/// What is no larger than this the allocator may copy when it grows, and keep the memory that it lay in: glibc gives the end
/// of its heap back when that is twice `DEFAULT_MMAP_THRESHOLD_MAX`. What is larger is moved with its pages.
const COPIED_MAX: usize = 64 << 20;

/// No more is put aside.
const ASIDE_MAX: usize = 256 << 20;

static ASIDE: Aside = Aside(Mutex::new(None));

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
    let needed = bytes.len().saturating_add(more).max(bytes.capacity().saturating_mul(2));
    if needed >= LARGE
        && let Some((mut other, filled)) = ASIDE.take(needed)
        && memory::check(needed.saturating_sub(filled)).is_ok()
    {
        other.extend_from_slice(bytes);
        *bytes = other;
        return true;
    }
    let step = more.saturating_add(bytes.len() >> 3);
    let mut reserve = || {
        (is_there_for(bytes, needed) && bytes.try_reserve(more).is_ok())
            || (is_there_for(bytes, bytes.len().saturating_add(step)) && bytes.try_reserve_exact(step).is_ok())
    };
    if !reserve() {
        let_go(Duration::ZERO); // it may be what is missing
        if !reserve() {
            return false;
        }
    }
    if bytes.capacity() >= LARGE {
        wish(bytes.as_mut_ptr(), bytes.capacity());
    }
    true
}

/// Whether there is memory for `bytes` to become `needed`. Long content may grow piece by piece: each is asked for as if it
/// were large.
fn is_there_for(bytes: &Vec<u8>, needed: usize) -> bool {
    let fresh = if bytes.capacity() <= COPIED_MAX { needed } else { needed.saturating_sub(bytes.len()) };
    needed < memory::LARGE || memory::check(fresh.max(memory::LARGE)).is_ok()
}

/// To be asked before so many bytes are filled. What was put aside is let go if it may be what is missing. Asks nobody for
/// less than a mebibyte.
///
/// # Errors
/// [`Shortage`] where the machine, or a control group of this process, does not have so much: to fill them could end this
/// process, or another.
pub fn check(wanted: usize) -> Result<(), Shortage> {
    memory::check(wanted).or_else(|_| {
        let_go(Duration::ZERO);
        memory::check(wanted)
    })
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

/// Puts memory aside for who makes room next: its pages are there, which takes the system longer than to fill them. Only
/// long memory, and not much of it. Whoever does this sees to it that [`let_go`] is called some time later.
pub fn put_aside(bytes: Vec<u8>) {
    ASIDE.put(bytes, Instant::now());
}

/// Gives back what was put aside so long ago. Whether there is anything left.
pub fn let_go(quiet: Duration) -> bool {
    ASIDE.let_go(quiet, Instant::now())
}

/// Memory that nobody uses, how much of it was filled, and since when it lies here. Who finds another thread there, or in a
/// forked child one that is not, does without.
struct Aside(Mutex<Option<(Filled, Instant)>>);

type Filled = (Vec<u8>, usize);

impl Aside {
    fn put(&self, mut bytes: Vec<u8>, now: Instant) {
        let filled = bytes.len();
        bytes.clear();
        if !(LARGE..=ASIDE_MAX).contains(&bytes.capacity()) {
            return;
        }
        let surplus = self.change(|aside| match aside {
            Some(((other, _), since)) if other.capacity() >= bytes.capacity() => {
                *since = now;
                Some((bytes, filled))
            }
            other => other.replace(((bytes, filled), now)).map(|(surplus, _)| surplus),
        });
        drop(surplus); // after the lock
    }

    /// Memory with room for so much.
    fn take(&self, room: usize) -> Option<Filled> {
        self.change(|aside| aside.take_if(|((bytes, _), _)| bytes.capacity() >= room).map(|(found, _)| found))
    }

    fn let_go(&self, quiet: Duration, now: Instant) -> bool {
        let mut is_left = false;
        let gone = self.change(|aside| {
            let gone = aside.take_if(|(_, since)| now.saturating_duration_since(*since) >= quiet);
            is_left = aside.is_some();
            gone.map(|(found, _)| found)
        });
        drop(gone); // after the lock
        is_left
    }

    fn change(&self, change: impl FnOnce(&mut Option<(Filled, Instant)>) -> Option<Filled>) -> Option<Filled> {
        match self.0.try_lock() {
            Ok(mut aside) => change(&mut aside),
            Err(TryLockError::Poisoned(poisoned)) => change(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn room(aside: &Aside) -> Option<usize> {
        aside.take(1).map(|(bytes, _)| bytes.capacity())
    }

    #[test]
    fn memory_that_is_put_aside_is_taken_once_by_whom_it_is_enough_for() {
        let aside = Aside(Mutex::new(None));
        let mut half = Vec::with_capacity(LARGE);
        half.resize(LARGE / 2, 7);
        aside.put(half, Instant::now());

        assert_eq!(aside.take(LARGE + 1), None);
        let taken = aside.take(LARGE).map(|(bytes, filled)| (bytes.len(), bytes.capacity(), filled));
        assert_eq!(taken, Some((0, LARGE, LARGE / 2)));
        assert_eq!(aside.take(LARGE), None);
    }

    #[test]
    fn larger_memory_is_kept_and_neither_little_nor_very_much() {
        let aside = Aside(Mutex::new(None));
        for len in [LARGE, 2 * LARGE, LARGE - 1, ASIDE_MAX + 1, LARGE] {
            aside.put(Vec::with_capacity(len), Instant::now());
        }

        assert_eq!(room(&aside), Some(2 * LARGE));
    }

    #[test]
    fn memory_that_nobody_took_is_given_back_in_time() {
        let (aside, begin) = (Aside(Mutex::new(None)), Instant::now());
        assert!(!aside.let_go(Duration::ZERO, begin));
        aside.put(vec![7; LARGE], begin);

        assert!(aside.let_go(SECOND, begin + SECOND / 2));
        assert!(!aside.let_go(SECOND, begin + SECOND));

        assert_eq!(room(&aside), None);
    }

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
