//! Classes of `__main__` and of functions, which travel by value with their instances.
//!
//! Owns: definitions that are used again as long as nothing that they were made of has changed, and on the other side the
//! classes that were read from them. Must not know: how a definition is made and read (`elsewhere._pickle` does), the codec.
//! Making one takes cloudpickle 200 µs and reading it as long; looking that all is as it was takes one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType, PyWeakrefReference};

/// How many definitions are kept, each way. A program that uses more makes or reads some again.
const KEPT: usize = 64;

/// A class whose definition has changed so often is made anew each time, without asking what has changed.
const CHANGES_MAX: u32 = 8;

/// The definition of a class of ours.
pub(crate) struct Definition {
    name: String,
    bytes: Py<PyBytes>,
    /// What it was made of.
    parts: Vec<Part>,
}

/// One thing that a definition was made of.
enum Part {
    /// What stands under a name in a namespace; None for a name that was not there.
    Name { namespace: Py<PyAny>, name: Py<PyAny>, value: Option<Py<PyAny>> },
    /// How many names a namespace has.
    Size { namespace: Py<PyAny>, size: usize },
    /// An attribute of a function or a variable of one.
    Attribute { object: Py<PyAny>, name: Py<PyString>, value: Py<PyAny> },
}

impl Definition {
    /// What is the same for all definitions of the class.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The definition itself.
    pub(crate) fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        self.bytes.bind(py).as_bytes()
    }

    fn is_true(&self, py: Python<'_>) -> bool {
        self.parts.iter().all(|part| part.is_as_it_was(py).unwrap_or(false))
    }
}

impl Part {
    fn is_as_it_was(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Size { namespace, size } => Ok(namespace.bind(py).len()? == *size),
            Self::Attribute { object, name, value } => Ok(object.bind(py).getattr(name)?.is(value)),
            Self::Name { namespace, name, value: Some(value) } => Ok(namespace.bind(py).get_item(name)?.is(value)),
            Self::Name { namespace, name, value: None } => Ok(!namespace.bind(py).contains(name)?),
        }
    }

    /// From what `elsewhere._definitions.parts_of` gives.
    fn new(part: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let (kind, holder, name, values) = part.extract::<(String, Py<PyAny>, Py<PyAny>, Vec<Py<PyAny>>)>()?;
        let value = values.into_iter().next();
        Ok(match (kind.as_str(), value) {
            ("size", _) => Self::Size { namespace: holder, size: name.extract(part.py())? },
            ("attribute", Some(value)) => Self::Attribute { object: holder, name: name.extract(part.py())?, value },
            (_, value) => Self::Name { namespace: holder, name, value },
        })
    }
}

/// What is known about a class.
struct Known {
    kind: Py<PyWeakrefReference>,
    /// None for one whose definition holds what may change without a trace, such as a list.
    definition: Option<Arc<Definition>>,
    changes: u32,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The definition of `kind` as of now. None where it has to be made anew each time.
///
/// # Errors
/// What making it raises that is not about the class.
pub(crate) fn of(kind: &Bound<'_, PyType>) -> PyResult<Option<Arc<Definition>>> {
    let py = kind.py();
    let (before, changes) = remembered(kind);
    match before {
        Some(None) => return Ok(None),
        Some(Some(definition)) if definition.is_true(py) => return Ok(Some(definition)),
        _ if changes > CHANGES_MAX => return Ok(None),
        _ => {}
    }
    let made = py.import("elsewhere._pickle")?.getattr("definition_of")?.call1((kind,))?;
    let made = made.extract::<Option<(String, Py<PyBytes>, Vec<Bound<'_, PyTuple>>)>>()?;
    let definition = match made {
        None => None,
        Some((name, bytes, parts)) => {
            let parts = parts.iter().map(Part::new).collect::<PyResult<_>>()?;
            Some(Arc::new(Definition { name, bytes, parts }))
        }
    };
    let reference = PyWeakrefReference::new(kind.as_any())?.unbind();
    let now = Known { kind: reference, definition: definition.clone(), changes: changes + 1 };
    remember(kind, now);
    Ok(definition)
}

/// What was last found out about `kind`, and how often.
fn remembered(kind: &Bound<'_, PyType>) -> (Option<Option<Arc<Definition>>>, u32) {
    let known = lock(&KNOWN);
    match known.iter().find(|known| known.is_of(kind)) {
        Some(known) => (Some(known.definition.clone()), known.changes),
        None => (None, 0),
    }
}

impl Known {
    fn is_of(&self, kind: &Bound<'_, PyType>) -> bool {
        self.kind.bind(kind.py()).upgrade().is_some_and(|known| known.is(kind))
    }
}

fn remember(kind: &Bound<'_, PyType>, now: Known) {
    let gone: Vec<Known> = {
        let mut known = lock(&KNOWN);
        let py = kind.py();
        let mut gone: Vec<_> =
            known.extract_if(.., |known| known.is_of(kind) || known.kind.bind(py).upgrade().is_none()).collect();
        if known.len() >= KEPT {
            gone.push(known.remove(0));
        }
        known.push(now);
        gone
    };
    drop(gone); // after the lock: what Python frees may run code
}

/// The classes that were read from definitions of one peer.
#[derive(Default)]
pub(crate) struct Definitions(Mutex<Vec<Read>>);

struct Read {
    name: String,
    definition: Box<[u8]>,
    kind: Py<PyType>,
}

impl Definitions {
    /// The class that was read from the very same definition.
    pub(crate) fn known<'py>(&self, py: Python<'py>, name: &str, definition: &[u8]) -> Option<Bound<'py, PyType>> {
        let read = lock(&self.0);
        let found = read.iter().find(|read| read.name == name && *read.definition == *definition)?;
        Some(found.kind.bind(py).clone())
    }

    /// Reads a definition.
    ///
    /// # Errors
    /// What its code raises; TypeError where it defines no class.
    pub(crate) fn read<'py>(&self, py: Python<'py>, name: &str, definition: &[u8]) -> PyResult<Bound<'py, PyType>> {
        let kind = py.import("elsewhere._pickle")?.getattr("loads")?.call1((PyBytes::new(py, definition),))?;
        let kind = kind.cast_into::<PyType>()?;
        let now = Read { name: name.to_owned(), definition: definition.into(), kind: kind.clone().unbind() };
        let gone: Vec<Read> = {
            let mut read = lock(&self.0);
            let mut gone: Vec<_> = read.extract_if(.., |read| read.name == name).collect();
            if read.len() >= KEPT {
                gone.push(read.remove(0));
            }
            read.push(now);
            gone
        };
        drop(gone); // after the lock: what Python frees may run code
        Ok(kind)
    }
}
