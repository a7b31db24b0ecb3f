//! Calls whose results are declared to go by reference.
//!
//! Owns: the declarations, of functions and of classes' methods. Must not know: how results are written, who asks.
//!
//! A function carries its declaration, a mark, wherever it is copied to; a host, a server or a local host has a table of
//! names by class. A name holds for subclasses, whoever of them defines the method. Where there has never been a mark nor a
//! table, a call pays for one load.

use std::sync::atomic::{AtomicBool, Ordering};

use elsewhere_proto::Operation;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyString, PyTuple, PyType};

use crate::peer::Peer;
use crate::server;

/// Whether anything is declared in this process.
static IS_ANY: AtomicBool = AtomicBool::new(false);
/// Whether any function of this process is marked.
static IS_ANY_MARKED: AtomicBool = AtomicBool::new(false);

/// What marks a function. Made by `elsewhere.by_reference`, and by reading what that made elsewhere.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct ReturnMark;

#[pymethods]
impl ReturnMark {
    fn __repr__(&self) -> &'static str {
        "<its results go by reference>"
    }

    /// Reading it says in that process, too, that there are marks.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let make = py.import("elsewhere._core")?.getattr("_return_mark")?;
        (make, PyTuple::empty(py)).into_pyobject(py)
    }
}

/// Give what marks a function whose results go by reference, and look for such marks from now on.
#[pyfunction]
pub(crate) fn _return_mark(py: Python<'_>) -> PyResult<Py<ReturnMark>> {
    IS_ANY_MARKED.store(true, Ordering::Relaxed); // Relaxed: read with the interpreter held, as it is here; so all below
    note();
    Py::new(py, ReturnMark)
}

/// The names that are declared for this process, by class.
fn declared_here(py: Python<'_>) -> &Bound<'_, PyDict> {
    static TABLE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    TABLE.get_or_init(py, || PyDict::new(py).unbind()).bind(py)
}

/// Declare names by class, for whoever calls objects of this process.
#[pyfunction]
pub(crate) fn _declare_returns(py: Python<'_>, table: &Bound<'_, PyDict>) -> PyResult<()> {
    note();
    declared_here(py).update(table.as_mapping())
}

/// From now on calls are looked up: there is a table.
pub(crate) fn note() {
    IS_ANY.store(true, Ordering::Relaxed);
}

/// Whether anything is declared in this process.
pub(crate) fn is_any() -> bool {
    IS_ANY.load(Ordering::Relaxed)
}

/// Whether the result of calling `callee` goes by reference. `found` is what it was looked up on, and its name; `run` is what
/// it runs instead, if it is what runs functions.
pub(crate) fn of_call<'py>(
    peer: &Peer,
    run: Option<&Bound<'py, PyAny>>,
    callee: &Bound<'py, PyAny>,
    found: Option<(&Bound<'py, PyAny>, &Bound<'py, PyString>)>,
) -> bool {
    run.map_or_else(|| of_callee(peer, callee, found), |run| of_callee(peer, run, None)).unwrap_or(false)
}

/// Whether the result of an operation on `owner` goes by reference.
pub(crate) fn of_operation(peer: &Peer, owner: &Bound<'_, PyAny>, operation: Option<Operation>) -> bool {
    let Some(operation) = operation else { return false };
    let name = PyString::new(owner.py(), &format!("__{}__", operation.name()));
    of_name(peer, owner, &name).unwrap_or(false)
}

fn of_callee<'py>(
    peer: &Peer,
    callee: &Bound<'py, PyAny>,
    found: Option<(&Bound<'py, PyAny>, &Bound<'py, PyString>)>,
) -> PyResult<bool> {
    let py = callee.py();
    if is_marked(callee)? {
        return Ok(true);
    }
    if let Some((owner, name)) = found {
        return of_name(peer, owner, name);
    }
    let owner = callee.getattr_opt(intern!(py, "__self__"))?.filter(|owner| !owner.is_instance_of::<PyModule>());
    let Some(owner) = owner else { return of_name(peer, callee, intern!(py, "__call__")) };
    match callee.getattr_opt(intern!(py, "__name__"))?.map(Bound::cast_into::<PyString>) {
        Some(Ok(name)) => of_name(peer, &owner, &name),
        _ => Ok(false),
    }
}

/// Whether the results of the method `name` of `owner` go by reference.
fn of_name(peer: &Peer, owner: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    if of_class(peer, &owner.get_type(), name)? {
        return Ok(true);
    }
    // Methods of the class itself, called on it.
    owner.cast::<PyType>().map_or(Ok(false), |class| of_class(peer, class, name))
}

fn of_class(peer: &Peer, class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    let py = class.py();
    let served = server::of(peer);
    let of_peer = served.as_ref().and_then(|served| served.returns()).or_else(|| peer.returns.get());
    let tables = [Some(declared_here(py)).filter(|table| !table.is_empty()), of_peer.map(|table| table.bind(py))];
    let are_marked = IS_ANY_MARKED.load(Ordering::Relaxed);
    for base in class.mro() {
        for table in tables.into_iter().flatten() {
            if let Some(names) = table.get_item(&base)?
                && names.contains(name)?
            {
                return Ok(true);
            }
        }
        if are_marked {
            let members = base.getattr(intern!(py, "__dict__"))?;
            if members.contains(name)? && is_marked(&members.get_item(name)?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether `value` is a function that is marked, or a method around one, bound, static or of a class.
fn is_marked(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    if !IS_ANY_MARKED.load(Ordering::Relaxed) {
        return Ok(false);
    }
    let function = value.getattr_opt(intern!(py, "__func__"))?;
    let members = function.as_ref().unwrap_or(value).getattr_opt(intern!(py, "__dict__"))?;
    let Some(Ok(members)) = members.map(Bound::cast_into::<PyDict>) else { return Ok(false) };
    let mark = members.get_item(intern!(py, "__by_reference__"))?;
    Ok(mark.is_some_and(|mark| mark.is_exact_instance_of::<ReturnMark>()))
}
