//! Signs of life of the peer.
//! Owns: whether it was asked for one and since when. Must not know: why somebody wants to know.
//!
//! A ping is answered by whoever reads the peer's stream: its watch thread, which never runs Python, while its other
//! threads are busy. So an answer says that the process is neither stopped nor gone, and nothing about what it does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Link, Wake};
use crate::lock::lock;

#[derive(Debug, Default)]
pub(super) struct Life {
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    since: Option<Instant>,
    /// The number of the last question.
    token: u64,
}

impl Link {
    /// Asks the peer for a sign of life, unless a question is open already. Never blocks.
    pub fn ask_for_life(self: &Arc<Self>) {
        let token = {
            let mut asked = lock(&self.life.asked);
            if asked.since.is_some() || self.end.is_over() || self.is_inherited() {
                return;
            }
            asked.since = Some(Instant::now());
            asked.token += 1;
            asked.token
        };
        self.with_wire(|wire| wire.protocol.ping(token));
        self.read_far();
    }

    /// Since when the peer owes a sign of life; None if it owes none.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Instant> {
        lock(&self.life.asked).since
    }

    /// Waits until the peer owes no sign of life, or the link is no more. Drives the link meanwhile.
    #[must_use]
    pub fn wait_life(self: &Arc<Self>, until: Instant, tick: Option<Duration>) -> Wake {
        let is_over = || (self.unanswered_since().is_none() || self.end.is_over()).then_some(());
        self.wait_quietly(None, until, tick, is_over)
    }

    pub(super) fn note_life(&self, token: u64) {
        let mut asked = lock(&self.life.asked);
        if asked.token == token {
            asked.since = None;
            drop(asked);
            self.wake_all();
        }
    }
}
