//! Threads that run Python code from inside ours, and how they are brought home before the interpreter goes down.
//!
//! Owns: who is on such an errand. Must not know: what the code does.
//! Up to CPython 3.13 an interpreter that goes down ends each thread that asks for it by `pthread_exit`. That unwinds the
//! thread's stack, and a stack with Rust frames below Python frames cannot be unwound so: the process aborts. A thread
//! that comes back to a frame of ours is safe, since it stays in its next wait, or where it attaches again. So before the
//! interpreter goes down, the threads that are out get some time to come back, and then an exception that brings them.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use elsewhere_engine::exit;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use crate::call;

/// How long threads may finish what they are doing, and how long they may take to heed the exception.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether they have.
const GLANCE: Duration = Duration::from_millis(1);

/// One thread, and how deep it is in Python code that we called.
struct Traveller {
    /// As `threading.get_ident` gives it.
    thread: std::ffi::c_long,
    depth: AtomicUsize,
}

thread_local! {
    static OWN: OnceCell<Option<Arc<Traveller>>> = const { OnceCell::new() };
}

fn travellers() -> MutexGuard<'static, Vec<Weak<Traveller>>> {
    static TRAVELLERS: Mutex<Vec<Weak<Traveller>>> = Mutex::new(Vec::new());
    TRAVELLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new entry for the calling thread; none for the main thread, which takes the interpreter down itself.
fn enlist(py: Python<'_>) -> Option<Arc<Traveller>> {
    if call::is_main_thread() {
        return None;
    }
    let thread = py.import("_thread").and_then(|module| module.call_method0("get_ident")?.extract()).ok()?;
    let traveller = Arc::new(Traveller { thread, depth: AtomicUsize::new(0) });
    let mut all = travellers();
    all.retain(|other| other.strong_count() > 0);
    all.push(Arc::downgrade(&traveller));
    Some(traveller)
}

/// Runs `errand`, which may run Python code.
pub(crate) fn run<T>(py: Python<'_>, errand: impl FnOnce() -> T) -> T {
    // SeqCst: pairs with the look of `bring_home`, which comes after the exit has begun.
    let change = |by: isize| {
        OWN.with(|own| {
            if let Some(traveller) = own.get_or_init(|| enlist(py)) {
                traveller.depth.fetch_add(by.cast_unsigned(), Ordering::SeqCst);
            }
        });
    };
    change(1);
    let result = errand();
    change(-1);
    result
}

/// What each errand that begins one passes: once the exit has begun, other threads stay here for ever.
pub(crate) fn pass(py: Python<'_>) {
    if exit::has_begun() {
        py.detach(exit::gate);
    }
}

/// Waits until no thread is out. To be called after the exit has begun, on the thread that ends the process.
pub(crate) fn bring_home(py: Python<'_>) {
    if wait_for_all(py) {
        return;
    }
    for traveller in away() {
        let exception = py.get_type::<PySystemExit>();
        // SAFETY: the interpreter is attached, and the exception is a live class that the call takes its own reference
        // of. A thread that has ended meanwhile is not found, which is no error.
        unsafe { pyo3::ffi::PyThreadState_SetAsyncExc(traveller.thread, exception.as_ptr()) };
    }
    wait_for_all(py);
}

fn away() -> Vec<Arc<Traveller>> {
    let all: Vec<_> = travellers().iter().filter_map(Weak::upgrade).collect();
    all.into_iter().filter(|traveller| traveller.depth.load(Ordering::SeqCst) > 0).collect() // SeqCst: see `run`
}

fn wait_for_all(py: Python<'_>) -> bool {
    let end = Instant::now() + PATIENCE;
    while !away().is_empty() {
        if Instant::now() > end {
            return false;
        }
        py.detach(|| std::thread::sleep(GLANCE));
    }
    true
}

/// A forked child has one thread, and nobody is out.
pub(crate) fn forget() {
    travellers().clear();
}
