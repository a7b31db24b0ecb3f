//! The beginning and the end of a process that uses elsewhere: forks, exit, and what a host is made of.
//!
//! Owns: the hooks for fork and exit, the owner's peer and the bootstrap object of a host. Must not know: calls.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elsewhere_engine::{exit, fork};
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::peer::Peer;
use crate::{chain, coroutines, errands, guests, home, producing, relays, running, service, serving, turns};

/// Seconds that the end of the process waits for hosts to finish; what is left then ends by itself within a second.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

static OWNER: Mutex<Option<Arc<Peer>>> = Mutex::new(None);
static INHERITED: Mutex<Vec<Arc<Peer>>> = Mutex::new(Vec::new());

/// The peer that started this process as a host, if one did.
pub(crate) fn owner() -> Option<Arc<Peer>> {
    own_owner().clone()
}

/// Remembers the owner; false if there was one already.
pub(crate) fn set_owner(peer: Arc<Peer>) -> bool {
    let mut owner = own_owner();
    let is_first = owner.is_none();
    owner.get_or_insert(peer);
    is_first
}

fn own_owner() -> MutexGuard<'static, Option<Arc<Peer>>> {
    OWNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Object number 0: what a host can do before it holds anything.
pub(crate) fn bootstrap(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    py.import("elsewhere._host_main").and_then(|module| module.getattr("BOOTSTRAP")).ok()
}

/// Reports an error that nobody waits for, as the interpreter reports one in a destructor.
pub(crate) fn report(py: Python<'_>, error: &PyErr, text: &str) {
    error.clone_ref(py).write_unraisable(py, Some(PyString::new(py, text).as_any()));
}

/// Logs an exception of a callback, as `concurrent.futures` does.
pub(crate) fn log_exception(py: Python<'_>, error: &PyErr, text: &str) {
    if exit::has_begun() {
        return; // most likely it is the one that brought this thread home
    }
    let log = || -> PyResult<()> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("exc_info", error.clone_ref(py).into_value(py))?;
        let logger = py.import("logging")?.getattr("getLogger")?.call1(("elsewhere",))?;
        logger.call_method("error", (text,), Some(&kwargs))?;
        Ok(())
    };
    if let Err(failure) = log() {
        failure.write_unraisable(py, None);
    }
}

/// Fails unless this is the main interpreter: tables and threads here are of the process, and hold its objects alone.
///
/// # Errors
/// ImportError in a sub-interpreter.
pub(crate) fn refuse_sub_interpreter(_: Python<'_>) -> PyResult<()> {
    // SAFETY: the token shows that this thread is attached to an interpreter, which is all that both calls ask for.
    let number = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    let text = "elsewhere works in the main interpreter alone, and this is a sub-interpreter of the process; \
                import it in the main one, or in a process of its own";
    Err(PyImportError::new_err(text))
}

/// Registers the hooks for fork and exit.
pub(crate) fn install_hooks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let hooks = PyDict::new(py);
    hooks.set_item("before", module.getattr("_before_fork")?)?;
    hooks.set_item("after_in_parent", module.getattr("_after_fork_in_parent")?)?;
    hooks.set_item("after_in_child", module.getattr("_after_fork_in_child")?)?;
    // `posix` is built in; `os`, which has the same function, would be the one module that a bare host imports for us.
    posix(py)?.getattr("register_at_fork")?.call((), Some(&hooks))?;
    py.import("atexit")?.getattr("register")?.call1((module.getattr("_at_exit")?,))?;
    Ok(())
}

/// Hold everything still: right before a fork.
#[pyfunction]
pub(crate) fn _before_fork() {
    fork::prepare();
}

/// Go on: right after a fork, in the parent.
#[pyfunction]
pub(crate) fn _after_fork_in_parent() {
    fork::parent();
}

/// Go on with what was stopped for a fork of this process, whatever of it was: the threads that pass calls on, the service
/// thread.
#[pyfunction]
pub(crate) fn _end_solitude(py: Python<'_>) -> PyResult<()> {
    relays::go_on();
    service::go_on(py)
}

/// Forget what belongs to the parent: right after a fork, in the child. Inherited descriptors are covered by /dev/null,
/// since a socket left open here would hide the parent's death from its hosts.
#[pyfunction]
pub(crate) fn _after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    service::forget_thread();
    errands::forget();
    running::forget();
    turns::forget();
    let inherited = fork::child();
    relays::forget();
    service::forget_work(); // after the tables of the engine are free again
    // Kept for ever: their drops would act on the parent's connections.
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner).extend(crate::peer::all());
    if inherited.is_empty() {
        return Ok(());
    }
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let dup2 = posix(py)?.getattr(intern!(py, "dup2"))?;
    for fd in inherited {
        dup2.call1((null.as_raw_fd(), fd, false))?;
    }
    Ok(())
}

/// The module, found before any fork: in a child each step of an import is a page to copy.
fn posix(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static POSIX: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(POSIX.get_or_try_init(py, || py.import("posix").map(Bound::unbind))?.bind(py))
}

/// In a fork that becomes a host: forget the owner that its parent may have, and what ran for it.
#[pyfunction]
pub(crate) fn _forget_owner(py: Python<'_>) {
    std::mem::forget(own_owner().take());
    chain::forget();
    serving::forget();
    guests::forget(py);
    coroutines::forget();
    producing::forget();
}

/// Close every host, at the interpreter's exit. Other threads that wait here stay where they are from now on.
#[pyfunction]
pub(crate) fn _at_exit(py: Python<'_>) {
    exit::begin();
    errands::bring_home(py);
    crate::peer::all().iter().for_each(|peer| guests::dismiss(py, peer));
    py.detach(|| exit::finish(EXIT_PATIENCE));
    crate::peer::all().iter().for_each(|peer| home::show_last(py, peer));
}
