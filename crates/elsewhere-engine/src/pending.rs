//! One outgoing call: where its answer arrives.
//! Owns: the answer until it is taken, and those who want to hear of it. Must not know: links, sockets, what the bytes
//! mean.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use elsewhere_proto::{CallId, Outcome};

use crate::error::Arrival;
use crate::link::Mark;
use crate::lock::lock;
use crate::observer::Observer;

/// One outgoing call. It ends exactly once; what comes later is handed back to be released.
#[derive(Debug)]
pub struct Pending {
    /// Zero until the call has its id.
    call: AtomicU64,
    deadline: Option<Instant>,
    /// Whether whoever gives the call up wants it broken off there.
    is_broken_off: AtomicBool,
    /// Whether there is something to take, for whoever looks all the time. Set after the fact, under the lock, and before
    /// anybody is told.
    is_told: AtomicBool,
    /// Whether the end has a mark. Set with the end, under the lock.
    is_marked: AtomicBool,
    state: Mutex<State>,
}

/// Items of a stream, as they came in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Items {
    /// How many values the body holds.
    pub count: u32,
    /// The values, one after another.
    pub body: Vec<u8>,
    /// See [`Link::decoded_items`](crate::Link::decoded_items).
    pub(crate) mark: Mark,
}

#[derive(Debug, Default)]
struct State {
    arrival: Option<Arrival>,
    /// Of the arrival, until it is decoded.
    mark: Mark,
    items: VecDeque<Items>,
    is_done: bool,
    is_forgotten: bool,
    /// What the peer said of the call after it was given up.
    fate: Option<Outcome>,
    /// Threads that wait for this call right now.
    waiting: usize,
    observers: Vec<Observer>,
}

/// What an answer found when it arrived.
pub(crate) struct Told {
    /// Somebody waits in the engine and must be woken.
    pub(crate) is_awaited: bool,
    /// To be told, each once.
    pub(crate) observers: Vec<Observer>,
}

/// What is left of a call that nobody wants any more.
pub(crate) struct Remains {
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) observers: Vec<Observer>,
}

impl Pending {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        Self {
            call: AtomicU64::new(0),
            deadline,
            is_broken_off: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            is_marked: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// A call that was never made and has ended.
    #[must_use]
    pub fn never_made() -> Self {
        let pending = Self::new(None);
        lock(&pending.state).is_done = true;
        pending
    }

    pub(crate) fn set_call(&self, call: CallId) {
        // Release pairs with the Acquire in `call`; nothing but the number itself is published.
        self.call.store(call.0, Ordering::Release);
    }

    /// The id of the call on its link.
    #[must_use]
    pub fn call(&self) -> CallId {
        CallId(self.call.load(Ordering::Acquire)) // pairs with the Release in `set_call`
    }

    /// When the call ends by itself, if it does.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Has every way of giving the call up break it off there, where it runs.
    pub fn break_off(&self) {
        self.is_broken_off.store(true, Ordering::Relaxed); // Relaxed: a wish that stands for itself
    }

    pub(crate) fn is_broken_off(&self) -> bool {
        self.is_broken_off.load(Ordering::Relaxed) // Relaxed: as above
    }

    /// Whether the call has ended, by whatever arrival; it stays so after the arrival was taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        lock(&self.state).is_done
    }

    /// Whether there is something to take: the end of the call, or items of its stream.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        lock(&self.state).is_ready()
    }

    /// Whether there seems to be something to take: without the lock, for whoever looks all the time.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed) // what there is to take is read under the lock
    }

    /// Takes the end of the call. None while it runs, and after the end was taken.
    #[must_use]
    pub fn take(&self) -> Option<Arrival> {
        if !self.is_told() {
            return None; // whoever knows of the end has seen this set before it
        }
        lock(&self.state).arrival.take()
    }

    /// What the peer said of a call that was given up here; None while it has not.
    #[must_use]
    pub fn fate(&self) -> Option<Outcome> {
        lock(&self.state).fate
    }

    /// Keeps what the peer said of a call that was given up. Returns whether somebody waits to hear it.
    pub(crate) fn set_fate(&self, outcome: Outcome) -> bool {
        let mut state = lock(&self.state);
        state.fate = Some(outcome);
        state.waiting > 0
    }

    /// Takes the mark of an arrival that is decoded now.
    pub(crate) fn take_mark(&self) -> Mark {
        if !self.is_marked.load(Ordering::Relaxed) {
            return None; // whoever has the end took it under the lock
        }
        lock(&self.state).mark.take()
    }

    /// Takes the oldest items of a stream. Take them all before the end of the call.
    #[must_use]
    pub fn take_items(&self) -> Option<Items> {
        let mut state = lock(&self.state);
        let items = state.items.pop_front();
        self.is_told.store(state.is_ready(), Ordering::Relaxed);
        items
    }

    /// Ends the call. An arrival that finds it ended or forgotten comes back, to be released.
    pub(crate) fn complete(&self, arrival: Arrival, mark: Mark) -> Result<Told, Arrival> {
        let mut state = lock(&self.state);
        if state.is_done || state.is_forgotten {
            state.is_done = true;
            return Err(arrival);
        }
        state.is_done = true;
        state.arrival = Some(arrival);
        state.mark = mark;
        self.is_marked.store(mark.is_some(), Ordering::Relaxed); // see `take_mark`
        self.is_told.store(true, Ordering::Relaxed); // see `is_told`; so below
        Ok(state.told())
    }

    /// Adds items. They come back when the call has ended or is forgotten.
    pub(crate) fn add_items(&self, items: Items) -> Result<Told, Items> {
        let mut state = lock(&self.state);
        if state.is_done || state.is_forgotten {
            return Err(items);
        }
        state.items.push_back(items);
        self.is_told.store(true, Ordering::Relaxed);
        Ok(state.told())
    }

    /// Counts a thread that waits. From now on an arrival tells that somebody must be woken.
    pub(crate) fn begin_wait(&self) {
        lock(&self.state).waiting += 1;
    }

    pub(crate) fn end_wait(&self) {
        lock(&self.state).waiting -= 1;
    }

    /// Adds an observer unless there is something to take already; then it is handed back.
    pub(crate) fn observe(&self, observer: Observer) -> Result<(), Observer> {
        let mut state = lock(&self.state);
        if state.is_ready() {
            return Err(observer);
        }
        state.observers.push(observer);
        Ok(())
    }

    /// Gives the call up: its arrival and items, now and later, are nobody's.
    pub(crate) fn forget(&self) -> Remains {
        let mut state = lock(&self.state);
        state.is_forgotten = true;
        let mut marks = vec![state.mark.take()];
        marks.extend(state.items.iter().map(|items| items.mark));
        let mut bodies: Vec<_> = state.items.drain(..).map(|items| items.body).collect();
        if let Some(Arrival::Reply(body) | Arrival::Error(body)) = state.arrival.take() {
            bodies.push(body);
        }
        Remains { bodies, marks, observers: std::mem::take(&mut state.observers) }
    }
}

impl State {
    fn is_ready(&self) -> bool {
        self.arrival.is_some() || self.is_done || !self.items.is_empty()
    }

    fn told(&mut self) -> Told {
        Told { is_awaited: self.waiting > 0, observers: std::mem::take(&mut self.observers) }
    }
}
