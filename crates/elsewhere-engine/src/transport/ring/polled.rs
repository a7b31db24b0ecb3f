//! Who is told of what comes through memory while no thread sleeps on it.
//! Owns: which of those who poll is told. Must not know: why they wait, what they do about it.
//!
//! Threads that sleep in a poll come first, and are told by the socket, as the watch thread is. An event loop is told by an
//! eventfd of its own that the peer has; it is told instead of the watch thread.

use std::sync::Arc;

use elsewhere_shm::wake::{Event, Listener};

use super::End;
use crate::lock::lock;

#[derive(Debug, Default)]
pub(super) struct Polled {
    /// Who leaves something unread that nobody was told of has this told.
    event: Option<Arc<Event>>,
    /// The loop that is told, by the number that the peer knows it by.
    by_loop: Option<(u32, Arc<Event>)>,
    by_watch_thread: bool,
    by_sleepers: usize,
}

/// A thread that polls the stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Polling<'a> {
    end: &'a End,
}

impl Polled {
    fn listener(&self) -> Option<Listener> {
        match &self.by_loop {
            Some((number, event)) if self.by_sleepers == 0 => Some(Listener::Loop(*number, Arc::clone(event))),
            _ if self.by_watch_thread || self.by_sleepers > 0 => self.event.clone().map(Listener::Event),
            _ => None,
        }
    }
}

impl End {
    /// Says how to tell the watch thread of news that no thread took, and that were told to nobody.
    pub(crate) fn set_event(&self, event: Event) {
        lock(&self.polled).event = Some(Arc::new(event));
    }

    pub(super) fn set_watched(&self, by_watch_thread: bool) {
        let mut polled = lock(&self.polled);
        polled.by_watch_thread = by_watch_thread;
        self.show(&polled);
    }

    /// Begins to poll: from now on the peer wakes by the socket. None if there is news already.
    pub(crate) fn poll(&self) -> Option<Polling<'_>> {
        let mut polled = lock(&self.polled);
        polled.by_sleepers += 1;
        let has_news = self.show(&polled);
        drop(polled);
        let polling = Polling { end: self };
        (!has_news).then_some(polling)
    }

    /// Asks to be woken once more by the socket, if somebody polls it. Returns whether there is news already.
    pub(crate) fn rearm(&self) -> bool {
        self.show(&lock(&self.polled))
    }

    /// From now on the loop `number`, which the peer was handed before, is told by `event`. Returns whether there is news
    /// already.
    pub(crate) fn tell_loop(&self, number: u32, event: Arc<Event>) -> bool {
        let mut polled = lock(&self.polled);
        polled.by_loop = Some((number, event));
        self.show(&polled)
    }

    /// No loop is told any more.
    pub(crate) fn tell_no_loop(&self) {
        let mut polled = lock(&self.polled);
        if polled.by_loop.take().is_some() {
            self.show(&polled);
        }
    }

    /// The loop that is told.
    pub(crate) fn told_loop(&self) -> Option<u32> {
        lock(&self.polled).by_loop.as_ref().map(|(number, _)| *number)
    }

    /// Asks for the loop `number` to be told once more. Returns whether there is news already; None if it is not told any more.
    pub(crate) fn rearm_loop(&self, number: u32) -> Option<bool> {
        let polled = lock(&self.polled);
        let is_told = polled.by_loop.as_ref().is_some_and(|(told, _)| *told == number);
        // The same listener as before, so nothing is made anew.
        is_told.then(|| self.lookout.arm())
    }

    fn show(&self, polled: &Polled) -> bool {
        self.lookout.set_listener(polled.listener())
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut polled = lock(&self.end.polled);
        polled.by_sleepers -= 1;
        if self.end.show(&polled)
            && let Some((_, event)) = &polled.by_loop
        {
            event.raise(); // what came before the loop was told again
        }
    }
}
