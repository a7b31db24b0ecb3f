//! What can go wrong with shared memory, and who must act.
//! Owns: the errors of segments and of the peer's misbehaviour. Must not know: what the memory is for.

use rustix::io::Errno;
use thiserror::Error;

/// The peer broke the rules of the shared memory. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An index of a ring lies where it cannot be.
    #[error("peer moved an index of the ring to {found}, from {before} with {limit} bytes to go")]
    RingIndex {
        /// What was read.
        found: u32,
        /// What was valid before.
        before: u32,
        /// How far it could have moved.
        limit: u32,
    },
    /// A loop was handed over that cannot be, or taken back that was not handed over.
    #[error("peer handed over or took back its loop {number}, which it could not")]
    Loop {
        /// Its number.
        number: u32,
    },
    /// A wake word asks for an event that was never handed over.
    #[error("peer waits for an event that it never handed over")]
    NoEvent,
    /// What came beside the memory is no word.
    #[error("peer sent something over the socket that means nothing")]
    Word,
    /// A buffer was given back that was not lent, or twice, or under another generation.
    #[error("peer gave back buffer {slot} as loan {found}; it has loan {lent}")]
    Return {
        /// Index in the free table.
        slot: u32,
        /// What the table holds.
        found: u32,
        /// The loan that stands open, or the last one.
        lent: u32,
    },
    /// A message names a buffer that does not exist.
    #[error("peer named buffer {slot}, which it never handed over")]
    UnknownBuffer {
        /// Index in the free table.
        slot: u32,
    },
    /// A message names a loan that is not newer than the one before.
    #[error("peer lent buffer {slot} as loan {found} after loan {before}")]
    StaleLoan {
        /// Index in the free table.
        slot: u32,
        /// The loan that was named.
        found: u32,
        /// The loan before.
        before: u32,
    },
    /// A message names a buffer whose last loan is still in use.
    #[error("peer lent buffer {slot} again before it had it back")]
    LentTwice {
        /// Index in the free table.
        slot: u32,
    },
    /// A message names more bytes than the buffer has.
    #[error("peer named {named} bytes of buffer {slot}, which has {bytes}")]
    BufferLength {
        /// Index in the free table.
        slot: u32,
        /// Bytes of the message.
        named: usize,
        /// Bytes of the segment.
        bytes: usize,
    },
    /// The segment of a connection does not begin as ours do.
    #[error("received memory begins with {found:#x} instead of {expected:#x}")]
    Layout {
        /// What was read.
        found: u64,
        /// What this version writes.
        expected: u64,
    },
}

/// There is less memory than is needed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{needed} bytes of memory are needed for that, {available} are available")]
pub struct Shortage {
    /// Bytes that could be had.
    pub available: u64,
    /// Bytes that were asked for, and some to be left for others.
    pub needed: u64,
}

/// No segment was made or mapped.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentError {
    /// More bytes than a mapping can have, or none.
    #[error("a segment cannot have {0} bytes")]
    Size(usize),
    /// `RLIMIT_FSIZE` is too low. It is asked before, since running into it raises SIGXFSZ.
    #[error("the limit on the size of files is {limit} bytes, a segment of {bytes} is wanted")]
    FileLimit {
        /// The soft limit.
        limit: u64,
        /// Bytes that were wanted.
        bytes: usize,
    },
    /// The machine, or a control group of the process, has no such amount of memory now.
    #[error(transparent)]
    Memory(#[from] Shortage),
    /// Who wanted it gave it up while it was filled.
    #[error("the copy was given up")]
    GivenUp,
    /// A system call failed: no memory, no descriptors, or it is forbidden here.
    #[error("{call} failed for a segment of {bytes} bytes: {errno}")]
    System {
        /// The name of the call.
        call: &'static str,
        /// Bytes that were wanted.
        bytes: usize,
        /// What it said.
        errno: Errno,
    },
    /// The received descriptor is no memfd, so it could change its size under us.
    #[error("received memory cannot be sealed: {0}")]
    NotMemory(Errno),
    /// It is a memfd whose seals do not fix what must be fixed, or forbid what must be possible.
    #[error("received memory has the seals {found:#x}, {expected:#x} are required and no others on writing")]
    Seals {
        /// `F_GET_SEALS`.
        found: u32,
        /// Those required.
        expected: u32,
    },
    /// The received memory has another size than the message says.
    #[error("received memory has {found} bytes instead of {expected}")]
    WrongSize {
        /// Of the descriptor.
        found: u64,
        /// Of the message.
        expected: usize,
    },
    /// The descriptor is not open for reading and writing.
    #[error("received memory is not open for reading and writing")]
    NotWritable,
    /// Pages are missing, so touching them could find no memory.
    #[error("received memory has holes: {found} of {expected} bytes are there")]
    Holes {
        /// Bytes that have memory.
        found: u64,
        /// Bytes it must have.
        expected: usize,
    },
    /// The segment has what no peer of ours would write.
    #[error(transparent)]
    Violated(#[from] Violation),
}
