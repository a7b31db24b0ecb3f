//! Why memory does not pass to a peer, or is not there.
//! Owns: these errors. Must not know: how memory passes.

use elsewhere_shm::Shortage;

/// Why content must not go to the peer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LendError {
    /// There is no memory for a copy.
    #[error(transparent)]
    Memory(Shortage),
    /// Who wanted it gave it up.
    #[error("the copy was given up")]
    GivenUp,
}

/// Why memory that a value names is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BufferError {
    /// The peer broke the rules; the link is over.
    #[error("{0}")]
    Violated(String),
    /// There were no descriptors or no room to map it. The peer may try again.
    #[error("the memory that it lies in could not be mapped here: too many open files, or no address space is left")]
    Unusable,
}

/// Why memory cannot be shared with a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The connection does not go through shared memory.
    #[error("memory can be shared only with processes of this machine, on a connection through shared memory")]
    NoWay,
    /// The system would not pass the descriptor on.
    #[error("its descriptor could not be passed on: {0}")]
    Unsent(rustix::io::Errno),
}

impl ShareError {
    /// Whether the peer has to read what it was told of before.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        *self == Self::Unsent(rustix::io::Errno::AGAIN)
    }
}
