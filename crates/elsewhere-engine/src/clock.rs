//! The one clock of the engine, as the protocol wants it.
//! Owns: the epoch. Must not know: what is timed. Only the monotonic clock is ever read.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use elsewhere_proto::Timestamp;

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

/// How long it is from now until `stamp`; zero when it is past.
pub(crate) fn until(stamp: Timestamp) -> Duration {
    stamp.0.saturating_sub(now().0)
}
