//! What one side tells the other of the class of an object.
//!
//! Owns: the description of a class. Must not know: connections, how a description is written.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

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
        let flags = if crate::kinds::is_stream_type(py, kind)? {
            class_flag::STREAM
        } else if crate::kinds::is_async_stream_type(py, kind)? {
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

/// CO_COROUTINE of CPython's code flags.
const CO_COROUTINE: u32 = 0x80;

/// The names of the `async def` methods of a class, static and class methods too. A name belongs to the first class
/// of its method resolution order that has it.
fn coroutine_names(kind: &Bound<'_, PyType>) -> PyResult<Vec<String>> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    for class in kind.getattr("__mro__")?.cast_into::<PyTuple>()? {
        if class.getattr("__module__").is_ok_and(|module| module.eq("builtins").unwrap_or(false)) {
            continue;
        }
        for item in class.getattr("__dict__")?.call_method0("items")?.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            let Ok(name) = name.extract::<String>() else { continue };
            let is_first = seen.insert(name.clone());
            if is_first && is_coroutine_function(&value) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Whether `value` is an `async def` function, or a method around one, bound, static or of a class.
pub(crate) fn is_coroutine_function(value: &Bound<'_, PyAny>) -> bool {
    let function = value.getattr("__func__").unwrap_or_else(|_| value.clone());
    let flags =
        function.getattr("__code__").and_then(|code| code.getattr("co_flags")).and_then(|flags| flags.extract::<u32>());
    flags.is_ok_and(|flags| flags & CO_COROUTINE != 0)
}
