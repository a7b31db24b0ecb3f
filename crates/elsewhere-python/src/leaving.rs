//! Exceptions that are given to an object elsewhere: by the end of a `with`, or thrown into a generator.
//!
//! Owns: when a stand-in is sent for one, since what it is given to has to run in any case. Must not know: how that is made
//! (`elsewhere._rebuilt` does).

use elsewhere_proto::Operation;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::future::Future;
use crate::proxy::{self, Proxy};
use crate::{encode, errors};

/// Calls `__exit__` there. A traceback object cannot travel; an exception that cannot either has a stand-in.
pub(crate) fn exit<'py>(
    context: &Bound<'py, Proxy>,
    kind: Bound<'py, PyAny>,
    error: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    let exit = |kind: Bound<'py, PyAny>, error: Bound<'py, PyAny>| {
        proxy::operate(context, Operation::Exit, &[kind, error, encode::none(py)])
    };
    match exit(kind, error.clone()) {
        Err(refused) if !error.is_none() && could_not_travel(py, &refused)? => {
            in_its_place(error, |stand_in| exit(stand_in.get_type().into_any(), stand_in))
        }
        left => left,
    }
}

/// Throws `exception` by `throw`, which gives what the generator does with it. One that is not caught there is raised as
/// itself, whatever it is, since it is from here.
pub(crate) fn throw<'py>(
    exception: Bound<'py, PyAny>,
    throw: impl Fn(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = exception.py();
    let exception = if exception.is_instance_of::<PyType>() { exception.call0()? } else { exception };
    let thrown = match throw(exception.clone()) {
        Err(refused) if could_not_travel(py, &refused)? => in_its_place(&exception, throw),
        thrown => thrown,
    };
    thrown.map_err(|error| {
        let own = || py.import("elsewhere._rebuilt")?.getattr("own_again")?.call1((error.value(py), &exception));
        PyErr::from_value(own().unwrap_or_else(|_: PyErr| error.value(py).clone().into_any()))
    })
}

/// Gives what goes along for an exception that cannot travel: a class of its own by value, which tells all, or where the peer
/// takes no code, one of Python's.
fn in_its_place<'py>(
    error: &Bound<'py, PyAny>,
    give: impl Fn(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = error.py();
    let make = |name| py.import("elsewhere._rebuilt")?.getattr(name)?.call1((error,));
    match give(make("stand_in_for")?) {
        Err(refused) if could_not_travel(py, &refused)? => give(make("plain_stand_in_for")?),
        given => given,
    }
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
