//! How long a call may take: the shorter of its proxy's timeout and the `deadline()` block it is made in; inside a call
//! that came in, what is left of that one.
//!
//! Owns: the context variable of the block. Must not know: who keeps the time (the engine does).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Seconds that `dir(p)` may take.
pub(crate) const DIR_PATIENCE: f64 = 0.5;

/// The longest timeout, a year in seconds; a longer one is taken as this.
const TIMEOUT_MAX: f64 = 365.0 * 86_400.0;

/// How many blocks are open in the process; while none is, no call looks for one.
static OPEN_BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// When the block that encloses this code must be over.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct Moment {
    limit: Instant,
    /// Tasks that were made inside the block keep its variable; the block itself may be over.
    is_over: AtomicBool,
}

/// A block in which every call has to be over by one moment: `with deadline(2.0):`.
///
/// Args:
///     seconds: From the beginning of the block, 0 or more. The shorter of nested blocks and of a proxy's own timeout
///         holds. A call that is not over by then ends with CallTimeout; there it may still run.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct Deadline {
    seconds: f64,
    token: std::sync::Mutex<Option<(Py<PyAny>, Py<Moment>)>>,
}

#[pymethods]
impl Deadline {
    #[new]
    #[pyo3(signature = (seconds, /))]
    fn new(seconds: f64) -> PyResult<Self> {
        checked(seconds)?;
        Ok(Self { seconds, token: std::sync::Mutex::new(None) })
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let own = Instant::now() + duration(slf.get().seconds);
        let limit = block_limit(py)?.map_or(own, |outer| outer.min(own));
        let moment = Bound::new(py, Moment { limit, is_over: AtomicBool::new(false) })?;
        let token = variable(py)?.call_method1("set", (&moment,))?.unbind();
        OPEN_BLOCKS.fetch_add(1, Ordering::Relaxed); // Relaxed: this thread sees its own store, others have no block of ours
        *slf.get().token.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((token, moment.unbind()));
        Ok(())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        let py = slf.py();
        let token = slf.get().token.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some((token, moment)) = token {
            moment.get().is_over.store(true, Ordering::Relaxed); // Relaxed: as in __enter__
            OPEN_BLOCKS.fetch_sub(1, Ordering::Relaxed); // Relaxed: as in __enter__
            variable(py)?.call_method1("reset", (token,))?;
        }
        Ok(())
    }
}

/// The context variable that holds the enclosing block's [`Moment`].
fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let variable = VARIABLE.get_or_try_init(py, || {
        py.import("contextvars")?.getattr("ContextVar")?.call1(("elsewhere_deadline",)).map(Bound::unbind)
    })?;
    Ok(variable.bind(py))
}

fn block_limit(py: Python<'_>) -> PyResult<Option<Instant>> {
    if OPEN_BLOCKS.load(Ordering::Relaxed) == 0 {
        return Ok(None); // Relaxed: see __enter__
    }
    let moment = variable(py)?.call_method1("get", (crate::encode::none(py),))?;
    let open = moment.cast_exact::<Moment>().ok().filter(|moment| !moment.get().is_over.load(Ordering::Relaxed));
    Ok(open.map(|moment| moment.get().limit))
}

/// What a call that came in brought along, in force until this is dropped.
pub(crate) struct Carried<'py> {
    token: Bound<'py, PyAny>,
    moment: Option<Bound<'py, Moment>>,
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if let Some(moment) = &self.moment {
            moment.get().is_over.store(true, Ordering::Relaxed); // Relaxed: as in `Deadline::__enter__`
            OPEN_BLOCKS.fetch_sub(1, Ordering::Relaxed); // Relaxed: likewise
        }
        if let Ok(variable) = variable(self.token.py()) {
            // Refused only in another context than the one it was set in, which is left behind then.
            let _ = variable.call_method1("reset", (&self.token,));
        }
    }
}

/// Makes `limit` the one that holds for the calls made inside a call that came in. A call without one is not bound by the
/// block of the thread that happens to run it: where that is meant, the call was made inside the block and has a limit.
///
/// # Errors
/// Those of the interpreter, when it is out of memory.
pub(crate) fn carry(py: Python<'_>, limit: Option<Instant>) -> PyResult<Option<Carried<'_>>> {
    let moment = match limit {
        Some(limit) => Some(Bound::new(py, Moment { limit, is_over: AtomicBool::new(false) })?),
        None if block_limit(py)?.is_none() => return Ok(None),
        None => None,
    };
    let token = variable(py)?.call_method1("set", (&moment,))?;
    if moment.is_some() {
        OPEN_BLOCKS.fetch_add(1, Ordering::Relaxed); // Relaxed: as in `Deadline::__enter__`
    }
    Ok(Some(Carried { token, moment }))
}

/// The same for what is made beside the calls of this thread, and has a limit of its own: the shorter of both holds.
///
/// # Errors
/// As [`carry`].
pub(crate) fn carry_shorter(py: Python<'_>, limit: Instant) -> PyResult<Option<Carried<'_>>> {
    let limit = block_limit(py)?.map_or(limit, |block| block.min(limit));
    carry(py, Some(limit))
}

/// The same as [`carry`] inside the running task, whose context is its own. What it gives is to be ended with the task.
///
/// # Errors
/// As [`carry`].
pub(crate) fn carry_in_task(py: Python<'_>, limit: Option<Instant>) -> PyResult<Option<Py<Moment>>> {
    let moment = match limit {
        Some(limit) => Some(Bound::new(py, Moment { limit, is_over: AtomicBool::new(false) })?),
        None if block_limit(py)?.is_none() => return Ok(None),
        None => None,
    };
    variable(py)?.call_method1("set", (&moment,))?;
    if moment.is_some() {
        OPEN_BLOCKS.fetch_add(1, Ordering::Relaxed); // Relaxed: as in `Deadline::__enter__`
    }
    Ok(moment.map(Bound::unbind))
}

/// What a task brought along is over with it.
pub(crate) fn end_carried(moment: &Py<Moment>) {
    moment.get().is_over.store(true, Ordering::Relaxed); // Relaxed: as in `Deadline::__enter__`
    OPEN_BLOCKS.fetch_sub(1, Ordering::Relaxed); // Relaxed: likewise
}

/// When a call that is made now must be over; `timeout` is its proxy's, in seconds.
pub(crate) fn of_call(py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let block = block_limit(py)?;
    let own = timeout.map(|seconds| Instant::now() + duration(seconds));
    Ok(match (block, own) {
        (Some(block), Some(own)) => Some(block.min(own)),
        (block, own) => block.or(own),
    })
}

/// Checks a timeout given by the user.
///
/// # Errors
/// ValueError where it is negative or not a number.
pub(crate) fn checked(seconds: f64) -> PyResult<f64> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("a timeout is a number of seconds, 0 or more, not {seconds}")));
    }
    Ok(seconds)
}

/// Seconds as a duration, at most a year.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, TIMEOUT_MAX))
}

/// When a wait of `timeout` seconds that begins now is over.
pub(crate) fn until(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    timeout.map(|seconds| checked(seconds).map(|seconds| Instant::now() + duration(seconds))).transpose()
}
