//! Streams that are read ahead: items pushed under credit on one side, taken in batches on the other.
//!
//! Owns: `ReadAhead` (the consumer) and the producers of this process. Must not know: how frames carry items.
//! A producer runs as work of the inbox that its call came by: a millisecond at a time, then it queues up again behind
//! whatever else came. Without credit it rests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use elsewhere_engine::{Arrival, Items, Link, Observer, Work};
use elsewhere_proto::{AnswerRefused, CallId, ErrorKind, IncomingCall, LaneId, Outcome};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::loop_queue::LoopQueue;
use crate::peer::{Lease, Peer};
use crate::sent::Sent;
use crate::{answer, calls_in, deadline, errands, errors, running};

/// How many items the producer may be ahead of the consumer.
pub(crate) const CREDIT: u32 = 256;

/// A turn of a producer ends with the item that passes this much time.
const TURN_TIME: Duration = Duration::from_millis(1);

/// Items that come so soon after one that was sent are gathered and sent together: a write costs as much as many items.
const GATHER_TIME: Duration = Duration::from_micros(200);

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
        slf.py().import("elsewhere._awaiting")?.getattr("advance")?.call1((slf,))
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
    iterator: Py<PyAny>,
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

fn lock(producer: &Mutex<Producer>) -> MutexGuard<'_, Producer> {
    producer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to produce the items of `value` for a call that wants a stream.
///
/// Credit and cancel are told to another thread than this one, perhaps, and before there is a producer. So neither is
/// counted here: the producer is made known, and then the link is asked what the peer wants by now.
pub(crate) fn produce(py: Python<'_>, peer: &Arc<Peer>, incoming: &IncomingCall, value: &Bound<'_, PyAny>) {
    let iterator = match value.try_iter() {
        Ok(iterator) => iterator.into_any().unbind(),
        Err(error) => {
            answer::raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, &error);
            return;
        }
    };
    let producer = Producer { peer: Arc::clone(peer), incoming: head_of(incoming), iterator, is_queued: false };
    let producer = Arc::new(Mutex::new(producer));
    producers().insert((peer.link.id(), incoming.call), Arc::clone(&producer));
    match peer.link.granted(incoming.call) {
        Some(0) => {} // its first credit is on the way
        Some(_) => queue(&peer.link, incoming.call, &producer),
        None => cancel(py, &peer.link, incoming.call),
    }
}

/// Lets a producer take its turn behind whatever else came, unless it is waiting for one.
fn queue(link: &Arc<Link>, call: CallId, producer: &Mutex<Producer>) {
    if !std::mem::replace(&mut lock(producer).is_queued, true) {
        link.inbox().push(Work::Credit { link: Arc::clone(link), call, count: 0 });
    }
}

/// The consumer of a stream granted `count` more items; 0 is the producer's own next turn.
pub(crate) fn credit(py: Python<'_>, link: &Arc<Link>, call: CallId, count: u32) {
    // Not there yet, or no more; `produce` sees what was granted before.
    let Some(producer) = producers().get(&(link.id(), call)).cloned() else { return };
    if count > 0 && std::mem::replace(&mut lock(&producer).is_queued, true) {
        return; // its turn comes
    }
    turn(py, link, call, &producer);
}

/// Produces for a while.
fn turn(py: Python<'_>, link: &Arc<Link>, call: CallId, producer: &Arc<Mutex<Producer>>) {
    let (peer, iterator, lane, limit) = {
        let producer = lock(producer);
        let limit = elsewhere_engine::expires(&producer.incoming);
        (Arc::clone(&producer.peer), producer.iterator.clone_ref(py), producer.incoming.lane, limit)
    };
    // A stream that the consumer gave up is ended by the work that says so.
    let budget = link.granted(call).unwrap_or(0);
    let (end, _) = running::run(py, link, call, || {
        let _carried = deadline::carry(py, limit)?;
        Turn { py, peer: &peer, call, lane }.produce(iterator.bind(py), budget)
    });
    if let Err(end) = end {
        finish(py, link, call, &end);
        return;
    }
    lock(producer).is_queued = false; // before the look at what is granted: credit that comes after it finds it so
    if link.granted(call).is_some_and(|granted| granted > 0) {
        queue(link, call, producer);
    }
}

/// One turn of a producer.
struct Turn<'a, 'py> {
    py: Python<'py>,
    peer: &'a Arc<Peer>,
    call: CallId,
    lane: LaneId,
}

impl<'py> Turn<'_, 'py> {
    /// Takes and sends items until the budget, the time or the iterator is over.
    ///
    /// # Errors
    /// What ended the iterator, or what its items could not be sent for.
    fn produce(&self, iterator: &Bound<'py, PyAny>, budget: u32) -> PyResult<()> {
        let start = Instant::now();
        let mut last_sent = None;
        let mut body = Vec::new();
        for _ in 0..budget {
            let item = iterator.call_method0("__next__")?;
            let now = Instant::now();
            // An item that comes alone leaves at once; what comes right behind it, together.
            let is_alone = last_sent.is_none_or(|last| now.duration_since(last) >= GATHER_TIME);
            if is_alone {
                last_sent = Some(now);
            }
            self.send(&mut body, &item, is_alone)?;
            if now.duration_since(start) >= TURN_TIME {
                break;
            }
        }
        Ok(())
    }

    fn send(&self, body: &mut Vec<u8>, item: &Bound<'py, PyAny>, is_alone: bool) -> PyResult<()> {
        body.clear();
        let mut encoder = Encoder::new(self.py, self.peer, body, false);
        if let Err(error) = calls_in::write_item(&mut encoder, item) {
            encoder.abandon();
            return Err(error);
        }
        let granted = encoder.into_granted();
        let link = &self.peer.link;
        let sent = if is_alone {
            link.items(self.call, self.lane, 1, body)
        } else {
            link.items_soon(self.call, self.lane, 1, body)
        };
        let Err(refusal) = sent else { return Ok(()) };
        self.peer.ungrant(self.py, granted);
        // Refused otherwise means that the consumer is gone or gave the stream up, and the producer hears of that.
        let AnswerRefused::TooLarge { len, max } = refusal else { return Ok(()) };
        let text = format!("an item of a stream takes {len} bytes, and one message may have {max}");
        Err(errors::make(self.py, "ResultError", &text, Some(Outcome::Finished), None, None))
    }
}

/// Ends a stream: exhausted, or with what the iterator raised.
fn finish(py: Python<'_>, link: &Arc<Link>, call: CallId, end: &PyErr) {
    let Some(producer) = producers().remove(&(link.id(), call)) else { return };
    let (peer, incoming) = {
        let producer = lock(&producer);
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
        let producer = lock(&producer);
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
