//! Connecting to an object that another process serves.
//!
//! Owns: the connections of this process, by where they lead, and how they come about again in a fork of it. Must not know:
//! sockets and proofs (the engine's), addresses and keys as the user gives them (`_serve.py`).

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use elsewhere_engine::{ConnectError, Endpoint, Key, connect, wait_served};
use elsewhere_proto::{ObjectId, Outcome, Want};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::path;
use crate::peer::{self, Import, Lease, Peer};
use crate::proxy::Proxy;
use crate::{call, deadline, errands, errors, host, service};

/// The place that `_serve.py` wrote down.
pub(crate) fn endpoint(place: &str) -> PyResult<Endpoint> {
    Endpoint::parse(place).ok_or_else(|| PyValueError::new_err(format!("{place} is no place to serve at")))
}

/// What an attempt says that was ended by a signal handler.
struct Interrupts(Option<PyErr>);

impl Interrupts {
    /// Sees to signals; whether to go on.
    fn goes_on(&mut self) -> bool {
        let seen = Python::attach(|py| py.check_signals());
        self.0 = seen.err();
        self.0.is_none()
    }
}

/// Wait until somebody serves at `place`, at most `timeout` seconds, or until the descriptor `end` is readable.
#[pyfunction]
#[pyo3(signature = (place, timeout, end, /))]
pub(crate) fn _wait_served(py: Python<'_>, place: &str, timeout: Option<f64>, end: Option<i32>) -> PyResult<bool> {
    let endpoint = endpoint(place)?;
    let until = deadline::until(timeout)?;
    let mut interrupts = Interrupts(None);
    // SAFETY: the caller keeps `end` open until this returns.
    let end = end.map(|end| unsafe { BorrowedFd::borrow_raw(end) });
    let served = py.detach(|| wait_served(&endpoint, end, until, &mut || interrupts.goes_on()));
    match interrupts.0 {
        Some(error) => Err(error),
        None => Ok(served.unwrap_or(false)),
    }
}

/// The connections of this process by where they lead and with which key, so that whoever connects again has the same one.
type Connections = HashMap<(String, Vec<u8>), Weak<Peer>>;

fn connections() -> MutexGuard<'static, Connections> {
    static CONNECTIONS: OnceLock<Mutex<Connections>> = OnceLock::new();
    CONNECTIONS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Let whoever connects from now on have a new connection.
#[pyfunction]
pub(crate) fn _forget_connections() {
    let before = std::mem::take(&mut *connections());
    drop(before); // after the lock
}

/// Connect to what is served at `place`, within `timeout` seconds. Gives its proxy.
#[pyfunction]
#[pyo3(signature = (place, key, timeout, /))]
pub(crate) fn _connect<'py>(py: Python<'py>, place: String, key: &[u8], timeout: f64) -> PyResult<Bound<'py, PyAny>> {
    errands::pass(py);
    peer::sweep(py);
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    connect_by(py, &(place, key.to_vec()), until)
}

/// Ask the server at `place` for what was granted under `token`. Gives its proxy.
#[pyfunction]
#[pyo3(signature = (place, key, token, timeout, /))]
pub(crate) fn _redeem<'py>(
    py: Python<'py>,
    place: String,
    key: &[u8],
    token: &Bound<'py, PyBytes>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    errands::pass(py);
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    let (peer, _lease) = reach(py, &(place, key.to_vec()), until)?;
    ask_door(py, &peer, "redeem", &PyTuple::new(py, [token])?, Want::Reference, until)
}

/// Ask the server that `proxy` came from to grant its object to whoever shows the token that this gives.
///
/// Gives the place of the server and whether it demands a key, too; None where it came from no server.
#[pyfunction]
#[pyo3(signature = (proxy, timeout, /))]
pub(crate) fn _grant<'py>(
    py: Python<'py>,
    proxy: &Bound<'py, Proxy>,
    timeout: f64,
) -> PyResult<Option<(String, bool, Bound<'py, PyAny>)>> {
    revive(py, path::root(proxy.get()))?;
    let peer = &path::root(proxy.get()).peer;
    let Some(reached) = peer.reached.get() else { return Ok(None) };
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    let token = ask_door(py, peer, "grant", &PyTuple::new(py, [proxy])?, Want::Value, until)?;
    let (place, key) = &reached.place;
    Ok(Some((place.clone(), !key.is_empty(), token)))
}

/// The key of a connection that this process has to `place`; None where it has none.
#[pyfunction]
#[pyo3(signature = (place, /))]
pub(crate) fn _known_key<'py>(py: Python<'py>, place: &str) -> Option<Bound<'py, PyBytes>> {
    let connections = connections();
    let mut known = connections.iter().filter(|((known, _), _)| known == place);
    let key = known.find(|(_, peer)| peer.upgrade().is_some_and(|peer| !peer.link.is_lost()))?.0.1.clone();
    drop(connections);
    Some(PyBytes::new(py, &key))
}

fn ask_door<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    method: &'static str,
    arguments: &Bound<'py, PyTuple>,
    want: Want,
    until: Instant,
) -> PyResult<Bound<'py, PyAny>> {
    let _carried = deadline::carry(py, Some(until))?;
    let subject = if method == "root" { "connect" } else { "pickle" };
    call::send_named(py, peer, method, arguments, subject.to_owned(), want)?.wait(py)
}

fn connect_by<'py>(py: Python<'py>, place: &(String, Vec<u8>), until: Instant) -> PyResult<Bound<'py, PyAny>> {
    let (peer, _lease) = reach(py, place, until)?;
    let root = ask_door(py, &peer, "root", &PyTuple::empty(py), Want::Reference, until)?;
    if let (Ok(proxy), Some(reached)) = (root.cast_exact::<Proxy>(), peer.reached.get()) {
        let _ = reached.root.set(path::root(proxy.get()).object);
    }
    Ok(root)
}

/// The connection to `place`: the one that there is, or a new one, and what keeps it until something of it is held.
fn reach(py: Python<'_>, place: &(String, Vec<u8>), until: Instant) -> PyResult<(Arc<Peer>, Option<Arc<Lease>>)> {
    let known = connections().get(place).and_then(Weak::upgrade);
    let usable = |peer: &Arc<Peer>| !peer.link.is_inherited() && !peer.link.is_lost() && !peer.link.is_closing();
    let peer = match known.filter(usable) {
        Some(peer) => peer,
        None => connect_anew(py, place, until)?,
    };
    let lease = peer.lease();
    Ok((peer, lease))
}

/// Where a connection leads, and what its root is.
pub(crate) struct Reached {
    place: (String, Vec<u8>),
    root: OnceLock<ObjectId>,
}

/// How long it may take to connect anew.
const REVIVAL: Duration = Duration::from_secs(10);

/// In a forked child, connects anew for the object that `import` names, if it is what is served itself: the connection
/// is the parent's. Nothing to do otherwise.
///
/// # Errors
/// As connecting.
pub(crate) fn revive(py: Python<'_>, import: &Arc<Import>) -> PyResult<()> {
    if !import.peer.link.is_inherited() {
        return Ok(());
    }
    let Some(reached) = import.peer.reached.get() else { return Ok(()) };
    if reached.root.get() != Some(&import.object) {
        return Ok(());
    }
    let root = connect_by(py, &reached.place, Instant::now() + REVIVAL)?;
    if let Ok(proxy) = root.cast_exact::<Proxy>() {
        let _ = import.heir.set(Arc::clone(path::root(proxy.get()))); // another thread may have been faster
    }
    Ok(())
}

fn connect_anew(py: Python<'_>, place: &(String, Vec<u8>), until: Instant) -> PyResult<Arc<Peer>> {
    let (endpoint, key) = (endpoint(&place.0)?, Key::new(&place.1));
    let config = host::here(py);
    let inbox = service::process_inbox();
    let mut interrupts = Interrupts(None);
    let made = py.detach(|| connect(&endpoint, key, config, inbox, until, &mut || interrupts.goes_on()));
    if let Some(interrupt) = interrupts.0 {
        return Err(interrupt);
    }
    let link = made.map_err(|error| connect_error(py, &error))?;
    let label = format!("the server at {endpoint}");
    let peer = Peer::new(link, None, label, true);
    let _ = peer.reached.set(Reached { place: place.clone(), root: OnceLock::new() });
    let mut connections = connections();
    connections.retain(|_, peer| peer.strong_count() > 0);
    connections.insert(place.clone(), Arc::downgrade(&peer));
    Ok(peer)
}

fn connect_error(py: Python<'_>, error: &ConnectError) -> PyErr {
    let class = match error {
        ConnectError::Unproven(_) => "AuthenticationError",
        ConnectError::Stranger(_) => "ProtocolError",
        ConnectError::TimedOut(_) => "CallTimeout",
        ConnectError::Nobody(_) | ConnectError::Unreachable(_) | ConnectError::GivenUp => "ConnectionLost",
    };
    errors::make(py, class, &error.to_string(), Some(Outcome::NotStarted), None, None)
}
