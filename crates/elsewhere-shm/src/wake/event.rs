//! The eventfd that wakes an event loop or a server.
//! Owns: the descriptor. Must not know: who polls it.

#[cfg(not(all(test, loom)))]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An eventfd: readable from a raise until it is cleared.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
pub struct Event {
    fd: OwnedFd,
    /// Whether the peer has the same open file, and so may change its flags and fill it.
    is_foreign: bool,
}

#[cfg(not(all(test, loom)))]
impl Event {
    /// A new one, not raised.
    ///
    /// # Errors
    /// Those of `eventfd`.
    pub fn new() -> rustix::io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd, is_foreign: false })
    }

    /// One that the peer handed over. If it is none, raising it is of no use to the peer, and harmless here.
    #[must_use]
    pub fn from_peer(fd: OwnedFd) -> Self {
        let _ = rustix::io::ioctl_fionbio(&fd, true);
        Self { fd, is_foreign: true }
    }

    /// Makes it readable.
    pub fn raise(&self) {
        if self.is_foreign && !self.has_room() {
            return; // it is readable already, or the peer plays a trick: without O_NONBLOCK the write would block
        }
        // EAGAIN: a counter at its maximum, which is readable as well.
        let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    fn has_room(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready == 1)
    }

    /// Makes it unreadable. The owner clears first and looks afterwards.
    pub fn clear(&self) {
        // EAGAIN: it was not raised after all.
        let _ = rustix::io::read(&self.fd, &mut [0_u8; 8]);
    }
}

#[cfg(not(all(test, loom)))]
impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The model of one, in which a thread can wait as a loop waits in its poll.
#[cfg(all(test, loom))]
#[derive(Debug)]
pub struct Event {
    raised: loom::sync::Mutex<bool>,
    bell: loom::sync::Condvar,
}

#[cfg(all(test, loom))]
impl Event {
    pub(crate) fn modelled() -> Self {
        Self { raised: loom::sync::Mutex::new(false), bell: loom::sync::Condvar::new() }
    }

    pub(crate) fn raise(&self) {
        *crate::sync::lock(&self.raised) = true;
        self.bell.notify_all();
    }

    pub(crate) fn wait_and_clear(&self) {
        let mut raised = crate::sync::lock(&self.raised);
        while !*raised {
            raised = self.bell.wait(raised).unwrap();
        }
        *raised = false;
    }
}
