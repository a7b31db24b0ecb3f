//! What a host writes to its stdout or stderr, where that is a pipe to us.
//! Owns: the pipe, the last 4 KiB of it, where it goes. Must not know: what the text says.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use crate::home::{Home, Stream};

/// Bytes kept.
const TAIL: usize = 4096;
/// Bytes read at once. A pipe that polls writable takes so many without blocking.
const PIECE: usize = 4096;
/// Pieces read in a row, so that a noisy host does not keep the watch thread from the others. As many as a pipe holds.
const PIECES_IN_A_ROW: usize = 16;

/// Where it goes.
#[derive(Debug)]
pub(super) enum Goes {
    /// Shown on our own stderr.
    On(Unshown),
    /// Nowhere.
    Away,
    /// To whoever shows it in this process.
    Home(Arc<Home>, Stream),
}

#[derive(Debug)]
pub(super) struct Output {
    /// None after its end, and where it never was a pipe.
    pipe: Option<OwnedFd>,
    tail: VecDeque<u8>,
    goes: Goes,
}

impl Output {
    /// The reading end of a pipe. Only this end is made non-blocking, the host's stays as it is.
    pub(super) fn new(pipe: OwnedFd, goes: Goes) -> rustix::io::Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe: Some(pipe), tail: VecDeque::new(), goes })
    }

    /// A stream that does not come by us.
    pub(super) fn elsewhere() -> Self {
        Self { pipe: None, tail: VecDeque::new(), goes: Goes::Away }
    }

    pub(super) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData) -> rustix::io::Result<()> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        epoll::add(poll, pipe, data, epoll::EventFlags::IN)
    }

    /// Takes what is there. At the end of the pipe it is closed, for `poll`, too, if that watches it.
    pub(super) fn pump(&mut self, poll: Option<BorrowedFd<'_>>) {
        let mut piece = [0_u8; PIECE];
        for _ in 0..PIECES_IN_A_ROW {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut piece) {
                Ok(0) => return self.forget(poll),
                Ok(count) => self.take_in(&piece[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes what is there and closes the pipe, although somebody else may hold its other end.
    pub(super) fn close(&mut self, poll: BorrowedFd<'_>) {
        self.pump(Some(poll));
        self.forget(Some(poll));
    }

    fn forget(&mut self, poll: Option<BorrowedFd<'_>>) {
        if let Some((pipe, poll)) = self.pipe.take().zip(poll) {
            let _ = epoll::delete(poll, &pipe);
        }
    }

    fn take_in(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        match &mut self.goes {
            Goes::On(unshown) => unshown.pass_on(bytes),
            Goes::Away => {}
            Goes::Home(home, stream) => home.add_printed(*stream, bytes),
        }
    }

    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.iter().copied().collect()
    }

    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn raw_fd(&self) -> Option<RawFd> {
        self.pipe.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// Bytes that our own stderr did not take.
#[derive(Debug, Default)]
pub(super) struct Unshown(u64);

impl Unshown {
    /// Shows the host's words on our own stderr if it takes them right now, and how many it did not take before; never
    /// blocks.
    fn pass_on(&mut self, bytes: &[u8]) {
        if !is_writable() {
            self.0 += bytes.len() as u64;
            return;
        }
        let stderr = std::io::stderr();
        let gap = match std::mem::take(&mut self.0) {
            0 => String::new(),
            count => format!("\n[elsewhere: {count} bytes that a host wrote to stderr were not shown]\n"),
        };
        let _ = rustix::io::write(stderr.as_fd(), gap.as_bytes());
        let _ = rustix::io::write(stderr.as_fd(), bytes);
    }
}

fn is_writable() -> bool {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::OUT)
}
