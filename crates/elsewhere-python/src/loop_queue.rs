//! The queue that tells an event loop which of its futures are done.
//!
//! Owns: the Python face of the engine's queue. Must not know: asyncio (`elsewhere._loop` does).

use std::sync::Arc;

use pyo3::prelude::*;

/// Keys of finished calls for one event loop, and a descriptor that is readable while there are any.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct LoopQueue {
    inner: Arc<elsewhere_engine::LoopQueue>,
}

impl LoopQueue {
    pub(crate) fn inner(&self) -> Arc<elsewhere_engine::LoopQueue> {
        Arc::clone(&self.inner)
    }
}

#[pymethods]
impl LoopQueue {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { inner: elsewhere_engine::LoopQueue::new()? })
    }

    /// The descriptor to watch for reading. It is closed with this object.
    fn fileno(&self) -> i32 {
        self.inner.fd()
    }

    /// Take all keys, oldest first; the descriptor is not readable afterwards.
    fn drain(&self) -> Vec<u64> {
        self.inner.drain()
    }
}
