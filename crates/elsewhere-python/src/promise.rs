//! Futures as targets and arguments before they are settled.
//!
//! Owns: on the side that answers, short answers that a later call may name; on the side that calls, the futures that it
//! may be asked for. Must not know: how values are written, how a future is settled.
//! What an answer is does not depend on when it is used: a reference stands for the object, everything else for a copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use elsewhere_engine::Pending;
use elsewhere_proto::codec::{self, Limits, Reader, ReferenceHead, Token};
use elsewhere_proto::{CallId, ObjectId};
use pyo3::prelude::*;

use crate::future::Future;

/// Longer answers are not kept; the caller is asked for them.
const SHORT: usize = 512;

/// How many answers are kept, at least 1: the later call usually comes right behind the earlier one.
const KEPT: u64 = 64;

/// What one peer is promised, and what it promised.
#[derive(Default)]
pub(crate) struct Promises {
    answers: Mutex<Vec<Answer>>,
    pinned: Mutex<Vec<Pinned>>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Promises {
    /// Keeps the answer to `call`, which was made on `target`, if it can stand for itself later.
    pub(crate) fn keep(&self, call: CallId, target: ObjectId, body: &[u8]) {
        if body.len() > SHORT {
            return;
        }
        let Some(object) = meaning(body, target) else { return };
        let at = usize::try_from(call.0 % KEPT).unwrap_or_default();
        let mut answers = lock(&self.answers);
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
    }

    /// The answer that was given to `call`, if it was kept.
    pub(crate) fn answer(&self, call: CallId) -> Option<Answer> {
        let at = usize::try_from(call.0 % KEPT).unwrap_or_default();
        lock(&self.answers).get(at).filter(|answer| answer.call == call).cloned()
    }

    /// Keeps `future`, whose call is `call`, until `named_by` is answered.
    pub(crate) fn pin(&self, call: CallId, future: Py<Future>, named_by: &Arc<Pending>) {
        lock(&self.pinned).push(Pinned { call, future, named_by: Arc::clone(named_by) });
    }

    /// Lets go of futures that nobody will ask for any more. To be called with each call: the next one may name none.
    pub(crate) fn let_go(&self) {
        let mut pinned = lock(&self.pinned);
        if pinned.is_empty() {
            return;
        }
        let over: Vec<_> = pinned.extract_if(.., |entry| entry.named_by.is_done()).collect();
        drop(pinned);
        drop(over); // after the lock
    }

    /// The future of `call`, if it was promised and is still wanted.
    pub(crate) fn pinned(&self, py: Python<'_>, call: CallId) -> Option<Py<Future>> {
        lock(&self.pinned).iter().find(|entry| entry.call == call).map(|entry| entry.future.clone_ref(py))
    }

    /// Lets go of everything: the peer is gone.
    pub(crate) fn clear(&self) {
        let pinned = std::mem::take(&mut *lock(&self.pinned));
        lock(&self.answers).clear();
        drop(pinned); // after the locks
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
