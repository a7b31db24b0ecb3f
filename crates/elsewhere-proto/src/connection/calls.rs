//! Calls that this side made and that are not answered.
//! Owns: their ids, the window, credit of their streams, their deadlines, what is known of them when they are lost.
//! Must not know: bytes, frames.
//!
//! An id is the smallest unused one of a free slot, and the slot that became free last is taken first. So ids rise and
//! are never used again, a table is only as large as the most calls that were open at once, and a program that makes
//! one call after another touches one entry.

use super::slots::{SLOTS, next_id, place};
use super::timers::Timers;
use crate::ids::{CallId, ChainId, LaneId, Timestamp};
use crate::message::call::Want;

/// The position in the stream of what has no position yet.
pub(super) const NOT_QUEUED: u64 = u64::MAX;

/// A call that is not answered.
#[derive(Debug)]
pub(super) struct Call<T> {
    pub(super) id: CallId,
    /// None when nobody ever waited for it.
    pub(super) token: Option<T>,
    /// Whether the caller waits no longer.
    pub(super) is_given_up: bool,
    pub(super) lane: LaneId,
    pub(super) chain: ChainId,
    /// Whether the peer may be waiting in this call's chain.
    pub(super) is_nested: bool,
    pub(super) want: Want,
    pub(super) deadline: Option<Timestamp>,
    /// Bytes that count against the window.
    pub(super) len: usize,
    /// Items granted and not yet received.
    pub(super) credit: u32,
    /// Where in the stream its last byte lies; [`NOT_QUEUED`] while it waits behind others.
    pub(super) end: u64,
}

/// Everything that is not answered.
#[derive(Debug)]
pub(super) struct Calls<T> {
    places: Vec<Option<Call<T>>>,
    free: Vec<usize>,
    last: u64,
    /// How many were ever entered.
    made: u64,
    open: usize,
    len: usize,
    posts: u32,
    posts_len: u64,
    timers: Timers,
    /// The latest end among the calls that a serial peer has answered in their turn.
    answered: u64,
}

impl<T> Calls<T> {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            last: 0,
            made: 0,
            open: 0,
            len: 0,
            posts: 0,
            posts_len: 0,
            timers: Timers::default(),
            answered: 0,
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn made(&self) -> u64 {
        self.made
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn posts(&self) -> u32 {
        self.posts
    }

    pub(super) fn posts_len(&self) -> u64 {
        self.posts_len
    }

    /// Enters a call and gives it its id. None when every slot is taken or ids ran out.
    #[inline]
    pub(super) fn insert(&mut self, mut call: Call<T>) -> Option<CallId> {
        let at = match self.free.last() {
            Some(at) => *at,
            None if self.places.len() < SLOTS => self.places.len(),
            None => return None,
        };
        let id = next_id(self.last, at)?;
        debug_assert_eq!(place(id), at, "id {id} belongs to another slot");
        call.id = CallId(id);
        self.last = id;
        self.made = self.made.saturating_add(1);
        self.open = self.open.saturating_add(1);
        self.len = self.len.saturating_add(call.len);
        if let Some(deadline) = call.deadline {
            self.timers.arm(deadline, CallId(id));
        }
        if self.free.pop().is_none() {
            self.places.push(Some(call));
        } else if let Some(place) = self.places.get_mut(at) {
            debug_assert!(place.is_none(), "slot {at} is taken");
            *place = Some(call);
        }
        Some(CallId(id))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut Call<T>> {
        self.places.get_mut(place(id.0))?.as_mut().filter(|call| call.id == id)
    }

    #[inline]
    pub(super) fn get(&self, id: CallId) -> Option<&Call<T>> {
        self.places.get(place(id.0))?.as_ref().filter(|call| call.id == id)
    }

    /// Takes a call out; its slot is free.
    #[inline]
    pub(super) fn remove(&mut self, id: CallId) -> Option<Call<T>> {
        let at = place(id.0);
        let call = self.places.get_mut(at)?.take_if(|call| call.id == id)?;
        self.free.push(at);
        self.open = self.open.saturating_sub(1);
        self.len = self.len.saturating_sub(call.len);
        if call.deadline.is_some() {
            self.disarm();
        }
        Some(call)
    }

    /// Notes where a call ends in the stream. A post needs its slot no longer.
    pub(super) fn queued(&mut self, id: CallId, end: u64) {
        let Some(call) = self.get_mut(id) else { return };
        call.end = end;
        if call.want == Want::Nothing {
            self.remove(id);
        }
    }

    /// Counts a post until the peer has finished it.
    pub(super) fn count_post(&mut self, len: usize) {
        self.posts = self.posts.saturating_add(1);
        self.posts_len = self.posts_len.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// The peer has finished posts; false if there were fewer.
    pub(super) fn finish_posts(&mut self, count: u32, len: u64) -> bool {
        let (Some(posts), Some(posts_len)) = (self.posts.checked_sub(count), self.posts_len.checked_sub(len)) else {
            return false;
        };
        self.posts = posts;
        self.posts_len = posts_len;
        posts > 0 || posts_len == 0
    }

    /// Remembers that a serial peer ran this call in its turn.
    pub(super) fn note_answered_in_turn(&mut self, call: &Call<T>) {
        if !call.is_nested && call.want != Want::Stream {
            self.answered = self.answered.max(call.end);
        }
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Call<T>> {
        self.places.iter().flatten()
    }

    /// Takes out all calls, in the order of their ids.
    pub(super) fn drain(&mut self) -> Vec<Call<T>> {
        let mut calls: Vec<_> = self.places.drain(..).flatten().collect();
        calls.sort_unstable_by_key(|call| call.id);
        let (last, answered) = (self.last, self.answered);
        *self = Self { last, answered, ..Self::new() };
        calls
    }

    /// When the next deadline passes.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The next call whose deadline has passed and that was not told yet, with what was hung on it. It is given up.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<(CallId, Option<T>)>
    where
        T: Clone,
    {
        while let Some((deadline, id)) = self.timers.pop_due(now) {
            let Some(call) = self.get_mut(id) else { continue };
            if call.deadline == Some(deadline) {
                call.deadline = None;
                call.is_given_up = true;
                let token = call.token.clone();
                self.disarm();
                return Some((id, token));
            }
        }
        None
    }

    /// Nobody waits for the deadline of this call any more.
    pub(super) fn forget_deadline(&mut self, id: CallId) {
        if self.get_mut(id).and_then(|call| call.deadline.take()).is_some() {
            self.disarm();
        }
    }

    fn disarm(&mut self) {
        let places = &self.places;
        self.timers.disarm(|deadline, id| {
            let call = places.get(place(id.0)).and_then(Option::as_ref);
            call.is_some_and(|call| call.id == id && call.deadline == Some(deadline))
        });
    }
}
