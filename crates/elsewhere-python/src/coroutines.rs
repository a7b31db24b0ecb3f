//! Calls whose coroutine runs: on which loop, until when, and what becomes of it.
//!
//! Owns: the coroutines of this process that a peer waits for. Must not know: event loops (`elsewhere._tasks` does), what
//! the end of a coroutine means (whoever had it started says so).
//!
//! In a host a coroutine runs on the host's loop, which lives on the main thread. A local host has a loop that runs while
//! somebody waits. Elsewhere it runs on the loop from which its object was offered. No loop is run inside another: where
//! the thread that would have to run the coroutine waits for this very call, the call is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use elsewhere_engine::{Inbox, Lane, Link, Work};
use elsewhere_proto::{CallId, ChainId, ObjectId};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::deadline::Moment;
use crate::peer::Peer;
use crate::{call, chain, deadline, errands, lifecycle, server, service, serving};

/// How a coroutine ended.
pub(crate) enum End<'py> {
    Value(Bound<'py, PyAny>),
    Raised(PyErr),
    /// The peer gave it up; if it had not begun, it never will.
    Cancelled {
        had_begun: bool,
    },
}

/// What is to be done when it has ended, in its context.
pub(crate) type Job = Box<dyn for<'py> FnOnce(Python<'py>, End<'py>) + Send>;

/// Where a coroutine runs.
pub(crate) enum Place {
    /// Here and now, on the loop of the local host with this number.
    Local(u64),
    /// On the loop that this thread runs.
    Running,
    /// On the loop of this host.
    Host,
    /// On a loop of the program, found by calling this.
    Loop(Py<PyAny>),
    /// The object was not offered from a loop.
    Nowhere,
}

/// Why a coroutine is not run.
pub(crate) enum Refusal {
    /// The thread of its loop waits for it.
    Deadlock(&'static str),
    /// Its loop does not run.
    NoLoop,
    Failed(PyErr),
}

/// A coroutine that a peer waits for.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct Running {
    key: (u64, CallId),
    chain: ChainId,
    limit: Option<Instant>,
    /// Whether a host that runs one call at a time runs no other meanwhile.
    is_turn: bool,
    /// What hands out no further call meanwhile, at a server that runs one at a time.
    held: Option<Arc<Inbox>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    job: Option<Job>,
    cancel: Option<Py<PyAny>>,
    is_given_up: bool,
    moment: Option<Py<Moment>>,
    /// The lane that is shut until it ends.
    lane: Option<Lane>,
}

/// How many coroutines a host runs that are turns.
static TURNS: AtomicUsize = AtomicUsize::new(0);

type All = HashMap<(u64, CallId), Py<Running>>;

/// In a fork that becomes a host: the coroutines of its parent are the parent's to run.
pub(crate) fn forget() {
    TURNS.store(0, Ordering::SeqCst); // SeqCst: the process has one thread
    std::mem::forget(std::mem::take(&mut *all()));
}

fn all() -> MutexGuard<'static, All> {
    static ALL: OnceLock<Mutex<All>> = OnceLock::new();
    ALL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a coroutine runs that is the turn of a call.
pub(crate) fn has_turn() -> bool {
    TURNS.load(Ordering::SeqCst) > 0 // SeqCst: no hot path
}

/// Where the coroutines of `object` run, which `peer` calls.
pub(crate) fn place_of(py: Python<'_>, peer: &Peer, object: ObjectId) -> Place {
    if peer.near.get().is_some() {
        return Place::Local(peer.link.id());
    }
    if let Some(served) = server::of(peer) {
        return served.place(py).unwrap_or(Place::Nowhere);
    }
    if lifecycle::owner().is_some() {
        return Place::Host;
    }
    peer.loop_of(py, object).map_or(Place::Nowhere, Place::Loop)
}

/// Runs a coroutine of a local host to its end.
///
/// # Errors
/// [`Refusal`]: the coroutine is closed and has not begun.
pub(crate) fn run_here<'py>(host: u64, coroutine: &Bound<'py, PyAny>) -> Result<PyResult<Bound<'py, PyAny>>, Refusal> {
    let py = coroutine.py();
    let run = || -> PyResult<Option<PyResult<Bound<'py, PyAny>>>> {
        let module = py.import("elsewhere._local_loop")?;
        if module.call_method1("is_running", (host,))?.extract()? {
            return Ok(None);
        }
        let chain = chain::current(py).map_or(0, |(chain, _)| chain.0);
        Ok(Some(module.call_method1("run", (host, chain, coroutine))))
    };
    let refusal = match run() {
        Ok(Some(result)) => return Ok(result),
        Ok(None) => Refusal::Deadlock("the loop of this local host waits for it in another coroutine"),
        Err(error) => Refusal::Failed(error),
    };
    close(coroutine);
    Err(refusal)
}

/// Ends the loop of a local host that has ended, if it had one.
pub(crate) fn forget_local(py: Python<'_>, host: u64) {
    // Not found while the interpreter goes down: then all of them were closed before.
    let modules = py.import("sys").and_then(|sys| sys.getattr("modules"));
    let Ok(module) = modules.and_then(|modules| modules.get_item("elsewhere._local_loop")) else { return };
    if let Err(error) = module.call_method1("close", (host,)) {
        lifecycle::report(py, &error, "the loop of a local host could not be closed");
    }
}

/// Starts a coroutine for a call of `peer`; at its end `job` is done.
///
/// # Errors
/// [`Refusal`]: the coroutine is closed and has not begun.
pub(crate) fn start<'py>(
    place: &Place,
    coroutine: &Bound<'py, PyAny>,
    (peer, call, chain, limit): (&Arc<Peer>, CallId, ChainId, Option<Instant>),
    job: Job,
) -> Result<(), Refusal> {
    let py = coroutine.py();
    let is_turn = lifecycle::owner().is_some_and(|owner| Arc::ptr_eq(&owner, peer));
    let key = (peer.link.id(), call);
    let state = Mutex::new(State { job: Some(job), ..State::default() });
    let held = server::of(peer).and_then(|served| served.serial_inbox());
    let running = Bound::new(py, Running { key, chain, limit, is_turn, held, state }).map_err(Refusal::Failed)?;
    Running::enter_list(&running);
    if peer.link.is_given_up(call) {
        running.get().state().is_given_up = true; // told before there was a coroutine to tell
    }
    let started = match place {
        Place::Local(_) => unreachable!("a local host runs its coroutines to their end"),
        Place::Running => start_in_running(coroutine, &running),
        Place::Host => start_in_host(coroutine, &running),
        Place::Loop(find) => start_in_loop(find, coroutine, &running),
        Place::Nowhere => Err(Refusal::NoLoop),
    };
    if started.is_err() {
        let left = std::mem::take(&mut *running.get().state());
        drop(left);
        Running::leave_list(&running);
        close(coroutine);
        return started;
    }
    Ok(())
}

/// A coroutine that is not run is told so, or it would warn that nobody awaited it.
fn close(coroutine: &Bound<'_, PyAny>) {
    if let Err(error) = coroutine.call_method0("close") {
        lifecycle::report(coroutine.py(), &error, "a coroutine that is not run could not be closed");
    }
}

/// Starts a coroutine on the loop that this thread runs, from which it serves.
fn start_in_running<'py>(coroutine: &Bound<'py, PyAny>, running: &Bound<'py, Running>) -> Result<(), Refusal> {
    if !chain::is_outermost() {
        return Err(Refusal::Deadlock("the thread of the loop that would run it waits for it"));
    }
    let start = || -> PyResult<()> {
        let py = coroutine.py();
        let found = py.import("asyncio")?.call_method0("get_running_loop")?;
        py.import("elsewhere._tasks")?.call_method1("start", (found, coroutine, running)).map(drop)
    };
    start().map_err(Refusal::Failed)
}

fn start_in_host<'py>(coroutine: &Bound<'py, PyAny>, running: &Bound<'py, Running>) -> Result<(), Refusal> {
    if call::is_main_thread() {
        if !chain::is_outermost() {
            return Err(Refusal::Deadlock("the host's main thread, which runs its coroutines, waits for it"));
        }
        return start_on_main(coroutine, running).map_err(Refusal::Failed);
    }
    running.get().state().lane = serving::keep_lane_shut();
    let coroutine = coroutine.clone().unbind();
    let key = service::watch(service::Watched::Coroutine { coroutine, running: running.clone().unbind() });
    serving::push_errand(Work::Completed(key));
    Ok(())
}

/// Starts a coroutine on the loop of this host, which is made for the first one.
fn start_on_main<'py>(coroutine: &Bound<'py, PyAny>, running: &Bound<'py, Running>) -> PyResult<()> {
    serving::want_loop();
    let started = running.py().import("elsewhere._host_loop")?.call_method1("start", (coroutine, running));
    started.map(drop)
}

/// Starts what another thread handed to the main thread.
pub(crate) fn handed_over(py: Python<'_>, coroutine: Py<PyAny>, running: Py<Running>) {
    let (coroutine, running) = (coroutine.into_bound(py), running.into_bound(py));
    if running.get().state().is_given_up {
        close(&coroutine);
        Running::end(&running, End::Cancelled { had_begun: false });
    } else if let Err(error) = start_on_main(&coroutine, &running) {
        close(&coroutine);
        Running::end(&running, End::Raised(error));
    }
}

fn start_in_loop<'py>(
    find: &Py<PyAny>,
    coroutine: &Bound<'py, PyAny>,
    running: &Bound<'py, Running>,
) -> Result<(), Refusal> {
    let py = coroutine.py();
    let hand_over = || -> PyResult<String> {
        py.import("elsewhere._tasks")?
            .call_method1("hand_over", (find, coroutine, running, running.get().chain.0))?
            .extract()
    };
    match hand_over().as_deref() {
        Ok("started") => Ok(()),
        Ok("blocked") => Err(Refusal::Deadlock("the thread of the loop that would run it waits for it")),
        Ok(_) => Err(Refusal::NoLoop),
        Err(error) => Err(Refusal::Failed(error.clone_ref(py))),
    }
}

/// The peer gave a call up: its coroutine is cancelled. False if no coroutine runs for it.
pub(crate) fn cancel(py: Python<'_>, link: &Arc<Link>, call: CallId) -> bool {
    let Some(running) = all().get(&(link.id(), call)).map(|running| running.clone_ref(py)) else { return false };
    let cancel = {
        let mut state = running.get().state();
        state.is_given_up = true;
        state.cancel.as_ref().map(|cancel| cancel.clone_ref(py))
    };
    if let Some(Err(error)) = cancel.map(|cancel| cancel.call0(py)) {
        lifecycle::report(py, &error, "a coroutine could not be cancelled");
    }
    true
}

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter_list(slf: &Bound<'_, Self>) {
        let before = all().insert(slf.get().key, slf.clone().unbind());
        if before.is_none() && slf.get().is_turn {
            TURNS.fetch_add(1, Ordering::SeqCst); // SeqCst: no hot path
        }
        if let Some(inbox) = slf.get().held.as_ref().filter(|_| before.is_none()) {
            inbox.hold();
        }
        drop(before); // after the lock
    }

    fn leave_list(slf: &Bound<'_, Self>) {
        let held = all().remove(&slf.get().key);
        if held.is_some() && slf.get().is_turn {
            TURNS.fetch_sub(1, Ordering::SeqCst); // SeqCst: no hot path
        }
        if let Some(inbox) = slf.get().held.as_ref().filter(|_| held.is_some()) {
            inbox.let_go();
        }
        drop(held); // after the lock
    }

    /// The coroutine has ended: the job is done, once.
    fn end(slf: &Bound<'_, Self>, end: End<'_>) {
        let py = slf.py();
        let this = slf.get();
        let State { job, cancel, moment, lane, .. } = std::mem::take(&mut *this.state());
        let Some(job) = job else { return };
        Self::leave_list(slf); // before the job, which may have another coroutine started for the same call
        errands::run(py, || chain::inside(this.chain, this.key.0, this.key.1, || job(py, end)));
        if let Some(moment) = moment {
            deadline::end_carried(&moment);
        }
        drop(cancel);
        if let Some(lane) = lane {
            serving::open_lane(lane);
        }
    }
}

#[pymethods]
impl Running {
    /// The coroutine has a task now; `cancel()` cancels it, from any thread.
    fn began(slf: &Bound<'_, Self>, cancel: &Bound<'_, PyAny>) -> PyResult<()> {
        let is_given_up = {
            let mut state = slf.get().state();
            if state.job.is_none() {
                return Ok(());
            }
            state.cancel = Some(cancel.clone().unbind());
            state.is_given_up
        };
        if is_given_up {
            cancel.call0()?;
        }
        Ok(())
    }

    /// Make the context of the running task that of the call.
    fn enter(&self, py: Python<'_>) -> PyResult<()> {
        chain::enter_context(py, self.chain, self.key.0)?;
        let moment = deadline::carry_in_task(py, self.limit)?;
        self.state().moment = moment;
        Ok(())
    }

    /// The coroutine has returned.
    fn finish(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) {
        Self::end(slf, End::Value(value.clone()));
    }

    /// The coroutine has raised.
    fn fail(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) {
        let is_given_up = slf.get().state().is_given_up;
        let end = if is_given_up {
            End::Cancelled { had_begun: true }
        } else {
            End::Raised(PyErr::from_value(error.clone()))
        };
        Self::end(slf, end);
    }

    /// The task was cancelled before the coroutine began; does nothing if it has ended otherwise.
    fn never_began(slf: &Bound<'_, Self>) {
        Self::end(slf, End::Cancelled { had_begun: false });
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.state.try_lock() {
            Ok(state) => visit.call(&state.cancel),
            Err(_) => Ok(()),
        }
    }
}

/// What leads to the event loop that this thread runs, for a process that is no host: hosts have a loop of their own.
pub(crate) fn current_loop(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    if lifecycle::owner().is_some() {
        return Ok(None);
    }
    let modules = py.import("sys")?.getattr("modules")?;
    if !modules.contains("asyncio.events")? && !modules.contains("trio.lowlevel")? {
        return Ok(None);
    }
    let found = py.import("elsewhere._tasks")?.call_method0("current_loop")?;
    Ok((!found.is_none()).then(|| found.unbind()))
}
