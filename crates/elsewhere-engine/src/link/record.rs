//! How far the calls of a link got, written down where it outlives this process.
//! Owns: when a call has begun and ended. Must not know: where it is written, what becomes of it.
//!
//! A host of ours writes into the memory that it shares with its owner. What the owner finds there after the host's death
//! is exact, however many calls ran at a time: see `elsewhere-shm`.

use elsewhere_proto::{CallId, Outcome};
use elsewhere_shm::{Progress, Recorder};

use super::Link;
use crate::lock::lock;

impl Link {
    /// Has each call of the peer recorded from now on: whoever runs them says [`call_begins`](Self::call_begins) and
    /// [`call_ended`](Self::call_ended). Does nothing where there is no memory to write to.
    pub fn record_calls(&self) {
        let transport = lock(&self.roles).transport().cloned();
        if let Some(ring) = transport.as_deref().and_then(|transport| transport.ring()) {
            ring.recorder().keep();
            let _ = self.recorder.set(std::sync::Arc::clone(ring.recorder()));
        }
    }

    /// Code of the user's is about to run for a call of the peer. A second time changes nothing.
    pub fn call_begins(&self, call: CallId) {
        if let Some(recorder) = self.recorder.get() {
            recorder.start(entry(call));
        }
    }

    /// A call of the peer has run to its end, whether or not it can be told.
    pub fn call_ended(&self, call: CallId) {
        if let Some(recorder) = self.recorder.get() {
            recorder.finish(entry(call));
        }
    }

    /// How far a call got, by what a dead peer has left about it; `known` is what its stream tells.
    pub(super) fn recorded(&self, call: CallId, known: Outcome) -> Outcome {
        let transport = lock(&self.roles).transport().cloned();
        let ring = transport.as_deref().and_then(|transport| transport.ring());
        match ring.and_then(|ring| Recorder::progress(ring.recorder(), entry(call))) {
            Some(Progress::NotStarted) => Outcome::NotStarted,
            Some(Progress::Finished) => Outcome::Finished,
            Some(Progress::Started) => Outcome::Unknown,
            None => known,
        }
    }
}

/// Calls that are open at a time differ in their lowest ten bits.
fn entry(call: CallId) -> u32 {
    (call.0 & u64::from(u32::MAX)) as u32
}
