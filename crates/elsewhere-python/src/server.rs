//! `ServerCore`: an object that stays here, and others connect to.
//!
//! Owns: what is served, and the threads that serve it. Must not know: who is let in (the
//! engine's), what a call does (calls_in), names of options and their defaults (`_serve.py`).
//!
//! A server has an inbox of its own, which the watch thread fills and whoever serves empties: a thread of Python's, several
//! of them, or the user's own through `poll`. What all its connections bring has its turn connection by connection.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use elsewhere_engine::{
    Attendant, Inbox, Key, Lane, Link, Listener, Observer, ServeError, Taker, Welcome, Work, new_path,
};
use elsewhere_proto::{Capabilities, ErrorKind, Outcome, Reason, Want};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::TICK;
use crate::coroutines::{self, Place};
use crate::exposure::Exposure;
use crate::peer::{self, Peer};
use crate::serving::{self, Concurrency};
use crate::{answer, chain, connecting, deadline, host, lifecycle, returns, service, threads};

/// How long to look away while other threads finish what they are doing.
const GLANCE: Duration = Duration::from_micros(500);
/// How long a connection may take to take its last answers when the server is closed.
const LAST_PATIENCE: Duration = Duration::from_millis(200);

/// One object that is served.
pub(crate) struct Served {
    id: u64,
    /// Object number 0 of its connections.
    door: Py<PyAny>,
    /// What may be reached of it; None: everything.
    exposure: Option<Exposure>,
    /// By class, the names of methods whose results go by reference.
    returns: Option<Py<PyDict>>,
    concurrency: Concurrency,
    inbox: Arc<Inbox>,
    listener: Listener,
    /// What leads to the loop that its coroutines run on: given, or made at the first by calling the other.
    home: Mutex<Option<Py<PyAny>>>,
    make_home: Py<PyAny>,
    /// What the service thread knows its refusals by.
    key: u64,
    /// Whether nothing is served any more.
    is_over: AtomicBool,
    /// Whether a thread polls.
    is_polled: AtomicBool,
    /// What that thread knows from one time to the next.
    attendant: Mutex<Option<Attendant>>,
    /// Threads that serve it.
    servers: AtomicUsize,
    workers: AtomicUsize,
}

/// Those of this process. Touched by threads with the interpreter alone: what is in it is Python's.
fn all() -> MutexGuard<'static, HashMap<u64, Arc<Served>>> {
    static SERVED: OnceLock<Mutex<HashMap<u64, Arc<Served>>>> = OnceLock::new();
    SERVED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `peer` has connected to, if it has.
pub(crate) fn of(peer: &Peer) -> Option<Arc<Served>> {
    let server = peer.server.get()?; // before the lock: nearly no peer has any
    all().get(server).cloned()
}

/// The peers that have connected to the server `id`.
fn clients(id: u64) -> Vec<Arc<Peer>> {
    peer::all().into_iter().filter(|peer| peer.server.get() == Some(&id)).collect()
}

impl Served {
    /// What stands for it at its connections: gives the object itself, and runs functions with it.
    pub(crate) fn door<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.door.bind(py).clone()
    }

    /// What narrows down what may be reached.
    pub(crate) fn exposure(&self) -> Option<&Exposure> {
        self.exposure.as_ref()
    }

    /// By class, the names of methods whose results go by reference.
    pub(crate) fn returns(&self) -> Option<&Py<PyDict>> {
        self.returns.as_ref()
    }

    /// Where coroutines of what is served run.
    pub(crate) fn place(&self, py: Python<'_>) -> PyResult<Place> {
        let modules = py.import("sys")?.getattr("modules")?;
        if modules.contains("asyncio")? && !py.import("asyncio")?.call_method0("_get_running_loop")?.is_none() {
            return Ok(Place::Running);
        }
        if let Some(home) = &*self.home() {
            return Ok(Place::Loop(home.clone_ref(py)));
        }
        if self.concurrency == Concurrency::Serial {
            return Ok(Place::Local(self.id));
        }
        let made = self.make_home.call0(py)?;
        let mut home = self.home();
        let home = home.get_or_insert_with(|| made.clone_ref(py));
        Ok(Place::Loop(home.clone_ref(py)))
    }

    /// What holds back further calls while a coroutine runs, where one call runs at a time.
    pub(crate) fn serial_inbox(&self) -> Option<Arc<Inbox>> {
        (self.concurrency == Concurrency::Serial).then(|| Arc::clone(&self.inbox))
    }

    fn home(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attendant(&self) -> MutexGuard<'_, Option<Attendant>> {
        self.attendant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst) // SeqCst: no hot path; so all of them here
    }

    /// Runs what it is asked for until it is closed, as the one thread or the first of several.
    fn serve(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let _heed = serving::heed_signals(py);
        let has_workers = self.concurrency.has_workers();
        if has_workers {
            self.start_worker(py)?;
        }
        let mut attendant = Attendant::new(&self.inbox);
        while !self.is_over() {
            let is_over = || self.is_over();
            let spun = if has_workers { None } else { attendant.spin() };
            let work = spun.or_else(|| {
                py.detach(|| match has_workers {
                    true => self.inbox.wait_as(&mut Taker::Errands, Some(DAY), &is_over),
                    false => attendant.wait(DAY, &is_over),
                })
            });
            match work {
                Some(work) => service::handle(py, work),
                None => py.check_signals()?,
            }
        }
        Ok(())
    }

    fn start_worker(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let number = self.workers.fetch_add(1, Ordering::SeqCst);
        let started = threads::start(
            py,
            "_serve_crew",
            (self.id,).into_pyobject(py)?,
            &format!("elsewhere-server-{}", number + 1),
        );
        started.inspect_err(|_| {
            self.workers.fetch_sub(1, Ordering::SeqCst);
        })
    }

    /// Sees to it that a thread waits for the next call, as far as there may be one more.
    fn start_spare(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let max = if let Concurrency::Threads(max) = self.concurrency { max } else { usize::MAX };
        let has_spare = self.inbox.is_waited_on(self.concurrency.of_worker());
        if has_spare || self.workers.load(Ordering::SeqCst) >= max { Ok(()) } else { self.start_worker(py) }
    }

    /// Runs calls as one of several threads.
    fn work(self: &Arc<Self>, py: Python<'_>) {
        let mut taker = self.concurrency.of_worker();
        while let Some(work) = py.detach(|| self.inbox.wait_as(&mut taker, None, &|| self.is_over())) {
            if let Err(error) = self.start_spare(py) {
                lifecycle::report(py, &error, "a server found no thread for its next call");
            }
            let lane = if let Work::Call(incoming) = &work {
                Some(Lane { link: incoming.link.id(), lane: incoming.call.lane })
            } else {
                None
            };
            let has_ended = serving::in_crew(&self.inbox, self.concurrency, lane, || service::handle(py, work));
            if has_ended {
                if let Taker::Of(lane) = taker {
                    self.inbox.free_lane(lane);
                }
                return;
            }
            // A lane whose connection is gone has no last call.
            if let Taker::Of(lane) = taker
                && !clients(self.id).iter().any(|peer| peer.link.id() == lane.link)
            {
                self.inbox.free_lane(lane);
                return;
            }
        }
    }

    /// Runs what is there, at most `max` calls. Returns how many calls.
    fn run_some(&self, py: Python<'_>, max: usize) -> usize {
        let mut count = 0;
        while count < max {
            let Some(work) = self.inbox.try_pop() else { break };
            count += usize::from(matches!(work, Work::Call(_)));
            service::handle(py, work);
        }
        count
    }

    /// Whether everything that was accepted is answered, and the answers are sent.
    fn is_drained(&self) -> bool {
        let has_work =
            |peer: &Arc<Peer>| peer.link.loss().is_none() && (peer.link.stats().answers > 0 || peer.link.is_behind());
        self.inbox.is_empty() && !clients(self.id).iter().any(has_work)
    }

    /// Tells whoever asked for what has not begun that it never will.
    fn refuse_rest(&self, py: Python<'_>) {
        while let Some(work) = self.inbox.try_pop() {
            let Work::Call(incoming) = work else { continue };
            let Some(peer) = peer::of_link(&incoming.link) else { continue };
            incoming.link.discard(incoming.steps());
            if incoming.call.head.want == Want::Nothing {
                incoming.link.finish(incoming.call.call);
            } else {
                let text = "the server was closed before it began";
                answer::fail(py, &peer, &incoming.call, ErrorKind::Closed, Outcome::NotStarted, text);
            }
        }
    }
}

impl Served {
    /// Ends every connection. What has not begun never will.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_over.swap(true, Ordering::SeqCst) {
            return Ok(()); // another thread does it
        }
        self.refuse_rest(py);
        self.inbox.wake_all();
        let attendant = self.attendant().take();
        drop(attendant); // after the lock
        let mut ended = Ok(());
        for client in clients(self.id) {
            py.detach(|| client.link.catch_up(LAST_PATIENCE));
            client.link.abandon();
            ended = wait_lost(py, &client.link, Duration::from_secs(1)).and(ended);
        }
        // What the ends of the connections have left there holds these, and they hold the inbox.
        while let Some(work) = self.inbox.try_pop() {
            if !matches!(work, Work::Call(_)) {
                service::handle(py, work);
            }
        }
        peer::sweep(py);
        service::unwatch(self.key);
        coroutines::forget_local(py, self.id);
        let held = all().remove(&self.id);
        drop(held); // after the lock
        ended
    }
}

/// A wait so long that only a signal ends it before its time.
const DAY: Duration = Duration::from_secs(86_400);

/// Logs who was refused since the last time, at most once a second.
pub(crate) fn tell_refusals(py: Python<'_>, id: u64) {
    let Some(served) = all().get(&id).cloned() else { return };
    let (count, last) = served.listener.take_refusals();
    let log = || -> PyResult<()> {
        let logger = py.import("logging")?.getattr("getLogger")?.call1(("elsewhere",))?;
        let text = "%d connections were refused; the last was %s";
        logger.call_method1("warning", (text, count, last))?;
        Ok(())
    };
    if let Err(failure) = log() {
        lifecycle::report(py, &failure, "a log entry could not be written");
    }
}

/// The connection of a Server object. `Server` in `_serve.py` is made of it.
#[pyclass(subclass, weakref, frozen, module = "elsewhere._core")]
pub(crate) struct ServerCore {
    served: OnceLock<Weak<Served>>,
}

impl ServerCore {
    fn served(&self) -> PyResult<Arc<Served>> {
        let served = self.served.get().and_then(Weak::upgrade).filter(|served| !served.is_over());
        served.ok_or_else(|| PyRuntimeError::new_err("this server is closed"))
    }
}

#[pymethods]
impl ServerCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { served: OnceLock::new() }
    }

    /// Listen at `place`; gives it, with its port if that was left open. `door` is object number 0 of all connections.
    ///
    /// By class, `lists` are the names that may be reached, and `returns` those whose results go by reference. `home` leads to the loop that coroutines run on; where it is
    /// None, `make_home()` makes one when it is needed.
    #[pyo3(signature = (place, key, door, *, lists, returns, concurrency, home, make_home))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by keyword")]
    fn _listen(
        &self,
        py: Python<'_>,
        place: &str,
        key: &[u8],
        door: Py<PyAny>,
        lists: Option<Py<PyDict>>,
        returns: Option<Py<PyDict>>,
        concurrency: Concurrency,
        home: Option<Py<PyAny>>,
        make_home: Py<PyAny>,
    ) -> PyResult<String> {
        peer::sweep(py);
        if returns.is_some() {
            returns::note();
        }
        service::ensure(py)?; // which logs refusals
        let is_by_lanes = concurrency == Concurrency::Caller;
        let inbox = if is_by_lanes { Inbox::of_server_by_lanes() } else { Inbox::of_server() };
        let refusals = service::new_key();
        let server_id = Arc::new(OnceLock::new());
        let (id, arrivals) = (Arc::clone(&server_id), Arc::clone(&inbox));
        let welcome = Welcome {
            config: host::config(Capabilities::CHUNKS.with(concurrency.capabilities()), py),
            inbox: Arc::clone(&inbox),
            // On the watch thread: nothing of Python's is touched here, and none of it is in the peer yet.
            on_link: Box::new(move |link, who| {
                let peer = Peer::new(Arc::clone(link), None, format!("the client ({who})"), false);
                let _ = peer.server.set(*id.wait());
                let key = service::watch(service::Watched::Client);
                if link.observe_loss(Observer::Inbox(Arc::clone(&arrivals), key)) {
                    service::unwatch(key);
                }
            }),
            on_refusal: Observer::Inbox(service::process_inbox(), refusals),
        };
        let endpoint = connecting::endpoint(place)?;
        let listener = py.detach(|| Listener::new(&endpoint, Key::new(key), welcome)).map_err(serve_error)?;
        let (id, place) = (listener.id(), listener.endpoint().to_string());
        let served = Arc::new(Served {
            id,
            door,
            exposure: lists.map(Exposure::new),
            returns,
            concurrency,
            inbox,
            listener,
            home: Mutex::new(home),
            make_home,
            key: refusals,
            is_over: AtomicBool::new(false),
            is_polled: AtomicBool::new(false),
            attendant: Mutex::new(None),
            servers: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
        });
        let _ = self.served.set(Arc::downgrade(&served));
        service::watch_as(refusals, service::Watched::Refusals(id));
        all().insert(id, served);
        let _ = server_id.set(id); // from now on the first connection goes on
        Ok(place)
    }

    /// Run what is asked for, on this thread, until the server is closed.
    fn _serve(&self, py: Python<'_>) -> PyResult<()> {
        let Ok(served) = self.served() else { return Ok(()) };
        served.servers.fetch_add(1, Ordering::SeqCst);
        let result = served.serve(py);
        served.servers.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Run what has been asked for on this thread, at most `max` requests.
    ///
    /// Waits for the first at most `timeout` seconds. Gives how many were run; 0 too where the server is closed.
    #[pyo3(signature = (max=None, timeout=0.0), text_signature = "($self, max=None, timeout=0.0)")]
    fn poll(&self, py: Python<'_>, max: Option<usize>, timeout: Option<f64>) -> PyResult<usize> {
        timeout.map(deadline::checked).transpose()?;
        let Ok(served) = self.served() else { return Ok(0) };
        if served.concurrency.has_workers() {
            return Err(PyRuntimeError::new_err(
                "this server runs its calls on threads of its own: use start() or run()",
            ));
        }
        if served.is_polled.swap(true, Ordering::SeqCst) {
            return Err(PyRuntimeError::new_err(
                "this server is polled already; poll() is not to be called inside itself",
            ));
        }
        let result = poll(py, &served, max.unwrap_or(usize::MAX), timeout);
        served.is_polled.store(false, Ordering::SeqCst);
        result
    }

    /// A descriptor that is readable while a request waits for `poll()`.
    fn fileno(&self) -> PyResult<i32> {
        let served = self.served()?;
        let fd = served.inbox.fd()?;
        let kept = served.attendant().take();
        drop(kept); // after the lock; what it read is the watch thread's now
        Ok(fd)
    }

    /// So many more threads serve it, in a way of their own.
    fn _count_server(&self, change: isize) {
        if let Some(served) = self.served.get().and_then(Weak::upgrade) {
            served.servers.fetch_add(change.cast_unsigned(), Ordering::SeqCst);
        }
    }

    /// Whether it is served.
    #[getter]
    fn _is_open(&self) -> bool {
        self.served().is_ok()
    }

    /// Whether this thread runs a call of this server.
    fn _is_inside(&self, py: Python<'_>) -> bool {
        let Ok(served) = self.served() else { return false };
        chain::current(py).is_some_and(|(_, link)| clients(served.id).iter().any(|peer| peer.link.id() == link))
    }

    /// Let nobody in any more and end every connection, with `drain` after what was accepted is done.
    ///
    /// That takes at most `timeout` seconds. What has not begun then never will.
    #[pyo3(signature = (timeout, *, drain))]
    fn _close(&self, py: Python<'_>, timeout: f64, drain: bool) -> PyResult<()> {
        let Ok(served) = self.served() else { return Ok(()) };
        py.detach(|| served.listener.close());
        for client in clients(served.id) {
            client.link.go_away(Reason::SHUTDOWN, "it is closed");
        }
        if drain {
            drain_for(py, &served, deadline::duration(timeout))?;
        }
        served.end(py)
    }

    /// The counts: connections, those not proven yet, requests that wait, and objects that connections hold.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let served = self.served()?;
        peer::sweep(py);
        let counts = PyDict::new(py);
        let mut exports = 0;
        let connected = clients(served.id);
        for client in &connected {
            client.drop_released(py);
            exports += client.link.stats().exports;
        }
        counts.set_item("connections", connected.len())?;
        counts.set_item("half_open", served.listener.half_open())?;
        counts.set_item("waiting", served.inbox.len())?;
        counts.set_item("exports", exports)?;
        Ok(counts)
    }
}

impl Drop for ServerCore {
    /// Nobody serves it, and nobody can any more.
    fn drop(&mut self) {
        let Some(served) = self.served.get().and_then(Weak::upgrade) else { return };
        served.listener.close();
        Python::attach(|py| {
            let pending = PyErr::take(py);
            if let Err(error) = served.end(py) {
                lifecycle::report(py, &error, "raised while a server was closed that nobody uses any more");
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

fn poll(py: Python<'_>, served: &Arc<Served>, max: usize, timeout: Option<f64>) -> PyResult<usize> {
    // Whoever looks at a descriptor between two calls has the watch thread read everything, at once.
    let kept = served.attendant().take();
    let mut attendant = kept.filter(|_| !served.inbox.has_fd());
    let may_look = max > 0 && timeout.is_none_or(|timeout| timeout > 0.0);
    let spun = if may_look { attendant.as_mut().and_then(Attendant::spin) } else { None };
    let count = spun.map_or(0, |work| run_first(py, served, max, work));
    let polled = if count > 0 { Ok(count) } else { poll_with(py, served, max, timeout, &mut attendant) };
    *served.attendant() = attendant.filter(|_| !served.inbox.has_fd() && !served.is_over());
    polled
}

/// Runs `work`, and what is there then, at most `max` calls. Returns how many calls.
fn run_first(py: Python<'_>, served: &Served, max: usize, work: Work) -> usize {
    let count = usize::from(matches!(work, Work::Call(_)));
    service::handle(py, work);
    count + served.run_some(py, max - count)
}

fn poll_with(
    py: Python<'_>,
    served: &Arc<Served>,
    max: usize,
    timeout: Option<f64>,
    attendant: &mut Option<Attendant>,
) -> PyResult<usize> {
    let until = deadline::until(timeout)?;
    if let Some(attendant) = attendant.as_ref() {
        attendant.take_in();
    }
    let mut count = served.run_some(py, max);
    while count == 0 && max > 0 && !served.is_over() {
        let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()).min(TICK));
        if left.is_zero() {
            break;
        }
        let is_over = || served.is_over();
        let work = py.detach(|| match served.inbox.has_fd() {
            true => served.inbox.wait_as(&mut Taker::All, Some(left), &is_over),
            false => attendant.get_or_insert_with(|| Attendant::new(&served.inbox)).wait(left, &is_over),
        });
        py.check_signals()?;
        let Some(work) = work else { continue };
        count = run_first(py, served, max, work);
    }
    Ok(count)
}

/// Waits until everything that was accepted is done, and does it where nobody else does.
fn drain_for(py: Python<'_>, served: &Arc<Served>, timeout: Duration) -> PyResult<()> {
    let until = Instant::now().checked_add(timeout);
    while !served.is_drained() && until.is_none_or(|until| Instant::now() < until) {
        let is_served = served.servers.load(Ordering::SeqCst) > 0 || served.is_polled.load(Ordering::SeqCst);
        if is_served || served.run_some(py, 1) == 0 {
            py.detach(|| std::thread::sleep(GLANCE));
        }
        py.check_signals()?;
    }
    Ok(())
}

/// Waits until a link that was closed is no more, and ends it after `timeout`.
pub(crate) fn wait_lost(py: Python<'_>, link: &Arc<Link>, timeout: Duration) -> PyResult<()> {
    let until = Instant::now().checked_add(timeout);
    let mut is_abandoned = false;
    while link.loss().is_none() && !elsewhere_engine::exit::has_begun() {
        py.detach(|| std::thread::sleep(GLANCE)); // the watch thread tells its end
        py.check_signals()?;
        if !is_abandoned && until.is_some_and(|until| until <= Instant::now()) {
            is_abandoned = true;
            link.abandon();
        }
    }
    Ok(())
}

/// Serve as one of several threads of the server `id`: the body of such a thread.
#[pyfunction]
pub(crate) fn _serve_crew(py: Python<'_>, id: u64) {
    let Some(served) = all().get(&id).cloned() else { return };
    served.work(py);
    served.workers.fetch_sub(1, Ordering::SeqCst);
}

pub(crate) fn serve_error(error: ServeError) -> PyErr {
    match error {
        ServeError::InUse(text) => PyOSError::new_err((rustix::io::Errno::ADDRINUSE.raw_os_error(), text)),
        ServeError::Place(text) => PyOSError::new_err(text),
        ServeError::System(error) => error.into(),
    }
}

/// A path for a new socket, in a directory that is this user's alone. `temporary` is where such directories are made.
#[pyfunction]
#[pyo3(signature = (temporary, /))]
pub(crate) fn _new_socket_path(temporary: &str) -> PyResult<String> {
    let path = new_path(Path::new(temporary)).map_err(serve_error)?;
    path.into_os_string()
        .into_string()
        .map_err(|_| PyOSError::new_err("the temporary directory has a name that is no text"))
}
