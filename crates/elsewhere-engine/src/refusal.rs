//! Errors that the engine itself answers with.
//! Owns: their texts. Must not know: Python's exceptions.

use elsewhere_proto::{ErrorKind, ErrorRecord, Outcome};

/// The answer to a call that its caller gave up before anybody began it.
pub(crate) fn cancelled() -> Vec<u8> {
    plain(ErrorKind::Cancelled, "the call was cancelled before it started")
}

/// The answer to a call that this program does not take.
pub(crate) fn refused() -> Vec<u8> {
    plain(ErrorKind::Refused, "this program takes no calls")
}

fn plain(kind: ErrorKind, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let record = ErrorRecord::plain(kind, Outcome::NotStarted, message);
    record.encode(&mut body).expect("the text is short");
    body
}
