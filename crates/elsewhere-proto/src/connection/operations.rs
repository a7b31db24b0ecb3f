//! What this side may do.
//! Owns: the conditions of each operation and the frames it makes. Must not know: why it is done.

use super::body::Inset;
use super::calls::{Call, NOT_QUEUED};
use super::event::Event;
use super::{Connection, WINDOW_BYTES, WINDOW_CALLS};
use crate::codec::{CodecError, offered_references};
use crate::ids::{CallId, ChainId, LaneId, ObjectId, Timestamp};
use crate::message::call::{CallHead, Want};
use crate::message::forget::Forgotten;
use crate::message::frame::{GO_AWAY_TEXT_MAX, Header, Kind, counted};
use crate::violation::{AnswerRefused, CallRefused, Reason, UnknownExport};

impl<T: Clone> Connection<T> {
    /// Makes a call. `body` is a [`CallHead`] and its steps; it is taken where it is long and left as it is where it is
    /// short, so it can be used again after `clear`. `token` comes back in the event that ends the call; with None its
    /// answer becomes [`Event::Late`]. A call that wants [`Want::Nothing`] is a post: no event follows, and `token` is
    /// dropped.
    ///
    /// `number` counts the calls of the lane. `nested` tells that the peer may be waiting in this chain, because the
    /// chain came in from outside; what is known of such a call when it is lost is less. At `deadline` it ends by
    /// [`handle_timeout`](Self::handle_timeout); the time left that the peer is told stands in the head.
    ///
    /// # Errors
    /// [`CallRefused`]; `body` is as before and nothing is on the wire.
    #[expect(clippy::too_many_arguments, reason = "mirrors the header and body of a call")]
    #[inline]
    pub fn call(
        &mut self,
        lane: LaneId,
        number: u32,
        chain: ChainId,
        nested: bool,
        deadline: Option<Timestamp>,
        body: &mut Vec<u8>,
        token: Option<T>,
    ) -> Result<CallId, CallRefused> {
        self.call_around(None, lane, number, chain, nested, deadline, 0, body, token)
    }

    /// The same for a call that names buffers, whose `weight` ([`weight_of`](crate::weight_of)) counts against the window
    /// like the body, or is written around content (`inset`), which is sent from where it lies. Whoever lends that takes it
    /// back with [`keep`](Self::keep), also when all of it was sent.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[expect(clippy::too_many_arguments, reason = "mirrors the header and body of a call")]
    #[inline]
    pub fn call_around(
        &mut self,
        inset: Option<Inset>,
        lane: LaneId,
        number: u32,
        chain: ChainId,
        nested: bool,
        deadline: Option<Timestamp>,
        weight: u16,
        body: &mut Vec<u8>,
        token: Option<T>,
    ) -> Result<CallId, CallRefused> {
        let len = body.len().saturating_add(inset.as_ref().map_or(0, Inset::len));
        let counted = len.saturating_sub(CallHead::LEN).saturating_add(counted(weight));
        let want = self.check_call(body, len, counted)?;
        let is_post = want == Want::Nothing;
        let id = self.calls.insert(Call {
            id: CallId(0),
            token: token.filter(|_| !is_post),
            is_given_up: false,
            lane,
            chain,
            is_nested: nested,
            want,
            deadline: deadline.filter(|_| !is_post),
            len: if is_post || !self.is_long(counted) { 0 } else { counted },
            credit: 0,
            end: NOT_QUEUED,
        });
        let id = id.ok_or(CallRefused::WindowFull)?;
        if is_post {
            self.calls.count_post(counted);
        }
        let header = Header { weight, chain: chain.0, lane: lane.0, number, ..Header::bare(Kind::Call, id.0) };
        if let Some(inset) = inset {
            self.output.push_around(header, body, inset);
        } else if let Some(end) = self.output.push_message(header, body) {
            self.calls.queued(id, end);
        }
        Ok(id)
    }

    #[inline]
    fn check_call(&self, body: &[u8], len: usize, counted: usize) -> Result<Want, CallRefused> {
        let head = CallHead::read(body).map_err(|_| CallRefused::NoHead)?;
        if self.is_over {
            return Err(CallRefused::Closed);
        }
        if self.is_closing {
            return Err(CallRefused::Closing);
        }
        let max = self.peer_max_message();
        if len > max {
            return Err(CallRefused::TooLarge { len, max });
        }
        if !self.has_room(counted) {
            return Err(CallRefused::WindowFull);
        }
        Ok(head.want)
    }

    /// Whether a call of so many bytes, those of what it lends included, would fit the window now.
    #[must_use]
    #[inline]
    pub fn has_room(&self, len: usize) -> bool {
        let posts = usize::try_from(self.calls.posts()).unwrap_or(usize::MAX);
        self.calls.open() < self.config.window_calls.min(WINDOW_CALLS)
            && posts < WINDOW_CALLS
            && (!self.is_long(len) || self.has_room_for_long())
    }

    fn has_room_for_long(&self) -> bool {
        let posts_len = usize::try_from(self.calls.posts_len()).unwrap_or(usize::MAX);
        self.calls.len() < self.config.window_bytes.min(WINDOW_BYTES) && posts_len < WINDOW_BYTES
    }

    /// Whether a call of so many bytes counts for them. Otherwise a single long one, which may take for ever, would keep
    /// every other thread from calling.
    #[inline]
    fn is_long(&self, len: usize) -> bool {
        len >= self.config.window_bytes.min(WINDOW_BYTES) / WINDOW_CALLS
    }

    /// Gives up on a call of this side: its answer becomes [`Event::Late`]. The peer is asked not to begin it, or, with
    /// `interrupt`, to break it off. Does nothing where it is answered already.
    pub fn cancel(&mut self, call: CallId, interrupt: bool) {
        let Some(entry) = self.calls.get_mut(call).filter(|entry| entry.want != Want::Nothing) else { return };
        entry.is_given_up = true;
        self.calls.forget_deadline(call);
        self.send_cancel(call, interrupt);
    }

    /// Gives up on every stream of this side. A peer that finishes what it accepted would wait for credit for ever.
    pub fn cancel_streams(&mut self) {
        let is_stream = |call: &&Call<T>| call.want == Want::Stream && !call.is_given_up;
        let streams: Vec<_> = self.calls.iter().filter(is_stream).map(|call| call.id).collect();
        streams.into_iter().for_each(|call| self.cancel(call, false));
    }

    fn send_cancel(&mut self, call: CallId, interrupt: bool) {
        let header = Header { number: u32::from(interrupt), ..Header::bare(Kind::Cancel, call.0) };
        self.send_after_call(call, header);
    }

    /// Sends a frame about a call of ours, not before the call itself.
    fn send_after_call(&mut self, call: CallId, header: Header) {
        match self.calls.get(call) {
            Some(entry) if entry.end == NOT_QUEUED => self.output.push_after(call, entry.lane, header),
            _ => self.output.push_bare(header),
        }
    }

    /// Takes `n` more items of a stream that a call of this side opened. The sum that is granted and has not come
    /// saturates at `u32::MAX`. Does nothing where the call is answered already or opened no stream.
    pub fn credit(&mut self, call: CallId, n: u32) {
        let Some(entry) = self.calls.get_mut(call).filter(|entry| entry.want == Want::Stream) else { return };
        let sum = entry.credit.saturating_add(n);
        let number = sum.saturating_sub(entry.credit);
        entry.credit = sum;
        if number > 0 {
            self.send_after_call(call, Header { number, ..Header::bare(Kind::Credit, call.0) });
        }
    }

    /// Says that the caller of a stream waits for its items inside `chain`, which is not that of the call (not 0). Does
    /// nothing where the call is answered already or opened no stream.
    pub fn wait_for_items(&mut self, call: CallId, chain: ChainId) {
        let is_open = self.calls.get(call).is_some_and(|entry| entry.want == Want::Stream);
        if is_open && chain.0 != 0 {
            self.send_after_call(call, Header { chain: chain.0, ..Header::bare(Kind::Credit, call.0) });
        }
    }

    /// Ends what has run out of time: each call whose deadline passed gives [`Event::TimedOut`].
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((call, token)) = self.calls.pop_expired(now) {
            let Some(token) = token else { continue };
            self.send_cancel(call, false);
            self.events.push_back(Event::TimedOut { call, token });
        }
    }

    /// Answers a call of the peer with one value. `body` is taken where it is long.
    ///
    /// # Errors
    /// [`AnswerRefused`]; `body` is as before, and the call is still open unless it was not.
    #[inline]
    pub fn reply(&mut self, call: CallId, lane: LaneId, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        self.answer(Kind::Reply, call, lane, body)
    }

    /// Answers a call of the peer with an [`ErrorRecord`](crate::ErrorRecord). `body` is taken where it is long.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn fail(&mut self, call: CallId, lane: LaneId, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        self.answer(Kind::Error, call, lane, body)
    }

    fn answer(&mut self, kind: Kind, call: CallId, lane: LaneId, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        let lane = self.check_answer(call, lane, body)?;
        let released = self.answers.close(call);
        self.part(released);
        self.output.push_message(Header { lane: lane.0, ..Header::bare(kind, call.0) }, body);
        Ok(())
    }

    fn check_answer(&mut self, call: CallId, lane: LaneId, body: &[u8]) -> Result<LaneId, AnswerRefused> {
        if self.is_over {
            return Err(AnswerRefused::NotOpen); // nothing follows the reason of a violation
        }
        let own = self.answers.lane(call).ok_or(AnswerRefused::NotOpen)?;
        debug_assert_eq!(own, lane, "the answer to call {call} names another lane");
        let max = self.peer_max_message();
        if body.len() > max {
            return Err(AnswerRefused::TooLarge { len: body.len(), max });
        }
        Ok(own)
    }

    /// Sends `count` items of a stream that a call of the peer opened, in one frame with those before them where these
    /// were not sent yet. `body` is taken where it is long.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), and [`AnswerRefused::NoCredit`] where the peer takes fewer.
    pub fn items(&mut self, call: CallId, lane: LaneId, count: u32, body: &mut Vec<u8>) -> Result<(), AnswerRefused> {
        let lane = self.check_answer(call, lane, body)?;
        let credit = self.answers.credit(call).ok_or(AnswerRefused::NotOpen)?;
        let granted = *credit;
        if count == 0 || count > granted {
            return Err(AnswerRefused::NoCredit { count, granted });
        }
        *credit = granted.saturating_sub(count);
        self.output.push_items(Header { lane: lane.0, number: count, ..Header::bare(Kind::Items, call.0) }, body);
        Ok(())
    }

    /// How many items the peer takes now of a call that it wants as a stream; None once it gave the stream up, and where
    /// no such stream is open.
    pub fn granted(&mut self, call: CallId) -> Option<u32> {
        self.answers.granted(call)
    }

    /// Whether the peer gave up a call that is still to be answered.
    pub fn is_given_up(&mut self, call: CallId) -> bool {
        self.answers.is_cancelled(call)
    }

    /// A post of the peer is done, however it went. Until it is told so, it counts against the peer's window: who
    /// forgets this ends with a peer that cannot post any more. Returns whether it was an unfinished post.
    pub fn finish(&mut self, call: CallId) -> bool {
        let released = self.answers.finish(call);
        let is_post = released.is_some();
        self.part(released.unwrap_or_default());
        is_post
    }

    /// Everything that a call of the peer names has been looked up; the call itself goes on. Objects that the peer
    /// released after it made the call are gone from now on. Where this is not told, they stay until the answer.
    pub fn begin(&mut self, call: CallId) {
        let released = self.answers.start(call);
        self.part(released);
    }

    /// Tells the peer about finished posts, when it is time.
    #[inline]
    pub(super) fn report_posts(&mut self) {
        if let Some((number, len)) = self.answers.take_finished(self.output.ready_len() > 0) {
            self.output.push_bare(Header { number, chain: len, ..Header::bare(Kind::Credit, 0) });
        }
    }

    /// A new id for an object of this side, with one reference, which is about to be sent.
    pub fn export(&mut self) -> ObjectId {
        self.exports.insert()
    }

    /// One reference more to an exported object is about to be sent.
    ///
    /// # Errors
    /// [`UnknownExport`] if the peer let go of the last one meanwhile; export it anew.
    pub fn grant(&mut self, object: ObjectId) -> Result<(), UnknownExport> {
        self.exports.grant(object)
    }

    /// Takes back a reference that was not sent after all. Returns whether it was the last: the id is gone then.
    pub fn ungrant(&mut self, object: ObjectId) -> bool {
        self.exports.release(object, 1).unwrap_or(false) && self.exports.part(object)
    }

    /// Whether the peer may name this object.
    #[must_use]
    pub fn exported(&self, object: ObjectId) -> bool {
        self.exports.contains(object)
    }

    /// One reference to an object of the peer arrived.
    pub fn imported(&mut self, object: ObjectId) {
        if !self.is_over {
            self.imports.add(object);
        }
    }

    /// Gives back `count` references to an object of the peer, counted by [`imported`](Self::imported) or not. Many of
    /// them make one frame. None of it passes what was queued before.
    pub fn release(&mut self, object: ObjectId, count: u32) {
        self.imports.remove(object, count);
        if self.is_over || count == 0 || object == ObjectId::BOOTSTRAP {
            return;
        }
        let [o0, o1, o2, o3, o4, o5, o6, o7] = object.0.to_le_bytes();
        let [c0, c1, c2, c3] = count.to_le_bytes();
        self.output.push_release([o0, o1, o2, o3, o4, o5, o6, o7, c0, c1, c2, c3]);
    }

    /// Gives back everything that values offer which nobody looked at.
    ///
    /// # Errors
    /// [`CodecError`] if they are no values; then nothing is given back.
    pub fn discard(&mut self, body: &[u8]) -> Result<(), CodecError> {
        for object in offered_references(body, self.config.limits)? {
            self.release(object, 1);
        }
        Ok(())
    }

    /// Says that memory is not named any more.
    pub fn forget(&mut self, what: Forgotten) {
        if !self.is_over {
            let header = Header { number: 1, ..Header::bare(Kind::Forget, 0) };
            match what {
                // Names of it may stand in what waits.
                Forgotten::Shared { .. } => self.output.push_last_with(header, &what.to_bytes()),
                _ => self.output.push_frame(header, &what.to_bytes()),
            }
        }
    }

    /// Asks the peer for a sign of life; [`Event::Pong`] brings `token` back.
    pub fn ping(&mut self, token: u64) {
        if !self.is_over {
            self.pings = self.pings.saturating_add(1);
            self.output.push_bare(Header::bare(Kind::Ping, token));
        }
    }

    /// Makes no more calls and tells the peer so, which finishes what it accepted and ends. A second time does nothing.
    pub fn close(&mut self) {
        self.is_closing = true;
        if !self.is_over && !std::mem::replace(&mut self.is_close_sent, true) {
            self.output.push_last(Header::bare(Kind::Close, 0));
        }
    }

    /// Accepts no more calls of the peer and tells it so: those that it has begun to send are accepted, later ones are
    /// not. `text` is cut at 1,024 bytes. A second time does nothing.
    pub fn go_away(&mut self, reason: Reason, text: &str) {
        if !self.is_over && self.last_accepted.is_none() {
            let last = self.answers.highest();
            self.last_accepted = Some(last.0);
            self.send_go_away(last, reason, text);
        }
    }

    pub(super) fn send_go_away(&mut self, last: CallId, reason: Reason, text: &str) {
        let text = text.get(..text.floor_char_boundary(GO_AWAY_TEXT_MAX)).unwrap_or_default();
        let header = Header { number: reason.0, ..Header::bare(Kind::GoAway, last.0) };
        self.output.push_frame(header, text.as_bytes());
    }
}
