//! Which thread waits in which chain of calls, over all links of the process.
//! Owns: the table of waiting chains. Must not know: how a thread waits, how a call is run.
//!
//! A call of a chain runs in the thread that waits in this chain, be it in a call or in the event loop that waits for an
//! answer there, else in whoever serves the link's inbox. Where threads belong to lanes, not every thread may (`taker` says
//! which). Both sides of the decision happen under one lock: the router looks for a seat and otherwise queues the call, a
//! thread that sits down takes what is queued for its chain and may run there. So a call never lies in an inbox while the
//! thread that its chain waits in sleeps; a serial host, whose inbox that very thread serves, would wait for ever.
//!
//! Calls that one thread of the peer makes in one chain start here in the order made, whoever runs them:
//!
//! * A thread keeps its seat for as long as it waits, also while it runs a call; what comes meanwhile waits there. What
//!   is left when it leaves goes to the seat below, of the same thread, or to the front of the inbox.
//! * Where several threads take calls (a shared inbox beside the seats), a call that one of them took but has not begun
//!   is noted as [`Opening`], and until it has begun no seat hands out a later call of its lane and chain. It has begun
//!   at the latest when that thread sits down in the chain: code of the user's waits, for what may need the later ones.
//! * A call that went on from the inbox of its link to another one came before those that are still in the first. One
//!   that is on its way there when a thread sits down goes to the seat, behind those before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, ThreadId};

use elsewhere_proto::{CallId, ChainId, LaneId};

use crate::fork::PerProcess;
use crate::inbox::{Inbox, Incoming, Work};
use crate::link::Link;
use crate::loop_queue::LoopQueue;
use crate::parker::Parker;
use crate::taker::Taker;

static CHAINS: PerProcess<Chains> = PerProcess::new(Chains::new(), Chains::new);
/// Calls that lie in seats. A hint that saves the lock: it is raised before the wake and read after it.
static SEATED: AtomicUsize = AtomicUsize::new(0);
/// Calls that lie in inboxes. A hint likewise: it changes under the inbox's lock, which the router holds inside ours.
static QUEUED: AtomicIsize = AtomicIsize::new(0);

struct Chains {
    seats: Vec<Seat>,
    inboxes: Vec<Weak<Inbox>>,
    /// Calls taken from shared inboxes that have not begun.
    opening: Vec<Opened>,
}

/// A call that a thread has taken.
struct Opened {
    key: u64,
    line: Line,
    by: ThreadId,
}

/// Calls that have to start in order.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    link: u64,
    lane: LaneId,
    chain: ChainId,
}

impl Line {
    fn of(incoming: &Incoming) -> Self {
        Self { link: incoming.link.id(), lane: incoming.call.lane, chain: incoming.call.chain }
    }
}

impl Chains {
    const fn new() -> Self {
        Self { seats: Vec::new(), inboxes: Vec::new(), opening: Vec::new() }
    }

    /// Where the innermost thread sits that waits in the chain of a call and may run it, on the same link if one does.
    fn seat_for(&mut self, incoming: &mut Incoming, inbox: &Inbox) -> Option<&mut Seat> {
        let (chain, link) = (incoming.call.chain, incoming.link.id());
        let of_chain =
            |seat: &Seat| seat.chain == chain && chain != ChainId(0) && (!seat.is_within || seat.link == link);
        if !self.seats.iter().any(of_chain) {
            return None;
        }
        let claims = inbox.claims(incoming);
        let fit = |seat: &Seat| claims.as_ref().map_or(Some(0), |claims| claims.of(seat.thread, seat.waker.is_loop()));
        let fitting = self.seats.iter().enumerate().filter(|(_, seat)| of_chain(seat));
        let best = fitting.filter_map(|(at, seat)| Some((fit(seat)?, seat.link == link, at))).max();
        incoming.0.is_called_back = best.is_none();
        let (.., at) = best?;
        // The same thread may sit further in by now, and look there alone.
        let waker = &self.seats[at].waker;
        let innermost = self.seats.iter().rposition(|seat| seat.chain == chain && seat.waker.is(waker)).unwrap_or(at);
        self.seats.get_mut(innermost)
    }

    /// The calls that `is_meant` picks have begun: whoever holds later ones may hand them out.
    fn begun(&mut self, is_meant: impl Fn(&Opened) -> bool) {
        for opened in self.opening.extract_if(.., |opened| is_meant(opened)) {
            for seat in self.seats.iter().filter(|seat| seat.chain == opened.line.chain && !seat.calls.is_empty()) {
                seat.waker.wake();
            }
        }
    }
}

struct Seat {
    key: u64,
    chain: ChainId,
    link: u64,
    thread: ThreadId,
    /// Whether it waits for a server of this process, and so runs none but the calls of that one's connection here.
    is_within: bool,
    waker: Waker,
    calls: VecDeque<Incoming>,
}

impl Seat {
    fn put(&mut self, at: usize, incoming: Incoming) {
        self.calls.insert(at, incoming);
        SEATED.fetch_add(1, Ordering::SeqCst); // before the wake: whoever it wakes must see it
        self.waker.wake();
    }
}

/// How whoever sits in a seat hears of a call.
#[derive(Clone)]
pub(crate) enum Waker {
    Thread(Arc<Parker>),
    Loop(Arc<LoopQueue>),
}

impl Waker {
    fn wake(&self) {
        match self {
            Self::Thread(parker) => parker.wake(),
            Self::Loop(queue) => queue.push(LoopQueue::CALLS),
        }
    }

    fn is_loop(&self) -> bool {
        matches!(self, Self::Loop(_))
    }

    /// Whether both wake the same thread or loop.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thread(own), Self::Thread(other)) => Arc::ptr_eq(own, other),
            (Self::Loop(own), Self::Loop(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }
}

/// The place of a thread, or of an event loop, in a chain of calls while it waits for what it called: the calls of that
/// chain come to this thread. To be kept until the wait is over, also while the thread runs such a call, and dropped in
/// the thread that took it.
#[derive(Debug)]
pub struct ChainSeat {
    key: Option<u64>,
    streams: Option<Streams>,
}

/// What a thread in a seat takes up beside calls: the streams that are waited for in a chain.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) taker: Taker,
}

/// A call that was taken to be run but has not begun; its drop says that it has.
#[derive(Debug)]
pub(crate) struct Opening {
    key: u64,
}

pub(crate) fn add_inbox(inbox: &Arc<Inbox>) {
    let mut chains = CHAINS.lock();
    chains.inboxes.retain(|inbox| inbox.strong_count() > 0);
    chains.inboxes.push(Arc::downgrade(inbox));
}

pub(crate) fn count_queued(change: isize) {
    // SeqCst: a hint read under another lock; one total order keeps the argument above simple.
    QUEUED.fetch_add(change, Ordering::SeqCst);
}

/// A number that was not given before, also not before a fork.
fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) // Relaxed: only uniqueness matters
}

/// Hands a call to the innermost thread that waits in its chain, on the same link if one does, else to `inbox`.
pub(crate) fn deliver(mut incoming: Incoming, inbox: &Inbox) {
    if incoming.link.is_pumped() {
        // Not a call back: it comes from this process itself.
        return inbox.push(Work::Call(incoming));
    }
    let mut chains = CHAINS.lock();
    match chains.seat_for(&mut incoming, inbox) {
        Some(seat) => seat.put(seat.calls.len(), incoming),
        None => inbox.push(Work::Call(incoming)),
    }
}

/// The same for a call that was taken and has not begun. Whoever sat down meanwhile has those before it and behind it.
pub(crate) fn deliver_again(mut incoming: Incoming, inbox: &Inbox) {
    let mut chains = CHAINS.lock();
    match chains.seat_for(&mut incoming, inbox) {
        Some(seat) => {
            let is_behind = |other: &Incoming| {
                let distance = other.call.number.wrapping_sub(incoming.call.number);
                Line::of(other) == Line::of(&incoming) && distance < 1 << 31 // numbers begin anew
            };
            let at = seat.calls.iter().position(is_behind).unwrap_or(seat.calls.len());
            seat.put(at, incoming);
        }
        None => inbox.push(Work::Call(incoming)),
    }
}

/// Sits down in `chain`, with the calls of this chain that came before. Chain 0 is no chain.
pub(crate) fn sit(chain: ChainId, link: &Link, waker: Waker) -> ChainSeat {
    if chain == ChainId(0) {
        return ChainSeat::NONE;
    }
    // Held longer than the lock: the drop of an inbox may drop links, which takes other locks.
    let mut inboxes = Vec::new();
    let mut chains = CHAINS.lock();
    let me = thread::current().id();
    chains.begun(|opened| opened.by == me && opened.line.chain == chain);
    let mut calls = VecDeque::new();
    for seat in chains.seats.iter_mut().filter(|seat| seat.chain == chain && seat.waker.is(&waker)) {
        SEATED.fetch_sub(seat.calls.len(), Ordering::SeqCst);
        calls.append(&mut seat.calls);
    }
    let is_within = link.is_leading_here();
    let is_alone =
        is_within && !chains.seats.iter().any(|seat| seat.chain == chain && seat.waker.is(&waker) && !seat.is_within);
    // What waits here alone for a server of this process leaves its own call, or what that calls, to the server.
    if !is_alone && QUEUED.load(Ordering::SeqCst) > 0 {
        inboxes.extend(chains.inboxes.iter().filter_map(Weak::upgrade));
        let (passed_on, own): (Vec<_>, Vec<_>) = (inboxes.iter())
            .flat_map(|inbox| inbox.take_chain(chain, waker.is_loop()).into_iter().map(move |call| (inbox, call)))
            .partition(|(inbox, call)| !Arc::ptr_eq(call.link.inbox(), inbox));
        calls.extend(passed_on.into_iter().chain(own).map(|(_, call)| call)); // what went on from its inbox came before
    }
    SEATED.fetch_add(calls.len(), Ordering::SeqCst);
    if !calls.is_empty() {
        waker.wake();
    }
    let key = next_key();
    chains.seats.push(Seat { key, chain, link: link.id(), thread: me, is_within, waker, calls });
    drop(chains);
    drop(inboxes);
    ChainSeat { key: Some(key), streams: None }
}

/// Takes the oldest work of a shared inbox, and notes a call as about to begin.
pub(crate) fn take_shared(pop: impl FnOnce() -> Option<Work>) -> Option<Work> {
    let mut chains = CHAINS.lock();
    let mut work = pop();
    if let Some(Work::Call(incoming)) = &mut work {
        let key = next_key();
        chains.opening.push(Opened { key, line: Line::of(incoming), by: thread::current().id() });
        incoming.0.opening = Some(Mutex::new(Some(Opening { key })));
    }
    work
}

impl Drop for Opening {
    fn drop(&mut self) {
        CHAINS.lock().begun(|opened| opened.key == self.key);
    }
}

/// Removes a call of `link` that nobody has begun, from a seat or from `inbox`.
pub(crate) fn remove_call(link: &Link, inbox: &Inbox, call: CallId) -> Option<Incoming> {
    let mut chains = CHAINS.lock();
    let of_call = |incoming: &Incoming| incoming.call.call == call && incoming.link.id() == link.id();
    for seat in &mut chains.seats {
        if let Some(at) = seat.calls.iter().position(of_call) {
            SEATED.fetch_sub(1, Ordering::SeqCst);
            return seat.calls.remove(at);
        }
    }
    let removed = inbox.remove_call(link, call);
    // Or from another inbox: what is passed on waits in one of its own.
    removed.or_else(|| chains.inboxes.iter().filter_map(Weak::upgrade).find_map(|other| other.remove_call(link, call)))
}

impl ChainSeat {
    /// No chain.
    pub const NONE: Self = Self { key: None, streams: None };

    /// From now on waits in this seat end with [`Wake::Stream`](crate::Wake::Stream) while one of `inboxes` has something
    /// for [`Taker::Within`] `chain`: a thread that waits for a consumer goes on to produce for it.
    pub fn take_up_streams(&mut self, inboxes: Vec<Arc<Inbox>>, chain: ChainId) {
        self.streams =
            (!inboxes.is_empty()).then_some(Streams { inboxes, taker: Taker::Within(chain, thread::current().id()) });
    }

    /// Whether [`take_up_streams`](Self::take_up_streams) gave it any.
    #[must_use]
    pub const fn takes_up_streams(&self) -> bool {
        self.streams.is_some()
    }

    /// The inboxes of [`take_up_streams`](Self::take_up_streams).
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.streams.as_ref()
    }

    /// Takes what a wait was ended for by [`Wake::Stream`](crate::Wake::Stream).
    #[must_use]
    pub fn take_stream_work(&self) -> Option<Work> {
        let Streams { inboxes, taker } = self.streams.as_ref()?;
        inboxes.iter().find_map(|inbox| inbox.try_take(&mut taker.clone()))
    }

    /// The next call to run in this thread. [`Link::wait`] hands them out as well.
    #[must_use]
    pub fn take_call(&self) -> Option<Incoming> {
        let key = self.key?;
        if SEATED.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut chains = CHAINS.lock();
        let Chains { seats, opening, .. } = &mut *chains;
        let calls = &mut seats.iter_mut().find(|seat| seat.key == key)?.calls;
        let line = Line::of(calls.front()?);
        if opening.iter().any(|opened| opened.line == line) {
            return None; // woken when it has begun
        }
        SEATED.fetch_sub(1, Ordering::SeqCst);
        calls.pop_front()
    }
}

impl Drop for ChainSeat {
    /// Calls left in the seat go to the front of the seat below or of their inboxes, in order.
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut chains = CHAINS.lock();
        let Some(at) = chains.seats.iter().rposition(|seat| seat.key == key) else { return };
        let seat = chains.seats.remove(at);
        let is_below = |below: &&mut Seat| below.chain == seat.chain && below.waker.is(&seat.waker);
        if let Some(below) = chains.seats.iter_mut().rev().find(is_below) {
            let mut calls = seat.calls;
            calls.append(&mut below.calls);
            below.calls = calls;
            return;
        }
        SEATED.fetch_sub(seat.calls.len(), Ordering::SeqCst);
        for incoming in seat.calls.into_iter().rev() {
            let inbox = Arc::clone(incoming.link.inbox());
            inbox.put_back(incoming);
        }
    }
}

/// In a forked child, whose tables are empty: nothing lies in them.
pub(crate) fn reset() {
    SEATED.store(0, Ordering::SeqCst);
    QUEUED.store(0, Ordering::SeqCst);
}
