//! The verbs: functions over proxies, paths and plain values.
//!
//! Owns: what each verb accepts. Must not know: how calls are made (call), how hosts start (host).
//! All parameters are positional-only, so that every keyword belongs to the method that is called.

use std::sync::Arc;

use elsewhere_engine::Expect;
use elsewhere_proto::Want;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::call::{self, Last, Unsent};
use crate::future::Future;
use crate::host::{self, HostCore};
use crate::path::{self, Place, Step};
use crate::peer::{Import, Peer};
use crate::proxy::Proxy;
use crate::read_ahead::ReadAhead;
use crate::reference::Ref;
use crate::sent::Sent;
use crate::view::{Options, View};
use crate::{connecting, deadline, errors, running, stream as streams};

/// The default of `get`, or word that there is none.
pub(crate) enum Fallback {
    None,
    Value(Py<PyAny>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Fallback {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Value(object.to_owned().unbind()))
    }
}

/// The value at a path, copied here; `default` where the path's last step is missing.
///
/// What is no proxy is its own value; of a module or an iterator the value is a proxy. Raises ResultError where the
/// value cannot be copied.
#[pyfunction]
#[pyo3(signature = (path, /, *, default=Fallback::None), text_signature = "(path, /, *, default=...)")]
pub(crate) fn get<'py>(path: &Bound<'py, PyAny>, default: Fallback) -> PyResult<Bound<'py, PyAny>> {
    let Ok(proxy) = path.cast_exact::<Proxy>() else { return Ok(path.clone()) };
    let py = path.py();
    let (last, fallback) = match default {
        Fallback::Value(default) if matches!(proxy.get().place, Place::Path { .. }) => {
            (Last::GetOrMissing, Some(default))
        }
        Fallback::None | Fallback::Value(_) => (Last::Get, None),
    };
    let view = &proxy.get().options.view;
    if let View::Futures(failures) = view {
        failures.check()?;
    }
    if matches!(view, View::Futures(_)) {
        let sent = call::send(proxy, &last, Want::Value, Expect::Answer)?;
        return Ok(Future::with_fallback(py, sent, fallback)?.into_any());
    }
    let (sent, seat) = call::ask(proxy, &last, Want::Value)?;
    running::whole(py, || {
        let arrival = sent.wait_arrival(py, seat)?;
        sent.value_or(py, arrival, fallback.as_ref()).map_err(|error| errors::in_context(py, error, true))
    })
}

/// Start a call and give its Future. With a plain function, it runs in the host of its first proxy argument.
///
/// With `host.run`, the function that comes next runs in that host.
#[pyfunction]
#[pyo3(signature = (target, /, *args, **kwargs))]
pub(crate) fn submit<'py>(
    target: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Future>> {
    let py = target.py();
    let sent = send(target, args, kwargs, Want::Auto, Expect::Answer);
    Future::of(py, sent.map(|sent| sent.expect("an answer is expected")))
}

/// Start a call whose answer nobody wants. What it raises is reported over there.
#[pyfunction]
#[pyo3(signature = (target, /, *args, **kwargs))]
pub(crate) fn post<'py>(
    target: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    if let Ok(proxy) = target.cast_exact::<Proxy>() {
        return call::post(proxy, &Last::Call { args, kwargs });
    }
    Ok(send(target, args, kwargs, Want::Nothing, Expect::Nothing).map(drop)?)
}

/// Call a generator function, or anything that gives an iterable, and iterate its items, read ahead.
#[pyfunction]
#[pyo3(signature = (target, /, *args, **kwargs))]
pub(crate) fn stream<'py>(
    target: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = target.py();
    let sent = send(target, args, kwargs, Want::Stream, Expect::Items)?;
    Ok(ReadAhead::new(py, sent.expect("items are expected"))?.into_any())
}

fn neither_proxy_nor_function(target: &Bound<'_, PyAny>) -> PyErr {
    match target.get_type().fully_qualified_name() {
        Ok(kind) => PyTypeError::new_err(format!("expected a proxy or a function, not an object of type {kind}")),
        Err(error) => error,
    }
}

fn send<'py>(
    target: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    want: Want,
    expect: Expect,
) -> Result<Option<Sent>, Unsent> {
    let py = target.py();
    if let Ok(proxy) = target.cast_exact::<Proxy>() {
        return call::send(proxy, &Last::Call { args, kwargs }, want, expect).map(Some);
    }
    if !target.is_callable() {
        return Err(neither_proxy_nor_function(target).into());
    }
    if let Some(peer) = runner_of(target)? {
        return send_to_runner(&peer, args, kwargs, want, expect);
    }
    let first = first_among(target, args, kwargs)?;
    if let Ok(proxy) = first.cast_exact::<Proxy>() {
        connecting::revive(py, path::root(proxy.get()))?;
    }
    let peer = peer_of(&first).expect("what is first among the arguments has a host");
    let options = first.cast_exact::<Proxy>().map(|proxy| proxy.get().options.clone()).unwrap_or_default();
    let want = if want == Want::Auto { options.want } else { want };
    let sent = call::send_to_host(py, &peer, "run", (Some(target), args, kwargs), want, expect, options.timeout)?;
    if let Some(sent) = sent.as_ref().filter(|_| options.interrupt) {
        sent.pending.break_off();
    }
    Ok(sent)
}

/// The host whose method `run` this is.
fn runner_of(target: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Peer>>> {
    let py = target.py();
    let Some(owner) = target.getattr_opt(intern!(py, "__self__"))? else { return Ok(None) };
    let Ok(host) = owner.cast::<HostCore>() else { return Ok(None) };
    let run = py.import(intern!(py, "elsewhere._host"))?.getattr("Host")?.getattr("run")?;
    let is_run = target.getattr_opt(intern!(py, "__func__"))?.is_some_and(|function| function.is(&run));
    if is_run { host.get().peer().map(Some) } else { Ok(None) }
}

/// Runs the first argument in a host, with the others.
fn send_to_runner<'py>(
    peer: &Arc<Peer>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    want: Want,
    expect: Expect,
) -> Result<Option<Sent>, Unsent> {
    let Ok(function) = args.get_item(0) else {
        return Err(PyTypeError::new_err("Host.run() needs the function that is to be run").into());
    };
    if !function.is_callable() {
        let text = format!("expected a class or a function, not {}", function.repr()?);
        return Err(PyTypeError::new_err(text).into());
    }
    let others = args.get_slice(1, args.len());
    call::send_to_host(args.py(), peer, "run", (Some(&function), &others, kwargs), want, expect, None)
}

/// The first proxy or stream among the arguments of a plain function: in its host the function runs, with its options.
fn first_among<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let named = kwargs.into_iter().flat_map(|kwargs| kwargs.iter().map(|(_, value)| value));
    if let Some(first) = args.iter().chain(named).find(|value| peer_of(value).is_some()) {
        return Ok(first);
    }
    let name = function.repr()?;
    let owner = function.getattr_opt(intern!(function.py(), "__self__"))?;
    let why = if owner.is_some_and(|owner| owner.is_instance_of::<HostCore>()) {
        "waits for its answer: of the methods of a host only `run` can go without waiting"
    } else {
        "is a plain function and none of its arguments is a proxy, so there is no host to run it in"
    };
    Err(PyTypeError::new_err(format!("{name} {why}")))
}

fn peer_of(value: &Bound<'_, PyAny>) -> Option<Arc<Peer>> {
    if let Ok(proxy) = value.cast_exact::<Proxy>() {
        return Some(Arc::clone(&path::root(proxy.get()).peer));
    }
    streams::import_of(value).map(|import| Arc::clone(&import.peer))
}

/// By reference, never copied.
///
/// For an object, a mark that it is to travel so; for a path, a proxy of the object that is there now.
#[pyfunction]
#[pyo3(name = "ref", signature = (x, /))]
pub(crate) fn r#ref<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    match x.cast_exact::<Proxy>() {
        Ok(proxy) if matches!(proxy.get().place, Place::Root(_)) => Ok(x.clone()),
        Ok(proxy) => call::pin(proxy),
        Err(_) if x.is_exact_instance_of::<Ref>() || streams::import_of(x).is_some() => Ok(x.clone()),
        Err(_) => Ok(Bound::new(py, Ref { object: x.clone().unbind() })?.into_any()),
    }
}

/// Whether `x` is a proxy: an object elsewhere, or a path that starts at one.
#[pyfunction]
#[pyo3(signature = (x, /))]
pub(crate) fn is_proxy(x: &Bound<'_, PyAny>) -> bool {
    x.is_exact_instance_of::<Proxy>()
}

/// The Host that an object lives in: always the same object for the same host.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn host_of<'py>(proxy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = proxy.py();
    let peer = peer_of(proxy).ok_or_else(|| expected_proxy(proxy))?;
    host::object_of(py, &peer)
}

fn expected_proxy(x: &Bound<'_, PyAny>) -> PyErr {
    match x.get_type().fully_qualified_name() {
        Ok(kind) => PyTypeError::new_err(format!("expected a proxy, not an object of type {kind}")),
        Err(error) => error,
    }
}

/// Let go now. Twice is fine.
///
/// A host that was made for this object drains and ends, within `timeout` seconds; of any other only this reference is
/// given up. TypeError for a path.
#[pyfunction]
#[pyo3(signature = (proxy, /, *, timeout=5.0))]
pub(crate) fn close(proxy: &Bound<'_, PyAny>, timeout: f64) -> PyResult<()> {
    let py = proxy.py();
    deadline::checked(timeout)?;
    if let Ok(ahead) = proxy.cast_exact::<ReadAhead>() {
        return ahead.call_method0("close").map(drop);
    }
    if let Some(inner) = streams::proxy_of(proxy) {
        return close(inner.as_any(), timeout);
    }
    let Ok(inner) = proxy.cast_exact::<Proxy>() else { return Err(expected_proxy(proxy)) };
    let import = closable(inner)?;
    let peer = &import.peer;
    if peer.is_only_for(import.object) {
        return host::close_peer(py, peer, deadline::duration(timeout));
    }
    import.latest().give_back();
    import.give_back(); // of one that stands for it, nothing is left to give back
    Ok(())
}

/// What a proxy that names an object itself holds of it.
fn closable<'a>(proxy: &'a Bound<'_, Proxy>) -> PyResult<&'a Arc<Import>> {
    match &proxy.get().place {
        Place::Root(import) => Ok(import),
        Place::Path { .. } => {
            Err(PyTypeError::new_err("a path cannot be closed: close the proxy it starts at, or use ref() to pin it"))
        }
    }
}

/// Raise a TypeError for what `close` would raise it for.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn _check_closable(proxy: &Bound<'_, Proxy>) -> PyResult<()> {
    closable(proxy).map(drop)
}

/// A path through any name, also one that begins with an underscore.
#[pyfunction]
#[pyo3(signature = (proxy, name, /))]
pub(crate) fn attribute<'py>(proxy: &Bound<'py, Proxy>, name: Bound<'py, PyString>) -> PyResult<Bound<'py, Proxy>> {
    Proxy::after(proxy, Step::Attribute(name.unbind()))
}

/// The same object or path, with other options for each call through it: `timeout`, `result`.
#[pyfunction]
#[pyo3(signature = (proxy, /, **options))]
pub(crate) fn with_options<'py>(
    proxy: &Bound<'py, Proxy>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Proxy>> {
    let mut changed = proxy.get().options.clone();
    for (name, value) in options.into_iter().flat_map(|options| options.iter()) {
        match name.extract::<String>()?.as_str() {
            "timeout" => {
                changed.timeout = value.extract::<Option<f64>>()?.map(deadline::checked).transpose()?;
            }
            "result" => changed.want = want_named(&value)?,
            "interrupt" => changed.interrupt = value.extract()?,
            other => {
                let text = format!("options() takes timeout, result and interrupt, not {other}");
                return Err(PyTypeError::new_err(text));
            }
        }
    }
    Proxy::with_options(proxy, changed)
}

fn want_named(name: &Bound<'_, PyAny>) -> PyResult<Want> {
    match name.extract::<String>().as_deref() {
        Ok("auto") => Ok(Want::Auto),
        Ok("value") => Ok(Want::Value),
        Ok("proxy") => Ok(Want::Reference),
        _ => Err(PyValueError::new_err(format!("result must be 'auto', 'value' or 'proxy', not {}", name.repr()?))),
    }
}

/// A view in which every call and `get` gives a Future at once, and setting and deleting do not wait.
///
/// What a set or delete fails with is logged and raised by the next call or `get` of the view. Reads extend the path;
/// operators are a TypeError.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn futures<'py>(proxy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Proxy>> {
    viewed(proxy, View::Futures(Arc::default()))
}

/// A view in which names, keys and calls extend the path; `get` evaluates all of it in one trip.
///
/// Each evaluation runs the whole recipe again. Of a Future: what it will give, as a target or an argument of further
/// calls, which need not wait for it here; if it fails, they fail with the same error and do not start.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn lazy<'py>(proxy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Proxy>> {
    let Ok(future) = proxy.cast_exact::<Future>() else { return viewed(proxy, View::Lazy) };
    viewed(path::of_future(future)?.as_any(), View::Lazy)
}

fn viewed<'py>(proxy: &Bound<'py, PyAny>, view: View) -> PyResult<Bound<'py, Proxy>> {
    let Ok(proxy) = proxy.cast_exact::<Proxy>() else { return Err(expected_proxy(proxy)) };
    Proxy::with_options(proxy, Options { view, ..proxy.get().options.clone() })
}
