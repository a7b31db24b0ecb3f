//! What a proxy adds to each call through it: options, and whether calls are made at once, as futures, or later.
//!
//! Owns: the options of a proxy and the failures of a futures view that nobody waited for. Must not know: how calls are
//! made.

use std::sync::{Arc, Mutex, PoisonError};

use elsewhere_proto::Want;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::future::Future;
use crate::lifecycle;

/// What holds for every call through a proxy and the paths that start at it.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Seconds that a call may take.
    pub(crate) timeout: Option<f64>,
    /// What is wanted of a result.
    pub(crate) want: Want,
    /// Whether giving a call up also breaks it off there, where it runs.
    pub(crate) interrupt: bool,
    pub(crate) view: View,
}

/// When calls are made.
#[derive(Clone, Default)]
pub(crate) enum View {
    /// At once; the caller waits.
    #[default]
    Plain,
    /// At once; the caller gets a Future. Setting and deleting do not wait.
    Futures(Arc<Failures>),
    /// When the path is evaluated: a call is a step of it.
    Lazy,
}

/// The first failure of a set or delete that nobody waited for.
#[derive(Default)]
pub(crate) struct Failures {
    first: Mutex<Option<PyErr>>,
}

impl Failures {
    /// Raises what failed since the last time.
    pub(crate) fn check(&self) -> PyResult<()> {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn note(&self, py: Python<'_>, error: PyErr) {
        lifecycle::log_exception(py, &error, "setting or deleting through a futures view failed");
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error);
        }
    }

    /// Hears of the failure of `future`, which the user never sees.
    pub(crate) fn watch(self: &Arc<Self>, future: &Bound<'_, Future>) -> PyResult<()> {
        let failures = Arc::clone(self);
        let heard = move |args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
            if let Err(error) = args.get_item(0)?.call_method0("result") {
                failures.note(args.py(), error);
            }
            Ok(())
        };
        let callback = PyCFunction::new_closure(future.py(), None, None, heard)?;
        future.call_method1("add_done_callback", (callback,)).map(drop)
    }
}

impl View {
    /// Refuses what a futures view does not do.
    ///
    /// # Errors
    /// TypeError.
    pub(crate) fn ensure_waits(&self) -> PyResult<()> {
        match self {
            Self::Futures(_) => Err(PyTypeError::new_err(
                "a futures view makes calls and gets, and sets and deletes; for operators use the proxy itself",
            )),
            Self::Plain | Self::Lazy => Ok(()),
        }
    }
}
