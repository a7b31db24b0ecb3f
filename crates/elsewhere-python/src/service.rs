//! Work that peers and observers bring: who runs it, and how.
//!
//! Owns: the process's inbox and its service thread, the pumping of local hosts. Must not know: the threads of a host,
//! what a call does (calls_in), how work gets into an inbox (the engine's).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use elsewhere_engine::{ChainSeat, Inbox, Work};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::coroutines::{self, Running};
use crate::future::Future;
use crate::peer::{self, Peer};
use crate::{
    calls_in, chain, errands, guests, home, host, lifecycle, producing, relays, running, server, threads, turns,
};

/// The inbox of everything that is not a host's main loop or a local host.
pub(crate) fn process_inbox() -> Arc<Inbox> {
    static INBOX: OnceLock<Arc<Inbox>> = OnceLock::new();
    Arc::clone(INBOX.get_or_init(Inbox::shared))
}

/// Starts the service thread if an object offered to `peer` could be called with nobody there to run it.
pub(crate) fn ensure_for(py: Python<'_>, peer: &Peer) -> PyResult<()> {
    if Arc::ptr_eq(peer.link.inbox(), &process_inbox()) { ensure(py) } else { Ok(()) }
}

/// Whether the service thread was started in this process, and has not ended.
static STARTED: AtomicBool = AtomicBool::new(false);
/// Whether it is to end, and that none may begin.
static IS_TO_END: AtomicBool = AtomicBool::new(false);
/// Held to say that it is not to end after all, and by the thread that ends, so that one of both has the last word.
static LAST_WORD: Mutex<()> = Mutex::new(());
/// Whether it is to be there again when that is over.
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Starts the service thread, once.
pub(crate) fn ensure(py: Python<'_>) -> PyResult<()> {
    if STARTED.load(Ordering::SeqCst) {
        return Ok(()); // SeqCst: this is no hot path
    }
    if IS_TO_END.load(Ordering::SeqCst) {
        IS_WANTED.store(true, Ordering::SeqCst);
        return Ok(());
    }
    if STARTED.swap(true, Ordering::SeqCst) {
        return Ok(()); // one thread of all starts it
    }
    threads::start(py, "_serve_process", PyTuple::empty(py), "elsewhere-service")
        .inspect_err(|_| STARTED.store(false, Ordering::SeqCst))
}

fn last_word() -> MutexGuard<'static, ()> {
    LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Let the service thread end after what it is doing, and let none begin.
#[pyfunction]
pub(crate) fn _stop_service() {
    IS_TO_END.store(true, Ordering::SeqCst); // before the wake, which it looks after
    if STARTED.load(Ordering::SeqCst) {
        IS_WANTED.store(true, Ordering::SeqCst);
        process_inbox().push(Work::Completed(NOTHING));
    }
}

/// Goes on after `_stop_service`, if that was: with the same thread if it is still there, else with a new one.
pub(crate) fn go_on(py: Python<'_>) -> PyResult<()> {
    {
        let _last_word = last_word();
        IS_TO_END.store(false, Ordering::SeqCst);
    }
    if IS_WANTED.swap(false, Ordering::SeqCst) { ensure(py) } else { Ok(()) }
}

/// Whether the service thread ends now.
fn is_over() -> bool {
    if !IS_TO_END.load(Ordering::SeqCst) {
        return false;
    }
    let _last_word = last_word();
    let is_over = IS_TO_END.load(Ordering::SeqCst);
    if is_over {
        STARTED.store(false, Ordering::SeqCst);
    }
    is_over
}

/// What waits for the service thread of a forked child's parent is the parent's to do.
pub(crate) fn forget_work() {
    let inbox = process_inbox();
    while let Some(work) = inbox.try_pop() {
        std::mem::forget(work);
    }
    inbox.reopen();
    std::mem::forget(std::mem::take(&mut *watched()));
}

/// A forked child has no service thread.
pub(crate) fn forget_thread() {
    STARTED.store(false, Ordering::SeqCst);
    IS_TO_END.store(false, Ordering::SeqCst);
    IS_WANTED.store(false, Ordering::SeqCst);
}

/// Serve the process's inbox until told to end: the body of the service thread.
#[pyfunction]
pub(crate) fn _serve_process(py: Python<'_>) {
    let inbox = process_inbox();
    while !is_over() {
        let work = py.detach(|| inbox.wait(None));
        if let Some(work) = work.and_then(|work| relays::take(py, work)) {
            handle(py, work);
        }
    }
}

/// Does one piece of work.
pub(crate) fn handle(py: Python<'_>, work: Work) {
    errands::run(py, || handle_here(py, work));
}

fn handle_here(py: Python<'_>, work: Work) {
    match work {
        Work::Call(incoming) => calls_in::run(py, &incoming),
        Work::Credit { link, call, .. } => producing::wake(&link, call),
        Work::Awaited { link, call, chain } => producing::awaited(&link, call, chain),
        Work::Turn { link, call, .. } => producing::take_turn(py, &link, call),
        Work::Cancelled { link, call, .. } => {
            running::heed(py);
            coroutines::cancel(py, &link, call);
            producing::cancel(&link, call);
        }
        Work::Released { link } => {
            if let Some(peer) = peer::of_link(&link) {
                peer.drop_released(py);
            }
        }
        Work::Completed(key) => completed(py, key),
        Work::Died(key) => died(py, key),
    }
}

/// Goes on with a stream in the midst of a wait of this thread.
pub(crate) fn take_up_stream(py: Python<'_>, seat: &ChainSeat) {
    if let Some(work) = seat.take_stream_work() {
        chain::while_waiting(|| handle(py, work));
    }
}

/// What came of an attempt to run work of a local host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    Ran,
    Nothing,
    /// Another thread runs a call of this host.
    Busy,
}

/// How long to look away while another thread has its turn.
const GLANCE: Duration = Duration::from_micros(200);

/// Runs one piece of work of a local host, what its objects want of this side last.
pub(crate) fn pump(py: Python<'_>, far: &Arc<Peer>) -> Pumped {
    let Some(_turn) = turns::take(far.link.id()) else {
        py.detach(|| std::thread::sleep(GLANCE));
        return Pumped::Busy;
    };
    pump_in_turn(py, far)
}

fn pump_in_turn(py: Python<'_>, far: &Arc<Peer>) -> Pumped {
    far.link.drain();
    let work = far.link.inbox().try_pop().or_else(|| {
        let near = far.near.get()?.upgrade()?;
        near.link.drain();
        near.link.inbox().try_pop()
    });
    match work {
        Some(work) => {
            handle(py, work);
            Pumped::Ran
        }
        None => Pumped::Nothing,
    }
}

/// Runs one piece of work of the far end of `near`, if it has one.
pub(crate) fn pump_far(py: Python<'_>, near: &Peer) {
    if let Some(far) = near.far.get() {
        pump(py, far);
    }
}

/// What is told by key.
pub(crate) enum Watched {
    /// A call that somebody watches without waiting for it.
    Future(Py<Future>),
    /// A coroutine that another thread leaves to the main thread.
    Coroutine { coroutine: Py<PyAny>, running: Py<Running> },
    /// A callback for the end of a host. It holds the peer and not the Host, which would keep the host alive.
    Death { callback: Py<PyAny>, peer: Arc<Peer> },
    /// A host whose prints and messages come home. Told again and again.
    Home(Arc<Peer>),
    /// The end of a connection to a server here. Nobody is told, but the tables are cleared.
    Client,
    /// The end of a connection to this host.
    Guest(Arc<Peer>),
    /// Somebody was refused by the server with this number. Told again and again.
    Refusals(u64),
}

fn watched() -> MutexGuard<'static, HashMap<u64, Watched>> {
    static WATCHED: OnceLock<Mutex<HashMap<u64, Watched>>> = OnceLock::new();
    WATCHED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key that nothing has.
pub(crate) const NOTHING: u64 = 0;

/// A key that nothing else has.
pub(crate) fn new_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) // Relaxed: only uniqueness matters
}

/// Keeps `watched` until its key is told.
pub(crate) fn watch(object: Watched) -> u64 {
    let key = new_key();
    watch_as(key, object);
    key
}

/// The same under a key that was made before.
pub(crate) fn watch_as(key: u64, object: Watched) {
    watched().insert(key, object);
}

/// Lets go of what `key` stands for.
pub(crate) fn unwatch(key: u64) {
    let object = watched().remove(&key);
    drop(object); // after the lock
}

fn completed(py: Python<'_>, key: u64) {
    let home = match watched().get(&key) {
        Some(Watched::Home(peer)) => Some(Arc::clone(peer)),
        _ => None,
    };
    if let Some(peer) = home {
        return home::show_all_quietly(py, &peer);
    }
    let refusing = match watched().get(&key) {
        Some(Watched::Refusals(server)) => Some(*server),
        _ => None,
    };
    if let Some(server) = refusing {
        return server::tell_refusals(py, server);
    }
    let object = watched().remove(&key);
    match object {
        Some(Watched::Future(future)) => Future::arrived(future.bind(py)),
        Some(Watched::Coroutine { coroutine, running }) => coroutines::handed_over(py, coroutine, running),
        Some(Watched::Death { .. } | Watched::Home(_) | Watched::Client | Watched::Guest(_) | Watched::Refusals(_))
        | None => {}
    }
}

/// A host ended: its callback runs.
fn died(py: Python<'_>, key: u64) {
    let object = watched().remove(&key);
    let (callback, peer) = match object {
        Some(Watched::Death { callback, peer }) => (callback, peer),
        Some(Watched::Client) => return peer::sweep(py),
        Some(Watched::Guest(guest)) => return guests::left(py, &guest),
        _ => return,
    };
    let called = host::object_of(py, &peer).and_then(|host| callback.bind(py).call1((host,)));
    if let Err(error) = called {
        lifecycle::log_exception(py, &error, "exception calling an on_death callback");
    }
}
