//! For whom something is pickled that is shown some objects through lists only.
//!
//! Owns: the peer of the pickle that a thread writes. Must not know: what is in the lists, how a pickle is written.

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::peer::Peer;
use crate::server::{self, Served};

thread_local! {
    /// Through whose lists whatever is pickled on this thread goes.
    static GUARD: RefCell<Option<Arc<Served>>> = const { RefCell::new(None) };
}

/// Until it is dropped, what is pickled on this thread goes to one peer, and through the lists of the server that this has
/// connected to.
pub(crate) struct Guarding {
    before: Option<Arc<Served>>,
}

/// See [`Guarding`].
pub(crate) fn guard(peer: &Peer) -> Guarding {
    let guard = server::of(peer).filter(|served| served.exposure().is_some());
    Guarding { before: GUARD.replace(guard) }
}

impl Drop for Guarding {
    fn drop(&mut self) {
        let guard = GUARD.replace(self.before.take());
        drop(guard); // outside of the cell: the last of a server runs code
    }
}

/// Whether what is pickled on this thread goes through lists.
pub(crate) fn is_guarding() -> bool {
    GUARD.with_borrow(Option::is_some)
}

/// Whether an object is shown to whom the pickle goes that is being written on this thread, and so never copied.
#[pyfunction]
pub(crate) fn _is_guarded(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let guard = GUARD.with_borrow(Clone::clone);
    guard.as_ref().and_then(|served| served.exposure()).map_or(Ok(false), |exposure| exposure.guards(object))
}

/// What calls a function, on another thread, with the lists of the one that made this.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct KeptGuard {
    guard: Option<Arc<Served>>,
    function: Py<PyAny>,
}

#[pymethods]
impl KeptGuard {
    #[new]
    fn new(function: Py<PyAny>) -> Self {
        Self { guard: GUARD.with_borrow(Clone::clone), function }
    }

    fn __call__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let _guarding = Guarding { before: GUARD.replace(self.guard.clone()) };
        self.function.bind(py).call0()
    }
}
