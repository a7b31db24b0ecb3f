//! What a Rust program is told when a call fails.
//! Owns: the error type of the Rust API. Must not know: why.

use std::sync::Arc;

use elsewhere_proto::codec::CodecError;
use elsewhere_proto::{ErrorRecord, Outcome};

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

/// As Python shows an exception: its class, what it says, and where it was raised there.
fn describe(record: &ErrorRecord) -> String {
    let ErrorRecord { module, qualname, message, traceback, .. } = record;
    let class = match (module.as_str(), qualname.as_str()) {
        (_, "") => String::new(),
        ("builtins" | "", name) => format!("{name}: "),
        (module, name) => format!("{module}.{name}: "),
    };
    if traceback.is_empty() { format!("{class}{message}") } else { format!("{class}{message}\n{traceback}") }
}
