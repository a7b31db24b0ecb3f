//! Which work a thread may take from an inbox.
//! Owns: the rules of lanes, and of threads that belong to one lane. Must not know: the queue, what a call does.
//!
//! A lane is a thread or a task of the peer. Its calls begin in the order in which they were made. One thread that takes
//! everything in order keeps this by itself. Of several threads, each takes the first call whose lane is not *shut*: a
//! lane is shut when a call of it is taken, and open again when that call has begun, or ended if the threads belong to
//! lanes.
//!
//! Where threads belong to lanes, what belongs to a thread (a recursive lock, a database connection) belongs to a caller. So
//! a call of a chain does not run in any thread that waits in this chain, but in that of its lane, see [`Claims`]. It does
//! not wait there for the end of a coroutine of the lane, which may be waiting for it.

use std::thread::{self, ThreadId};

use elsewhere_proto::{ChainId, LaneId};

use crate::inbox::Work;

/// A lane of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// See [`Link::id`](crate::Link::id).
    pub link: u64,
    /// The peer's number for it.
    pub lane: LaneId,
}

/// What a thread takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    /// Everything, in the order in which it came.
    All,
    /// What is no call and no turn of a stream.
    Errands,
    /// Calls and turns of any lane that is not shut.
    Any,
    /// Calls and turns of lanes that no thread has. With a call its lane becomes this thread's.
    New,
    /// Calls and turns of this lane.
    Of(Lane),
    /// Turns of streams that are waited for in this chain, and what peers say of streams: for this thread, which waits
    /// there in the midst of a call.
    Within(ChainId, ThreadId),
}

/// What stands in the way of work.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    shut: Vec<Lane>,
    /// Lanes that have a thread, and which.
    taken: Vec<(Lane, ThreadId)>,
    /// Whether each lane has a thread of its own.
    is_by_lanes: bool,
    /// The thread of a host that runs the coroutines of all lanes.
    main: Option<ThreadId>,
    /// Coroutines that run where one call runs at a time.
    pub(crate) held: usize,
}

/// Which threads that wait in the chain of a call may run it where each lane has a thread of its own: that thread, and no
/// other if there is one. A lane without one, whose call comes back to the threads of other lanes, is a part of what one of
/// these does. What only waits in the same process is no lane's thread.
#[derive(Debug)]
pub(crate) struct Claims {
    own: Option<ThreadId>,
    others: Vec<ThreadId>,
    main: Option<ThreadId>,
}

impl Claims {
    /// How well a thread suits the call, None if not at all. `is_loop`: it waits in an event loop.
    ///
    /// The main thread of a host that waits elsewhere than in its loop keeps that from running, and so has to run what
    /// comes back itself, or tell that it cannot.
    pub(crate) fn of(&self, thread: ThreadId, is_loop: bool) -> Option<u8> {
        if self.own == Some(thread) {
            return Some(2);
        }
        let is_stuck = self.main == Some(thread) && !is_loop;
        (is_stuck || self.own.is_none() && self.others.contains(&thread)).then_some(1)
    }
}

impl Work {
    fn lane(&self) -> Option<Lane> {
        match self {
            Self::Call(incoming) => Some(incoming.lane()),
            Self::Turn { link, lane, .. } => Some(Lane { link: link.id(), lane: *lane }),
            _ => None,
        }
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }

    /// Whether it is behind the call that shut its lane.
    fn is_held_by_lane(&self) -> bool {
        matches!(self, Self::Call(incoming) if !incoming.is_called_back)
    }
}

impl Rules {
    /// Those of threads that each belong to a lane. In a host, the thread `main` runs the coroutines of all.
    pub(crate) fn by_lanes(main: Option<ThreadId>) -> Self {
        Self { is_by_lanes: true, main, ..Self::default() }
    }

    /// Whether a thread that waits elsewhere than in a loop may do something of `lane` meanwhile.
    fn lets(&self, thread: ThreadId, lane: Lane) -> bool {
        !self.is_by_lanes || self.claims(lane).of(thread, false).is_some()
    }

    /// Which threads may run a call of `lane` in the midst of a wait.
    pub(crate) fn claims(&self, lane: Lane) -> Claims {
        let own = self.taken.iter().find(|(taken, _)| *taken == lane).map(|(_, thread)| *thread);
        Claims { own, others: self.taken.iter().map(|(_, thread)| *thread).collect(), main: self.main }
    }

    /// Whether `taker` may take `work` now. Nobody may take a call of a peer to which an answer is not sent to its end: the
    /// call may end this process, and the peer knows how far its calls got by what is answered.
    pub(crate) fn allow(&self, taker: Taker, work: &Work) -> bool {
        if let Work::Call(call) = work
            && call.link.is_behind()
        {
            return false;
        }
        if taker == Taker::All {
            return self.held == 0 || work.lane().is_none();
        }
        if let Taker::Within(own, thread) = taker {
            return match work {
                Work::Turn { chain, .. } => *chain == own && work.lane().is_some_and(|lane| self.lets(thread, lane)),
                Work::Credit { .. } | Work::Awaited { .. } => true,
                _ => false,
            };
        }
        let Some(lane) = work.lane() else { return taker == Taker::Errands };
        let is_shut = work.is_held_by_lane() && self.shut.contains(&lane);
        match taker {
            Taker::All => true,
            Taker::Errands | Taker::Within(..) => false,
            Taker::Any => !is_shut,
            Taker::New => !is_shut && !self.taken.iter().any(|(taken, _)| *taken == lane),
            Taker::Of(own) => !is_shut && own == lane,
        }
    }

    /// `taker` has taken `work`, which it was allowed to. Returns what it takes from now on.
    pub(crate) fn note_taken(&mut self, taker: Taker, work: &Work) -> Taker {
        let (true, Some(lane)) = (work.is_call(), work.lane()) else { return taker };
        match taker {
            Taker::All | Taker::Errands | Taker::Within(..) => return taker,
            Taker::Any => self.shut.push(lane),
            Taker::New | Taker::Of(_) => {
                self.shut.push(lane);
                if taker == Taker::New {
                    self.taken.push((lane, thread::current().id()));
                }
                return Taker::Of(lane);
            }
        }
        taker
    }

    /// One of those that held the calls lets them go.
    pub(crate) fn let_go(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// The call that shut `lane` has begun, or ended.
    pub(crate) fn open(&mut self, lane: Lane) {
        if let Some(at) = self.shut.iter().position(|shut| *shut == lane) {
            self.shut.swap_remove(at);
        }
    }

    /// `lane` has no thread any more.
    pub(crate) fn free(&mut self, lane: Lane) {
        self.taken.retain(|(taken, _)| *taken != lane);
    }

    /// The lanes of `link` that have a thread.
    pub(crate) fn taken_by(&self, link: u64) -> Vec<LaneId> {
        self.taken.iter().filter(|(taken, _)| taken.link == link).map(|(taken, _)| taken.lane).collect()
    }

    /// In a forked child, whose only thread is the calling one.
    pub(crate) fn clear(&mut self) {
        let main = self.main.map(|_| thread::current().id());
        *self = Self { is_by_lanes: self.is_by_lanes, main, ..Self::default() };
    }
}
