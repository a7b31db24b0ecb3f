//! When memory of long messages goes back to the system.
//! Owns: the time of the next look. Must not know: where the memory is.
//!
//! What holds a message puts its memory aside when it goes soon after it came (`elsewhere-shm`, `held`, `pages`): the next
//! message is put together there. Each message that may do so is noted here, and the watch thread looks until the last of
//! them is too old for it and nothing lies aside.

use std::sync::Arc;
use std::time::Duration;

use elsewhere_proto::Timestamp;
use elsewhere_shm::{Held, SOON, pages};

use crate::clock;
use crate::fork::PerProcess;
use crate::link::Link;

/// How long memory lies aside.
const QUIET: Duration = Duration::from_secs(1);

static STATE: PerProcess<State> = PerProcess::new(State::NEW, || State::NEW);

struct State {
    /// When the last message came.
    last: Timestamp,
    due: Option<Timestamp>,
}

impl State {
    const NEW: Self = Self { last: Timestamp(Duration::ZERO), due: None };
}

impl Link {
    /// Holds a message that came here.
    #[must_use]
    pub fn hold(&self, body: Vec<u8>) -> Arc<Held> {
        if body.len() >= pages::LARGE {
            let now = clock::now();
            let mut state = STATE.lock();
            state.last = now;
            if state.due.is_none() {
                let at = Timestamp(now.0 + SOON + QUIET);
                state.due = Some(at);
                drop(state);
                self.bell().schedule(at);
            }
        }
        Arc::new(Held::new(body))
    }
}

/// When the watch thread is to look.
pub(crate) fn due() -> Option<Timestamp> {
    STATE.lock().due
}

/// Gives back what nobody needed, if it is time.
pub(crate) fn look(now: Timestamp) {
    let mut state = STATE.lock();
    if state.due.is_some_and(|at| at <= now) {
        let is_left = pages::let_go(QUIET) || now.0 <= state.last.0 + SOON + QUIET;
        state.due = is_left.then_some(Timestamp(now.0 + QUIET));
    }
}
