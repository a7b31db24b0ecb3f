//! Memory that two processes share: sealed segments, byte rings, wake words, a pool of buffers.
//!
//! Owns: the layout of shared memory and every access to it. Must not know: the protocol, Python, who is at the other end.
//!
//! The process at the other end may be broken or hostile: it may write anything anywhere in a shared segment at any time.
//! What it can cause is an error value or wrong bytes, never undefined behaviour, a panic or an endless loop, because
//!
//! * a segment is sealed against a change of its size before it is mapped, so no access to it can fault;
//! * no reference to plain data ever points into shared memory: control words, rings and tables are atomics, buffers are
//!   copied by instructions that the compiler does not see through, or handed out as raw pointers;
//! * what this side needs to know of itself (its own index, what it lent) it keeps in private memory and never reads back;
//! * what it reads of the peer it reads once, into a local, and checks the local.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

mod copy;
mod error;
mod fork;
mod memory;
mod segment;

pub use error::SegmentError;
pub use segment::{Segment, Sharing};
