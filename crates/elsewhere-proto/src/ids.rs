//! The numbers by which two peers name things, and the time as this crate knows it.
//! Owns: their types. Must not know: who hands them out.

use std::fmt;
use std::time::Duration;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

id! {
    /// One call in one direction of one connection. Chosen by the caller, rising, never used again.
    CallId(u64)
}

id! {
    /// One object of a peer, as that peer numbered it for this connection.
    ObjectId(u64)
}

id! {
    /// What belongs together across processes: a call and all calls made inside it. 0 is no chain.
    ChainId(u64)
}

id! {
    /// One calling thread or task. Calls of a lane start in the order in which they were made.
    LaneId(u32)
}

impl ObjectId {
    /// The object that is there from the start. It is never offered and never released.
    pub const BOOTSTRAP: Self = Self(0);
}

/// A point in time: how long after an epoch of the caller's choice. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub Duration);
