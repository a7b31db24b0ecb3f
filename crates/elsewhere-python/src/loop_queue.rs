//! The queue that tells an event loop which of its futures are done.
//!
//! Owns: the Python face of the engine's queue, and the chains that the loop's tasks wait in. Must not know: asyncio and
//! trio (`elsewhere._loop` and `elsewhere._trio` do).

use std::sync::{Arc, Mutex, PoisonError, Weak};

use elsewhere_engine::{Link, LoopSeat};
use elsewhere_proto::ChainId;
use pyo3::prelude::*;

use crate::{calls_in, lifecycle, running};

/// Keys of finished calls for one event loop, and a descriptor that is readable while there are any.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct LoopQueue {
    inner: Arc<elsewhere_engine::LoopQueue>,
    seats: Mutex<Vec<Weak<LoopSeat>>>,
}

impl LoopQueue {
    pub(crate) fn inner(&self) -> Arc<elsewhere_engine::LoopQueue> {
        Arc::clone(&self.inner)
    }

    /// Has the loop run the calls of a chain that one of its tasks waits in, as long as the seat is kept. Only in a host:
    /// elsewhere the service thread does that, and no callback blocks a loop.
    pub(crate) fn sit(&self, link: &Link, chain: ChainId) -> Option<Arc<LoopSeat>> {
        lifecycle::owner()?;
        let seat = Arc::new(link.sit_in_loop(chain, &self.inner));
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(&seat));
        Some(seat)
    }

    fn seated(&self) -> Vec<Arc<LoopSeat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

#[pymethods]
impl LoopQueue {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { inner: elsewhere_engine::LoopQueue::new()?, seats: Mutex::default() })
    }

    /// The descriptor to watch for reading. It is closed with this object.
    fn fileno(&self) -> i32 {
        self.inner.fd()
    }

    /// Take all keys, oldest first; the descriptor is not readable afterwards.
    fn drain(&self) -> Vec<u64> {
        self.inner.drain()
    }

    /// Run the calls that key 0 tells of: those of chains that tasks of this loop wait in.
    fn run_calls(&self, py: Python<'_>) -> PyResult<()> {
        for seat in self.seated() {
            while let Some(incoming) = seat.take_call() {
                calls_in::run(py, &incoming);
            }
        }
        running::check(py) // what was kept while they ran
    }
}
