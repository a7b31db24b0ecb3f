//! What turned out not to be copyable: by the class of the result and the method that gave it.
//!
//! Owns: that memory. Must not know: how results travel, who is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// The most (class, method) pairs that are remembered; beyond them each result is tried again.
const VERDICTS_MAX: usize = 4_096;

#[derive(Default)]
struct Verdicts {
    /// By the class's address; the class is held so that its address stays its own.
    classes: BTreeMap<usize, Verdict>,
    count: usize,
}

struct Verdict {
    _class: Py<PyType>,
    /// Objects without state of their own in Python: if one cannot be copied, none can, whoever gives it.
    is_for_all: bool,
    /// Containers: what one holds decides, and says nothing of the next.
    is_for_none: bool,
    methods: BTreeSet<String>,
}

fn verdicts() -> MutexGuard<'static, Verdicts> {
    static VERDICTS: Mutex<Verdicts> = Mutex::new(Verdicts { classes: BTreeMap::new(), count: 0 });
    VERDICTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a result like `value` of the method `name` could not be copied before.
pub(crate) fn is_known(value: &Bound<'_, PyAny>, name: Option<&Bound<'_, PyString>>) -> bool {
    let name = name.and_then(|name| name.to_str().ok());
    let verdicts = verdicts();
    let Some(verdict) = verdicts.classes.get(&(value.get_type().as_ptr() as usize)) else { return false };
    !verdict.is_for_none && (verdict.is_for_all || name.is_some_and(|name| verdict.methods.contains(name)))
}

/// Remembers that `value`, which the method `name` gave, cannot be copied. Returns whether that is new.
pub(crate) fn remember(value: &Bound<'_, PyAny>, name: Option<&Bound<'_, PyString>>) -> bool {
    let name = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let is_for_all = !value.hasattr("__dict__").unwrap_or(true);
    let is_for_none = value.get_type().hasattr("__len__").unwrap_or(true);
    let class = value.get_type();
    let pointer = class.as_ptr() as usize;
    let class = class.unbind();
    let mut verdicts = verdicts();
    if verdicts.count >= VERDICTS_MAX {
        drop(verdicts);
        return true;
    }
    let verdict = verdicts.classes.entry(pointer);
    let verdict =
        verdict.or_insert_with(|| Verdict { _class: class, is_for_all, is_for_none, methods: BTreeSet::new() });
    let is_new = verdict.methods.insert(name);
    verdicts.count += usize::from(is_new);
    is_new
}
