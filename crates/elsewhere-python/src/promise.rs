//! Futures as targets and arguments before they are settled.
//!
//! Owns: on the side that answers, short answers that a later call may name; on the side that calls, the futures that it
//! may be asked for. Must not know: how values are written, how a future is settled.
//! What an answer is does not depend on when it is used: a reference stands for the object, everything else for a copy.

use std::sync::Arc;

use elsewhere_engine::Pending;
use elsewhere_proto::codec::{self, Limits, Reader, ReferenceHead, Token};
use elsewhere_proto::{CallId, ObjectId};
use pyo3::prelude::*;

use crate::future::Future;
use crate::guarded::Guarded;

/// Longer answers are not kept; the caller is asked for them.
const SHORT: usize = 512;

/// How many answers are kept, at least 1: the later call usually comes right behind the earlier one.
const KEPT: u64 = 64;

/// What one peer is promised, and what it promised.
#[derive(Default)]
pub(crate) struct Promises {
    answers: Guarded<Vec<Answer>>,
    pinned: Guarded<Vec<Pinned>>,
}

/// An answer that was given.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    call: CallId,
    /// The object, if that is the answer.
    pub(crate) object: Option<ObjectId>,
    /// Otherwise the value.
    pub(crate) body: Vec<u8>,
}

/// A future that a call names which is not answered yet.
struct Pinned {
    call: CallId,
    future: Py<Future>,
    named_by: Arc<Pending>,
}

impl Promises {
    /// Keeps the answer to `call`, which was made on `target`, if it can stand for itself later.
    pub(crate) fn keep(&self, py: Python<'_>, call: CallId, target: ObjectId, body: &[u8]) {
        if body.len() > SHORT {
            return;
        }
        let Some(object) = meaning(body, target) else { return };
        let at = usize::try_from(call.0 % KEPT).unwrap_or_default();
        self.answers.with(py, |answers| {
            if answers.len() <= at {
                answers.resize(at + 1, Answer::default());
            }
            let answer = &mut answers[at];
            answer.call = call;
            answer.object = object;
            answer.body.clear();
            if object.is_none() {
                answer.body.extend_from_slice(body);
            }
        });
    }

    /// The answer that was given to `call`, if it was kept.
    pub(crate) fn answer(&self, py: Python<'_>, call: CallId) -> Option<Answer> {
        let at = usize::try_from(call.0 % KEPT).unwrap_or_default();
        self.answers.with(py, |answers| answers.get(at).filter(|answer| answer.call == call).cloned())
    }

    /// Keeps `future`, whose call is `call`, until `named_by` is answered.
    pub(crate) fn pin(&self, py: Python<'_>, call: CallId, future: Py<Future>, named_by: &Arc<Pending>) {
        self.pinned.with(py, |pinned| pinned.push(Pinned { call, future, named_by: Arc::clone(named_by) }));
    }

    /// Lets go of futures that nobody will ask for any more. To be called with each call: the next one may name none.
    pub(crate) fn let_go(&self, py: Python<'_>) {
        let over: Vec<_> = self.pinned.with(py, |pinned| {
            pinned.extract_if(.., |entry| entry.named_by.is_done()).collect() // allocates for what it finds alone
        });
        drop(over); // futures, whose drop may come back here
    }

    /// The future of `call`, if it was promised and is still wanted.
    pub(crate) fn pinned(&self, py: Python<'_>, call: CallId) -> Option<Py<Future>> {
        let is_it = |entry: &&Pinned| entry.call == call;
        self.pinned.with(py, |pinned| pinned.iter().find(is_it).map(|entry| entry.future.clone_ref(py)))
    }

    /// Lets go of everything: the peer is gone.
    pub(crate) fn clear(&self, py: Python<'_>) {
        let pinned = self.pinned.with(py, std::mem::take);
        self.answers.with(py, Vec::clear);
        drop(pinned); // futures, whose drop may come back here
    }
}

/// What the body of a reply stands for on the side that wrote it: an object, or (None) a value without references. None
/// at all where a reference in it means something else on this side.
fn meaning(body: &[u8], target: ObjectId) -> Option<Option<ObjectId>> {
    let mut reader = Reader::new(body, Limits::default());
    match reader.next_token().ok()? {
        Token::Reference(ReferenceHead::Offer { object, .. }) => Some(Some(object)),
        Token::Reference(ReferenceHead::Receiver) => Some(Some(target)),
        Token::Nil | Token::Bool(_) | Token::Int(_) | Token::Float(_) | Token::Str(_) | Token::Bytes(_)
            if reader.is_empty() =>
        {
            Some(None)
        }
        _ if !codec::lent_buffers(body, Limits::default()).ok()?.is_empty() => None,
        _ if reader.is_empty() => Some(None),
        _ => {
            let limits = Limits::default();
            let is_plain = codec::offered_references(body, limits).ok()?.is_empty()
                && codec::home_references(body, limits).ok()?.is_empty();
            is_plain.then_some(None)
        }
    }
}
