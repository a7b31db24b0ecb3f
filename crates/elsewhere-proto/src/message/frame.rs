//! The header of every frame.
//! Owns: its layout, the kinds and flags. Must not know: what the body says.

use crate::violation::Violation;

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 32;
/// The longest body of one frame, in bytes; longer messages go as several frames.
pub const CHUNK_MAX: usize = 256 * 1024;

/// The unit in which a frame tells the size of the buffers that its call names, in bytes.
pub const WEIGHT_UNIT: usize = 64 * 1024;

/// The weight of buffers of so many bytes together.
#[must_use]
pub fn weight_of(bytes: usize) -> u16 {
    u16::try_from(bytes.div_ceil(WEIGHT_UNIT)).unwrap_or(u16::MAX)
}

/// What buffers of this weight count for against the window, in bytes.
pub(crate) fn counted(weight: u16) -> usize {
    usize::from(weight).saturating_mul(WEIGHT_UNIT)
}

/// Another frame of the same message follows.
pub(crate) const FLAG_MORE: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Who we are; the first frame each way.
    Hello = 1,
    /// Evaluate a path.
    Call = 2,
    /// The value of a call.
    Reply = 3,
    /// The failure of a call.
    Error = 4,
    /// The caller gives up.
    Cancel = 5,
    /// References that are let go of.
    Release = 6,
    /// Items of a stream.
    Items = 7,
    /// How many more items, or posts, may come.
    Credit = 8,
    /// Are you there?
    Ping = 9,
    /// Yes.
    Pong = 10,
    /// Nothing after this call is accepted.
    GoAway = 11,
    /// The sender makes no more calls.
    Close = 12,
    /// Memory that is not named any more.
    Forget = 13,
}

impl Kind {
    /// Every kind, in order of its code.
    pub const ALL: [Self; 13] = [
        Self::Hello,
        Self::Call,
        Self::Reply,
        Self::Error,
        Self::Cancel,
        Self::Release,
        Self::Items,
        Self::Credit,
        Self::Ping,
        Self::Pong,
        Self::GoAway,
        Self::Close,
        Self::Forget,
    ];

    /// The kind with this code on the wire.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether a message of this kind may go as several frames.
    pub(crate) fn may_be_chunked(self) -> bool {
        matches!(self, Self::Call | Self::Reply | Self::Error | Self::Items)
    }
}

/// The first 32 bytes of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of body that follow; at most [`CHUNK_MAX`].
    pub(crate) len: usize,
    pub(crate) kind: Kind,
    pub(crate) has_more: bool,
    /// Size of the buffers that a call names, in units of [`WEIGHT_UNIT`], rounded up.
    pub(crate) weight: u16,
    pub(crate) id: u64,
    pub(crate) chain: u64,
    pub(crate) lane: u32,
    pub(crate) number: u32,
}

impl Header {
    /// A header without a body, of which only kind and id count.
    pub(crate) fn bare(kind: Kind, id: u64) -> Self {
        Self { len: 0, kind, has_more: false, weight: 0, id, chain: 0, lane: 0, number: 0 }
    }

    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        debug_assert!(self.len <= CHUNK_MAX, "a frame of {} bytes", self.len);
        let mut out = [0; HEADER_LEN];
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        out[0..4].copy_from_slice(&len.to_le_bytes());
        out[4] = self.kind.code();
        out[5] = if self.has_more { FLAG_MORE } else { 0 };
        out[6..8].copy_from_slice(&self.weight.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.to_le_bytes());
        out[16..24].copy_from_slice(&self.chain.to_le_bytes());
        out[24..28].copy_from_slice(&self.lane.to_le_bytes());
        out[28..32].copy_from_slice(&self.number.to_le_bytes());
        out
    }

    /// Reads a header and checks everything that can be checked without knowing the connection.
    ///
    /// # Errors
    /// [`Violation`] for an unknown kind or flag, a reserved field in use, or a body that is too long for its kind.
    #[inline]
    pub(crate) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, Violation> {
        let &[l0, l1, l2, l3, kind, flags, b0, b1, ref rest @ ..] = bytes;
        let kind = Kind::from_code(kind).ok_or(Violation::UnknownKind { kind })?;
        if flags & !FLAG_MORE != 0 || (flags != 0 && !kind.may_be_chunked()) {
            return Err(Violation::UnknownFlag { flags });
        }
        let weight = u16::from_le_bytes([b0, b1]);
        if weight != 0 && kind != Kind::Call {
            return Err(Violation::BuffersNotAgreed);
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let &[i0, i1, i2, i3, i4, i5, i6, i7, c0, c1, c2, c3, c4, c5, c6, c7, a0, a1, a2, a3, n0, n1, n2, n3] = rest;
        let header = Self {
            len: usize::try_from(len).unwrap_or(usize::MAX),
            kind,
            has_more: flags & FLAG_MORE != 0,
            weight,
            id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            chain: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            lane: u32::from_le_bytes([a0, a1, a2, a3]),
            number: u32::from_le_bytes([n0, n1, n2, n3]),
        };
        header.check_len()?;
        Ok(header)
    }

    fn check_len(&self) -> Result<(), Violation> {
        let max = match self.kind {
            Kind::Call | Kind::Reply | Kind::Error | Kind::Items | Kind::Release | Kind::Forget => CHUNK_MAX,
            Kind::Hello => super::hello::HELLO_MAX,
            Kind::GoAway => GO_AWAY_TEXT_MAX,
            Kind::Cancel | Kind::Credit | Kind::Ping | Kind::Pong | Kind::Close => 0,
        };
        if self.len > max {
            return Err(Violation::FrameTooLong { kind: self.kind, len: self.len, max });
        }
        // An empty chunk would let a peer send for ever without ever filling a message.
        if self.has_more && self.len == 0 {
            return Err(Violation::EmptyChunk { kind: self.kind });
        }
        Ok(())
    }
}

/// The longest text of a GOAWAY, in bytes; longer ones are cut by the sender.
pub(crate) const GO_AWAY_TEXT_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_code() {
        for code in 0..=u8::MAX {
            let kind = Kind::from_code(code);

            assert_eq!(kind.is_some(), (1..=13).contains(&code));
            assert!(kind.is_none_or(|kind| kind.code() == code));
        }
    }

    #[test]
    fn header_survives_the_wire() {
        let header = Header {
            len: CHUNK_MAX,
            kind: Kind::Items,
            has_more: true,
            weight: 0,
            id: u64::MAX - 1,
            chain: 7,
            lane: 8,
            number: 9,
        };

        assert_eq!(Header::from_bytes(&header.to_bytes()), Ok(header));
        let call = Header { kind: Kind::Call, weight: 0x1234, ..header };
        assert_eq!(Header::from_bytes(&call.to_bytes()), Ok(call));
    }

    #[test]
    fn reserved_fields_in_use_are_refused() {
        let good = Header::bare(Kind::Call, 1).to_bytes();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::from_bytes(&bytes).unwrap_err()
        };

        assert_eq!(with(5, 2), Violation::UnknownFlag { flags: 2 });
        assert_eq!(with(4, 14), Violation::UnknownKind { kind: 14 });
        assert_eq!(with(5, 1), Violation::EmptyChunk { kind: Kind::Call });
        assert!(matches!(with(3, 1), Violation::FrameTooLong { .. }));
    }

    #[test]
    fn only_calls_have_a_weight() {
        let mut bytes = Header::bare(Kind::Reply, 1).to_bytes();
        bytes[7] = 1;

        assert_eq!(Header::from_bytes(&bytes), Err(Violation::BuffersNotAgreed));
    }

    #[test]
    fn only_messages_with_values_may_be_chunked() {
        let mut bytes = Header::bare(Kind::Ping, 1).to_bytes();
        bytes[5] = FLAG_MORE;

        assert_eq!(Header::from_bytes(&bytes), Err(Violation::UnknownFlag { flags: FLAG_MORE }));
    }
}
