//! Where a thread sleeps, and how it is woken.
//! Owns: one eventfd per waiting thread. Must not know: links, calls, what the sleeper waits for.
//!
//! A wake is a write to the eventfd, which stays readable until its owner clears it. So a wake that comes between the
//! owner's last look at its condition and its poll is not lost: the poll returns at once. The owner clears first and
//! looks at its condition afterwards; a waker makes the condition true first and writes afterwards.
//!
//! A thread that sleeps on the memory of a ring cannot poll. It says where it sleeps (`bed`) and then looks at `is_woken`;
//! a waker sets that and then looks where the owner sleeps. Each is done under the lock of the bed, so either the owner
//! sees the wake, or the waker sees the bed.

use std::cell::RefCell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::fork;
use crate::lock::lock;
use crate::transport::{Transport, ring};

/// How long a thread without an eventfd sleeps before it looks again.
const BLIND_SLICE: Duration = Duration::from_millis(10);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

/// The place where one thread sleeps.
#[derive(Debug)]
pub(crate) struct Parker {
    /// None when the process was out of descriptors: the thread then sleeps in short slices.
    event: Option<OwnedFd>,
    generation: u32,
    is_nudged: AtomicBool,
    is_woken: AtomicBool,
    /// The ring that its owner sleeps on.
    bed: Mutex<Option<Arc<Transport>>>,
}

/// Leads to the place where a thread sleeps.
#[derive(Clone, Debug)]
pub struct Sleeper(Arc<Parker>);

impl Sleeper {
    /// That of the calling thread.
    #[must_use]
    pub fn current() -> Self {
        Self(current())
    }

    /// Ends the thread's wait as a tick does, or its next one. For whatever the thread should see to.
    pub fn nudge(&self) {
        self.0.is_nudged.store(true, Ordering::SeqCst); // before the wake: whoever it wakes must see it
        self.0.wake();
    }
}

/// Why a sleep ended. Several reasons may hold at once; none means that the time was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Woken {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The descriptor beside the stream is readable.
    pub(crate) beside: bool,
    /// A signal arrived at this thread.
    pub(crate) interrupted: bool,
}

/// The stream that a sleeper watches beside its own eventfd.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) transport: &'a Arc<Transport>,
    pub(crate) want_write: bool,
}

/// The calling thread's parker, made at its first wait and again after a fork.
pub(crate) fn current() -> Arc<Parker> {
    CURRENT.with_borrow_mut(|slot| match slot {
        Some(parker) if parker.generation == fork::generation() => Arc::clone(parker),
        _ => Arc::clone(slot.insert(Arc::new(Parker::new()))),
    })
}

impl Parker {
    fn new() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
        Self {
            event,
            generation: fork::generation(),
            is_nudged: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            bed: Mutex::default(),
        }
    }

    /// Whether the thread was nudged since the last time.
    pub(crate) fn take_nudge(&self) -> bool {
        self.is_nudged.load(Ordering::SeqCst) && self.is_nudged.swap(false, Ordering::SeqCst)
    }

    /// What tells it from the others that there are.
    pub(crate) fn number(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Whether it is the calling thread's.
    pub(crate) fn is_own(&self) -> bool {
        let is_self = |current: &Arc<Self>| std::ptr::eq(Arc::as_ptr(current), self);
        CURRENT.try_with(|slot| slot.borrow().as_ref().is_some_and(is_self)).unwrap_or(false)
    }

    /// Wakes the owner. Does nothing on the owner's own thread, which is awake and looks again before it sleeps.
    pub(crate) fn wake(&self) {
        if self.is_own() {
            return;
        }
        self.is_woken.store(true, Ordering::SeqCst); // before the look at the bed; see above
        let bed = lock(&self.bed).clone();
        if let Some(ring) = bed.as_deref().and_then(Transport::ring) {
            return ring.wake_sleeper();
        }
        if let Some(event) = &self.event {
            // EAGAIN would mean a counter at its maximum, which is readable as well.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Whether it was woken since its last sleep.
    pub(crate) fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::SeqCst)
    }

    /// Sleeps until woken, until `watched` is ready or `beside` readable, until a signal or until `timeout` is over. Clears
    /// a wake.
    pub(crate) fn sleep(
        &self,
        watched: Option<Watched<'_>>,
        beside: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> Woken {
        let Some((ring, watched)) = watched.and_then(|watched| Some((watched.transport.ring()?, watched))) else {
            let woken = self.poll(watched, beside, timeout);
            // Whoever waits for the peer's answer to the offer of memory may write once it is there.
            let may_write = woken.readable && watched.is_some_and(|watched| watched.want_write);
            return Woken { writable: woken.writable || may_write, ..woken };
        };
        let slept = if beside.is_none() { self.sleep_on(ring, watched.transport, timeout) } else { None };
        let woken = slept.unwrap_or_else(|| match ring.poll() {
            Some(_polling) => {
                // Where another thread sleeps on the memory, the socket tells nothing.
                let timeout = if beside.is_none() { Some(short(timeout)) } else { timeout };
                let woken = self.poll(Some(watched), beside, timeout);
                if woken.readable {
                    ring.take_wakes();
                }
                woken
            }
            None => Woken::default(),
        });
        let has_news = ring.has_news();
        Woken { readable: woken.readable || has_news, writable: watched.want_write && has_news, ..woken }
    }

    /// None if another thread sleeps there.
    fn sleep_on(&self, ring: &ring::End, transport: &Arc<Transport>, timeout: Option<Duration>) -> Option<Woken> {
        *lock(&self.bed) = Some(Arc::clone(transport));
        let slept = ring.sleep(timeout, || self.is_woken());
        *lock(&self.bed) = None;
        let interrupted = slept?;
        self.is_woken.store(false, Ordering::SeqCst);
        Some(Woken { interrupted, ..Woken::default() })
    }

    fn poll(&self, watched: Option<Watched<'_>>, beside: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> Woken {
        let timeout = if self.event.is_some() { timeout } else { Some(short(timeout)) };
        let own = self.event.as_ref().map(|event| PollFd::new(event, PollFlags::IN));
        let (read, write) = watched.map_or((None, None), |watched| watched.transport.poll_fds(watched.want_write));
        let Some(filler) = own.as_ref().or(read.as_ref()).cloned() else {
            std::thread::sleep(timeout.unwrap_or(BLIND_SLICE));
            return Woken::default();
        };
        let beside = beside.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut fds = [filler.clone(), filler.clone(), filler.clone(), filler];
        let mut len = 0;
        let [own_at, read_at, write_at, beside_at] = [own, read, write, beside].map(|fd| {
            let at = len;
            fd.map(|fd| {
                fds[at] = fd;
                len += 1;
                at
            })
        });
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds[..len], timeout.as_ref()) {
            Ok(0) => Woken::default(),
            Ok(_) => {
                let seen = |at: Option<usize>| at.map_or(PollFlags::empty(), |at| fds[at].revents());
                if !seen(own_at).is_empty() {
                    self.clear();
                }
                let (stream, room) = (seen(read_at), seen(write_at));
                Woken {
                    readable: !(stream - PollFlags::OUT).is_empty(),
                    writable: stream.contains(PollFlags::OUT) || !room.is_empty(),
                    beside: !seen(beside_at).is_empty(),
                    interrupted: false,
                }
            }
            Err(Errno::INTR) => Woken { interrupted: true, ..Woken::default() },
            // ENOMEM and the like pass; the caller looks at its condition and sleeps again.
            Err(_) => Woken::default(),
        }
    }

    fn clear(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
        if let Some(event) = &self.event {
            // EAGAIN: nobody woke us after all.
            let _ = rustix::io::read(event, &mut [0_u8; 8]);
        }
    }
}

fn short(timeout: Option<Duration>) -> Duration {
    timeout.unwrap_or(BLIND_SLICE).min(BLIND_SLICE)
}
