//! Streams of bytes between two peers, none of which ever blocks.
//! Owns: the one face of all transports. Must not know: frames, calls, threads. The transports do not know each other.

mod memory;
mod unix;

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, epoll};
use rustix::io::Result;

pub(crate) use unix::pair as socket_pair;

/// One end of an ordered stream of bytes in both directions.
#[derive(Debug)]
pub enum Transport {
    /// Both ends in this process.
    Memory(memory::End),
    /// A connected Unix stream socket.
    Unix(unix::Stream),
}

/// Which half of a stream to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Nothing more is sent; what was sent still arrives.
    Write,
    /// Nothing more is sent or received.
    Both,
}

/// What the other end can still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// It may still send.
    Open,
    /// It sends nothing more but still receives.
    HalfClosed,
    /// It is gone.
    Gone,
}

/// What the watch thread wants to hear of a stream. The end of the stream is told in any case where the kernel can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// The half-close was seen and needs no further telling.
    pub(crate) past_end: bool,
}

impl Transport {
    /// Two connected ends in memory, each with room for 256 KiB on its way.
    ///
    /// # Errors
    /// Those of `eventfd`.
    pub fn memory_pair() -> Result<(Self, Self)> {
        let (here, there) = memory::pair()?;
        Ok((Self::Memory(here), Self::Memory(there)))
    }

    /// Two connected Unix sockets.
    ///
    /// # Errors
    /// Those of `socketpair`.
    pub fn unix_pair() -> Result<(Self, Self)> {
        let (here, there) = unix::pair()?;
        Ok((Self::Unix(unix::Stream::new(here)), Self::Unix(unix::Stream::new(there))))
    }

    /// A transport over a connected stream socket.
    #[must_use]
    pub fn over_socket(socket: OwnedFd) -> Self {
        Self::Unix(unix::Stream::new(socket))
    }

    /// Sends a prefix of `bytes` and tells its length.
    ///
    /// # Errors
    /// `AGAIN` when there is no room, `PIPE` and the like when the peer is gone.
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Memory(end) => end.send(bytes),
            Self::Unix(stream) => stream.send(bytes),
        }
    }

    /// Receives what is here into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `AGAIN` when nothing is here, others when the stream is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Memory(end) => end.receive(buffer),
            Self::Unix(stream) => stream.receive(buffer),
        }
    }

    /// Ends one half or both; the peer sees the end of the stream. A second time does nothing.
    pub fn shutdown(&self, half: Half) {
        match self {
            Self::Memory(end) => end.shutdown(half),
            Self::Unix(stream) => stream.shutdown(half),
        }
    }

    /// What the peer can still do.
    #[must_use]
    pub fn peer_end(&self) -> PeerEnd {
        match self {
            Self::Memory(end) => end.peer_end(),
            Self::Unix(stream) => stream.peer_end(),
        }
    }

    /// What to poll: for reading (and writing where one descriptor tells both), and for writing where it is another.
    pub(crate) fn poll_fds(&self, want_write: bool) -> (Option<PollFd<'_>>, Option<PollFd<'_>>) {
        match self {
            Self::Memory(end) => end.poll_fds(want_write),
            Self::Unix(stream) => (Some(stream.poll_fd(want_write)), None),
        }
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        match self {
            Self::Memory(end) => end.watch(poll, data, interest),
            Self::Unix(stream) => stream.watch(poll, data, interest),
        }
    }

    pub(crate) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        match self {
            Self::Memory(end) => end.rewatch(poll, data, interest),
            Self::Unix(stream) => stream.rewatch(poll, data, interest),
        }
    }

    pub(crate) fn unwatch(&self, poll: BorrowedFd<'_>) {
        match self {
            Self::Memory(end) => end.unwatch(poll),
            Self::Unix(stream) => stream.unwatch(poll),
        }
    }

    /// The descriptors behind this end.
    #[must_use]
    pub fn raw_fds(&self) -> Vec<RawFd> {
        match self {
            Self::Memory(end) => end.raw_fds(),
            Self::Unix(stream) => stream.raw_fds(),
        }
    }
}
