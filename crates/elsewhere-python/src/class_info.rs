//! What one side tells the other of the class of an object.
//!
//! Owns: the description of a class. Must not know: connections, how a description is written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyList, PyMappingProxy, PyType};

use crate::kinds;
use crate::proxy::Proxy;

/// What a class descriptor says of the objects of its class.
pub(crate) mod class_flag {
    /// Iterating it is all one can do with it: it arrives as a `Stream`.
    pub(crate) const STREAM: i64 = 2;
    /// An async generator.
    pub(crate) const ASYNC_STREAM: i64 = 4;
    /// A proxy: its object lives in yet another process, which may be reached without the one that offers it.
    pub(crate) const PROXY: i64 = 8;
}

/// What is told of the class of an object.
pub(crate) struct ClassInfo {
    pub(crate) module: String,
    pub(crate) qualname: String,
    pub(crate) flags: i64,
    /// Names of the coroutine functions of the class.
    pub(crate) coroutines: Vec<String>,
}

impl ClassInfo {
    /// What is to be told of `kind`.
    pub(crate) fn of(kind: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = kind.py();
        let flags = if kinds::is_stream_type(py, kind)? {
            class_flag::STREAM
        } else if kinds::is_async_stream_type(py, kind)? {
            class_flag::ASYNC_STREAM
        } else if kind.is(py.get_type::<Proxy>()) {
            class_flag::PROXY
        } else {
            0
        };
        Ok(Self {
            module: kind.module().map_or_else(|_| String::new(), |name| name.to_string()),
            qualname: kind.qualname().map_or_else(|_| String::new(), |name| name.to_string()),
            flags,
            coroutines: coroutine_names(kind)?,
        })
    }
}

/// What was found out before a fork for the host that the fork makes: there every page that is touched is copied first.
static PREPARED: Mutex<Vec<Prepared>> = Mutex::new(Vec::new());

struct Prepared {
    kind: Py<PyType>,
    info: Arc<ClassInfo>,
}

fn prepared_ones() -> MutexGuard<'static, Vec<Prepared>> {
    PREPARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds out now what is to be told of the classes of `objects`, for [`prepared`].
pub(crate) fn prepare(objects: &Bound<'_, PyList>) -> PyResult<()> {
    let mut found: Vec<Prepared> = Vec::with_capacity(objects.len());
    for object in objects {
        let kind = object.get_type();
        if found.iter().all(|prepared| !kind.is(&prepared.kind)) {
            found.push(Prepared { info: Arc::new(ClassInfo::of(&kind)?), kind: kind.unbind() });
        }
    }
    let before = std::mem::replace(&mut *prepared_ones(), found);
    drop(before); // outside of the lock: the last of a class runs code
    Ok(())
}

/// Forgets what was prepared.
pub(crate) fn forget_prepared() {
    let prepared = std::mem::take(&mut *prepared_ones());
    drop(prepared);
}

/// What was found out of `kind` before this process was forked.
pub(crate) fn prepared(kind: &Bound<'_, PyType>) -> Option<Arc<ClassInfo>> {
    let prepared = prepared_ones();
    prepared.iter().find(|prepared| kind.is(&prepared.kind)).map(|prepared| Arc::clone(&prepared.info))
}

/// CO_COROUTINE of CPython's code flags.
const CO_COROUTINE: u32 = 0x80;

/// The names of the `async def` methods of a class, static and class methods too. A name belongs to the first class
/// of its method resolution order that has it.
fn coroutine_names(kind: &Bound<'_, PyType>) -> PyResult<Vec<String>> {
    let py = kind.py();
    let mut names = Vec::new();
    let mut before: Vec<Bound<'_, PyMappingProxy>> = Vec::new();
    for class in kind.mro() {
        if class.getattr(intern!(py, "__module__")).is_ok_and(|module| module.eq("builtins").unwrap_or(false)) {
            continue;
        }
        let members = class.getattr(intern!(py, "__dict__"))?.cast_into::<PyMappingProxy>()?;
        for item in members.call_method0(intern!(py, "items"))?.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            if !is_coroutine_function(&value) {
                continue;
            }
            let is_overridden = before.iter().any(|members| members.contains(&name).unwrap_or(false));
            if let (false, Ok(name)) = (is_overridden, name.extract()) {
                names.push(name);
            }
        }
        before.push(members);
    }
    Ok(names)
}

/// Whether `value` is an `async def` function, or a method around one, bound, static or of a class.
pub(crate) fn is_coroutine_function(value: &Bound<'_, PyAny>) -> bool {
    let py = value.py();
    if kinds::is_immutable_value(value) {
        return false; // as a class has many: each name that is looked for in vain makes an exception
    }
    let is_plain = value.is_exact_instance_of::<PyFunction>();
    let wrapped = if is_plain { None } else { value.getattr(intern!(py, "__func__")).ok() };
    let code = wrapped.as_ref().unwrap_or(value).getattr(intern!(py, "__code__"));
    let flags = code.and_then(|code| code.getattr(intern!(py, "co_flags"))).and_then(|flags| flags.extract::<u32>());
    flags.is_ok_and(|flags| flags & CO_COROUTINE != 0)
}
