//! Those who connect to this host, beside its owner.
//!
//! Owns: the host's listener, which opens when it is first asked for, and the peers that came through it. Must not know:
//! grants (`_guests.py`), who is let in (the engine's), what a call does (calls_in).
//!
//! What guests ask for goes into the inbox of the owner, and so to the same threads in the same order: a host is one host,
//! whoever calls. The host goes on for its guests when its owner is done with it, and ends with its owner's end all the same.

use std::sync::{Arc, Mutex, PoisonError};

use elsewhere_engine::{Company, Key, Listener, Observer, Welcome, Work};
use elsewhere_proto::{CallId, Capabilities, ChainId, ObjectId, Reason};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::guarded::Guarded;
use crate::peer::{self, Peer};
use crate::{chain, connecting, host, lifecycle, server, service, serving};

static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
/// Guests whose streams the main thread reads while it waits for the owner. Made with the listener.
static COMPANY: Guarded<Option<Arc<Company>>> = Guarded::new(None);

/// What the main thread reads beside its owner, once there may be any.
pub(crate) fn company(py: Python<'_>) -> Option<Arc<Company>> {
    COMPANY.with(py, |company| company.clone())
}

fn owner() -> PyResult<Arc<Peer>> {
    lifecycle::owner().ok_or_else(|| PyRuntimeError::new_err("this process is no host"))
}

/// Object number 0 of a guest.
pub(crate) fn door(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    py.import("elsewhere._guests").and_then(|module| module.getattr("DOOR")).ok()
}

/// Listen at `place` from now on, for processes of this user.
#[pyfunction]
#[pyo3(signature = (place, /))]
pub(crate) fn _listen_for_guests(py: Python<'_>, place: &str) -> PyResult<()> {
    let owner = owner()?;
    let company = Arc::new(Company::new()?);
    COMPANY.with(py, |now| *now = Some(Arc::clone(&company)));
    let inbox = Arc::clone(owner.link.inbox());
    let arrivals = Arc::clone(&inbox);
    let welcome = Welcome {
        config: host::config(Capabilities::CHUNKS.with(serving::concurrency().capabilities()), py),
        inbox: Arc::clone(&inbox),
        // On the watch thread: nothing of Python's is touched here, and none of it is in the peer yet.
        on_link: Box::new(move |link, who| {
            let peer = Peer::new(Arc::clone(link), None, format!("the guest ({who})"), false);
            let _ = peer.is_guest.set(());
            owner.link.add_guest();
            company.add(link);
            let key = service::watch(service::Watched::Guest(Arc::clone(&peer)));
            if link.observe_loss(Observer::Inbox(Arc::clone(&arrivals), key)) {
                service::unwatch(key);
                owner.link.remove_guest();
            }
        }),
        on_refusal: Observer::Inbox(inbox, service::NOTHING),
    };
    let endpoint = connecting::endpoint(place)?;
    // No key: what a guest may reach is what he shows a grant for.
    let listener = py.detach(|| Listener::new(&endpoint, Key::new(b""), welcome)).map_err(server::serve_error)?;
    let before = LISTENER.lock().unwrap_or_else(PoisonError::into_inner).replace(listener);
    drop(before); // after the lock
    Ok(())
}

/// A guest is gone.
pub(crate) fn left(py: Python<'_>, guest: &Arc<Peer>) {
    peer::sweep(py);
    if let Some(company) = company(py) {
        company.remove(&guest.link);
    }
    let Some(owner) = lifecycle::owner() else { return };
    // Threads that belong to his lanes, which have no last call.
    let inbox = owner.link.inbox();
    for lane in inbox.taken_lanes(guest.link.id()) {
        inbox.push(Work::Turn { link: Arc::clone(&guest.link), call: CallId(0), lane, chain: ChainId(0) });
    }
    owner.link.remove_guest();
}

/// Let no guest in any more, and end the connections of those who are here.
///
/// Those whose calls are not answered yet are told to make no further ones. Gives whether there are any: call it again then.
#[pyfunction]
pub(crate) fn _dismiss_guests(py: Python<'_>) -> bool {
    let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner).take();
    let is_first = listener.is_some();
    py.detach(|| drop(listener));
    let mut is_any_left = false;
    for guest in peer::all().into_iter().filter(|peer| peer.is_guest.get().is_some() && !peer.link.is_lost()) {
        guest.link.drain();
        if is_first {
            guest.link.go_away(Reason::SHUTDOWN, "its owner has it end");
        }
        if guest.link.stats().answers > 0 || guest.link.is_behind() {
            is_any_left = true;
        } else {
            guest.link.abandon();
        }
    }
    is_any_left
}

/// In a fork of a host: its parent listens.
pub(crate) fn forget(py: Python<'_>) {
    std::mem::forget(LISTENER.lock().unwrap_or_else(PoisonError::into_inner).take());
    std::mem::forget(COMPANY.with(py, Option::take));
}

/// This host is to go on when its owner is done with it, until `_remove_guest` is called as often.
#[pyfunction]
pub(crate) fn _add_guest() -> PyResult<()> {
    owner()?.link.add_guest();
    Ok(())
}

/// See `_add_guest`.
#[pyfunction]
pub(crate) fn _remove_guest() -> PyResult<()> {
    owner()?.link.remove_guest();
    Ok(())
}

/// The number of the connection that the call came by which this thread runs; None outside of calls.
#[pyfunction]
pub(crate) fn _calling_link(py: Python<'_>) -> Option<u64> {
    chain::current(py).map(|(_, link)| link)
}

/// Whoever makes the call that runs is a host of the same owner.
#[pyfunction]
pub(crate) fn _note_sibling(py: Python<'_>) {
    let Some((_, link)) = chain::current(py) else { return };
    if let Some(peer) = peer::all().into_iter().find(|peer| peer.link.id() == link) {
        let _ = peer.is_sibling.set(());
    }
}

/// What the peer at the other end of the connection `link` holds under `number`; None where it holds nothing so.
#[pyfunction]
#[pyo3(signature = (link, number, /))]
pub(crate) fn _held_by(py: Python<'_>, link: u64, number: u64) -> Option<Bound<'_, PyAny>> {
    let peer = peer::all().into_iter().find(|peer| peer.link.id() == link && !peer.link.is_lost())?;
    peer.exported(py, ObjectId(number))
}

/// Ends the connections of the guests of a host of ours that is to end, before it is told to.
pub(crate) fn dismiss(py: Python<'_>, peer: &Arc<Peer>) {
    if peer.listens.get().is_some() {
        connecting::post_dismissal(py, peer);
    }
}
