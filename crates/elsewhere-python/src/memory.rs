//! Whether the hosts of this process are reached through shared memory.
//!
//! Owns: the wish, and telling once why it is not fulfilled. Must not know: how memory is shared.

use std::sync::atomic::{AtomicBool, Ordering};

use elsewhere_engine::Link;
use elsewhere_proto::Capabilities;
use pyo3::prelude::*;

static IS_WANTED: AtomicBool = AtomicBool::new(true);
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Whether hosts that are started now are to be reached through shared memory.
pub(crate) fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::Relaxed) // Relaxed: a wish that stands for itself
}

/// Say whether hosts that are started from now on are reached through shared memory, where there is such.
///
/// For measurements and tests of what happens where there is none.
#[pyfunction]
#[pyo3(signature = (is_wanted, /))]
pub(crate) fn share_memory(is_wanted: bool) {
    IS_WANTED.store(is_wanted, Ordering::Relaxed); // Relaxed: see `is_wanted`
}

/// Writes into the log, once for the process, why a host that just said hello is reached over a socket instead.
pub(crate) fn tell(py: Python<'_>, link: &Link) -> PyResult<()> {
    let Some(problem) = link.memory_problem() else { return Ok(()) };
    if link.peer().is_some_and(|hello| !hello.capabilities.has(Capabilities::BUFFERS)) {
        return Ok(()); // it never wants any
    }
    // Relaxed: one of two threads writes it, whichever.
    if IS_TOLD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let logger = py.import("logging")?.getattr("getLogger")?.call1(("elsewhere",))?;
    let text = "hosts are reached over sockets, not through shared memory, which is several times slower: %s";
    logger.call_method1("warning", (text, problem)).map(drop)
}
