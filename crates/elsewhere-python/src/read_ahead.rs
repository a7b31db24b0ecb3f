//! Streams that are read ahead: items pushed under credit on one side, taken in batches on the other.
//!
//! Owns: `ReadAhead` (the consumer) and the producers of this process. Must not know: how frames carry items.
//! A producer runs as work of the inbox that its call came by: one batch at a time, then it queues up again behind
//! whatever else came. Without credit it rests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, Items, Link, Observer, Work};
use elsewhere_proto::{AnswerRefused, CallId, ErrorKind, IncomingCall, LaneId, ObjectId, Outcome};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use crate::call::Sent;
use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::loop_queue::LoopQueue;
use crate::peer::{Lease, Peer};
use crate::{answer, calls_in, errands, errors};

/// How many items the producer may be ahead of the consumer.
pub(crate) const CREDIT: u32 = 256;

/// A batch ends with the item that passes this many bytes, or this much time.
const BATCH_BYTES: usize = 64 * 1024;
const BATCH_TIME: Duration = Duration::from_millis(1);

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

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("elsewhere._loop")?.getattr("advance")?.call1((slf,))
    }

    /// Whether `next` gives its item or the end without waiting. Of a local host it runs the queue itself.
    fn _is_ready(&self) -> bool {
        {
            let state = self.state();
            if state.is_over || !state.ready.is_empty() || self.sent.peer.far.get().is_some() {
                return true;
            }
        }
        self.sent.peer.link.drain();
        self.sent.pending.is_ready()
    }

    /// Have `key` put into `queue` when there is news; True if there is already.
    fn _observe(&self, queue: &Bound<'_, LoopQueue>, key: u64) -> bool {
        self.sent.peer.link.observe(&self.sent.pending, Observer::Loop(queue.get().inner(), key))
    }

    /// End the stream: the producer is closed there, what was read ahead is dropped.
    fn close(&self) {
        let ready = {
            let mut state = self.state();
            if std::mem::replace(&mut state.is_over, true) {
                return;
            }
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

/// A stream that this process produces.
struct Producer {
    peer: Arc<Peer>,
    incoming: IncomingCall,
    /// None while the call that makes it still runs.
    iterator: Option<Py<PyAny>>,
    credit: u32,
    /// Whether it waits in the inbox for its next turn, or has it.
    is_queued: bool,
}

/// A call without its body, for answering it later.
fn head_of(incoming: &IncomingCall) -> IncomingCall {
    let IncomingCall { call, lane, number, chain, head, received, .. } = *incoming;
    IncomingCall { call, lane, number, chain, head, received, body: Vec::new() }
}

type Producers = HashMap<(u64, CallId), Arc<Mutex<Producer>>>;

fn producers() -> MutexGuard<'static, Producers> {
    static PRODUCERS: OnceLock<Mutex<Producers>> = OnceLock::new();
    PRODUCERS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the producer of a call that wants a stream, before the call is run: the first credit may overtake its result.
pub(crate) fn expect(peer: &Arc<Peer>, incoming: &IncomingCall) {
    let producer =
        Producer { peer: Arc::clone(peer), incoming: head_of(incoming), iterator: None, credit: 0, is_queued: false };
    producers().insert((peer.link.id(), incoming.call), Arc::new(Mutex::new(producer)));
}

/// The call that was to make a stream failed, and was answered.
pub(crate) fn expect_no_more(peer: &Peer, incoming: &IncomingCall) {
    let producer = producers().remove(&(peer.link.id(), incoming.call));
    drop(producer); // after the lock
}

/// Begins to produce the items of `value` for a call that wants a stream.
pub(crate) fn produce(py: Python<'_>, peer: &Arc<Peer>, incoming: &IncomingCall, value: &Bound<'_, PyAny>) {
    let iterator = match value.try_iter() {
        Ok(iterator) => iterator.into_any().unbind(),
        Err(error) => {
            expect_no_more(peer, incoming);
            answer::raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, &error);
            return;
        }
    };
    // Gone if the consumer gave up meanwhile.
    let Some(producer) = producers().get(&(peer.link.id(), incoming.call)).cloned() else { return };
    let mut producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
    producer.iterator = Some(iterator);
    producer.is_queued = producer.credit > 0;
    if producer.is_queued {
        let link = Arc::clone(&peer.link);
        peer.link.inbox().push(Work::Credit { link, call: incoming.call, count: 0 });
    }
}

/// The consumer of a stream granted `count` more items; 0 is the producer's own next turn.
pub(crate) fn credit(py: Python<'_>, link: &Arc<Link>, call: CallId, count: u32) {
    let Some(producer) = producers().get(&(link.id(), call)).cloned() else { return };
    {
        let mut producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
        producer.credit = producer.credit.saturating_add(count);
        if producer.iterator.is_none() || count > 0 && std::mem::replace(&mut producer.is_queued, true) {
            return; // its turn comes
        }
    }
    turn(py, link, call, &producer);
}

/// Produces one batch.
fn turn(py: Python<'_>, link: &Arc<Link>, call: CallId, producer: &Arc<Mutex<Producer>>) {
    let (peer, iterator, budget, lane) = {
        let producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(iterator) = &producer.iterator else { return };
        (Arc::clone(&producer.peer), iterator.clone_ref(py), producer.credit, producer.incoming.lane)
    };
    let (batch, end) = fill_batch(py, &peer, iterator.bind(py), budget);
    let sent = batch.count;
    let refused = send_batch(py, &peer, call, lane, batch);
    if let Some(end) = refused.or(end) {
        finish(py, link, call, &end);
        return;
    }
    let mut producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
    producer.credit = producer.credit.saturating_sub(sent);
    producer.is_queued = producer.credit > 0;
    if producer.is_queued {
        link.inbox().push(Work::Credit { link: Arc::clone(link), call, count: 0 });
    }
}

#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    count: u32,
    /// The references in it, which go back if it is not sent.
    granted: Vec<ObjectId>,
}

/// Takes items until the budget, the batch or the iterator is over; gives what ended the iterator, if anything did.
fn fill_batch<'py>(
    py: Python<'py>,
    peer: &Arc<Peer>,
    iterator: &Bound<'py, PyAny>,
    budget: u32,
) -> (Batch, Option<PyErr>) {
    let mut batch = Batch::default();
    let start = Instant::now();
    while batch.count < budget && batch.body.len() < BATCH_BYTES {
        if batch.count > 0 && start.elapsed() >= BATCH_TIME {
            break;
        }
        let item = match iterator.call_method0("__next__") {
            Ok(item) => item,
            Err(error) => return (batch, Some(error)),
        };
        let length = batch.body.len();
        let mut encoder = Encoder::new(py, peer, &mut batch.body, false);
        if let Err(error) = calls_in::write_item(&mut encoder, &item) {
            encoder.abandon();
            drop(encoder);
            batch.body.truncate(length);
            return (batch, Some(error));
        }
        let granted = encoder.into_granted();
        batch.granted.extend(granted);
        batch.count += 1;
    }
    (batch, None)
}

/// Sends a batch; gives what it was refused for if the stream ends with that.
fn send_batch(py: Python<'_>, peer: &Peer, call: CallId, lane: LaneId, mut batch: Batch) -> Option<PyErr> {
    if batch.count == 0 {
        return None;
    }
    let refusal = peer.link.items(call, lane, batch.count, &mut batch.body).err()?;
    peer.ungrant(py, batch.granted);
    // Refused otherwise means that the consumer is gone or gave the stream up, and the producer hears of that.
    let AnswerRefused::TooLarge { len, max } = refusal else { return None };
    let text = format!("{} items of a stream take {len} bytes, and one message may have {max}", batch.count);
    Some(errors::make(py, "ResultError", &text, Some(Outcome::Finished), None, None))
}

/// Ends a stream: exhausted, or with what the iterator raised.
fn finish(py: Python<'_>, link: &Arc<Link>, call: CallId, end: &PyErr) {
    let Some(producer) = producers().remove(&(link.id(), call)) else { return };
    let (peer, incoming) = {
        let producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&producer.peer), head_of(&producer.incoming))
    };
    drop(producer);
    if end.is_instance_of::<PyStopIteration>(py) {
        answer::nothing(&peer, &incoming);
    } else {
        answer::raised(py, &peer, &incoming, ErrorKind::Raised, Outcome::Finished, end);
    }
}

/// The consumer gave the stream up: the iterator is closed, as when the last reference to a generator goes.
pub(crate) fn cancel(py: Python<'_>, link: &Arc<Link>, call: CallId) {
    let Some(producer) = producers().remove(&(link.id(), call)) else { return };
    let (peer, incoming) = {
        let producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&producer.peer), head_of(&producer.incoming))
    };
    drop(producer);
    answer::fail(py, &peer, &incoming, ErrorKind::Cancelled, Outcome::Unknown, "the stream was closed");
}

/// Drops the producers of a link that is lost.
pub(crate) fn forget_link(link: u64) {
    let gone: Vec<_> = {
        let mut producers = producers();
        let keys: Vec<_> = producers.keys().filter(|(id, _)| *id == link).copied().collect();
        keys.into_iter().filter_map(|key| producers.remove(&key)).collect()
    };
    drop(gone);
}
