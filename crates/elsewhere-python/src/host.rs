//! `HostCore`: the Rust half of `elsewhere.Host`.
//!
//! Owns: starting hosts, their handles, and being a host. Must not know: the options' meaning and texts (`_host.py`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use elsewhere_engine::{Expect, HostCommand, HostProcess, Inbox, Link, Observer, StartError, interrupts};
use elsewhere_proto::{Capabilities, Config, Hello, Want};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString, PyTuple};

use crate::call::{self, TICK};
use crate::kinds::is_main;
use crate::path;
use crate::peer::{self, Lease, Peer};
use crate::proxy::Proxy;
use crate::serving::Concurrency;
use crate::{deadline, errors, guests, home, lifecycle, local, memory, returns, server, service, serving};

/// What the owner of a host wants of it.
pub(crate) struct Traits {
    /// What it is called.
    name: Option<String>,
    /// How long it may take to give a sign of life.
    heartbeat: Duration,
}

impl Traits {
    fn give(peer: &Peer, name: Option<&str>, heartbeat: f64) {
        let heartbeat = deadline::duration(heartbeat);
        peer.traits.get_or_init(|| Self { name: name.map(str::to_owned), heartbeat });
    }
}

/// The connection of a Host object. `Host` in `_host.py` is made of it.
#[pyclass(subclass, weakref, frozen, module = "elsewhere._core")]
pub(crate) struct HostCore {
    handle: Mutex<Option<Handle>>,
}

#[derive(Clone)]
struct Handle {
    peer: Arc<Peer>,
    _lease: Option<Arc<Lease>>,
}

impl HostCore {
    fn slot(&self) -> MutexGuard<'_, Option<Handle>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attach(slf: &Bound<'_, Self>, peer: &Arc<Peer>) -> PyResult<()> {
        peer.set_host_object(slf.as_any())?;
        *slf.get().slot() = Some(Handle { peer: Arc::clone(peer), _lease: peer.lease() });
        Ok(())
    }

    pub(crate) fn peer(&self) -> PyResult<Arc<Peer>> {
        let handle = self.slot();
        let peer = handle.as_ref().map(|handle| Arc::clone(&handle.peer));
        peer.ok_or_else(|| PyRuntimeError::new_err("this host was never started"))
    }

    /// Names what a forked host has by the fork.
    pub(crate) fn set_inherited(&self, numbers: &Bound<'_, PyDict>, objects: &Bound<'_, PyAny>) -> PyResult<()> {
        self.peer()?.set_inherited(numbers, objects);
        Ok(())
    }

    fn process(&self) -> Option<Arc<HostProcess>> {
        self.slot().as_ref().and_then(|handle| handle.peer.process.clone())
    }
}

#[pymethods]
impl HostCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { handle: Mutex::new(None) }
    }

    /// Call `method` of the host's own object; with `by_reference` the result is a proxy.
    #[pyo3(signature = (method, first, args, kwargs, *, by_reference, timeout=None))]
    fn _call<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        first: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        by_reference: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let peer = slf.get().peer()?;
        let want = if by_reference { Want::Reference } else { Want::Auto };
        let method = match method {
            "construct" => "construct",
            "receive" => "receive",
            "run" => "run",
            other => return Err(PyRuntimeError::new_err(format!("a host has no method {other}"))),
        };
        if method == "construct"
            && !peer.hands_over()
            && let Some(path) = importable_name(first)?
        {
            return construct_named(py, &peer, &path, args, kwargs);
        }
        let parts = (Some(first), args, Some(kwargs));
        let sent = call::send_to_host(py, &peer, method, parts, want, Expect::Answer, timeout)?;
        sent.expect("an answer is expected").wait(py)
    }

    /// Call `method` of the host's own object with `args`; the result is a proxy. Texts call it `subject`.
    fn _ask<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        args: &Bound<'py, PyTuple>,
        subject: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let method = match method {
            "module" => "module",
            "script" => "script",
            other => return Err(PyRuntimeError::new_err(format!("a host has no method {other}"))),
        };
        call::send_named(py, &slf.get().peer()?, method, args, subject, Want::Reference)?.wait(py)
    }

    /// The host was made for one object, and ends when that one is closed.
    fn _make_private(&self, proxy: &Bound<'_, Proxy>) -> PyResult<()> {
        self.peer()?.make_private(path::root(proxy.get()).object);
        Ok(())
    }

    /// "host 4711": how texts call this host.
    #[getter]
    fn _label(&self) -> PyResult<String> {
        Ok(self.peer()?.label.clone())
    }

    /// The process id; None where the host is no process of ours.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.process().map(|process| process.pid()).or_else(|| {
            let pid = self.slot().as_ref()?.peer.link.peer()?.pid;
            Some(pid)
        })
    }

    /// Whether calls can still reach the host.
    #[getter]
    fn alive(&self) -> bool {
        let handle = self.slot().clone();
        handle.is_some_and(|handle| handle.peer.link.loss().is_none())
    }

    /// Whether the process answers: False if it is stopped or gone. One whose Python is busy answers.
    ///
    /// Asks it, and waits for the answer at most as long as `Host(heartbeat=)` says. Under a running event loop it does
    /// not wait: an earlier question counts.
    #[getter]
    fn responsive(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(peer) = self.slot().as_ref().map(|handle| Arc::clone(&handle.peer)) else { return Ok(false) };
        let link = &peer.link;
        if peer.far.get().is_some() {
            return Ok(link.loss().is_none());
        }
        link.drain();
        link.ask_for_life();
        let heartbeat = peer.traits.get().map_or(Duration::ZERO, |traits| traits.heartbeat);
        if let Some(since) = link.unanswered_since()
            && !call::is_loop_running(py)
        {
            call::wait_quietly(py, &peer, |tick| link.wait_life(since + heartbeat, tick))?;
        }
        let is_late = link.unanswered_since().is_some_and(|since| since.elapsed() >= heartbeat);
        Ok(link.loss().is_none() && !is_late)
    }

    /// How texts call the host, beside its process id; None where it was given no name.
    #[getter]
    fn name(&self) -> Option<String> {
        self.slot().as_ref().and_then(|handle| handle.peer.traits.get()?.name.clone())
    }

    /// The exit code, negative for a signal as in `subprocess`; None while the process runs or if not known.
    #[getter]
    fn exitcode(&self) -> Option<i32> {
        let exit = self.process()?.status()?;
        exit.code.or(exit.signal.map(|signal| -signal))
    }

    /// Close the host: nothing new is accepted, what was accepted is finished within `timeout` seconds.
    ///
    /// The rest ends with HostClosed. After that the process is terminated, and killed a second later.
    #[pyo3(signature = (timeout=5.0))]
    fn close(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<()> {
        let py = slf.py();
        deadline::checked(timeout)?;
        let peer = slf.get().peer()?;
        close_peer(py, &peer, deadline::duration(timeout))
    }

    /// Kill the process at once. Its calls end with HostDied.
    fn kill(&self, py: Python<'_>) {
        let Some(handle) = self.slot().clone() else { return };
        let peer = &handle.peer;
        if let Some(process) = &peer.process {
            peer.is_killed_here.store(true, Ordering::SeqCst); // before its end is seen
            py.detach(|| process.kill());
        } else if let Some(far) = peer.far.get() {
            local::kill(py, &peer.link, far); // what runs at this moment runs on: it is this process
        }
    }

    /// Wait until the process has ended, at most `timeout` seconds; whether it has.
    #[pyo3(signature = (timeout=None))]
    fn wait(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<bool> {
        let py = slf.py();
        let until = deadline::until(timeout)?;
        let Some(process) = slf.get().process() else { return Ok(!slf.get().alive()) };
        loop {
            let step = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()).min(TICK));
            if py.detach(|| process.wait(Some(step))) {
                home::show_all(py, slf.get().peer()?.as_ref())?;
                return Ok(true);
            }
            py.check_signals()?;
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
        }
    }

    /// Call `callback(host)` once, when the host has ended or was closed: on the service thread, or at once.
    #[pyo3(signature = (callback, /))]
    fn on_death(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let peer = slf.get().peer()?;
        service::ensure(py)?;
        let watched = service::Watched::Death { callback: callback.clone().unbind(), peer: Arc::clone(&peer) };
        let key = service::watch(watched);
        if peer.link.observe_loss(Observer::Inbox(service::process_inbox(), key)) {
            service::unwatch(key);
            callback.call1((slf,))?;
        }
        Ok(())
    }

    /// The counts of the connection's tables: calls, answers, exports, imports, and exports by type.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let peer = slf.get().peer()?;
        peer.drop_released(py);
        let stats = peer.link.stats();
        let dict = PyDict::new(py);
        dict.set_item("calls", stats.calls)?;
        dict.set_item("answers", stats.answers)?;
        dict.set_item("exports", stats.exports)?;
        dict.set_item("imports", stats.imports)?;
        dict.set_item("exports_by_type", peer.exports_by_type(py)?)?;
        Ok(dict)
    }

    /// Every call that was ever made to the host.
    fn _calls_made(&self) -> PyResult<u64> {
        Ok(self.peer()?.link.stats().calls_made)
    }

    /// The descriptors of the connection.
    fn _fds(&self) -> Vec<i32> {
        let Some(handle) = self.slot().clone() else { return Vec::new() };
        handle.peer.link.fds()
    }
}

/// Constructs by name what both sides can import: neither of them needs pickle for it, which takes 5 ms to import.
fn construct_named<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    path: &str,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let parts =
        PyTuple::new(py, [PyString::new(py, path).into_any(), args.to_list().into_any(), kwargs.clone().into_any()])?;
    let (_, qualname) = path.split_once(':').unwrap_or(("", path));
    let subject = qualname.to_owned();
    let sent = call::send_named(py, peer, "construct_named", &parts, subject, Want::Reference)?;
    sent.wait(py)
}

/// "module:qualified.name" of a class or function that this name really leads to, outside of `__main__`.
fn importable_name(factory: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let names = (factory.getattr_opt("__module__")?, factory.getattr_opt("__qualname__")?);
    let (Some(module), Some(qualname)) = names else { return Ok(None) };
    let (Ok(module), Ok(qualname)) = (module.extract::<String>(), qualname.extract::<String>()) else {
        return Ok(None);
    };
    // A built-in function has its module there.
    let is_bound = factory.getattr_opt("__self__")?.is_some_and(|owner| !owner.is_instance_of::<PyModule>());
    if is_main(&module) || is_bound {
        return Ok(None);
    }
    let modules = factory.py().import("sys")?.getattr("modules")?;
    let Ok(mut found) = modules.get_item(&module) else { return Ok(None) };
    for name in qualname.split('.') {
        match found.getattr_opt(name)? {
            Some(next) => found = next,
            None => return Ok(None),
        }
    }
    Ok(found.is(factory).then(|| format!("{module}:{qualname}")))
}

/// The Host object of a peer: the one that somebody holds, or a new one.
pub(crate) fn object_of<'py>(py: Python<'py>, peer: &Arc<Peer>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(host) = peer.host_object(py)? {
        return Ok(host);
    }
    let class = py.import("elsewhere._host")?.getattr("Host")?;
    let host = class.call_method1("__new__", (&class,))?;
    HostCore::attach(host.cast::<HostCore>()?, peer)?;
    Ok(host)
}

/// Closes a host, whatever is behind it.
pub(crate) fn close_peer(py: Python<'_>, peer: &Arc<Peer>, timeout: Duration) -> PyResult<()> {
    if let Some(far) = peer.far.get() {
        local::finish(py, &peer.link, far, Some(timeout));
    } else if let Some(process) = &peer.process {
        guests::dismiss(py, peer);
        py.detach(|| process.start_close(timeout));
        // A signal ends a wait, and its handler may return.
        while !py.detach(|| process.wait(Some(TICK))) {
            py.check_signals()?;
        }
        py.check_signals()?;
    } else if peer.is_owned() {
        peer.link.close();
        server::wait_lost(py, &peer.link, timeout)?;
    } else {
        return Err(PyRuntimeError::new_err(format!("{} is not ours to close", peer.label)));
    }
    peer::sweep(py);
    Ok(())
}

pub(crate) fn config(capabilities: Capabilities, py: Python<'_>) -> Config {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let version = py.version_info();
        format!("{}.{}.{}", version.major, version.minor, version.patch)
    });
    let hello = Hello {
        capabilities: capabilities.with(Capabilities::BUFFERS).with(Capabilities::INSTANCES),
        pid: std::process::id(),
        python: python.clone(),
        implementation: concat!("elsewhere ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Hello::default()
    };
    Config { hello, ..Config::default() }
}

/// Start a host process and configure it; `core` becomes its Host.
///
/// `program` and `arguments` are what is executed, `environment` the whole environment, `configuration` what the host is
/// told before anything else. `output` is "inherit", "home" or "discard"; with `logs`, messages come home. What comes home
/// is shown by `make_shower`. `preface` is what the program reads from its socket before it speaks the protocol.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes them by keyword")]
#[pyo3(signature = (
    core, *, program, arguments, environment, directory, name, configuration, timeout, heartbeat, output, logs,
    make_shower, preface=None
))]
pub(crate) fn start_host<'py>(
    py: Python<'py>,
    core: &Bound<'py, HostCore>,
    program: std::ffi::OsString,
    arguments: Vec<String>,
    environment: Option<BTreeMap<std::ffi::OsString, std::ffi::OsString>>,
    directory: Option<std::ffi::OsString>,
    name: Option<&str>,
    configuration: &Bound<'py, PyDict>,
    timeout: f64,
    heartbeat: f64,
    output: &str,
    logs: bool,
    make_shower: &Bound<'py, PyAny>,
    preface: Option<Vec<u8>>,
) -> PyResult<()> {
    peer::sweep(py);
    let (mut command, wanted) = command(program, arguments, environment, directory, timeout, output, logs)?;
    command.preface = preface.unwrap_or_default();
    let (here, inbox) = (here(py), service::process_inbox());
    let launched = py.detach(|| command.launch(inbox, here));
    begin(py, core, launched, wanted, Configuration { name, settings: configuration, timeout, heartbeat, make_shower })
}

/// What is executed, with all that does not depend on how it becomes a host.
pub(crate) fn command(
    program: std::ffi::OsString,
    arguments: Vec<String>,
    environment: Option<BTreeMap<std::ffi::OsString, std::ffi::OsString>>,
    directory: Option<std::ffi::OsString>,
    timeout: f64,
    output: &str,
    logs: bool,
) -> PyResult<(HostCommand, home::Wanted)> {
    let mut command = HostCommand::new(program);
    command.arguments = arguments.into_iter().map(Into::into).collect();
    command.start_timeout = deadline::duration(deadline::checked(timeout)?);
    command.shares_memory = memory::is_wanted();
    command.directory = directory.map(Into::into);
    if let Some(environment) = environment {
        command.clear_environment = true;
        command.environment = environment.into_iter().map(|(key, value)| (key, Some(value))).collect();
    }
    let wanted = home::Wanted::new(&mut command, output, logs)?;
    Ok((command, wanted))
}

/// What of the ways to start a process does not differ: it is to say hello, and is then told what it does not
/// know yet, which of a fork is mostly nothing.
pub(crate) struct Configuration<'a, 'py> {
    pub(crate) name: Option<&'a str>,
    pub(crate) settings: &'a Bound<'py, PyDict>,
    pub(crate) timeout: f64,
    pub(crate) heartbeat: f64,
    pub(crate) make_shower: &'a Bound<'py, PyAny>,
}

/// Makes `core` the Host of a process that was just started. If it cannot be, the process is ended.
pub(crate) fn begin<'py>(
    py: Python<'py>,
    core: &Bound<'py, HostCore>,
    launched: Result<HostProcess, StartError>,
    wanted: home::Wanted,
    Configuration { name, settings, timeout, heartbeat, make_shower }: Configuration<'_, 'py>,
) -> PyResult<()> {
    let process = wait_started(py, launched).map_err(|error| error.into_error(py, name))?;
    let label = label(name, Some(process.pid()));
    let told = memory::tell(py, process.link());
    let peer = Peer::new(Arc::clone(process.link()), Some(Arc::clone(&process)), label, true);
    Traits::give(&peer, name, heartbeat);
    let begun = told.and_then(|()| wanted.begin(py, &peer, name, make_shower));
    let configured = begun.and_then(|()| configure(py, &peer, settings, timeout));
    // With the rest: an interrupt may come here, too, and would leave a process that is nobody's.
    let attached = configured.and_then(|()| HostCore::attach(core, &peer));
    attached.map_err(|error| configuration_failed(py, &peer, &process, &error))
}

/// Why a process did not become a host.
enum NotLaunched {
    Failed(StartError),
    Interrupted(PyErr),
}

impl NotLaunched {
    fn into_error(self, py: Python<'_>, name: Option<&str>) -> PyErr {
        match self {
            Self::Failed(error) => start_failed(py, name, &error),
            Self::Interrupted(error) => error,
        }
    }
}

/// What this process says of itself to its hosts.
pub(crate) fn here(py: Python<'_>) -> Config {
    config(Capabilities::CHUNKS.with(Capabilities::LANE_ENDS), py)
}

/// Waits for the hello of a process, seeing to signals meanwhile.
fn wait_started(py: Python<'_>, launched: Result<HostProcess, StartError>) -> Result<Arc<HostProcess>, NotLaunched> {
    let process = launched.map_err(NotLaunched::Failed)?;
    while !py.detach(|| process.wait_started(Some(TICK))).map_err(NotLaunched::Failed)? {
        if let Err(interrupt) = py.check_signals() {
            process.kill();
            return Err(NotLaunched::Interrupted(interrupt));
        }
    }
    Ok(Arc::new(process))
}

/// "host 'camera' (4711)" or "host 4711".
fn label(name: Option<&str>, pid: Option<u32>) -> String {
    match (name, pid) {
        (Some(name), Some(pid)) => format!("host '{name}' ({pid})"),
        (None, Some(pid)) => format!("host {pid}"),
        (Some(name), None) => format!("host '{name}' (local)"),
        (None, None) => "host (local)".to_owned(),
    }
}

fn configure<'py>(py: Python<'py>, peer: &Arc<Peer>, configuration: &Bound<'py, PyDict>, timeout: f64) -> PyResult<()> {
    if configuration.is_empty() {
        return Ok(());
    }
    let arguments = PyTuple::new(py, [configuration])?;
    let parts = (None, &arguments, None);
    // The time is kept on this side: a host that had to carry it along would begin with the import of `contextvars`.
    let sent = call::send_to_host(py, peer, "configure", parts, Want::Value, Expect::Answer, None)?;
    let sent = sent.expect("an answer is expected");
    match sent.wait_until(py, Some(Instant::now() + deadline::duration(timeout)))? {
        Some(arrival) => sent.value(py, arrival).map(drop),
        None => Err(errors::timed_out(py, peer, &sent.subject.text(py))),
    }
}

fn start_failed(py: Python<'_>, name: Option<&str>, error: &StartError) -> PyErr {
    let tail = match error {
        StartError::Spawn { .. } => "",
        StartError::Ended { stderr_tail, .. }
        | StartError::TimedOut { stderr_tail, .. }
        | StartError::Protocol { stderr_tail, .. } => &String::from_utf8_lossy(stderr_tail),
    };
    let label = name.map_or_else(|| "the host".to_owned(), |name| format!("host '{name}'"));
    errors::start_failed(py, &error.to_string(), &label, tail)
}

/// The process runs, but would not be configured: it is ended, and the reason told.
fn configuration_failed(py: Python<'_>, peer: &Arc<Peer>, process: &Arc<HostProcess>, error: &PyErr) -> PyErr {
    py.detach(|| {
        process.kill();
        process.wait(Some(Duration::from_secs(1)))
    });
    let tail = String::from_utf8_lossy(&process.stderr_tail()).into_owned();
    peer::sweep(py);
    if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return error.clone_ref(py);
    }
    let reason = if errors::is_own(py, error, "CallTimeout") {
        "it was not ready in time".to_owned()
    } else if errors::is_loss(py, error) {
        format!("process {} {} before it was ready", process.pid(), process.status().unwrap_or_default())
    } else {
        format!("{}: {}", errors::class_name(py, error), error.value(py))
    };
    let made = errors::start_failed(py, &reason, &peer.label, &tail);
    made.set_cause(py, Some(error.clone_ref(py)));
    made
}

/// Make a host within this process; `core` becomes its Host. Calls queue, and whoever waits runs them.
/// Without `copies` values go there and back as they are. By class, `returns` are the methods whose results go by reference.
#[pyfunction]
#[pyo3(signature = (core, *, name, copies, returns=None))]
pub(crate) fn start_local_host(
    py: Python<'_>,
    core: &Bound<'_, HostCore>,
    name: Option<&str>,
    copies: bool,
    returns: Option<Py<PyDict>>,
) -> PyResult<()> {
    peer::sweep(py);
    let here = config(Capabilities::CHUNKS, py);
    let there = config(Capabilities::CHUNKS.with(Capabilities::SERIAL), py);
    let (near, far) = Link::pair(here, Inbox::new(), there, Inbox::new())?;
    let near = Peer::new(near, None, label(name, None), true);
    Traits::give(&near, name, 0.0); // it is not asked
    let far = Peer::new(far, None, "this process".to_owned(), false);
    if !copies {
        near.set_hands_over();
        far.set_hands_over();
    }
    if let Some(returns) = returns {
        let _ = far.returns.set(returns); // the peer is new
        returns::note();
    }
    if far.near.set(Arc::downgrade(&near)).is_err() || near.far.set(far).is_err() {
        unreachable!("the peer is new");
    }
    HostCore::attach(core, &near)
}

/// Take the connection that this process inherited as standard input: it becomes a host, which runs its calls so.
#[pyfunction]
pub(crate) fn adopt_owner(py: Python<'_>, concurrency: Concurrency) -> PyResult<()> {
    serving::set_concurrency(concurrency);
    let capabilities = Capabilities::CHUNKS.with(concurrency.capabilities());
    let inbox = match concurrency {
        Concurrency::Caller => Inbox::by_lanes(),
        Concurrency::Threads(_) => Inbox::shared(),
        Concurrency::Serial | Concurrency::Async => Inbox::new(),
    };
    let label = format!("the owner ({})", elsewhere_engine::owner_pid()?);
    let link = elsewhere_engine::adopt_stdin(config(capabilities, py), inbox)?;
    link.record_calls();
    let owner = Peer::new(link, None, label, false);
    interrupts::signal();
    if !lifecycle::set_owner(owner) {
        return Err(PyRuntimeError::new_err("this process is a host already"));
    }
    Ok(())
}
