//! The queue that tells an event loop what of its awaits is over, and the eventfd that wakes it.
//! Owns: the keys, and which links tell the loop of news that it reads itself. Must not know: asyncio, trio, Python; what a
//! link does to have it told.
//!
//! There is one eventfd for all, which the loop polls. It becomes readable with the first key, from whatever thread that comes;
//! and when a peer raises it, which was handed it, because something lies in the memory of a link (`link::loops`). Then the
//! loop's own thread reads that link before it takes the keys.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use elsewhere_shm::wake::Event;
use rustix::event::{EventfdFlags, eventfd};

use crate::buffers::raise;
use crate::fork;
use crate::link::Link;
use crate::lock::lock;
use crate::watch::{Ask, Bell};

/// Keys for one event loop, and the eventfd that becomes readable with the first of them.
#[derive(Debug)]
pub struct LoopQueue {
    event: OwnedFd,
    generation: u32,
    keys: Mutex<Keys>,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Keys {
    keys: Vec<u64>,
    /// The loop's thread is about to take them, so it need not be woken for more.
    is_draining: bool,
}

#[derive(Debug, Default)]
struct Links {
    /// Those that the loop reads when it is woken, each with its number there.
    read: Vec<(u32, Weak<Link>)>,
    /// Those whose peers have the eventfd, with who takes it back from them.
    handed: Vec<(u64, Weak<Link>, Arc<Bell>)>,
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
        let generation = fork::generation();
        Ok(Arc::new(Self { event, generation, keys: Mutex::default(), links: Mutex::default() }))
    }

    /// What the loop watches for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Adds a key, from any thread.
    pub fn push(&self, key: u64) {
        let mut keys = lock(&self.keys);
        let is_first = keys.keys.is_empty() && !keys.is_draining;
        keys.keys.push(key);
        drop(keys);
        if is_first {
            self.wake();
        }
    }

    /// Reads what peers rang for, and takes all keys. The eventfd is cleared first, so what comes later makes it readable
    /// again or is taken now. To be called by the loop's thread alone.
    #[must_use]
    pub fn drain(self: &Arc<Self>) -> Vec<u64> {
        let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        lock(&self.keys).is_draining = true;
        let mut links = std::mem::take(&mut lock(&self.links).read);
        links.retain(|(number, link)| link.upgrade().is_some_and(|link| link.read_for_loop(*number, self)));
        self.go_on_reading(links);
        let mut keys = lock(&self.keys);
        keys.is_draining = false;
        std::mem::take(&mut keys.keys)
    }

    /// Makes the eventfd readable.
    pub(crate) fn wake(&self) {
        raise(&self.event);
    }

    /// What tells the loop from this process.
    pub(crate) fn event(self: &Arc<Self>) -> Arc<Event> {
        let queue = Arc::downgrade(self);
        Arc::new(Event::new(move || {
            let _ = queue.upgrade().map(|queue| queue.wake());
        }))
    }

    /// Whether it belongs to the process that this one was forked from.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The peer of `link` has the eventfd from now on, until this is dropped.
    pub(crate) fn note_handed_over(&self, link: &Arc<Link>) {
        let handed = &mut lock(&self.links).handed;
        handed.retain(|(_, link, _)| link.strong_count() > 0);
        handed.push((link.id(), Arc::downgrade(link), Arc::clone(link.bell())));
    }

    /// The loop reads `link` whenever it is woken, as long as that says so.
    pub(crate) fn read_when_woken(&self, number: u32, link: &Arc<Link>) {
        self.go_on_reading(vec![(number, Arc::downgrade(link))]);
    }

    /// Behind those that reading brought, each once.
    fn go_on_reading(&self, links: Vec<(u32, Weak<Link>)>) {
        let read = &mut lock(&self.links).read;
        for (number, link) in links {
            if !read.iter().any(|(_, other)| other.ptr_eq(&link)) {
                read.push((number, link));
            }
        }
    }
}

impl AsFd for LoopQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for LoopQueue {
    fn drop(&mut self) {
        if self.is_inherited() {
            return;
        }
        let links = self.links.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (link, _, bell) in links.handed.drain(..) {
            bell.ask(Ask::LoopEnded(link));
        }
    }
}
