//! How somebody who does not wait in the engine is told that something is over.
//! Owns: the two ways to tell it. Must not know: futures, callbacks, asyncio, Python.

use std::sync::Arc;

use crate::inbox::{Inbox, Work};
use crate::loop_queue::LoopQueue;

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

    /// The event loop that is told, if it is one.
    pub(crate) fn queue(&self) -> Option<&Arc<LoopQueue>> {
        match self {
            Self::Inbox(..) => None,
            Self::Loop(queue, _) => Some(queue),
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
