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

    /// The first of the numbers that mean what a forked host has by the fork. Objects that are offered never get so far.
    const INHERITED: u64 = 1 << 62;

    /// What a forked host has by the fork, in the order in which its owner listed it. It is never offered and never
    /// released; nobody but the owner may name it.
    #[must_use]
    pub const fn inherited(number: u32) -> Self {
        Self(Self::INHERITED | number as u64)
    }

    /// The place in that order, of those that [`Self::inherited`] gives.
    #[must_use]
    pub const fn inherited_number(self) -> Option<u64> {
        self.0.checked_sub(Self::INHERITED)
    }
}

/// A point in time: how long after an epoch of the caller's choice. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_objects_have_numbers_of_their_own() {
        for number in [0, 1, u32::MAX] {
            assert_eq!(ObjectId::inherited(number).inherited_number(), Some(u64::from(number)));
        }
        for offered in [ObjectId::BOOTSTRAP, ObjectId(1), ObjectId(u64::from(u32::MAX))] {
            assert_eq!(offered.inherited_number(), None);
        }
    }
}
