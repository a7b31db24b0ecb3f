//! What is to be sent, in which order.
//! Owns: the bytes that wait for the stream, and messages too large to be sent at once. Must not know: tables.
//!
//! Short messages become bytes at once. Long ones wait in lines and go in chunks, one line after another, whenever few
//! bytes are left to send; so short messages pass them. What must not pass waits in the same line: calls of one lane,
//! answers to calls of one lane. A release or a close passes nothing that was there before it, for it may take away
//! what that names.
//!
//! What of a long message is sent next is not copied: it is lent to whoever sends, behind the bytes that go before it.

use std::collections::VecDeque;

use super::body::{Body, Inset};
use crate::ids::{CallId, LaneId};
use crate::message::frame::{CHUNK_MAX, HEADER_LEN, Header, Kind};

/// Longer messages are not copied but taken, and sent in chunks when their turn comes.
const SHORT_MAX: usize = 64 * 1024;
/// A chunk is added when fewer bytes than this are left to send.
const LOW_WATER: usize = 64 * 1024;
/// A shorter chunk is copied behind what is there.
const LENT_MIN: usize = 16 * 1024;
/// What may be kept of a buffer that was larger once: room for a chunk behind what is left to send when it is added.
const KEPT: usize = 512 * 1024;
/// Entries of one RELEASE.
const RELEASES_MAX: usize = CHUNK_MAX / RELEASE_LEN;
/// Length of an entry in a RELEASE: object id, count.
pub(super) const RELEASE_LEN: usize = 12;

#[derive(Debug, Default)]
pub(super) struct Transmit {
    ready: Vec<u8>,
    /// How much of `ready` is sent.
    head: usize,
    /// The body of the frame whose header is the end of `ready`, if it was not copied there.
    lent: Option<Lent>,
    /// What is sent after that.
    behind: Vec<u8>,
    /// The frame of items at the end of what is ready, if nothing of it is sent.
    last_items: Option<ItemsFrame>,
    /// How much was ever sent.
    sent: u64,
    lines: VecDeque<Line>,
    barriers: VecDeque<Barrier>,
    /// Bytes of the messages in `lines` that are not in `ready` yet.
    waiting: usize,
    /// Whole length of the messages of which a part is sent.
    begun: usize,
    /// Bytes of short messages since the last chunk.
    passed: usize,
    next_turn: u64,
    releases: Vec<u8>,
}

/// A part of a message that is sent from where it is.
#[derive(Debug)]
struct Lent {
    /// The turn of the message.
    of: u64,
    /// Its body, once it waits in no line any more.
    body: Option<Body>,
    from: usize,
    to: usize,
}

/// Messages that must not pass each other.
#[derive(Debug)]
struct Line {
    name: Name,
    queue: VecDeque<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Calls(LaneId),
    Answers(LaneId),
}

#[derive(Debug)]
struct Message {
    turn: u64,
    header: Header,
    body: Body,
    sent: usize,
    is_begun: bool,
    /// Frames that concern it and follow it at once.
    after: Vec<Header>,
}

/// A frame of items that more may be added to.
#[derive(Clone, Copy, Debug)]
struct ItemsFrame {
    /// Where it begins and ends in what ends there.
    at: usize,
    end: usize,
    header: Header,
}

/// A frame that passes nothing that was there before it.
#[derive(Debug)]
struct Barrier {
    turn: u64,
    frame: Vec<u8>,
}

/// A call whose last byte has its place in the stream.
pub(super) struct Queued {
    pub(super) call: CallId,
    pub(super) end: u64,
}

impl Transmit {
    /// Everything that is not sent, in bytes of bodies and headers that are known.
    pub(super) fn len(&self) -> usize {
        let barriers: usize = self.barriers.iter().map(|barrier| barrier.frame.len()).sum();
        self.ready_len().saturating_add(self.waiting).saturating_add(self.releases.len()).saturating_add(barriers)
    }

    #[inline]
    pub(super) fn ready_len(&self) -> usize {
        let rest = self.ready.len().saturating_sub(self.head);
        match &self.lent {
            None => rest,
            Some(lent) => rest.saturating_add(lent.to.saturating_sub(lent.from)).saturating_add(self.behind.len()),
        }
    }

    /// What is ready ends with these.
    #[inline]
    fn tail(&mut self) -> &mut Vec<u8> {
        if self.lent.is_none() { &mut self.ready } else { &mut self.behind }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The position in the stream after everything that is ready.
    fn end(&self) -> u64 {
        self.sent.saturating_add(u64::try_from(self.ready_len()).unwrap_or(u64::MAX))
    }

    /// Queues bytes that are a frame already.
    pub(super) fn push_bytes(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        frame(self.tail());
    }

    /// Queues a frame without a body.
    #[inline]
    pub(super) fn push_bare(&mut self, header: Header) {
        self.push_frame(header, &[]);
    }

    #[inline]
    pub(super) fn push_frame(&mut self, mut header: Header, body: &[u8]) {
        header.len = body.len();
        let tail = self.tail();
        tail.extend_from_slice(&header.to_bytes());
        tail.extend_from_slice(body);
    }

    /// Queues a message of calls or answers. Gives the position of its end, or None where it has to wait. A body that
    /// is long is taken, a short one left as it is.
    #[inline]
    pub(super) fn push_message(&mut self, header: Header, body: &mut Vec<u8>) -> Option<u64> {
        if body.len() <= SHORT_MAX && (self.lines.is_empty() || !self.has_line(name(&header))) {
            self.push_frame(header, body);
            self.passed = self.passed.saturating_add(body.len());
            return Some(self.end());
        }
        self.wait(header, Body::from(taken(body)));
        None
    }

    /// Queues a message around content that is lent. It waits in any case.
    pub(super) fn push_around(&mut self, header: Header, body: &mut Vec<u8>, inset: Inset) {
        self.wait(header, Body::around(taken(body), CallId(header.id), inset));
    }

    /// Queues items of a stream as [`push_message`](Self::push_message) does, in one frame with those right before them
    /// where these are still here.
    #[inline]
    pub(super) fn push_items(&mut self, header: Header, body: &mut Vec<u8>) {
        if self.extend_items(&header, body) {
            return;
        }
        let at = self.tail().len();
        if self.push_message(header, body).is_some() {
            let end = self.tail().len();
            self.last_items = Some(ItemsFrame { at, end, header: Header { len: body.len(), ..header } });
        }
    }

    fn extend_items(&mut self, header: &Header, body: &[u8]) -> bool {
        let must_wait = !self.lines.is_empty() && self.has_line(name(header));
        let tail = if self.lent.is_none() { &mut self.ready } else { &mut self.behind };
        let Some(frame) = &mut self.last_items else { return false };
        let is_last = frame.end == tail.len() && frame.header.id == header.id;
        let len = frame.header.len.saturating_add(body.len());
        let number = frame.header.number.checked_add(header.number);
        let Some((number, place)) = number.zip(tail.get_mut(frame.at..).and_then(<[u8]>::first_chunk_mut)) else {
            return false;
        };
        if must_wait || !is_last || len > SHORT_MAX {
            return false;
        }
        frame.header = Header { len, number, ..frame.header };
        *place = frame.header.to_bytes();
        tail.extend_from_slice(body);
        frame.end = tail.len();
        self.passed = self.passed.saturating_add(body.len());
        true
    }

    fn has_line(&self, name: Name) -> bool {
        self.lines.iter().any(|line| line.name == name)
    }

    fn wait(&mut self, header: Header, body: Body) {
        self.waiting = self.waiting.saturating_add(body.len()).saturating_add(HEADER_LEN);
        let turn = self.take_turn();
        let message = Message { turn, header, body, sent: 0, is_begun: false, after: Vec::new() };
        let name = name(&header);
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.queue.push_back(message),
            None => self.lines.push_back(Line { name, queue: VecDeque::from([message]) }),
        }
    }

    fn take_turn(&mut self) -> u64 {
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        turn
    }

    /// Queues a frame without a body behind a call that waits, or at once if it does not wait.
    pub(super) fn push_after(&mut self, call: CallId, lane: LaneId, header: Header) {
        let line = self.lines.iter_mut().find(|line| line.name == Name::Calls(lane));
        let message = line.and_then(|line| line.queue.iter_mut().find(|message| message.header.id == call.0));
        match message {
            Some(message) => message.after.push(header),
            None => self.push_bare(header),
        }
    }

    /// Queues a frame without a body behind everything that is there.
    pub(super) fn push_last(&mut self, header: Header) {
        self.push_last_with(header, &[]);
    }

    /// Queues a frame behind everything that is there.
    pub(super) fn push_last_with(&mut self, header: Header, body: &[u8]) {
        self.flush_releases();
        if self.lines.is_empty() {
            self.push_frame(header, body);
        } else {
            let turn = self.take_turn();
            let header = Header { len: body.len(), ..header };
            self.barriers.push_back(Barrier { turn, frame: [&header.to_bytes(), body].concat() });
        }
    }

    /// Queues the release of references behind everything that is there.
    pub(super) fn push_release(&mut self, entry: [u8; RELEASE_LEN]) {
        if self.releases.len() >= RELEASES_MAX.saturating_mul(RELEASE_LEN) {
            self.flush_releases();
        }
        self.releases.extend_from_slice(&entry);
    }

    /// Makes a frame of the releases that were gathered. It is made late, so that many become one; what was queued
    /// meanwhile it does not pass either, which does no harm.
    fn flush_releases(&mut self) {
        if self.releases.is_empty() {
            return;
        }
        let mut entries = std::mem::take(&mut self.releases);
        let number = u32::try_from(entries.len().checked_div(RELEASE_LEN).unwrap_or(0)).unwrap_or(0);
        let header = Header { number, ..Header::bare(Kind::Release, 0) };
        if self.lines.is_empty() {
            self.push_frame(header, &entries);
            entries.clear();
            self.releases = entries;
            return;
        }
        let turn = self.take_turn();
        let header = Header { len: entries.len(), ..header };
        let mut frame = Vec::with_capacity(HEADER_LEN.saturating_add(entries.len()));
        frame.extend_from_slice(&header.to_bytes());
        frame.extend_from_slice(&entries);
        self.barriers.push_back(Barrier { turn, frame });
    }

    /// To be called before bytes are taken: adds what may be sent now. Call it again as long as it gives a call.
    #[inline]
    pub(super) fn refill(&mut self, max_begun: usize) -> Option<Queued> {
        if !self.releases.is_empty() {
            self.flush_releases();
        }
        while !self.lines.is_empty() && (self.is_low() || self.passed > CHUNK_MAX) {
            self.passed = 0;
            let queued = self.push_chunk(max_begun);
            if queued.is_some() {
                return queued;
            }
        }
        None
    }

    fn is_low(&self) -> bool {
        self.lent.is_none() && self.ready_len() < LOW_WATER
    }

    /// Sends one chunk of the next line that may go on. What is begun may always go on, so there is one.
    fn push_chunk(&mut self, max_begun: usize) -> Option<Queued> {
        for _ in 0..self.lines.len() {
            let mut line = self.lines.pop_front()?;
            let message = line.queue.front_mut()?;
            let is_room = self.begun == 0 || self.begun.saturating_add(message.body.len()) <= max_begun;
            if !message.is_begun && !is_room {
                self.lines.push_back(line);
                continue;
            }
            let is_finished = Self::push_part(
                (&mut self.ready, &mut self.lent, &mut self.behind),
                &mut self.begun,
                &mut self.waiting,
                message,
            );
            self.last_items = None;
            let mut finished = if is_finished { line.queue.pop_front() } else { None };
            if !line.queue.is_empty() {
                self.lines.push_back(line);
            }
            return finished.as_mut().and_then(|message| self.finish(message));
        }
        None
    }

    /// Appends the next chunk of a message; tells whether it was the last.
    fn push_part(
        (ready, lent, behind): (&mut Vec<u8>, &mut Option<Lent>, &mut Vec<u8>),
        begun: &mut usize,
        waiting: &mut usize,
        message: &mut Message,
    ) -> bool {
        let piece = message.body.piece(message.sent);
        let chunk = piece.get(..CHUNK_MAX).unwrap_or(piece);
        let to = message.sent.saturating_add(chunk.len());
        let has_more = to < message.body.len();
        if !message.is_begun {
            message.is_begun = true;
            *begun = begun.saturating_add(message.body.len());
            *waiting = waiting.saturating_sub(HEADER_LEN);
        }
        let header = Header { len: chunk.len(), has_more, ..message.header };
        if lent.is_none() && chunk.len() >= LENT_MIN {
            ready.extend_from_slice(&header.to_bytes());
            *lent = Some(Lent { of: message.turn, body: None, from: message.sent, to });
        } else {
            let tail = if lent.is_none() { ready } else { behind };
            tail.reserve_exact(HEADER_LEN.saturating_add(chunk.len())); // and not twice as much, to be given back soon
            tail.extend_from_slice(&header.to_bytes());
            tail.extend_from_slice(chunk);
        }
        *waiting = waiting.saturating_sub(chunk.len());
        message.sent = to;
        !has_more
    }

    fn finish(&mut self, message: &mut Message) -> Option<Queued> {
        self.begun = self.begun.saturating_sub(message.body.len());
        if let Some(lent) = self.lent.as_mut().filter(|lent| lent.of == message.turn) {
            lent.body = Some(std::mem::take(&mut message.body));
        }
        let end = self.end();
        for header in &message.after {
            self.push_bare(*header);
        }
        self.pass_barriers();
        (message.header.kind == Kind::Call).then_some(Queued { call: CallId(message.header.id), end })
    }

    /// Sends the barriers that nothing older waits before.
    fn pass_barriers(&mut self) {
        let oldest = self.lines.iter().filter_map(|line| line.queue.front()).map(|message| message.turn).min();
        while let Some(barrier) = self.barriers.pop_front_if(|barrier| oldest.is_none_or(|turn| turn > barrier.turn)) {
            self.tail().extend_from_slice(&barrier.frame);
        }
    }

    /// The bytes to send now: those that are ready, and those behind them that are lent. None if there is neither.
    #[inline]
    pub(super) fn ready(&self) -> Option<[&[u8]; 2]> {
        let first = self.ready.get(self.head..).unwrap_or_default();
        let second = self.lent.as_ref().map_or(&[][..], |lent| self.bytes(lent));
        (!first.is_empty() || !second.is_empty()).then_some([first, second])
    }

    fn bytes<'a>(&'a self, lent: &'a Lent) -> &'a [u8] {
        let in_line =
            || self.lines.iter().filter_map(|line| line.queue.front()).find(|message| message.turn == lent.of);
        let body = lent.body.as_ref().or_else(|| in_line().map(|message| &message.body));
        let len = lent.to.saturating_sub(lent.from);
        body.and_then(|body| body.piece(lent.from).get(..len)).unwrap_or_default()
    }

    /// The stream took this many bytes.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.ready_len(), "more bytes sent than there were");
        let count = count.min(self.ready_len());
        self.last_items = None;
        self.sent = self.sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let of_ready = count.min(self.ready.len().saturating_sub(self.head));
        self.head = self.head.saturating_add(of_ready);
        if self.head == self.ready.len() {
            self.ready.clear();
            self.ready.shrink_to(KEPT);
            self.head = 0;
            self.advance_lent(count.saturating_sub(of_ready));
        } else if self.head > LOW_WATER && self.head > self.ready.len() / 2 {
            self.ready.drain(..self.head);
            self.head = 0;
        }
    }

    /// The stream took everything before what is lent, and this much of it.
    fn advance_lent(&mut self, count: usize) {
        let Some(lent) = &mut self.lent else { return };
        lent.from = lent.from.saturating_add(count).min(lent.to);
        if lent.from == lent.to {
            self.lent = None;
            std::mem::swap(&mut self.ready, &mut self.behind);
        }
    }

    /// How much of content that is lent to a call was sent. None once all of it was, or its message is no more.
    pub(super) fn sent_of(&mut self, call: CallId) -> Option<usize> {
        self.around(call)
            .filter(|(body, from)| body.lent_before(*from) < body.lent_before(body.len()))
            .map(|(body, from)| body.lent_before(from))
    }

    /// Puts a copy in place of content that was lent to a call, without its first `from` bytes, of which no more was sent.
    pub(super) fn keep(&mut self, call: CallId, from: usize, bytes: Vec<u8>) {
        if let Some((body, _)) = self.around(call) {
            body.keep(from, bytes);
        }
    }

    /// The body of a call around content that is lent, and how much of it was sent.
    fn around(&mut self, call: CallId) -> Option<(&mut Body, usize)> {
        let mut messages = self.lines.iter_mut().flat_map(|line| &mut line.queue);
        if let Some(message) = messages.find(|message| message.body.is_lent_to(call)) {
            let lent = self.lent.as_ref().filter(|lent| lent.of == message.turn);
            let sent = lent.map_or(message.sent, |lent| lent.from);
            return Some((&mut message.body, sent));
        }
        let lent = self.lent.as_mut()?;
        let from = lent.from;
        lent.body.as_mut().filter(|body| body.is_lent_to(call)).map(|body| (body, from))
    }

    /// Takes out the calls above `last` of which nothing was sent.
    pub(super) fn drop_calls_after(&mut self, last: CallId) {
        for line in &mut self.lines {
            if matches!(line.name, Name::Calls(_)) {
                line.queue.retain(|message| message.is_begun || message.header.id <= last.0);
            }
        }
        self.lines.retain(|line| !line.queue.is_empty());
        let messages = self.lines.iter().flat_map(|line| &line.queue);
        self.waiting = messages
            .map(|message| {
                let rest = message.body.len().saturating_sub(message.sent);
                if message.is_begun { rest } else { rest.saturating_add(HEADER_LEN) }
            })
            .sum();
        self.pass_barriers();
    }

    /// Forgets what is not bytes yet; the stream ends after what is ready.
    pub(super) fn drop_waiting(&mut self) {
        let lent = self.lent.take().map(|lent| {
            let (body, len) = (self.bytes(&lent).to_vec(), lent.to.saturating_sub(lent.from));
            Lent { body: Some(Body::from(body)), from: 0, to: len, ..lent }
        });
        let (ready, behind) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.behind));
        *self = Self { ready, head: self.head, lent, behind, sent: self.sent, ..Self::default() };
    }

    /// Forgets everything; nothing can be sent any more.
    pub(super) fn clear(&mut self) {
        *self = Self { sent: self.sent, ..Self::default() };
    }
}

fn name(header: &Header) -> Name {
    let lane = LaneId(header.lane);
    if header.kind == Kind::Call { Name::Calls(lane) } else { Name::Answers(lane) }
}

/// The bytes of a message: taken where they are long, or else a copy.
fn taken(body: &mut Vec<u8>) -> Vec<u8> {
    if body.len() > SHORT_MAX { std::mem::take(body) } else { body.clone() }
}
