//! From what the engine and the peer report to Python's exceptions.
//!
//! Owns: the one crossing of errors into Python. Must not know: how texts are worded (`elsewhere._errors` does).

use elsewhere_engine::{Loss, SubmitError};
use elsewhere_proto::{ErrorKind, ObjectId, Outcome};
use pyo3::exceptions::{PyBaseException, PyException, PyKeyboardInterrupt, PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::NEXT_ITEM;
use crate::decode::Decoder;
use crate::handing;
use crate::peer::Peer;
use crate::sent::Subject;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("elsewhere._errors")
}

/// The word of the public face for an outcome.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotStarted => "not_started",
        Outcome::Unknown => "unknown",
        Outcome::Finished => "finished",
    }
}

/// An error of the class `name` of `elsewhere._errors`.
pub(crate) fn make(
    py: Python<'_>,
    name: &str,
    text: &str,
    outcome: Option<Outcome>,
    peer: Option<&Peer>,
    method: Option<&str>,
) -> PyErr {
    let build = || -> PyResult<Bound<'_, PyAny>> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("outcome", outcome.map(word))?;
        kwargs.set_item("host", peer.map(|peer| peer.label.as_str()))?;
        kwargs.set_item("method", method)?;
        module(py)?.getattr(name)?.call((text,), Some(&kwargs))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

fn factory(
    py: Python<'_>,
    name: &str,
    arguments: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>>,
) -> PyErr {
    let build = || module(py)?.getattr(name)?.call1(arguments(py)?);
    build().map_or_else(|error| error, PyErr::from_value)
}

/// The host is gone, or its connection.
pub(crate) fn lost(py: Python<'_>, peer: &Peer, loss: &Loss, outcome: Option<Outcome>, method: Option<&str>) -> PyErr {
    let known = |text: &str| match (method, outcome) {
        (Some(method), Some(Outcome::NotStarted)) if method.ends_with(NEXT_ITEM) => {
            format!("{text}; {method} had not begun; the items before it had")
        }
        (Some(method), Some(Outcome::NotStarted)) => {
            format!("{text}; {method} had not started; it is safe to call again")
        }
        (Some(method), Some(Outcome::Unknown)) => {
            format!("{text}; {method} may have run not at all, in part, or to the end")
        }
        (Some(method), Some(Outcome::Finished)) => format!("{text}; {method} had finished, but its result was lost"),
        _ => text.to_owned(),
    };
    let label = &peer.label;
    let told = match handing::end_of(py, peer) {
        Ok(told) => told,
        Err(interrupt) => return interrupt,
    };
    let loss = told.map_or(loss, |told| &told.loss);
    match loss {
        Loss::Died { pid, exit_code, signal, stderr_tail, is_untold } => factory(py, "_host_died", |py| {
            let tail = String::from_utf8_lossy(stderr_tail);
            let is_killed_here = told.map_or_else(|| peer.is_killed_here.load(Ordering::SeqCst), |told| told.is_killed);
            let known_of_end = (is_killed_here, *is_untold);
            let arguments = (*pid, *exit_code, *signal, tail, outcome.map(word), label.as_str(), method, known_of_end);
            arguments.into_pyobject(py)
        }),
        Loss::Closed if told.is_some() => {
            let text = known(&format!("{label} was closed by the process that started it"));
            make(py, "HostClosed", &text, outcome, Some(peer), method)
        }
        Loss::Closed => {
            make(py, "HostClosed", &known(&format!("{label} was closed here")), outcome, Some(peer), method)
        }
        Loss::Disconnected { reason } => {
            let text = known(&format!("the connection to {label} is lost ({reason}); it may still be running"));
            make(py, "ConnectionLost", &text, outcome, Some(peer), method)
        }
        Loss::Refused { text } => {
            make(py, "ConnectionLost", &known(&format!("{label} refused: {text}")), outcome, Some(peer), method)
        }
        Loss::Violated { text } => {
            let text = known(&format!("the connection to {label} was closed because the protocol was broken: {text}"));
            make(py, "ProtocolError", &text, outcome, Some(peer), method)
        }
    }
}

/// Whether `error` tells that the proxy was closed here, and not that the object met such an error itself.
pub(crate) fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    let is_remote = || error.value(py).getattr("remote").is_ok_and(|remote| remote.is_truthy().unwrap_or(true));
    is_own(py, error, "ObjectGone") && !is_remote()
}

/// Whether `error` tells that the host is gone.
pub(crate) fn is_loss(py: Python<'_>, error: &PyErr) -> bool {
    ["HostDied", "ConnectionLost", "HostClosed", "ProtocolError"].iter().any(|name| is_own(py, error, name))
}

/// Whether `error` is of the class `name` of `elsewhere._errors`.
pub(crate) fn is_own(py: Python<'_>, error: &PyErr, name: &str) -> bool {
    module(py).and_then(|module| module.getattr(name)).is_ok_and(|class| error.matches(py, class).unwrap_or(false))
}

/// The name of the error's class.
pub(crate) fn class_name(py: Python<'_>, error: &PyErr) -> String {
    error.get_type(py).name().map_or_else(|_| "error".to_owned(), |name| name.to_string())
}

/// Whether `error` is one of elsewhere's own.
pub(crate) fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    module(py)
        .and_then(|module| module.getattr("ElsewhereError"))
        .is_ok_and(|class| error.matches(py, class).unwrap_or(false))
}

/// The engine did not take the call.
pub(crate) fn refused(py: Python<'_>, peer: &Peer, method: &str, error: &SubmitError) -> PyErr {
    let not_started = Some(Outcome::NotStarted);
    match error {
        SubmitError::Lost(loss) => lost(py, peer, loss, not_started, Some(method)),
        SubmitError::WindowFull => window_full(py, peer, method),
        SubmitError::TooLarge { len, max } => {
            let text = format!(
                "the arguments of {method} take {len} bytes, and one message to {} may have {max}; nothing was sent",
                peer.label
            );
            make(py, "MessageTooLarge", &text, not_started, Some(peer), Some(method))
        }
        SubmitError::Closing if !peer.link.is_closing() => {
            match handing::end_of(py, peer) {
                Ok(Some(told)) => return lost(py, peer, &told.loss, not_started, Some(method)),
                Ok(None) => {}
                Err(interrupt) => return interrupt,
            }
            let text = format!("{} takes no more calls; {method} was not sent", peer.label);
            make(py, "ConnectionLost", &text, not_started, Some(peer), Some(method))
        }
        SubmitError::Closing => {
            let text = format!("{} was closed here; {method} was not sent", peer.label);
            make(py, "HostClosed", &text, not_started, Some(peer), Some(method))
        }
        SubmitError::NoHead => protocol(py, peer, "a call without a head"),
        SubmitError::Forked => {
            let text = format!(
                "{} belongs to the process that started it, not to this fork of it; start a host of your own here",
                peer.label
            );
            make(py, "ConnectionLost", &text, not_started, Some(peer), Some(method))
        }
    }
}

/// The window is full and this thread must not wait for room.
pub(crate) fn window_full(py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
    let text = format!(
        "too many calls are in flight to {} (1,024 calls or 64 MiB); {method} was not sent. Await some of them first",
        peer.label
    );
    make(py, "Overloaded", &text, Some(Outcome::NotStarted), Some(peer), Some(method))
}

/// Too many results of one connection live as proxies.
pub(crate) fn overloaded(py: Python<'_>, peer: &Peer, max: usize) -> PyErr {
    let text = format!("{max} objects are held for {} already; drop proxies that are not needed", peer.label);
    make(py, "Overloaded", &text, None, Some(peer), None)
}

/// A host did not start.
pub(crate) fn start_failed(py: Python<'_>, reason: &str, label: &str, stderr_tail: &str) -> PyErr {
    factory(py, "_host_start_error", |py| (reason, label, stderr_tail).into_pyobject(py))
}

/// The deadline of a call passed.
pub(crate) fn timed_out(py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
    let text = format!("{method} in {} did not answer in time; there it may still run", peer.label);
    make(py, "CallTimeout", &text, Some(Outcome::Unknown), Some(peer), Some(method))
}

/// A server took the connection, and did not say in time what it serves.
pub(crate) fn unserved(py: Python<'_>, peer: &Peer) -> PyErr {
    let text = format!(
        "{} took the connection but ran nothing in time: is it started (`with server:`, `start()`, `run()`) or polled, and \
         does no call keep it busy?",
        peer.label
    );
    make(py, "CallTimeout", &text, Some(Outcome::Unknown), Some(peer), Some("connect"))
}

/// The deadline of a call had passed before it was made.
pub(crate) fn expired(py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
    let text = format!("the time for {method} in {} was over before it was made; it was not sent", peer.label);
    make(py, "CallTimeout", &text, Some(Outcome::NotStarted), Some(peer), Some(method))
}

/// A wait that would have closed a circle did not begin; the call that was to be waited for goes on.
pub(crate) fn circle(py: Python<'_>, peer: &Peer, method: &str) -> PyErr {
    let text = format!("{method} in {} cannot be waited for here: {}", peer.label, crate::calls_in::CIRCLE);
    make(py, "DeadlockError", &text, Some(Outcome::NotStarted), Some(peer), Some(method))
}

/// The call was cancelled.
pub(crate) fn cancelled(py: Python<'_>, peer: &Peer, outcome: Outcome, method: &str) -> PyErr {
    factory(py, "_call_cancelled", |py| (word(outcome), peer.label.as_str(), method).into_pyobject(py))
}

/// The peer wrote what the protocol does not allow.
pub(crate) fn protocol(py: Python<'_>, peer: &Peer, text: &str) -> PyErr {
    make(
        py,
        "ProtocolError",
        &format!("{} sent what cannot be read: {text}", peer.label),
        Some(Outcome::Finished),
        Some(peer),
        None,
    )
}

/// The object of a reference is not held any more.
pub(crate) fn object_gone(py: Python<'_>, peer: &Peer, object: ObjectId) -> PyErr {
    let text = format!("object {} is no longer held for {}; it was released", object.0, peer.label);
    make(py, "ObjectGone", &text, Some(Outcome::NotStarted), Some(peer), None)
}

/// An argument could not be written. Errors of our own, attribute errors and interrupts pass as they are.
pub(crate) fn argument(py: Python<'_>, peer: &Peer, method: &str, error: PyErr) -> PyErr {
    if is_ours(py, &error) || !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let culprit = crate::pickling::last_culprit();
    let is_of_code = culprit.as_ref().is_some_and(|culprit| culprit.is_of_code);
    let is_foreign_code = culprit.as_ref().is_some_and(|culprit| culprit.is_foreign_code);
    let culprit = culprit.map_or_else(|| "an argument".to_owned(), |culprit| culprit.text);
    let hint = match (method == "Host.send", peer.inherited(py).is_some()) {
        _ if is_foreign_code => {
            "put that code into a module that the host can import (Host(path=[...]) adds directories), or load it there, \
             with Host.module or Host.script"
        }
        _ if is_of_code => {
            "it belongs to code that only this process has, and that travels by value; put that code into a module, which \
             the host imports for itself"
        }
        (true, false) => "construct it there, with spawn()",
        (true, true) => "construct it there, with spawn(), or start the host with it, inherit=[...]",
        (false, false) => "pass ref(x) to keep the object here and send a reference",
        (false, true) => "pass ref(x) to keep it here and send a reference, or start the host with it, inherit=[...]",
    };
    let text = format!(
        "{method}: {culprit}, cannot be copied to {} ({}: {}); {hint}",
        peer.label,
        class_name(py, &error),
        error.value(py),
    );
    let made = make(py, "ArgumentError", &text, Some(Outcome::NotStarted), Some(peer), Some(method));
    made.set_cause(py, Some(error));
    made
}

/// A result came, but making it raised.
pub(crate) fn result_unreadable(py: Python<'_>, peer: &Peer, method: &str, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return error; // the user's own, most likely
    }
    let text = format!(
        "{method} in {} finished, but its result could not be rebuilt here: {}: {}",
        peer.label,
        class_name(py, &error),
        error.value(py),
    );
    let made = make(py, "ResultError", &text, Some(Outcome::Finished), Some(peer), Some(method));
    made.set_cause(py, Some(error));
    made
}

/// Whether an exception may be raised at the other end of a local host as it is: others end what waits there.
pub(crate) fn goes_as_itself(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py)
        && !error.is_instance_of::<PyStopIteration>(py)
        && !error.is_instance_of::<PyStopAsyncIteration>(py)
}

/// Has an error that is raised now, while another one is handled, say so. `is_fresh`: it is raised for the first time.
pub(crate) fn in_context(py: Python<'_>, error: PyErr, is_fresh: bool) -> PyErr {
    let set = || -> PyResult<()> {
        let handled = py.import("sys")?.call_method0("exception")?;
        if !handled.is_none() {
            module(py)?.getattr("_set_context")?.call1((error.value(py), handled, is_fresh))?;
        }
        Ok(())
    };
    // An exception that does not let itself be touched is raised as it is.
    let _ = set();
    error
}

/// What an ERROR frame says.
pub(crate) struct Record<'py> {
    pub(crate) kind: ErrorKind,
    pub(crate) outcome: Outcome,
    /// Whether it is a coroutine that failed, and not the call that made it.
    pub(crate) is_of_coroutine: bool,
    /// The exception, and behind it those that hang on it, as `elsewhere._rebuilt.rebuild` takes them.
    exceptions: Vec<Told<'py>>,
}

/// One exception: see `answer::Described`.
struct Told<'py> {
    module: String,
    qualname: String,
    bases: Vec<String>,
    message: String,
    traceback: String,
    /// The exception itself, where it could be rebuilt.
    original: Option<Bound<'py, PyAny>>,
    notes: Vec<String>,
    links: Bound<'py, PyAny>,
}

/// Reads an error record. A record that cannot be read is told as such: the call failed in any case.
pub(crate) fn read_record<'py>(py: Python<'py>, peer: &Arc<Peer>, body: &[u8]) -> PyResult<Record<'py>> {
    let mut decoder = Decoder::new(py, peer, body, None);
    decoder.record().map_err(|failure| failure.into_error(py, peer))
}

impl<'r, 'py> Decoder<'r, 'py> {
    fn record(&mut self) -> Result<Record<'py>, crate::decode::Undecodable> {
        self.guarded(|decoder| {
            let parts = decoder.list_head(10)?;
            let kind = ErrorKind::from_code(decoder.code()?).unwrap_or(ErrorKind::Raised);
            let outcome = Outcome::from_code(decoder.code()?).unwrap_or(Outcome::Unknown);
            let mut first = decoder.exception()?;
            let _culprit = decoder.plain()?;
            let is_of_coroutine = parts > 10 && decoder.plain()?.is_truthy()?;
            let mut related = Vec::new();
            if parts > 12 {
                first.links = decoder.plain()?;
                for _ in 0..decoder.list_head(0)? {
                    decoder.list_head(8)?;
                    let mut other = decoder.exception()?;
                    other.links = decoder.plain()?;
                    related.push(other);
                }
            }
            let mut exceptions = vec![first];
            exceptions.append(&mut related);
            Ok(Record { kind, outcome, is_of_coroutine, exceptions })
        })
    }

    /// The seven parts of an exception.
    fn exception(&mut self) -> Result<Told<'py>, crate::decode::Undecodable> {
        Ok(Told {
            module: self.name()?.extract()?,
            qualname: self.name()?.extract()?,
            bases: self.plain()?.extract()?,
            message: self.name()?.extract()?,
            traceback: self.name()?.extract()?,
            original: self.payload()?,
            notes: self.plain()?.extract()?,
            links: crate::encode::none(self.py),
        })
    }
}

/// The error that an ERROR frame tells of.
pub(crate) fn from_record(py: Python<'_>, peer: &Arc<Peer>, body: &[u8], subject: &Subject) -> PyErr {
    match read_record(py, peer, body) {
        Ok(record) => record.into_error(py, peer, &subject.text(py)),
        Err(error) => error,
    }
}

impl<'py> Record<'py> {
    /// The qualified name of the exception's class.
    pub(crate) fn qualname(&self) -> &str {
        self.exceptions.first().map_or("", |told| &told.qualname)
    }

    /// The exception itself, where it could be rebuilt.
    pub(crate) fn original(&self) -> Option<&Bound<'py, PyAny>> {
        self.exceptions.first()?.original.as_ref()
    }

    pub(crate) fn into_error(self, py: Python<'py>, peer: &Arc<Peer>, method: &str) -> PyErr {
        let class = match self.kind {
            ErrorKind::Raised | ErrorKind::Missing => return self.rebuilt(py, peer, method),
            ErrorKind::Argument => "ArgumentError",
            ErrorKind::Result => "ResultError",
            ErrorKind::Gone => "ObjectGone",
            ErrorKind::Cancelled => return cancelled(py, peer, self.outcome, method),
            ErrorKind::Expired => "CallTimeout",
            ErrorKind::Refused => "AuthenticationError",
            ErrorKind::Overloaded => "Overloaded",
            ErrorKind::Closed => "HostClosed",
            ErrorKind::Deadlock => "DeadlockError",
        };
        let Some(told) = self.exceptions.first() else { return protocol(py, peer, "an error without a text") };
        let text = format!("{method} in {}: {}", peer.label, told.message);
        let error = make(py, class, &text, Some(self.outcome), Some(peer), Some(method));
        if !told.traceback.is_empty() {
            let note = format!("\nraised in {} by {method}:\n{}", peer.label, told.traceback.trim_end());
            let _ = error.value(py).call_method1("add_note", (note,));
        }
        if matches!(self.kind, ErrorKind::Argument | ErrorKind::Result)
            && let Some(told) = self.exceptions.into_iter().next()
        {
            error.set_cause(py, told.cause(py, peer));
        }
        error
    }

    /// The exception that the method raised.
    fn rebuilt(self, py: Python<'py>, peer: &Arc<Peer>, method: &str) -> PyErr {
        if peer.hands_over()
            && let Some(original) = self.original()
            && original.is_instance_of::<PyException>()
        {
            let error = PyErr::from_value(original.clone());
            if goes_as_itself(py, &error) {
                return error;
            }
        }
        let build = || -> PyResult<Bound<'py, PyAny>> {
            let entries =
                self.exceptions.into_iter().map(|told| told.into_pyobject(py)).collect::<PyResult<Vec<_>>>()?;
            py.import("elsewhere._rebuilt")?.getattr("rebuild")?.call1((entries, peer.label.as_str(), method))
        };
        match build() {
            Ok(error) if error.is_instance_of::<PyBaseException>() => PyErr::from_value(error),
            Ok(_) => protocol(py, peer, "an exception that is none"),
            Err(error) => error,
        }
    }
}

impl<'py> Told<'py> {
    /// The exception itself, where it could be rebuilt: for an error that tells its text and its frames.
    fn cause(self, py: Python<'py>, peer: &Peer) -> Option<PyErr> {
        let original = self.original.clone().filter(|original| original.is_instance_of::<PyException>())?;
        if peer.hands_over() {
            return Some(PyErr::from_value(original));
        }
        let build = || py.import("elsewhere._rebuilt")?.getattr("cause")?.call1((self.into_pyobject(py)?,));
        build().ok().filter(|cause| !cause.is_none()).map(PyErr::from_value)
    }

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Self { module, qualname, bases, message, traceback, original, notes, links } = self;
        (module, qualname, bases, message, traceback, original, notes, links).into_pyobject(py)
    }
}
