//! The host in a simulated peer: it runs one call at a time, and calls of a chain that waits here at once.
//! Owns: when a call starts, goes on and is answered. Must not know: the network, what callers do.

use elsewhere_proto::{CallId, ChainId, ErrorKind, ErrorRecord, IncomingCall, LaneId, ObjectId, Outcome, Want};

use crate::ledger::Ledger;
use crate::peer::{Peer, Serial, at};
use crate::random::Random;

/// A call of the peer that runs here.
pub(crate) struct Task {
    pub(crate) incoming: IncomingCall,
    pub(crate) serial: Serial,
    /// A call made inside it that it waits for.
    pub(crate) waits_for: Option<CallId>,
    pub(crate) is_cancelled: bool,
    pub(crate) is_interrupted: bool,
}

pub(crate) struct Stream {
    pub(crate) call: CallId,
    pub(crate) lane: LaneId,
    pub(crate) serial: Serial,
    pub(crate) credit: u64,
    pub(crate) left: u64,
}

impl Peer {
    pub(crate) fn on_call(&mut self, incoming: IncomingCall) {
        let target = incoming.head.target;
        assert!(target == ObjectId::BOOTSTRAP || self.own.contains(&target), "target {target} is gone");
        let next = self.heard.entry(incoming.lane).or_default();
        assert_eq!(incoming.number, *next, "calls of lane {} changed their order", incoming.lane);
        *next += 1;
        self.queue.push_back(incoming);
    }

    pub(crate) fn on_cancelled(&mut self, call: CallId, interrupt: bool, ledger: &mut Ledger) {
        if let Some(at) = self.queue.iter().position(|incoming| incoming.call == call) {
            let incoming = self.queue.remove(at).unwrap();
            self.refuse(&incoming, ErrorKind::Cancelled, ledger);
        } else if let Some(task) = self.stacks.values_mut().flatten().find(|task| task.incoming.call == call) {
            task.is_cancelled = true;
            task.is_interrupted |= interrupt;
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.call == call) {
            stream.left = 0;
        }
    }

    /// Answers a call that was not begun.
    fn refuse(&mut self, incoming: &IncomingCall, kind: ErrorKind, ledger: &mut Ledger) {
        self.discard(incoming.steps(), ledger);
        if incoming.head.want == Want::Nothing {
            assert!(self.connection.finish(incoming.call));
        } else {
            self.send_error(incoming.call, incoming.lane, kind, Outcome::NotStarted);
        }
    }

    fn send_error(&mut self, call: CallId, lane: LaneId, kind: ErrorKind, outcome: Outcome) {
        let mut body = Vec::new();
        ErrorRecord::plain(kind, outcome, "refused").encode(&mut body).unwrap();
        self.connection.fail(call, lane, &mut body).unwrap();
    }

    /// What the host does next: calls of a chain that waits here at once, others one after another.
    pub(crate) fn run(&mut self, now: u64, random: &mut Random, ledger: &mut Ledger) {
        // A serial host has handed over its answers before it begins anything.
        if self.connection.transmit_len() == 0 {
            self.start_next(now, ledger);
            self.produce_some(random, ledger);
        }
        let chains: Vec<_> = self.stacks.keys().copied().collect();
        if let Some(chain) = random.pick(&chains).copied() {
            self.go_on(chain, now, random, ledger);
        }
    }

    fn waits_in(&self, chain: ChainId) -> bool {
        self.open.values().any(|(_, open, _)| *open == chain)
    }

    fn start_next(&mut self, now: u64, ledger: &mut Ledger) {
        let inner = self.queue.iter().position(|incoming| self.waits_in(incoming.chain));
        let place = match (inner, self.main) {
            (Some(place), _) => place,
            (None, None) if !self.queue.is_empty() => 0,
            _ => return,
        };
        let incoming = self.queue.remove(place).unwrap();
        if incoming.expires.is_some_and(|expires| expires < at(now)) {
            self.refuse(&incoming, ErrorKind::Expired, ledger);
            return;
        }
        let target = incoming.head.target;
        assert!(target == ObjectId::BOOTSTRAP || self.own.contains(&target), "target {target} is gone");
        let serial = self.import(incoming.steps(), ledger);
        ledger.start(serial);
        if !serial.is_multiple_of(3) {
            self.connection.begin(incoming.call);
        }
        let chain = incoming.chain;
        if inner.is_none() {
            self.main = Some(chain);
        }
        let task = Task { incoming, serial, waits_for: None, is_cancelled: false, is_interrupted: false };
        self.stacks.entry(chain).or_default().push(task);
    }

    fn go_on(&mut self, chain: ChainId, now: u64, random: &mut Random, ledger: &mut Ledger) {
        let stack = self.stacks.get_mut(&chain).unwrap();
        let depth = stack.len();
        let task = stack.last_mut().unwrap();
        if let Some(call) = task.waits_for.filter(|call| self.open.contains_key(call)) {
            // Two hosts may wait for each other once a caller between them gave up; so everybody gives up some day.
            if random.chance(2) {
                self.cancel(call, random, ledger);
            }
            return;
        }
        let is_stream = task.incoming.head.want == Want::Stream;
        if !task.is_interrupted && !is_stream && depth < 4 && random.chance(30) {
            let call = self.call(chain, true, now, random, ledger);
            self.stacks.get_mut(&chain).unwrap().last_mut().unwrap().waits_for = call;
            return;
        }
        let task = stack.pop().unwrap();
        if stack.is_empty() {
            self.stacks.remove(&chain);
            if self.main == Some(chain) {
                self.main = None;
            }
        }
        self.answer(&task, random, ledger);
    }

    fn answer(&mut self, task: &Task, random: &mut Random, ledger: &mut Ledger) {
        let (call, lane) = (task.incoming.call, task.incoming.lane);
        match task.incoming.head.want {
            Want::Stream => {
                let left = if task.is_cancelled { 0 } else { random.next() % 8 };
                self.streams.push(Stream { call, lane, serial: task.serial, credit: 0, left });
                self.catch_up(call);
                return;
            }
            Want::Nothing => {
                ledger.finish(task.serial);
                assert!(self.connection.finish(call));
                return;
            }
            _ => ledger.finish(task.serial),
        }
        if task.is_interrupted || random.chance(10) {
            self.send_error(call, lane, ErrorKind::Raised, Outcome::Finished);
            return;
        }
        let mut body = Vec::new();
        self.write_values(task.serial, &mut body, random, ledger);
        self.connection.reply(call, lane, &mut body).unwrap();
        assert!(self.connection.reply(call, lane, &mut body).is_err(), "a second answer was accepted");
    }

    /// Credit may have come before the stream was begun: asking for too much tells how much there is.
    fn catch_up(&mut self, call: CallId) {
        let stream = self.streams.last_mut().unwrap();
        let refused = self.connection.items(call, stream.lane, u32::MAX, &mut vec![]);
        if let Err(elsewhere_proto::AnswerRefused::NoCredit { granted, .. }) = refused {
            stream.credit = u64::from(granted);
        }
    }

    /// Each batch of items is a turn in the queue of a serial host.
    fn produce_some(&mut self, random: &mut Random, ledger: &mut Ledger) {
        if self.main.is_some() || self.streams.is_empty() {
            return;
        }
        let at = random.below(self.streams.len());
        let Stream { call, lane, serial, credit, left } = self.streams[at];
        if left == 0 {
            self.streams.swap_remove(at);
            ledger.finish(serial);
            self.connection.reply(call, lane, &mut vec![0xc0]).unwrap();
            return;
        }
        let count = credit.min(left).min(1 + random.next() % 3);
        if count == 0 {
            return;
        }
        let mut body = Vec::new();
        for _ in 0..count {
            self.write_values(serial, &mut body, random, ledger);
        }
        self.connection.items(call, lane, count as u32, &mut body).unwrap();
        self.streams[at].credit -= count;
        self.streams[at].left -= count;
    }
}
