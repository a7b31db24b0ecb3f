//! How work that lets go of the interpreter for long sees to signals, and to whether the call that it is part of is given up.
//!
//! Owns: how often it looks, and what was raised. Must not know: what the work is.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::running;

/// A copy looks so often: to look may mean to wait for the interpreter, which others use.
const PAUSE: Duration = Duration::from_millis(40);

/// What looks, and what it met.
#[derive(Debug)]
pub(crate) struct Looks {
    last: Option<Instant>,
    met: Option<PyErr>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { last: None, met: None }
    }

    /// Looks, between two waits; whether to go on.
    pub(crate) fn wait_goes_on(&mut self) -> bool {
        self.look(|py| py.check_signals().and_then(|()| running::check(py)))
    }

    /// Looks for signals, unless it has just done so or the copy has just begun; whether to go on. A call that is given up is
    /// none of its business: a copy may be of the answer to one, inside of which another runs.
    pub(crate) fn copy_goes_on(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(*self.last.get_or_insert(now)) < PAUSE {
            return true;
        }
        let goes_on = self.look(|py| py.check_signals());
        self.last = Some(Instant::now());
        goes_on
    }

    /// What ended the work, if anything did.
    pub(crate) fn met(self) -> Option<PyErr> {
        self.met
    }

    fn look(&mut self, check: impl FnOnce(Python<'_>) -> PyResult<()>) -> bool {
        self.met = Python::attach(check).err();
        self.met.is_none()
    }
}
