//! Waits for what comes within microseconds, by looking all the time.
//! Owns: what is looked at meanwhile. Must not know: how long looking is worth while (the transport has learned it).
//!
//! Such a wait takes no seat: nobody need wake a thread that looks. It lets go of nothing either, so a thread of Python may
//! keep the interpreter in it, and need not win it back from a busy one. It gives up where others may need the thread:
//! when what came was for somebody else, and when calls might come that belong to the waiting thread, which are brought to
//! the seat that it does not have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{InboxWake, Link};
use crate::lock::lock;
use crate::pending::Pending;
use crate::taker::Taker;
use crate::transport::Transport;

/// How long a thread may keep an interpreter that others want. A thread that waits for it gets it within a millisecond
/// anyway: this is short beside the switch interval.
pub(super) const KEPT: Duration = Duration::from_micros(20);

impl Link {
    /// Looks for the end of `pending`, as long as that has been worth while of late. Returns whether it is there. If not,
    /// wait for it. May be called attached to Python: it takes at most 20 µs.
    #[must_use]
    pub fn spin(self: &Arc<Self>, pending: &Pending) -> bool {
        if self.attention.has_exported() || self.is_inherited() {
            return false;
        }
        self.send_held();
        let Some(transport) = self.transport() else { return false };
        let Some(ring) = transport.ring() else { return false };
        let mut is_for_others = false;
        ring.spin(KEPT, || {
            if ring.has_arrived() {
                self.try_read();
                is_for_others = !pending.is_told();
            }
            is_for_others || pending.is_told()
        }) && !is_for_others
    }

    /// The same asleep, for at most `patience`: for a thread that has better keep its interpreter, because it took long to
    /// win it back the last time.
    #[must_use]
    pub fn nap(self: &Arc<Self>, pending: &Pending, patience: Duration) -> bool {
        if self.attention.has_exported() || self.is_inherited() {
            return false;
        }
        let Some(transport) = self.transport() else { return false };
        let Some(ring) = transport.ring() else { return false };
        let end = Instant::now() + patience;
        loop {
            let has_arrived = ring.has_arrived();
            if has_arrived {
                self.try_read();
            }
            if pending.is_told() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if has_arrived || left.is_zero() || ring.sleep(Some(left), || pending.is_told()) != Some(false) {
                return false;
            }
        }
    }

    /// [`spin`](Self::spin) for work of the link's inbox.
    #[must_use]
    pub fn spin_for_work(self: &Arc<Self>, taker: &mut Taker) -> Option<InboxWake> {
        if self.attention.is_blocked() {
            return None;
        }
        self.send_held();
        let transport = self.transport()?;
        let ring = transport.ring()?;
        let mut found = None;
        ring.spin(KEPT, || {
            if ring.has_arrived() {
                self.try_read();
            }
            if self.inbox.has_some() {
                found = self.look(taker);
            }
            found.is_some()
        });
        found
    }

    fn transport(&self) -> Option<Arc<Transport>> {
        lock(&self.roles).transport().cloned()
    }
}
