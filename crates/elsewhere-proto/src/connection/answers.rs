//! Calls that the peer made and that this side has not answered.
//! Owns: which ids the peer may use, what it may still send, credit that it granted, which releases must wait. Must not
//! know: bytes, frames, what a call does.
//!
//! A call names objects that the peer may release as soon as it is sent. The release must not take effect before the
//! call has been begun. So calls are counted by epochs: a release that comes while calls wait belongs to the epoch of
//! the last one and ends it, later calls belong to the next. Once all calls of an epoch and of those before it are
//! begun, its releases take effect.

use std::collections::VecDeque;

use super::slots::{SLOTS, place};
use super::{LONG_CALL, WINDOW_BYTES, WINDOW_CALLS};
use crate::ids::{CallId, LaneId, ObjectId};
use crate::message::call::Want;
use crate::violation::Violation;

/// A peer that counts otherwise than we do is not cut off for it: it may exceed the window by this factor.
const SLACK: usize = 2;
/// Finished posts are told to the peer at the latest when they are this part of the window.
const TOLD_PART: usize = 4;

/// What became of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing is open here.
    #[default]
    Free,
    /// The first frame of a call came, the last one did not.
    Arriving,
    /// To be answered.
    Open,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The last id that used it.
    last: u64,
    stage: Stage,
    is_stream: bool,
    is_begun: bool,
    /// The peer gave it up.
    is_cancelled: bool,
    lane: LaneId,
    len: usize,
    credit: u32,
    epoch: u64,
}

/// A call that is not answered when it is done.
#[derive(Debug)]
struct Post {
    id: CallId,
    len: usize,
    is_begun: bool,
    epoch: u64,
}

/// Calls that came before some releases and after others.
#[derive(Debug, Default)]
struct Epoch {
    waiting: usize,
    releases: Vec<ObjectId>,
}

/// What a call of so many bytes counts against the window.
fn counted(len: usize) -> usize {
    if len < LONG_CALL { 0 } else { len }
}

#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: Vec<Slot>,
    highest: u64,
    open: usize,
    arriving: usize,
    len: usize,
    posts: VecDeque<Post>,
    epochs: VecDeque<Epoch>,
    /// The number of the first one in `epochs`.
    first_epoch: u64,
    finished: u32,
    finished_len: u64,
}

/// What the peer's credit met.
pub(super) enum Found<'a> {
    Open(&'a mut u32),
    NoStream,
    Answered,
}

impl Answers {
    /// Calls to be answered, posts included.
    pub(super) fn open(&self) -> usize {
        self.open.saturating_add(self.posts.len())
    }

    pub(super) fn is_arriving(&self) -> bool {
        self.arriving > 0
    }

    /// The highest id that the peer has used.
    pub(super) fn highest(&self) -> CallId {
        CallId(self.highest)
    }

    /// The first frame of a call came.
    ///
    /// # Errors
    /// [`Violation`] if its id was used before, its slot is taken, or the window is exceeded, which a call may that is
    /// not `least` bytes long.
    #[inline]
    pub(super) fn begin(&mut self, id: CallId, least: usize) -> Result<(), Violation> {
        let is_full = least >= LONG_CALL && self.len >= WINDOW_BYTES.saturating_mul(SLACK);
        if is_full || self.posts.len() >= WINDOW_CALLS.saturating_mul(SLACK) {
            return Err(Violation::WindowExceeded);
        }
        let at = place(id.0);
        if at >= self.slots.len() {
            self.slots.resize(at.saturating_add(1).min(SLOTS), Slot::default());
        }
        match self.slots.get_mut(at) {
            Some(slot) if slot.stage == Stage::Free && id.0 > slot.last => {
                *slot = Slot { last: id.0, stage: Stage::Arriving, ..Slot::default() };
            }
            _ => return Err(Violation::ReusedCall { call: id }),
        }
        self.highest = self.highest.max(id.0);
        self.arriving = self.arriving.saturating_add(1);
        Ok(())
    }

    /// The last frame of a call came.
    #[inline]
    pub(super) fn complete(&mut self, id: CallId, lane: LaneId, want: Want, len: usize) {
        self.arriving = self.arriving.saturating_sub(1);
        self.len = self.len.saturating_add(counted(len));
        let epoch = self.join_epoch();
        let Some(slot) = self.slots.get_mut(place(id.0)) else { return };
        debug_assert_eq!((slot.last, slot.stage), (id.0, Stage::Arriving), "a call that was not begun");
        if want == Want::Nothing {
            slot.stage = Stage::Free;
            self.posts.push_back(Post { id, len, is_begun: false, epoch });
        } else {
            *slot = Slot { stage: Stage::Open, is_stream: want == Want::Stream, lane, len, epoch, ..*slot };
            self.open = self.open.saturating_add(1);
        }
    }

    #[inline]
    fn join_epoch(&mut self) -> u64 {
        match self.epochs.back_mut() {
            Some(epoch) if epoch.releases.is_empty() => epoch.waiting = epoch.waiting.saturating_add(1),
            _ => self.epochs.push_back(Epoch { waiting: 1, releases: Vec::new() }),
        }
        let before = u64::try_from(self.epochs.len()).unwrap_or(u64::MAX).saturating_sub(1);
        self.first_epoch.saturating_add(before)
    }

    /// A call of this epoch waits no longer. Gives the objects whose release takes effect.
    #[inline]
    fn leave_epoch(&mut self, epoch: u64) -> Vec<ObjectId> {
        let at = usize::try_from(epoch.saturating_sub(self.first_epoch)).unwrap_or(usize::MAX);
        if let Some(epoch) = self.epochs.get_mut(at) {
            debug_assert!(epoch.waiting > 0, "a call left its epoch twice");
            epoch.waiting = epoch.waiting.saturating_sub(1);
        }
        let mut released = Vec::new();
        while let Some(epoch) = self.epochs.pop_front_if(|epoch| epoch.waiting == 0) {
            self.first_epoch = self.first_epoch.saturating_add(1);
            released.extend(epoch.releases);
        }
        released
    }

    /// Whether the release of this object has to wait for calls that came before it; then it is kept.
    pub(super) fn defer_release(&mut self, object: ObjectId) -> bool {
        let Some(epoch) = self.epochs.back_mut() else { return false };
        epoch.releases.push(object);
        true
    }

    /// What a call names has been looked up. Gives the objects whose release takes effect.
    pub(super) fn start(&mut self, id: CallId) -> Vec<ObjectId> {
        let slot = self.slot(id).map(|slot| (&mut slot.is_begun, slot.epoch));
        let found = match slot {
            Some((is_begun, epoch)) => (!std::mem::replace(is_begun, true)).then_some(epoch),
            None => {
                let post = self.posts.iter_mut().find(|post| post.id == id);
                post.and_then(|post| (!std::mem::replace(&mut post.is_begun, true)).then_some(post.epoch))
            }
        };
        found.map(|epoch| self.leave_epoch(epoch)).unwrap_or_default()
    }

    /// The last frame of a call came that is not accepted.
    pub(super) fn refuse(&mut self, id: CallId) {
        self.arriving = self.arriving.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(place(id.0)) {
            slot.stage = Stage::Free;
        }
    }

    fn slot(&mut self, id: CallId) -> Option<&mut Slot> {
        self.slots.get_mut(place(id.0)).filter(|slot| slot.last == id.0 && slot.stage == Stage::Open)
    }

    /// The lane of a call that is to be answered.
    pub(super) fn lane(&mut self, id: CallId) -> Option<LaneId> {
        self.slot(id).map(|slot| slot.lane)
    }

    /// The items that the peer takes for a call; None if it is no open stream.
    pub(super) fn credit(&mut self, id: CallId) -> Option<&mut u32> {
        self.slot(id).filter(|slot| slot.is_stream).map(|slot| &mut slot.credit)
    }

    /// The items that the peer takes for a call now; None if it is no open stream, or one that the peer gave up.
    pub(super) fn granted(&mut self, id: CallId) -> Option<u32> {
        self.slot(id).filter(|slot| slot.is_stream && !slot.is_cancelled).map(|slot| slot.credit)
    }

    /// The peer gave the call up. Returns whether it is still to be answered.
    ///
    /// # Errors
    /// [`Violation::UnknownCall`] if the peer never used the id.
    pub(super) fn cancel(&mut self, id: CallId) -> Result<bool, Violation> {
        if id.0 > self.highest || id.0 == 0 {
            return Err(Violation::UnknownCall { call: id });
        }
        let slot = self.slot(id);
        Ok(slot.map(|slot| slot.is_cancelled = true).is_some())
    }

    /// Whether the peer gave up a call that is still to be answered.
    pub(super) fn is_cancelled(&mut self, id: CallId) -> bool {
        self.slot(id).is_some_and(|slot| slot.is_cancelled)
    }

    /// The call is answered. Gives the objects whose release takes effect.
    #[inline]
    pub(super) fn close(&mut self, id: CallId) -> Vec<ObjectId> {
        let Some(slot) = self.slot(id) else { return Vec::new() };
        let (len, is_begun, epoch) = (slot.len, slot.is_begun, slot.epoch);
        slot.stage = Stage::Free;
        self.open = self.open.saturating_sub(1);
        self.len = self.len.saturating_sub(counted(len));
        if is_begun { Vec::new() } else { self.leave_epoch(epoch) }
    }

    /// A post is done. Gives the objects whose release takes effect; None if there is no such post.
    pub(super) fn finish(&mut self, id: CallId) -> Option<Vec<ObjectId>> {
        // Serial hosts finish in order, so it is the first one nearly always.
        let at = self.posts.iter().position(|post| post.id == id)?;
        let Post { len, is_begun, epoch, .. } = self.posts.remove(at)?;
        self.len = self.len.saturating_sub(counted(len));
        self.finished = self.finished.saturating_add(1);
        self.finished_len = self.finished_len.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Some(if is_begun { Vec::new() } else { self.leave_epoch(epoch) })
    }

    /// Finished posts and their bytes that the peer must be told now. A peer that makes few posts is not woken for
    /// them: they are told in a bunch, or beside other frames.
    pub(super) fn take_finished(&mut self, is_sending: bool) -> Option<(u32, u64)> {
        let is_due = usize::try_from(self.finished).unwrap_or(usize::MAX) >= WINDOW_CALLS / TOLD_PART
            || usize::try_from(self.finished_len).unwrap_or(usize::MAX) >= WINDOW_BYTES / TOLD_PART;
        if self.finished == 0 || !(is_due || is_sending) {
            return None;
        }
        Some((std::mem::take(&mut self.finished), std::mem::take(&mut self.finished_len)))
    }

    /// What an id means that the peer grants credit to.
    ///
    /// # Errors
    /// [`Violation::UnknownCall`] if the peer never used it.
    pub(super) fn find(&mut self, id: CallId) -> Result<Found<'_>, Violation> {
        if id.0 > self.highest || id.0 == 0 {
            return Err(Violation::UnknownCall { call: id });
        }
        Ok(match self.slot(id) {
            Some(slot) if slot.is_stream => Found::Open(&mut slot.credit),
            Some(_) => Found::NoStream,
            None => Found::Answered,
        })
    }

    /// The connection is over: nobody waits for an answer.
    pub(super) fn clear(&mut self) {
        *self = Self { highest: self.highest, ..Self::default() };
    }
}
