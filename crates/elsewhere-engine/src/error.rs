//! What can go wrong between two peers, and who must act.
//! Owns: the engine's error types. Must not know: Python's exceptions, which the binding makes of them.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use elsewhere_proto::Outcome;

/// How a process ended. Both are None when somebody else collected its status first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

impl Exit {
    /// Whether it exited by itself with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.signal, self.code) {
            (Some(signal), _) => write!(out, "ended by signal {signal}"),
            (None, Some(code)) => write!(out, "ended with exit code {code}"),
            (None, None) => write!(out, "ended with an unknown exit code"),
        }
    }
}

/// Why a link is no more. Told once for each call that was open, and again for each use afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The process behind the link ended and nobody here had asked for it.
    #[error("process {pid} {}", Exit { code: *exit_code, signal: *signal })]
    Died {
        /// Its process id.
        pid: u32,
        /// The exit code, if it exited.
        exit_code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// The last bytes it wrote to stderr, at most 4 KiB.
        stderr_tail: Vec<u8>,
        /// Whether code and signal are not known because the zygote that it was forked from ended first.
        is_untold: bool,
    },
    /// The stream ended; the peer may still live.
    #[error("the connection ended: {reason}")]
    Disconnected {
        /// What was seen.
        reason: String,
    },
    /// It was closed from this side.
    #[error("the connection was closed here")]
    Closed,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {text}")]
    Violated {
        /// The broken rule.
        text: String,
    },
    /// The peer went away with a reason.
    #[error("the peer refused to go on: {text}")]
    Refused {
        /// The peer's words.
        text: String,
    },
}

/// Why a call was not accepted. None of these left anything on the wire: the outcome is always `not_started`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// 1,024 calls are unanswered, or 64 MiB and this one is not short. Use
    /// [`Link::wait_window`](crate::Link::wait_window) and try again.
    #[error("too many calls are waiting for their answers")]
    WindowFull,
    /// The message exceeds the limit of the connection.
    #[error("a message of {len} bytes is over the limit of {max} bytes")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that may be sent.
        max: usize,
    },
    /// The body does not begin with a call head: a mistake of the caller.
    #[error("the body does not begin with a call head")]
    NoHead,
    /// The link was closed here, or its peer accepts nothing new.
    #[error("the connection is closing")]
    Closing,
    /// The link is no more.
    #[error("{0}")]
    Lost(Arc<Loss>),
    /// The link belongs to the process that this one was forked from.
    #[error("this connection belongs to the process that this one was forked from")]
    Forked,
}

/// Why a process did not become a host. It is gone and reaped when this is told.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be started at all.
    #[error("cannot start {program}: {error}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The process ended before it said hello.
    #[error("process {pid} {exit} before it was ready")]
    Ended {
        /// Its process id.
        pid: u32,
        /// How it ended.
        exit: Exit,
        /// The last bytes it wrote to stderr, at most 4 KiB.
        stderr_tail: Vec<u8>,
    },
    /// The process said no hello in time and was killed.
    #[error("process {pid} was not ready after {} s", after.as_secs_f32())]
    TimedOut {
        /// Its process id.
        pid: u32,
        /// The time it was given.
        after: Duration,
        /// The last bytes it wrote to stderr, at most 4 KiB.
        stderr_tail: Vec<u8>,
    },
    /// What it said first was no hello of ours.
    #[error("process {pid} does not speak this protocol: {text}")]
    Protocol {
        /// Its process id.
        pid: u32,
        /// The broken rule.
        text: String,
        /// The last bytes it wrote to stderr, at most 4 KiB.
        stderr_tail: Vec<u8>,
    },
}

/// How a call ended, or what is known of it when it did not.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// The body of the reply: one value.
    Reply(Vec<u8>),
    /// The body of the error: one error record.
    Error(Vec<u8>),
    /// The link ended first.
    Lost {
        /// Why.
        loss: Arc<Loss>,
        /// What is known of the call.
        outcome: Outcome,
    },
    /// The deadline of the call passed first.
    TimedOut,
    /// It was cancelled here.
    Cancelled,
}
