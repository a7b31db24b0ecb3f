//! How a thread that is about to sleep hears of a signal.
//! Owns: a pipe that the handler of a signal writes to, and the thread that is woken for it. Must not know: which signals
//! there are, what they mean.
//!
//! A signal that arrives between a thread's last look at signals and its sleep interrupts nothing, and so does one that the
//! system gives to another thread. So whoever handles signals also writes a byte, the watch thread sees it, and nudges the
//! thread, whose wait ends now or before it has begun.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::epoll;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::fork;
use crate::parker::Sleeper;
use crate::watch::{self, Token};

/// Ends the waits of one thread whenever something is written to it. Its drop ends that.
#[derive(Debug)]
pub struct Alarm {
    inner: Arc<Wired>,
}

/// What the watch thread has of an alarm.
#[derive(Debug)]
pub(crate) struct Wired {
    id: u64,
    generation: u32,
    read: OwnedFd,
    write: OwnedFd,
    sleeper: Sleeper,
}

impl Alarm {
    /// An alarm for the calling thread.
    ///
    /// # Errors
    /// Those of the system when descriptors are short or the watch thread cannot start.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let sleeper = Sleeper::current();
        let inner = Arc::new(Wired { id: watch::next_id(), generation: fork::generation(), read, write, sleeper });
        let alarm = Self { inner };
        watch::add_alarm(&alarm.inner)?; // where that fails, the drop takes it away
        Ok(alarm)
    }

    /// Where to write. A write never waits.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.inner.write.as_raw_fd()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.inner.generation == fork::generation() {
            watch::remove_alarm(self.inner.id);
        }
    }
}

impl Wired {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn watch(&self, epoll: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::add(epoll, self.read.as_fd(), Token::Alarm(self.id).into(), epoll::EventFlags::IN)?)
    }

    pub(crate) fn raw_fds(&self) -> [RawFd; 2] {
        [self.read.as_raw_fd(), self.write.as_raw_fd()]
    }

    /// Something was written.
    pub(crate) fn ring(&self) {
        let mut told = [0; 64];
        while rustix::io::read(&self.read, &mut told).is_ok_and(|count| count == told.len()) {}
        self.sleeper.nudge();
    }
}
