//! The roles of the threads that wait on one link.
//! Owns: who sleeps on the stream and who on its own eventfd. Must not know: what is waited for, beyond a question.
//!
//! Of the threads that wait on a link one is the sleeper: it polls the stream beside its own eventfd, and what it reads
//! it hands to whom it concerns. All others poll only their own eventfd. Why no wake is lost:
//!
//! * An answer. A waiter registers (roles lock), is counted by its call (call lock), and looks whether the call has ended
//!   (call lock), in this order. Whoever ends the call does so and reads the count in one section of the call lock, and
//!   then wakes those it finds registered. If the count was still zero, the look comes after that section and sees the
//!   end; if not, the waiter was registered before and is found. The wake is a write to an eventfd and waits there.
//! * The part of the sleeper. It is taken and given up under the roles lock. Whoever leaves and finds others but no
//!   sleeper wakes one of them, and each waiter tries to take the free part after each wake and before each sleep. A
//!   woken waiter that is on its way out passes the wake on by the same rule, as it leaves too. So while threads wait,
//!   either one of them has the part, or one of them has been woken and has not yet looked.
//!   One case is left out: a thread that goes to work and is expected back at once wakes nobody (`pace`). It counts as a use
//!   of the link, so the watch thread looks at its ticks whether the part is still free, and wakes one of them then.
//! * Bytes. The poll of the sleeper tells by level, so bytes that came before it are told at once. If another thread
//!   reads them first (the watch thread, a `drain`), that thread routes what they mean.
//! * Room to write. Whoever leaves bytes behind says so (`ask_for_writer`) after it has set the flag, and wakes the
//!   sleeper, which reads the flag before each poll.
//! * Calls of a waiting chain: see `chains`. Work of an inbox: see `inbox`. Both wake the thread's eventfd after the fact.
//! * The end. Whoever waits for work is woken when the peer says that it makes no more calls, when the last of those is
//!   answered after that, and when the link is over.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use elsewhere_proto::ChainId;

use super::Link;
use super::pace::Pace;
use crate::chains::{self, ChainSeat, Waker};
use crate::exit;
use crate::inbox::{Incoming, Work};
use crate::lock::lock;
use crate::loop_queue::LoopQueue;
use crate::parker::{self, Parker, Watched};
use crate::pending::Pending;
use crate::taker::Taker;
use crate::transport::Transport;

/// A tick of so long is none.
const FAR: Duration = Duration::from_secs(3600);

/// Why a wait ended.
#[derive(Debug)]
pub enum Wake {
    /// What was waited for is there.
    Arrived,
    /// A call of the same chain: run it in this thread, then wait again.
    Call(Incoming),
    /// The caller's patience is over; the call goes on.
    TimedOut,
    /// The tick is over, a signal came or the thread was nudged: see to it, then wait again.
    Tick,
    /// A stream is waited for where this thread waits: do what [`ChainSeat::take_stream_work`] gives, then wait again.
    Stream,
    /// The far end of a pair in this process has work that nobody runs: run one piece of it, then wait again.
    Pump,
    /// There is something in the link's [`Home`](crate::Home): show it, then wait again.
    Home,
}

/// Why a wait for an inbox ended.
#[derive(Debug)]
pub enum InboxWake {
    /// Something to do.
    Work(Work),
    /// The tick is over, a signal came, or the descriptor beside is readable: see to them, then wait again.
    Tick,
    /// The peer is done with us and everything it asked for is done, or it is gone.
    Ended,
}

#[derive(Debug)]
pub(super) struct Roles {
    transport: Option<Arc<Transport>>,
    pub(super) sleeper: Option<u64>,
    waiters: Vec<Waiter>,
    next_key: u64,
    pub(super) pace: Pace,
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    parker: Arc<Parker>,
    pending: Option<Arc<Pending>>,
}

/// How long a wait may last.
#[derive(Clone, Copy, Default)]
struct Patience<'a> {
    /// A descriptor that ends the wait when it is readable.
    beside: Option<BorrowedFd<'a>>,
    until: Option<Instant>,
    tick: Option<Instant>,
    /// Whether a signal ends the wait.
    heeds_signals: bool,
    /// Whether this is one of several threads that serve the link.
    is_one_of_several: bool,
}

enum Driven<T> {
    Done(T),
    Call(Incoming),
    TimedOut,
    Tick,
    Stream,
    Pump,
    Home,
}

impl Roles {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport: Some(transport), sleeper: None, waiters: Vec::new(), next_key: 0, pace: Pace::new() }
    }

    pub(super) fn transport(&self) -> Option<&Arc<Transport>> {
        self.transport.as_ref()
    }

    /// Who sleeps on the stream, or could.
    pub(super) fn sleeper_or_next(&self) -> Option<&Arc<Parker>> {
        let sleeper = self.waiters.iter().find(|waiter| Some(waiter.key) == self.sleeper);
        sleeper.or(self.waiters.first()).map(|waiter| &waiter.parker)
    }

    /// Has the waiter `key` sleep on the stream, instead of a thread that waits there for work.
    fn take_stream(&mut self, key: u64) {
        let Some(sleeper) = self.sleeper else { return };
        let Some(waiter) = self.waiters.iter().find(|waiter| waiter.key == sleeper) else { return };
        if waiter.pending.is_none() {
            self.sleeper = Some(key);
            waiter.parker.wake();
        }
    }

    /// After the end nobody sleeps on the stream any more.
    pub(super) fn drop_transport(&mut self) -> Option<Arc<Transport>> {
        self.transport.take()
    }
}

impl Link {
    /// Sits down in `chain` (0: none) to wait for something that this link brings: see [`ChainSeat`]. Calls of the chain
    /// that nobody has begun come along.
    #[must_use]
    pub fn sit(&self, chain: ChainId) -> ChainSeat {
        chains::sit(chain, self, Waker::Thread(parker::current()))
    }

    /// Waits for news of `pending`: its end, or items of its stream. Drives the link meanwhile.
    ///
    /// `until` bounds the caller's patience, not the call. `tick` bounds the time between two looks at signals; with a
    /// tick a signal also ends the wait at once. Calls that come to `seat` are handed out to be run in this thread.
    /// To be called detached from Python, as everything here that waits.
    #[must_use]
    pub fn wait(
        self: &Arc<Self>,
        pending: &Arc<Pending>,
        until: Option<Instant>,
        tick: Option<Duration>,
        seat: &ChainSeat,
    ) -> Wake {
        if self.is_inherited() {
            self.lose_inherited(pending);
            return Wake::Arrived;
        }
        let patience = Patience::new(until, tick);
        let deadline = pending.deadline();
        self.drive(Some(pending), seat, patience, || {
            if pending.is_ready() {
                return Some(());
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.fire_timers();
            }
            pending.is_ready().then_some(())
        })
        .into()
    }

    /// Waits until `until` for what the peer says of a call that was given up here: see [`Pending::fate`]. Ends also when
    /// it never will say it.
    #[must_use]
    pub fn wait_fate(self: &Arc<Self>, pending: &Arc<Pending>, until: Instant, tick: Option<Duration>) -> Wake {
        let is_over = || (pending.fate().is_some() || self.end.is_over()).then_some(());
        self.wait_quietly(Some(pending), until, tick, is_over)
    }

    /// A wait that no call of the peer belongs to.
    pub(super) fn wait_quietly(
        self: &Arc<Self>,
        pending: Option<&Arc<Pending>>,
        until: Instant,
        tick: Option<Duration>,
        is_over: impl Fn() -> Option<()>,
    ) -> Wake {
        if self.is_inherited() {
            return Wake::TimedOut;
        }
        self.drive(pending, &ChainSeat::NONE, Patience::new(Some(until), tick), is_over).into()
    }

    /// Waits until the window has room for a call of so many bytes (at least those of its body, those of what it lends
    /// included), or the link is no more. Drives the link meanwhile.
    #[must_use]
    pub fn wait_window(self: &Arc<Self>, bytes: usize, tick: Option<Duration>, seat: &ChainSeat) -> Wake {
        self.attention.room_waiters.fetch_add(1, Ordering::SeqCst); // before the first look; see `wake_for_room`
        let driven = self.drive(None, seat, Patience::new(None, tick), || {
            (self.end.is_over() || lock(&self.wire).protocol.has_room(bytes)).then_some(())
        });
        self.attention.room_waiters.fetch_sub(1, Ordering::SeqCst);
        driven.into()
    }

    /// Waits until the peer has said hello, or the link is no more.
    #[must_use]
    pub fn wait_established(self: &Arc<Self>, until: Option<Instant>, tick: Option<Duration>) -> Wake {
        let patience = Patience::new(until, tick);
        let is_over = || (self.end.is_over() || self.hello.get().is_some()).then_some(());
        self.drive(None, &ChainSeat::NONE, patience, is_over).into()
    }

    /// Waits for something to do for the inbox of this link, as the main thread of a host does. Drives the link
    /// meanwhile. While an answer is not sent to its end, no call is handed out.
    #[must_use]
    pub fn wait_inbox(self: &Arc<Self>, tick: Option<Duration>) -> InboxWake {
        self.wait_work(&mut Taker::All, tick, None)
    }

    /// The same for one of several threads, or one that also waits for a descriptor `beside` the stream.
    #[must_use]
    pub fn wait_work(
        self: &Arc<Self>,
        taker: &mut Taker,
        tick: Option<Duration>,
        beside: Option<BorrowedFd<'_>>,
    ) -> InboxWake {
        let seat = self.inbox.sit(parker::current(), *taker);
        let is_one_of_several = *taker != Taker::All && self.attention.is_serving();
        let patience = Patience { beside, is_one_of_several, ..Patience::new(None, tick) };
        let mut look = || {
            if !self.inbox.has_some() {
                return (self.end.is_over() || self.has_nothing_left()).then_some(InboxWake::Ended);
            }
            // Another thread brought it, and may have been interrupted before what came behind it, such as a cancel.
            self.read_rest();
            self.look(taker)
        };
        let driven = self.drive(None, &ChainSeat::NONE, patience, &mut look);
        drop(seat);
        if matches!(driven, Driven::Done(InboxWake::Ended)) {
            self.wake_servers(); // the others, who may have looked when the last answer was not sent to its end
        }
        match driven {
            Driven::Done(wake) => wake,
            Driven::Call(incoming) => InboxWake::Work(Work::Call(incoming)),
            Driven::TimedOut | Driven::Tick | Driven::Stream | Driven::Pump | Driven::Home => InboxWake::Tick,
        }
    }

    /// Waits for work of the inbox, which several links share, until `is_over` says so, and drives this one of them
    /// meanwhile. Whatever it brings is for any link, so that this one is behind with its answers holds nothing back.
    pub(crate) fn wait_for_all(self: &Arc<Self>, tick: Option<Duration>, is_over: &dyn Fn() -> bool) -> InboxWake {
        if !self.inbox.is_empty() {
            self.read(); // so that others which ask all the time do not keep it from being heard
        }
        let seat = self.inbox.sit(parker::current(), Taker::All);
        let driven = self.drive(None, &ChainSeat::NONE, Patience::new(None, tick), || {
            if is_over() {
                return Some(InboxWake::Tick);
            }
            if let Some(work) = self.inbox.try_take(&mut Taker::All) {
                return Some(InboxWake::Work(work));
            }
            self.end.is_over().then_some(InboxWake::Ended)
        });
        drop(seat);
        match driven {
            Driven::Done(wake) => wake,
            Driven::Call(incoming) => InboxWake::Work(Work::Call(incoming)),
            Driven::TimedOut | Driven::Tick | Driven::Stream | Driven::Pump | Driven::Home => InboxWake::Tick,
        }
    }

    /// The same for a thread that leaves the stream to others: calls are not for it.
    #[must_use]
    pub fn wait_errands(self: &Arc<Self>, tick: Option<Duration>, beside: Option<BorrowedFd<'_>>) -> InboxWake {
        let end = tick.and_then(|tick| Instant::now().checked_add(tick));
        let parker = parker::current();
        let seat = self.inbox.sit(Arc::clone(&parker), Taker::Errands);
        let wake = loop {
            if let Some(wake) = self.look(&mut Taker::Errands) {
                break wake;
            }
            if parker.take_nudge() {
                break InboxWake::Tick;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break InboxWake::Tick;
            }
            let woken = parker.sleep(None, beside, left);
            if woken.beside || woken.interrupted {
                break InboxWake::Tick;
            }
        };
        drop(seat);
        exit::gate();
        wake
    }

    /// Whether there is work for `taker`, or will be none any more.
    pub(super) fn look(&self, taker: &mut Taker) -> Option<InboxWake> {
        if self.end.is_over() {
            return Some(InboxWake::Ended);
        }
        match self.inbox.try_take(taker) {
            Some(work) => Some(InboxWake::Work(work)),
            None => self.has_nothing_left().then_some(InboxWake::Ended),
        }
    }

    /// Has the calls of `chain` run by an event loop that waits in it: `queue` is told [`LoopQueue::CALLS`] for each, to be
    /// taken from the seat. Its drop ends it.
    #[must_use]
    pub fn sit_in_loop(&self, chain: ChainId, queue: &Arc<LoopQueue>) -> LoopSeat {
        LoopSeat { chain: chains::sit(chain, self, Waker::Loop(Arc::clone(queue))) }
    }

    /// Takes in what has arrived, without waiting. For `done()` and its like.
    pub fn drain(self: &Arc<Self>) {
        if !self.is_inherited() {
            self.send_held();
            self.try_read();
        }
    }

    /// The one loop of all waits. `look` tells whether the wait is over; it is asked after each wake.
    fn drive<T>(
        self: &Arc<Self>,
        pending: Option<&Arc<Pending>>,
        chain: &ChainSeat,
        patience: Patience<'_>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Driven<T> {
        self.send_held();
        let mut seat = Seat::take(self, pending, patience.is_one_of_several);
        let pumped = self.far.get().and_then(|far| far.pumped.as_deref());
        let pump_seat = pumped.map(|inbox| inbox.sit(Arc::clone(&seat.parker), Taker::All));
        let streams: Vec<_> = chain.streams().map_or_else(Vec::new, |streams| {
            streams.inboxes.iter().map(|inbox| inbox.sit(Arc::clone(&seat.parker), streams.taker)).collect()
        });
        let driven = self.drive_seated(&seat, chain, pending, patience, &mut look);
        seat.goes_to_work = patience.is_one_of_several && matches!(driven, Driven::Done(_));
        drop((streams, pump_seat, seat));
        let comes_back = matches!(driven, Driven::Call(_) | Driven::Home | Driven::Pump | Driven::Stream);
        let takes_answer = pending.is_some() && matches!(driven, Driven::Done(_));
        if !comes_back && !takes_answer {
            self.pass_news_on();
        }
        exit::gate();
        driven
    }

    /// Whoever takes an answer shows what came before it; whoever leaves without one leaves the news to others.
    fn pass_news_on(&self) {
        if let Some(home) = self.home.get().filter(|home| home.is_fresh()) {
            home.tell();
        }
    }

    /// Whether the far end of a pair has work for this thread, after it took in what was sent to it.
    fn far_has_work(&self) -> bool {
        let Some(far) = self.far.get() else { return false };
        self.read_far();
        far.pumped.as_ref().is_some_and(|inbox| !inbox.is_empty())
    }

    fn drive_seated<T>(
        self: &Arc<Self>,
        seat: &Seat<'_>,
        chain: &ChainSeat,
        pending: Option<&Arc<Pending>>,
        patience: Patience<'_>,
        look: &mut dyn FnMut() -> Option<T>,
    ) -> Driven<T> {
        loop {
            if let Some(incoming) = chain.take_call() {
                return Driven::Call(incoming);
            }
            if let Some(found) = look() {
                return Driven::Done(found);
            }
            if let Some(streams) = chain.streams()
                && streams.inboxes.iter().any(|inbox| inbox.has_work_for(streams.taker))
            {
                return Driven::Stream;
            }
            if self.far_has_work() {
                return Driven::Pump;
            }
            if self.home.get().is_some_and(|home| home.claim()) {
                return Driven::Home;
            }
            if seat.parker.take_nudge() {
                return Driven::Tick;
            }
            let left = match patience.left(pending.and_then(|pending| pending.deadline())) {
                Left::For(left) => left,
                Left::NoTime => return Driven::TimedOut,
                Left::NoTick => return Driven::Tick,
            };
            let stream = self.claim_stream(seat.key);
            let want_write = self.attention.is_blocked();
            if patience.beside.is_none()
                && let Some(stream) = stream.as_deref()
                && stream.spin(want_write, || seat.parker.is_woken())
            {
                self.read();
                continue;
            }
            let watched = stream.as_ref().map(|transport| Watched { transport, want_write });
            let woken = seat.parker.sleep(watched, patience.beside, left);
            if woken.readable {
                self.read();
            }
            if woken.writable {
                self.flush();
            }
            if woken.beside || (woken.interrupted && patience.heeds_signals) {
                return Driven::Tick;
            }
        }
    }

    /// The stream, if the waiter `key` is the sleeper or becomes it now. None after the peer's end was seen: the watch
    /// thread then finishes the link, and its end wakes everybody.
    fn claim_stream(&self, key: u64) -> Option<Arc<Transport>> {
        let mut roles = lock(&self.roles);
        if *roles.sleeper.get_or_insert(key) != key || self.end.is_input_over() {
            return None;
        }
        roles.transport.clone()
    }

    pub(super) fn wake_waiters_of(&self, pending: &Arc<Pending>) {
        let of_call = |waiter: &&Waiter| waiter.pending.as_ref().is_some_and(|other| Arc::ptr_eq(other, pending));
        let found = |waiter: &Waiter| (!waiter.parker.is_own()).then(|| Arc::clone(&waiter.parker));
        let parkers: Vec<_> = lock(&self.roles).waiters.iter().filter(of_call).filter_map(found).collect();
        parkers.iter().for_each(|parker| parker.wake());
    }

    /// Wakes whoever waits for work, which may never come any more.
    pub(super) fn wake_servers(&self) {
        self.inbox.wake_all();
    }

    pub(super) fn wake_all(&self) {
        let parkers: Vec<_> = lock(&self.roles).waiters.iter().map(|waiter| Arc::clone(&waiter.parker)).collect();
        parkers.iter().for_each(|parker| parker.wake());
    }

    /// Wakes the sleeper, unless that is this thread, so that it looks at the news. Returns whether anybody waits.
    pub(crate) fn wake_for_news(&self) -> bool {
        let roles = lock(&self.roles);
        if let Some(parker) = roles.sleeper_or_next().filter(|parker| !parker.is_own()) {
            parker.wake();
        }
        !roles.waiters.is_empty()
    }

    /// Wakes the sleeper, so that it polls for what is wanted now. Returns whether anybody waits.
    pub(super) fn wake_sleeper(&self) -> bool {
        let roles = lock(&self.roles);
        if let Some(parker) = roles.sleeper_or_next() {
            parker.wake();
        }
        !roles.waiters.is_empty()
    }
}

/// An event loop's place in a chain that it waits in.
#[derive(Debug)]
pub struct LoopSeat {
    chain: ChainSeat,
}

impl LoopSeat {
    /// The next call to run in the loop's thread.
    #[must_use]
    pub fn take_call(&self) -> Option<Incoming> {
        self.chain.take_call()
    }
}

/// A thread's place among those that wait on a link; its drop leaves it.
struct Seat<'a> {
    link: &'a Arc<Link>,
    key: u64,
    parker: Arc<Parker>,
    pending: Option<&'a Arc<Pending>>,
    /// Whether it leaves with something to do, to come back.
    goes_to_work: bool,
}

impl<'a> Seat<'a> {
    fn take(link: &'a Arc<Link>, pending: Option<&'a Arc<Pending>>, is_one_of_several: bool) -> Self {
        let parker = parker::current();
        let key = {
            let mut roles = lock(&link.roles);
            let key = roles.next_key;
            roles.next_key += 1;
            if is_one_of_several && roles.pace.come(parker.number()) {
                roles.take_stream(key);
            }
            roles.waiters.push(Waiter { key, parker: Arc::clone(&parker), pending: pending.cloned() });
            roles.sleeper.get_or_insert(key);
            key
        };
        link.begin_drive();
        if let Some(pending) = pending {
            pending.begin_wait();
        }
        Self { link, key, parker, pending, goes_to_work: false }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending {
            pending.end_wait();
        }
        let next = {
            let mut roles = lock(&self.link.roles);
            roles.waiters.retain(|waiter| waiter.key != self.key);
            if roles.sleeper == Some(self.key) {
                roles.sleeper = None;
            }
            let is_left = self.goes_to_work && roles.pace.leave(self.parker.number());
            let is_free = roles.sleeper.is_none() && !is_left;
            roles.waiters.first().filter(|_| is_free).map(|waiter| Arc::clone(&waiter.parker))
        };
        if let Some(next) = next {
            next.wake();
        }
        self.link.end_drive();
    }
}

enum Left {
    /// Sleep at most so long.
    For(Option<Duration>),
    NoTime,
    NoTick,
}

impl Patience<'_> {
    fn new(until: Option<Instant>, tick: Option<Duration>) -> Self {
        // No clock is read or set for a tick that is far away: such a wait is one that only signals end.
        let tick_at = tick.filter(|tick| *tick < FAR).and_then(|tick| Instant::now().checked_add(tick));
        Self { beside: None, until, tick: tick_at, heeds_signals: tick.is_some(), is_one_of_several: false }
    }

    /// `deadline` only shortens the sleep; what it means is not the caller's patience.
    fn left(&self, deadline: Option<Instant>) -> Left {
        let Some(next) = [self.until, self.tick, deadline].into_iter().flatten().min() else { return Left::For(None) };
        let now = Instant::now();
        if self.until.is_some_and(|until| until <= now) {
            return Left::NoTime;
        }
        if self.tick.is_some_and(|tick| tick <= now) {
            return Left::NoTick;
        }
        Left::For(Some(next.saturating_duration_since(now)))
    }
}

impl From<Driven<()>> for Wake {
    fn from(driven: Driven<()>) -> Self {
        match driven {
            Driven::Done(()) => Self::Arrived,
            Driven::Call(incoming) => Self::Call(incoming),
            Driven::TimedOut => Self::TimedOut,
            Driven::Tick => Self::Tick,
            Driven::Stream => Self::Stream,
            Driven::Pump => Self::Pump,
            Driven::Home => Self::Home,
        }
    }
}
