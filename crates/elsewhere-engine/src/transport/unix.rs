//! A connected Unix stream socket.
//! Owns: the socket. Must not know: who is at the other end, frames, threads.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use super::{Half, Interest, PeerEnd};

/// One end of a connected stream socket. Each call passes `MSG_DONTWAIT`, so the file status flags, which the peer may
/// share, do not matter.
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
}

/// Two connected sockets that no program started later inherits.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

impl Stream {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize> {
        loop {
            match rustix::net::send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                // The kernel is out of memory for a moment; the bytes are still ours to send.
                Err(Errno::NOBUFS | Errno::NOMEM) => return Err(Errno::AGAIN),
                done => return done,
            }
        }
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn shutdown(&self, half: Half) {
        let how = match half {
            Half::Write => Shutdown::Write,
            Half::Both => Shutdown::Both,
        };
        // ENOTCONN: the peer was faster.
        let _ = rustix::net::shutdown(&self.socket, how);
    }

    pub(super) fn peer_end(&self) -> PeerEnd {
        let mut fds = [PollFd::new(&self.socket, PollFlags::RDHUP)];
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

    pub(super) fn poll_fd(&self, want_write: bool) -> PollFd<'_> {
        let write = if want_write { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::new(&self.socket, PollFlags::IN | write)
    }

    pub(super) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        epoll::add(poll, &self.socket, data, flags(interest))
    }

    pub(super) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        epoll::modify(poll, &self.socket, data, flags(interest))
    }

    pub(super) fn unwatch(&self, poll: BorrowedFd<'_>) {
        let _ = epoll::delete(poll, self.socket.as_fd());
    }

    pub(super) fn raw_fds(&self) -> Vec<RawFd> {
        vec![self.socket.as_raw_fd()]
    }
}

fn flags(interest: Interest) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::RDHUP, !interest.past_end);
    flags.set(epoll::EventFlags::IN, interest.read && !interest.past_end);
    flags.set(epoll::EventFlags::OUT, interest.write);
    flags
}
