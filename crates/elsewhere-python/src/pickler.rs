//! Picklers that are used again: making one, its file and its tables costs as much as a small pickle.
//!
//! Owns: pickle's own picklers between two uses, which buffers stand beside a pickle. Must not know: references, what is
//! pickled for whom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};

use crate::buffers;

/// A file that has grown beyond this is not kept.
const KEPT: usize = 1 << 20;

/// How pickles are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Bound methods and generators go by reference.
    pub(crate) is_argument: bool,
    /// The peer takes memory: arrays stand beside the pickle.
    pub(crate) is_sharing: bool,
}

/// What the table of reducers depends on that may change: a pickler with another one is not used again.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Surroundings {
    /// How many types are registered with copyreg.
    registered: usize,
    /// How many of the kinds of arrays that have a reducer of ours are loaded.
    arrays: usize,
}

/// A pickler between two uses: empty, and it remembers nothing.
struct Pickler {
    made_for: Surroundings,
    collect: Py<Collector>,
    dump: Py<PyAny>,
    getvalue: Py<PyAny>,
    /// What makes it empty again.
    seek: Py<PyAny>,
    truncate: Py<PyAny>,
    clear_memo: Py<PyAny>,
}

/// One of each manner. Whoever finds none, because another thread or a pickle around this one has it, makes one.
static PLACES: [Mutex<Option<Pickler>>; 4] = [const { Mutex::new(None) }; 4];

/// The buffers of a pickle that stand beside it. All others stay in it, where they cost less.
#[pyclass(frozen, module = "elsewhere._core")]
#[derive(Default)]
pub(crate) struct Collector(Mutex<Vec<Py<PyAny>>>);

impl Collector {
    fn lock(&self) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was collected since the last time.
    pub(crate) fn take(&self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut *self.lock())
    }
}

#[pymethods]
impl Collector {
    /// Whether the buffer stays in the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        let is_beside = buffers::goes_beside(buffer)?;
        if is_beside {
            self.lock().push(buffer.clone().unbind());
        }
        Ok(!is_beside)
    }
}

/// Pickles `value`; gives the pickle and its out-of-band buffers.
///
/// # Errors
/// What pickle raises.
pub(crate) fn dumps<'py>(value: &Bound<'py, PyAny>, manner: Manner) -> PyResult<(Bound<'py, PyBytes>, Vec<Py<PyAny>>)> {
    let py = value.py();
    let surroundings = Surroundings::now(py, manner)?;
    let place = &PLACES[usize::from(manner.is_argument) * 2 + usize::from(manner.is_sharing)];
    // A lock that is taken belongs to a thread that puts its pickler back: nobody waits for it, in a fork neither.
    let kept = place.try_lock().ok().and_then(|mut place| place.take());
    let pickler = match kept {
        Some(pickler) if pickler.made_for == surroundings => pickler,
        _ => Pickler::new(py, manner, surroundings)?,
    };
    // One that failed is not used again: it holds what it has begun.
    let made = pickler.dumps(value)?;
    if made.0.as_bytes().len() <= KEPT && pickler.reset(py).is_ok() {
        let before = place.try_lock().ok().and_then(|mut place| place.replace(pickler));
        drop(before); // after the lock: what Python frees may run code
    }
    Ok(made)
}

impl Pickler {
    fn new(py: Python<'_>, manner: Manner, made_for: Surroundings) -> PyResult<Self> {
        static FILE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static PICKLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let file = FILE.import(py, "io", "BytesIO")?.call0()?;
        let collect = Bound::new(py, Collector::default())?;
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "buffer_callback"), &collect)?;
        let pickler = PICKLER.import(py, "_pickle", "Pickler")?.call((&file, 5), Some(&kwargs))?;
        let reducers = py.import("elsewhere._pickle")?.getattr("reducers_of")?;
        let table = reducers.call1((manner.is_argument, manner.is_sharing))?;
        pickler.setattr(intern!(py, "dispatch_table"), table)?;
        Ok(Self {
            made_for,
            collect: collect.unbind(),
            dump: pickler.getattr(intern!(py, "dump"))?.unbind(),
            getvalue: file.getattr(intern!(py, "getvalue"))?.unbind(),
            seek: file.getattr(intern!(py, "seek"))?.unbind(),
            truncate: file.getattr(intern!(py, "truncate"))?.unbind(),
            clear_memo: pickler.getattr(intern!(py, "clear_memo"))?.unbind(),
        })
    }

    fn dumps<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, Vec<Py<PyAny>>)> {
        let py = value.py();
        self.dump.bind(py).call1((value,))?;
        let data = self.getvalue.bind(py).call0()?.cast_into::<PyBytes>()?;
        Ok((data, self.collect.get().take()))
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.clear_memo.bind(py).call0()?;
        self.seek.bind(py).call1((0,))?;
        self.truncate.bind(py).call0()?;
        Ok(())
    }
}

impl Surroundings {
    fn now(py: Python<'_>, manner: Manner) -> PyResult<Self> {
        static REGISTERED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        let registered = REGISTERED.import(py, "copyreg", "dispatch_table")?.len();
        let arrays = if manner.is_sharing { arrays(py)? } else { 0 };
        Ok(Self { registered, arrays })
    }
}

/// How many of the kinds of arrays are loaded that pickle would copy into its stream where we need not.
fn arrays(py: Python<'_>) -> PyResult<usize> {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let loaded = MODULES.import(py, "sys", "modules")?.len();
    // Relaxed, here and below: the GIL is held, and nothing else depends on it.
    if loaded != SEEN.load(Ordering::Relaxed) {
        let reducers = py.import("elsewhere._shared")?.getattr("reducers")?.call0()?;
        KNOWN.store(reducers.len()?, Ordering::Relaxed); // fewer while one is imported, after which there are more modules
        SEEN.store(loaded, Ordering::Relaxed);
    }
    Ok(KNOWN.load(Ordering::Relaxed))
}
