//! What is known of calls that lost their connection.
//! Owns: the rule, and the end of all tables. Must not know: why the stream ended.
//!
//! Whatever the peer did not get completely has not started, because only complete calls are dispatched.
//!
//! A peer that runs one call at a time, in order of arrival, and sends each answer before it begins the next call, has
//! at most one call of its queue running: the first one that is not answered. Everything behind that one has not
//! started, except calls that run inside another one because the peer waits in their chain. Such a call has the chain
//! of an earlier open one, or a chain that came from outside, which the caller knows (`nested`). A stream may be open
//! while later calls run, so it is never taken for the running one. A call that arrived before one that was answered
//! is not taken for it either: for some reason it was passed over, and nothing is claimed about it.
//!
//! A peer that runs the calls of each lane so has at most one call of each lane running, by the same argument.
//!
//! All of this holds only where the answers were received to their very last byte, which the end of the peer's stream
//! proves and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use super::Connection;
use super::calls::{Call, NOT_QUEUED};
use super::event::Event;
use crate::ids::{ChainId, LaneId};
use crate::message::call::Want;
use crate::message::error_record::Outcome;
use crate::message::hello::Capabilities;

impl<T: Clone> Connection<T> {
    /// The peer ended its stream, by itself or by its death, and everything that arrived was received. Every call of
    /// this side that somebody waits for gives [`Event::Lost`], every exported object [`Event::Released`], and all
    /// tables are empty.
    pub fn disconnect(&mut self) {
        let has = |capability| self.peer.as_ref().is_some_and(|peer| peer.capabilities.has(capability));
        let queues = match (has(Capabilities::SERIAL), has(Capabilities::LANES)) {
            // After a violation nothing more was received, so the last answers are not known.
            _ if self.is_over => Queues::Unknown,
            (true, _) => Queues::One,
            (false, true) => Queues::Lanes,
            (false, false) => Queues::Unknown,
        };
        self.end(queues);
    }

    /// The stream is given up without its end having been seen: this side ends it, or it broke. As
    /// [`disconnect`](Self::disconnect), but the peer may go on with all it got, so less is known of the calls.
    pub fn abandon(&mut self) {
        self.end(Queues::Unknown);
    }

    fn end(&mut self, queues: Queues) {
        self.is_over = true;
        let sent = self.output.sent();
        let answered = self.calls.answered();
        let mut calls = self.calls.drain();
        calls.sort_by_key(|call| call.end);
        let running = queues.running(&calls, answered);
        let mut earlier_chains = BTreeSet::new();
        for call in calls {
            let queue = queues.of(call.lane);
            let is_behind = queue.and_then(|queue| running.get(&queue)).is_some_and(|end| call.end > *end);
            let is_inside = call.is_nested || (call.chain != ChainId(0) && earlier_chains.contains(&call.chain));
            let is_sent = call.end != NOT_QUEUED && call.end <= sent;
            earlier_chains.insert(call.chain);
            let outcome = if !is_sent || (is_behind && !is_inside) { Outcome::NotStarted } else { Outcome::Unknown };
            if let Some(token) = call.token.filter(|_| !call.is_given_up) {
                self.events.push_back(Event::Lost { call: call.id, token, outcome });
            }
        }
        self.events.extend(self.exports.drain().into_iter().map(|object| Event::Released { object }));
        self.imports.clear();
        self.answers.clear();
        self.output.clear();
    }
}

/// How many queues the peer had whose calls it ran one at a time.
#[derive(Clone, Copy)]
enum Queues {
    /// It is not known.
    Unknown,
    One,
    /// One for each lane.
    Lanes,
}

impl Queues {
    /// What tells the queue of a lane from others.
    fn of(self, lane: LaneId) -> Option<LaneId> {
        match self {
            Self::Unknown => None,
            Self::One => Some(LaneId(0)),
            Self::Lanes => Some(lane),
        }
    }

    /// Of each queue the end of the call that may have been running.
    fn running<T>(self, calls: &[Call<T>], answered: u64) -> BTreeMap<LaneId, u64> {
        // Which calls of a lane were answered is not remembered; none is passed over there.
        let answered = if matches!(self, Self::One) { answered } else { 0 };
        let mut running = BTreeMap::new();
        for call in calls.iter().filter(|call| may_be_running(call, answered)) {
            if let Some(queue) = self.of(call.lane) {
                running.entry(queue).or_insert(call.end);
            }
        }
        running
    }
}

fn may_be_running<T>(call: &Call<T>, answered: u64) -> bool {
    call.end > answered && !call.is_nested && call.want != Want::Stream
}
