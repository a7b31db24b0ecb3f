//! Objects that the peer may name, and objects of the peer that we name.
//! Owns: when their counts change and when a release is sent. Must not know: the objects.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use elsewhere_proto::{CallId, ObjectId, UnknownExport, home_references, offered_references};

use super::Link;
use super::undecoded::Mark;
use crate::chains;
use crate::inbox::{Incoming, Work};
use crate::lock::lock;
use crate::pending::{Items, Pending};

impl Link {
    /// Gives an own object an id on this link, with one reference.
    #[must_use]
    pub fn export(&self) -> ObjectId {
        let mut wire = lock(&self.wire);
        self.attention.set_exporting(true); // under the lock, so that flag and count change together
        wire.protocol.export()
    }

    /// Counts one more reference to an exported object, which is about to be sent.
    ///
    /// # Errors
    /// The peer let go of it meanwhile: export it anew.
    pub fn grant(&self, object: ObjectId) -> Result<(), UnknownExport> {
        lock(&self.wire).protocol.grant(object)
    }

    /// Takes back a reference that was not sent after all. Returns whether it was the last.
    pub fn ungrant(&self, object: ObjectId) -> bool {
        let mut wire = lock(&self.wire);
        let is_last = wire.protocol.ungrant(object);
        self.attention.set_exporting(wire.protocol.stats().exports > 0);
        is_last
    }

    /// Whether the peer was ever given an object of ours, and so may call back.
    #[must_use]
    pub fn may_be_called(&self) -> bool {
        self.attention.has_exported()
    }

    /// Whether the peer may name this object.
    #[must_use]
    pub fn is_exported(&self, object: ObjectId) -> bool {
        lock(&self.wire).protocol.exported(object)
    }

    /// Counts one reference to an object of the peer that arrived.
    pub fn imported(&self, object: ObjectId) {
        lock(&self.wire).protocol.imported(object);
    }

    /// Gives back `count` references to an object of the peer. Queues them and tries once to send; never blocks. May be
    /// called from any drop.
    pub fn push_release(self: &Arc<Self>, object: ObjectId, count: u32) {
        if self.is_inherited() {
            return;
        }
        self.releases.push((object, count));
        // Pairs with the fence after each unlock of the wire: either we find it free, or its holder finds the reference.
        fence(Ordering::SeqCst);
        self.send_releases();
    }

    /// Takes a call of the peer that nobody has begun out of its turn. In a pair whoever makes a call from inside another
    /// one is the only thread that can run it.
    #[must_use]
    pub fn take_call(&self, call: CallId) -> Option<Incoming> {
        chains::remove_call(self, &self.inbox, call)
    }

    /// Own objects that the peer let go of since the last time and that no answer still to be decoded can name, to be
    /// dropped by the caller. Objects that have to wait are handed out later; see [`Self::decoded`].
    #[must_use]
    pub fn take_released(&self) -> Vec<ObjectId> {
        // Whoever was told of one has seen this set.
        if !self.has_released.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut undecoded = lock(&self.undecoded);
        let released = undecoded.take();
        self.has_released.store(undecoded.has_released(), Ordering::Release);
        released
    }

    /// The end of `pending` was made a value, or an error, so it names objects of ours no more. To be called after each
    /// [`Pending::take`] that gave an answer.
    /// Returns whether objects may have been waiting for it.
    pub fn decoded(&self, pending: &Pending) -> bool {
        let mark = pending.take_mark();
        self.end_mark(mark);
        mark.is_some()
    }

    /// The same for items of a stream.
    pub fn decoded_items(&self, items: &Items) {
        self.end_mark(items.mark);
    }

    /// A mark for an answer that is about to be told, if it names objects of ours or memory. One that names none would hold others
    /// back for as long as nobody wants it.
    pub(super) fn begin_mark(&self, body: &[u8]) -> Mark {
        let names_any = || home_references(body, self.limits).is_ok_and(|objects| !objects.is_empty());
        let is_needed = (self.attention.has_exported() && names_any()) || self.names_memory(body);
        is_needed.then(|| lock(&self.undecoded).begin())
    }

    pub(super) fn end_mark(&self, mark: Mark) {
        if let Some(mark) = mark {
            lock(&self.undecoded).end(mark);
            self.forget_memory_if_done();
        }
    }

    /// To be called with the [`Work::Released`] that announced it, before [`Self::take_released`].
    pub(crate) fn note_release_told(&self) {
        self.is_release_told.store(false, Ordering::SeqCst);
    }

    pub(super) fn on_released(self: &Arc<Self>, object: ObjectId) {
        {
            let mut undecoded = lock(&self.undecoded);
            undecoded.release(object);
            self.has_released.store(true, Ordering::Release); // under the lock, as it is taken back
        }
        {
            let wire = lock(&self.wire);
            self.attention.set_exporting(wire.protocol.stats().exports > 0);
        }
        // One announcement in the inbox at a time: it must not grow where nobody serves it.
        if !self.is_release_told.swap(true, Ordering::SeqCst) {
            self.inbox.push(Work::Released { link: Arc::clone(self) });
        }
    }

    /// Gives back every reference and buffer that these values offer, because nobody takes it. Never blocks.
    pub fn discard(self: &Arc<Self>, body: &[u8]) {
        self.discard_buffers(body, 0);
        let Ok(objects) = offered_references(body, self.limits) else { return };
        for object in objects {
            self.push_release(object, 1);
        }
    }
}
