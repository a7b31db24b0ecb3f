//! What a Rust program is told when a call fails.
//! Owns: the error type of the Rust API. Must not know: why.

use std::sync::Arc;

use elsewhere_proto::codec::CodecError;
use elsewhere_proto::{ErrorRecord, Outcome, Raised};

use crate::error::{Loss, StartError, SubmitError};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The call was not accepted and has not started.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// The host ended first.
    #[error("{loss}")]
    Lost {
        /// How.
        loss: Arc<Loss>,
        /// What is known of the call.
        outcome: Outcome,
    },
    /// The host answered with an error, most often an exception that the method raised.
    #[error("{}", describe(.0))]
    Raised(Box<ErrorRecord>),
    /// A value is too deep or too long to be sent, or what came is not of the form that was asked for.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Error {
    /// What is known of the call: whether the method began, and whether it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Start(_) | Self::Refused(_) => Outcome::NotStarted,
            Self::Lost { outcome, .. } => *outcome,
            Self::Raised(record) => record.outcome,
            Self::Codec(_) => Outcome::Finished,
        }
    }
}

/// As Python shows an exception: its class, what it says, where it was raised there, and what hangs on it.
fn describe(record: &ErrorRecord) -> String {
    let mut text = describe_one(&record.raised);
    for (role, number) in [("raised from", record.links.cause), ("raised while handling", record.links.context)] {
        if role != "raised from" && (record.links.suppresses_context || record.links.cause.is_some()) {
            continue;
        }
        let at = number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        if let Some(other) = at.and_then(|at| record.related.get(at)) {
            let other = describe_one(&other.raised);
            text = format!("{}\n{role}: {other}", text.trim_end());
        }
    }
    text
}

fn describe_one(Raised { module, qualname, message, traceback, .. }: &Raised) -> String {
    let class = match (module.as_str(), qualname.as_str()) {
        (_, "") => String::new(),
        ("builtins" | "", name) => format!("{name}: "),
        (module, name) => format!("{module}.{name}: "),
    };
    if traceback.is_empty() { format!("{class}{message}") } else { format!("{class}{message}\n{traceback}") }
}
