//! The fixed part of a call and the codes of its steps.
//! Owns: the prelude's layout, what is wanted, the step codes. Must not know: how a step is taken.

use std::time::Duration;

use crate::ids::ObjectId;
use crate::violation::Violation;

/// What the caller wants of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Want {
    /// A copy, or a reference where it cannot be copied.
    #[default]
    Auto = 0,
    /// A copy; that it cannot be copied is an error.
    Value = 1,
    /// A reference in any case.
    Reference = 2,
    /// No answer at all, not even of a failure: a post.
    Nothing = 3,
    /// The result is iterated and its items are pushed under credit.
    Stream = 4,
}

impl Want {
    /// The want with this code on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Auto,
            1 => Self::Value,
            2 => Self::Reference,
            3 => Self::Nothing,
            4 => Self::Stream,
            _ => return None,
        })
    }

    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The kind of one step of a path. The operands follow it as values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Read an attribute: `name`.
    Attribute = 0,
    /// Look up an item: `key`.
    Item = 1,
    /// Call it: `args` (list) and `kwargs` (map), or one pickle of both.
    Call = 2,
    /// Set an attribute: `name`, `value`.
    SetAttribute = 3,
    /// Delete an attribute: `name`.
    DeleteAttribute = 4,
    /// Set an item: `key`, `value`.
    SetItem = 5,
    /// Delete an item: `key`.
    DeleteItem = 6,
    /// Perform an [`Operation`](crate::Operation): its code, a list of operands.
    Operate = 7,
    /// No operands: where the last step before it is missing, the call fails with the kind MISSING.
    GetDefault = 8,
    /// Go on from this value instead: `value`.
    Start = 9,
    /// Go on from the answer that the receiver got to a call of its own: its id.
    Answer = 10,
}

impl Op {
    /// Every step, in order of its code.
    pub const ALL: [Self; 11] = [
        Self::Attribute,
        Self::Item,
        Self::Call,
        Self::SetAttribute,
        Self::DeleteAttribute,
        Self::SetItem,
        Self::DeleteItem,
        Self::Operate,
        Self::GetDefault,
        Self::Start,
        Self::Answer,
    ];

    /// The step with this code, as it stands in a body.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Its code, to be written as an integer value.
    #[must_use]
    pub fn code(self) -> i64 {
        self as i64
    }
}

/// The first 16 bytes of a call's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallHead {
    /// The receiver's object that the path starts from.
    pub target: ObjectId,
    /// The time that is left, sent in whole milliseconds (rounded up, at most 49 days); None: no limit.
    pub deadline: Option<Duration>,
    /// What the caller wants of the result.
    pub want: Want,
    /// How many steps follow.
    pub steps: u16,
}

impl CallHead {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// Appends it to a body.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// Writes it over the head that `body` begins with. Does nothing where there is none.
    #[inline]
    pub fn overwrite(&self, body: &mut [u8]) {
        if let Some(place) = body.first_chunk_mut() {
            *place = self.to_bytes();
        }
    }

    /// Reads the head that `body` begins with.
    ///
    /// # Errors
    /// [`Violation`] if it is cut short, or uses a want or a field that is not known.
    #[inline]
    pub fn read(body: &[u8]) -> Result<Self, Violation> {
        let Some(&[t0, t1, t2, t3, t4, t5, t6, t7, d0, d1, d2, d3, want, reserved, s0, s1]) = body.first_chunk() else {
            return Err(Violation::ShortCall { len: body.len() });
        };
        let (Some(want), 0) = (Want::from_code(want), reserved) else {
            return Err(Violation::BadCallHead);
        };
        let deadline = u32::from_le_bytes([d0, d1, d2, d3]);
        Ok(Self {
            target: ObjectId(u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
            deadline: (deadline != 0).then(|| Duration::from_millis(u64::from(deadline))),
            want,
            steps: u16::from_le_bytes([s0, s1]),
        })
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0..8].copy_from_slice(&self.target.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.deadline.map_or(0, to_millis).to_le_bytes());
        out[12] = self.want.code();
        out[14..16].copy_from_slice(&self.steps.to_le_bytes());
        out
    }
}

/// Rounded up, so that a deadline is never met early; never 0, which would mean none.
fn to_millis(left: Duration) -> u32 {
    let millis = left.as_nanos().div_ceil(1_000_000).max(1);
    u32::try_from(millis).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> CallHead {
        CallHead { target: ObjectId(9), deadline: Some(Duration::from_millis(250)), want: Want::Stream, steps: 3 }
    }

    #[test]
    fn head_survives_the_wire() {
        let mut body = vec![];
        head().write(&mut body);

        assert_eq!(body.len(), CallHead::LEN);
        assert_eq!(CallHead::read(&body), Ok(head()));
    }

    #[test]
    fn overwrite_replaces_only_the_head() {
        let mut body = vec![];
        head().write(&mut body);
        body.push(0xc0);
        let other = CallHead { deadline: None, ..head() };

        other.overwrite(&mut body);

        assert_eq!(CallHead::read(&body), Ok(other));
        assert_eq!(body.last(), Some(&0xc0));
    }

    #[test]
    fn deadline_that_has_passed_is_not_taken_for_none() {
        assert_eq!(to_millis(Duration::ZERO), 1);
        assert_eq!(to_millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(to_millis(Duration::MAX), u32::MAX);
    }

    #[test]
    fn malformed_heads_are_refused() {
        let mut body = vec![];
        head().write(&mut body);
        let with = |at: usize, value: u8| {
            let mut body = body.clone();
            body[at] = value;
            CallHead::read(&body)
        };

        assert_eq!(with(12, 5), Err(Violation::BadCallHead));
        assert_eq!(with(13, 1), Err(Violation::BadCallHead));
        assert_eq!(CallHead::read(&body[..15]), Err(Violation::ShortCall { len: 15 }));
    }

    #[test]
    fn every_code_has_one_meaning() {
        for code in -1..=11 {
            assert!(Op::from_code(code).is_none_or(|op| op.code() == code));
        }
        assert_eq!(Op::from_code(11), None);
        for code in 0..=u8::MAX {
            assert!(Want::from_code(code).is_none_or(|want| want.code() == code));
        }
    }
}
