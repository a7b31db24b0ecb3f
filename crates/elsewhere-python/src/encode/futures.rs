//! Futures and places among what is written: futures are named by their call where that may be, else waited for and
//! written as their value; so are paths on other hosts.
//!
//! Owns: which of the two. Must not know: how the peer finds the answer ([`crate::promise`]).

use std::sync::Arc;
use std::time::Instant;

use elsewhere_proto::codec::{Limits, Reader, ReferenceHead};
use elsewhere_proto::{CallId, ChainId, ObjectId, Op};
use pyo3::exceptions::{PyException, PyTimeoutError};
use pyo3::prelude::*;

use super::{Encoder, Stop};
use crate::future::Future;
use crate::handing::Given;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::{call, chain, lane, path, service};

impl<'w, 'py> Encoder<'w, 'py> {
    /// Writes a call that has to be over by `limit`, and may name earlier calls if it is answered.
    pub(crate) fn of_call(
        py: Python<'py>,
        peer: &'w Arc<Peer>,
        out: &'w mut Vec<u8>,
        is_answered: bool,
        limit: Option<Instant>,
    ) -> Self {
        let mut encoder = Self::new(py, peer, out, true);
        encoder.encloses = true;
        encoder.may_promise = is_answered && chain::current(py).is_none();
        encoder.may_leave_out = true;
        encoder.limit = limit;
        encoder
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

    /// A path that comes home and has other steps than attributes and plain items, or begins at a future.
    pub(super) fn lazy_coming_home(&mut self, proxy: &Proxy, object: ObjectId) -> Result<(), Stop> {
        self.place(object, proxy.place.length(), |nested| path::write(nested, proxy).map(drop))
    }

    /// Writes a place from what `write` writes, `steps` steps of one value or more: they are counted after the fact.
    pub(super) fn place(
        &mut self,
        object: ObjectId,
        steps: u16,
        write: impl FnOnce(&mut Encoder<'_, 'py>) -> PyResult<()>,
    ) -> Result<(), Stop> {
        let mut written = Vec::new();
        let mut nested = Encoder::new(self.py, self.peer, &mut written, true);
        nested.may_promise = self.may_promise;
        nested.encloses = self.encloses;
        nested.limit = self.limit;
        let result = write(&mut nested);
        self.is_late |= nested.is_late;
        self.promised.append(&mut nested.promised);
        self.poison = self.poison.take().or(nested.poison.take());
        self.enclosed.append(nested.take_enclosed());
        self.given.append(&mut nested.given);
        let granted = nested.take_granted();
        self.granted.extend(granted);
        result?;
        let mut values = 0;
        let mut reader = Reader::new(&written, Limits::default());
        while !reader.is_empty() {
            reader.skip_value()?;
            values += 1;
        }
        self.out.reference(&ReferenceHead::Place { object, steps, values });
        self.out.encoded(&written);
        Ok(())
    }

    /// Writes where `object` is to be had once the owner has it. `is_declared`: it is a stream of references.
    pub(super) fn give_by_owner(&mut self, object: &Bound<'py, PyAny>, is_declared: bool) -> PyResult<()> {
        let given = Given::new(object, is_declared)?;
        let parts = given.parts(self.py)?;
        self.given.push(given);
        let written = self.place(ObjectId::BOOTSTRAP, 2, |nested| {
            nested.op(Op::Attribute);
            nested.text("take")?;
            nested.op(Op::Call);
            nested.give_itself();
            nested.arguments(&parts, None)
        });
        match written {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Pickle) => unreachable!("a few bytes need no pickle"),
        }
    }

    /// Reads a path on another host beforehand, by the rule for results. What that raises is why nothing is sent.
    pub(super) fn elsewhere(&mut self, path: &Bound<'py, Proxy>) -> PyResult<Bound<'py, PyAny>> {
        call::evaluate_path(path, self.limit).inspect_err(|error| {
            let is_over = self.limit.is_some_and(|limit| limit <= Instant::now());
            if error.is_instance_of::<PyException>(self.py) && !is_over {
                self.poison = Some(error.clone_ref(self.py));
            }
        })
    }

    fn result_of(&mut self, future: &Bound<'py, Future>) -> PyResult<Bound<'py, PyAny>> {
        let Some(value) = Future::settled_value(future, self.limit)? else {
            self.is_late = true;
            return Err(PyTimeoutError::new_err(()));
        };
        value.inspect_err(|error| self.poison = Some(error.clone_ref(self.py)))
    }
}
