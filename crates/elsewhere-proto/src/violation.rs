//! What can go wrong on a connection, and who must act.
//! Owns: the error types of the connection. Must not know: how they are told to people in Python.

use crate::ids::{CallId, ObjectId};
use crate::message::frame::Kind;

/// The peer broke the protocol. The connection is over: send what is queued (the reason), then end the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The stream does not begin as one of ours.
    #[error("the peer does not speak this protocol")]
    NotOurs,
    /// The peer speaks another version.
    #[error("the peer speaks protocol version {theirs}, this side speaks version {ours}")]
    Version {
        /// Its version.
        theirs: u32,
        /// Our version.
        ours: u32,
    },
    /// The peer lacks what this version requires.
    #[error("the peer lacks the capability {name}")]
    MissingCapability {
        /// What is missing.
        name: &'static str,
    },
    /// Its hello cannot be read.
    #[error("the hello of the peer cannot be read")]
    BadHello,
    /// Something came before hello.
    #[error("a frame of kind {kind:?} came before hello")]
    BeforeHello {
        /// What came.
        kind: Kind,
    },
    /// A second hello.
    #[error("a second hello")]
    SecondHello,
    /// A kind that this version does not have.
    #[error("frame of unknown kind {kind}")]
    UnknownKind {
        /// The code.
        kind: u8,
    },
    /// A flag that is reserved, or not allowed with this kind.
    #[error("frame with flags {flags:#x}, which are not agreed")]
    UnknownFlag {
        /// All flags of the frame.
        flags: u8,
    },
    /// Buffers, which were not agreed.
    #[error("frame with buffers, which are not agreed")]
    BuffersNotAgreed,
    /// A frame is longer than its kind allows.
    #[error("a frame of kind {kind:?} with {len} bytes, allowed are {max}")]
    FrameTooLong {
        /// What came.
        kind: Kind,
        /// The announced length.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// A chunk that carries nothing.
    #[error("an empty chunk of kind {kind:?}")]
    EmptyChunk {
        /// What came.
        kind: Kind,
    },
    /// A message, or all unfinished messages together, exceed the limit.
    #[error("unfinished messages of {len} bytes, allowed are {max}")]
    MessageTooLarge {
        /// Bytes received so far.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// What came does not fit into the memory of this side. The peer has broken nothing; its message cannot be kept, and is
    /// none that only one call would miss.
    #[error("no memory for a message of {len} bytes or more")]
    NoMemory {
        /// Bytes that were to be kept.
        len: usize,
    },
    /// More messages were begun than can be open.
    #[error("more than {max} unfinished messages")]
    TooManyMessages {
        /// What is allowed.
        max: usize,
    },
    /// A call without a complete head.
    #[error("a call of {len} bytes, shorter than its head")]
    ShortCall {
        /// Its length.
        len: usize,
    },
    /// The head of a call has an unknown want or a reserved byte in use.
    #[error("a call with a malformed head")]
    BadCallHead,
    /// A call id that was used before, or whose slot is taken.
    #[error("call {call} reuses an id or a slot")]
    ReusedCall {
        /// The id.
        call: CallId,
    },
    /// More calls or bytes than the window allows.
    #[error("the peer exceeded the window of calls")]
    WindowExceeded,
    /// A call after CLOSE.
    #[error("call {call} after close")]
    CallAfterClose {
        /// The id.
        call: CallId,
    },
    /// CLOSE with an unfinished call, or a second one.
    #[error("close out of order")]
    BadClose,
    /// An answer to a call that is not open.
    #[error("an answer to call {call}, which is not open")]
    UnknownAnswer {
        /// The id.
        call: CallId,
    },
    /// Items of a call that is no stream, or more than were granted.
    #[error("items of call {call} without credit")]
    NoCredit {
        /// The id.
        call: CallId,
    },
    /// Cancel or credit of a call that never came.
    #[error("call {call} was never made")]
    UnknownCall {
        /// The id.
        call: CallId,
    },
    /// More credit than can be counted, for a call that is no stream, or for posts that were not made.
    #[error("credit that cannot be granted to call {call}")]
    BadCredit {
        /// The id; 0 for posts.
        call: CallId,
    },
    /// A malformed FORGET.
    #[error("a malformed forget")]
    BadForget,
    /// A malformed RELEASE.
    #[error("a malformed release")]
    BadRelease,
    /// A reference let go of that was never held.
    #[error("the peer released object {object} more often than it held it")]
    UnknownObject {
        /// The object.
        object: ObjectId,
    },
    /// A PONG that nobody asked for.
    #[error("a pong without ping")]
    UnknownPong,
    /// So many pings that the answers cannot leave.
    #[error("too many pings")]
    PingFlood,
    /// Text that is not UTF-8.
    #[error("text that is not utf-8")]
    BadText,
    /// Bytes after GOAWAY with the reason of a violation, or after one was found.
    #[error("the connection is over")]
    Over,
}

/// Why a call was not accepted. Nothing of it is on the wire; its outcome is `not_started`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    /// As many calls or bytes as allowed are unanswered. Try again when an answer came.
    #[error("too many calls are waiting for their answers")]
    WindowFull,
    /// One side is going away. Make the call elsewhere.
    #[error("the connection is closing")]
    Closing,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
    /// The peer takes no message of this size. Make it smaller.
    #[error("a message of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that may be sent.
        max: usize,
    },
    /// The body does not begin with a call head: a bug of the caller.
    #[error("the body does not begin with a call head")]
    NoHead,
}

/// Why an answer was not accepted. Nothing of it is on the wire; take back the references that it offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerRefused {
    /// Nobody waits: the call is answered already, was a post, or the connection is over.
    #[error("nobody waits for this answer")]
    NotOpen,
    /// The peer takes no message of this size. Answer with an error instead.
    #[error("a message of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that may be sent.
        max: usize,
    },
    /// The peer granted fewer items than this. Wait for credit.
    #[error("{count} items, but only {granted} are granted")]
    NoCredit {
        /// How many were to be sent.
        count: u32,
        /// How many may be.
        granted: u32,
    },
}

/// The peer holds no reference to this object any more; export it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("object {object} is not exported")]
pub struct UnknownExport {
    /// The object.
    pub object: ObjectId,
}

/// Why a side goes away, as a code that the peer may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(pub u32);

impl Reason {
    /// An orderly end.
    pub const SHUTDOWN: Self = Self(0);
    /// The peer broke the protocol.
    pub const VIOLATION: Self = Self(1);
    /// No common version of the protocol.
    pub const VERSION: Self = Self(2);
    /// Too much to do.
    pub const OVERLOADED: Self = Self(3);
}

impl Violation {
    /// The code that the peer is told.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NotOurs | Self::Version { .. } | Self::MissingCapability { .. } | Self::BadHello => Reason::VERSION,
            Self::NoMemory { .. } => Reason::OVERLOADED,
            _ => Reason::VIOLATION,
        }
    }
}
