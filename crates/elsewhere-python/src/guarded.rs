//! State that whoever holds the interpreter may touch.
//!
//! Owns: the argument that this is safe. Must not know: what the state is.
//! A mutex would cost two atomic operations a time, on the way of each call, to keep out threads that the interpreter keeps
//! out already.

use std::cell::RefCell;

use pyo3::prelude::*;

/// A value that is reached with the interpreter alone.
#[derive(Default)]
pub(crate) struct Guarded<T>(RefCell<T>);

// SAFETY: the value is reached with a `Python` alone, and one thread at a time has one: this extension is built for the
// stable ABI, which no interpreter without a lock of its own loads, and `lifecycle` refuses all interpreters of a process
// but the main one. A thread that hands the interpreter on in the midst of a closure leaves the cell borrowed, so that
// another finds that and panics. `T: Send`, since threads take turns.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Lends the value to `body`, which runs no code of Python's and drops no object: both might come back here.
    pub(crate) fn with<R>(&self, _: Python<'_>, body: impl FnOnce(&mut T) -> R) -> R {
        body(&mut self.0.borrow_mut())
    }
}
