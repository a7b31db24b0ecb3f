//! Calls that go out: written, sent, waited for, and their answers made into values or errors.
//!
//! Owns: the thread's lane and chain, the scratch buffer, the wait loop's Python side (signals, callbacks, deadlines).
//! Must not know: how values are written (encode) or what a frame is (the engine's).

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, ChainSeat, Expect, Pending, Request, SubmitError, Wake};
use elsewhere_proto::{CallHead, ChainId, ErrorKind, LaneId, ObjectId, Op, Operation, Outcome, Want};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::calls_in::Source;
use crate::decode::{Decoder, Undecodable};
use crate::encode::Encoder;
use crate::path;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::{calls_in, deadline, errands, errors, home, running, service};

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

/// What a call was made on, for texts and for results that are the receiver itself.
pub(crate) enum Subject {
    Proxy { proxy: Py<Proxy>, suffix: &'static str },
    Host(String),
}

impl Subject {
    pub(crate) fn text(&self, py: Python<'_>) -> String {
        match self {
            Self::Proxy { proxy, suffix } => format!("{}{suffix}", path::text(py, proxy.get())),
            Self::Host(text) => text.clone(),
        }
    }

    fn receiver<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Proxy>> {
        match self {
            Self::Proxy { proxy, .. } => Some(proxy.bind(py).clone()),
            Self::Host(_) => None,
        }
    }
}

/// A call that is on its way.
pub(crate) struct Sent {
    pub(crate) peer: Arc<Peer>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) subject: Subject,
    pub(crate) chain: ChainId,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static LANE: (LaneId, Cell<u32>) = (next_lane(), Cell::new(0));
    /// The chain of the call that this thread is running, and the link that it came by.
    static INSIDE: Cell<Option<(ChainId, u64)>> = const { Cell::new(None) };
}

pub(crate) fn next_lane() -> LaneId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    LaneId(NEXT.fetch_add(1, Ordering::Relaxed)) // Relaxed: only uniqueness matters
}

/// A chain that no other process uses: 64 random bits to start from, counted up.
fn next_chain() -> ChainId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut next = NEXT.fetch_add(1, Ordering::Relaxed); // Relaxed: only uniqueness matters
    if next == 0 {
        let start = RandomState::new().hash_one(std::process::id()) | 1;
        NEXT.store(start.wrapping_add(1), Ordering::Relaxed);
        next = start;
    }
    ChainId(next)
}

/// Runs `body` as part of `chain`, which came by the link `link`.
pub(crate) fn inside<T>(chain: ChainId, link: u64, body: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(Some((chain, link)));
    let result = body();
    INSIDE.set(before);
    result
}

/// Whether this thread runs a call that came in by `link`.
pub(crate) fn is_inside(link: u64) -> bool {
    INSIDE.get().is_some_and(|(_, came_by)| came_by == link)
}

/// Makes a call on `proxy` and waits for its value.
pub(crate) fn invoke<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>, want: Want) -> PyResult<Bound<'py, PyAny>> {
    send(proxy, last, want, Expect::Answer)?.wait(proxy.py())
}

/// The value at a path of another host, by the rule for results.
pub(crate) fn evaluate_path<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, PyAny>> {
    invoke(proxy, &Last::Get, Want::Auto)
}

/// A proxy of the object that is at the path now.
pub(crate) fn pin<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, PyAny>> {
    invoke(proxy, &Last::Get, Want::Reference)
}

/// Sends a call on `proxy`. With [`Expect::Nothing`] there is nothing to wait for: use [`post`].
pub(crate) fn send<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>, want: Want, expect: Expect) -> PyResult<Sent> {
    let peer = &path::root(proxy.get()).peer;
    let (pending, chain) = write_and_submit(proxy, last, want, expect)?;
    if let Some(pending) = pending.as_ref().filter(|_| proxy.get().options.interrupt) {
        pending.break_off();
    }
    let subject = Subject::Proxy { proxy: proxy.clone().unbind(), suffix: last.suffix() };
    Ok(Sent { peer: Arc::clone(peer), pending: pending.expect("an answer is expected"), subject, chain })
}

/// Sends a call on `proxy` that nobody wants an answer of.
pub(crate) fn post<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>) -> PyResult<()> {
    write_and_submit(proxy, last, Want::Nothing, Expect::Nothing).map(drop)
}

fn write_and_submit<'py>(
    proxy: &Bound<'py, Proxy>,
    last: &Last<'_, 'py>,
    want: Want,
    expect: Expect,
) -> PyResult<(Option<Arc<Pending>>, ChainId)> {
    let inner = proxy.get();
    let peer = &path::root(inner).peer;
    let limit = deadline::of_call(proxy.py(), inner.options.timeout)?;
    let want = if want == Want::Auto { inner.options.want } else { want };
    let describe = |py: Python<'py>| format!("{}{}", path::text(py, inner), last.suffix());
    transmit(proxy.py(), peer, want, expect, limit, &describe, |encoder| {
        let (object, steps) = path::write(encoder, inner)?;
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
) -> PyResult<Option<Sent>> {
    let subject = host_subject(method, first);
    let limit = deadline::of_call(py, timeout)?;
    let (pending, chain) = transmit(py, peer, want, expect, limit, &|_| subject.clone(), |encoder| {
        encoder.op(Op::Attribute);
        encoder.name(&PyString::new(py, method))?;
        encoder.op(Op::Call);
        encoder.arguments_after(first, args, kwargs)?;
        Ok((ObjectId::BOOTSTRAP, 2))
    })?;
    Ok(pending.map(|pending| Sent { peer: Arc::clone(peer), pending, subject: Subject::Host(subject), chain }))
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
    let limit = deadline::of_call(py, None)?;
    let (pending, chain) = transmit(py, peer, want, Expect::Answer, limit, &|_| subject.clone(), |encoder| {
        encoder.op(Op::Attribute);
        encoder.name(&PyString::new(py, method))?;
        encoder.op(Op::Call);
        encoder.arguments(args, None)?;
        Ok((ObjectId::BOOTSTRAP, 2))
    })?;
    let pending = pending.expect("an answer is expected");
    Ok(Sent { peer: Arc::clone(peer), pending, subject: Subject::Host(subject), chain })
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

/// Writes a call into the scratch buffer with `write`, which gives the target and the number of steps, and sends it.
fn transmit<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    want: Want,
    expect: Expect,
    limit: Option<Instant>,
    describe: &dyn Fn(Python<'py>) -> String,
    write: impl FnOnce(&mut Encoder<'_, 'py>) -> PyResult<(ObjectId, u16)>,
) -> PyResult<(Option<Arc<Pending>>, ChainId)> {
    errands::pass(py);
    errands::run(py, || peer.drop_released(py));
    let limit = limit.filter(|_| want != Want::Nothing); // nobody waits for a post
    if limit.is_some_and(|limit| limit <= Instant::now()) {
        return Err(errors::expired(py, peer, &describe(py)));
    }
    let mut body = SCRATCH.take();
    body.clear();
    let head = CallHead { target: ObjectId::BOOTSTRAP, deadline: None, want, steps: 0 };
    head.write(&mut body);
    let mut encoder = Encoder::new(py, peer, &mut body, true);
    let written = errands::run(py, || write(&mut encoder));
    let granted = match written {
        Ok((target, steps)) => {
            let granted = encoder.into_granted();
            let remaining = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            CallHead { target, deadline: remaining, want, steps }.overwrite(&mut body);
            granted
        }
        Err(error) => {
            encoder.abandon();
            drop(encoder);
            SCRATCH.set(body);
            return Err(errors::argument(py, peer, &describe(py), error));
        }
    };
    let result = submit(py, peer, expect, limit, &mut body);
    if body.capacity() <= SCRATCH_KEPT {
        SCRATCH.set(body);
    }
    result.map_err(|refusal| {
        peer.ungrant(py, granted);
        refusal.into_error(py, peer, &describe(py))
    })
}

/// Why a call was not sent.
enum Refusal {
    Engine(SubmitError),
    /// The event loop of this thread must not be blocked, and the window is full.
    WouldBlockLoop,
    Interrupted(PyErr),
}

impl Refusal {
    fn into_error(self, py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
        match self {
            Self::Engine(error) => errors::refused(py, peer, method, &error),
            Self::WouldBlockLoop => errors::window_full(py, peer, method),
            Self::Interrupted(error) => error,
        }
    }
}

fn submit(
    py: Python<'_>,
    peer: &Arc<Peer>,
    expect: Expect,
    deadline: Option<Instant>,
    body: &mut Vec<u8>,
) -> Result<(Option<Arc<Pending>>, ChainId), Refusal> {
    let inside = INSIDE.get();
    let chain = inside.map_or_else(next_chain, |(chain, _)| chain);
    // Whichever link the chain came in by: the peer may be the one that waits for us through a third.
    let nested = inside.is_some();
    let (lane, number) = LANE.with(|(lane, number)| (*lane, number.replace(number.get().wrapping_add(1))));
    let mut seat = None;
    loop {
        let request = Request { lane, number, chain, nested, deadline, body, expect };
        match peer.link.submit(request) {
            Ok(pending) => return Ok((pending, chain)),
            Err(SubmitError::WindowFull) => make_room(py, peer, seat.get_or_insert_with(|| peer.link.sit(chain)))?,
            Err(error) => return Err(Refusal::Engine(error)),
        }
    }
}

/// Waits until the window has room.
fn make_room(py: Python<'_>, peer: &Arc<Peer>, seat: &ChainSeat) -> Result<(), Refusal> {
    if let Some(far) = peer.far.get() {
        service::pump(py, far);
        return Ok(());
    }
    if is_loop_running(py) {
        return Err(Refusal::WouldBlockLoop);
    }
    let wake = running::waiting(py, || py.detach(|| peer.link.wait_window(Some(TICK), seat)));
    match wake {
        Wake::Call(incoming) => calls_in::run_waiting(py, &incoming).map_err(Refusal::Interrupted)?,
        Wake::Pump => service::pump_far(py, peer),
        Wake::Home => home::show(py, peer).map_err(Refusal::Interrupted)?,
        Wake::Arrived | Wake::TimedOut | Wake::Tick => {}
    }
    py.check_signals().and_then(|()| running::check(py)).map_err(Refusal::Interrupted)
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

/// The text for an operation behind a path.
trait Suffix {
    fn suffix(self) -> &'static str;
}

impl Suffix for Operation {
    fn suffix(self) -> &'static str {
        match self {
            Self::Len => " (len)",
            Self::Contains => " (in)",
            Self::Iter | Self::Next => " (iteration)",
            Self::Str => " (str)",
            Self::Enter | Self::Exit => " (with)",
            Self::Hash => " (hash)",
            _ => " (operator)",
        }
    }
}

impl Sent {
    /// Waits for the answer and makes it a value.
    ///
    /// # Errors
    /// What the call raised there; our own errors; KeyboardInterrupt and whatever else a signal handler raises, after
    /// the call was cancelled.
    pub(crate) fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.wait_until(py, None)? {
            Some(arrival) => self.value(py, arrival),
            None => unreachable!("a wait without a limit ends with an arrival"),
        }
    }

    /// Waits for the answer until `until`; `None` when the time is over. The call goes on in that case.
    pub(crate) fn wait_until(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<Option<Arrival>> {
        self.wait_event(py, until, |pending| pending.take())
    }

    /// Waits until `take` finds something, driving the connection meanwhile. An interrupt cancels the call.
    pub(crate) fn wait_event<T>(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
        take: impl Fn(&Pending) -> Option<T>,
    ) -> PyResult<Option<T>> {
        self.wait_gently(py, until, take).inspect_err(|_| {
            self.peer.link.cancel(&self.pending, false);
            self.forget();
        })
    }

    /// The same, but an interrupt leaves the call going.
    pub(crate) fn wait_gently<T>(
        &self,
        py: Python<'_>,
        until: Option<Instant>,
        take: impl Fn(&Pending) -> Option<T>,
    ) -> PyResult<Option<T>> {
        let tick = is_main_thread().then_some(TICK);
        let link = &self.peer.link;
        let mut seat = None;
        let mut is_called_back = false;
        loop {
            let looks = !std::mem::take(&mut is_called_back);
            if looks && self.peer.showing().is_some() && self.pending.is_ready() {
                home::show_all(py, &self.peer)?; // what came before the answer
            }
            if looks && let Some(found) = take(&self.pending) {
                return Ok(Some(found));
            }
            if self.run_at_once(py) {
                running::check(py)?;
                continue;
            }
            let seat = &*seat.get_or_insert_with(|| link.sit(self.chain));
            let wake = running::waiting(py, || py.detach(|| link.wait(&self.pending, until, tick, seat)));
            match wake {
                Wake::Arrived => {}
                Wake::Call(incoming) => {
                    calls_in::run_waiting(py, &incoming)?;
                    is_called_back = true; // what came before the answer is run before the answer is looked at
                    continue;
                }
                Wake::Pump => service::pump_far(py, &self.peer),
                Wake::Home => home::show(py, &self.peer)?,
                Wake::TimedOut => return Ok(None),
                Wake::Tick => py.check_signals()?,
            }
            running::check(py)?;
        }
    }

    /// In a local host, a call that is made from inside another one, and a call back from it, run at once in the thread
    /// that waits: no other thread would. False if this is none of these, or has begun.
    fn run_at_once(&self, py: Python<'_>) -> bool {
        let Some(twin) = self.peer.twin() else { return false };
        let is_back = self.peer.near.get().is_some();
        let is_nested = INSIDE.get().is_some_and(|(_, link)| link == twin.link.id() || link == self.peer.link.id());
        if !is_back && !is_nested {
            return false;
        }
        twin.link.drain();
        match twin.link.take_call(self.pending.call()) {
            Some(incoming) => calls_in::run(py, &incoming),
            None => return false,
        }
        true
    }

    /// Drops the interest in the answer: what it brings is released when it comes.
    pub(crate) fn forget(&self) {
        self.peer.link.forget(&self.pending);
    }

    /// To be held while the answer is decoded.
    pub(crate) fn decoding<'py>(&self, py: Python<'py>) -> Decoded<'_, 'py> {
        Decoded { sent: self, py }
    }

    /// The same, but word that the path's last step is missing gives `fallback`.
    pub(crate) fn value_or<'py>(
        &self,
        py: Python<'py>,
        arrival: Arrival,
        fallback: Option<&Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (Arrival::Error(body), Some(fallback)) = (&arrival, fallback) else { return self.value(py, arrival) };
        let _decoded = self.decoding(py);
        let record = errors::read_record(py, &self.peer, body)?;
        if record.kind == ErrorKind::Missing {
            return Ok(fallback.bind(py).clone());
        }
        Err(record.into_error(py, &self.peer, &self.subject.text(py)))
    }

    /// Makes the answer a value, or the error that it tells of.
    pub(crate) fn value<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyAny>> {
        errands::run(py, || self.value_here(py, arrival))
    }

    fn value_here<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyAny>> {
        let _decoded = self.decoding(py);
        match arrival {
            Arrival::Reply(body) => self.decode(py, &body).map(|(value, _)| value),
            Arrival::Error(body) => Err(errors::from_record(py, &self.peer, &body, &self.subject)),
            Arrival::Lost { loss, outcome } => {
                Err(errors::lost(py, &self.peer, &loss, Some(outcome), Some(&self.subject.text(py))))
            }
            Arrival::TimedOut => Err(errors::timed_out(py, &self.peer, &self.subject.text(py))),
            Arrival::Cancelled => Err(errors::cancelled(py, &self.peer, Outcome::Unknown, &self.subject.text(py))),
        }
    }

    /// Makes the body of a reply a value, and tells where it comes from: of a coroutine's a second value, nil, follows.
    pub(crate) fn decode<'py>(&self, py: Python<'py>, body: &[u8]) -> PyResult<(Bound<'py, PyAny>, Source)> {
        let _decoded = self.decoding(py);
        let receiver = self.subject.receiver(py);
        let mut decoder = Decoder::new(py, &self.peer, body, receiver.as_ref());
        let value = errands::run(py, || decoder.value()).map_err(|failure| self.unreadable(py, failure))?;
        Ok((value, if decoder.is_empty() { Source::Path } else { Source::Coroutine }))
    }

    /// Makes the body of an error an exception, and tells whether a coroutine raised it.
    pub(crate) fn error(&self, py: Python<'_>, body: &[u8]) -> (PyErr, Source) {
        let _decoded = self.decoding(py);
        errands::run(py, || match errors::read_record(py, &self.peer, body) {
            Ok(record) => {
                let source = if record.is_of_coroutine { Source::Coroutine } else { Source::Path };
                (record.into_error(py, &self.peer, &self.subject.text(py)), source)
            }
            Err(error) => (error, Source::Path),
        })
    }

    /// The error of an answer that cannot be made a value.
    pub(crate) fn unreadable(&self, py: Python<'_>, failure: Undecodable) -> PyErr {
        match failure {
            Undecodable::Raised(error) | Undecodable::Evaluated(error) => {
                errors::result_unreadable(py, &self.peer, &self.subject.text(py), error)
            }
            Undecodable::Malformed(error) => errors::protocol(py, &self.peer, &error.to_string()),
        }
    }
}

/// When it goes, the answer of a call has been decoded: what the peer let go of behind it may go too.
pub(crate) struct Decoded<'a, 'py> {
    sent: &'a Sent,
    py: Python<'py>,
}

impl Drop for Decoded<'_, '_> {
    fn drop(&mut self) {
        if self.sent.peer.link.decoded(&self.sent.pending) {
            self.sent.peer.drop_released(self.py);
        }
    }
}

/// Whether this is the thread that Python runs signal handlers on.
pub(crate) fn is_main_thread() -> bool {
    thread_local! { static IS_MAIN: bool = rustix::thread::gettid() == rustix::process::getpid(); }
    IS_MAIN.with(|is_main| *is_main)
}
