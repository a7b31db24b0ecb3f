//! How other threads reach the watch thread.
//! Owns: its epoll, its poke and the list of what it is asked. Must not know: what it does about it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Weak};

use elsewhere_proto::Timestamp;
use rustix::event::{EventfdFlags, epoll, eventfd};

use super::watcher::Token;
use crate::link::Link;
use crate::lock::lock;

/// What the watch thread is asked to do.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Look after this link by ticks.
    Tick(Weak<Link>),
    /// Read this link from now on if nobody drives it.
    Arm(Weak<Link>),
    /// Something lies in the stream of this link that nobody was told of.
    News(u64),
    /// The stream of this link has ended.
    End(u64),
    /// An event loop that the peer of this link can wake is no more.
    LoopEnded(u64),
    /// Some timer is due sooner than the thread knows.
    Timers,
    /// Leave.
    Stop,
}

#[derive(Debug)]
pub(crate) struct Bell {
    epoll: OwnedFd,
    poke: OwnedFd,
    asked: Mutex<Vec<Ask>>,
    /// When the thread wakes for a timer by itself, in ns; `u64::MAX` while it knows of none or is just finding out.
    next_timer: AtomicU64,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let poke = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &poke, Token::Poke.into(), epoll::EventFlags::IN)?;
        Ok(Self { epoll, poke, asked: Mutex::default(), next_timer: AtomicU64::new(u64::MAX) })
    }

    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Asks for something. The eventfd is written with the first of several, and cleared before they are taken.
    pub(crate) fn ask(&self, what: Ask) {
        let mut asked = lock(&self.asked);
        let is_first = asked.is_empty();
        asked.push(what);
        drop(asked);
        if is_first {
            let _ = rustix::io::write(&self.poke, &1_u64.to_ne_bytes());
        }
    }

    /// Clears the eventfd. To be called before [`take_asked`](Self::take_asked), once it is readable.
    pub(super) fn clear(&self) {
        let _ = rustix::io::read(&self.poke, &mut [0_u8; 8]);
    }

    pub(super) fn take_asked(&self) -> Vec<Ask> {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Sees to it that the thread is awake at `at`. Cheap when it is anyway, as it is for a row of calls with the same
    /// timeout. To be called after the timer can be found by the thread.
    ///
    /// The thread sets `next_timer` to "unknown", then looks at all timers, then sets the earliest. So a timer that it
    /// did not find was set after its look, and its maker reads "unknown" or the earliest, and pokes where it must.
    pub(crate) fn schedule(&self, at: Timestamp) {
        if nanos(at) < self.next_timer.load(Ordering::SeqCst) {
            self.ask(Ask::Timers);
        }
    }

    pub(super) fn set_next_timer(&self, at: Option<Timestamp>) {
        self.next_timer.store(at.map_or(u64::MAX, nanos), Ordering::SeqCst);
    }

    pub(super) fn raw_fds(&self) -> [RawFd; 2] {
        [self.epoll.as_raw_fd(), self.poke.as_raw_fd()]
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0.as_nanos()).unwrap_or(u64::MAX)
}
