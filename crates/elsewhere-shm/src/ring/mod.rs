//! Byte rings: one process writes, one reads, neither waits for the other.
//! Owns: the indices and their rules. Must not know: who is woken, what the bytes mean.
//!
//! The two indices count bytes since the beginning, modulo 2³²; where they point to is the index modulo the capacity, a
//! power of two. Each stands on a line of its own together with what the same side writes at the same time. The *tail* and
//! its line belong to the producer, the *head* and its line to the consumer: the other side only reads them, and each side
//! knows its own index from private memory. So what the peer scribbles into this side's index is not even noticed, and
//! what it writes into its own is accepted only where it could have come honestly: the head between its last value and the
//! tail, the tail between its last value and the head plus the capacity. Within these bounds a lie changes bytes that the
//! peer could have changed anyway.
//!
//! A producer that finds no room says so (`wants_room`) and looks once more. The consumer looks at that word after each
//! read. Both have a SeqCst fence between their store and their look, so at least one sees the other: either the producer
//! finds the room, or the consumer learns that it must wake the producer.

mod consumer;
mod producer;
mod words;

use thiserror::Error;

use crate::error::Violation;
use crate::place::Place;
#[cfg(not(all(test, loom)))]
use crate::place::Shared;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64};

pub use consumer::{Consumer, Inlet, Received};
pub use producer::{Outlet, Producer};

/// Why a ring did not do it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RingError {
    /// There is no room now. The peer wakes this side when there is.
    #[error("the ring is full")]
    Full,
    /// There never will be so much room.
    #[error("a message of {bytes} bytes is longer than the ring, which has {capacity}")]
    TooLong {
        /// Bytes of the message.
        bytes: usize,
        /// Bytes of the ring.
        capacity: usize,
    },
    /// This side ended the direction before.
    #[error("the ring was closed on this side")]
    Closed,
    /// The peer reads no more.
    #[error("the peer reads no more")]
    Gone,
    /// This process is a child of the one that the ring belongs to.
    #[error("the ring belongs to the process that forked this one")]
    Inherited,
    /// The peer broke the rules.
    #[error(transparent)]
    Violated(#[from] Violation),
}

/// What only the producer writes. 128 bytes, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct TailLine {
    tail: AtomicU32,
    is_closed: AtomicU32,
    wants_room: AtomicU32,
    /// The core that the producer ran on, in the line that it dirties anyway.
    core: AtomicU32,
}

/// What only the consumer writes.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct HeadLine {
    head: AtomicU32,
    is_gone: AtomicU32,
}

/// The control words of one ring.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Lines {
    tail: TailLine,
    head: HeadLine,
}

// SAFETY: it consists of integer atomics and padding.
#[cfg(not(all(test, loom)))]
unsafe impl Shared for Lines {}

/// The shared memory of one ring.
#[derive(Debug)]
pub(crate) struct RingPlace {
    lines: Place<Lines>,
    words: Place<AtomicU64>,
    capacity: u32,
}

impl RingPlace {
    /// None unless there is one set of lines, and the capacity is a power of two between 8 and 2³⁰.
    pub(crate) fn new(lines: Place<Lines>, words: Place<AtomicU64>) -> Option<Self> {
        let capacity = u32::try_from(words.get()?.len().checked_mul(size_of::<u64>())?).ok()?;
        let is_possible = capacity.is_power_of_two() && (8..=1 << 30).contains(&capacity) && lines.get()?.len() == 1;
        is_possible.then_some(Self { lines, words, capacity })
    }

    /// The writing end of a ring that nothing was written to yet.
    pub(crate) fn producer(&self) -> Producer {
        let outlet = Outlet {
            lines: self.lines.share(),
            words: self.words.share(),
            written_to: AtomicU32::new(0),
            head_seen: AtomicU32::new(0),
            is_waiting: AtomicBool::new(false),
        };
        Producer::new(self.words.share(), self.capacity, Arc::new(outlet))
    }

    /// The reading end of a ring that nothing was read from yet.
    pub(crate) fn consumer(&self) -> Consumer {
        let inlet = Inlet {
            lines: self.lines.share(),
            words: self.words.share(),
            read_to: AtomicU32::new(0),
            has_ended: AtomicBool::new(false),
        };
        Consumer::new(self.words.share(), self.capacity, Arc::new(inlet))
    }

    #[cfg(all(test, loom))]
    pub(crate) fn on_heap(capacity: usize) -> Self {
        Self::new(Place::on_heap(1), Place::on_heap(capacity / 8)).unwrap()
    }
}

/// Checks that an index moved from `before` by at most `limit`, and tells by how much.
fn moved(found: u32, before: u32, limit: u32) -> Result<u32, Violation> {
    let by = found.wrapping_sub(before);
    if by > limit { Err(Violation::RingIndex { found, before, limit }) } else { Ok(by) }
}

fn lines_of(place: &Place<Lines>) -> Result<&Lines, RingError> {
    place.get().and_then(<[Lines]>::first).ok_or(RingError::Inherited)
}

#[cfg(all(test, not(loom)))]
#[path = "ring_tests.rs"]
mod tests;
