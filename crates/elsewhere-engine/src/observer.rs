//! How somebody who does not wait in the engine is told that something is over.
//! Owns: the queue of an event loop. Must not know: futures, callbacks, asyncio, Python.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use crate::inbox::{Inbox, Work};
use crate::lock::lock;

/// Where to tell it. Each observer is told once and then forgotten.
#[derive(Clone, Debug)]
pub enum Observer {
    /// As work for a thread that serves this inbox, under the observer's own key.
    Inbox(Arc<Inbox>, u64),
    /// As a key for an event loop.
    Loop(Arc<LoopQueue>, u64),
}

impl Observer {
    /// Tells that the observed call has news.
    pub(crate) fn completed(self) {
        match self {
            Self::Inbox(inbox, key) => inbox.push(Work::Completed(key)),
            Self::Loop(queue, key) => queue.push(key),
        }
    }

    /// Tells that the observed link is no more.
    pub(crate) fn died(self) {
        match self {
            Self::Inbox(inbox, key) => inbox.push(Work::Died(key)),
            Self::Loop(queue, key) => queue.push(key),
        }
    }
}

/// Keys for one event loop, and the eventfd that becomes readable with the first of them.
#[derive(Debug)]
pub struct LoopQueue {
    event: OwnedFd,
    keys: Mutex<Vec<u64>>,
}

impl LoopQueue {
    /// The key that tells of calls to run: see [`Link::sit_in_loop`](crate::Link::sit_in_loop). It stands for nothing else.
    pub const CALLS: u64 = 0;

    /// A queue with its eventfd.
    ///
    /// # Errors
    /// Those of `eventfd`.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self { event, keys: Mutex::default() }))
    }

    /// What the loop watches for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Adds a key, from any thread.
    pub fn push(&self, key: u64) {
        let mut keys = lock(&self.keys);
        let first = keys.is_empty();
        keys.push(key);
        drop(keys);
        if first {
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Takes all keys. The eventfd is cleared first, so a key that comes later makes it readable again or is taken now.
    #[must_use]
    pub fn drain(&self) -> Vec<u64> {
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        std::mem::take(&mut *lock(&self.keys))
    }
}

impl AsFd for LoopQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
