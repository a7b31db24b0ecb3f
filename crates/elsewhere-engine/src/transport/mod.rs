//! Streams of bytes between two peers, none of which ever blocks.
//! Owns: the one face of all transports. Must not know: frames, calls, threads. The transports do not know each other.

mod memory;
#[cfg(feature = "net")]
mod noise;
pub(crate) mod ring;

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, epoll};
use rustix::io::Result;

use crate::buffers::Buffers;
use crate::socket;
use elsewhere_shm::wake::Event;
pub(crate) use ring::Offer;

/// One end of an ordered stream of bytes in both directions.
#[derive(Debug)]
pub enum Transport {
    /// Both ends in this process.
    Memory(memory::End),
    /// Memory that two processes share, beside a socket.
    Ring(Box<ring::End>),
    /// A connected Unix stream socket.
    Unix(socket::Stream),
    /// A TCP stream, encrypted.
    #[cfg(feature = "net")]
    Noise(Box<noise::End>),
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
        let (here, there) = socket::pair()?;
        Ok((Self::over_socket(here), Self::over_socket(there)))
    }

    /// Two connected ends in shared memory.
    ///
    /// # Errors
    /// Those of `socketpair`, and `NOMEM` where there is no shared memory to be had.
    pub fn ring_pair() -> Result<(Self, Self)> {
        let (here, there) = ring::pair()?;
        Ok((Self::of_ring(here), Self::of_ring(there)))
    }

    /// The end of a stream to a process that is still to come, and the socket that it is given for [`answer`](Self::answer),
    /// with `preface` to be read before that.
    /// Without `shares_memory` both ends use the socket. The text says why they do although they should not.
    ///
    /// # Errors
    /// Those of `socketpair`.
    pub(crate) fn offer(shares_memory: bool, preface: &[u8]) -> Result<(Self, OwnedFd, Option<String>)> {
        let (ours, theirs, problem) = ring::offer(shares_memory, preface)?;
        Ok((ours.map_or_else(Self::Unix, Self::of_ring), theirs, problem))
    }

    /// Our end, over `ours`, of a stream to a process that has the other end of that pair already. The text as above.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn offer_on(ours: OwnedFd, shares_memory: bool) -> Result<(Self, Option<String>)> {
        let (ours, problem) = ring::offer_on(ours, shares_memory)?;
        Ok((ours.map_or_else(Self::Unix, Self::of_ring), problem))
    }

    /// The end that belongs to what [`offer`](Self::offer) or [`offer_on`](Self::offer_on) made.
    ///
    /// # Errors
    /// Those of the system, and `PROTO` if something else is at the other end.
    pub(crate) fn answer(socket: OwnedFd) -> Result<Self> {
        Ok(ring::answer(socket)?.map_or_else(Self::Unix, Self::of_ring))
    }

    /// The end of a stream to a process that has proven itself over `socket`, and that calls
    /// [`with_offer`](Self::with_offer).
    pub(crate) fn offer_over(socket: OwnedFd) -> Self {
        ring::offer_over(socket).map_or_else(Self::Unix, Self::of_ring)
    }

    /// The end that belongs to what [`offer_over`](Self::offer_over) made.
    pub(crate) fn with_offer(socket: OwnedFd, offer: Offer) -> Self {
        ring::accept(socket, offer).map_or_else(Self::Unix, Self::of_ring)
    }

    /// A transport over a connected stream socket.
    #[must_use]
    pub fn over_socket(socket: OwnedFd) -> Self {
        Self::Unix(socket::Stream::new(socket))
    }

    /// An encrypted stream over a connected TCP socket, with the keys of its handshake.
    #[cfg(feature = "net")]
    #[must_use]
    pub fn encrypted(socket: OwnedFd, keys: snow::StatelessTransportState) -> Self {
        Self::Noise(Box::new(noise::End::new(socket, keys)))
    }

    /// Sends what [`send`](Self::send) took and the system did not.
    ///
    /// # Errors
    /// As `send`.
    pub(crate) fn flush(&self) -> Result<()> {
        match self {
            #[cfg(feature = "net")]
            Self::Noise(end) => end.flush(),
            _ => Ok(()),
        }
    }

    /// Whether [`send`](Self::send) took something that the system did not.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            #[cfg(feature = "net")]
            Self::Noise(end) => end.has_unsent(),
            _ => false,
        }
    }

    /// Whether a receive gives whole records, for each of which it needs the room.
    pub(crate) fn takes_records(&self) -> bool {
        match self {
            #[cfg(feature = "net")]
            Self::Noise(_) => true,
            _ => false,
        }
    }

    /// Whether something is here to be received that no poll tells of.
    pub(crate) fn has_read(&self) -> bool {
        match self {
            #[cfg(feature = "net")]
            Self::Noise(end) => end.has_read(),
            _ => false,
        }
    }

    /// Whether the stream ended, and nobody knows whether the peer meant it to.
    pub(crate) fn is_cut(&self) -> bool {
        match self {
            #[cfg(feature = "net")]
            Self::Noise(end) => end.is_cut(),
            _ => false,
        }
    }

    /// Whether what is sent is copied on its way anyhow, from wherever it lies.
    pub(crate) fn takes_from_anywhere(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            #[cfg(feature = "net")]
            Self::Noise(_) => true,
            Self::Memory(_) | Self::Ring(_) => false,
        }
    }

    /// Sends a prefix of `bytes` and tells its length.
    ///
    /// # Errors
    /// `AGAIN` when there is no room, `PIPE` and the like when the peer is gone.
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Memory(end) => end.send(bytes),
            Self::Ring(end) => end.send(bytes),
            Self::Unix(stream) => stream.send(bytes),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.send(bytes),
        }
    }

    /// The same of two pieces, the second of which follows the first.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn send_parts(&self, [first, second]: [&[u8]; 2]) -> Result<usize> {
        match self {
            Self::Unix(stream) if !first.is_empty() && !second.is_empty() => stream.send_parts([first, second]),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.send_parts([first, second]),
            _ if first.is_empty() => self.send(second),
            _ => self.send(first),
        }
    }

    /// Receives what is here into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `AGAIN` when nothing is here, others when the stream is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Memory(end) => end.receive(buffer),
            Self::Ring(end) => end.receive(buffer),
            Self::Unix(stream) => stream.receive(buffer),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.receive(buffer),
        }
    }

    /// Ends one half or both; the peer sees the end of the stream. A second time does nothing.
    pub fn shutdown(&self, half: Half) {
        match self {
            Self::Memory(end) => end.shutdown(half),
            Self::Ring(end) => end.shutdown(half),
            Self::Unix(stream) => stream.shutdown(half),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.shutdown(half),
        }
    }

    /// What the peer can still do.
    #[must_use]
    pub fn peer_end(&self) -> PeerEnd {
        match self {
            Self::Memory(end) => end.peer_end(),
            Self::Ring(end) => end.peer_end(),
            Self::Unix(stream) => stream.peer_end(),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.peer_end(),
        }
    }

    /// What to poll: for reading (and writing where one descriptor tells both), and for writing where it is another.
    pub(crate) fn poll_fds(&self, want_write: bool) -> (Option<PollFd<'_>>, Option<PollFd<'_>>) {
        match self {
            Self::Memory(end) => end.poll_fds(want_write),
            Self::Ring(end) => (Some(end.poll_fd(want_write)), None),
            Self::Unix(stream) => (Some(stream.poll_fd(want_write)), None),
            #[cfg(feature = "net")]
            Self::Noise(end) => (Some(end.poll_fd(want_write)), None),
        }
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        match self {
            Self::Memory(end) => end.watch(poll, data, interest),
            Self::Ring(end) => end.watch(poll, data, interest),
            Self::Unix(stream) => stream.watch(poll, data, interest),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.watch(poll, data, interest),
        }
    }

    pub(crate) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        match self {
            Self::Memory(end) => end.rewatch(poll, data, interest),
            Self::Ring(end) => end.rewatch(poll, data, interest),
            Self::Unix(stream) => stream.rewatch(poll, data, interest),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.rewatch(poll, data, interest),
        }
    }

    pub(crate) fn unwatch(&self, poll: BorrowedFd<'_>) {
        match self {
            Self::Memory(end) => end.unwatch(poll),
            Self::Ring(end) => end.unwatch(poll),
            Self::Unix(stream) => stream.unwatch(poll),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.unwatch(poll),
        }
    }

    /// The descriptors behind this end.
    #[must_use]
    pub fn raw_fds(&self) -> Vec<RawFd> {
        match self {
            Self::Memory(end) => end.raw_fds(),
            Self::Ring(end) => end.raw_fds(),
            Self::Unix(stream) => stream.raw_fds(),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.raw_fds(),
        }
    }

    fn of_ring(end: ring::End) -> Self {
        Self::Ring(Box::new(end))
    }

    /// The end in shared memory, if the bytes go through it.
    pub(crate) fn ring(&self) -> Option<&ring::End> {
        match self {
            Self::Ring(end) if end.is_memory() => Some(end),
            _ => None,
        }
    }

    /// Looks for news of the peer, and whether `is_woken`, as long as that has been worth while of late. Returns whether there
    /// is either. Who waits for room in a socket has better sleep.
    pub(crate) fn spin(&self, want_write: bool, is_woken: impl Fn() -> bool) -> bool {
        match self {
            Self::Ring(end) if end.is_memory() => end.spin(Duration::MAX, || end.has_arrived() || is_woken()),
            #[cfg(feature = "net")]
            Self::Noise(end) if !want_write => end.spin(is_woken),
            _ => false,
        }
    }

    /// What passes memory beside the bytes, if they go, or may go, through memory.
    pub(crate) fn buffers(&self) -> Option<Arc<Buffers>> {
        match self {
            Self::Ring(end) => Some(Arc::clone(end.buffers())),
            _ => None,
        }
    }

    /// Whether the peer would not share memory.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Ring(end) if end.is_refused())
    }

    /// What the peer broke of the rules of the transport.
    pub(crate) fn violation(&self) -> Option<&str> {
        match self {
            Self::Ring(end) => end.violation(),
            #[cfg(feature = "net")]
            Self::Noise(end) => end.violation(),
            Self::Memory(_) | Self::Unix(_) => None,
        }
    }

    /// Takes what only wakes whoever polls. To be called when the stream was found readable, before it is read.
    pub(crate) fn take_wakes(&self) {
        if let Self::Ring(end) = self {
            end.take_wakes();
        }
    }

    /// Says how the watch thread is told of news that nobody took.
    pub(crate) fn set_event(&self, event: impl Fn() + Send + Sync + 'static) {
        if let Self::Ring(end) = self {
            end.set_event(Event::new(event));
        }
    }

    /// Asks to be woken once more, where that must be asked for. Returns whether there is news already.
    pub(crate) fn rearm(&self) -> bool {
        matches!(self, Self::Ring(end) if end.rearm())
    }
}
