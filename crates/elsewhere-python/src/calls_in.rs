//! Calls that come in: evaluated step by step, their results or errors written as answers.
//!
//! Owns: what each op does to a Python object. Must not know: where the call came from, on which thread it runs, frames.
//! Long because each op has its lines here.

use std::sync::Arc;
use std::time::Instant;

use elsewhere_engine::{Incoming, exit};
use elsewhere_proto::{ErrorKind, IncomingCall, ObjectId, Op, Operation, Outcome, Want};
use pyo3::exceptions::{
    PyAttributeError, PyIndexError, PyKeyError, PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::coroutines::{self, End, Place, Refusal};
use crate::decode::{Decoder, Undecodable};
use crate::encode;
use crate::exposure::{self, Access, Exposure};
use crate::future::Future;
use crate::origin::{Found, Origin, Source};
use crate::path;
use crate::peer::{self, Peer};
use crate::proxy::{self, Proxy};
use crate::server::{self, Served};
use crate::{
    answer, call, chain, class_info, deadline, errands, errors, handing, home, lifecycle, operate, producing, relays,
    returns, running, serving, through,
};

/// How the evaluation of a call ended.
pub(crate) enum Evaluated<'py> {
    Value(Found<'py>),
    /// The path gave a coroutine, which has not begun.
    Coroutine(Made<'py>),
    /// An argument could not be rebuilt; the method was not called.
    ArgumentFailed(PyErr, Outcome),
    /// The object is not held here.
    Gone(ObjectId),
    /// An earlier call that it names failed.
    Poisoned(PyErr, Outcome),
    /// The last step of a `get` with a default was missing.
    Missing(PyErr),
    Raised {
        error: PyErr,
        source: Source,
    },
    /// The call was not begun, or only as far as the outcome says.
    Refused {
        kind: ErrorKind,
        outcome: Outcome,
        text: String,
    },
}

/// A coroutine, and what its result is compared with.
pub(crate) struct Made<'py> {
    coroutine: Bound<'py, PyAny>,
    origin: Origin,
    /// Whether no code has run for it: it comes straight from an `async def` or an async generator.
    is_untouched: bool,
}

/// Runs one call and answers it, in a thread that waits for an answer of its own.
///
/// # Errors
/// The user's Ctrl-C that came while it ran: it is the answer, but it means the waiting thread as well. CallCancelled, if
/// the call that waits is to be broken off itself.
pub(crate) fn run_waiting(py: Python<'_>, incoming: &Incoming) -> PyResult<()> {
    let interrupt = chain::while_waiting(|| run_told(py, incoming));
    interrupt.map_or(Ok(()), Err)?;
    running::check(py)
}

/// Runs one call and answers it.
pub(crate) fn run(py: Python<'_>, incoming: &Incoming) {
    run_told(py, incoming);
}

fn run_told(py: Python<'_>, incoming: &Incoming) -> Option<PyErr> {
    // A link without a peer here was lost and swept; nobody is there to take an answer.
    let peer = peer::of_link(&incoming.link)?;
    peer.drop_released(py);
    // Nobody waits for a post, so none comes too late.
    let limit = elsewhere_engine::expires(&incoming.call).filter(|_| incoming.call.head.want != Want::Nothing);
    if limit.is_some_and(|limit| limit <= Instant::now()) {
        expired(py, &peer, incoming);
        return None;
    }
    errands::run(py, || {
        chain::inside(incoming.call.chain, peer.link.id(), incoming.call.call, || {
            let (evaluated, is_broken_off) =
                running::run(py, &peer.link, incoming.call.call, || match deadline::carry(py, limit) {
                    Ok(_carried) => evaluate(py, &peer, incoming),
                    Err(error) => Evaluated::Raised { error, source: Source::Path },
                });
            if exit::has_begun() && !call::is_main_thread() {
                return None; // what it raised is most likely what brought this thread home
            }
            let evaluated = match evaluated {
                Evaluated::Coroutine(made) => made.start(py, &peer, &incoming.call, limit)?,
                evaluated => evaluated,
            };
            let interrupt = evaluated.interrupt(py);
            if is_broken_off && evaluated.is_cancelled(py) {
                let text = "it was broken off".to_owned();
                let refused = Evaluated::Refused { kind: ErrorKind::Cancelled, outcome: Outcome::Unknown, text };
                conclude(py, &peer, &incoming.call, refused);
            } else {
                conclude(py, &peer, &incoming.call, evaluated);
            }
            interrupt
        })
    })
}

/// Answers a call with how its evaluation ended.
fn conclude<'py>(py: Python<'py>, peer: &Arc<Peer>, incoming: &IncomingCall, evaluated: Evaluated<'py>) {
    home::flush(py);
    respond(py, peer, incoming, evaluated);
    if peer.link.is_lost() {
        peer.clear(py); // what was just offered to it came too late to be let go of with the rest
    }
}

impl<'py> Made<'py> {
    /// Has the coroutine run where it belongs, and the call answered when it has ended: then None.
    fn start(
        self,
        py: Python<'py>,
        peer: &Arc<Peer>,
        incoming: &IncomingCall,
        limit: Option<Instant>,
    ) -> Option<Evaluated<'py>> {
        let Self { coroutine, origin, is_untouched } = self;
        let refused = match coroutines::place_of(py, peer, incoming.head.target) {
            Place::Local(host) => {
                let ran = deadline::carry(py, limit).map_err(Refusal::Failed);
                match ran.and_then(|_carried| coroutines::run_here(host, &coroutine)) {
                    Ok(Ok(value)) => return Some(Evaluated::Value(origin.found(value, Source::Coroutine))),
                    Ok(Err(error)) => return Some(Evaluated::Raised { error, source: Source::Coroutine }),
                    Err(refusal) => refusal,
                }
            }
            place => {
                let (own_peer, head) = (Arc::clone(peer), producing::head_of(incoming));
                let job = Box::new(move |py: Python<'_>, end: End<'_>| {
                    conclude(py, &own_peer, &head, ended(&origin, end));
                });
                match coroutines::start(&place, &coroutine, (peer, incoming.call, incoming.chain, limit), job) {
                    Ok(()) => return None,
                    Err(refusal) => refusal,
                }
            }
        };
        Some(refusal_of(refused, is_untouched))
    }
}

/// Answers a call that a coroutine was to go on with which is not run.
pub(crate) fn refuse(py: Python<'_>, peer: &Arc<Peer>, head: &IncomingCall, refusal: Refusal) {
    conclude(py, peer, head, refusal_of(refusal, false));
}

/// Answers a call that was not begun, because that would close a circle of waits.
pub(crate) fn refuse_circle(py: Python<'_>, incoming: &Incoming) {
    if let Some(peer) = peer::of_link(&incoming.link) {
        answer::fail(py, &peer, &incoming.call, ErrorKind::Deadlock, Outcome::NotStarted, CIRCLE);
    }
}

/// What a wait is told that would close a circle.
pub(crate) const CIRCLE: &str = "whoever could go on with it waits for this very thread: it would wait for itself";

/// What a call is answered whose coroutine is not run.
fn refusal_of<'py>(refusal: Refusal, is_untouched: bool) -> Evaluated<'py> {
    let outcome = if is_untouched { Outcome::NotStarted } else { Outcome::Unknown };
    match refusal {
        Refusal::Deadlock(why) => {
            let text = format!("{why}: the call would wait for itself, and was not begun");
            Evaluated::Refused { kind: ErrorKind::Deadlock, outcome, text }
        }
        Refusal::NoLoop => {
            let text = "an `async def` of an object that was not offered from a running event loop, or whose loop has \
                        ended, has no loop to run on; offer it from inside the loop, and keep that running";
            Evaluated::Raised { error: PyRuntimeError::new_err(text), source: Source::Coroutine }
        }
        Refusal::Failed(error) => Evaluated::Raised { error, source: Source::Coroutine },
    }
}

/// How a call ends whose coroutine has ended.
fn ended<'py>(origin: &Origin, end: End<'py>) -> Evaluated<'py> {
    match end {
        End::Value(value) => Evaluated::Value(origin.found(value, Source::Coroutine)),
        End::Raised(error) => Evaluated::Raised { error, source: Source::Coroutine },
        End::Cancelled { had_begun } => {
            let outcome = if had_begun { Outcome::Unknown } else { Outcome::NotStarted };
            Evaluated::Refused { kind: ErrorKind::Cancelled, outcome, text: "the call was cancelled".to_owned() }
        }
    }
}

/// The caller has given the call up by now, or is about to: it is not begun.
fn expired(py: Python<'_>, peer: &Arc<Peer>, incoming: &Incoming) {
    let text = "its deadline had passed before it could be begun";
    peer.link.discard(incoming.steps());
    answer::fail(py, peer, &incoming.call, ErrorKind::Expired, Outcome::NotStarted, text);
}

impl Evaluated<'_> {
    /// Whether it ended with the error that breaks calls off.
    fn is_cancelled(&self, py: Python<'_>) -> bool {
        matches!(self, Self::Raised { error, .. } if errors::is_own(py, error, "CallCancelled"))
    }

    /// The Ctrl-C of the user, which hosts never see.
    fn interrupt(&self, py: Python<'_>) -> Option<PyErr> {
        let (Self::Raised { error, .. } | Self::ArgumentFailed(error, _)) = self else { return None };
        let is_interrupt = error.is_instance_of::<PyKeyboardInterrupt>(py);
        (is_interrupt && call::is_main_thread() && lifecycle::owner().is_none()).then(|| error.clone_ref(py))
    }
}

fn respond<'py>(py: Python<'py>, peer: &Arc<Peer>, incoming: &IncomingCall, evaluated: Evaluated<'py>) {
    if incoming.head.want == Want::Nothing {
        if let Evaluated::Raised { error, .. } | Evaluated::ArgumentFailed(error, _) = evaluated {
            lifecycle::report(py, &error, "a call that was posted failed");
        }
        peer.link.finish(incoming.call);
        return;
    }
    if matches!(evaluated, Evaluated::Value(_) | Evaluated::Raised { .. }) && incoming.head.want != Want::Stream {
        peer.link.call_ended(incoming.call);
    }
    match evaluated {
        Evaluated::Value(mut found) => match (answer::show(peer, &mut found, incoming.head.want), incoming.head.want) {
            (Err(error), _) => answer::raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, &error),
            (Ok(()), Want::Stream) => producing::produce(py, peer, incoming, &found.value, found.is_declared),
            (Ok(()), want) => answer::value(py, peer, incoming, &found, want),
        },
        Evaluated::Raised { error, source: Source::Coroutine } => answer::coroutine_raised(py, peer, incoming, &error),
        Evaluated::Raised { error, source: Source::Path } => {
            answer::raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, &error);
        }
        Evaluated::Refused { kind, outcome, text } => answer::fail(py, peer, incoming, kind, outcome, &text),
        Evaluated::Coroutine(_) => unreachable!("a coroutine is no answer"),
        Evaluated::Missing(error) => {
            answer::raised(py, peer, incoming, ErrorKind::Missing, Outcome::Finished, &error);
        }
        Evaluated::Poisoned(error, outcome) => {
            answer::raised(py, peer, incoming, ErrorKind::Raised, outcome, &error);
        }
        Evaluated::ArgumentFailed(error, outcome) => answer::argument_failed(py, peer, incoming, outcome, &error),
        Evaluated::Gone(object) => {
            let text = format!("object {} is no longer held; it was released", object.0);
            answer::fail(py, peer, incoming, ErrorKind::Gone, Outcome::NotStarted, &text);
        }
    }
}

fn evaluate<'py>(py: Python<'py>, peer: &Arc<Peer>, incoming: &Incoming) -> Evaluated<'py> {
    let head = incoming.call.head;
    let target = head.target;
    if incoming.call.gone > 0 {
        let text = format!("there is no memory for a message of {} bytes", incoming.call.gone);
        return Evaluated::ArgumentFailed(PyMemoryError::new_err(text), Outcome::NotStarted);
    }
    let served = server::of(peer);
    let start = match target {
        ObjectId::BOOTSTRAP if let Some(served) = &served => Some(Some(served.door(py))),
        ObjectId::BOOTSTRAP if peer.is_guest.get().is_some() => crate::guests::door(py).map(Some),
        // Object number 0 is there for whoever owns this host, not for the hosts that this process owns.
        // A path may begin there that says itself where it begins.
        ObjectId::BOOTSTRAP if peer.is_owned() => Some(None),
        ObjectId::BOOTSTRAP => lifecycle::bootstrap(py).map(Some),
        object => peer.exported(py, object).map(Some),
    };
    let Some(start) = start else {
        peer.link.discard(incoming.steps());
        return Evaluated::Gone(target);
    };
    let _passed_on = relays::enter(peer, incoming, start.as_ref());
    let start = match start.map(|start| through::of_incoming(start, incoming)).transpose() {
        Ok(start) => start,
        Err(error) => return Evaluated::Raised { error, source: Source::Path },
    };
    let mut decoder = Decoder::of_call(py, peer, incoming);
    let mut walk = Walk::new(py, start.clone(), head.steps, served);
    walk.is_at_door = target == ObjectId::BOOTSTRAP;
    walk.gives_references = returns::is_any() && peer.gives_references(target);
    let taken = decoder.guarded(|decoder| walk.take_steps(decoder));
    match taken.and_then(|()| walk.read_elsewhere(peer, head.want)) {
        Ok(()) if !walk.is_started => Evaluated::Gone(target),
        Ok(()) => found(walk, start, target),
        Err(StepFailure::Argument(error)) if errors::is_own(py, &error, "ObjectGone") => {
            let text = error.value(py).to_string();
            Evaluated::Refused { kind: ErrorKind::Gone, outcome: walk.outcome(), text }
        }
        Err(StepFailure::Argument(error)) => Evaluated::ArgumentFailed(error, walk.outcome()),
        Err(StepFailure::Poisoned(error)) => Evaluated::Poisoned(error, walk.outcome()),
        Err(StepFailure::Missing(error)) => Evaluated::Missing(error),
        Err(StepFailure::Raised(error)) => Evaluated::Raised { error, source: Source::Path },
    }
}

/// What a path led to that was taken to its end.
fn found<'py>(walk: Walk<'py>, start: Option<Bound<'py, PyAny>>, target: ObjectId) -> Evaluated<'py> {
    let Walk { current, receiver, name, is_in_place, is_untouched, .. } = walk;
    let relayed = walk.is_relayed.then(|| current.cast_exact::<Future>().ok()).flatten().cloned();
    let origin = Origin {
        start: start.filter(|_| target != ObjectId::BOOTSTRAP).map(Bound::unbind),
        is_rooted: target != ObjectId::BOOTSTRAP,
        receiver: receiver.map(Bound::unbind),
        is_in_place,
        name: name.map(Bound::unbind),
        is_declared: walk.is_declared,
    };
    if let Some(future) = relayed {
        return match future.call_method0("result") {
            Ok(value) => Evaluated::Value(origin.found(value, Source::Coroutine)),
            Err(error) => Evaluated::Raised { error, source: Source::Coroutine },
        };
    }
    match operate::is_coroutine(&current) {
        Ok(false) => Evaluated::Value(origin.into_found(current, Source::Path)),
        Ok(true) => Evaluated::Coroutine(Made { coroutine: current, origin, is_untouched }),
        Err(error) => Evaluated::Raised { error, source: Source::Path },
    }
}

/// Why a step could not be taken.
pub(crate) enum StepFailure {
    Argument(PyErr),
    Missing(PyErr),
    Raised(PyErr),
    /// An earlier call that this one names failed, so this one does not start.
    Poisoned(PyErr),
}

/// A path being taken.
struct Walk<'py> {
    current: Bound<'py, PyAny>,
    /// What the last attribute was looked up on.
    receiver: Option<Bound<'py, PyAny>>,
    /// The last attribute's name.
    name: Option<Bound<'py, PyString>>,
    remaining: u16,
    /// Whether the last step was an in-place operation, whose result may be its operand.
    is_in_place: bool,
    /// Whether there is anything yet that steps lead on from.
    is_started: bool,
    /// Whether a step did more than to look something up.
    has_run: bool,
    /// Whether no step did but the last, which called an `async def` or asked an async generator: that made a coroutine and
    /// ran nothing.
    is_untouched: bool,
    /// Whether the last step was passed on to another process: the future that it gave is waited for here.
    is_relayed: bool,
    /// What narrows down what may be reached, where anything does.
    served: Option<Arc<Served>>,
    /// Whether what was reached may be called, where not everything may.
    is_callable: bool,
    /// Whether the last step looked up an attribute.
    is_looked_up: bool,
    /// Whether the last step looked something up on a proxy: that is a place on another host.
    is_away: bool,
    /// Whether somebody wants to be told if nothing is there.
    has_default: bool,
    /// Whether the path begins at object number 0, which runs functions.
    is_at_door: bool,
    /// Whether the path begins at a stream whose items go by reference.
    gives_references: bool,
    /// Whether the result of the last step was declared to go by reference.
    is_declared: bool,
}

impl<'py> Walk<'py> {
    /// Steps from `start`; if there is none, the first step has to say where it begins.
    fn new(py: Python<'py>, start: Option<Bound<'py, PyAny>>, steps: u16, served: Option<Arc<Served>>) -> Self {
        let is_started = start.is_some();
        let served = served.filter(|served| served.exposure().is_some());
        let is_callable = served.is_some() && start.as_ref().is_some_and(exposure::is_method);
        let current = start.unwrap_or_else(|| encode::none(py));
        Self {
            current,
            receiver: None,
            name: None,
            remaining: steps,
            is_in_place: false,
            is_started,
            has_run: false,
            is_untouched: false,
            is_relayed: false,
            served,
            is_callable,
            is_looked_up: false,
            is_away: false,
            has_default: false,
            is_at_door: false,
            gives_references: false,
            is_declared: false,
        }
    }

    fn exposure(&self) -> Option<&Exposure> {
        self.served.as_ref().and_then(|served| served.exposure())
    }

    /// Whether the attribute `name` of what was reached may be reached in turn.
    fn check_name(&self, name: &Bound<'py, PyString>, access: Access) -> PyResult<()> {
        exposure::check_name(name)?;
        self.exposure().map_or(Ok(()), |exposure| exposure.check_name(&self.current, name, access))
    }

    /// What is known of a call whose next step could not begin.
    fn outcome(&self) -> Outcome {
        if self.has_run { Outcome::Unknown } else { Outcome::NotStarted }
    }

    fn take_steps(&mut self, decoder: &mut Decoder<'_, 'py>) -> Result<(), StepFailure> {
        while self.remaining > 0 {
            self.remaining -= 1;
            let code = decoder.code().map_err(unreadable)?;
            let Some(op) = Op::from_code(code) else {
                return Err(StepFailure::Argument(PyValueError::new_err(format!("unknown step {code}"))));
            };
            self.step(decoder, op)?;
        }
        Ok(())
    }

    fn step(&mut self, decoder: &mut Decoder<'_, 'py>, op: Op) -> Result<(), StepFailure> {
        if !self.is_started && !matches!(op, Op::Start | Op::Answer) {
            return self.begin_at_home(decoder, op);
        }
        if let Some(exposure) = self.exposure() {
            exposure.check_step(&self.current, op, self.is_callable).map_err(StepFailure::Raised)?;
            self.is_callable = op == Op::Attribute;
        }
        let is_looked_up = std::mem::replace(&mut self.is_looked_up, op == Op::Attribute);
        if op != Op::GetDefault {
            self.is_away = matches!(op, Op::Attribute | Op::Item) && self.current.is_exact_instance_of::<Proxy>();
        }
        self.is_declared = false;
        let next = match op {
            Op::Start => {
                self.is_started = true;
                decoder.plain().map_err(unreadable)
            }
            Op::Answer => {
                self.is_started = true;
                decoder.answer().map_err(unreadable)
            }
            Op::Attribute => {
                let name = decoder.name().map_err(unreadable)?;
                self.check_name(&name, Access::Read).map_err(StepFailure::Raised)?;
                if self.remaining == 0 {
                    decoder.begun();
                }
                let found = self.current.getattr(&name);
                let found = self.or_missing(decoder, found)?;
                self.receiver = Some(std::mem::replace(&mut self.current, found));
                self.name = Some(name);
                return Ok(());
            }
            Op::Item => {
                let key = decoder.plain().map_err(unreadable)?;
                decoder.begun();
                let found = self.current.get_item(key);
                self.or_missing(decoder, found)
            }
            Op::Call => {
                let (args, kwargs) = decoder.arguments().map_err(unreadable)?;
                decoder.begun();
                if self.remaining == 0 {
                    serving::begins(&self.current);
                }
                self.is_relayed = self.current.is_exact_instance_of::<Proxy>();
                let first = (self.is_at_door && returns::is_any()).then(|| args.get_item(0).ok()).flatten();
                let result = self.current.call(args, kwargs.as_ref()).map_err(StepFailure::Raised)?;
                if returns::is_any() && !self.is_relayed {
                    let found = self.receiver.as_ref().zip(self.name.as_ref()).filter(|_| is_looked_up);
                    self.is_declared = returns::of_call(decoder.peer(), first.as_ref(), &self.current, found);
                }
                self.is_untouched = !self.has_run
                    && operate::is_coroutine(&result).map_err(StepFailure::Raised)?
                    && class_info::is_coroutine_function(&self.current);
                self.has_run = true;
                Ok(result)
            }
            Op::Operate => {
                let code = decoder.code().map_err(unreadable)?;
                let operands = decoder.operands().map_err(unreadable)?;
                decoder.begun();
                let operation = u8::try_from(code).ok().and_then(Operation::from_code);
                self.is_in_place = operation.is_some_and(Operation::is_in_place);
                if let (Some(exposure), Some(operation)) = (self.exposure(), operation) {
                    exposure.check_operation(&self.current, operation).map_err(StepFailure::Raised)?;
                }
                let relayed = operation.and_then(|operation| proxy::relay(&self.current, operation, &operands));
                self.is_relayed = relayed.is_some();
                let result = relayed.unwrap_or_else(|| operate::perform(&self.current, operation, &operands));
                let result = result.map_err(StepFailure::Raised)?;
                self.is_untouched = !self.has_run
                    && operate::runs_when_awaited(&self.current, operation).map_err(StepFailure::Raised)?;
                self.has_run = true;
                if returns::is_any() && !self.is_relayed {
                    self.is_declared =
                        self.gives_references || returns::of_operation(decoder.peer(), &self.current, operation);
                }
                self.receiver = Some(std::mem::replace(&mut self.current, result));
                return Ok(());
            }
            Op::GetDefault => {
                self.has_default = true;
                return Ok(());
            }
            Op::SetAttribute | Op::DeleteAttribute | Op::SetItem | Op::DeleteItem => self.change(decoder, op),
        }?;
        self.current = next;
        Ok(())
    }

    /// Reads what the path leads to, where that is a place on another host and its value is wanted: a step that goes wrong
    /// there is a step of this path.
    fn read_elsewhere(&mut self, peer: &Arc<Peer>, want: Want) -> Result<(), StepFailure> {
        if !self.is_away || !matches!(want, Want::Value | Want::Auto) {
            return Ok(());
        }
        let Ok(place) = self.current.cast_exact::<Proxy>() else { return Ok(()) };
        if matches!(place.get().place, path::Place::Path { .. }) && !Arc::ptr_eq(&path::root(place.get()).peer, peer) {
            self.current = match call::evaluate_path(place, None) {
                Ok(value) => value,
                Err(error) if self.has_default && is_missing(place.py(), &error) => {
                    return Err(StepFailure::Missing(error));
                }
                Err(error) => return Err(StepFailure::Raised(error)),
            };
        }
        Ok(())
    }

    /// This process has no object number 0 for the hosts that it owns. All that they find in its place is what runs a
    /// function with objects that live here.
    fn begin_at_home(&mut self, decoder: &mut Decoder<'_, 'py>, op: Op) -> Result<(), StepFailure> {
        let name = if op == Op::Attribute { Some(decoder.name().map_err(unreadable)?) } else { None };
        let found = name.map(|name| handing::at_home(decoder.py, decoder.peer(), &name, self.is_at_door));
        let nowhere = || PyValueError::new_err("a path that begins nowhere");
        let found = found.transpose().map_err(StepFailure::Raised)?.flatten();
        self.current = found.ok_or_else(|| StepFailure::Argument(nowhere()))?;
        self.is_started = true;
        Ok(())
    }

    fn change(&mut self, decoder: &mut Decoder<'_, 'py>, op: Op) -> Result<Bound<'py, PyAny>, StepFailure> {
        let py = decoder.py;
        if matches!(op, Op::SetAttribute | Op::DeleteAttribute) {
            let name = decoder.name().map_err(unreadable)?;
            self.check_name(&name, Access::Change).map_err(StepFailure::Raised)?;
            let done = if op == Op::SetAttribute {
                let value = decoder.plain().map_err(unreadable)?;
                decoder.begun();
                self.current.setattr(&name, value)
            } else {
                decoder.begun();
                self.current.delattr(&name)
            };
            done.map_err(StepFailure::Raised)?;
            return Ok(encode::none(py));
        }
        let key = decoder.plain().map_err(unreadable)?;
        let done = if op == Op::SetItem {
            let value = decoder.plain().map_err(unreadable)?;
            decoder.begun();
            self.current.set_item(key, value)
        } else {
            decoder.begun();
            self.current.del_item(key)
        };
        done.map_err(StepFailure::Raised)?;
        Ok(encode::none(py))
    }

    /// An AttributeError, KeyError or IndexError of the last step before a `GetDefault` means: missing.
    fn or_missing(
        &mut self,
        decoder: &mut Decoder<'_, 'py>,
        found: PyResult<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>, StepFailure> {
        let error = match found {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if is_missing(decoder.py, &error)
            && self.remaining == 1
            && decoder.code().is_ok_and(|code| Op::from_code(code) == Some(Op::GetDefault))
        {
            return Err(StepFailure::Missing(error));
        }
        Err(StepFailure::Raised(error))
    }
}

/// Whether an error says that something is not there.
fn is_missing(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyAttributeError>(py)
        || error.is_instance_of::<PyKeyError>(py)
        || error.is_instance_of::<PyIndexError>(py)
}

impl From<StepFailure> for Undecodable {
    fn from(failure: StepFailure) -> Self {
        match failure {
            StepFailure::Argument(error) => Self::Raised(error),
            StepFailure::Missing(error) | StepFailure::Raised(error) => Self::Evaluated(error),
            StepFailure::Poisoned(error) => Self::Poisoned(error),
        }
    }
}

/// Takes `steps` steps from `start`: a path that was passed as an argument.
pub(crate) fn walk<'py>(
    decoder: &mut Decoder<'_, 'py>,
    start: Option<Bound<'py, PyAny>>,
    steps: u16,
) -> Result<Bound<'py, PyAny>, Undecodable> {
    let start = start.map(through::of_call).transpose().map_err(Undecodable::Evaluated)?;
    let mut walk = Walk::new(decoder.py, start, steps, server::of(decoder.peer()));
    walk.take_steps(decoder)?;
    Ok(walk.current)
}

fn unreadable(failure: Undecodable) -> StepFailure {
    match failure {
        Undecodable::Raised(error) => StepFailure::Argument(error),
        Undecodable::Poisoned(error) => StepFailure::Poisoned(error),
        Undecodable::Evaluated(error) => StepFailure::Raised(error),
        Undecodable::Malformed(error) => StepFailure::Argument(PyValueError::new_err(error.to_string())),
    }
}
