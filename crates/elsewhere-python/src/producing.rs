//! Streams that this process produces for a peer that reads ahead.
//!
//! Owns: the iterators behind such streams, and their turns. Must not know: how frames carry items, which thread takes a
//! turn. A producer runs as work of the inbox that its call came by: it produces for a while, then queues up again behind
//! whatever else came. Without credit it rests. The turn of an asynchronous iterator is a coroutine like any other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use elsewhere_engine::{ChainSeat, Inbox, Link, Work};
use elsewhere_proto::{AnswerRefused, CallId, ChainId, ErrorKind, IncomingCall, LaneId, Outcome};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use crate::coroutines::{self, End, Job, Place, Refusal};
use crate::encode::Encoder;
use crate::peer::Peer;
use crate::{answer, calls_in, chain, deadline, errors, running};

/// A turn ends with the item that passes this much time.
const TURN_TIME: Duration = Duration::from_millis(1);

/// Items that come so soon after one that was sent are gathered and sent together: a write costs as much as many items.
const GATHER_TIME: Duration = Duration::from_micros(200);

/// One stream.
struct Producer {
    peer: Arc<Peer>,
    incoming: IncomingCall,
    items: Items,
    rest: Rest,
    /// Where its items are waited for, as far as is known.
    chain: ChainId,
    /// Whether its items were declared to go by reference.
    is_declared: bool,
}

/// What a producer does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It waits for credit.
    Resting,
    /// It waits in the inbox for its next turn.
    Queued,
    /// It has its turn, and looks at the end of it what the peer wants.
    Taking,
}

/// Where items come from.
enum Items {
    Iterator(Py<PyAny>),
    /// An asynchronous iterator, and where its coroutines run.
    Async(Py<PyAny>, Arc<Place>),
}

/// A call without its body, for answering it later.
pub(crate) fn head_of(incoming: &IncomingCall) -> IncomingCall {
    let IncomingCall { call, lane, number, chain, head, expires, gone, .. } = *incoming;
    IncomingCall { call, lane, number, chain, head, expires, body: Vec::new(), gone }
}

/// How many producers there are. A hint that saves each wait the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

type Producers = HashMap<(u64, CallId), Arc<Mutex<Producer>>>;

/// In a fork that becomes a host: the streams of its parent are the parent's to produce.
pub(crate) fn forget() {
    std::mem::forget(std::mem::take(&mut *producers()));
    COUNT.store(0, Ordering::SeqCst);
}

fn producers() -> MutexGuard<'static, Producers> {
    static PRODUCERS: OnceLock<Mutex<Producers>> = OnceLock::new();
    PRODUCERS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(key: (u64, CallId), producer: Arc<Mutex<Producer>>) {
    let mut producers = producers();
    producers.insert(key, producer);
    COUNT.store(producers.len(), Ordering::SeqCst);
}

/// Whether it was there. It is dropped without the lock.
fn remove(peer: &Peer, head: &IncomingCall) -> bool {
    let gone = {
        let mut producers = producers();
        let gone = producers.remove(&(peer.link.id(), head.call));
        COUNT.store(producers.len(), Ordering::SeqCst);
        gone
    };
    gone.is_some()
}

fn lock(producer: &Mutex<Producer>) -> MutexGuard<'_, Producer> {
    producer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(link: &Link, call: CallId) -> Option<Arc<Mutex<Producer>>> {
    producers().get(&(link.id(), call)).cloned()
}

impl Items {
    fn of<'py>(py: Python<'py>, peer: &Peer, incoming: &IncomingCall, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        match value.try_iter() {
            Ok(iterator) => Ok(Self::Iterator(iterator.into_any().unbind())),
            Err(error) => match value.get_type().getattr_opt("__aiter__")? {
                None => Err(error),
                Some(make) => {
                    let place = Arc::new(coroutines::place_of(py, peer, incoming.head.target));
                    Ok(Self::Async(make.call1((value,))?.unbind(), place))
                }
            },
        }
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Iterator(iterator) => Self::Iterator(iterator.clone_ref(py)),
            Self::Async(iterator, place) => Self::Async(iterator.clone_ref(py), Arc::clone(place)),
        }
    }
}

/// Begins to produce the items of `value` for a call that wants a stream.
///
/// Credit and cancel are told to another thread than this one, perhaps, and before there is a producer. So neither is
/// counted here: the producer is made known, and then the link is asked what the peer wants by now.
pub(crate) fn produce(
    py: Python<'_>,
    peer: &Arc<Peer>,
    incoming: &IncomingCall,
    value: &Bound<'_, PyAny>,
    is_declared: bool,
) {
    let call = incoming.call;
    let items = match Items::of(py, peer, incoming, value) {
        Ok(items) => items,
        Err(error) => {
            answer::raised(py, peer, incoming, ErrorKind::Raised, Outcome::Finished, &error);
            return;
        }
    };
    let (incoming, chain) = (head_of(incoming), incoming.chain);
    let producer = Producer { peer: Arc::clone(peer), incoming, items, rest: Rest::Resting, chain, is_declared };
    let producer = Arc::new(Mutex::new(producer));
    add((peer.link.id(), call), Arc::clone(&producer));
    queue_if_wanted(&peer.link, call, &producer);
}

/// Lets a producer take a turn if the peer wants items, or none any more.
fn queue_if_wanted(link: &Arc<Link>, call: CallId, producer: &Mutex<Producer>) {
    match link.granted(call) {
        Some(0) => {}
        Some(_) => queue(link, call, producer),
        None => queue_next(link, call, producer),
    }
}

/// Lets a producer take its turn behind whatever else came, unless it is waiting for one.
fn queue(link: &Arc<Link>, call: CallId, producer: &Mutex<Producer>) {
    let (lane, chain) = {
        let mut producer = lock(producer);
        if producer.rest != Rest::Resting {
            return; // its turn comes, or it looks again at the end of the one it has
        }
        producer.rest = Rest::Queued;
        (producer.incoming.lane, producer.chain)
    };
    link.inbox().push(Work::Turn { link: Arc::clone(link), call, lane, chain });
}

/// Lets a producer that was given up take its last turn before whatever comes after that.
fn queue_next(link: &Arc<Link>, call: CallId, producer: &Mutex<Producer>) {
    let (lane, chain) = {
        let mut producer = lock(producer);
        if producer.rest == Rest::Taking {
            return;
        }
        producer.rest = Rest::Queued; // once more perhaps: the second time it is not found any more
        (producer.incoming.lane, producer.chain)
    };
    link.inbox().push_next(Work::Turn { link: Arc::clone(link), call, lane, chain });
}

/// The consumer of a stream granted more items.
pub(crate) fn wake(link: &Arc<Link>, call: CallId) {
    // Not there yet, or no more; `produce` sees what was granted before.
    if let Some(producer) = find(link, call) {
        queue(link, call, &producer);
    }
}

/// The consumer of a stream waits for it inside `chain`: a turn that waits for another thread is offered to whoever waits
/// in that chain as well. Taken twice, it finds nothing to do.
pub(crate) fn awaited(link: &Arc<Link>, call: CallId, chain: ChainId) {
    let Some(producer) = find(link, call) else { return };
    let lane = {
        let mut producer = lock(&producer);
        producer.chain = chain;
        (producer.rest == Rest::Queued).then_some(producer.incoming.lane)
    };
    if let Some(lane) = lane {
        link.inbox().push(Work::Turn { link: Arc::clone(link), call, lane, chain });
    }
}

/// Has a thread that waits in `seat` for a call of `chain` take up streams that are waited for where it waits: the one
/// who waits for them may be the very one that it waits for.
pub(crate) fn take_up(py: Python<'_>, seat: &mut ChainSeat, chain: ChainId) {
    if COUNT.load(Ordering::SeqCst) == 0 && !seat.takes_up_streams() {
        return; // SeqCst: a stream that matters was begun by this thread, or before what it now waits for
    }
    let mut inboxes: Vec<Arc<Inbox>> = Vec::new();
    let all: Vec<_> = producers().values().cloned().collect();
    for producer in all {
        let inbox = Arc::clone(lock(&producer).peer.link.inbox());
        if !inboxes.iter().any(|known| Arc::ptr_eq(known, &inbox)) {
            inboxes.push(inbox);
        }
    }
    seat.take_up_streams(inboxes, chain::current(py).map_or(chain, |(current, _)| current));
}

/// The consumer of a stream gave it up.
pub(crate) fn cancel(link: &Arc<Link>, call: CallId) {
    if let Some(producer) = find(link, call) {
        queue_next(link, call, &producer);
    }
}

/// Produces for a while.
pub(crate) fn take_turn(py: Python<'_>, link: &Arc<Link>, call: CallId) {
    let Some(producer) = find(link, call) else { return };
    let (peer, items, head, chain, is_declared) = {
        let mut producer = lock(&producer);
        if producer.rest == Rest::Taking {
            return;
        }
        producer.rest = Rest::Taking;
        let head = head_of(&producer.incoming);
        (Arc::clone(&producer.peer), producer.items.clone_ref(py), head, producer.chain, producer.is_declared)
    };
    let Some(budget) = link.granted(call) else { return give_up(py, &peer, &head, items) };
    if budget == 0 {
        return rest(link, call, &producer);
    }
    let turn = StreamTurn::new(&peer, &head, budget, is_declared);
    match items {
        Items::Iterator(iterator) => {
            let limit = elsewhere_engine::expires(&head);
            let (end, _) = chain::inside(chain, link.id(), call, || {
                running::run(py, link, call, || {
                    let _carried = deadline::carry(py, limit)?;
                    turn.produce(iterator.bind(py))
                })
            });
            match end {
                Ok(()) => rest(link, call, &producer),
                Err(end) => finish(py, &peer, &head, Some(&end)),
            }
        }
        Items::Async(iterator, place) => take_async_turn(py, &place, &iterator, turn, &producer),
    }
}

/// The turn is over.
fn rest(link: &Arc<Link>, call: CallId, producer: &Mutex<Producer>) {
    lock(producer).rest = Rest::Resting; // before the look at what is granted: credit that comes after it finds it so
    queue_if_wanted(link, call, producer);
}

fn take_async_turn(
    py: Python<'_>,
    place: &Place,
    iterator: &Py<PyAny>,
    turn: StreamTurn,
    producer: &Arc<Mutex<Producer>>,
) {
    let (peer, head) = {
        let producer = lock(producer);
        let head = head_of(&producer.incoming);
        (Arc::clone(&turn.peer), IncomingCall { chain: producer.chain, ..head })
    };
    let (own_peer, own_head, own_producer) = (Arc::clone(&peer), head_of(&head), Arc::clone(producer));
    let job: Job = Box::new(move |py, end| match end {
        End::Value(is_exhausted) if is_exhausted.is_truthy().unwrap_or(false) => {
            finish(py, &own_peer, &own_head, None);
        }
        End::Raised(error) => finish(py, &own_peer, &own_head, Some(&error)),
        End::Value(_) | End::Cancelled { .. } => rest(&own_peer.link, own_head.call, &own_producer),
    });
    let make = || -> PyResult<Bound<'_, PyAny>> {
        py.import("elsewhere._tasks")?.call_method1("take", (iterator, Bound::new(py, turn)?))
    };
    run(py, place, make(), &peer, &head, job);
}

/// Runs a coroutine of a stream; what keeps it from running ends the stream.
fn run<'py>(
    py: Python<'py>,
    place: &Place,
    coroutine: PyResult<Bound<'py, PyAny>>,
    peer: &Arc<Peer>,
    head: &IncomingCall,
    job: Job,
) {
    let limit = elsewhere_engine::expires(head);
    let refusal = match (coroutine, place) {
        (Err(error), _) => Refusal::Failed(error),
        (Ok(coroutine), Place::Local(host)) => {
            let ran = deadline::carry(py, limit).map_err(Refusal::Failed);
            match ran.and_then(|_carried| coroutines::run_here(*host, &coroutine)) {
                Ok(Ok(value)) => return job(py, End::Value(value)),
                Ok(Err(error)) => return job(py, End::Raised(error)),
                Err(refusal) => refusal,
            }
        }
        (Ok(coroutine), place) => match coroutines::start(place, &coroutine, (peer, head.call, head.chain, limit), job)
        {
            Ok(()) => return,
            Err(refusal) => refusal,
        },
    };
    remove(peer, head);
    calls_in::refuse(py, peer, head, refusal);
}

/// Ends a stream: exhausted, or with what the iterator raised.
fn finish(py: Python<'_>, peer: &Arc<Peer>, head: &IncomingCall, end: Option<&PyErr>) {
    if !remove(peer, head) {
        return;
    }
    match end {
        Some(error) if !error.is_instance_of::<PyStopIteration>(py) => {
            answer::raised(py, peer, head, ErrorKind::Raised, Outcome::Finished, error);
        }
        _ => answer::nothing(peer, head),
    }
}

/// The consumer gave the stream up: the iterator is closed, as when the last reference to a generator goes.
fn give_up(py: Python<'_>, peer: &Arc<Peer>, head: &IncomingCall, items: Items) {
    remove(peer, head);
    let told = |py: Python<'_>, peer: &Arc<Peer>, head: &IncomingCall| {
        answer::fail(py, peer, head, ErrorKind::Cancelled, Outcome::Unknown, "the stream was closed");
    };
    let Items::Async(iterator, place) = items else {
        drop(items);
        return told(py, peer, head);
    };
    let (own_peer, own_head) = (Arc::clone(peer), head_of(head));
    let job: Job = Box::new(move |py, end| {
        if let End::Raised(error) = end {
            crate::lifecycle::report(py, &error, "a stream that was given up failed to close");
        }
        told(py, &own_peer, &own_head);
    });
    let close = py.import("elsewhere._tasks").and_then(|module| module.call_method1("close", (iterator,)));
    run(py, &place, close, peer, head, job);
}

/// Drops the producers of a link that is lost.
pub(crate) fn forget_link(link: u64) {
    let gone: Vec<_> = {
        let mut producers = producers();
        let keys: Vec<_> = producers.keys().filter(|(id, _)| *id == link).copied().collect();
        let gone = keys.into_iter().filter_map(|key| producers.remove(&key)).collect();
        COUNT.store(producers.len(), Ordering::SeqCst);
        gone
    };
    drop(gone);
}

/// One turn of a producer.
#[pyclass(frozen, module = "elsewhere._core")]
pub(crate) struct StreamTurn {
    peer: Arc<Peer>,
    call: CallId,
    lane: LaneId,
    start: Instant,
    budget: AtomicU32,
    last_sent: Mutex<Option<Instant>>,
    is_declared: bool,
}

impl StreamTurn {
    fn new(peer: &Arc<Peer>, head: &IncomingCall, budget: u32, is_declared: bool) -> Self {
        Self {
            peer: Arc::clone(peer),
            call: head.call,
            lane: head.lane,
            start: Instant::now(),
            budget: AtomicU32::new(budget),
            last_sent: Mutex::default(),
            is_declared,
        }
    }

    /// Takes and sends items until the budget, the time or the iterator is over.
    ///
    /// # Errors
    /// What ended the iterator, or what its items could not be sent for.
    fn produce(&self, iterator: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut body = Vec::new();
        loop {
            let item = iterator.call_method0("__next__")?;
            if !self.send_item(&mut body, &item)? {
                return Ok(());
            }
        }
    }

    /// Sends one item; whether the turn goes on.
    fn send_item(&self, body: &mut Vec<u8>, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let now = Instant::now();
        // An item that comes alone leaves at once; what comes right behind it, together.
        let is_alone = {
            let mut last_sent = self.last_sent.lock().unwrap_or_else(PoisonError::into_inner);
            let is_alone = last_sent.is_none_or(|last| now.duration_since(last) >= GATHER_TIME);
            if is_alone {
                *last_sent = Some(now);
            }
            is_alone
        };
        self.write_and_send(body, item, is_alone)?;
        let left = self.budget.fetch_sub(1, Ordering::Relaxed) - 1; // Relaxed: one thread at a time has the turn
        Ok(left > 0 && now.duration_since(self.start) < TURN_TIME)
    }

    fn write_and_send(&self, body: &mut Vec<u8>, item: &Bound<'_, PyAny>, is_alone: bool) -> PyResult<()> {
        let py = item.py();
        body.clear();
        let is_declared = self.is_declared || answer::is_guarded(&self.peer, item)?;
        let mut encoder = Encoder::new(py, &self.peer, body, false);
        encoder.enclose();
        if let Err(error) = answer::write_item(&mut encoder, item, is_declared) {
            encoder.abandon();
            return Err(error);
        }
        encoder.hand_over_given()?;
        let enclosed = encoder.take_enclosed();
        let granted = encoder.take_granted();
        let link = &self.peer.link;
        let sent = if is_alone {
            link.items(self.call, self.lane, 1, body)
        } else {
            link.items_soon(self.call, self.lane, 1, body)
        };
        let Err(refusal) = sent else {
            enclosed.sent();
            return Ok(());
        };
        drop(enclosed);
        self.peer.ungrant(py, granted);
        // Refused otherwise means that the consumer is gone or gave the stream up, and the producer hears of that.
        let AnswerRefused::TooLarge { len, max } = refusal else { return Ok(()) };
        let text = format!("an item of a stream takes {len} bytes, and one message may have {max}");
        Err(errors::make(py, "ResultError", &text, Some(Outcome::Finished), None, None))
    }
}

#[pymethods]
impl StreamTurn {
    /// Send an item; whether the turn goes on.
    fn send(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.send_item(&mut Vec::new(), item)
    }
}
