//! Answers to calls that came in: results by value or by reference, and errors with all that is known of them.
//!
//! Owns: the rule for results. Must not know: how calls are evaluated, frames.

use std::sync::Arc;

use elsewhere_engine::Enclosed;
use elsewhere_proto::{AnswerRefused, ErrorKind, IncomingCall, ObjectId, Outcome, Want};
use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::encode::{Encoder, Stop};
use crate::kinds::{is_async_stream_type, is_immutable_value, is_scalar, is_stream_type};
use crate::origin::{Found, Receiver, Source};
use crate::path::Place;
use crate::peer::Peer;
use crate::proxy::Proxy;
use crate::reference::Ref;
use crate::stream::import_of;
use crate::{errors, lifecycle, server, shown, verdicts};

/// A pickled exception beyond this many bytes stays where it was raised; its text travels.
const EXCEPTION_MAX: usize = 1 << 20;

/// The same for each of those that hang on it.
const RELATED_MAX: usize = 1 << 16;

/// Answers with a value.
pub(crate) fn value<'py>(py: Python<'py>, peer: &Arc<Peer>, incoming: &IncomingCall, found: &Found<'py>, want: Want) {
    let mut body = Vec::with_capacity(64);
    let mut encoder = Encoder::new(py, peer, &mut body, false);
    encoder.enclose();
    if incoming.head.target == ObjectId::BOOTSTRAP {
        encoder.give_itself();
    }
    let written = match want {
        Want::Value => write_result(&mut encoder, &found.value),
        Want::Reference if found.is_declared => write_declared(&mut encoder, &found.value, found.receiver),
        Want::Reference => write_reference(&mut encoder, &found.value, found.receiver),
        _ => write_auto(&mut encoder, found, incoming.head.target),
    };
    match written {
        Ok(()) => {
            if found.source == Source::Coroutine {
                encoder.nil(); // a second value behind the first is the mark of a coroutine, see `Sent::decode`
            }
            // Not handed over only if the owner is gone, and then so are we.
            let _ = encoder.hand_over_given();
            let enclosed = encoder.take_enclosed();
            let granted = encoder.take_granted();
            if !peer.is_owned() {
                peer.promises.keep(py, incoming.call, incoming.head.target, &body);
            }
            reply(py, peer, incoming, body, (granted, enclosed));
        }
        Err(error) => {
            encoder.abandon();
            drop(encoder);
            result_failed(py, peer, incoming, &error);
        }
    }
}

/// Answers with None.
pub(crate) fn nothing(peer: &Arc<Peer>, incoming: &IncomingCall) {
    let mut body = Vec::with_capacity(1);
    elsewhere_proto::codec::Writer::new(&mut body).nil();
    // Refused means that nobody waits for the answer any more; so below.
    let _ = peer.link.reply(incoming.call, incoming.lane, &mut body);
}

fn reply(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    mut body: Vec<u8>,
    (granted, enclosed): (Vec<ObjectId>, Enclosed),
) {
    let Err(refusal) = peer.link.reply(incoming.call, incoming.lane, &mut body) else { return enclosed.sent() };
    drop(enclosed);
    peer.ungrant(py, granted);
    if let AnswerRefused::TooLarge { len, max } = refusal {
        let text = format!("the result takes {len} bytes, and one message may have {max}");
        fail(py, peer, incoming, ErrorKind::Result, Outcome::Finished, &text);
    }
    // Refused otherwise means that the peer is gone or gave the call up: nobody waits for the answer.
}

fn write_reference<'py>(encoder: &mut Encoder<'_, 'py>, value: &Bound<'py, PyAny>, receiver: Receiver) -> PyResult<()> {
    if receiver == Receiver::Root {
        encoder.receiver();
        return Ok(());
    }
    let is_name = value.cast_exact::<Proxy>().is_ok_and(|proxy| matches!(proxy.get().place, Place::Root(_)))
        || value.is_exact_instance_of::<Ref>();
    if is_name { write_result(encoder, value) } else { encoder.offer(value) }
}

/// What the list of a server says of a result: an object of a class that has a list is shown through that, and no copy of it
/// is made.
///
/// # Errors
/// AttributeError where a copy is asked for, or items that nobody listed.
pub(crate) fn show(peer: &Peer, found: &mut Found<'_>, want: Want) -> PyResult<()> {
    let served = server::of(peer);
    let Some(exposure) = served.as_ref().and_then(|served| served.exposure()) else { return Ok(()) };
    match want {
        Want::Stream => exposure.check_items(&found.value)?,
        Want::Value => exposure.check_copy(&found.value)?,
        Want::Auto => found.is_declared |= exposure.guards(&found.value)?,
        Want::Reference | Want::Nothing => {}
    }
    Ok(())
}

/// Whether an item of a stream is an object of a class that has a list.
pub(crate) fn is_guarded(peer: &Peer, item: &Bound<'_, PyAny>) -> PyResult<bool> {
    let served = server::of(peer);
    let exposure = served.as_ref().and_then(|served| served.exposure());
    exposure.map_or(Ok(false), |exposure| exposure.guards(item))
}

/// A result that was declared to go by reference: of a stream, its items.
fn write_declared<'py>(encoder: &mut Encoder<'_, 'py>, value: &Bound<'py, PyAny>, receiver: Receiver) -> PyResult<()> {
    let py = value.py();
    let kind = value.get_type();
    if receiver == Receiver::Root {
        encoder.receiver();
        Ok(())
    } else if is_name(value) {
        write_result(encoder, value)
    } else if is_stream_type(py, &kind)? || is_async_stream_type(py, &kind)? {
        encoder.offer_stream_of_references(value)
    } else {
        encoder.offer(value)
    }
}

/// Writes a value for `want`, as a result.
///
/// # Errors
/// What pickling raised, where the value has to be copied and cannot be.
fn write_result<'py>(encoder: &mut Encoder<'_, 'py>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    let mark = encoder.mark();
    match encoder.value(value) {
        Ok(()) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Pickle) => {
            encoder.roll_back(mark);
            encoder.pickle(value, None)
        }
    }
}

/// Writes one item of a stream: a copy, or a proxy where no copy can be made or none is wanted.
///
/// # Errors
/// What is no `Exception` that pickling raised.
pub(crate) fn write_item<'py>(
    encoder: &mut Encoder<'_, 'py>,
    item: &Bound<'py, PyAny>,
    is_declared: bool,
) -> PyResult<()> {
    if is_declared && !is_scalar(item) && !encoder.hands_over() {
        return write_declared(encoder, item, Receiver::No);
    }
    let mark = encoder.mark();
    match write_result(encoder, item) {
        Err(error) if error.is_instance_of::<PyException>(encoder.py) => {
            encoder.roll_back(mark);
            encoder.offer_uncopyable(item)
        }
        other => other,
    }
}

/// Whether `value` is a reference already, to an object here or elsewhere.
fn is_name(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<Proxy>() || value.is_exact_instance_of::<Ref>() || import_of(value).is_some()
}

/// The rule for results: the receiver or what the peer holds → that proxy; a copy; a proxy where no copy can be made.
fn write_auto<'py>(encoder: &mut Encoder<'_, 'py>, found: &Found<'py>, target: ObjectId) -> PyResult<()> {
    let value = &found.value;
    if found.is_declared && !is_scalar(value) && !encoder.hands_over() {
        return write_declared(encoder, value, found.receiver);
    }
    // What `Host.run` runs is another function each time.
    let name = found.name.as_ref().filter(|_| target != ObjectId::BOOTSTRAP);
    let has_elements = has_elements(value);
    if !is_immutable_value(value) {
        match found.receiver {
            Receiver::Root => {
                encoder.receiver();
                return Ok(());
            }
            Receiver::Place => return encoder.offer(value),
            Receiver::Method if !encoder.hands_over() => return encoder.offer(value),
            _ if encoder.holds(value) => return encoder.offer(value),
            _ if encoder.hands_over() => {}
            _ if !has_elements && verdicts::is_known(value, name) => return encoder.offer_uncopyable(value),
            _ => {}
        }
    }
    let mark = encoder.mark();
    let error = match write_result(encoder, value) {
        Ok(()) => return Ok(()),
        Err(error) if error.is_instance_of::<PyException>(encoder.py) => error,
        Err(error) => return Err(error),
    };
    encoder.roll_back(mark);
    // That memory is short says nothing of the next.
    if error.is_instance_of::<PyMemoryError>(encoder.py) || verdicts::remember(value, name) {
        log_uncopyable(value, &error);
    }
    if !has_elements {
        return encoder.offer_uncopyable(value);
    }
    match write_elements(encoder, value) {
        // A key of a dict; a proxy would be asked for its hash while it is read.
        Err(error) if error.is_instance_of::<PyException>(encoder.py) && !errors::is_ours(encoder.py, &error) => {
            encoder.roll_back(mark);
            encoder.offer_uncopyable(value)
        }
        written => written,
    }
}

/// Whether the elements of `value` are looked at one by one where the whole cannot be copied.
fn has_elements(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyDict>()
}

/// An exact list, tuple or dict gets proxies for those of its elements that cannot be copied.
fn write_elements<'py>(encoder: &mut Encoder<'_, 'py>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        let elements = list.to_tuple(); // what pickling an element runs may change the list
        encoder.begin_list(elements.len())?;
        elements.iter().try_for_each(|element| write_element(encoder, &element))
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        encoder.begin_tuple(tuple.len())?;
        tuple.iter().try_for_each(|element| write_element(encoder, &element))
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let items = dict.items(); // as above
        encoder.begin_map(items.len())?;
        items.iter().try_for_each(|item| {
            let (key, element) = item.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
            write_result(encoder, &key)?;
            write_element(encoder, &element)
        })
    } else {
        unreachable!("only containers come here")
    }
}

fn write_element<'py>(encoder: &mut Encoder<'_, 'py>, element: &Bound<'py, PyAny>) -> PyResult<()> {
    let mark = encoder.mark();
    match write_result(encoder, element) {
        Ok(()) => Ok(()),
        Err(error) if error.is_instance_of::<PyException>(encoder.py) => {
            encoder.roll_back(mark);
            encoder.offer_uncopyable(element)
        }
        Err(error) => Err(error),
    }
}

fn log_uncopyable(value: &Bound<'_, PyAny>, error: &PyErr) {
    let py = value.py();
    let culprit = crate::pickling::last_culprit().map_or_else(String::new, |culprit| culprit.text);
    let log = || -> PyResult<()> {
        let logger = py.import("logging")?.getattr("getLogger")?.call1(("elsewhere",))?;
        let kind = value.get_type().fully_qualified_name()?;
        let text = "a result of %s cannot be copied and travels as a proxy: %s (%s)";
        logger.call_method1("info", (text, kind, culprit, error.value(py)))?;
        Ok(())
    };
    if let Err(failure) = log() {
        lifecycle::report(py, &failure, "a log entry could not be written");
    }
}

/// The method ran, but its result cannot travel.
fn result_failed(py: Python<'_>, peer: &Arc<Peer>, incoming: &IncomingCall, error: &PyErr) {
    if errors::is_ours(py, error) || !error.is_instance_of::<PyException>(py) {
        raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, error);
        return;
    }
    let culprit = crate::pickling::last_culprit().map_or_else(|| "the result".to_owned(), |culprit| culprit.text);
    let name = errors::class_name(py, error);
    let text = format!("the result cannot be copied: {culprit}, cannot be pickled ({name}: {})", error.value(py));
    record(py, peer, incoming, (ErrorKind::Result, Outcome::Finished), Some(&text), Some(error), Source::Path);
}

/// An argument could not be rebuilt here, so the method was not called.
pub(crate) fn argument_failed(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    outcome: Outcome,
    error: &PyErr,
) {
    let name = errors::class_name(py, error);
    let what = if outcome == Outcome::NotStarted { "the call" } else { "the rest of the call" };
    let text = format!(
        "an argument could not be rebuilt there, so {what} did not start: {name}: {}{}",
        error.value(py),
        hint(py, error)
    );
    record(py, peer, incoming, (ErrorKind::Argument, outcome), Some(&text), Some(error), Source::Path);
}

/// What to do about an argument that names something which is not there.
fn hint(py: Python<'_>, error: &PyErr) -> &'static str {
    if error.is_instance_of::<pyo3::exceptions::PyModuleNotFoundError>(py) {
        ". The module must be importable in the host too; or pass ref(x) to keep the object at home"
    } else {
        ""
    }
}

/// Answers with an exception that was raised here.
pub(crate) fn raised(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    kind: ErrorKind,
    outcome: Outcome,
    error: &PyErr,
) {
    record(py, peer, incoming, (kind, outcome), None, Some(error), Source::Path);
}

/// Answers with an exception that ended a coroutine here: the call itself went well.
pub(crate) fn coroutine_raised(py: Python<'_>, peer: &Arc<Peer>, incoming: &IncomingCall, error: &PyErr) {
    let known = (ErrorKind::Raised, Outcome::Finished);
    record(py, peer, incoming, known, None, Some(error), Source::Coroutine);
}

/// Answers with a failure that no exception belongs to.
pub(crate) fn fail(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    kind: ErrorKind,
    outcome: Outcome,
    text: &str,
) {
    record(py, peer, incoming, (kind, outcome), Some(text), None, Source::Path);
}

/// An exception as `elsewhere._raised.describe` tells it: module, qualname, bases, message, traceback, payload, notes, and
/// the numbers of cause, context, and members, with whether the context is not shown.
type Described<'py> = (String, String, Vec<String>, String, String, Bound<'py, PyAny>, Vec<String>, Links);
type Links = (Option<usize>, Option<usize>, bool, Vec<usize>);

/// An exception, and behind it those that hang on it.
fn describe<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Vec<Described<'py>>> {
    let exception = error.clone_ref(py).into_value(py);
    py.import("elsewhere._raised")?.getattr("describe")?.call1((exception,))?.extract()
}

/// What is told of an exception that goes as it is: its class, for texts, and itself.
fn name_only<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Vec<Described<'py>>> {
    let class = error.get_type(py);
    let exception = error.clone_ref(py).into_value(py).into_bound(py).into_any();
    let names = (class.module()?.to_string(), class.qualname()?.to_string());
    let nothing = String::new();
    Ok(vec![(names.0, names.1, vec![], nothing.clone(), nothing, exception, vec![], (None, None, false, vec![]))])
}

fn record(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    (kind, outcome): (ErrorKind, Outcome),
    text: Option<&str>,
    error: Option<&PyErr>,
    source: Source,
) {
    let mut body = Vec::with_capacity(512);
    let _guarding = shown::guard(peer); // an exception may be pickled to be described
    let mut encoder = Encoder::new(py, peer, &mut body, false);
    let described = match error {
        Some(error) if peer.hands_over() && errors::goes_as_itself(py, error) => name_only(py, error).map(Some),
        error => error.map(|error| describe(py, error)).transpose(),
    };
    let written = described.and_then(|described| {
        let described = described.unwrap_or_default();
        write_record(&mut encoder, (kind, outcome), text, &described, source)?;
        encoder.hand_over_given()
    });
    if let Err(failure) = written {
        encoder.abandon();
        drop(encoder);
        body.clear();
        let mut encoder = Encoder::new(py, peer, &mut body, false);
        let text = format!("{} (and it could not be described: {failure})", text.unwrap_or("the call failed"));
        // Writing plain texts fails only beyond the codec's size limits, which these are far from.
        let _ = write_record(&mut encoder, (kind, outcome), Some(&text), &[], source);
    }
    let _ = peer.link.fail(incoming.call, incoming.lane, &mut body);
}

fn write_record<'py>(
    encoder: &mut Encoder<'_, 'py>,
    (kind, outcome): (ErrorKind, Outcome),
    text: Option<&str>,
    described: &[Described<'py>],
    source: Source,
) -> PyResult<()> {
    let of_coroutine = source == Source::Coroutine;
    let related = described.get(1..).unwrap_or_default();
    let is_linked = !related.is_empty() || described.first().is_some_and(|first| first.7.2);
    let parts = if is_linked { 13 } else { 10 + usize::from(of_coroutine) };
    encoder.begin_list(parts)?;
    encoder.int(kind as i64);
    encoder.int(outcome as i64);
    match described.first() {
        Some(first) => write_exception(encoder, first, text, EXCEPTION_MAX)?,
        None => write_failure(encoder, text.unwrap_or(""))?,
    }
    encoder.nil();
    if parts > 10 {
        encoder.bool(of_coroutine);
    }
    if let (Some((.., links)), true) = (described.first(), parts > 11) {
        write_links(encoder, links)?;
        encoder.begin_list(related.len())?;
        for other in related {
            encoder.begin_list(8)?;
            write_exception(encoder, other, None, RELATED_MAX)?;
            write_links(encoder, &other.7)?;
        }
    }
    Ok(())
}

/// The seven parts of a failure that no exception belongs to.
fn write_failure(encoder: &mut Encoder<'_, '_>, text: &str) -> PyResult<()> {
    encoder.text("builtins")?;
    encoder.text("RuntimeError")?;
    write_texts(encoder, &["RuntimeError".to_owned()])?;
    encoder.text(text)?;
    encoder.text("")?;
    encoder.nil();
    write_texts(encoder, &[])
}

/// The seven parts of an exception.
fn write_exception<'py>(
    encoder: &mut Encoder<'_, 'py>,
    described: &Described<'py>,
    text: Option<&str>,
    max: usize,
) -> PyResult<()> {
    let (module, qualname, bases, message, traceback, payload, notes, _) = described;
    encoder.text(module)?;
    encoder.text(qualname)?;
    write_texts(encoder, bases)?;
    encoder.text(text.unwrap_or(message))?;
    encoder.text(traceback)?;
    write_payload(encoder, payload, max)?;
    write_texts(encoder, notes)
}

fn write_texts(encoder: &mut Encoder<'_, '_>, texts: &[String]) -> PyResult<()> {
    encoder.begin_list(texts.len())?;
    texts.iter().try_for_each(|text| encoder.text(text))
}

fn write_links(encoder: &mut Encoder<'_, '_>, (cause, context, suppresses_context, members): &Links) -> PyResult<()> {
    encoder.begin_list(4)?;
    for link in [cause, context] {
        match link {
            Some(number) => encoder.int(i64::try_from(*number).unwrap_or(0)),
            None => encoder.nil(),
        }
    }
    encoder.bool(*suppresses_context);
    encoder.begin_list(members.len())?;
    members.iter().for_each(|number| encoder.int(i64::try_from(*number).unwrap_or(0)));
    Ok(())
}

/// The exception itself: as it is, pickled already, to be pickled here, or not at all.
fn write_payload<'py>(encoder: &mut Encoder<'_, 'py>, pickle: &Bound<'py, PyAny>, max: usize) -> PyResult<()> {
    if let Ok(data) = pickle.cast::<PyBytes>() {
        return if data.as_bytes().len() <= max {
            encoder.finished_pickle(data.as_bytes())
        } else {
            encoder.nil();
            Ok(())
        };
    }
    if pickle.is_none() {
        encoder.nil();
        return Ok(());
    }
    if pickle.is_instance_of::<PyException>() && encoder.exception_itself(pickle)? {
        return Ok(());
    }
    let mark = encoder.mark();
    let start = encoder.len();
    match encoder.pickle(pickle, None) {
        Ok(()) if encoder.len() - start <= max => return Ok(()),
        Ok(()) | Err(_) => {}
    }
    encoder.roll_back(mark);
    encoder.nil();
    Ok(())
}
