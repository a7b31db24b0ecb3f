//! Streams that are read ahead: items pushed under credit on one side, taken in batches on the other.
//!
//! Owns: `ReadAhead`, the consumer. Must not know: the producer ([`crate::producing`]), how frames carry items.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use elsewhere_engine::{Arrival, Items, LoopSeat, Observer};
use elsewhere_proto::ChainId;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use crate::decode::Decoder;
use crate::loop_queue::LoopQueue;
use crate::peer::Lease;
use crate::sent::Sent;
use crate::{chain, errands, running};

/// How many items the producer may be ahead of the consumer.
pub(crate) const CREDIT: u32 = 256;

/// An iterator elsewhere whose items are fetched ahead. Made by `elsewhere.stream`.
#[pyclass(frozen, weakref, module = "elsewhere")]
pub(crate) struct ReadAhead {
    sent: Sent,
    _lease: Option<Arc<Lease>>,
    state: Mutex<Consumer>,
}

#[derive(Default)]
struct Consumer {
    ready: VecDeque<Py<PyAny>>,
    /// Items taken since credit was last given.
    consumed: u32,
    is_over: bool,
    /// The chain that the peer was told this side waits in; none: that of the call.
    told: Option<ChainId>,
    /// While a loop waits for news: its place in the chain.
    seat: Option<Arc<LoopSeat>>,
    /// Why the item after those that are ready could not be rebuilt.
    failure: Option<PyErr>,
}

enum News {
    Items(Items),
    End(Arrival),
    /// Another thread took the end, or closed the stream.
    Gone,
}

impl ReadAhead {
    /// The consumer of a call that was sent as a stream; grants its first credit.
    pub(crate) fn new(py: Python<'_>, sent: Sent) -> PyResult<Bound<'_, Self>> {
        let lease = sent.peer.lease();
        sent.peer.link.credit(&sent.pending, CREDIT);
        Bound::new(py, Self { sent, _lease: lease, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, Consumer> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item that is here, with credit given back for every half window.
    fn take_ready(&self) -> Option<Py<PyAny>> {
        let mut state = self.state();
        let item = state.ready.pop_front()?;
        state.consumed += 1;
        let grant = if state.consumed >= CREDIT / 2 { std::mem::take(&mut state.consumed) } else { 0 };
        drop(state);
        if grant > 0 {
            self.sent.peer.link.credit(&self.sent.pending, grant);
        }
        Some(item)
    }

    fn fill(&self, py: Python<'_>, items: &Items) {
        errands::run(py, || self.fill_here(py, items));
    }

    fn fill_here(&self, py: Python<'_>, items: &Items) {
        let peer = &self.sent.peer;
        let mut decoder = Decoder::new(py, peer, &items.body, None);
        let mut fresh = Vec::with_capacity(items.count as usize);
        let mut failure = None;
        for _ in 0..items.count {
            match decoder.value() {
                Ok(item) => fresh.push(item.unbind()),
                Err(broken) => {
                    failure = Some(self.sent.unreadable(py, broken));
                    break;
                }
            }
        }
        peer.link.decoded_items(items);
        let mut state = self.state();
        state.ready.extend(fresh);
        state.failure = failure;
    }

    /// The error of an item that could not be rebuilt, which ends the stream.
    fn take_failure(&self) -> Option<PyErr> {
        let failure = {
            let mut state = self.state();
            state.is_over |= state.failure.is_some();
            state.failure.take()?
        };
        self.sent.peer.link.cancel(&self.sent.pending, false);
        self.sent.forget();
        Some(failure)
    }

    /// Tells the peer in which chain this thread or task is going to wait: the peer itself may wait there, for this one.
    fn say_where(&self, py: Python<'_>) {
        let Some((chain, _)) = chain::current(py) else { return };
        let before = self.state().told.replace(chain);
        if before.unwrap_or(self.sent.chain) != chain {
            self.sent.peer.link.wait_for_items(&self.sent.pending, chain);
        }
    }

    fn wait_for_item(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.state().seat = None; // from here on this thread waits
        loop {
            if let Some(item) = self.take_ready() {
                return Ok(item);
            }
            if let Some(failure) = self.take_failure() {
                return Err(failure);
            }
            if self.state().is_over {
                return Err(PyStopIteration::new_err(()));
            }
            self.say_where(py);
            let news = self.sent.wait_event(py, None, |pending| {
                let is_done = pending.is_done(); // asked first: no items come after the end
                let items = pending.take_items().map(News::Items);
                items.or_else(|| is_done.then(|| pending.take().map_or(News::Gone, News::End)))
            });
            // After an interrupt the call is cancelled, so nothing more comes.
            let news = news.inspect_err(|_| self.state().is_over = true)?;
            match news {
                Some(News::Items(items)) => self.fill(py, &items),
                Some(News::End(arrival)) => return Err(self.end(py, arrival)),
                Some(News::Gone) => self.state().is_over = true,
                None => unreachable!("a wait without a limit ends with news"),
            }
        }
    }

    fn end(&self, py: Python<'_>, arrival: Arrival) -> PyErr {
        self.state().is_over = true;
        match self.sent.value(py, arrival) {
            Ok(_) => PyStopIteration::new_err(()),
            Err(error) => error,
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        if !self.state().is_over {
            self.sent.peer.link.cancel(&self.sent.pending, false);
        }
        self.sent.forget();
    }
}

#[pymethods]
impl ReadAhead {
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        running::whole(py, || self.wait_for_item(py))
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("elsewhere._awaiting")?.getattr("advance")?.call1((slf,))
    }

    /// Whether `next` gives its item or the end without waiting. Of a local host it runs the queue itself.
    fn _is_ready(&self) -> bool {
        {
            let mut state = self.state();
            state.seat = None;
            if state.is_over || !state.ready.is_empty() || self.sent.peer.far.get().is_some() {
                return true;
            }
        }
        self.sent.peer.link.drain();
        self.sent.pending.is_ready()
    }

    /// Have `key` put into `queue` when there is news; True if there is already.
    fn _observe(&self, queue: &Bound<'_, LoopQueue>, key: u64) -> bool {
        let link = &self.sent.peer.link;
        self.say_where(queue.py());
        self.state().seat = queue.get().sit(link, self.sent.chain);
        link.observe(&self.sent.pending, Observer::Loop(queue.get().inner(), key))
    }

    /// End the stream: the producer is closed there, what was read ahead is dropped.
    fn close(&self) {
        let ready = {
            let mut state = self.state();
            if std::mem::replace(&mut state.is_over, true) {
                return;
            }
            state.seat = None;
            std::mem::take(&mut state.ready)
        };
        drop(ready);
        self.sent.peer.link.cancel(&self.sent.pending, false);
        self.sent.forget();
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<stream of {} in {}, read ahead>", self.sent.subject.text(py), self.sent.peer.label)
    }
}
