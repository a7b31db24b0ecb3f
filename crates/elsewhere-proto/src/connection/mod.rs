//! One side of a connection: bytes in, bytes out, events, and the operations of this side.
//! Owns: all tables and their order of change. Must not know: sockets, clocks, threads, Python; time comes in as `now`.
//!
//! Parts: `assemble` makes messages of bytes and `transmit` bytes of messages, which `body` says where they lie; `calls` and `answers` are the calls of
//! this side and of the peer, `exports` and `imports` the objects; `receive` says what each message does to them,
//! `operations` what this side may do, `outcome` what is known of a call that was lost.

mod answers;
mod assemble;
pub(crate) mod body;
mod calls;
pub(crate) mod event;
mod exports;
mod imports;
mod operations;
mod outcome;
mod receive;
mod slots;
mod timers;
mod transmit;

use std::collections::VecDeque;

use crate::codec::Limits;
use crate::ids::{CallId, Timestamp};
use crate::message::hello::Hello;

use answers::Answers;
use assemble::Assembler;
use calls::Calls;
use event::Event;
use exports::Exports;
use imports::Imports;
use transmit::Transmit;

/// How many calls of one side may be unanswered, and how many posts unfinished.
pub const WINDOW_CALLS: usize = slots::SLOTS;
/// A side makes no call while its unanswered calls have this many bytes or more, short ones apart.
pub const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// A call of fewer bytes is short: as many as there may be take no more than [`WINDOW_BYTES`] by themselves.
const LONG_CALL: usize = WINDOW_BYTES / WINDOW_CALLS;

/// How a connection begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this side is. `max_message` in it is replaced by the one of `limits`.
    pub hello: Hello,
    /// What this side accepts.
    pub limits: Limits,
    /// How many calls of this side may be unanswered; at most [`WINDOW_CALLS`].
    pub window_calls: usize,
    /// No call is made while the unanswered ones have this many bytes or more; at most [`WINDOW_BYTES`]. Short calls, each
    /// below a 1,024th of it, neither wait for that nor count.
    pub window_bytes: usize,
    /// Makes room for so many more bytes where a long message is put together. They have come already. Whether there was
    /// memory for that.
    pub grow: fn(&mut Vec<u8>, usize) -> bool,
}

impl Default for Config {
    /// The default hello and limits, the whole window.
    fn default() -> Self {
        Self {
            hello: Hello::default(),
            limits: Limits::default(),
            window_calls: WINDOW_CALLS,
            window_bytes: WINDOW_BYTES,
            grow: |bytes, more| bytes.try_reserve(more).is_ok(),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The hello of the peer did not come yet. Calls may be made.
    Opening,
    /// Both sides may call.
    Open,
    /// This side makes no more calls, or accepts no more: after `close`, `go_away`, or a GOAWAY of the peer.
    Closing,
    /// Nothing comes and nothing can be done any more.
    Over,
}

/// How much is in the tables, and what has gone through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of this side without an answer, those included that nobody waits for.
    pub calls: usize,
    /// Posts of this side that the peer did not report as finished. It reports them late.
    pub posts: usize,
    /// Calls of the peer without an answer, posts included.
    pub answers: usize,
    /// Objects of this side that the peer may name.
    pub exports: usize,
    /// Objects of the peer that this side names.
    pub imports: usize,
    /// Calls that this side has made so far, posts included.
    pub calls_made: u64,
    /// Bytes that wait to be sent.
    pub waiting_bytes: usize,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Bytes that were received.
    pub received_bytes: u64,
}

/// One side of a connection. `T` is what the local caller hangs on a call, to be found in the event that ends it.
///
/// After each method that changes something, look at [`poll_transmit`](Self::poll_transmit),
/// [`poll_event`](Self::poll_event) and [`poll_timeout`](Self::poll_timeout), in any order.
#[derive(Debug)]
pub struct Connection<T> {
    config: Config,
    peer: Option<Hello>,
    /// No more calls of ours.
    is_closing: bool,
    /// We told the peer so.
    is_close_sent: bool,
    /// The peer makes no more calls.
    is_peer_closing: bool,
    /// The last call of the peer that is accepted, once we go away.
    last_accepted: Option<u64>,
    is_over: bool,
    input: Assembler,
    output: Transmit,
    calls: Calls<T>,
    answers: Answers,
    exports: Exports,
    imports: Imports,
    events: VecDeque<Event<T>>,
    pings: u32,
    pongs: u32,
    received: u64,
}

impl<T: Clone> Connection<T> {
    /// A new connection; its HELLO is the first thing to send.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut config = config;
        config.hello.max_message = config.limits.max_message;
        let mut output = Transmit::default();
        output.push_bytes(|out| config.hello.write(out));
        Self {
            input: Assembler::new(config.limits.max_message, config.grow),
            config,
            peer: None,
            is_closing: false,
            is_close_sent: false,
            is_peer_closing: false,
            last_accepted: None,
            is_over: false,
            output,
            calls: Calls::new(),
            answers: Answers::default(),
            exports: Exports::default(),
            imports: Imports::default(),
            events: VecDeque::new(),
            pings: 0,
            pongs: 0,
            received: 0,
        }
    }

    /// The bytes to send next. The same until [`transmitted`](Self::transmitted) is told how many of them the stream
    /// took; more may follow then. May change after: every other method.
    #[must_use]
    #[inline]
    pub fn poll_transmit(&mut self) -> Option<&[u8]> {
        self.poll_transmit_parts().map(|[first, second]| if first.is_empty() { second } else { first })
    }

    /// The same with more behind it, for who can send two pieces at once. One of them may be empty; a long second one lies
    /// in the message that it is of.
    #[must_use]
    #[inline]
    pub fn poll_transmit_parts(&mut self) -> Option<[&[u8]; 2]> {
        if !self.is_over {
            self.report_posts();
            let max = self.peer_max_message();
            while let Some(queued) = self.output.refill(max) {
                self.calls.queued(queued.call, queued.end);
            }
        }
        self.output.ready()
    }

    /// The stream took `count` of the bytes that [`poll_transmit`](Self::poll_transmit) gave.
    #[inline]
    pub fn transmitted(&mut self, count: usize) {
        self.output.advance(count);
        if self.output.ready_len() == 0 {
            self.pongs = 0;
        }
    }

    /// How much was sent of the content that a call is written around. None once all of it was, or nothing more will be.
    #[must_use]
    pub fn sent_of(&mut self, call: CallId) -> Option<usize> {
        self.output.sent_of(call)
    }

    /// Lets go of the content that a call is written around. `rest` is what follows its first `from` bytes, of which no more
    /// was sent.
    pub fn keep(&mut self, call: CallId, from: usize, rest: Vec<u8>) {
        self.output.keep(call, from, rest);
    }

    /// How many bytes wait to be sent, those of messages included that are not frames yet.
    #[must_use]
    pub fn transmit_len(&self) -> usize {
        self.output.len()
    }

    /// What happened next. May change after: [`receive`](Self::receive), [`disconnect`](Self::disconnect),
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next. May change after: every method that ends a
    /// call or makes one.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.calls.next_deadline()
    }

    /// How far the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        if self.is_over {
            State::Over
        } else if self.is_closing || self.last_accepted.is_some() {
            State::Closing
        } else if self.peer.is_some() {
            State::Open
        } else {
            State::Opening
        }
    }

    /// Whether the peer said that it makes no more calls.
    #[must_use]
    pub fn is_peer_closing(&self) -> bool {
        self.is_peer_closing
    }

    /// How many calls of this side have no answer, and posts no report that they are finished.
    #[must_use]
    #[inline]
    pub fn unanswered(&self) -> usize {
        self.calls.open().saturating_add(usize::try_from(self.calls.posts()).unwrap_or(usize::MAX))
    }

    /// Who the peer is, once its hello came.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        self.peer.as_ref()
    }

    /// How much is in the tables.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.calls.open(),
            posts: usize::try_from(self.calls.posts()).unwrap_or(usize::MAX),
            answers: self.answers.open(),
            exports: self.exports.len(),
            imports: self.imports.len(),
            calls_made: self.calls.made(),
            waiting_bytes: self.output.len(),
            sent_bytes: self.output.sent(),
            received_bytes: self.received,
        }
    }

    /// The longest message that the peer takes, as far as known, and that this side would make.
    fn peer_max_message(&self) -> usize {
        let ours = self.config.limits.max_message;
        self.peer.as_ref().map_or(ours, |peer| peer.max_message.min(ours))
    }
}
