//! Which call this thread or task runs, and so in whose chain its own calls are made.
//!
//! Owns: the chain of each thread and of each task. Must not know: who waits in it (the engine does).
//! A call that is made inside another one has its chain, a call outside of any begins a chain of its own. A thread that
//! runs a method knows its call by itself; a task keeps it in its context, and so do the tasks and the threads that it
//! starts with its context. Any other thread that a method starts begins new chains.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use elsewhere_proto::{CallId, ChainId};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

thread_local! {
    /// The chain of the call that this thread is running, and the link that it came by.
    static INSIDE: Cell<Option<(ChainId, u64)>> = const { Cell::new(None) };
    /// The calls that this thread is in the midst of, by link and id, one inside the other.
    static CALLS: RefCell<Vec<(u64, CallId)>> = const { RefCell::new(Vec::new()) };
    /// How many waits of this thread stand still while a call runs in them.
    static WAITS: Cell<usize> = const { Cell::new(0) };
}

/// Whether any task ever had a call; while none had, no call looks for one.
static IS_IN_CONTEXTS: AtomicBool = AtomicBool::new(false);

/// The same for a task.
#[pyclass(frozen, module = "elsewhere._core")]
struct Inside {
    chain: ChainId,
    link: u64,
}

/// A chain that no other process uses: 64 random bits to start from, counted up.
pub(crate) fn next(_: Python<'_>) -> ChainId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Relaxed, and not in one step: who holds the interpreter is alone here.
    let next = match NEXT.load(Ordering::Relaxed) {
        0 => RandomState::new().hash_one(std::process::id()) | 1,
        next => next,
    };
    NEXT.store(next.wrapping_add(1), Ordering::Relaxed);
    ChainId(next)
}

/// The chain of a call that is made now, and whether it came in from outside.
pub(crate) fn of_call(py: Python<'_>) -> (ChainId, bool) {
    current(py).map_or_else(|| (next(py), false), |(chain, _)| (chain, true))
}

/// Runs `body` as part of a call in `chain`, which came by the link `link`.
pub(crate) fn inside<T>(chain: ChainId, link: u64, call: CallId, body: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(Some((chain, link)));
    CALLS.with_borrow_mut(|calls| calls.push((link, call)));
    let result = body();
    CALLS.with_borrow_mut(Vec::pop);
    INSIDE.set(before);
    result
}

/// In a fork that becomes a host: the calls that its parent is in the midst of are not its own.
pub(crate) fn forget() {
    INSIDE.set(None);
    CALLS.take();
    WAITS.set(0);
}

/// Runs `body` in the midst of a wait of this thread.
pub(crate) fn while_waiting<T>(body: impl FnOnce() -> T) -> T {
    WAITS.set(WAITS.get() + 1);
    let result = body();
    WAITS.set(WAITS.get() - 1);
    result
}

/// Whether this thread could go on with its loop after the call that it runs: no wait and no other call stands still
/// below that one.
pub(crate) fn is_outermost() -> bool {
    WAITS.get() == 0 && CALLS.with_borrow(Vec::len) <= 1
}

/// Whether this thread is in the midst of this call: if it waits for it, nobody ends it.
pub(crate) fn is_in_midst_of(link: u64, call: CallId) -> bool {
    CALLS.with_borrow(|calls| calls.contains(&(link, call)))
}

/// Makes the running task's context one of `chain`, which came by the link `link`.
///
/// # Errors
/// Those of the interpreter, when it is out of memory.
pub(crate) fn enter_context(py: Python<'_>, chain: ChainId, link: u64) -> PyResult<()> {
    variable(py)?.call_method1("set", (Bound::new(py, Inside { chain, link })?,))?;
    IS_IN_CONTEXTS.store(true, Ordering::Relaxed); // Relaxed: a task sees what it stored itself
    Ok(())
}

/// The chain that this thread or task is part of, and the link that it came by.
pub(crate) fn current(py: Python<'_>) -> Option<(ChainId, u64)> {
    if let Some(inside) = INSIDE.get() {
        return Some(inside);
    }
    if !IS_IN_CONTEXTS.load(Ordering::Relaxed) {
        return None; // Relaxed: see `enter_context`
    }
    let held = variable(py).and_then(|variable| variable.call_method1("get", (crate::encode::none(py),))).ok()?;
    let inside = held.cast_exact::<Inside>().ok()?.get();
    Some((inside.chain, inside.link))
}

fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let variable = VARIABLE.get_or_try_init(py, || {
        py.import("contextvars")?.getattr("ContextVar")?.call1(("elsewhere_call",)).map(Bound::unbind)
    })?;
    Ok(variable.bind(py))
}
