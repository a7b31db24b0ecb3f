//! What a value is to the call that found it.
//!
//! Owns: whether it is the very object that the call was made on. Must not know: how it was found, how it is answered.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyModule, PyString, PyType};

/// What a call was made on, to see whether its result is that very object.
pub(crate) struct Origin {
    /// The object that the proxy names, where it names one that is no object number 0.
    pub(crate) start: Option<Py<PyAny>>,
    pub(crate) is_rooted: bool,
    pub(crate) receiver: Option<Py<PyAny>>,
    pub(crate) is_in_place: bool,
    pub(crate) name: Option<Py<PyString>>,
    /// Whether the result was declared to go by reference.
    pub(crate) is_declared: bool,
}

/// A value, and what is known of how it was found.
pub(crate) struct Found<'py> {
    pub(crate) value: Bound<'py, PyAny>,
    pub(crate) receiver: Receiver,
    pub(crate) source: Source,
    /// The last name on the path.
    pub(crate) name: Option<Bound<'py, PyString>>,
    /// Whether it was declared to go by reference.
    pub(crate) is_declared: bool,
}

/// Whether a value is the object that the call was made on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// It is another object.
    No,
    /// It is the object that the proxy names.
    Root,
    /// It is the object at the path that the last attribute was looked up on.
    Place,
    /// It is a method of one of these.
    Method,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The path itself.
    Path,
    /// A coroutine that the path gave, and that has run to its end.
    Coroutine,
}

impl Origin {
    /// What `value` is to the call.
    pub(crate) fn found<'py>(&self, value: Bound<'py, PyAny>, source: Source) -> Found<'py> {
        let py = value.py();
        let is = |object: &Option<Py<PyAny>>| object.as_ref().is_some_and(|object| object.bind(py).is(&value));
        let is_operand = self.is_in_place && is(&self.receiver);
        let receiver = if self.is_rooted && (is(&self.start) || is_operand) {
            Receiver::Root
        } else if is(&self.receiver) {
            Receiver::Place
        } else if self.is_method(&value) {
            Receiver::Method
        } else {
            Receiver::No
        };
        let name = self.name.as_ref().map(|name| name.bind(py).clone());
        Found { value, receiver, source, name, is_declared: self.is_declared }
    }

    /// The same for a call that is over.
    pub(crate) fn into_found<'py>(self, value: Bound<'py, PyAny>, source: Source) -> Found<'py> {
        let py = value.py();
        let found = self.found(value, source);
        for object in [self.start, self.receiver].into_iter().flatten() {
            object.drop_ref(py); // which knows that the interpreter is here
        }
        if let Some(name) = self.name {
            name.drop_ref(py);
        }
        found
    }

    /// Whether `value` is a method that is bound to what the call was made on: a copy would act on a copy of that. Functions
    /// of modules and methods of classes are the same everywhere.
    fn is_method(&self, value: &Bound<'_, PyAny>) -> bool {
        static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        let is_bound = value.is_exact_instance_of::<PyCFunction>()
            || METHOD.import(py, "types", "MethodType").is_ok_and(|method| value.get_type().is(method));
        if !is_bound {
            return false;
        }
        let Ok(object) = value.getattr("__self__") else { return false };
        let is = |known: &Option<Py<PyAny>>| known.as_ref().is_some_and(|known| known.bind(py).is(&object));
        !object.is_instance_of::<PyModule>()
            && !object.is_instance_of::<PyType>()
            && (is(&self.receiver) || (self.is_rooted && is(&self.start)))
    }
}
