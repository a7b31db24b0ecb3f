//! What peers want of this process, in the order in which it came.
//! Owns: the queue and those who wait for it. Must not know: sockets, how a call is run.
//!
//! A call whose chain some thread waits in goes to that thread (see `chains`); everything else comes here. The queue is
//! bounded by the windows of the links that fill it.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use elsewhere_proto::{CallId, ChainId, IncomingCall, LaneId};
use elsewhere_shm::Held;
use rustix::event::{EventfdFlags, eventfd};

use crate::chains::{self, Opening};
use crate::exit;
use crate::link::Link;
use crate::lock::lock;
use crate::parker::{self, Parker};
use crate::taker::{Claims, Lane, Rules, Taker};
use crate::turns::Turns;

/// Steps of at least so many bytes may become values without a copy.
const LONG: usize = 64 * 1024;

/// A call of a peer, and the link to answer it on. It is handed on several times on its way to who runs it: so a pointer.
#[derive(Debug)]
pub struct Incoming(pub(crate) Box<Parts>);

/// What it consists of.
#[derive(Debug)]
pub struct Parts {
    /// Where it came from and where its answer goes.
    pub link: Arc<Link>,
    /// The call; its steps are to be had by [`Incoming::steps`].
    pub call: IncomingCall,
    /// The steps, if they are long.
    long: Option<Arc<Held>>,
    /// Held until it has begun, where others wait for that.
    pub(crate) opening: Option<Mutex<Option<Opening>>>,
    /// Whether its chain is waited in here, by no thread that may run it: it stands behind no other call of its lane.
    pub(crate) is_called_back: bool,
}

impl Deref for Incoming {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Incoming {
    /// A call that came by `link`.
    #[must_use]
    pub fn new(link: Arc<Link>, mut call: IncomingCall) -> Self {
        let is_long = call.body.len() >= LONG;
        let long = is_long.then(|| link.hold(std::mem::take(&mut call.body)));
        Self(Box::new(Parts { link, call, long, opening: None, is_called_back: false }))
    }

    /// The lane that it was made in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { link: self.link.id(), lane: self.call.lane }
    }

    /// Both, for themselves.
    #[must_use]
    pub fn into_parts(self) -> (Arc<Link>, IncomingCall) {
        (self.0.link, self.0.call)
    }

    /// The steps of the call: codes and operands as values, one after another.
    #[must_use]
    pub fn steps(&self) -> &[u8] {
        self.long.as_deref().map_or_else(|| self.call.steps(), Held::bytes)
    }

    /// What holds the steps, if they are long.
    #[must_use]
    pub fn held(&self) -> Option<&Arc<Held>> {
        self.long.as_ref()
    }

    /// Everything that the call brought is rebuilt, and it begins now: later calls of its lane may begin after it. Said
    /// by the drop, too; a second time does nothing.
    pub fn begun(&self) {
        self.link.call_begins(self.call.call);
        drop(self.take_opening());
    }

    fn take_opening(&self) -> Option<Opening> {
        lock(self.opening.as_ref()?).take()
    }
}

/// Something to do for a thread that serves an inbox.
#[derive(Debug)]
pub enum Work {
    /// Run this call and answer it, unless it wants no answer.
    Call(Incoming),
    /// The peer gave up on a call that is running or streaming here.
    Cancelled {
        /// Where the call came from.
        link: Arc<Link>,
        /// The call; it still has to be answered.
        call: CallId,
        /// Whether to raise in the running call.
        interrupt: bool,
    },
    /// The peer wants more items of a stream.
    Credit {
        /// Where the call came from.
        link: Arc<Link>,
        /// The call that streams.
        call: CallId,
        /// How many more items.
        count: u32,
    },
    /// The peer waits for items of a stream inside this chain.
    Awaited {
        /// Where the call came from.
        link: Arc<Link>,
        /// The call that streams.
        call: CallId,
        /// Where the peer waits.
        chain: ChainId,
    },
    /// A stream takes its next turn.
    Turn {
        /// Where the call came from.
        link: Arc<Link>,
        /// The call that streams.
        call: CallId,
        /// The lane of that call.
        lane: LaneId,
        /// Where its items are waited for: the chain of the call, or that of [`Work::Awaited`].
        chain: ChainId,
    },
    /// The peer let go of objects: take them from [`Link::take_released`].
    Released {
        /// The link.
        link: Arc<Link>,
    },
    /// An observed call has news, or something else that is kept under a key is to be done.
    Completed(u64),
    /// An observed link is no more.
    Died(u64),
}

/// A queue of [`Work`], filled from any thread.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    /// Whether the queue held something when it was last changed. May say so wrongly. Whoever is woken for work finds it
    /// set: it is set before the wake.
    has_some: AtomicBool,
    /// Whether calls may come to other threads than the one that serves it, because threads wait in chains.
    is_shared: bool,
    /// Whether each lane has a thread of its own.
    is_by_lanes: bool,
    /// Whether there is a sign.
    has_fd: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Work>,
    waiters: Vec<Waiter>,
    rules: Rules,
    /// Of a server: who had a turn when.
    turns: Option<Turns>,
    /// What polls for work watch.
    sign: Option<Sign>,
}

/// An eventfd that is readable while there is work.
#[derive(Debug)]
struct Sign {
    event: OwnedFd,
    is_up: bool,
}

#[derive(Debug)]
struct Waiter {
    parker: Arc<Parker>,
    taker: Taker,
}

impl Inbox {
    /// An empty inbox, served by the only thread that runs what its links bring.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::create(State::default(), false, false)
    }

    /// An empty inbox whose links bring calls for several threads: the one that serves it, and those that wait in chains.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Self::create(State::default(), true, false)
    }

    /// An empty inbox of a host in which each lane has a thread of its own, and the calling one runs the coroutines of all.
    #[must_use]
    pub fn by_lanes() -> Arc<Self> {
        let rules = Rules::by_lanes(Some(thread::current().id()));
        Self::create(State { rules, ..State::default() }, true, true)
    }

    /// An empty inbox for the links of a server, which have their turns one after another.
    #[must_use]
    pub fn of_server() -> Arc<Self> {
        Self::create(State { turns: Some(Turns::default()), ..State::default() }, true, false)
    }

    /// The same where each lane has a thread of its own.
    #[must_use]
    pub fn of_server_by_lanes() -> Arc<Self> {
        let (rules, turns) = (Rules::by_lanes(None), Some(Turns::default()));
        Self::create(State { rules, turns, ..State::default() }, true, true)
    }

    fn create(state: State, is_shared: bool, is_by_lanes: bool) -> Arc<Self> {
        let (state, has_some, has_fd) = (Mutex::new(state), AtomicBool::new(false), AtomicBool::new(false));
        let inbox = Arc::new(Self { state, has_some, is_shared, is_by_lanes, has_fd });
        chains::add_inbox(&inbox);
        inbox
    }

    /// Which threads that wait in the chain of a call may run it: None where all may. Called under the chains' lock.
    pub(crate) fn claims(&self, incoming: &Incoming) -> Option<Claims> {
        self.is_by_lanes.then(|| lock(&self.state).rules.claims(incoming.lane()))
    }

    /// What is readable while there is work. Made when it is first asked for: each change of it is a system call.
    ///
    /// # Errors
    /// Those of `eventfd`.
    pub fn fd(&self) -> io::Result<RawFd> {
        let mut state = lock(&self.state);
        if state.sign.is_none() {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            state.sign = Some(Sign { event, is_up: false });
            state.show();
            self.has_fd.store(true, Ordering::SeqCst); // SeqCst: made once, and asked by whoever polls
        }
        Ok(state.sign.as_ref().map_or(-1, |sign| sign.event.as_raw_fd()))
    }

    /// Whether somebody polls for work.
    #[must_use]
    pub fn has_fd(&self) -> bool {
        self.has_fd.load(Ordering::SeqCst)
    }

    /// Makes an inbox that came over a fork known again, empty.
    pub fn reopen(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.waiters.clear();
        state.rules.clear();
        drop(state);
        chains::add_inbox(self);
    }

    /// Adds work at the end and wakes one thread that waits for it.
    pub fn push(&self, work: Work) {
        let mut state = lock(&self.state);
        if matches!(work, Work::Call(_)) {
            chains::count_queued(1);
        }
        self.has_some.store(true, Ordering::Relaxed); // before the wake; see `has_some`; so everywhere
        state.wake_for(&work);
        state.queue.push_back(work);
        state.show();
    }

    /// Adds a call that was taken from another inbox and has not begun, unless a thread has sat down in its chain since.
    pub fn push_again(&self, call: Incoming) {
        let opening = call.take_opening();
        chains::deliver_again(call, self);
        drop(opening); // now that it can be found here
    }

    /// Adds work that is no call at the front: what follows from the work that was taken last.
    pub fn push_next(&self, work: Work) {
        let mut state = lock(&self.state);
        debug_assert!(!matches!(work, Work::Call(_)), "calls keep their order");
        self.has_some.store(true, Ordering::Relaxed);
        state.wake_for(&work);
        state.queue.push_front(work);
        state.show();
    }

    /// Puts calls back at the front, the first of them first.
    pub(crate) fn put_back(&self, call: Incoming) {
        let mut state = lock(&self.state);
        chains::count_queued(1);
        state.queue.push_front(Work::Call(call));
        state.show();
        self.has_some.store(true, Ordering::Relaxed);
        state.wake_for_first();
    }

    /// Takes the oldest work without waiting.
    #[must_use]
    pub fn try_pop(&self) -> Option<Work> {
        self.try_take(&mut Taker::All)
    }

    /// Takes the oldest work that `taker` may have, without waiting.
    pub fn try_take(&self, taker: &mut Taker) -> Option<Work> {
        let work = if self.is_shared { chains::take_shared(|| self.take(taker)) } else { self.take(taker) }?;
        match &work {
            Work::Call(_) => chains::count_queued(-1),
            Work::Released { link } => link.note_release_told(),
            _ => {}
        }
        Some(work)
    }

    /// Whether there is work that `taker` may have now.
    #[must_use]
    pub fn has_work_for(&self, taker: Taker) -> bool {
        let state = lock(&self.state);
        state.queue.iter().any(|work| state.rules.allow(taker, work))
    }

    /// Whether a thread waits as `taker`.
    #[must_use]
    pub fn is_waited_on(&self, taker: Taker) -> bool {
        lock(&self.state).waiters.iter().any(|waiter| waiter.taker == taker)
    }

    /// The call that shut `lane` when it was taken has begun, or ended: its next call may be taken.
    pub fn open_lane(&self, lane: Lane) {
        lock(&self.state).rules.open(lane);
        self.look_again();
    }

    /// Hands out no call that belongs to no chain here, until [`let_go`](Self::let_go): a coroutine runs, and one call
    /// runs at a time.
    pub fn hold(&self) {
        let mut state = lock(&self.state);
        state.rules.held += 1;
        state.show();
    }

    /// See [`hold`](Self::hold).
    pub fn let_go(&self) {
        lock(&self.state).rules.let_go();
        self.look_again();
    }

    /// Whether an answer waits to be sent to one of the peers has changed.
    pub(crate) fn look_again(&self) {
        let mut state = lock(&self.state);
        state.show();
        state.wake_for_first();
    }

    /// `lane` has no thread any more.
    pub fn free_lane(&self, lane: Lane) {
        lock(&self.state).rules.free(lane);
        self.look_again();
    }

    /// The lanes of a link that have a thread.
    #[must_use]
    pub fn taken_lanes(&self, link: u64) -> Vec<LaneId> {
        lock(&self.state).rules.taken_by(link)
    }

    /// Wakes everybody who waits for work, to look whether there will be any.
    pub fn wake_all(&self) {
        lock(&self.state).waiters.iter().for_each(|waiter| waiter.parker.wake());
    }

    fn take(&self, taker: &mut Taker) -> Option<Work> {
        let mut state = lock(&self.state);
        let State { queue, rules, turns, .. } = &mut *state;
        let at = match turns {
            None => queue.iter().position(|work| rules.allow(*taker, work)),
            Some(turns) => turns.next(queue.iter().map(|work| rules.allow(*taker, work).then_some(work))),
        }?;
        let work = queue.remove(at)?;
        self.has_some.store(!queue.is_empty(), Ordering::Relaxed);
        *taker = rules.note_taken(*taker, &work);
        state.show();
        Some(work)
    }

    /// How many things there are to do.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.state).queue.len()
    }

    /// Whether there seems to be something to do: without the lock, for whoever looks all the time.
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Relaxed) // what there is, is read under the lock
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.state).queue.is_empty()
    }

    /// Waits for work, at most until `tick` is over, a signal comes or the thread is nudged (None: as long as it takes). Drives no link: what
    /// arrives meanwhile is brought here by whoever drives, or by the watch thread.
    #[must_use]
    pub fn wait(&self, tick: Option<Duration>) -> Option<Work> {
        let end = tick.and_then(|tick| Instant::now().checked_add(tick));
        let work = self.wait_until(&mut Taker::All, end, tick.is_some(), &|| false);
        exit::gate();
        work
    }

    /// The same for one of several threads, until `is_over` says so: ask it again with [`wake_all`](Self::wake_all).
    #[must_use]
    pub fn wait_as(&self, taker: &mut Taker, tick: Option<Duration>, is_over: &dyn Fn() -> bool) -> Option<Work> {
        let end = tick.and_then(|tick| Instant::now().checked_add(tick));
        let work = self.wait_until(taker, end, tick.is_some(), is_over);
        exit::gate();
        work
    }

    fn wait_until(
        &self,
        taker: &mut Taker,
        end: Option<Instant>,
        heeds_signals: bool,
        is_over: &dyn Fn() -> bool,
    ) -> Option<Work> {
        let seat = self.sit(parker::current(), *taker);
        loop {
            if is_over() {
                return None;
            }
            if let Some(work) = self.try_take(taker) {
                return Some(work);
            }
            if heeds_signals && seat.parker.take_nudge() {
                return None;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            if seat.parker.sleep(None, None, left).interrupted && heeds_signals {
                return None;
            }
        }
    }

    /// Makes `parker` one of those that new work wakes, until the seat is dropped.
    pub(crate) fn sit(&self, parker: Arc<Parker>, taker: Taker) -> Seat<'_> {
        lock(&self.state).waiters.push(Waiter { parker: Arc::clone(&parker), taker });
        Seat { inbox: self, parker }
    }

    /// Takes the queued calls of one chain that the calling thread may run in a wait, in order, except those that this
    /// process makes itself. Called under the chains' lock. `is_loop`: it waits in an event loop.
    pub(crate) fn take_chain(&self, chain: ChainId, is_loop: bool) -> Vec<Incoming> {
        let mut state = lock(&self.state);
        let me = thread::current().id();
        let mut taken = Vec::new();
        let mut is_called_back = false;
        let State { queue, rules, .. } = &mut *state;
        let mut kept = VecDeque::with_capacity(queue.len());
        for work in queue.drain(..) {
            match work {
                Work::Call(mut incoming) if incoming.call.chain == chain && !incoming.link.is_pumped() => {
                    if !self.is_by_lanes || rules.claims(incoming.lane()).of(me, is_loop).is_some() {
                        taken.push(incoming);
                    } else {
                        incoming.0.is_called_back = true;
                        is_called_back = true;
                        kept.push_back(Work::Call(incoming));
                    }
                }
                other => kept.push_back(other),
            }
        }
        *queue = kept;
        state.show();
        if is_called_back {
            state.wake_for_first();
        }
        chains::count_queued(-(taken.len() as isize));
        taken
    }

    /// Removes a call of `link` that nobody has begun. Called under the chains' lock.
    pub(crate) fn remove_call(&self, link: &Link, call: CallId) -> Option<Incoming> {
        let mut state = lock(&self.state);
        let at = state.queue.iter().position(
            |work| matches!(work, Work::Call(incoming) if incoming.call.call == call && incoming.link.id() == link.id()),
        )?;
        let Some(Work::Call(incoming)) = state.queue.remove(at) else { return None };
        state.show();
        chains::count_queued(-1);
        Some(incoming)
    }

    /// Drops what a lost link had queued: nobody is there to take the answers.
    pub(crate) fn forget(&self, link: &Link) {
        let mut state = lock(&self.state);
        let (gone, kept) = std::mem::take(&mut state.queue).into_iter().partition(|work| match work {
            Work::Call(incoming) => incoming.link.id() == link.id(),
            Work::Cancelled { link: of, .. }
            | Work::Credit { link: of, .. }
            | Work::Awaited { link: of, .. }
            | Work::Turn { link: of, .. } => of.id() == link.id(),
            // The objects of a lost link are released like any others.
            Work::Released { .. } | Work::Completed(_) | Work::Died(_) => false,
        });
        state.queue = kept;
        if let Some(turns) = &mut state.turns {
            turns.forget(link.id());
        }
        state.show();
        drop(state);
        let gone: VecDeque<Work> = gone;
        let calls = gone.iter().filter(|work| matches!(work, Work::Call(_))).count();
        chains::count_queued(-(calls as isize));
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let calls = state.queue.iter().filter(|work| matches!(work, Work::Call(_))).count();
        chains::count_queued(-(calls as isize));
    }
}

impl State {
    /// Has the sign say whether there is work.
    fn show(&mut self) {
        let Some(sign) = &mut self.sign else { return };
        let has_work = self.queue.iter().any(|work| self.rules.allow(Taker::All, work));
        if sign.is_up == has_work {
            return;
        }
        sign.is_up = has_work;
        if has_work {
            let _ = rustix::io::write(&sign.event, &1_u64.to_ne_bytes());
        } else {
            let _ = rustix::io::read(&sign.event, &mut [0_u8; 8]);
        }
    }

    /// Wakes a thread that may take `work`, unless the calling one is such a thread. Returns whether there is one.
    fn wake_for(&self, work: &Work) -> bool {
        let mut allowed = self.waiters.iter().rev().filter(|waiter| self.rules.allow(waiter.taker, work));
        let Some(last) = allowed.next() else { return false };
        if !last.parker.is_own() && !allowed.any(|waiter| waiter.parker.is_own()) {
            last.parker.wake();
        }
        true
    }

    /// Wakes a thread for the oldest work that any of those who wait may take.
    fn wake_for_first(&self) {
        if !self.waiters.is_empty() {
            let _ = self.queue.iter().any(|work| self.wake_for(work));
        }
    }
}

/// A thread's place among those that new work wakes.
pub(crate) struct Seat<'a> {
    inbox: &'a Inbox,
    parker: Arc<Parker>,
}

impl Drop for Seat<'_> {
    /// A wake that was meant for this thread is passed on if work is left and another thread waits for it.
    fn drop(&mut self) {
        let mut state = lock(&self.inbox.state);
        if let Some(at) = state.waiters.iter().rposition(|waiter| Arc::ptr_eq(&waiter.parker, &self.parker)) {
            state.waiters.swap_remove(at);
        }
        state.wake_for_first();
    }
}
