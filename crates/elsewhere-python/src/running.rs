//! Calls of peers that run here at this moment, and how one of them is broken off.
//!
//! Owns: which thread runs which calls, one inside another. Must not know: who wants a call broken off, coroutines.
//! An interrupt is raised where the call runs and nowhere else. In a thread that runs Python code of the call it comes at
//! the next bytecode. While the thread waits for a call that it made, it ends the wait. While the thread runs a call that
//! came in meanwhile, it is kept until that one has ended. What has ended is not broken off.
//! Everything here happens attached to the interpreter, so nobody else runs Python code meanwhile.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use elsewhere_engine::interrupts::{self, Interrupt};
use elsewhere_engine::{Link, Sleeper};
use elsewhere_proto::{CallId, Outcome};
use pyo3::prelude::*;

use crate::guarded::Guarded;
use crate::{connecting, errors};

/// How far the interrupt of a call is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotAsked,
    /// To be raised as soon as the call is the innermost one and its thread can be reached.
    Due,
    Raised,
    /// The interpreter was told to raise it in the thread.
    Sent,
}

struct Running {
    link: u64,
    call: CallId,
    stage: Stage,
    /// When it came to that stage, as [`now`] counts.
    since: u64,
}

impl Running {
    fn new(link: &Link, call: CallId) -> Self {
        Self { link: link.id(), call, stage: Stage::NotAsked, since: now() }
    }

    fn come_to(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = CHANGES.fetch_add(1, Ordering::Relaxed) + 1; // Relaxed: attached
    }
}

/// How often an interrupt of this process came to another stage.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// To be asked before a step, for [`raised_since`].
pub(crate) fn now() -> u64 {
    CHANGES.load(Ordering::Relaxed) // Relaxed: attached
}

/// A thread that runs calls of peers.
struct Runner {
    /// As `threading.get_ident` gives it.
    thread: std::ffi::c_long,
    sleeper: Sleeper,
    /// Whether it waits in the engine, for a call that it made.
    is_waiting: AtomicBool,
    /// The innermost last.
    calls: Guarded<Vec<Running>>,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Runner>>> = const { RefCell::new(None) };
}

/// Looks at the calling thread's entry, if it has one.
fn own<T>(look: impl FnOnce(&Runner) -> T) -> Option<T> {
    OWN.with_borrow(|own| own.as_deref().map(look))
}

fn runners() -> MutexGuard<'static, Vec<Weak<Runner>>> {
    static RUNNERS: Mutex<Vec<Weak<Runner>>> = Mutex::new(Vec::new());
    RUNNERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    fn enlist(py: Python<'_>) -> PyResult<Arc<Self>> {
        let thread = py.import("_thread")?.call_method0("get_ident")?.extract()?;
        let sleeper = Sleeper::current();
        let runner = Arc::new(Self { thread, sleeper, is_waiting: AtomicBool::new(false), calls: Guarded::default() });
        let mut all = runners();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&runner));
        Ok(runner)
    }

    /// Takes note that the call is to be broken off; whether it runs here and is the innermost one.
    fn mark(&self, py: Python<'_>, interrupt: Interrupt) -> Marked {
        self.calls.with(py, |calls| {
            let innermost = calls.len().wrapping_sub(1);
            let is_it = |running: &Running| running.link == interrupt.link && running.call == interrupt.call;
            let Some(at) = calls.iter().position(is_it) else { return Marked::NotHere };
            if calls[at].stage != Stage::NotAsked {
                return Marked::Before;
            }
            calls[at].come_to(Stage::Due);
            if at == innermost { Marked::Innermost } else { Marked::Outer }
        })
    }

    /// Whether the innermost call is to be broken off now. If so it is at `stage` from then on.
    fn take_due(&self, py: Python<'_>, stage: Stage) -> bool {
        self.calls.with(py, |calls| match calls.last_mut() {
            Some(running) if running.stage == Stage::Due => {
                running.come_to(stage);
                true
            }
            _ => false,
        })
    }

    fn is_own(&self) -> bool {
        own(|own| std::ptr::eq(own, self)).unwrap_or(false)
    }
}

enum Marked {
    NotHere,
    /// It was asked for before.
    Before,
    /// Calls run inside of it.
    Outer,
    Innermost,
}

/// Runs `body`, which is what the call does. Tells also whether it was broken off.
pub(crate) fn run<T>(py: Python<'_>, link: &Link, call: CallId, body: impl FnOnce() -> T) -> (T, bool) {
    let running = Running::new(link, call);
    if own(|runner| runner.calls.with(py, |calls| calls.push(running))).is_none() {
        let Ok(runner) = Runner::enlist(py) else { return (body(), false) };
        runner.calls.with(py, |calls| calls.push(Running::new(link, call)));
        OWN.set(Some(runner));
    }
    let result = body();
    let ended = own(|runner| runner.calls.with(py, Vec::pop));
    let stage = ended.flatten().map_or(Stage::NotAsked, |running| running.stage);
    if stage == Stage::Sent {
        catch_up(py);
    }
    (result, matches!(stage, Stage::Raised | Stage::Sent))
}

/// The call, or a step of ours, may have ended before the interpreter came to raise what it was told to: it does so now, in
/// a function that does nothing. To tell it that there is nothing to raise would leave CPython 3.11 looking for it for ever.
fn catch_up(py: Python<'_>) {
    let pass = py.import("elsewhere._errors").and_then(|module| module.getattr("_pass"));
    let _ = pass.and_then(|pass| pass.call0());
}

/// Runs `wait`, in which this thread detaches and waits for a call that it made.
pub(crate) fn waiting<T>(py: Python<'_>, wait: impl FnOnce() -> T) -> T {
    // Relaxed: read and written while attached.
    let set = |is_waiting| own(|runner| runner.is_waiting.store(is_waiting, Ordering::Relaxed));
    let _attached = py;
    set(true);
    let result = wait();
    set(false);
    result
}

/// To be asked after each wait and after each call that ran inside another one.
///
/// # Errors
/// CallCancelled, once, if the call that this thread runs is to be broken off.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    let is_due = own(|runner| runner.take_due(py, Stage::Raised)).unwrap_or(false);
    if is_due { Err(interrupted(py)) } else { Ok(()) }
}

fn interrupted(py: Python<'_>) -> PyErr {
    let text = "the caller gave this call up and wants it broken off";
    errors::make(py, "CallCancelled", text, Some(Outcome::Unknown), None, None)
}

/// Runs `step`, which we take for the call that this thread runs. An interrupt is raised at whatever step of Python's comes
/// next; where that is one of ours that goes on without what failed in it, or puts another error in its place, it would be
/// lost, and the call would run on. So it is raised behind the step.
///
/// # Errors
/// Those of `step`; CallCancelled, if that was raised in it.
pub(crate) fn whole<T>(py: Python<'_>, step: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let before = now();
    let result = step();
    match (raised_since(py, before), result) {
        (None, result) => result,
        (Some(_), Err(error)) if connecting::is_fatal(py, &error) => Err(error),
        (Some(interrupt), _) => Err(interrupt),
    }
}

/// The interrupt of the call that this thread runs, if it was raised since `before`, or was kept until a call inside of that
/// one had ended.
pub(crate) fn raised_since(py: Python<'_>, before: u64) -> Option<PyErr> {
    if now() == before {
        return None;
    }
    let look = |calls: &mut Vec<Running>| {
        let running = calls.last_mut().filter(|running| running.since > before && running.stage != Stage::NotAsked)?;
        let stage = running.stage;
        running.come_to(Stage::Raised);
        Some(stage)
    };
    let stage = own(|runner| runner.calls.with(py, look)).flatten()?;
    if stage == Stage::Sent {
        catch_up(py);
    }
    Some(interrupted(py))
}

/// Breaks off what peers want broken off, on whatever thread it runs. To be called by any thread that hears of it; where
/// it is the calling thread itself, [`check`] raises it.
pub(crate) fn heed(py: Python<'_>) {
    for interrupt in interrupts::take() {
        break_off(py, interrupt);
    }
}

fn break_off(py: Python<'_>, interrupt: Interrupt) {
    let all: Vec<_> = runners().iter().filter_map(Weak::upgrade).collect();
    for runner in all {
        match runner.mark(py, interrupt) {
            Marked::NotHere => {}
            Marked::Innermost if !runner.is_own() => {
                if runner.is_waiting.load(Ordering::Relaxed) {
                    runner.sleeper.nudge(); // Relaxed: see `waiting`
                } else if runner.take_due(py, Stage::Sent) {
                    raise_in(py, &runner);
                }
                return;
            }
            Marked::Innermost | Marked::Outer | Marked::Before => return,
        }
    }
}

fn raise_in(py: Python<'_>, runner: &Runner) {
    let class = py.import("elsewhere._errors").and_then(|module| module.getattr("CallCancelled"));
    let Ok(class) = class else { return };
    // SAFETY: the interpreter is attached, and `class` is a live class that the call takes its own reference of. A thread
    // that has ended is not found, which is no error.
    unsafe { pyo3::ffi::PyThreadState_SetAsyncExc(runner.thread, class.as_ptr()) };
}

/// The handler of the signal that says that a call is to be broken off: it runs on the main thread of a host.
#[pyfunction]
#[pyo3(signature = (*_signal))]
pub(crate) fn _attend(py: Python<'_>, _signal: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
    heed(py);
    check(py)
}

/// A forked child runs nothing of its parent's, and its one thread sleeps elsewhere.
pub(crate) fn forget() {
    runners().clear();
    OWN.set(None);
}
