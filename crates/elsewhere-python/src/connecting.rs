//! Connecting to an object that another process serves.
//!
//! Owns: the connections of this process, by where they lead, and how they come about again in a fork of it. Must not know:
//! sockets and proofs (the engine's), addresses and keys as the user gives them (`_serve.py`).

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use elsewhere_engine::{ConnectError, Endpoint, Expect, Key, connect, wait_served};
use elsewhere_proto::{Capabilities, ObjectId, Outcome, Want};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::class_info::class_flag;
use crate::host::HostCore;
use crate::looks::Looks;
use crate::path;
use crate::peer::{self, Import, Lease, Peer};
use crate::proxy::Proxy;
use crate::{call, deadline, encode, errands, errors, handing, host, relays, service};

/// The place that `_serve.py` wrote down.
pub(crate) fn endpoint(place: &str) -> PyResult<Endpoint> {
    Endpoint::parse(place).ok_or_else(|| PyValueError::new_err(format!("{place} is no place to serve at")))
}

/// Wait until somebody serves at `place`, at most `timeout` seconds, or until the descriptor `end` is readable.
#[pyfunction]
#[pyo3(signature = (place, timeout, end, /))]
pub(crate) fn _wait_served(py: Python<'_>, place: &str, timeout: Option<f64>, end: Option<i32>) -> PyResult<bool> {
    let endpoint = endpoint(place)?;
    let until = deadline::until(timeout)?;
    let mut looks = Looks::new();
    // SAFETY: the caller keeps `end` open until this returns.
    let end = end.map(|end| unsafe { BorrowedFd::borrow_raw(end) });
    let served = py.detach(|| wait_served(&endpoint, end, until, &mut || looks.wait_goes_on()));
    match looks.met() {
        Some(error) => Err(error),
        None => Ok(served.unwrap_or(false)),
    }
}

/// The connections of this process by where they lead and with which key, so that whoever connects again has the same one.
/// Those to siblings, which nobody else may use, are told apart.
type Connections = HashMap<(String, Vec<u8>, bool), Weak<Peer>>;

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

/// Ask the host that listens at `place` for what was granted under `token`. Gives its proxy.
#[pyfunction]
#[pyo3(signature = (place, token, timeout, /))]
pub(crate) fn _redeem_at_host<'py>(
    py: Python<'py>,
    place: String,
    token: &Bound<'py, PyBytes>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    errands::pass(py);
    peer::sweep(py);
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    let is_there = |peer: &Arc<Peer>| peer.listens.get().is_some_and(|reached| reached.place.0 == place);
    if let Some(own) = peer::all().into_iter().find(|peer| is_there(peer) && is_usable(peer)) {
        return ask_door(py, &own, "redeem", &PyTuple::new(py, [token])?, Want::Reference, until);
    }
    let (peer, _lease) = reach(py, &(place, Vec::new()), Kind::Host, until)?;
    let secret = peer.reached.get().and_then(|reached| reached.secret).unwrap_or_default();
    let parts = PyTuple::new(py, [token.clone(), PyBytes::new(py, &secret)])?;
    ask_door(py, &peer, "redeem", &parts, Want::Reference, until)
}

/// Have a host of ours listen. Gives where; None where it cannot.
#[pyfunction]
#[pyo3(signature = (host, timeout, /))]
pub(crate) fn _ask_to_listen(py: Python<'_>, host: &Bound<'_, HostCore>, timeout: f64) -> PyResult<Option<String>> {
    let peer = host.get().peer()?;
    if let Some(reached) = peer.reached.get() {
        return Ok(Some(reached.place.0.clone()));
    }
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    Ok(ask_host(py, &peer, None, until)?.map(|(place, _)| place))
}

/// Asks a host of ours to listen, and to grant the object of `proxy`, if one is given. None where it cannot.
fn ask_host<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    proxy: Option<&Bound<'py, Proxy>>,
    until: Instant,
) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
    let is_bare = |hello: &elsewhere_proto::Hello| hello.implementation.starts_with("elsewhere-bare");
    if peer.process.is_none() || !peer.is_owned() || peer.link.peer().is_some_and(is_bare) {
        return Ok(None);
    }
    let secret = match peer.listens.get() {
        Some(reached) => reached.secret.unwrap_or_default(),
        None => new_secret(py)?,
    };
    let subject = proxy.map_or_else(|| encode::none(py), |proxy| proxy.clone().into_any());
    let parts = PyTuple::new(py, [PyBytes::new(py, &secret).into_any(), subject])?;
    let answer = ask_door(py, peer, "grant", &parts, Want::Value, until)?;
    let (place, token) = answer.extract::<(String, Bound<'py, PyAny>)>()?;
    if let Some(process) = &peer.process {
        process.note_socket(place.clone().into());
    }
    let place_and_key = (place.clone(), Vec::new());
    let reached = Reached { place: place_and_key, root: OnceLock::new(), secret: Some(secret) };
    let _ = peer.listens.set(Box::new(reached)); // another thread may have been faster; its secret is known there as well
    Ok(Some((place, token)))
}

/// Has a host of ours end the connections of its guests, behind what it was asked for before.
pub(crate) fn post_dismissal(py: Python<'_>, peer: &Arc<Peer>) {
    let parts = (None, &PyTuple::empty(py), None);
    // Refused by a host that is ending already.
    let _ = call::send_to_host(py, peer, "dismiss", parts, Want::Nothing, Expect::Nothing, None);
}

/// What nobody can guess, by which a fork of this process shows at a host that it is one.
fn new_secret(py: Python<'_>) -> PyResult<[u8; SECRET]> {
    py.import("posix")?.call_method1("urandom", (SECRET,))?.extract()
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
    let (peer, _lease) = reach(py, &(place, key.to_vec()), Kind::Server, until)?;
    ask_door(py, &peer, "redeem", &PyTuple::new(py, [token])?, Want::Reference, until)
}

/// Where an object lives, whether a key is demanded there, the token to show, whether it is a host.
type Granted<'py> = (String, bool, Bound<'py, PyAny>, bool);

/// Ask where the object of `proxy` lives, a server or a host, to grant it to whoever shows the token that this gives.
///
/// Gives also where that is, whether it demands a key, and whether it is a host; None where nobody can connect to it.
#[pyfunction]
#[pyo3(signature = (proxy, timeout, /))]
pub(crate) fn _grant<'py>(py: Python<'py>, proxy: &Bound<'py, Proxy>, timeout: f64) -> PyResult<Option<Granted<'py>>> {
    revive(py, path::root(proxy.get()))?;
    let peer = &path::root(proxy.get()).peer;
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    let Some(reached) = peer.reached.get() else {
        return Ok(ask_host(py, peer, Some(proxy), until)?.map(|(place, token)| (place, false, token, true)));
    };
    let token = ask_door(py, peer, "grant", &PyTuple::new(py, [proxy])?, Want::Value, until)?;
    let (place, key) = &reached.place;
    Ok(Some((place.clone(), !key.is_empty(), token, reached.secret.is_some())))
}

/// Whether `proxy` stands for a proxy of the process that it came from.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn _is_relayed(proxy: &Bound<'_, Proxy>) -> bool {
    path::root(proxy.get()).class.flags & class_flag::PROXY != 0
}

/// The key of a connection that this process has to `place`; None where it has none.
#[pyfunction]
#[pyo3(signature = (place, /))]
pub(crate) fn _known_key<'py>(py: Python<'py>, place: &str) -> Option<Bound<'py, PyBytes>> {
    let connections = connections();
    let mut known = connections.iter().filter(|((known, ..), _)| known == place);
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
    let _carried = deadline::carry_shorter(py, until)?;
    let subject = if method == "root" { "connect" } else { "pickle" };
    call::send_named(py, peer, method, arguments, subject.to_owned(), want)?.wait(py)
}

fn connect_by<'py>(py: Python<'py>, place: &(String, Vec<u8>), until: Instant) -> PyResult<Bound<'py, PyAny>> {
    let (peer, _lease) = reach(py, place, Kind::Server, until)?;
    let root = ask_door(py, &peer, "root", &PyTuple::empty(py), Want::Reference, until)
        .map_err(|error| if errors::is_own(py, &error, "CallTimeout") { errors::unserved(py, &peer) } else { error })?;
    if let (Ok(proxy), Some(reached)) = (root.cast_exact::<Proxy>(), peer.reached.get()) {
        let _ = reached.root.set(path::root(proxy.get()).object);
    }
    Ok(root)
}

/// The connection to `place`: the one that there is, or a new one, and what keeps it until something of it is held.
fn reach(
    py: Python<'_>,
    place: &(String, Vec<u8>),
    kind: Kind<'_>,
    until: Instant,
) -> PyResult<(Arc<Peer>, Option<Arc<Lease>>)> {
    let (to, key) = place.clone();
    let known = connections().get(&(to, key, matches!(kind, Kind::Sibling(_)))).and_then(Weak::upgrade);
    let peer = match known.filter(is_usable) {
        Some(peer) => peer,
        None => connect_anew(py, place, kind, until)?,
    };
    let lease = peer.lease();
    Ok((peer, lease))
}

fn is_usable(peer: &Arc<Peer>) -> bool {
    !peer.link.is_inherited() && !peer.link.is_lost() && !peer.link.is_closing()
}

/// What is at the other end of a connection.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// It serves one object.
    Server,
    /// It is a host, which gives what was granted.
    Host,
    /// It is another host of our owner's, which calls it so.
    Sibling(&'a str),
}

/// Where a connection leads, and what is there.
pub(crate) struct Reached {
    place: (String, Vec<u8>),
    /// What is served, once it is known.
    root: OnceLock<ObjectId>,
    /// Of a host: what a fork of this process shows there.
    secret: Option<[u8; SECRET]>,
}

/// Bytes that nobody can guess.
const SECRET: usize = 16;

/// How long it may take to connect anew.
const REVIVAL: Duration = Duration::from_secs(10);

/// How long a call that is not waited for may wait for its way.
const UNWAITED: Duration = Duration::from_millis(250);

/// Before the first call of `import`, where that is a proxy of our owner's: connects to the host where the object lives, if
/// that can be. The way that is found is kept, so that calls keep their order. `waits`: whether the call is waited for.
///
/// # Errors
/// What a signal handler raises, and what breaks off the call that this one is made in.
pub(crate) fn find_way(py: Python<'_>, import: &Arc<Import>, waits: bool, limit: Option<Instant>) -> PyResult<()> {
    if import.class.flags & class_flag::PROXY == 0 || import.way.get().is_some() || !handing::is_of_owner(import) {
        return Ok(());
    }
    if import.peer.link.is_inherited() {
        return Ok(());
    }
    let found = if waits || !call::is_loop_running(py) {
        let until = Instant::now() + if waits { REVIVAL } else { UNWAITED };
        go_straight(py, import, limit.map_or(until, |limit| limit.min(until)))
    } else {
        Ok(None) // a loop is not kept waiting
    };
    match found {
        Err(error) if is_fatal(py, &error) => return Err(error),
        Err(_) if limit.is_some_and(|limit| limit <= Instant::now()) => {} // nor is the call made
        found => {
            let _ = import.way.set(found.unwrap_or(None)); // another thread may have been faster
        }
    }
    Ok(())
}

/// Whether `error` is meant for the code that runs, and not for an attempt that it makes beside.
pub(crate) fn is_fatal(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py) || errors::is_own(py, error, "CallCancelled")
}

/// Has our owner say where the object of `import` lives, and connects to that host. What that one knows it by.
fn go_straight(py: Python<'_>, import: &Arc<Import>, until: Instant) -> PyResult<Option<Arc<Import>>> {
    let proxy = Bound::new(py, Proxy::root(Arc::clone(import)))?;
    let told = ask_door(py, &import.peer, "way", &PyTuple::new(py, [proxy])?, Want::Value, until)?;
    let Some((place, token, label)) = told.extract::<Option<(String, Bound<'_, PyAny>, String)>>()? else {
        return Ok(None);
    };
    let (peer, _lease) = reach(py, &(place, Vec::new()), Kind::Sibling(&label), until)?;
    let found = ask_door(py, &peer, "meet", &PyTuple::new(py, [token])?, Want::Reference, until)?;
    let Ok(found) = found.cast_exact::<Proxy>() else { return Ok(None) };
    let mut led_here = peer.led_here.lock().unwrap_or_else(PoisonError::into_inner);
    led_here.retain(|import| import.strong_count() > 0);
    led_here.push(Arc::downgrade(import));
    Ok(Some(Arc::clone(path::root(found.get()))))
}

/// What the host of `proxy` is called, where it is one that others of our hosts may call straight; None where it is not.
///
/// Not where each caller has a thread, which holds locks: that is to outlive connections that come and go.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn _may_go_straight(proxy: &Bound<'_, Proxy>) -> PyResult<Option<String>> {
    let peer = &path::root(proxy.get()).peer;
    let has_lanes = peer.link.peer().is_none_or(|hello| hello.capabilities.has(Capabilities::LANES));
    if has_lanes || !relays::is_of_host(peer) {
        return Ok(None);
    }
    service::ensure(proxy.py())?;
    peer.link.serve(); // from now on it may hand something over at any time
    Ok(Some(peer.label.clone()))
}

/// In a forked child, connects anew for the object that `import` names, if it is what is served itself or lives in a host
/// that listens: the connection is the parent's. Nothing to do otherwise.
///
/// # Errors
/// As connecting.
pub(crate) fn revive(py: Python<'_>, import: &Arc<Import>) -> PyResult<()> {
    if !import.peer.link.is_inherited() {
        return Ok(());
    }
    let Some(reached) = import.peer.reached.get().or_else(|| import.peer.listens.get().map(AsRef::as_ref)) else {
        return Ok(());
    };
    let until = Instant::now() + REVIVAL;
    let found = match reached.secret {
        Some(secret) => {
            let (peer, _lease) = reach(py, &reached.place, Kind::Host, until)?;
            let parts = (PyBytes::new(py, &secret), import.object.0).into_pyobject(py)?;
            ask_door(py, &peer, "revive", &parts, Want::Reference, until)?
        }
        None if reached.root.get() == Some(&import.object) => connect_by(py, &reached.place, until)?,
        None => return Ok(()),
    };
    if let Ok(proxy) = found.cast_exact::<Proxy>() {
        let _ = import.heir.set(Arc::clone(path::root(proxy.get()))); // another thread may have been faster
    }
    Ok(())
}

fn connect_anew(py: Python<'_>, place: &(String, Vec<u8>), kind: Kind<'_>, until: Instant) -> PyResult<Arc<Peer>> {
    let (endpoint, key) = (endpoint(&place.0)?, Key::new(&place.1));
    let config = host::config(Capabilities::CHUNKS, py);
    let inbox = service::process_inbox();
    let mut looks = Looks::new();
    let made = py.detach(|| connect(&endpoint, key, config, inbox, until, &mut || looks.wait_goes_on()));
    if let Some(interrupt) = looks.met() {
        return Err(interrupt);
    }
    let link = made.map_err(|error| connect_error(py, &error))?;
    let (label, secret) = match (kind, link.peer()) {
        (Kind::Sibling(label), _) => (label.to_owned(), None),
        (Kind::Host, Some(hello)) => (format!("host {}", hello.pid), Some(new_secret(py)?)),
        _ => (format!("the server at {endpoint}"), None),
    };
    let peer = Peer::new(link, None, label, true);
    let is_sibling = matches!(kind, Kind::Sibling(_));
    if is_sibling {
        let _ = peer.is_sibling.set(());
    }
    let _ = peer.reached.set(Reached { place: place.clone(), root: OnceLock::new(), secret });
    let mut connections = connections();
    connections.retain(|_, peer| peer.strong_count() > 0);
    connections.insert((place.0.clone(), place.1.clone(), is_sibling), Arc::downgrade(&peer));
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
