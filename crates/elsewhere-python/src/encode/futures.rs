//! Futures among what is written: named by their call where that may be, else waited for and written as their value.
//!
//! Owns: which of the two. Must not know: how the peer finds the answer ([`crate::promise`]).

use std::sync::Arc;
use std::time::Instant;

use elsewhere_proto::codec::ReferenceHead;
use elsewhere_proto::{CallId, ChainId, Op};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;

use super::{Encoder, Stop};
use crate::future::Future;
use crate::peer::Peer;
use crate::{chain, lane, service};

impl<'w, 'py> Encoder<'w, 'py> {
    /// Writes a call that has to be over by `limit`, and may name earlier calls if it is answered.
    pub(crate) fn of_call(
        py: Python<'py>,
        peer: &'w Arc<Peer>,
        out: &'w mut Vec<u8>,
        is_answered: bool,
        limit: Option<Instant>,
    ) -> Self {
        let may_promise = is_answered && chain::current(py).is_none();
        Self { may_promise, limit, ..Self::new(py, peer, out, true) }
    }
}

impl<'py> Encoder<'_, 'py> {
    /// The futures that were named.
    pub(crate) fn take_promised(&mut self) -> Vec<(CallId, Py<Future>)> {
        std::mem::take(&mut self.promised)
    }

    /// What a future failed with, if that is why nothing is sent.
    pub(crate) fn take_poison(&mut self) -> Option<PyErr> {
        self.poison.take()
    }

    /// Whether nothing is sent because the time of the call was over before a future was settled.
    pub(crate) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Writes what a future gives, as if it were passed itself.
    pub(super) fn future(&mut self, future: &Bound<'py, Future>) -> Result<(), Stop> {
        if self.promise(future)? {
            return Ok(());
        }
        let value = self.result_of(future)?;
        self.value(&value)
    }

    /// Writes the step that begins at what a future gives.
    pub(crate) fn start_from(&mut self, future: &Bound<'py, Future>) -> PyResult<()> {
        self.op(Op::Start);
        if self.promise(future)? {
            return Ok(());
        }
        let value = self.result_of(future)?;
        self.argument(&value)
    }

    /// Names the call of a future that is not settled, where the host will have answered it by then.
    fn promise(&mut self, future: &Bound<'py, Future>) -> PyResult<bool> {
        let sent = future.get().sent();
        let is_before = Arc::ptr_eq(&sent.peer, self.peer)
            && sent.lane == lane::current(self.py, &sent.peer.link)
            && sent.chain != ChainId(0);
        if !self.may_promise || !is_before || !self.peer.takes_promises() || Future::is_here(future) {
            return Ok(false);
        }
        service::ensure_for(self.py, self.peer)?;
        let call = sent.pending.call();
        self.out.reference(&ReferenceHead::Promise { call });
        self.promised.push((call, future.clone().unbind()));
        Ok(true)
    }

    fn result_of(&mut self, future: &Bound<'py, Future>) -> PyResult<Bound<'py, PyAny>> {
        let Some(value) = Future::settled_value(future, self.limit)? else {
            self.is_late = true;
            return Err(PyTimeoutError::new_err(()));
        };
        value.inspect_err(|error| self.poison = Some(error.clone_ref(self.py)))
    }
}
