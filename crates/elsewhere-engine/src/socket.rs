//! A connected Unix socket, and how descriptors go over one.
//! Owns: the socket. Must not know: who is at the other end, frames, threads.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType, sockopt,
};

use crate::transport::{Half, Interest, PeerEnd};

/// One end of a connected stream socket. Each call passes `MSG_DONTWAIT`, so the file status flags, which the peer may
/// share, do not matter.
#[derive(Clone, Debug)]
pub struct Stream {
    socket: Arc<OwnedFd>,
}

/// Two connected sockets that no program started later inherits.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

impl Stream {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket: Arc::new(socket) }
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize> {
        loop {
            match rustix::net::send(&*self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                // The kernel is out of memory for a moment; the bytes are still ours to send.
                Err(Errno::NOBUFS | Errno::NOMEM) => return Err(Errno::AGAIN),
                done => return done,
            }
        }
    }

    /// The same of two pieces, the second of which follows the first.
    pub(crate) fn send_parts(&self, parts: [&[u8]; 2]) -> Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut nothing_beside = SendAncillaryBuffer::default();
        loop {
            match rustix::net::sendmsg(&*self.socket, &parts.map(IoSlice::new), &mut nothing_beside, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS | Errno::NOMEM) => return Err(Errno::AGAIN), // as above
                done => return done,
            }
        }
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match rustix::net::recv(&*self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is something to receive, if only the end.
    pub(crate) fn is_readable(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&*self.socket, PollFlags::IN)], Some(&now)) != Ok(0)
    }

    /// Waits until there is room to send again; whether there was in time.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else { return false };
            match poll(&mut [PollFd::new(&*self.socket, PollFlags::OUT)], Some(&left)) {
                Err(Errno::INTR) => {}
                found => return found.is_ok_and(|count| count > 0),
            }
        }
    }

    /// The core that handled what came last: on one machine, that of the peer when it was sent.
    pub(crate) fn incoming_core(&self) -> u32 {
        sockopt::socket_incoming_cpu(&*self.socket).unwrap_or(u32::MAX)
    }

    pub(crate) fn shutdown(&self, half: Half) {
        let how = match half {
            Half::Write => Shutdown::Write,
            Half::Both => Shutdown::Both,
        };
        // ENOTCONN: the peer was faster.
        let _ = rustix::net::shutdown(&*self.socket, how);
    }

    pub(crate) fn peer_end(&self) -> PeerEnd {
        let mut fds = [PollFd::new(&*self.socket, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_err() {
            return PeerEnd::Open;
        }
        let seen = fds[0].revents();
        if seen.intersects(PollFlags::HUP | PollFlags::ERR) {
            PeerEnd::Gone
        } else if seen.contains(PollFlags::RDHUP) {
            PeerEnd::HalfClosed
        } else {
            PeerEnd::Open
        }
    }

    pub(crate) fn poll_fd(&self, want_write: bool) -> PollFd<'_> {
        let write = if want_write { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::new(&*self.socket, PollFlags::IN | write)
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        epoll::add(poll, &*self.socket, data, flags(interest))
    }

    pub(crate) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        epoll::modify(poll, &*self.socket, data, flags(interest))
    }

    pub(crate) fn unwatch(&self, poll: BorrowedFd<'_>) {
        let _ = epoll::delete(poll, self.socket.as_fd());
    }

    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        vec![self.socket.as_raw_fd()]
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn flags(interest: Interest) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::RDHUP, !interest.past_end);
    flags.set(epoll::EventFlags::IN, interest.read && !interest.past_end);
    flags.set(epoll::EventFlags::OUT, interest.write);
    flags
}

/// Sends `bytes` together with `fds`, at most five. Never blocks: AGAIN means that nobody reads.
pub(crate) fn send_with(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(5))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            done => return done.map(drop),
        }
    }
}

/// Receives at most `most` bytes and what descriptors come with them; waits for the first. No bytes at the end of the
/// stream.
pub(crate) fn receive_with(socket: impl AsFd, most: usize) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; most];
    let (count, fds) = receive_flagged(socket, &mut bytes, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(count);
    Ok((bytes, fds))
}

/// The same without waiting, and into `bytes`, of which it returns how many came. AGAIN means that nothing is there.
pub(crate) fn try_receive_with(socket: impl AsFd, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    loop {
        match receive_flagged(&socket, bytes, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn receive_flagged(socket: impl AsFd, bytes: &mut [u8], flags: RecvFlags) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(5))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((message.bytes, fds))
}
