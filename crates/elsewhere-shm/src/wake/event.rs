//! How an event loop, or whoever else polls, is told of news.
//! Owns: nothing but the way to do it. Must not know: who polls what.

use crate::sync::Arc;

/// A way to tell whoever polls that there is news: on the side that waits, and at its peer.
#[cfg(not(all(test, loom)))]
pub struct Event {
    raise: Box<dyn Fn() + Send + Sync>,
}

#[cfg(not(all(test, loom)))]
impl Event {
    /// An event that is told by `raise`, which must not block and is called under locks of this crate: it may not come
    /// back here.
    pub fn new(raise: impl Fn() + Send + Sync + 'static) -> Self {
        Self { raise: Box::new(raise) }
    }

    /// Tells it.
    pub fn raise(&self) {
        (self.raise)();
    }
}

#[cfg(not(all(test, loom)))]
impl std::fmt::Debug for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Event").finish_non_exhaustive()
    }
}

/// Whoever is told of news while no thread sleeps.
#[derive(Clone, Debug)]
pub enum Listener {
    /// Who polls what the two sides agreed on.
    Event(Arc<Event>),
    /// An event loop, whose event the peer was handed under this number before.
    Loop(u32, Arc<Event>),
}

impl Listener {
    pub(crate) fn event(&self) -> &Event {
        match self {
            Self::Event(event) | Self::Loop(_, event) => event,
        }
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
