//! The thread that runs what a server is asked for, and which connection it reads meanwhile.
//! Owns: the choice of that connection. Must not know: what work is, Python.
//!
//! The watch thread reads all connections that nobody waits on, which costs each request a hand-over to another thread. So
//! the thread that serves waits on one of them by itself, beside its inbox: the one that asked last. Every other is the watch
//! thread's, and stays so while this one goes on asking; it changes places with one that asked several times in a row. A
//! connection that loses its place is given to the watch thread at once: it would otherwise wait for its next tick. One that
//! nobody waits on for longer, because the thread does something else between two waits, is the watch thread's after a tick.

use std::sync::Arc;
use std::time::Duration;

use crate::inbox::{Inbox, Work};
use crate::link::{InboxWake, Link};
use crate::taker::Taker;

/// After so many requests in a row a connection is read here.
const ENOUGH: u32 = 4;

/// What one thread that serves an inbox knows from one wait to the next.
#[derive(Debug)]
pub struct Attendant {
    inbox: Arc<Inbox>,
    /// The connection that this thread reads while it waits.
    link: Option<Arc<Link>>,
    /// The other connection that asked last, and how often in a row.
    other: (u64, u32),
}

impl Attendant {
    /// For the calling thread, which is the only one to run what comes to `inbox`.
    #[must_use]
    pub fn new(inbox: &Arc<Inbox>) -> Self {
        Self { inbox: Arc::clone(inbox), link: None, other: (0, 0) }
    }

    /// Waits for work, at most until `tick` is over, a signal comes or `is_over` says so: ask it again with
    /// [`Inbox::wake_all`]. None also where the connection that was read is no more.
    #[must_use]
    pub fn wait(&mut self, tick: Duration, is_over: &dyn Fn() -> bool) -> Option<Work> {
        let Some(link) = self.link.clone().filter(|link| !link.is_inherited()) else {
            let work = self.inbox.wait_as(&mut Taker::All, Some(tick), is_over);
            return self.note(work);
        };
        match link.wait_for_all(Some(tick), is_over) {
            InboxWake::Work(work) => self.note(Some(work)),
            InboxWake::Tick => None,
            InboxWake::Ended => {
                self.link = None;
                None
            }
        }
    }

    /// [`wait`](Self::wait) for what comes within microseconds, by looking all the time, if that has been worth while of
    /// late. None where nothing came: then wait. May be called attached to Python: it takes at most 20 µs, and need not
    /// win the interpreter back from a thread that is busy with it.
    #[must_use]
    pub fn spin(&mut self) -> Option<Work> {
        let link = self.link.clone().filter(|link| !link.is_inherited())?;
        match link.spin_for_work(&mut Taker::All)? {
            InboxWake::Work(work) => self.note(Some(work)),
            InboxWake::Tick => None,
            InboxWake::Ended => {
                self.leave();
                None
            }
        }
    }

    /// Takes in what the connection that is read here has brought, without waiting.
    pub fn take_in(&self) {
        if let Some(link) = &self.link {
            link.drain();
        }
    }

    fn note(&mut self, work: Option<Work>) -> Option<Work> {
        let Some(Work::Call(incoming)) = &work else { return work };
        let id = incoming.link.id();
        let (other, times) = self.other;
        match &self.link {
            Some(link) if link.id() == id => self.other = (0, 0),
            Some(_) if other != id => self.other = (id, 1),
            Some(_) if times < ENOUGH => self.other = (id, times + 1),
            _ => {
                self.leave();
                self.other = (0, 0);
                self.link = Some(Arc::clone(&incoming.link));
            }
        }
        work
    }

    fn leave(&mut self) {
        if let Some(link) = self.link.take().filter(|link| !link.is_inherited()) {
            link.arm();
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.leave();
    }
}
