//! What two peers say to each other.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
mod connection;
mod ids;
mod message;
mod violation;

pub use codec::{Limits, offered_references};
pub use connection::event::{Event, IncomingCall};
pub use connection::{Config, Connection, State, Stats, WINDOW_BYTES, WINDOW_CALLS};
pub use ids::{CallId, ChainId, LaneId, ObjectId, Timestamp};
pub use message::call::{CallHead, Op, Want};
pub use message::error_record::{ErrorKind, ErrorRecord, Outcome};
pub use message::frame::{CHUNK_MAX, HEADER_LEN, Kind};
pub use message::hello::{Capabilities, HELLO_MAX, Hello, MAGIC, VERSION};
pub use message::operation::Operation;
pub use violation::{AnswerRefused, CallRefused, Reason, UnknownExport, Violation};
