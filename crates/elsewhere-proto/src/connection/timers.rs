//! Deadlines of calls, the nearest first.
//! Owns: their order. Must not know: what a passed deadline means.
//!
//! Most calls are answered long before their deadline, so an entry is not removed when its call ends. Stale entries at
//! the top are dropped at once, so that nobody is woken for them; the rest when they are the larger part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::{CallId, Timestamp};

/// Stale entries that are kept at least.
const STALE_MIN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, CallId)>>,
    live: usize,
}

impl Timers {
    pub(super) fn arm(&mut self, deadline: Timestamp, id: CallId) {
        self.heap.push(Reverse((deadline, id)));
        self.live = self.live.saturating_add(1);
    }

    /// One live entry became stale or was taken out; `is_live` tells which are neither.
    pub(super) fn disarm(&mut self, is_live: impl Fn(Timestamp, CallId) -> bool) {
        debug_assert!(self.live > 0, "more deadlines forgotten than armed");
        self.live = self.live.saturating_sub(1);
        if self.heap.len() > self.live.saturating_mul(2).saturating_add(STALE_MIN) {
            self.heap.retain(|Reverse((deadline, id))| is_live(*deadline, *id));
            return;
        }
        while let Some(Reverse((deadline, id))) = self.heap.peek() {
            if is_live(*deadline, *id) {
                break;
            }
            self.heap.pop();
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes out one entry that is due; it may be stale.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, CallId)> {
        let Reverse((deadline, _)) = self.heap.peek()?;
        if *deadline > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        Some(entry)
    }
}
