//! Threads of Python's that work for us.
//!
//! Owns: how one is started. Must not know: what it does, how many there are.

use elsewhere_engine::exit;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call;

/// Starts a thread that runs `target` of `elsewhere._core`. By Python: threads that Rust makes run none.
///
/// It is there, or there is none. A signal's handler could raise something between any two of the steps that this takes,
/// and nobody knew then whether there is a thread; handlers run in the main thread, so another one takes those steps for
/// it. That may come here, against the rule: the main thread waits for it, so the interpreter does not go down meanwhile; where
/// it does already, no other thread can run Python code, and the main thread tries by itself.
///
/// # Errors
/// Those of the system, which has no thread to give.
pub(crate) fn start(py: Python<'_>, target: &str, args: Bound<'_, PyTuple>, name: &str) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("target", py.import("elsewhere._core")?.getattr(target)?)?;
    kwargs.set_item("args", args)?;
    kwargs.set_item("name", name)?;
    kwargs.set_item("daemon", true)?;
    let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&kwargs))?.unbind();
    let is_handling = call::is_main_thread() && !exit::has_begun();
    if is_handling { start_beside(py, &thread) } else { thread.call_method0(py, "start").map(drop) }
}

fn start_beside(py: Python<'_>, thread: &Py<PyAny>) -> PyResult<()> {
    py.detach(|| {
        std::thread::scope(|scope| {
            let start = || Python::attach(|py| thread.call_method0(py, "start").map(drop));
            let starter = std::thread::Builder::new().name("elsewhere-start".to_owned()).spawn_scoped(scope, start)?;
            starter.join().unwrap_or_else(|_| Err(PyRuntimeError::new_err("a thread could not be started")))
        })
    })
}
