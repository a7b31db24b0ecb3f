//! What two hosts of one owner tell each other by way of the owner, while their calls go straight.
//!
//! Owns: which words that is, and what is said with them. Must not know: how a way is found ([`crate::connecting`]), what
//! the owner does with them (`_handing.py`).
//!
//! References never go straight. Whoever gives one hands it to the owner, and writes a word for it; whoever reads the word
//! gets what it stands for from the owner. So a process knows each object by one connection alone, however it came by it,
//! two proxies of one object are one, and nothing that was handed on depends on who handed it on.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use elsewhere_engine::Loss;
use elsewhere_proto::codec::Writer;
use elsewhere_proto::{IncomingCall, ObjectId, Op, Want};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::peer::{self, Import, Peer, Reason};
use crate::proxy::Proxy;
use crate::reference::Ref;
use crate::{call, connecting, deadline, encode, errors, lifecycle, path, relays, stream};

/// What a host may ask its owner for beside calls: the functions of `_handing.py`.
const WORDS: [&str; 6] = ["keep", "fetch", "drop", WAY, "end", "grant"];
const WAY: &str = "way";

/// How long the owner may take to hand over what it has, or soon will.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to say how a host of its ended.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// How often the owner looks whether a host has ended.
const GLANCE: Duration = Duration::from_micros(200);

/// How a call of the peer's object number 0 by `word` begins.
fn beginning(word: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(16);
    let mut writer = Writer::new(&mut body);
    writer.int(Op::Attribute.code());
    writer.str(word).expect("the word is short");
    body
}

/// Whether a call of a host of ours is one of these, each of which has a thread of its own.
pub(crate) fn is_beside(call: &IncomingCall) -> bool {
    static BEGINNINGS: OnceLock<[Vec<u8>; 6]> = OnceLock::new();
    let beginnings = BEGINNINGS.get_or_init(|| WORDS.map(beginning));
    call.head.target == ObjectId::BOOTSTRAP && beginnings.iter().any(|beginning| call.steps().starts_with(beginning))
}

/// Whether it asks for a way, which is to be behind what was passed on for the same caller before.
pub(crate) fn is_for_way(call: &IncomingCall) -> bool {
    static BEGINNING: OnceLock<Vec<u8>> = OnceLock::new();
    let beginning = BEGINNING.get_or_init(|| beginning(WAY));
    call.head.target == ObjectId::BOOTSTRAP && call.steps().starts_with(beginning)
}

/// What a path finds that begins nowhere, by the name of its first step.
pub(crate) fn at_home<'py>(
    py: Python<'py>,
    peer: &Peer,
    name: &Bound<'py, PyString>,
    is_at_door: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let name = name.to_str()?;
    if name == "run" {
        return py.import("operator")?.getattr("call").map(Some);
    }
    if name == "take" && peer.is_sibling.get().is_some() {
        return py.import("elsewhere._core")?.getattr("_take").map(Some);
    }
    if is_at_door && WORDS.contains(&name) && relays::is_of_host(peer) {
        return py.import("elsewhere._handing")?.getattr(name).map(Some);
    }
    Ok(None)
}

/// Whether it came from our owner.
pub(crate) fn is_of_owner(import: &Arc<Import>) -> bool {
    lifecycle::owner().is_some_and(|owner| Arc::ptr_eq(&owner, &import.peer))
}

fn owner(py: Python<'_>) -> PyResult<Arc<Peer>> {
    let text = "this process has no owner that a reference could go by";
    lifecycle::owner().ok_or_else(|| errors::make(py, "ProtocolError", text, None, None, None))
}

/// An object that the owner is to hand on, and the word that stands for it.
pub(crate) struct Given {
    word: [u8; 16],
    object: Py<PyAny>,
    /// Whether it is a stream of references.
    is_declared: bool,
    /// What the peer holds until it has fetched the object, or has thrown the message away: then the owner lets go, too.
    handle: Py<PyAny>,
}

impl Given {
    pub(crate) fn new(object: &Bound<'_, PyAny>, is_declared: bool) -> PyResult<Self> {
        let (py, word) = (object.py(), next_word());
        let handle = py.import("elsewhere._handing")?.getattr("Handle")?.call1((PyBytes::new(py, &word),))?.unbind();
        Ok(Self { word, object: object.clone().unbind(), is_declared, handle })
    }

    /// What stands for it in the message: the word, and the handle.
    pub(crate) fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let handle = Bound::new(py, Ref { object: self.handle.clone_ref(py) })?;
        PyTuple::new(py, [PyBytes::new(py, &self.word).as_any(), handle.as_any()])
    }

    /// Hands it to the owner, by reference.
    ///
    /// # Errors
    /// Those of a post.
    pub(crate) fn hand_over(self, py: Python<'_>) -> PyResult<()> {
        let owner = owner(py)?;
        let object = self.object.bind(py);
        let is_name = object.is_exact_instance_of::<Proxy>() || stream::import_of(object).is_some();
        let named = match is_name {
            true => object.clone(),
            false => Bound::new(py, Ref { object: self.object.clone_ref(py) })?.into_any(),
        };
        let declared =
            if self.is_declared && !is_name { Some(owner.export(object, Reason::Asked)?.object) } else { None };
        if let Some(stream) = declared {
            owner.give_references(stream);
        }
        let parts = PyTuple::new(py, [PyBytes::new(py, &self.word).as_any(), &named])?;
        self.handle.setattr(py, "is_given", true)?;
        let said = call::send_beside(py, &owner, "keep", &parts, Want::Nothing);
        owner.ungrant(py, declared.into_iter().collect());
        said.map(drop)
    }
}

/// Words that nobody else has: of this process, which is known by a number that nobody guesses, and counted.
fn next_word() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static OWN: OnceLock<u64> = OnceLock::new();
    let own = *OWN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed); // Relaxed: only uniqueness matters
    (u128::from(own) << 64 | u128::from(number)).to_le_bytes()
}

/// Tell the owner that nobody will ask for what was handed to it under a word, if it has not been asked for.
#[pyfunction]
#[pyo3(signature = (token, /))]
pub(crate) fn _take_back(py: Python<'_>, token: Bound<'_, PyBytes>) -> PyResult<()> {
    let owner = owner(py)?;
    call::send_beside(py, &owner, "drop", &PyTuple::new(py, [token])?, Want::Nothing).map(drop)
}

/// Get from the owner what a sibling has handed to it under a word. The sibling's handle is held meanwhile.
#[pyfunction]
#[pyo3(signature = (token, _handle, /))]
pub(crate) fn _take<'py>(
    py: Python<'py>,
    token: Bound<'py, PyBytes>,
    _handle: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let owner = owner(py)?;
    let _carried = deadline::carry_shorter(py, Instant::now() + PATIENCE)?;
    let parts = PyTuple::new(py, [token])?;
    let sent = call::send_beside(py, &owner, "fetch", &parts, Want::Auto)?;
    sent.expect("an answer is expected").wait(py)
}

/// Have our owner grant the object of `proxy`, beside all calls: its host may be busy.
///
/// Gives what a pickle of it consists of, None where nobody could use one; an empty tuple where it is not from our owner.
#[pyfunction]
#[pyo3(signature = (proxy, timeout, /))]
pub(crate) fn _grant_by_owner<'py>(
    py: Python<'py>,
    proxy: &Bound<'py, Proxy>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let import = path::root(proxy.get());
    if !is_of_owner(import) {
        return Ok(PyTuple::empty(py).into_any());
    }
    let _carried = deadline::carry_shorter(py, Instant::now() + deadline::duration(deadline::checked(timeout)?))?;
    let parts = PyTuple::new(py, [proxy])?;
    let sent = call::send_beside(py, &import.peer, "grant", &parts, Want::Value)?;
    sent.expect("an answer is expected").wait(py)
}

/// Whether the connection with the number `link` is still known here: if not, `give_time` was told of its end.
#[pyfunction]
#[pyo3(signature = (link, /))]
pub(crate) fn _is_known_link(link: u64) -> bool {
    peer::is_known(link)
}

/// What of `_handing.py` has anything to do, once it is imported.
fn desk(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let module = py.import("sys").and_then(|sys| sys.getattr("modules")?.call_method1("get", ("elsewhere._handing",)));
    module.ok().filter(|module| !module.is_none())
}

/// Lets go of what hosts that are gone had handed over and nobody has asked for. Whether anything is left.
pub(crate) fn let_go(py: Python<'_>) -> bool {
    desk(py).is_some_and(|desk| desk.call_method0("let_go").is_ok_and(|left| left.is_truthy().unwrap_or(false)))
}

/// The host at the other end of `link` is gone: nobody will take back what it had handed over.
pub(crate) fn forget_link(py: Python<'_>, link: u64) {
    if let Some(desk) = desk(py) {
        let _ = desk.call_method1("give_time", (link,)); // raises nothing but what ends the interpreter
    }
}

/// How a host ended, as its owner tells it.
pub(crate) struct ToldEnd {
    pub(crate) loss: Loss,
    /// Whether the owner killed it.
    pub(crate) is_killed: bool,
}

/// What is told of a process that died: its id, exit code, signal, last words, whether its owner killed it, whether how it
/// ended is not known.
type Told = (u32, Option<i32>, Option<i32>, Vec<u8>, bool, bool);

/// How a sibling ended that calls went straight to; None where that cannot be known, or it is no sibling.
///
/// # Errors
/// What a signal handler raises.
pub(crate) fn end_of<'p>(py: Python<'_>, peer: &'p Peer) -> PyResult<Option<&'p ToldEnd>> {
    if peer.is_sibling.get().is_none() || !peer.is_owned() {
        return Ok(None);
    }
    if let Some(told) = peer.told_end.get() {
        return Ok(told.as_deref());
    }
    let told = match ask_end(py, peer) {
        Err(error) if connecting::is_fatal(py, &error) => return Err(error),
        told => told.unwrap_or(None),
    };
    Ok(peer.told_end.get_or_init(|| told.map(Box::new)).as_deref())
}

fn ask_end(py: Python<'_>, peer: &Peer) -> PyResult<Option<ToldEnd>> {
    let known = peer.led_here.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(Weak::upgrade);
    let Some(import) = known else { return Ok(None) };
    let _carried = deadline::carry_shorter(py, Instant::now() + END_PATIENCE)?;
    let owner = Arc::clone(&import.peer);
    let parts = PyTuple::new(py, [Bound::new(py, Proxy::root(import))?])?;
    let sent = call::send_beside(py, &owner, "end", &parts, Want::Value)?;
    let told = sent.expect("an answer is expected").wait(py)?;
    if told.is_none() {
        return Ok(None);
    }
    if told.is_empty()? {
        return Ok(Some(ToldEnd { loss: Loss::Closed, is_killed: false }));
    }
    let (pid, exit_code, signal, stderr_tail, is_killed, is_untold) = told.extract::<Told>()?;
    Ok(Some(ToldEnd { loss: Loss::Died { pid, exit_code, signal, stderr_tail, is_untold }, is_killed }))
}

/// How the host of `proxy` has ended, or does within `timeout` seconds, where it died; an empty tuple where it was closed here.
///
/// None where it goes on.
#[pyfunction]
#[pyo3(signature = (proxy, timeout, /))]
pub(crate) fn _end_of<'py>(py: Python<'py>, proxy: &Bound<'py, Proxy>, timeout: f64) -> PyResult<Bound<'py, PyAny>> {
    let peer = &path::root(proxy.get()).peer;
    let until = Instant::now() + deadline::duration(deadline::checked(timeout)?);
    while peer.link.loss().is_none() && !peer.link.is_closing() && Instant::now() < until {
        py.detach(|| std::thread::sleep(GLANCE)); // the watch thread tells its end
    }
    match peer.link.loss().as_deref() {
        Some(Loss::Died { pid, exit_code, signal, stderr_tail, is_untold }) => {
            let is_killed = peer.is_killed_here.load(Ordering::SeqCst);
            let tail = PyBytes::new(py, stderr_tail);
            Ok((*pid, *exit_code, *signal, tail, is_killed, *is_untold).into_pyobject(py)?.into_any())
        }
        Some(Loss::Closed) | None if peer.link.is_closing() => Ok(PyTuple::empty(py).into_any()),
        _ => Ok(encode::none(py)),
    }
}
