//! What a connection tells its owner.
//! Owns: the events. Must not know: who is told, and how.

use crate::ids::{CallId, ChainId, LaneId, ObjectId, Timestamp};
use crate::message::call::CallHead;
use crate::message::error_record::Outcome;
use crate::message::forget::Forgotten;
use crate::message::hello::Hello;
use crate::violation::Reason;

/// What happened, in the order of the stream. `T` is what the caller hung on its call.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    /// The hello of the peer came.
    Established(Hello),
    /// A call of ours ended with a value.
    Reply {
        /// The call.
        call: CallId,
        /// What was hung on it.
        token: T,
        /// One value.
        body: Vec<u8>,
    },
    /// A call of ours ended with an error.
    Failed {
        /// The call.
        call: CallId,
        /// What was hung on it.
        token: T,
        /// One [`ErrorRecord`](crate::ErrorRecord).
        body: Vec<u8>,
    },
    /// Items of a stream that a call of ours opened.
    Items {
        /// The call.
        call: CallId,
        /// What was hung on it; the call is still open.
        token: T,
        /// How many values the body holds.
        count: u32,
        /// The values, one after another.
        body: Vec<u8>,
    },
    /// Values that nobody wants any more: an answer or items of a call that was given up, or a call that came after our
    /// GOAWAY. Release what they offer, see [`offered_references`](crate::offered_references).
    Late {
        /// The call.
        call: CallId,
        /// What was hung on it; None for a call of the peer.
        token: Option<T>,
        /// What the answer tells of the call that was given up; None where these are items, or a call.
        outcome: Option<Outcome>,
        /// Values, one after another.
        body: Vec<u8>,
    },
    /// The deadline of a call of ours passed. The peer is asked to give up; what it still answers becomes
    /// [`Late`](Self::Late).
    TimedOut {
        /// The call.
        call: CallId,
        /// What was hung on it.
        token: T,
    },
    /// A call of ours ended without an answer.
    Lost {
        /// The call.
        call: CallId,
        /// What was hung on it.
        token: T,
        /// What is known of it.
        outcome: Outcome,
    },
    /// The peer calls.
    Call(IncomingCall),
    /// The peer gave up on a call that is not answered yet. It must be answered all the same.
    Cancelled {
        /// The call.
        call: CallId,
        /// Whether a running method is to be interrupted.
        interrupt: bool,
    },
    /// The peer takes `n` more items of a stream that its call opened.
    Credit {
        /// The call.
        call: CallId,
        /// How many more.
        n: u32,
    },
    /// The peer waits for items of a stream inside this chain, and not in that of the call.
    Awaited {
        /// The call.
        call: CallId,
        /// The chain, not 0.
        chain: ChainId,
    },
    /// The peer holds no reference to this object of ours any more.
    Released {
        /// The object.
        object: ObjectId,
    },
    /// The peer does not name this memory any more.
    Forgotten(Forgotten),
    /// The answer to a ping.
    Pong {
        /// What the ping carried.
        token: u64,
    },
    /// The peer goes away. Calls of ours above `last` are told behind it as [`Lost`](Self::Lost), not started.
    GoAway {
        /// The last call that it accepts.
        last: CallId,
        /// Why, as a code.
        reason: Reason,
        /// Why, in words.
        text: String,
    },
    /// The peer makes no more calls; it waits for its answers and ends.
    Closing,
}

/// A call of the peer, complete. It is answered once, by `reply` or `fail`; a post, which wants nothing, by `finish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingCall {
    /// Its id, to answer with.
    pub call: CallId,
    /// The lane of the caller.
    pub lane: LaneId,
    /// Its number within the lane.
    pub number: u32,
    /// Its chain.
    pub chain: ChainId,
    /// Target, deadline, what is wanted.
    pub head: CallHead,
    /// When it must have been begun; None: at any time.
    pub expires: Option<Timestamp>,
    /// The steps: codes and operands as values, one after another.
    pub body: Vec<u8>,
    /// How many bytes of steps came that there was no memory for: then there are none, and the call has to be refused. 0 for
    /// any other.
    pub gone: usize,
}

impl IncomingCall {
    /// The steps: codes and operands as values, one after another.
    #[must_use]
    pub fn steps(&self) -> &[u8] {
        &self.body
    }
}
