//! Calls that leave and answers that are given.
//! Owns: the conditions under which a call is accepted. Must not know: how an answer is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use elsewhere_proto::{AnswerRefused, CallId, CallRefused, ChainId, Connection, Inset, LaneId, Reason};

use super::Link;
use crate::clock;
use crate::error::{Arrival, Loss, SubmitError};
use crate::lock::lock;
use crate::parker::{self, Watched};
use crate::pending::Pending;

type Protocol = Connection<Arc<Pending>>;
type Answered = Result<(), AnswerRefused>;

/// A call to make.
#[derive(Debug)]
pub struct Request<'a> {
    /// The calling thread or task; calls of one lane start in the order of their numbers.
    pub lane: LaneId,
    /// The number of this call in its lane.
    pub number: u32,
    /// The chain of waits that this call belongs to; 0 for none.
    pub chain: ChainId,
    /// Whether this chain came in over this very link: the peer then waits for us while it runs this call.
    pub nested: bool,
    /// When the call ends by itself.
    pub deadline: Option<Instant>,
    /// What the memory weighs that it names.
    pub weight: u16,
    /// Call head and steps. Left empty or as it was; to be cleared before its next use.
    pub body: &'a mut Vec<u8>,
    /// What comes back.
    pub expect: Expect,
}

/// What comes back of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// One reply or error.
    Answer,
    /// Nothing at all.
    Nothing,
    /// Items under credit, then an end.
    Items,
}

impl Link {
    /// Sends a call, or queues what the kernel does not take now. Never blocks.
    ///
    /// Returns what to wait on, None where nothing comes back.
    ///
    /// # Errors
    /// [`SubmitError`]; the call has not started and never will, nothing is on the wire.
    pub fn submit(self: &Arc<Self>, request: Request<'_>) -> Result<Option<Arc<Pending>>, SubmitError> {
        self.submit_numbered(request).map(|(_, pending)| pending)
    }

    /// The same; gives the number of the call, too, also where nothing comes back.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_numbered(
        self: &Arc<Self>,
        request: Request<'_>,
    ) -> Result<(CallId, Option<Arc<Pending>>), SubmitError> {
        self.submit_around(request, None)
    }

    /// The same around an inset.
    pub(super) fn submit_around(
        self: &Arc<Self>,
        request: Request<'_>,
        inset: Option<Inset>,
    ) -> Result<(CallId, Option<Arc<Pending>>), SubmitError> {
        if self.is_inherited() {
            return Err(SubmitError::Forked);
        }
        let pending = (request.expect != Expect::Nothing).then(|| Arc::new(Pending::new(request.deadline)));
        let call = self.with_wire_for_call(|wire| {
            if wire.transport.is_none() {
                return Err(None);
            }
            let deadline = request.deadline.map(clock::stamp);
            let token = pending.clone();
            let Request { lane, number, chain, nested, weight, body, .. } = request;
            let is_straight = inset.is_some();
            let protocol = &mut wire.protocol;
            let called = protocol
                .call_around(inset, lane, number, chain, nested, deadline, weight, body, token)
                .map_err(Some)?;
            wire.straight += usize::from(is_straight);
            Ok(called)
        });
        match call {
            Ok(call) => {
                if let Some(pending) = &pending {
                    pending.set_call(call);
                }
                if request.expect == Expect::Items {
                    self.expect_later();
                }
                self.read_far();
                self.touch();
                Ok((call, pending))
            }
            Err(refused) => Err(self.refusal(refused)),
        }
    }

    /// Sends a call that nobody wants an answer of at once, or queues what the kernel does not take now. Never blocks.
    /// Belongs to no chain of calls.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn send_word(self: &Arc<Self>, lane: LaneId, number: u32, body: &mut Vec<u8>) -> Result<(), SubmitError> {
        if self.is_inherited() {
            return Err(SubmitError::Forked);
        }
        let told = self.with_wire(|wire| {
            if wire.transport.is_none() {
                return Err(None);
            }
            wire.protocol.call(lane, number, ChainId(0), false, None, body, None).map_err(Some)
        });
        match told {
            Ok(_) => {
                self.read_far();
                self.touch();
                Ok(())
            }
            Err(refused) => Err(self.refusal(refused)),
        }
    }

    /// Whether something lies here because the kernel took no more, so that a death now would lose it.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.attention.is_blocked()
    }

    /// Gives the peer time to take what lies here, at most `patience`. A peer that let it pass gets no more time until it
    /// has caught up: whoever sends to it is held up once. To be called detached from Python.
    pub fn catch_up(self: &Arc<Self>, patience: Duration) {
        if self.is_inherited() || self.attention.has_lost_patience() {
            return;
        }
        let end = Instant::now() + patience;
        let parker = parker::current();
        while self.is_behind() {
            let left = end.saturating_duration_since(Instant::now());
            let transport = lock(&self.roles).transport().cloned();
            let Some(transport) = transport.filter(|_| !left.is_zero()) else {
                return self.attention.lose_patience();
            };
            let woken = parker.sleep(Some(Watched { transport: &transport, want_write: true }), None, Some(left));
            if woken.readable {
                self.try_read(); // the peer may be waiting for the same
            }
            if woken.writable {
                self.flush();
            }
        }
    }

    fn refusal(&self, refused: Option<CallRefused>) -> SubmitError {
        match (self.loss(), refused) {
            (Some(loss), _) => SubmitError::Lost(loss),
            (None, Some(CallRefused::WindowFull)) => SubmitError::WindowFull,
            (None, Some(CallRefused::TooLarge { len, max })) => SubmitError::TooLarge { len, max },
            (None, Some(CallRefused::NoHead)) => SubmitError::NoHead,
            (None, Some(CallRefused::Closing | CallRefused::Closed) | None) => {
                let told = || self.end.refusal().map(|text| Loss::Refused { text });
                self.trouble().or_else(told).map_or(SubmitError::Closing, |loss| SubmitError::Lost(Arc::new(loss)))
            }
        }
    }

    /// Gives up on a call that was made here. Its end is [`Arrival::Cancelled`]; what the peer still answers is released.
    /// Returns whether it was still open. With `interrupt` the peer also raises in the running call.
    pub fn cancel(self: &Arc<Self>, pending: &Arc<Pending>, interrupt: bool) -> bool {
        if self.is_inherited() || pending.is_done() {
            return false;
        }
        let interrupt = interrupt || pending.is_broken_off();
        self.with_wire(|wire| wire.protocol.cancel(pending.call(), interrupt));
        self.expect_later();
        self.read_far();
        self.complete(pending, Arrival::Cancelled)
    }

    /// Gives up on every stream that was opened here: nobody will read on.
    pub(crate) fn cancel_streams(self: &Arc<Self>) {
        self.with_wire(|wire| wire.protocol.cancel_streams());
    }

    /// Drops the interest in a call whose handle goes away: its answer and items are released, now or when they come.
    /// Never blocks; to be called from the drop of whoever holds a [`Pending`] whose end was not taken.
    pub fn forget(self: &Arc<Self>, pending: &Arc<Pending>) {
        if self.is_inherited() {
            return;
        }
        let remains = pending.forget();
        self.expect_later();
        self.attention_lost(&remains.observers);
        remains.marks.into_iter().for_each(|mark| self.end_mark(mark));
        for body in &remains.bodies {
            self.discard(body);
        }
    }

    /// Grants the peer of a stream `count` more items.
    pub fn credit(self: &Arc<Self>, pending: &Arc<Pending>, count: u32) {
        if self.is_inherited() || pending.is_done() {
            return;
        }
        self.with_wire(|wire| wire.protocol.credit(pending.call(), count));
    }

    /// Says that this side waits for items of a stream inside `chain`, which is not that of the call.
    pub fn wait_for_items(self: &Arc<Self>, pending: &Arc<Pending>, chain: ChainId) {
        if self.is_inherited() || pending.is_done() {
            return;
        }
        self.with_wire(|wire| wire.protocol.wait_for_items(pending.call(), chain));
    }

    /// Answers a call of the peer with the body of a reply. A host sends each answer before it begins its next call, so
    /// that what its peer knows of unanswered calls is exact. After the end of the link it does nothing.
    ///
    /// # Errors
    /// [`AnswerRefused`]; unless it was not open the call still has to be answered.
    pub fn reply(self: &Arc<Self>, call: CallId, lane: LaneId, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        self.answer(|protocol| protocol.reply(call, lane, body))
    }

    /// Answers a call of the peer with the body of an error.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn fail(self: &Arc<Self>, call: CallId, lane: LaneId, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        self.answer(|protocol| protocol.fail(call, lane, body))
    }

    /// Sends `count` items of a stream that a call of the peer opened, at most as many as it granted.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), and when the peer takes fewer.
    pub fn items(
        self: &Arc<Self>,
        call: CallId,
        lane: LaneId,
        count: u32,
        body: &mut Vec<u8>,
    ) -> Result<(), AnswerRefused> {
        self.answer(|protocol| protocol.items(call, lane, count, body))
    }

    /// The same for items that more are likely to follow at once: they may stay here for a moment, at most until the
    /// watch thread's next tick, and are sent together.
    ///
    /// # Errors
    /// As [`items`](Self::items).
    pub fn items_soon(
        self: &Arc<Self>,
        call: CallId,
        lane: LaneId,
        count: u32,
        body: &mut Vec<u8>,
    ) -> Result<(), AnswerRefused> {
        if self.is_inherited() {
            return Ok(());
        }
        let sent = self.with_wire_for_more(|wire| match wire.transport {
            Some(_) => wire.protocol.items(call, lane, count, body),
            None => Err(AnswerRefused::NotOpen),
        });
        self.read_far();
        self.touch();
        sent
    }

    /// How many items the peer takes now of a call that it wants as a stream; None once it gave the stream up, and where
    /// no such stream is open.
    pub fn granted(self: &Arc<Self>, call: CallId) -> Option<u32> {
        if self.is_inherited() {
            return None;
        }
        self.with_wire_for_more(|wire| wire.protocol.granted(call))
    }

    /// Whether the peer gave up a call that is still to be answered: for whoever learns too late what it has to be told.
    pub fn is_given_up(self: &Arc<Self>, call: CallId) -> bool {
        !self.is_inherited() && self.with_wire_for_more(|wire| wire.protocol.is_given_up(call))
    }

    /// A post of the peer is done, however it went. To be called for each of them, or the peer's window fills up.
    pub fn finish(self: &Arc<Self>, call: CallId) {
        let _ = self.answer(|protocol| {
            protocol.finish(call);
            Ok(())
        });
    }

    /// Accepts no more calls of the peer and tells it so; what it has begun to send is still accepted.
    pub fn go_away(self: &Arc<Self>, reason: Reason, text: &str) {
        let _ = self.answer(|protocol| {
            protocol.go_away(reason, text);
            Ok(())
        });
    }

    fn answer(self: &Arc<Self>, operation: impl FnOnce(&mut Protocol) -> Answered) -> Answered {
        if self.is_inherited() {
            return Ok(());
        }
        let answered = self.answer_quietly(operation);
        self.read_far();
        self.touch();
        if self.is_peer_closing() {
            self.wake_servers(); // it may have been the last answer
        }
        answered
    }

    /// The answer alone, for where locks are held.
    pub(super) fn answer_quietly(self: &Arc<Self>, operation: impl FnOnce(&mut Protocol) -> Answered) -> Answered {
        self.with_wire(|wire| match wire.transport {
            Some(_) => operation(&mut wire.protocol),
            None => Err(AnswerRefused::NotOpen),
        })
    }
}
