//! Memory that one side tells the other to let go of.
//! Owns: the layout of an entry. Must not know: the memory.

/// Length of an entry in bytes.
pub(crate) const FORGOTTEN_LEN: usize = 12;

const LENT: u32 = 0;
const SHARED: u32 = 1;
const WITHHELD: u32 = 2;
const UNMAPPED: u32 = 3;

/// Memory that is not named any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Memory that we lent, and that was given back; not lent again after this loan.
    Lent {
        /// Its slot.
        slot: u32,
        /// The last loan of it.
        generation: u32,
    },
    /// Memory that we shared. Who uses it goes on.
    Shared {
        /// Our number for it.
        number: u64,
    },
    /// Memory that the peer shares under this number and that we could not map: it is handed over anew if it is passed again.
    Unmapped {
        /// The peer's number for it.
        number: u64,
    },
    /// Memory that the peer lends and is not to wait for: we could not map it, or have passed it on to others.
    Withheld {
        /// Its slot.
        slot: u32,
        /// The loan of it.
        generation: u32,
    },
}

impl Forgotten {
    pub(crate) fn to_bytes(self) -> [u8; FORGOTTEN_LEN] {
        let pair = |slot: u32, generation: u32| u64::from(slot) | u64::from(generation) << 32;
        let (what, number) = match self {
            Self::Lent { slot, generation } => (LENT, pair(slot, generation)),
            Self::Shared { number } => (SHARED, number),
            Self::Unmapped { number } => (UNMAPPED, number),
            Self::Withheld { slot, generation } => (WITHHELD, pair(slot, generation)),
        };
        let mut out = [0; FORGOTTEN_LEN];
        let (first, second) = out.split_at_mut(4);
        first.copy_from_slice(&what.to_le_bytes());
        second.copy_from_slice(&number.to_le_bytes());
        out
    }

    /// None for what is not known.
    pub(crate) fn from_bytes(bytes: [u8; FORGOTTEN_LEN]) -> Option<Self> {
        let [w0, w1, w2, w3, s0, s1, s2, s3, g0, g1, g2, g3] = bytes;
        let (slot, generation) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([g0, g1, g2, g3]));
        let number = u64::from(slot) | u64::from(generation) << 32;
        Some(match u32::from_le_bytes([w0, w1, w2, w3]) {
            LENT => Self::Lent { slot, generation },
            SHARED => Self::Shared { number },
            UNMAPPED => Self::Unmapped { number },
            WITHHELD => Self::Withheld { slot, generation },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_wire() {
        for what in [
            Forgotten::Lent { slot: 7, generation: u32::MAX },
            Forgotten::Shared { number: u64::MAX - 5 },
            Forgotten::Withheld { slot: 1023, generation: 1 },
            Forgotten::Unmapped { number: 3 },
        ] {
            assert_eq!(Forgotten::from_bytes(what.to_bytes()), Some(what));
        }
    }

    #[test]
    fn unknown_entries_are_told_apart() {
        assert_eq!(Forgotten::from_bytes([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
