//! What each message of the peer does.
//! Owns: which message is legal when, and its effect on the tables. Must not know: how frames are cut.

use super::Connection;
use super::answers::Found;
use super::assemble::{Body, Step};
use super::calls::NOT_QUEUED;
use super::event::{Event, IncomingCall};
use super::transmit::RELEASE_LEN;
use crate::ids::{CallId, ChainId, LaneId, ObjectId, Timestamp};
use crate::message::call::{CallHead, Want};
use crate::message::error_record::{ErrorKind, ErrorRecord, Outcome};
use crate::message::forget::{FORGOTTEN_LEN, Forgotten};
use crate::message::frame::{Header, Kind, counted};
use crate::message::hello::Capabilities;
use crate::message::hello::Hello;
use crate::violation::{Reason, Violation};

/// Answers to pings that may wait to be sent.
const PONGS_MAX: u32 = 1024;

impl<T: Clone> Connection<T> {
    /// Takes in what came from the stream, cut anywhere. `now` is the time of arrival.
    ///
    /// # Errors
    /// [`Violation`] if the peer broke the protocol. The connection is over then; a GOAWAY with the reason is queued,
    /// and [`disconnect`](Self::disconnect) tells what is lost.
    pub fn receive(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Violation> {
        self.receive_at(bytes, || now)
    }

    /// The same for whoever has to ask for the time, which only calls with a limit need.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_at(&mut self, bytes: &[u8], now: impl Fn() -> Timestamp) -> Result<(), Violation> {
        if self.is_over {
            return Err(Violation::Over);
        }
        self.received = self.received.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.take_in(bytes, &now).inspect_err(|violation| self.reject(violation))
    }

    fn take_in(&mut self, mut bytes: &[u8], now: &impl Fn() -> Timestamp) -> Result<(), Violation> {
        loop {
            let mut step = self.input.step(&mut bytes);
            if self.peer.is_none() && step.is_err() {
                return Err(Violation::NotOurs);
            }
            if let Ok(Step::Header(header)) = step {
                self.admit(&header)?;
                step = self.input.expect(header, &mut bytes);
            }
            match step? {
                Step::Message(header, body) => self.handle(header, body, now)?,
                Step::Hungry | Step::Header(_) if bytes.is_empty() => return Ok(()),
                Step::Hungry | Step::Header(_) => {}
            }
        }
    }

    /// The peer is told why and gets nothing else any more.
    fn reject(&mut self, violation: &Violation) {
        let text = violation.to_string();
        self.output.drop_waiting();
        self.send_go_away(self.answers.highest(), violation.reason(), &text);
        self.is_over = true;
    }

    /// Whether a frame with this header is legal now, before its body is kept.
    #[inline]
    fn admit(&mut self, header: &Header) -> Result<(), Violation> {
        let id = CallId(header.id);
        if self.peer.is_none() {
            return match header.kind {
                Kind::Hello if header.id != crate::MAGIC => Err(Violation::NotOurs),
                Kind::Hello => Ok(()),
                kind => Err(Violation::BeforeHello { kind }),
            };
        }
        match header.kind {
            Kind::Hello => Err(Violation::SecondHello),
            Kind::Call if header.weight != 0 && !self.takes_buffers() => Err(Violation::BuffersNotAgreed),
            Kind::Forget if !self.takes_buffers() => Err(Violation::BuffersNotAgreed),
            Kind::Call if self.input.is_begun(header) => Ok(()),
            Kind::Call if self.is_peer_closing => Err(Violation::CallAfterClose { call: id }),
            Kind::Call => {
                let least = header.len.saturating_sub(CallHead::LEN).saturating_add(counted(header.weight));
                self.answers.begin(id, least)
            }
            Kind::Reply | Kind::Error => self.admit_answer(id).map(drop),
            Kind::Items => {
                let (want, credit) = self.admit_answer(id)?;
                let is_granted = want == Want::Stream && (1..=credit).contains(&header.number);
                if is_granted { Ok(()) } else { Err(Violation::NoCredit { call: id }) }
            }
            _ => Ok(()),
        }
    }

    fn admit_answer(&self, id: CallId) -> Result<(Want, u32), Violation> {
        let call = self.calls.get(id).filter(|call| call.end != NOT_QUEUED && call.want != Want::Nothing);
        call.map(|call| (call.want, call.credit)).ok_or(Violation::UnknownAnswer { call: id })
    }

    #[inline]
    fn handle(&mut self, header: Header, body: Body<'_>, now: &impl Fn() -> Timestamp) -> Result<(), Violation> {
        let call = CallId(header.id);
        match header.kind {
            Kind::Hello => self.on_hello(&header, body.as_slice()),
            Kind::Call => self.on_call(&header, body, now),
            Kind::Reply => self.on_answer(call, body, true),
            Kind::Error => self.on_answer(call, body, false),
            Kind::Items => self.on_items(&header, body),
            Kind::Cancel => self.on_cancel(call, header.number & 1 != 0),
            Kind::Release => self.on_release(header.number, body.as_slice()),
            Kind::Credit if call.0 == 0 => self.on_finished_posts(&header),
            Kind::Credit => self.on_credit(call, header.number, ChainId(header.chain)),
            Kind::Ping => self.on_ping(header.id),
            Kind::Pong => self.on_pong(header.id),
            Kind::GoAway => self.on_go_away(&header, body.as_slice()),
            Kind::Close => self.on_close(),
            Kind::Forget => self.on_forget(header.number, body.as_slice()),
        }
    }

    fn on_hello(&mut self, header: &Header, body: &[u8]) -> Result<(), Violation> {
        let hello = Hello::read(header, body)?;
        self.peer = Some(hello.clone());
        self.events.push_back(Event::Established(hello));
        Ok(())
    }

    #[inline]
    fn on_call(&mut self, header: &Header, body: Body<'_>, now: &impl Fn() -> Timestamp) -> Result<(), Violation> {
        let call = CallId(header.id);
        let gone = body.gone();
        let (head, body) = body.into_call()?;
        if self.last_accepted.is_some_and(|last| call.0 > last) {
            self.answers.refuse(call);
            self.events.push_back(Event::Late { call, token: None, outcome: None, body });
            return Ok(());
        }
        let lane = LaneId(header.lane);
        let len = body.len().saturating_add(gone).saturating_add(counted(header.weight));
        self.answers.complete(call, lane, head.want, len);
        let chain = ChainId(header.chain);
        let number = header.number;
        let expires = head.deadline.map(|left| Timestamp(now().0.saturating_add(left)));
        self.events.push_back(Event::Call(IncomingCall { call, lane, number, chain, head, expires, body, gone }));
        Ok(())
    }

    #[inline]
    fn on_answer(&mut self, call: CallId, body: Body<'_>, is_reply: bool) -> Result<(), Violation> {
        let is_reply = is_reply && body.gone() == 0;
        // Before the call leaves the table: it must end even if there is no memory for this.
        let body = if body.gone() > 0 { record_of_gone(body.gone())? } else { body.into_vec()? };
        let entry = self.calls.remove(call).ok_or(Violation::UnknownAnswer { call })?;
        let outcome = if is_reply {
            Outcome::Finished
        } else {
            ErrorRecord::peek(&body).map_or(Outcome::Unknown, |(_, outcome)| outcome)
        };
        if outcome != Outcome::NotStarted {
            self.calls.note_answered_in_turn(&entry);
        }
        self.events.push_back(match (entry.token, is_reply) {
            (Some(token), true) if !entry.is_given_up => Event::Reply { call, token, body },
            (Some(token), false) if !entry.is_given_up => Event::Failed { call, token, body },
            (token, _) => Event::Late { call, token, outcome: Some(outcome), body },
        });
        Ok(())
    }

    fn on_items(&mut self, header: &Header, body: Body<'_>) -> Result<(), Violation> {
        let (call, count) = (CallId(header.id), header.number);
        let entry = self.calls.get_mut(call).ok_or(Violation::UnknownAnswer { call })?;
        entry.credit = entry.credit.checked_sub(count).ok_or(Violation::NoCredit { call })?;
        let (token, is_given_up) = (entry.token.clone(), entry.is_given_up);
        let body = body.into_vec()?;
        self.events.push_back(match token {
            Some(token) if !is_given_up => Event::Items { call, token, count, body },
            token => Event::Late { call, token, outcome: None, body },
        });
        Ok(())
    }

    fn on_cancel(&mut self, call: CallId, interrupt: bool) -> Result<(), Violation> {
        if self.answers.cancel(call)? {
            self.events.push_back(Event::Cancelled { call, interrupt });
        }
        Ok(())
    }

    fn on_credit(&mut self, call: CallId, n: u32, chain: ChainId) -> Result<(), Violation> {
        match self.answers.find(call)? {
            Found::Open(credit) if n > 0 || chain.0 != 0 => {
                *credit = credit.checked_add(n).ok_or(Violation::BadCredit { call })?;
                if n > 0 {
                    self.events.push_back(Event::Credit { call, n });
                }
                if chain.0 != 0 {
                    self.events.push_back(Event::Awaited { call, chain });
                }
                Ok(())
            }
            Found::Answered => Ok(()),
            Found::Open(_) | Found::NoStream => Err(Violation::BadCredit { call }),
        }
    }

    fn on_finished_posts(&mut self, header: &Header) -> Result<(), Violation> {
        let is_counted = header.number > 0 && self.calls.finish_posts(header.number, header.chain);
        if is_counted { Ok(()) } else { Err(Violation::BadCredit { call: CallId(0) }) }
    }

    fn on_release(&mut self, number: u32, body: &[u8]) -> Result<(), Violation> {
        let (entries, rest) = body.as_chunks::<RELEASE_LEN>();
        if entries.is_empty() || !rest.is_empty() || u32::try_from(entries.len()) != Ok(number) {
            return Err(Violation::BadRelease);
        }
        for &[o0, o1, o2, o3, o4, o5, o6, o7, c0, c1, c2, c3] in entries {
            let object = ObjectId(u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]));
            let count = u32::from_le_bytes([c0, c1, c2, c3]);
            if count == 0 {
                return Err(Violation::BadRelease);
            }
            if self.exports.release(object, count)? && !self.answers.defer_release(object) {
                self.part([object]);
            }
        }
        Ok(())
    }

    /// The release of these objects takes effect.
    pub(super) fn part(&mut self, objects: impl IntoIterator<Item = ObjectId>) {
        for object in objects {
            if self.exports.part(object) {
                self.events.push_back(Event::Released { object });
            }
        }
    }

    fn on_ping(&mut self, token: u64) -> Result<(), Violation> {
        if self.pongs >= PONGS_MAX {
            return Err(Violation::PingFlood);
        }
        self.pongs = self.pongs.saturating_add(1);
        self.output.push_bare(Header::bare(Kind::Pong, token));
        Ok(())
    }

    fn on_pong(&mut self, token: u64) -> Result<(), Violation> {
        self.pings = self.pings.checked_sub(1).ok_or(Violation::UnknownPong)?;
        self.events.push_back(Event::Pong { token });
        Ok(())
    }

    fn on_go_away(&mut self, header: &Header, body: &[u8]) -> Result<(), Violation> {
        let text = std::str::from_utf8(body).map_err(|_| Violation::BadText)?.to_owned();
        let last = CallId(header.id);
        self.is_closing = true;
        self.output.drop_calls_after(last);
        self.events.push_back(Event::GoAway { last, reason: Reason(header.number), text }); // why they are lost, first
        let lost: Vec<_> = self.calls.iter().map(|call| call.id).filter(|id| *id > last).collect();
        for call in lost {
            let Some(entry) = self.calls.remove(call) else { continue };
            if let Some(token) = entry.token.filter(|_| !entry.is_given_up) {
                self.events.push_back(Event::Lost { call, token, outcome: Outcome::NotStarted });
            }
        }
        Ok(())
    }

    /// Whether this side told the peer that it takes buffers.
    fn takes_buffers(&self) -> bool {
        self.config.hello.capabilities.has(Capabilities::BUFFERS)
    }

    fn on_forget(&mut self, number: u32, body: &[u8]) -> Result<(), Violation> {
        let (entries, rest) = body.as_chunks::<FORGOTTEN_LEN>();
        if entries.is_empty() || !rest.is_empty() || u32::try_from(entries.len()) != Ok(number) {
            return Err(Violation::BadForget);
        }
        for entry in entries {
            let what = Forgotten::from_bytes(*entry).ok_or(Violation::BadForget)?;
            self.events.push_back(Event::Forgotten(what));
        }
        Ok(())
    }

    fn on_close(&mut self) -> Result<(), Violation> {
        if self.is_peer_closing || self.answers.is_arriving() {
            return Err(Violation::BadClose);
        }
        self.is_peer_closing = true;
        self.events.push_back(Event::Closing);
        Ok(())
    }
}

/// What stands for an answer that there was no memory for.
fn record_of_gone(len: usize) -> Result<Vec<u8>, Violation> {
    let text = format!("its answer of {len} bytes came, and there was no memory for it");
    let mut body = Vec::new();
    let record = ErrorRecord::plain(ErrorKind::Result, Outcome::Finished, text);
    record.encode(&mut body).map(|()| body).map_err(|_| Violation::NoMemory { len })
}
