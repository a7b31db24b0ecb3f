//! Calls that go out: written and sent.
//!
//! Owns: the scratch buffer, the wait for room. Must not know: how values are written
//! (encode), how an answer is waited for (sent), or what a frame is (the engine's).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_engine::{ChainSeat, Expect, Pending, Wake};
use elsewhere_proto::{CallHead, CallId, ChainId, LaneId, ObjectId, Op, Operation, Want};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::encode::Encoder;
use crate::path;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::sent::{Sent, Subject};
use crate::submit::{Parts, submit};
use crate::{calls_in, chain, connecting, deadline, errands, errors, home, running, service};

/// How often a waiting main thread looks for signals.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// A scratch buffer that has grown beyond this is not kept.
const SCRATCH_KEPT: usize = 1 << 20;

/// The last thing that a call does with the place it is made on.
pub(crate) enum Last<'a, 'py> {
    /// Nothing: the value at the place.
    Get,
    /// The value at the place, or word that its last step is missing.
    GetOrMissing,
    Call {
        args: &'a Bound<'py, PyTuple>,
        kwargs: Option<&'a Bound<'py, PyDict>>,
    },
    SetAttribute {
        name: &'a Bound<'py, PyString>,
        value: &'a Bound<'py, PyAny>,
    },
    DeleteAttribute {
        name: &'a Bound<'py, PyString>,
    },
    SetItem {
        key: &'a Bound<'py, PyAny>,
        value: &'a Bound<'py, PyAny>,
    },
    DeleteItem {
        key: &'a Bound<'py, PyAny>,
    },
    Operate {
        operation: Operation,
        operands: &'a [Bound<'py, PyAny>],
    },
}

/// Why a call was not sent.
pub(crate) enum Unsent {
    /// A future that it names failed; the call stands for one that failed with the same error.
    Poisoned {
        call: Box<Sent>,
        error: PyErr,
    },
    Failed(PyErr),
}

impl From<PyErr> for Unsent {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

impl From<Unsent> for PyErr {
    fn from(unsent: Unsent) -> Self {
        let (Unsent::Poisoned { error, .. } | Unsent::Failed(error)) = unsent;
        error
    }
}

/// What is wanted of a call.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) want: Want,
    pub(crate) expect: Expect,
    /// Whether whoever makes it waits for it at once.
    pub(crate) waits: bool,
    /// Whether it has no order with the calls of this thread, and is in no chain.
    pub(crate) is_beside: bool,
}

/// What was sent.
pub(crate) struct Transmitted {
    /// The place in the chain, for whoever waits at once: where the peer may call back, it is taken before the call is
    /// sent, so that those calls are run by nobody else and before the answer is taken.
    pub(crate) seat: Option<ChainSeat>,
    /// None where nothing comes back.
    pub(crate) pending: Option<Arc<Pending>>,
    pub(crate) call: CallId,
    pub(crate) chain: ChainId,
    pub(crate) lane: LaneId,
    /// What was raised meanwhile by a signal handler, where somebody waits, or to break off the call that this one is made in.
    pub(crate) interrupted: Option<PyErr>,
}

/// In a local host, a call that is made from inside another one, and a call back from it, run where they are made: no other
/// thread would run them, and so they run in the order made, as where the peer waits in its own process.
fn run_in_pair(py: Python<'_>, peer: &Arc<Peer>, call: CallId) {
    let Some(twin) = peer.twin() else { return };
    let is_back = peer.near.get().is_some();
    let is_nested = chain::current(py).is_some_and(|(_, link)| link == twin.link.id() || link == peer.link.id());
    if !is_back && !is_nested {
        return;
    }
    twin.link.drain();
    if let Some(incoming) = twin.link.take_call(call) {
        calls_in::run(py, &incoming);
    }
}

/// Why nothing was sent.
enum Untransmitted {
    /// A future that the call names failed.
    Poisoned(PyErr),
    Failed(PyErr),
}

impl From<PyErr> for Untransmitted {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

impl From<Untransmitted> for PyErr {
    fn from(failure: Untransmitted) -> Self {
        let (Untransmitted::Poisoned(error) | Untransmitted::Failed(error)) = failure;
        error
    }
}

impl Untransmitted {
    /// The same for whoever hands out futures.
    fn of(self, peer: &Arc<Peer>, subject: impl FnOnce() -> Subject) -> Unsent {
        match self {
            Self::Failed(error) => Unsent::Failed(error),
            Self::Poisoned(error) => {
                let pending = Arc::new(Pending::never_made());
                let transmitted = Transmitted {
                    seat: None,
                    pending: Some(Arc::clone(&pending)),
                    call: CallId(0),
                    chain: ChainId(0),
                    lane: LaneId(0),
                    interrupted: None,
                };
                let call = Box::new(transmitted.sent(peer, pending, subject()));
                Unsent::Poisoned { call, error }
            }
        }
    }
}

impl Transmitted {
    /// Gives the call up if something was raised while it was sent.
    fn go_on(&mut self, peer: &Peer) -> PyResult<()> {
        let Some(error) = self.interrupted.take() else { return Ok(()) };
        if let Some(pending) = &self.pending {
            peer.link.cancel(pending, false);
            peer.link.forget(pending);
        }
        Err(error)
    }

    fn sent(&self, peer: &Arc<Peer>, pending: Arc<Pending>, subject: Subject) -> Sent {
        Sent { peer: Arc::clone(peer), pending, subject, chain: self.chain, lane: self.lane }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes a call on `proxy` and waits for its value.
pub(crate) fn invoke<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>, want: Want) -> PyResult<Bound<'py, PyAny>> {
    let (sent, seat) = ask(proxy, last, want)?;
    sent.wait_seated(proxy.py(), seat)
}

/// The value at a path of another host, by the rule for results, for a call that has to be over by `limit`.
pub(crate) fn evaluate_path<'py>(proxy: &Bound<'py, Proxy>, limit: Option<Instant>) -> PyResult<Bound<'py, PyAny>> {
    let _carried = limit.map(|limit| deadline::carry(proxy.py(), Some(limit))).transpose()?;
    invoke(proxy, &Last::Get, Want::Auto)
}

/// A proxy of the object that is at the path now.
pub(crate) fn pin<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, PyAny>> {
    invoke(proxy, &Last::Get, Want::Reference)
}

/// Sends a call on `proxy`. With [`Expect::Nothing`] there is nothing to wait for: use [`post`].
pub(crate) fn send<'py>(
    proxy: &Bound<'py, Proxy>,
    last: &Last<'_, 'py>,
    want: Want,
    expect: Expect,
) -> Result<Sent, Unsent> {
    send_on(proxy, last, Terms { want, expect, waits: false, is_beside: false }).map(|(sent, _)| sent)
}

/// Sends a call on `proxy` that is waited for at once, in the seat that comes along.
pub(crate) fn ask<'py>(
    proxy: &Bound<'py, Proxy>,
    last: &Last<'_, 'py>,
    want: Want,
) -> Result<(Sent, Option<ChainSeat>), Unsent> {
    send_on(proxy, last, Terms { want, expect: Expect::Answer, waits: true, is_beside: false })
}

fn send_on<'py>(
    proxy: &Bound<'py, Proxy>,
    last: &Last<'_, 'py>,
    terms: Terms,
) -> Result<(Sent, Option<ChainSeat>), Unsent> {
    let limit = find(proxy, terms.waits)?;
    let peer = &path::root(proxy.get()).target().peer;
    let subject = || Subject::Proxy { proxy: proxy.clone().unbind(), suffix: last.suffix() };
    let mut transmitted = write_and_submit(proxy, last, terms, limit).map_err(|failure| failure.of(peer, subject))?;
    let seat = transmitted.seat.take();
    let pending = transmitted.pending.clone().expect("an answer is expected");
    if proxy.get().options.interrupt {
        pending.break_off();
    }
    transmitted.go_on(peer)?;
    Ok((transmitted.sent(peer, pending, subject()), seat))
}

/// Sends a call on `proxy` that nobody wants an answer of.
pub(crate) fn post<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>) -> PyResult<()> {
    let limit = find(proxy, false)?;
    let terms = Terms { want: Want::Nothing, expect: Expect::Nothing, waits: false, is_beside: false };
    let peer = &path::root(proxy.get()).target().peer;
    write_and_submit(proxy, last, terms, limit)?.go_on(peer)
}

/// Sees to it that the object of `proxy` can be called. Gives when a call that is made now has to be over.
fn find(proxy: &Bound<'_, Proxy>, waits: bool) -> PyResult<Option<Instant>> {
    let (py, inner) = (proxy.py(), proxy.get());
    running::whole(py, || {
        let limit = deadline::of_call(py, inner.options.timeout)?;
        connecting::revive(py, path::root(inner))?;
        connecting::find_way(py, path::root(inner), waits, limit).map(|()| limit)
    })
}

fn write_and_submit<'py>(
    proxy: &Bound<'py, Proxy>,
    last: &Last<'_, 'py>,
    terms: Terms,
    limit: Option<Instant>,
) -> Result<Transmitted, Untransmitted> {
    let inner = proxy.get();
    let (root, target) = (path::root(inner), path::root(inner).target());
    let peer = &target.peer;
    let want = if terms.want == Want::Auto { inner.options.want } else { terms.want };
    let describe = |py: Python<'py>| format!("{}{}", path::text(py, inner), last.suffix());
    transmit(proxy.py(), peer, Terms { want, ..terms }, limit, &describe, |encoder| {
        let (object, steps) = path::write(encoder, inner)?;
        let object = if Arc::ptr_eq(target, root) { object } else { target.object };
        Ok((object, steps + last.write(encoder)?))
    })
}

/// Calls `method` of the peer's own object number 0 with `first`, then `args`.
pub(crate) fn send_to_host<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    method: &'static str,
    (first, args, kwargs): (Option<&Bound<'py, PyAny>>, &Bound<'py, PyTuple>, Option<&Bound<'py, PyDict>>),
    want: Want,
    expect: Expect,
    timeout: Option<f64>,
) -> Result<Option<Sent>, Unsent> {
    let subject = host_subject(method, first);
    let limit = deadline::of_call(py, timeout)?;
    let terms = Terms { want, expect, waits: false, is_beside: false };
    let transmitted = transmit(py, peer, terms, limit, &|_| subject.clone(), |encoder| {
        encoder.op(Op::Attribute);
        encoder.name(&PyString::new(py, method))?;
        encoder.op(Op::Call);
        encoder.arguments_after(first, args, kwargs)?;
        Ok((ObjectId::BOOTSTRAP, 2))
    });
    let mut transmitted = transmitted.map_err(|failure| failure.of(peer, || Subject::Host(subject.clone())))?;
    transmitted.go_on(peer)?;
    let pending = transmitted.pending.clone();
    Ok(pending.map(|pending| transmitted.sent(peer, pending, Subject::Host(subject))))
}

/// Calls `method` of the peer's own object number 0 with arguments that are told apart from those in texts.
pub(crate) fn send_named<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    method: &'static str,
    args: &Bound<'py, PyTuple>,
    subject: String,
    want: Want,
) -> PyResult<Sent> {
    let terms = Terms { want, expect: Expect::Answer, waits: false, is_beside: false };
    send_word(py, peer, method, args, subject, terms).map(|sent| sent.expect("an answer is expected"))
}

/// The same beside the calls of this thread; of a post, nothing comes back.
pub(crate) fn send_beside<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    method: &'static str,
    args: &Bound<'py, PyTuple>,
    want: Want,
) -> PyResult<Option<Sent>> {
    let expect = if want == Want::Nothing { Expect::Nothing } else { Expect::Answer };
    let terms = Terms { want, expect, waits: false, is_beside: true };
    send_word(py, peer, method, args, "a reference".to_owned(), terms)
}

fn send_word<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    method: &'static str,
    args: &Bound<'py, PyTuple>,
    subject: String,
    terms: Terms,
) -> PyResult<Option<Sent>> {
    let limit = deadline::of_call(py, None)?;
    let mut transmitted = transmit(py, peer, terms, limit, &|_| subject.clone(), |encoder| {
        encoder.op(Op::Attribute);
        encoder.text(method)?;
        encoder.op(Op::Call);
        let written =
            if method == "construct_named" { encoder.path_and_arguments(args) } else { encoder.arguments(args, None) };
        written.map(|()| (ObjectId::BOOTSTRAP, 2))
    })?;
    transmitted.go_on(peer)?;
    let pending = transmitted.pending.clone();
    Ok(pending.map(|pending| transmitted.sent(peer, pending, Subject::Host(subject))))
}

/// Asks the peer for the answer that it got to its call `call`.
///
/// # Errors
/// What that call failed with.
pub(crate) fn ask_answer<'py>(py: Python<'py>, peer: &Arc<Peer>, call: CallId) -> PyResult<Bound<'py, PyAny>> {
    let limit = deadline::of_call(py, None)?;
    let subject = "the answer to an earlier call".to_owned();
    let terms = Terms { want: Want::Auto, expect: Expect::Answer, waits: false, is_beside: false };
    let mut transmitted = transmit(py, peer, terms, limit, &|_| subject.clone(), |encoder| {
        encoder.op(Op::Answer);
        encoder.int(i64::try_from(call.0).unwrap_or(i64::MAX));
        Ok((ObjectId::BOOTSTRAP, 1))
    })?;
    transmitted.go_on(peer)?;
    let pending = Arc::clone(transmitted.pending.as_ref().expect("an answer is expected"));
    transmitted.sent(peer, pending, Subject::Host(subject)).wait(py)
}

/// "Host.spawn(Dog)": what a call on the host itself is called in texts.
fn host_subject(method: &str, first: Option<&Bound<'_, PyAny>>) -> String {
    let name =
        first.and_then(|first| first.getattr("__qualname__").ok()).and_then(|name| name.extract::<String>().ok());
    match (method, name) {
        ("construct", Some(name)) => name,
        ("run", Some(name)) => name,
        ("construct", None) => "Host.spawn".to_owned(),
        ("receive", _) => "Host.send".to_owned(),
        (method, _) => format!("Host.{method}"),
    }
}

/// Writes a call into the scratch buffer with `write`, which gives the target and the number of steps, and sends it. An
/// interrupt is not lost on the way; see [`running::whole`].
fn transmit<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    terms: Terms,
    limit: Option<Instant>,
    describe: &dyn Fn(Python<'py>) -> String,
    write: impl FnOnce(&mut Encoder<'_, 'py>) -> PyResult<(ObjectId, u16)>,
) -> Result<Transmitted, Untransmitted> {
    let before = running::now();
    let mut transmitted = transmit_here(py, peer, terms, limit, describe, write);
    if let Some(interrupt) = running::raised_since(py, before) {
        match &mut transmitted {
            Ok(transmitted) => _ = transmitted.interrupted.get_or_insert(interrupt),
            Err(Untransmitted::Failed(error)) if connecting::is_fatal(py, error) => {}
            Err(failure) => *failure = interrupt.into(),
        }
    }
    transmitted
}

fn transmit_here<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    terms: Terms,
    limit: Option<Instant>,
    describe: &dyn Fn(Python<'py>) -> String,
    write: impl FnOnce(&mut Encoder<'_, 'py>) -> PyResult<(ObjectId, u16)>,
) -> Result<Transmitted, Untransmitted> {
    let Terms { want, expect, .. } = terms;
    errands::pass(py);
    errands::run(py, || peer.drop_released(py));
    let limit = limit.filter(|_| want != Want::Nothing); // nobody waits for a post
    let is_over = || limit.is_some_and(|limit| limit <= Instant::now());
    if is_over() {
        return Err(errors::expired(py, peer, &describe(py)).into());
    }
    let mut body = SCRATCH.take();
    body.clear();
    let head = CallHead { target: ObjectId::BOOTSTRAP, deadline: None, want, steps: 0 };
    head.write(&mut body);
    let mut encoder = Encoder::of_call(py, peer, &mut body, expect != Expect::Nothing, limit);
    let written = errands::run(py, || {
        let written = write(&mut encoder)?;
        encoder.hand_over_given().map(|()| written)
    });
    let is_late = encoder.is_late() || is_over();
    let (granted, promised, enclosed, apart) = match written {
        Ok((target, steps)) if !is_late => {
            let promised = encoder.take_promised();
            let enclosed = encoder.take_enclosed();
            let apart = encoder.take_apart();
            let granted = encoder.take_granted();
            let remaining = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            CallHead { target, deadline: remaining, want, steps }.overwrite(&mut body);
            (granted, promised, enclosed, apart)
        }
        unsent => {
            encoder.abandon();
            let poison = encoder.take_poison();
            drop(encoder);
            SCRATCH.set(body);
            return Err(match (unsent, poison) {
                (_, Some(poison)) => Untransmitted::Poisoned(poison),
                (Err(error), None) if !is_late => errors::argument(py, peer, &describe(py), error).into(),
                _ => errors::expired(py, peer, &describe(py)).into(),
            });
        }
    };
    let parts = Parts { weight: enclosed.weight(), body: &mut body, apart: apart.as_ref() };
    let result = submit(py, peer, terms, limit, parts);
    drop(apart);
    if body.capacity() <= SCRATCH_KEPT {
        SCRATCH.set(body);
    }
    match result {
        Ok(transmitted) => {
            enclosed.sent();
            peer.promises.let_go(py);
            if let Some(pending) = &transmitted.pending {
                promised.into_iter().for_each(|(call, future)| peer.promises.pin(py, call, future, pending));
            }
            run_in_pair(py, peer, transmitted.call);
            Ok(transmitted)
        }
        Err(refusal) => {
            peer.ungrant(py, granted);
            Err(Untransmitted::Failed(refusal.into_error(py, peer, &describe(py))))
        }
    }
}

/// A wait that no call of the peer belongs to; `wait` is given the time between two looks at signals, and asked again until
/// it is over.
///
/// # Errors
/// What a signal handler raises.
pub(crate) fn wait_quietly(
    py: Python<'_>,
    peer: &Arc<Peer>,
    wait: impl Fn(Option<Duration>) -> Wake + Sync,
) -> PyResult<()> {
    let tick = is_main_thread().then_some(TICK);
    loop {
        match running::waiting(py, || py.detach(|| wait(tick))) {
            Wake::Arrived | Wake::TimedOut => return Ok(()),
            Wake::Tick | Wake::Stream => py.check_signals()?,
            Wake::Home => home::show(py, peer)?,
            Wake::Pump => service::pump_far(py, peer),
            Wake::Call(incoming) => calls_in::run_waiting(py, &incoming)?,
        }
        running::check(py)?;
    }
}

/// Whether this thread runs a loop of asyncio or trio at this moment.
pub(crate) fn is_loop_running(py: Python<'_>) -> bool {
    let running = py.import("elsewhere._awaiting").and_then(|module| module.call_method0("is_loop_running")?.extract());
    running.unwrap_or(false)
}

impl<'py> Last<'_, 'py> {
    /// Writes the last steps; gives their number.
    fn write(&self, encoder: &mut Encoder<'_, 'py>) -> PyResult<u16> {
        match self {
            Self::Get => return Ok(0),
            Self::GetOrMissing => encoder.op(Op::GetDefault),
            Self::Call { args, kwargs } => {
                encoder.op(Op::Call);
                encoder.arguments(args, *kwargs)?;
            }
            Self::SetAttribute { name, value } => {
                encoder.op(Op::SetAttribute);
                encoder.name(name)?;
                encoder.argument(value)?;
            }
            Self::DeleteAttribute { name } => {
                encoder.op(Op::DeleteAttribute);
                encoder.name(name)?;
            }
            Self::SetItem { key, value } => {
                encoder.op(Op::SetItem);
                encoder.argument(key)?;
                encoder.argument(value)?;
            }
            Self::DeleteItem { key } => {
                encoder.op(Op::DeleteItem);
                encoder.argument(key)?;
            }
            Self::Operate { operation, operands } => {
                encoder.op(Op::Operate);
                encoder.int(i64::from(operation.code()));
                encoder.begin_list(operands.len())?;
                for operand in *operands {
                    encoder.argument(operand)?;
                }
            }
        }
        Ok(1)
    }

    /// What stands behind the path in texts.
    fn suffix(&self) -> &'static str {
        match self {
            Self::Get | Self::GetOrMissing | Self::Call { .. } => "",
            Self::SetAttribute { .. } => " (setting an attribute)",
            Self::DeleteAttribute { .. } => " (deleting an attribute)",
            Self::SetItem { .. } => " (setting an item)",
            Self::DeleteItem { .. } => " (deleting an item)",
            Self::Operate { operation, .. } => operation.suffix(),
        }
    }
}

/// What stands behind the path of an iterator in texts: each of its items is a call.
pub(crate) const NEXT_ITEM: &str = " (next item)";

/// The text for an operation behind a path.
trait Suffix {
    fn suffix(self) -> &'static str;
}

impl Suffix for Operation {
    fn suffix(self) -> &'static str {
        match self {
            Self::Len => " (len)",
            Self::Contains => " (in)",
            Self::Iter => " (iteration)",
            Self::Next => NEXT_ITEM,
            Self::Str => " (str)",
            Self::Enter | Self::Exit => " (with)",
            Self::Hash => " (hash)",
            _ => " (operator)",
        }
    }
}

/// Whether this is the thread that Python runs signal handlers on.
pub(crate) fn is_main_thread() -> bool {
    thread_local! { static IS_MAIN: bool = rustix::thread::gettid() == rustix::process::getpid(); }
    IS_MAIN.with(|is_main| *is_main)
}
