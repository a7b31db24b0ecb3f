//! Which work a thread may take from an inbox.
//! Owns: the rules of lanes, and of threads that belong to one lane. Must not know: the queue, what a call does.
//!
//! A lane is a thread or a task of the peer. Its calls begin in the order in which they were made. One thread that takes
//! everything in order keeps this by itself. Of several threads, each takes the first call whose lane is not *shut*: a
//! lane is shut when a call of it is taken, and open again when that call has begun, or ended if the threads belong to
//! lanes.

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
    /// Turns of streams that are waited for in this chain, and what peers say of streams: for a thread that waits there,
    /// in the midst of a call.
    Within(ChainId),
}

/// What stands in the way of work.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    shut: Vec<Lane>,
    /// Lanes that have a thread.
    taken: Vec<Lane>,
    /// Coroutines that run where one call runs at a time.
    pub(crate) held: usize,
}

impl Work {
    fn lane(&self) -> Option<Lane> {
        match self {
            Self::Call(incoming) => Some(Lane { link: incoming.link.id(), lane: incoming.call.lane }),
            Self::Turn { link, lane, .. } => Some(Lane { link: link.id(), lane: *lane }),
            _ => None,
        }
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }
}

impl Rules {
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
        if let Taker::Within(own) = taker {
            return match work {
                Work::Turn { chain, .. } => *chain == own,
                Work::Credit { .. } | Work::Awaited { .. } => true,
                _ => false,
            };
        }
        let Some(lane) = work.lane() else { return taker == Taker::Errands };
        let is_shut = work.is_call() && self.shut.contains(&lane);
        match taker {
            Taker::All => true,
            Taker::Errands | Taker::Within(_) => false,
            Taker::Any => !is_shut,
            Taker::New => !is_shut && !self.taken.contains(&lane),
            Taker::Of(own) => !is_shut && own == lane,
        }
    }

    /// `taker` has taken `work`, which it was allowed to. Returns what it takes from now on.
    pub(crate) fn note_taken(&mut self, taker: Taker, work: &Work) -> Taker {
        let (true, Some(lane)) = (work.is_call(), work.lane()) else { return taker };
        match taker {
            Taker::All | Taker::Errands | Taker::Within(_) => return taker,
            Taker::Any => self.shut.push(lane),
            Taker::New | Taker::Of(_) => {
                self.shut.push(lane);
                if taker == Taker::New {
                    self.taken.push(lane);
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
        self.taken.retain(|taken| *taken != lane);
    }

    /// The lanes of `link` that have a thread.
    pub(crate) fn taken_by(&self, link: u64) -> Vec<LaneId> {
        self.taken.iter().filter(|taken| taken.link == link).map(|taken| taken.lane).collect()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
