//! `Proxy`: what stands here for an object elsewhere.
//!
//! Owns: the Python slots, each of which hands its operation to [`crate::call`]. Must not know: frames, waiting.
//! A proxy has no public method of its own. Names that begin with an underscore belong to the proxy, all others to the
//! object; looking one up builds a path and costs no I/O.

use std::sync::Arc;

use elsewhere_engine::{Arrival, Expect};
use elsewhere_proto::{Operation, Want};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::call::{self, Last};
use crate::future::Future;
use crate::known;
use crate::origin::Source;
use crate::path::{self, Place, Step};
use crate::peer::Import;
use crate::sent::Sent;
use crate::stream::Stream;
use crate::view::{Options, View};
use crate::{deadline, errors, leaving, pickling, running};

/// An object in a host, or a path that starts at one.
///
/// Every public name on a proxy belongs to the object. Operators, item access, `len`, `in`, `str`, comparisons and
/// `with` run there. `repr` never does I/O. What the library does with a proxy are functions: `elsewhere.get(p.age)`.
#[pyclass(frozen, mapping, weakref, module = "elsewhere")]
pub(crate) struct Proxy {
    pub(crate) place: Place,
    pub(crate) options: Options,
}

impl Proxy {
    /// The proxy of an object itself.
    pub(crate) fn root(import: Arc<Import>) -> Self {
        Self { place: Place::Root(import), options: Options::default() }
    }

    /// A proxy one step on.
    pub(crate) fn after<'py>(parent: &Bound<'py, Self>, step: Step) -> PyResult<Bound<'py, Self>> {
        let place = Place::after(parent, step)?;
        Bound::new(parent.py(), Self { place, options: parent.get().options.clone() })
    }

    /// The same place with other options.
    pub(crate) fn with_options<'py>(proxy: &Bound<'py, Self>, options: Options) -> PyResult<Bound<'py, Self>> {
        let py = proxy.py();
        let place = match &proxy.get().place {
            Place::Root(import) => Place::Root(Arc::clone(import)),
            Place::Path { parent, step, length } => {
                Place::Path { parent: parent.clone_ref(py), step: step.clone_ref(py), length: *length }
            }
        };
        Bound::new(py, Self { place, options })
    }

    /// Whether a call of this place makes a coroutine there, which is known for methods of the root alone.
    fn is_coroutine_function(&self, py: Python<'_>) -> bool {
        let Place::Path { parent, step: Step::Attribute(name), length: 1 } = &self.place else { return false };
        let names = &path::root(parent.get()).class.coroutines;
        !names.is_empty() && name.bind(py).to_str().is_ok_and(|name| names.iter().any(|known| known == name))
    }
}

pub(crate) fn operate<'py>(
    proxy: &Bound<'py, Proxy>,
    operation: Operation,
    operands: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    proxy.get().options.view.ensure_waits()?;
    call::invoke(proxy, &Last::Operate { operation, operands }, Want::Auto)
}

/// The value that a call gives: of a coroutine, its future.
fn answer_of_call(py: Python<'_>, sent: Sent, arrival: Arrival) -> PyResult<Bound<'_, PyAny>> {
    match arrival {
        Arrival::Reply(body) => {
            let (value, source) = sent.decode(py, body)?;
            Ok(if source == Source::Coroutine { Future::finished(sent, &value)?.into_any() } else { value })
        }
        Arrival::Error(body) => {
            let (error, source) = sent.error(py, &body);
            if source == Source::Coroutine { Ok(Future::failed(py, sent, error)?.into_any()) } else { Err(error) }
        }
        other => sent.value(py, other),
    }
}

/// Sets or deletes: a futures view does not wait for it.
fn change<'py>(proxy: &Bound<'py, Proxy>, last: &Last<'_, 'py>) -> PyResult<()> {
    match &proxy.get().options.view {
        View::Futures(failures) => failures.watch(&Future::send(proxy, last)?),
        View::Plain | View::Lazy => call::invoke(proxy, last, Want::Auto).map(drop),
    }
}

fn private_name_refused(name: &str, action: &str, verb: &str) -> PyErr {
    PyAttributeError::new_err(format!(
        "names that begin with an underscore belong to the proxy, so '{name}' cannot be {action}; use {verb}"
    ))
}

/// `object.__getattribute__`, for the names that belong to the proxy itself. The class has no `__signature__`: there it
/// would be taken for that of the class.
fn own_attribute<'py>(proxy: &Bound<'py, Proxy>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    static LOOKUP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = proxy.py();
    if name.to_str()? == "__signature__" {
        return known::signature(proxy);
    }
    let lookup =
        LOOKUP.get_or_try_init(py, || py.get_type::<PyAny>().getattr("__getattribute__").map(Bound::unbind))?;
    lookup.bind(py).call1((proxy, name))
}

#[pymethods]
impl Proxy {
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        if name.to_str()?.starts_with('_') {
            return own_attribute(slf, name);
        }
        Ok(Self::after(slf, Step::Attribute(name.clone().unbind()))?.into_any())
    }

    /// What Python asks for after an AttributeError of `__getattribute__`: only the error's text comes from here.
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        Err(PyAttributeError::new_err(format!(
            "'{name}' begins with an underscore, so it is not looked up elsewhere; attribute(proxy, '{name}') does that"
        )))
    }

    fn __setattr__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyString>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let text = name.to_str()?;
        if text.starts_with('_') {
            return Err(private_name_refused(text, "set", "submit(setattr, proxy, name, value)"));
        }
        change(slf, &Last::SetAttribute { name, value })
    }

    fn __delattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<()> {
        let text = name.to_str()?;
        if text.starts_with('_') {
            return Err(private_name_refused(text, "deleted", "submit(delattr, proxy, name)"));
        }
        change(slf, &Last::DeleteAttribute { name })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let last = Last::Call { args, kwargs };
        match &slf.get().options.view {
            View::Plain if !slf.get().is_coroutine_function(py) => {}
            View::Plain => return Ok(Future::send(slf, &last)?.into_any()),
            View::Futures(failures) => {
                failures.check()?;
                return Ok(Future::send(slf, &last)?.into_any());
            }
            View::Lazy => {
                let step = Step::Call { args: args.clone().unbind(), kwargs: kwargs.map(|it| it.clone().unbind()) };
                return Ok(Self::after(slf, step)?.into_any());
            }
        }
        let (sent, seat) = call::ask(slf, &last, Want::Auto)?;
        running::whole(py, || {
            let arrival = sent.wait_arrival(py, seat)?;
            answer_of_call(py, sent, arrival).map_err(|error| errors::in_context(py, error, true))
        })
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        Self::after(slf, Step::Item(key.unbind()))
    }

    fn __setitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        change(slf, &Last::SetItem { key, value })
    }

    fn __delitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<()> {
        change(slf, &Last::DeleteItem { key })
    }

    fn __len__(slf: &Bound<'_, Self>) -> PyResult<usize> {
        operate(slf, Operation::Len, &[])?.extract()
    }

    fn __contains__<'py>(slf: &Bound<'py, Self>, item: Bound<'py, PyAny>) -> PyResult<bool> {
        operate(slf, Operation::Contains, &[item])?.is_truthy()
    }

    fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        operate(slf, Operation::Bool, &[])?.is_truthy()
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        let last = Last::Operate { operation: Operation::Iter, operands: &[] };
        let iterator = call::invoke(slf, &last, Want::Reference)?;
        if is_same_object(slf.get(), &iterator) { Ok(slf.clone().into_any()) } else { Stream::around(&iterator) }
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        let last = Last::Operate { operation: Operation::Next, operands: &[] };
        crate::stream::step(&call::send(slf, &last, Want::Auto, Expect::Answer)?, slf.py())
    }

    /// Makes no trip: the object is asked for its iterator together with the first item, so that no loop is blocked.
    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        slf.py().import("elsewhere._async_stream")?.getattr("AsyncItems")?.call1((slf,))
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        slf.py().import("elsewhere._async_stream")?.getattr("next_item")?.call1((slf,))
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        if matches!(op, CompareOp::Eq | CompareOp::Ne) && is_same_object(slf.get(), &other) {
            return Ok(matches!(op, CompareOp::Eq).into_pyobject(slf.py())?.to_owned().into_any());
        }
        let operation = match op {
            CompareOp::Eq => Operation::Eq,
            CompareOp::Ne => Operation::Ne,
            CompareOp::Lt => Operation::Lt,
            CompareOp::Le => Operation::Le,
            CompareOp::Gt => Operation::Gt,
            CompareOp::Ge => Operation::Ge,
        };
        operate(slf, operation, &[other])
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let Place::Root(import) = &slf.get().place else {
            return Err(PyTypeError::new_err(
                "a path is a place, not a value, so it has no hash: use get() for the value or ref() for the object",
            ));
        };
        if let Some(hash) = import.hash.get() {
            return Ok(*hash);
        }
        // Also through a futures view: views hash like what they view.
        let last = Last::Operate { operation: Operation::Hash, operands: &[] };
        let hash = call::invoke(slf, &last, Want::Value)?.extract()?;
        Ok(*import.hash.get_or_init(|| hash))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        known::repr(slf)
    }

    /// The card that a notebook shows: what is known here, without I/O.
    fn _repr_html_(slf: &Bound<'_, Self>) -> String {
        known::card(slf)
    }

    fn __str__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        text_or_repr(slf, operate(slf, Operation::Str, &[]))
    }

    fn __format__<'py>(slf: &Bound<'py, Self>, spec: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if spec.is_truthy()? {
            return operate(slf, Operation::Format, &[spec]);
        }
        text_or_repr(slf, operate(slf, Operation::Format, &[spec]))
    }

    /// The names of the object, and those of its class alone where it cannot be asked within half a second. It is not
    /// asked at all where its class is loaded here and says everything.
    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let known = match &slf.get().place {
            Place::Root(import) => known::names(slf.py(), &import.class)?,
            Place::Path { .. } => None,
        };
        if let Some((names, true)) = known {
            return Ok(names.into_any());
        }
        let options = Options { timeout: Some(deadline::DIR_PATIENCE), ..slf.get().options.clone() };
        let bounded = Self::with_options(slf, options)?;
        match operate(&bounded, Operation::Dir, &[]) {
            Ok(names) => Ok(names),
            Err(error) if crate::decode::is_ordinary(slf.py(), &error) => {
                Ok(known.map_or_else(|| PyList::empty(slf.py()), |(names, _)| names).into_any())
            }
            Err(error) => Err(error),
        }
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Enter, &[])
    }

    fn __exit__<'py>(
        slf: &Bound<'py, Self>,
        kind: Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        _traceback: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        leaving::exit(slf, kind, value)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Future>> {
        slf.get().options.view.ensure_waits()?;
        Future::send(slf, &Last::Operate { operation: Operation::Aenter, operands: &[] })
    }

    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        kind: Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
        _traceback: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        leaving::exit_async(slf, kind, value)
    }

    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.clone()
    }

    pub(crate) fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, _protocol: i32) -> PyResult<Bound<'py, PyAny>> {
        if !pickling::is_writing() {
            let granted = slf.py().import("elsewhere._grants")?.call_method1("reduce", (slf,))?;
            if !granted.is_none() {
                return Ok(granted);
            }
        }
        pickling::reduce_reference(
            slf.as_any(),
            "a proxy of this object cannot be pickled, since nobody else can connect to the process where it lives \
             (a local host, a host without the package, or a process that serves nothing); \
             pass it as an argument, serve() the object, or use get() for a copy of it",
        )
    }

    /// Nothing fetches an object implicitly: `get(p)` does it where you say so.
    #[classattr]
    fn __array_ufunc__() -> Option<Py<PyAny>> {
        None
    }

    #[pyo3(signature = (*_args, **_kwargs))]
    fn __array__(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err("a proxy is not an array; use get(p) to copy the object here"))
    }

    fn __int__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Int, &[])
    }
    fn __float__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Float, &[])
    }
    fn __index__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Index, &[])
    }
    fn __complex__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Complex, &[])
    }
    #[pyo3(signature = (ndigits=None, /))]
    fn __round__<'py>(slf: &Bound<'py, Self>, ndigits: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Round, ndigits.map_or(&[], std::slice::from_ref))
    }
    fn __trunc__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Trunc, &[])
    }
    fn __floor__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Floor, &[])
    }
    fn __ceil__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Ceil, &[])
    }
    fn __bytes__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Bytes, &[])
    }
    fn __length_hint__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::LengthHint, &[])
    }
    fn __reversed__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().options.view.ensure_waits()?;
        let last = Last::Operate { operation: Operation::Reversed, operands: &[] };
        Stream::around(&call::invoke(slf, &last, Want::Reference)?)
    }
    fn __neg__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Neg, &[])
    }
    fn __pos__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Pos, &[])
    }
    fn __abs__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Abs, &[])
    }
    fn __invert__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Invert, &[])
    }
    fn __add__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Add, &[other])
    }
    fn __radd__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Radd, &[other])
    }
    fn __sub__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Sub, &[other])
    }
    fn __rsub__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rsub, &[other])
    }
    fn __mul__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Mul, &[other])
    }
    fn __rmul__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rmul, &[other])
    }
    fn __matmul__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Matmul, &[other])
    }
    fn __rmatmul__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rmatmul, &[other])
    }
    fn __truediv__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Truediv, &[other])
    }
    fn __rtruediv__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rtruediv, &[other])
    }
    fn __floordiv__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Floordiv, &[other])
    }
    fn __rfloordiv__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rfloordiv, &[other])
    }
    fn __mod__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Mod, &[other])
    }
    fn __rmod__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rmod, &[other])
    }
    fn __divmod__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Divmod, &[other])
    }
    fn __rdivmod__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rdivmod, &[other])
    }
    fn __lshift__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Lshift, &[other])
    }
    fn __rlshift__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rlshift, &[other])
    }
    fn __rshift__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rshift, &[other])
    }
    fn __rrshift__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rrshift, &[other])
    }
    fn __and__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::And, &[other])
    }
    fn __rand__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rand, &[other])
    }
    fn __xor__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Xor, &[other])
    }
    fn __rxor__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rxor, &[other])
    }
    fn __or__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Or, &[other])
    }
    fn __ror__<'py>(slf: &Bound<'py, Self>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Ror, &[other])
    }
    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
        modulo: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Pow, &if modulo.is_none() { vec![other] } else { vec![other, modulo] })
    }
    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        other: Bound<'py, PyAny>,
        modulo: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        operate(slf, Operation::Rpow, &if modulo.is_none() { vec![other] } else { vec![other, modulo] })
    }
}

/// Ask the object for its asynchronous iterator, which is always a proxy or a stream; gives a Future.
#[pyfunction]
#[pyo3(signature = (proxy, /))]
pub(crate) fn _aiter<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<Bound<'py, Future>> {
    let last = Last::Operate { operation: Operation::Aiter, operands: &[] };
    Future::new(proxy.py(), call::send(proxy, &last, Want::Reference, Expect::Answer)?)
}

/// Perform an operation that is awaited there, such as "asend"; gives a Future.
#[pyfunction]
#[pyo3(signature = (proxy, name, /, *operands))]
pub(crate) fn _operate_async<'py>(
    proxy: &Bound<'py, Proxy>,
    name: &str,
    operands: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, Future>> {
    let Some(&operation) = Operation::ALL.iter().find(|operation| operation.name() == name) else {
        return Err(PyTypeError::new_err(format!("there is no operation {name}")));
    };
    let operands: Vec<_> = operands.iter().collect();
    Future::send(proxy, &Last::Operate { operation, operands: &operands })
}

/// Passes on what is to be awaited of an object that lives in another process than this one: its future. None for any other.
pub(crate) fn relay<'py>(
    object: &Bound<'py, PyAny>,
    operation: Operation,
    operands: &[Bound<'py, PyAny>],
) -> Option<PyResult<Bound<'py, PyAny>>> {
    use Operation::{Aclose, Aenter, Aexit, Aiter, Anext, Asend, Athrow};
    let proxy = object.cast_exact::<Proxy>().ok()?;
    let future = match operation {
        Aiter => _aiter(proxy),
        Aenter | Aexit | Anext | Asend | Athrow | Aclose => Future::send(proxy, &Last::Operate { operation, operands }),
        _ => return None,
    };
    Some(future.map(Bound::into_any))
}

/// Perform an in-place operation there: the proxy itself where it gave its operand, else the result.
#[pyfunction]
#[pyo3(signature = (proxy, name, value, /))]
pub(crate) fn _operate_in_place<'py>(
    proxy: &Bound<'py, Proxy>,
    name: &str,
    value: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let known = Operation::ALL.iter().find(|operation| operation.is_in_place() && operation.name() == name);
    let Some(&operation) = known else {
        return Err(PyTypeError::new_err(format!("there is no in-place operation {name}")));
    };
    let result = operate(proxy, operation, &[value])?;
    // The operand comes back as "the object the call was made on", which is read as the root of the path.
    let is_operand = result.cast_exact::<Proxy>().is_ok_and(|result| match &result.get().place {
        Place::Root(import) => Arc::ptr_eq(import.latest(), path::root(proxy.get())),
        Place::Path { .. } => false,
    });
    Ok(if is_operand { proxy.clone().into_any() } else { result })
}

/// Two proxies of one object are equal without I/O.
fn is_same_object(proxy: &Proxy, other: &Bound<'_, PyAny>) -> bool {
    let Ok(other) = other.cast_exact::<Proxy>() else { return false };
    match (&proxy.place, &other.get().place) {
        (Place::Root(here), Place::Root(there)) => Arc::ptr_eq(here.latest(), there.latest()),
        _ => false,
    }
}

/// `str()` and `format()` of a lost proxy give its repr, and so do those of a futures view, which has no operators:
/// logging either never fails.
fn text_or_repr<'py>(proxy: &Bound<'py, Proxy>, text: PyResult<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let py = proxy.py();
    match text {
        Err(error)
            if errors::is_loss(py, &error)
                || errors::is_closed(py, &error)
                || proxy.get().options.view.ensure_waits().is_err() =>
        {
            Ok(proxy.as_any().repr()?.into_any())
        }
        other => other,
    }
}
