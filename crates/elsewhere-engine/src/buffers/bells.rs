//! Event loops that a peer wakes itself: their eventfds, on their way to it and back.
//! Owns: what is accepted as an eventfd, and how it is raised. Must not know: which loop waits for what.
//!
//! Each eventfd goes to a peer once, under a number that is not used again. Who raises one must never block, so it is
//! looked at when it comes: that it is one, and that it does not block. Anything else is as good as none, which a process
//! without descriptors gets, too: the loop behind it is told by its watch thread.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use elsewhere_shm::wake::{Event, Learn};
use rustix::fs::{FsWord, OFlags, fcntl_getfl, fcntl_setfl, fstatfs};
use rustix::io::Result;

use super::{Buffers, Word};

/// What `fstatfs` tells of eventfds, and of other descriptors that no write can block.
const ANONYMOUS: FsWord = 0x0904_1934;

impl Buffers {
    /// Hands the eventfd of a loop to the peer.
    ///
    /// # Errors
    /// AGAIN where the socket has no room now, PIPE after the end.
    pub(crate) fn hand_over_loop(&self, number: u32, fd: impl AsFd) -> Result<()> {
        self.tell(Word::Loop { number }, fd)
    }

    /// Has the peer close what it was handed.
    ///
    /// # Errors
    /// As [`hand_over_loop`](Self::hand_over_loop).
    pub(crate) fn take_back_loop(&self, number: u32) -> Result<()> {
        let socket = self.socket().ok_or(rustix::io::Errno::PIPE)?;
        crate::socket::send_with(&socket, &Word::LoopGone { number }.to_bytes(), &[])
    }
}

impl Learn for Buffers {
    fn learn(&self) {
        let _ = self.take_words(); // what breaks the rules here leaves nothing to learn
    }
}

/// The event behind what was handed over; None where that cannot be raised.
pub(super) fn event_of(fd: Option<OwnedFd>) -> Option<Arc<Event>> {
    let fd = fd.filter(is_harmless)?;
    Some(Arc::new(Event::new(move || raise(&fd))))
}

/// Whether a write cannot block. Who handed it over could change that again, and would harm its own answers.
fn is_harmless(fd: &OwnedFd) -> bool {
    let is_anonymous = fstatfs(fd).is_ok_and(|file_system| file_system.f_type == ANONYMOUS);
    is_anonymous && fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK)).is_ok()
}

/// Makes an eventfd readable. Never blocks: EAGAIN would mean a counter at its maximum, which is readable as well.
pub(crate) fn raise(event: impl AsFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}
