//! Names that peers write, as Python strings.
//!
//! Owns: a cache of the last ones. Must not know: what they name.
//! A name that is the same object as the last time has its hash, and finds what Python's own caches know under it: a
//! method is looked up in a third of the time. The cache is small and is not asked for long names, so a peer that never
//! writes the same name twice costs a slot.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;

const SLOTS: usize = 256;
/// Python's own cache of methods takes no longer names.
const LONGEST: usize = 100;

type Slot = Option<(Box<str>, Py<PyString>)>;

static CACHE: Mutex<[Slot; SLOTS]> = Mutex::new([const { None }; SLOTS]);

/// The string of `name`.
pub(crate) fn string<'py>(py: Python<'py>, name: &str) -> Bound<'py, PyString> {
    if name.len() > LONGEST {
        return PyString::new(py, name);
    }
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = &mut cache[slot_of(name)];
    match slot {
        Some((known, string)) if **known == *name => string.bind(py).clone(),
        _ => {
            let string = PyString::new(py, name);
            *slot = Some((name.into(), string.clone().unbind()));
            string
        }
    }
}

/// FNV-1a, folded to a byte.
fn slot_of(name: &str) -> usize {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) as usize % SLOTS
}
