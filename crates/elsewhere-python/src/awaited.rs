//! A future as a coroutine: `asyncio.run`, `create_task` and task groups take nothing else.
//!
//! Owns: what each task that drives the future as its coroutine has come to. Must not know: loops, how an await waits
//! (`elsewhere._awaiting` does). A coroutine is driven by one task; a future may be by several, each by itself.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::future::Future;

/// How many answers in a row a loop's thread may look for before the loop has a turn: less than a millisecond.
const IN_A_ROW: u32 = 40;

/// The awaits of a future that have begun and not ended, by the address of the task (0: none).
#[derive(Default)]
pub(crate) struct Awaits(Mutex<Vec<(usize, Py<PyAny>)>>);

impl Awaits {
    fn table(&self) -> MutexGuard<'_, Vec<(usize, Py<PyAny>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<'py>(&self, py: Python<'py>, task: usize) -> Option<Bound<'py, PyAny>> {
        self.table().iter().find(|(of, _)| *of == task).map(|(_, found)| found.bind(py).clone())
    }

    fn take(&self, task: usize) -> Option<Py<PyAny>> {
        let mut table = self.table();
        let at = table.iter().position(|(of, _)| *of == task)?;
        Some(table.swap_remove(at).1)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(table) = self.0.try_lock() else { return Ok(()) };
        table.iter().try_for_each(|(_, iterator)| visit.call(iterator))
    }

    pub(crate) fn clear(&self) {
        let table = std::mem::take(&mut *self.table());
        drop(table); // after the lock
    }
}

/// Whether the answer is here, or comes while the thread looks for it, as long as that has been worth while of late: at
/// most 20 µs. Now and then it says no, so that the loop of a task which awaits one answer after another has turns.
pub(crate) fn comes_at_once(future: &Bound<'_, Future>) -> bool {
    thread_local! { static ROW: Cell<u32> = const { Cell::new(0) }; }
    let row = ROW.get();
    if row == IN_A_ROW {
        ROW.set(0);
        return false;
    }
    ROW.set(row + 1);
    if Future::is_here(future) {
        return true;
    }
    let sent = future.get().sent();
    sent.peer.link.spin(&sent.pending) && Future::is_here(future)
}

/// Goes on with the await of the task that runs, or begins it.
///
/// # Errors
/// StopIteration with the value, at the end; what the call raised.
pub(crate) fn send<'py>(future: &Bound<'py, Future>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let task = running_task(future.py())?;
    let awaits = future.get().awaits();
    let iterator = match awaits.find(future.py(), task) {
        Some(iterator) => iterator,
        None => {
            let iterator = future.call_method0("__await__")?;
            awaits.table().push((task, iterator.clone().unbind()));
            iterator
        }
    };
    let stepped = iterator.call_method1("send", (value,));
    if stepped.is_err() {
        let ended = awaits.take(task);
        drop(ended);
    }
    stepped
}

/// Raises an exception where the task that runs waits. Before it does, a cancellation cancels the call.
///
/// # Errors
/// That exception, or whatever comes of it.
pub(crate) fn throw<'py>(future: &Bound<'py, Future>, raised: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let task = running_task(py)?;
    let awaits = future.get().awaits();
    let iterator = match awaits.find(py, task) {
        Some(iterator) => iterator,
        None => {
            future.call_method0("cancel")?;
            future.call_method0("__await__")?
        }
    };
    let stepped = iterator.call_method1("throw", raised);
    if stepped.is_err() {
        let ended = awaits.take(task);
        drop(ended);
    }
    stepped
}

/// Ends the await of the task that runs.
///
/// # Errors
/// What closing it raises.
pub(crate) fn close(future: &Bound<'_, Future>) -> PyResult<()> {
    let py = future.py();
    match future.get().awaits().take(running_task(py)?) {
        Some(iterator) => iterator.bind(py).call_method0("close").map(drop),
        None => Ok(()),
    }
}

fn running_task(py: Python<'_>) -> PyResult<usize> {
    let task = py.import("elsewhere._awaiting")?.call_method0("_current_task")?;
    Ok(if task.is_none() { 0 } else { task.as_ptr() as usize })
}
