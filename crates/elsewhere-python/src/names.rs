//! Names that peers write, as Python strings.
//!
//! Owns: a cache of the last ones. Must not know: what they name.
//! A name that is the same object as the last time has its hash, and finds what Python's own caches know under it: a
//! method is looked up in a third of the time. The cache is small and is not asked for long names, so a peer that never
//! writes the same name twice costs a slot.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::guarded::Guarded;

const SLOTS: usize = 256;
/// Python's own cache of methods takes no longer names.
const LONGEST: usize = 100;
/// Text that is longer is most often no name.
const LIKELY: usize = 24;

type Slot = Option<(Box<str>, Py<PyString>)>;

static CACHE: Guarded<[Slot; SLOTS]> = Guarded::new([const { None }; SLOTS]);

/// The string of `name`.
pub(crate) fn string<'py>(py: Python<'py>, name: &str) -> Bound<'py, PyString> {
    if name.len() > LONGEST {
        return PyString::new(py, name);
    }
    let slot = slot_of(name);
    let known = CACHE.with(py, |cache| {
        let (known, string) = cache[slot].as_ref()?;
        (**known == *name).then(|| string.clone_ref(py))
    });
    if let Some(string) = known {
        return string.into_bound(py);
    }
    let string = PyString::new(py, name);
    let now = Some((name.into(), string.clone().unbind()));
    let before = CACHE.with(py, |cache| std::mem::replace(&mut cache[slot], now));
    drop(before);
    string
}

/// Whether a first argument may be a name, as where a function calls a method by its name. Others would only take the
/// places of names.
pub(crate) fn is_likely(text: &str) -> bool {
    text.len() <= LIKELY && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// By its length, its beginning and its end: to look at each byte would take longer than all the rest.
fn slot_of(name: &str) -> usize {
    let bytes = name.as_bytes();
    let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (word(bytes), 0),
    };
    // The multiplier is 2^64 by the golden ratio: Knuth, The Art of Computer Programming 3, 6.4.
    let mixed = (first ^ last.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize % SLOTS
}
