//! The threads of a host: what each of them takes from the inbox, and when there are more of them.
//!
//! Owns: the host's concurrency, its main thread's waits, its worker threads. Must not know: what a call does (calls_in),
//! how work gets into the inbox (the engine's).
//!
//! * serial: the main thread takes one call after another. While a coroutine runs it takes none.
//! * threads, up to a number: each takes the first call whose lane is not shut. A call shuts its lane until it begins, so
//!   that the calls of a lane begin in their order, and may then overlap.
//! * async: the main thread, which runs the loop from the start, takes calls in order. Coroutines overlap at their awaits.
//! * caller: each lane has a thread, made for its first call. A call shuts its lane until it has ended.
//!
//! Coroutines always run on the loop of the main thread. With threads it takes no calls, and leaves the stream to them.

use std::cell::{Cell, RefCell};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use elsewhere_engine::{Alarm, Inbox, InboxWake, Lane, Taker, Work};
use elsewhere_proto::{Capabilities, ErrorKind, Outcome, Want};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::is_main_thread;
use crate::peer::{self, Peer};
use crate::{answer, class_info, coroutines, guests, lifecycle, service, threads};

/// A tick so long that only a signal ends a wait before its time: an idle host has no wake-ups.
const SIGNALS_ONLY: Duration = Duration::from_secs(86_400);

/// How a host runs the calls that come to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concurrency {
    Serial,
    Threads(usize),
    Async,
    Caller,
}

/// See [`Concurrency::to_word`]. An atomic, since each call asks.
static CONCURRENCY: AtomicUsize = AtomicUsize::new(0);
/// Whether a coroutine was started, and with it the loop that the main thread is to wait in.
static IS_LOOP_WANTED: AtomicBool = AtomicBool::new(false);
/// How many worker threads there are.
static WORKERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The lane that the call which this thread took has shut.
    static SHUT: Cell<Option<Lane>> = const { Cell::new(None) };
    /// The server that this thread is one of several of, and how it runs calls.
    static CREW: RefCell<Option<(Arc<Inbox>, Concurrency)>> = const { RefCell::new(None) };
    /// Whether the lane of this thread has ended.
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
}

impl Concurrency {
    /// A number for it: that of the threads, where there is one.
    const fn to_word(self) -> usize {
        match self {
            Self::Serial => 0,
            Self::Threads(threads) => threads,
            Self::Caller => usize::MAX - 1,
            Self::Async => usize::MAX,
        }
    }

    const fn of_word(word: usize) -> Self {
        match word {
            0 => Self::Serial,
            usize::MAX => Self::Async,
            word if word == usize::MAX - 1 => Self::Caller,
            threads => Self::Threads(threads),
        }
    }

    /// What the owner is told of it.
    pub(crate) fn capabilities(self) -> Capabilities {
        match self {
            Self::Serial => Capabilities::SERIAL,
            Self::Caller => Capabilities::LANES,
            Self::Threads(_) | Self::Async => Capabilities::default(),
        }
    }

    /// Whether several threads take calls.
    pub(crate) fn has_workers(self) -> bool {
        matches!(self, Self::Threads(_) | Self::Caller)
    }

    /// What the main thread takes now.
    fn of_main(self) -> Taker {
        match self {
            Self::Serial if coroutines::has_turn() => Taker::Errands,
            Self::Serial | Self::Async => Taker::All,
            Self::Threads(_) | Self::Caller => Taker::Errands,
        }
    }

    /// What a new worker takes.
    pub(crate) fn of_worker(self) -> Taker {
        if self == Self::Caller { Taker::New } else { Taker::Any }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Concurrency {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        // The word first: to refuse it as a number is to make an error.
        match object.extract::<String>().as_deref() {
            Ok("serial") => return Ok(Self::Serial),
            Ok("async") => return Ok(Self::Async),
            Ok("caller") => return Ok(Self::Caller),
            _ => {}
        }
        match object.extract::<usize>() {
            Ok(threads @ 1..) => Ok(Self::Threads(threads)),
            _ => Err(PyValueError::new_err(format!("{} is no way to run calls", object.repr()?))),
        }
    }
}

/// How this process runs the calls of its owner.
pub(crate) fn concurrency() -> Concurrency {
    Concurrency::of_word(CONCURRENCY.load(Ordering::Relaxed)) // Relaxed: it stands for itself
}

/// Says once how this process runs the calls of its owner.
pub(crate) fn set_concurrency(concurrency: Concurrency) {
    CONCURRENCY.store(concurrency.to_word(), Ordering::Relaxed); // Relaxed: before there is a second thread
}

/// In a fork that becomes a host: it has one thread, and no loop yet.
pub(crate) fn forget() {
    IS_LOOP_WANTED.store(false, Ordering::SeqCst); // SeqCst: see `want_loop`; so below
    WORKERS.store(0, Ordering::SeqCst);
    SHUT.set(None);
    IS_OVER.set(false);
    std::mem::forget(HEED.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Whether methods that are no coroutines are a part of the host's loop.
#[pyfunction]
pub(crate) fn is_loop_shared() -> bool {
    concurrency() == Concurrency::Async
}

/// The main thread is to wait in the loop from now on.
pub(crate) fn want_loop() {
    IS_LOOP_WANTED.store(true, Ordering::SeqCst); // SeqCst: read by this thread alone, no hot path
}

/// Gives the main thread of this host something to do.
pub(crate) fn push_errand(work: Work) {
    if let Some(owner) = lifecycle::owner() {
        owner.link.inbox().push(work);
    }
}

/// Has signals end the waits of the calling thread, if it is the main thread and nobody else wants to be told of them.
/// Without that, one that comes just before a wait would be handled after it. Gives None where it cannot be had.
pub(crate) fn heed_signals(py: Python<'_>) -> Option<Heed> {
    if !is_main_thread() {
        return None;
    }
    let alarm = Alarm::new().ok()?;
    let before = set_wakeup_fd(py, alarm.fd()).ok()?;
    let heed = Heed(alarm);
    if before == -1 {
        return Some(heed);
    }
    let _ = set_wakeup_fd(py, before);
    None
}

/// See [`heed_signals`]; its drop ends it.
pub(crate) struct Heed(Alarm);

impl Drop for Heed {
    fn drop(&mut self) {
        Python::attach(|py| {
            // Whoever took it over meanwhile keeps it.
            if let Ok(now) = set_wakeup_fd(py, -1)
                && now != self.0.fd()
            {
                let _ = set_wakeup_fd(py, now);
            }
        });
    }
}

fn set_wakeup_fd(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("warn_on_full_buffer", false)?;
    // `signal` would cost 4 ms of imports.
    py.import("_signal")?.getattr("set_wakeup_fd")?.call((fd,), Some(&kwargs))?.extract()
}

/// What the main thread of a host heeds signals by.
static HEED: Mutex<Option<Heed>> = Mutex::new(None);

/// Serve the owner of this host until it is done with us, or until a loop is wanted: then true.
#[pyfunction]
pub(crate) fn serve_owner(py: Python<'_>) -> PyResult<bool> {
    let Some(owner) = lifecycle::owner() else { return Ok(false) };
    if let Some(heed) = heed_signals(py) {
        *HEED.lock().unwrap_or_else(PoisonError::into_inner) = Some(heed);
    }
    match concurrency() {
        Concurrency::Async => return Ok(true),
        Concurrency::Threads(_) | Concurrency::Caller => start_worker(py)?,
        Concurrency::Serial => {}
    }
    loop {
        match wait_on_main(py, &owner, SIGNALS_ONLY, None) {
            InboxWake::Work(work) => service::handle(py, work),
            InboxWake::Tick => py.check_signals()?,
            InboxWake::Ended => return Ok(false),
        }
        // SeqCst: see `want_loop`.
        if IS_LOOP_WANTED.load(Ordering::SeqCst) {
            return Ok(true);
        }
    }
}

/// Wait for the owner and a descriptor of the loop, and do one piece of work; false when the owner is done.
///
/// It is what the selector of the host's loop does, in at most `timeout` seconds.
#[pyfunction]
#[pyo3(signature = (fd, timeout, /))]
pub(crate) fn serve_once(py: Python<'_>, fd: i32, timeout: Option<f64>) -> PyResult<bool> {
    let Some(owner) = lifecycle::owner() else { return Ok(false) };
    let patience = timeout.map_or(SIGNALS_ONLY, crate::deadline::duration);
    if patience.is_zero() {
        owner.link.drain();
    }
    // SAFETY: `fd` is the selector's own, which calls this, is open, and closes it in the same thread.
    let beside = unsafe { BorrowedFd::borrow_raw(fd) };
    match wait_on_main(py, &owner, patience, Some(beside)) {
        InboxWake::Work(work) => service::handle(py, work),
        InboxWake::Tick => py.check_signals()?,
        InboxWake::Ended => return Ok(false),
    }
    Ok(true)
}

fn wait_on_main(py: Python<'_>, owner: &Arc<Peer>, patience: Duration, beside: Option<BorrowedFd<'_>>) -> InboxWake {
    let concurrency = concurrency();
    let company = if concurrency.has_workers() || beside.is_some() { None } else { guests::company(py) };
    if !concurrency.has_workers() && !patience.is_zero() {
        let mut taker = concurrency.of_main();
        let spun = match &company {
            Some(company) => company.spin_for_work(&owner.link, &mut taker),
            None => owner.link.spin_for_work(&mut taker),
        };
        if let Some(wake) = spun {
            return wake;
        }
    }
    py.detach(|| {
        if let Some(company) = company {
            company.wait_work(&owner.link, &mut concurrency.of_main(), Some(patience))
        } else if concurrency.has_workers() {
            owner.link.wait_errands(Some(patience), beside)
        } else {
            owner.link.wait_work(&mut concurrency.of_main(), Some(patience), beside)
        }
    })
}

/// Starts one more worker thread.
fn start_worker(py: Python<'_>) -> PyResult<()> {
    let number = WORKERS.fetch_add(1, Ordering::SeqCst); // SeqCst: no hot path
    let started = threads::start(py, "serve_as_worker", PyTuple::empty(py), &format!("elsewhere-{}", number + 1));
    started.inspect_err(|_| {
        WORKERS.fetch_sub(1, Ordering::SeqCst); // SeqCst: no hot path
    })
}

/// Serve the owner of this host as one of its threads: the body of a worker.
#[pyfunction]
pub(crate) fn serve_as_worker(py: Python<'_>) {
    if let Some(owner) = lifecycle::owner() {
        work(py, &owner);
    }
    WORKERS.fetch_sub(1, Ordering::SeqCst); // SeqCst: no hot path
}

fn work(py: Python<'_>, owner: &Arc<Peer>) {
    let mut taker = concurrency().of_worker();
    loop {
        let was_spare = !matches!(taker, Taker::Of(_));
        let spun = if was_spare { None } else { owner.link.spin_for_work_again(&mut taker) };
        let wake = spun.unwrap_or_else(|| py.detach(|| owner.link.wait_work(&mut taker, None, None)));
        let InboxWake::Work(work) = wake else { return };
        if was_spare
            && let Err(error) = start_spare(py, owner)
            && let Taker::Of(lane) = taker
        {
            refuse(py, owner, &work, lane, &error);
            taker = Taker::New;
            continue;
        }
        let lane = if let Work::Call(incoming) = &work { Some(lane_of(incoming)) } else { None };
        SHUT.set(lane);
        service::handle(py, work);
        if let Some(lane) = SHUT.take() {
            owner.link.inbox().open_lane(lane);
        }
        if IS_OVER.get() {
            if let Taker::Of(lane) = taker {
                owner.link.inbox().free_lane(lane);
            }
            return;
        }
        if let Taker::Of(lane) = taker
            && lane.link != owner.link.id()
            && peer::all().iter().all(|peer| peer.link.id() != lane.link)
        {
            owner.link.inbox().free_lane(lane); // a lane of a guest who is gone has no last call
            return;
        }
        if taker == Taker::New && has_spare(owner) {
            return; // it took a turn of a lane that has ended, and another thread waits in its place
        }
    }
}

fn lane_of(incoming: &elsewhere_engine::Incoming) -> Lane {
    Lane { link: incoming.link.id(), lane: incoming.call.lane }
}

fn has_spare(owner: &Peer) -> bool {
    owner.link.inbox().is_waited_on(concurrency().of_worker())
}

/// Sees to it that a thread waits for the next call, as far as there may be one more.
fn start_spare(py: Python<'_>, owner: &Peer) -> PyResult<()> {
    let max = if let Concurrency::Threads(max) = concurrency() { max } else { usize::MAX };
    // SeqCst: no hot path.
    if has_spare(owner) || WORKERS.load(Ordering::SeqCst) >= max { Ok(()) } else { start_worker(py) }
}

/// No thread can be had for a lane: its call is not begun, and this thread stays for what else comes.
fn refuse(py: Python<'_>, owner: &Peer, work: &Work, lane: Lane, error: &PyErr) {
    if let Work::Call(incoming) = work
        && let Some(peer) = peer::of_link(&incoming.link)
    {
        if incoming.call.head.want == Want::Nothing {
            lifecycle::report(py, error, "a call that was posted found no thread to run in");
            peer.link.finish(incoming.call.call);
        } else {
            let text = format!("no thread can be started for the calling thread: {}", error.value(py));
            answer::fail(py, &peer, &incoming.call, ErrorKind::Overloaded, Outcome::NotStarted, &text);
        }
    }
    owner.link.inbox().free_lane(lane);
    owner.link.inbox().open_lane(lane);
}

/// End the calling thread after this call: its lane has ended.
#[pyfunction]
pub(crate) fn end_lane() {
    let way = CREW.with_borrow(|crew| crew.as_ref().map(|(_, way)| *way));
    IS_OVER.set(way.unwrap_or_else(concurrency) == Concurrency::Caller);
}

/// Runs `work` as one of the threads of a server that runs calls this way. Whether its lane has ended.
pub(crate) fn in_crew(inbox: &Arc<Inbox>, way: Concurrency, lane: Option<Lane>, work: impl FnOnce()) -> bool {
    let before = CREW.replace(Some((Arc::clone(inbox), way)));
    let shut_before = SHUT.replace(lane);
    work();
    if let Some(lane) = SHUT.replace(shut_before) {
        inbox.open_lane(lane);
    }
    CREW.set(before);
    IS_OVER.take()
}

/// The call that this thread took is about to call `function`: it has begun. A coroutine function only makes a
/// coroutine; that begins with its place on the loop.
pub(crate) fn begins(function: &Bound<'_, PyAny>) {
    let Some(lane) = SHUT.get() else { return };
    let crew = CREW.with_borrow(|crew| crew.as_ref().map(|(inbox, way)| (Arc::clone(inbox), *way)));
    let way = crew.as_ref().map_or_else(concurrency, |(_, way)| *way);
    if !matches!(way, Concurrency::Threads(_)) || class_info::is_coroutine_function(function) {
        return;
    }
    SHUT.set(None);
    match crew {
        Some((inbox, _)) => inbox.open_lane(lane),
        None => open_lane(lane),
    }
}

/// The call goes on as a coroutine. Gives the lane that stays shut until it ends.
pub(crate) fn keep_lane_shut() -> Option<Lane> {
    let is_host = CREW.with_borrow(Option::is_none);
    if is_host && concurrency() == Concurrency::Caller { SHUT.take() } else { None }
}

/// The next call of a lane may be taken.
pub(crate) fn open_lane(lane: Lane) {
    if let Some(owner) = lifecycle::owner() {
        owner.link.inbox().open_lane(lane);
    }
}
