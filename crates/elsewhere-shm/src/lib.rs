//! Memory that two processes share: sealed segments, byte rings, wake words, a pool of buffers.
//!
//! Owns: the layout of shared memory and every access to it. Must not know: the protocol, Python, who is at the other end.
//!
//! The process at the other end may be broken or hostile: it may write anything anywhere in a shared segment at any time.
//! What it can cause is an error value or wrong bytes, never undefined behaviour, a panic or an endless loop, because
//!
//! * a segment is sealed against a change of its size before it is mapped, so no access to it can fault;
//! * no reference to plain data ever points into shared memory: control words, rings and tables are atomics, buffers are
//!   copied by foreign code that the compiler does not see through, or handed out as raw pointers;
//! * what this side needs to know of itself (its own index, what it lent) it keeps in private memory and never reads back;
//! * what it reads of the peer it reads once, into a local, and checks the local.
//!
//! The parts, from below: [`Segment`] is a mapping, [`ring`] a byte queue in one direction, [`wake`] how its reader is woken,
//! [`pool`] the lending of buffers, [`Recorder`] what is left of calls after a death; [`Channel`] lays out the one segment
//! that a connection needs.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

#[cfg(not(all(test, loom)))]
mod channel;
#[cfg(not(all(test, loom)))]
mod copy;
pub mod cores;
mod error;
#[cfg(not(all(test, loom)))]
mod fork;
#[cfg(not(all(test, loom)))]
mod groups;
#[cfg(not(all(test, loom)))]
mod held;
#[cfg(not(all(test, loom)))]
mod kept;
#[cfg(not(all(test, loom)))]
mod lease;
#[cfg(not(all(test, loom)))]
mod memory;
#[cfg(all(test, loom))]
mod models;
#[cfg(not(all(test, loom)))]
pub mod pages;
mod place;
pub mod pool;
#[cfg(not(all(test, loom)))]
mod recorder;
pub mod ring;
#[cfg(not(all(test, loom)))]
mod segment;
mod sync;
pub mod wake;

#[cfg(not(all(test, loom)))]
pub use channel::{Channel, ChannelNews, RING_BYTES, Receiver, Sender};
pub use error::{SegmentError, Shortage, Violation};
#[cfg(not(all(test, loom)))]
pub use held::{Held, SOON};
#[cfg(not(all(test, loom)))]
pub use kept::KeptFd;
#[cfg(not(all(test, loom)))]
pub use lease::Lease;
#[cfg(not(all(test, loom)))]
pub use recorder::{Progress, Recorder};
pub use ring::{Received, RingError};
#[cfg(not(all(test, loom)))]
pub use segment::{Key, PIECE, Segment, Sharing};
