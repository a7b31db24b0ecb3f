//! The one clock of the engine, as the protocol wants it.
//! Owns: the epoch. Must not know: what is timed. Only the monotonic clock is ever read.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use elsewhere_proto::{IncomingCall, Timestamp};

static EPOCH: OnceLock<Instant> = OnceLock::new();

fn epoch() -> Instant {
    *EPOCH.get_or_init(Instant::now)
}

/// The current time on the protocol's scale.
pub(crate) fn now() -> Timestamp {
    stamp(Instant::now())
}

/// `instant` on the protocol's scale; what lies before the epoch is the epoch.
pub(crate) fn stamp(instant: Instant) -> Timestamp {
    Timestamp(instant.saturating_duration_since(epoch()))
}

/// When a call of a peer must have been begun, which is also when its caller gives it up; None: it has no limit.
#[must_use]
pub fn expires(call: &IncomingCall) -> Option<Instant> {
    call.expires.and_then(|stamp| epoch().checked_add(stamp.0)) // none beyond what the clock can tell
}

/// How long it is from now until `stamp`; zero when it is past.
pub(crate) fn until(stamp: Timestamp) -> Duration {
    stamp.0.saturating_sub(now().0)
}
