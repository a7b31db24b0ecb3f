//! Answers that have arrived and that nobody has made values of yet.
//! Owns: which of them an object that the peer let go of has to wait for. Must not know: the answers.
//!
//! An answer may name an object of ours, and the peer may let go of that object right behind it. Both lie in one buffer;
//! the thread that waits for the answer decodes it some time later, and until then the object must stay. So each answer
//! gets a mark when it is routed, and what the peer let go of is handed out once no earlier mark is open.

use std::collections::BTreeSet;

use elsewhere_proto::ObjectId;

/// The mark of an answer; None for one that names no object of ours.
pub(crate) type Mark = Option<u64>;

#[derive(Debug, Default)]
pub(super) struct Undecoded {
    next: u64,
    open: BTreeSet<u64>,
    /// What the peer let go of, with the first mark that came after.
    released: Vec<(u64, ObjectId)>,
}

impl Undecoded {
    pub(super) fn begin(&mut self) -> u64 {
        let mark = self.next;
        self.next += 1;
        self.open.insert(mark);
        mark
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn end(&mut self, mark: u64) {
        self.open.remove(&mark);
    }

    pub(super) fn release(&mut self, object: ObjectId) {
        self.released.push((self.next, object));
    }

    /// Whether there is something that the peer let go of.
    pub(super) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// What no open answer can name any more.
    pub(super) fn take(&mut self) -> Vec<ObjectId> {
        let first_open = self.open.first().copied().unwrap_or(u64::MAX);
        let (free, kept) = std::mem::take(&mut self.released).into_iter().partition(|(mark, _)| *mark <= first_open);
        self.released = kept;
        let free: Vec<(u64, ObjectId)> = free;
        free.into_iter().map(|(_, object)| object).collect()
    }
}
