//! Buffers that are lent to the peer, filled, and used again when the peer has given them back.
//! Owns: who has which buffer. Must not know: what is in it, how its name gets to the peer.
//!
//! Each direction has a *lender*, which makes the segments, and a *borrower*, which maps them once and keeps them mapped: to
//! touch fresh memory costs several times as much as to copy into memory that both sides have touched. Each buffer is a
//! segment of its own and has a *slot* in the connection's *free table*. Each loan of a slot has a *generation*, one more
//! than the last.
//!
//! A loan: the lender takes a free segment (or makes one, and sends its descriptor before), fills it, and sends slot,
//! generation and length in a message. The borrower uses the memory for as long as it likes; it is its alone. When the last
//! user drops it, whichever thread that is, one store of the generation into the free table gives it back: no message, no
//! lock. The lender looks at the table when it needs a buffer.
//!
//! What a peer can do with the table: as borrower, give back at once what it goes on using, and then see it overwritten; give
//! nothing back, and then the lender makes new ones until its slots are used up and falls back to other ways; write what is
//! neither the loan nor the one before it, which is a [`Violation`] when the lender looks. As lender, lend
//! the same slot twice, an old loan, or more bytes than there are: a violation each. The memory stays mapped as long as
//! anything here uses it.
//!
//! A segment that the lender retires is named to the peer by a message ([`Lender::take_retired`], [`Borrower::forget`]).

#[cfg(not(all(test, loom)))]
mod borrower;
mod classes;
mod ledger;
#[cfg(not(all(test, loom)))]
mod lender;

#[cfg(not(all(test, loom)))]
use std::os::fd::{AsFd, OwnedFd};

#[cfg(not(all(test, loom)))]
use thiserror::Error;

#[cfg(not(all(test, loom)))]
use crate::error::{SegmentError, Violation};
#[cfg(not(all(test, loom)))]
use crate::place::Place;
#[cfg(not(all(test, loom)))]
use crate::segment::{Segment, Sharing};
#[cfg(not(all(test, loom)))]
use crate::sync::{Arc, AtomicU32};

#[cfg(not(all(test, loom)))]
pub use borrower::{Borrowed, Borrower, Holdings, Withheld};
pub use classes::class_of;

#[cfg(all(test, loom))]
pub(crate) use ledger::{Ledger, give_back};
#[cfg(not(all(test, loom)))]
pub use lender::{Lender, Loan, Purpose};

/// Buffers of one direction that can be out at a time.
pub const SLOTS: usize = 1024;

/// What a message says of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferName {
    /// Index in the free table.
    pub slot: u32,
    /// Which loan of the slot.
    pub generation: u32,
}

/// Why there is no buffer.
#[cfg(not(all(test, loom)))]
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PoolError {
    /// All slots are lent, or free with segments of other sizes that could not be retired.
    #[error("all {SLOTS} buffers of the connection are in use")]
    AllLent,
    /// No memory, or none of this size.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The descriptor of the buffer did not come through, or there was no room to map it.
    #[error("the memory of a buffer could not be mapped")]
    Unusable,
    /// This process is a child of the one that the pool belongs to.
    #[error("the buffers belong to the process that forked this one")]
    Inherited,
    /// The peer broke the rules.
    #[error(transparent)]
    Violated(#[from] Violation),
}

/// The two free tables of a connection that has no [`Channel`](crate::Channel), in a segment of their own.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub struct Pool {
    /// Lends to the peer.
    pub lender: Lender,
    /// Borrows from the peer.
    pub borrower: Borrower,
}

#[cfg(not(all(test, loom)))]
impl Pool {
    /// Makes the tables. The descriptor is for the peer.
    ///
    /// # Errors
    /// Those of [`Segment::create`].
    pub fn create() -> Result<(Self, OwnedFd), SegmentError> {
        let (segment, fd) = Segment::create(BYTES, Sharing::NotWithForks)?;
        Ok((Self::over(&Arc::new(segment), 0, true, Holdings::of_process())?, fd))
    }

    /// Opens the other end, once.
    ///
    /// # Errors
    /// Those of [`Segment::open`].
    pub fn open(fd: impl AsFd) -> Result<Self, SegmentError> {
        let segment = Segment::open(fd, BYTES, Sharing::NotWithForks)?;
        Self::over(&Arc::new(segment), 0, false, Holdings::of_process())
    }

    /// The tables lie at `offset`, first that of what the maker lends.
    pub(crate) fn over(
        segment: &Arc<Segment>,
        offset: usize,
        is_maker: bool,
        holdings: Arc<Holdings>,
    ) -> Result<Self, SegmentError> {
        let table = |number: usize| Place::<AtomicU32>::new(segment, offset + number * (BYTES / 2), SLOTS);
        let tables = if is_maker { table(0).zip(table(1)) } else { table(1).zip(table(0)) };
        let (lent, borrowed) = tables.ok_or(SegmentError::Size(segment.bytes()))?;
        Ok(Self { lender: Lender::new(lent), borrower: Borrower::new(borrowed, holdings) })
    }
}

/// Bytes of both tables.
#[cfg(not(all(test, loom)))]
pub(crate) const BYTES: usize = 2 * SLOTS * size_of::<u32>();

#[cfg(all(test, not(loom)))]
#[path = "pool_tests.rs"]
mod tests;
