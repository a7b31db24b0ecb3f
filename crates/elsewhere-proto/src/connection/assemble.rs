//! Bytes of the stream become frames, frames become messages.
//! Owns: what came in part. Must not know: what a message means; each header is shown to the connection before its
//! body is kept.

use crate::message::call::CallHead;
use crate::message::frame::{HEADER_LEN, Header, Kind};
use crate::violation::Violation;

/// The body of a whole message: still in the caller's buffer, gathered, or let go because there was no memory for it.
pub(super) enum Body<'a> {
    Here(&'a [u8]),
    Gathered { bytes: Vec<u8>, head: Option<CallHead> },
    Gone { len: usize, head: Option<CallHead> },
}

impl Body<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Gathered { bytes, .. } => bytes,
            Self::Gone { .. } => &[],
        }
    }

    /// How many bytes came and are gone.
    pub(super) fn gone(&self) -> usize {
        if let Self::Gone { len, .. } = self { *len } else { 0 }
    }

    /// The bytes, kept.
    ///
    /// # Errors
    /// [`Violation::NoMemory`].
    pub(super) fn into_vec(self) -> Result<Vec<u8>, Violation> {
        match self {
            Self::Here(bytes) => kept(bytes),
            Self::Gathered { bytes, .. } => Ok(bytes),
            Self::Gone { len, .. } => Err(Violation::NoMemory { len }),
        }
    }

    /// The head of a call, and the rest; nothing of what is gone.
    ///
    /// # Errors
    /// [`Violation`] if there is no head, or no memory.
    pub(super) fn into_call(self) -> Result<(CallHead, Vec<u8>), Violation> {
        match self {
            Self::Here(bytes) => {
                let head = CallHead::read(bytes)?;
                Ok((head, kept(bytes.get(CallHead::LEN..).unwrap_or_default())?))
            }
            Self::Gathered { bytes, head: Some(head) } => Ok((head, bytes)),
            Self::Gathered { mut bytes, head: None } => Ok((take_head(&mut bytes)?, bytes)),
            Self::Gone { head: Some(head), .. } => Ok((head, Vec::new())),
            Self::Gone { len, head: None } => Err(Violation::ShortCall { len }),
        }
    }
}

/// A copy of what is only lent.
#[inline]
fn kept(bytes: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut own = Vec::new();
    own.try_reserve_exact(bytes.len()).map_err(|_| Violation::NoMemory { len: bytes.len() })?;
    own.extend_from_slice(bytes);
    Ok(own)
}

fn take_head(bytes: &mut Vec<u8>) -> Result<CallHead, Violation> {
    let head = CallHead::read(bytes)?;
    bytes.drain(..CallHead::LEN);
    Ok(head)
}

/// What was made of some bytes.
pub(super) enum Step<'a> {
    /// All bytes are used, nothing is complete.
    Hungry,
    /// A header; the connection says whether its body may come.
    Header(Header),
    /// A frame that is a message by itself, or the last of one.
    Message(Header, Body<'a>),
}

#[derive(Debug)]
pub(super) struct Assembler {
    partial: [u8; HEADER_LEN],
    filled: usize,
    frame: Option<Frame>,
    unfinished: Vec<Unfinished>,
    /// Bytes in `unfinished`.
    kept: usize,
    max_message: usize,
    grow: fn(&mut Vec<u8>, usize) -> bool,
}

/// The frame whose body is coming.
#[derive(Debug)]
struct Frame {
    header: Header,
    /// What came of it, behind what came of its message before.
    body: Vec<u8>,
    /// Bytes of the message that were let go; then all of it is.
    gone: usize,
    head: Option<CallHead>,
    left: usize,
    is_more_of_one: bool,
}

/// A message of which not all frames came.
#[derive(Debug)]
struct Unfinished {
    first: Header,
    head: Option<CallHead>,
    body: Vec<u8>,
    gone: usize,
}

impl Assembler {
    pub(super) fn new(max_message: usize, grow: fn(&mut Vec<u8>, usize) -> bool) -> Self {
        Self { partial: [0; HEADER_LEN], filled: 0, frame: None, unfinished: Vec::new(), kept: 0, max_message, grow }
    }

    /// Whether the message that this frame belongs to was begun by an earlier frame.
    pub(super) fn is_begun(&self, header: &Header) -> bool {
        self.unfinished.iter().any(|message| is_same(&message.first, header))
    }

    /// Takes what it can use off the front of `bytes`. After [`Step::Header`] either [`expect`](Self::expect) or nothing
    /// at all must follow.
    ///
    /// # Errors
    /// [`Violation`] by the header alone, or by the head of a call.
    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Step<'a>, Violation> {
        if self.frame.is_some() {
            return self.fill(bytes);
        }
        if self.filled == 0
            && let Some((header, rest)) = bytes.split_first_chunk()
        {
            *bytes = rest;
            return Header::from_bytes(header).map(Step::Header);
        }
        self.fill_header(bytes)
    }

    fn fill_header<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Step<'a>, Violation> {
        let place = self.partial.get_mut(self.filled..).unwrap_or_default();
        let count = place.len().min(bytes.len());
        let (now, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        place.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        *bytes = rest;
        self.filled = self.filled.saturating_add(count);
        if self.filled < HEADER_LEN {
            return Ok(Step::Hungry);
        }
        self.filled = 0;
        Header::from_bytes(&self.partial).map(Step::Header)
    }

    /// The body of this header may come. Gives it at once where it is a whole message and all there.
    ///
    /// # Errors
    /// [`Violation::MessageTooLarge`], [`Violation::NoMemory`].
    #[inline]
    pub(super) fn expect<'a>(&mut self, header: Header, bytes: &mut &'a [u8]) -> Result<Step<'a>, Violation> {
        let is_whole = !header.has_more && (self.unfinished.is_empty() || !self.is_begun(&header));
        if is_whole && let Some((body, rest)) = bytes.split_at_checked(header.len) {
            *bytes = rest;
            return Ok(Step::Message(header, Body::Here(body)));
        }
        self.begin_frame(header, is_whole)?;
        self.fill(bytes)
    }

    fn begin_frame(&mut self, header: Header, is_whole: bool) -> Result<(), Violation> {
        let mut frame =
            Frame { header, body: Vec::new(), gone: 0, head: None, left: header.len, is_more_of_one: false };
        if is_whole {
            // At most a chunk, and less for most kinds.
            frame.body.try_reserve_exact(header.len).map_err(|_| Violation::NoMemory { len: header.len })?;
        } else {
            let kept = self.kept.saturating_add(header.len);
            if kept > self.max_message {
                return Err(Violation::MessageTooLarge { len: kept, max: self.max_message });
            }
            self.kept = kept;
        }
        if let Some(at) = self.unfinished.iter().position(|message| is_same(&message.first, &header)) {
            let message = self.unfinished.swap_remove(at);
            frame.header = Header { has_more: header.has_more, ..message.first };
            frame.body = message.body;
            frame.gone = message.gone;
            frame.head = message.head;
            frame.is_more_of_one = true;
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn fill<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Step<'a>, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(Step::Hungry) };
        let count = frame.left.min(bytes.len());
        let (now, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        frame.take(now, self.grow)?;
        frame.left = frame.left.saturating_sub(count);
        *bytes = rest;
        if frame.left > 0 {
            return Ok(Step::Hungry);
        }
        let Some(frame) = self.frame.take() else { return Ok(Step::Hungry) };
        self.finish_frame(frame)
    }

    fn finish_frame<'a>(&mut self, frame: Frame) -> Result<Step<'a>, Violation> {
        let Frame { header, mut body, gone, mut head, is_more_of_one, .. } = frame;
        if header.has_more {
            if header.kind == Kind::Call && !is_more_of_one {
                head = Some(take_head(&mut body)?);
                self.kept = self.kept.saturating_sub(CallHead::LEN);
            }
            self.unfinished.push(Unfinished { first: header, head, body, gone });
            return Ok(Step::Hungry);
        }
        if is_more_of_one {
            self.kept = self.kept.saturating_sub(body.len().saturating_add(gone));
        }
        let body = if gone > 0 { Body::Gone { len: gone, head } } else { Body::Gathered { bytes: body, head } };
        Ok(Step::Message(header, body))
    }
}

impl Frame {
    /// Keeps what came. Where there is no memory for it the message is let go, if a call or an answer to one can be without:
    /// that call fails, and nothing else. What the message offers stays with its sender until the connection ends.
    ///
    /// # Errors
    /// [`Violation::NoMemory`].
    fn take(&mut self, now: &[u8], grow: fn(&mut Vec<u8>, usize) -> bool) -> Result<(), Violation> {
        if self.gone == 0 && grow(&mut self.body, now.len()) {
            self.body.extend_from_slice(now);
            return Ok(());
        }
        let len = self.gone.saturating_add(self.body.len()).saturating_add(now.len());
        // Of one that was begun by an earlier frame it is known whom it answers, or who calls.
        let is_dispensable = self.is_more_of_one && matches!(self.header.kind, Kind::Call | Kind::Reply | Kind::Error);
        if !is_dispensable {
            return Err(Violation::NoMemory { len });
        }
        self.body = Vec::new();
        self.gone = len;
        Ok(())
    }
}

/// Whether both are of one message. Answers to a call do not interleave with each other, so a frame of another kind is
/// of another message only for another id or the other direction.
fn is_same(first: &Header, other: &Header) -> bool {
    first.id == other.id && first.kind == other.kind
}
