//! `Stream`: a generator or iterator elsewhere, advanced one item at a time.
//!
//! Owns: the iterator protocol over an import. Must not know: read-ahead ([`crate::read_ahead`]), frames.
//! Nothing runs there before it is asked for; each item is a call of its own, with its own turn in the host's queue.

use std::sync::Arc;

use elsewhere_engine::Expect;
use elsewhere_proto::{ErrorKind, Operation, Want};
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call::{self, Last};
use crate::peer::Import;
use crate::proxy::Proxy;
use crate::sent::Sent;
use crate::{errors, leaving, path, pickling, running};

/// An iterator elsewhere. `next`, `send`, `throw` and `close` work as on a generator.
#[pyclass(frozen, weakref, module = "elsewhere")]
pub(crate) struct Stream {
    proxy: Py<Proxy>,
}

impl Stream {
    /// The stream over an iterator of the peer.
    pub(crate) fn new(py: Python<'_>, import: Arc<Import>) -> PyResult<Self> {
        Ok(Self { proxy: Py::new(py, Proxy::root(import))? })
    }

    /// `iterator` as a stream, whatever else it can do.
    pub(crate) fn around<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match iterator.cast_exact::<Proxy>() {
            Ok(proxy) => Ok(Bound::new(iterator.py(), Self { proxy: proxy.clone().unbind() })?.into_any()),
            Err(_) => Ok(iterator.clone()),
        }
    }

    fn operate<'py>(&self, py: Python<'py>, operation: Operation, operands: &[Bound<'py, PyAny>]) -> PyResult<Sent> {
        Ok(call::send(self.proxy.bind(py), &Last::Operate { operation, operands }, Want::Auto, Expect::Answer)?)
    }
}

/// The import behind a stream, for streams that travel.
pub(crate) fn import_of(value: &Bound<'_, PyAny>) -> Option<Arc<Import>> {
    let stream = value.cast_exact::<Stream>().ok()?;
    Some(Arc::clone(path::root(stream.get().proxy.get())))
}

/// The peer and proxy behind a stream, for verbs.
pub(crate) fn proxy_of<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, Proxy>> {
    let stream = value.cast_exact::<Stream>().ok()?;
    Some(stream.get().proxy.bind(value.py()).clone())
}

/// Waits for the answer of one step: its end is a StopIteration with the generator's return value.
pub(crate) fn step<'py>(sent: &Sent, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    running::whole(py, || step_here(sent, py))
}

fn step_here<'py>(sent: &Sent, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    let arrival = sent.wait_until(py, None)?.expect("a wait without a limit ends with an arrival");
    let elsewhere_engine::Arrival::Error(body) = arrival else { return sent.value(py, arrival) };
    let _decoded = sent.decoding(py);
    let record = errors::read_record(py, &sent.peer, &body)?;
    if record.kind == ErrorKind::Raised && record.qualname() == "StopIteration" {
        let arguments = match record.original() {
            Some(original) => original.getattr("args")?.cast_into::<PyTuple>()?,
            None => PyTuple::empty(py),
        };
        return Err(PyStopIteration::new_err(arguments.unbind()));
    }
    Err(errors::in_context(py, record.into_error(py, &sent.peer, &sent.subject.text(py)), true))
}

#[pymethods]
impl Stream {
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        step(&self.operate(py, Operation::Next, &[])?, py)
    }

    /// Resume the generator with a value; gives its next item.
    #[pyo3(signature = (value, /))]
    fn send<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        step(&self.operate(py, Operation::Send, &[value])?, py)
    }

    /// Raise an exception where the generator stands; gives its next item.
    #[pyo3(signature = (exception, /))]
    fn throw<'py>(&self, exception: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = exception.py();
        leaving::throw(exception, |exception| step(&self.operate(py, Operation::Throw, &[exception])?, py))
    }

    /// End the generator: its `finally` blocks run there, before this returns.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.operate(py, Operation::Close, &[])?.wait(py).map(drop)
    }

    fn __repr__(&self) -> String {
        let import = path::root(self.proxy.get());
        format!("<stream of {} in {}>", import.class.qualname, import.peer.label)
    }

    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, _protocol: i32) -> PyResult<Bound<'py, PyAny>> {
        pickling::reduce_reference(slf.as_any(), "a stream cannot be pickled; use list(stream) for its items")
    }

    fn __copy__(&self) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err("a stream cannot be copied; use list(stream) for its items"))
    }

    #[pyo3(signature = (*_arguments))]
    fn __deepcopy__(&self, _arguments: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.__copy__()
    }
}
