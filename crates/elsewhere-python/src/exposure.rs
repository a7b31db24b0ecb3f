//! What a peer may reach of the objects that it holds.
//!
//! Owns: the names that nobody reaches, and those that a server lists. Must not know: calls, paths, who asks. A safety net
//! between peers that trust each other, and no boundary: see SECURITY.md.

use elsewhere_proto::{Op, Operation};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyString};

use crate::kinds;

/// Names through which any object leads to the whole interpreter. They are never reached, by no verb.
const FORBIDDEN: [&str; 19] = [
    "__base__",
    "__bases__",
    "__builtins__",
    "__class__",
    "__closure__",
    "__code__",
    "__dict__",
    "__func__",
    "__getattribute__",
    "__getstate__",
    "__globals__",
    "__init_subclass__",
    "__mro__",
    "__reduce__",
    "__reduce_ex__",
    "__self__",
    "__setstate__",
    "__subclasses__",
    "__wrapped__",
];

/// Whether a peer may reach the attribute `name` of what it holds.
///
/// # Errors
/// AttributeError where it may not.
pub(crate) fn check_name(name: &Bound<'_, PyString>) -> PyResult<()> {
    let text = name.to_str()?;
    if text.starts_with("__") && FORBIDDEN.contains(&text) {
        return Err(PyAttributeError::new_err(format!("{text} is never reached through a proxy")));
    }
    Ok(())
}

/// What is wanted of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To read it, or call what it gives.
    Read,
    /// To set or delete it.
    Change,
}

/// What may be reached of what a server serves, where that is not everything.
pub(crate) struct Exposure {
    /// The names of each class.
    lists: Py<PyDict>,
}

impl Exposure {
    pub(crate) fn new(lists: Py<PyDict>) -> Self {
        Self { lists }
    }

    /// The names of `object` that may be reached.
    fn names<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        for class in object.get_type().mro() {
            if let Some(names) = self.lists.bind(py).get_item(class)? {
                return Ok(Some(names));
            }
        }
        Ok(None)
    }

    fn lists(&self, object: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
        self.names(object)?.map_or(Ok(false), |names| names.contains(name))
    }

    /// Whether the attribute `name` of `object` may be reached, where not everything may.
    ///
    /// # Errors
    /// AttributeError where it may not.
    pub(crate) fn check_name(
        &self,
        object: &Bound<'_, PyAny>,
        name: &Bound<'_, PyString>,
        access: Access,
    ) -> PyResult<()> {
        let name = name.to_str()?;
        let (listed, change) = match access {
            Access::Read => (self.lists(object, name)?, ""),
            Access::Change => (self.lists(object, &format!("{name}="))?, " for setting"),
        };
        if listed { Ok(()) } else { Err(not_exposed(object, &format!("'{name}'{change}"))) }
    }

    /// The same for what a step does without naming it.
    ///
    /// # Errors
    /// AttributeError where it may not be done.
    pub(crate) fn check_step(&self, object: &Bound<'_, PyAny>, op: Op, is_callable: bool) -> PyResult<()> {
        let name = match op {
            Op::Call if is_callable => return Ok(()),
            Op::Call => "__call__",
            Op::Item => "__getitem__",
            Op::SetItem => "__setitem__",
            Op::DeleteItem => "__delitem__",
            _ => return Ok(()),
        };
        if self.lists(object, name)? { Ok(()) } else { Err(not_exposed(object, name)) }
    }

    /// The same for an operation.
    ///
    /// # Errors
    /// AttributeError where it may not be done.
    pub(crate) fn check_operation(&self, object: &Bound<'_, PyAny>, operation: Operation) -> PyResult<()> {
        let py = object.py();
        let kind = object.get_type();
        // All that one can do with a generator is to iterate it, and whoever holds one was given it.
        if kinds::is_stream_type(py, &kind)? || kinds::is_async_stream_type(py, &kind)? {
            return Ok(());
        }
        let name = format!("__{}__", operation.name());
        if self.lists(object, &name)? { Ok(()) } else { Err(not_exposed(object, &name)) }
    }
}

impl Exposure {
    /// Whether objects like this one are shown by a list, and so by reference: a copy would show everything. With "__copy__"
    /// in the list they are copied.
    pub(crate) fn guards(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.names(object)?.map_or(Ok(false), |names| names.contains("__copy__").map(|is_copied| !is_copied))
    }

    /// Whether a copy may be made of `object`.
    ///
    /// # Errors
    /// AttributeError where it may not.
    pub(crate) fn check_copy(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.guards(object)? { Err(not_exposed(object, "__copy__")) } else { Ok(()) }
    }

    /// Whether the items of `object` may be sent, which nobody asked it for by name.
    ///
    /// # Errors
    /// AttributeError where they may not.
    pub(crate) fn check_items(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = if object.hasattr("__iter__")? { "__iter__" } else { "__aiter__" };
        match self.names(object)? {
            Some(names) if !names.contains(name)? => Err(not_exposed(object, name)),
            _ => Ok(()),
        }
    }
}

fn not_exposed(object: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let kind = object.get_type().qualname().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    PyAttributeError::new_err(format!("the server does not expose {what} of {kind}"))
}

/// Whether `value` is a method that is bound to an object: whoever holds one by reference was given it to call it.
pub(crate) fn is_method(value: &Bound<'_, PyAny>) -> bool {
    static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    value.is_exact_instance_of::<PyCFunction>()
        || METHOD.import(value.py(), "types", "MethodType").is_ok_and(|method| value.get_type().is(method))
}
