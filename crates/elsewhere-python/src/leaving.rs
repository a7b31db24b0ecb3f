//! The end of `with` and `async with` over an object elsewhere: its exit runs there, whatever the block raised.
//!
//! Owns: when a stand-in is sent for an exception. Must not know: how that is made (`elsewhere._rebuilt` does).

use elsewhere_proto::Operation;
use pyo3::prelude::*;

use crate::future::Future;
use crate::proxy::{self, Proxy};
use crate::{encode, errors};

/// Calls `__exit__` there. A traceback object cannot travel; an exception that cannot either has a stand-in.
pub(crate) fn exit<'py>(
    context: &Bound<'py, Proxy>,
    kind: Bound<'py, PyAny>,
    error: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    let refused = match proxy::operate(context, Operation::Exit, &[kind, error.clone(), encode::none(py)]) {
        Err(refused) if !error.is_none() && could_not_travel(py, &refused)? => refused,
        left => return left,
    };
    drop(refused);
    let stand_in = py.import("elsewhere._rebuilt")?.getattr("stand_in_for")?.call1((error,))?;
    proxy::operate(context, Operation::Exit, &[stand_in.get_type().into_any(), stand_in, encode::none(py)])
}

/// Whether the call was not made because of the exception that was to go along.
fn could_not_travel(py: Python<'_>, refused: &PyErr) -> PyResult<bool> {
    if !errors::is_own(py, refused, "ArgumentError") {
        return Ok(false);
    }
    let refused = refused.value(py);
    Ok(!refused.getattr("remote")?.is_truthy()? && refused.getattr("outcome")?.eq("not_started")?)
}

/// The same with `__aexit__`; gives what is to be awaited.
pub(crate) fn exit_async<'py>(
    context: &Bound<'py, Proxy>,
    kind: Bound<'py, PyAny>,
    error: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    if error.is_none() {
        let operands = [kind, error, encode::none(py)];
        let last = crate::call::Last::Operate { operation: Operation::Aexit, operands: &operands };
        return Ok(Future::send(context, &last)?.into_any());
    }
    py.import("elsewhere._rebuilt")?.getattr("leave_async")?.call1((context, kind, error))
}
