//! Objects of the peer that this side names.
//! Owns: how many references arrived and were not given back. Must not know: proxies.

use std::collections::BTreeMap;

use crate::ids::ObjectId;

#[derive(Debug, Default)]
pub(super) struct Imports {
    counts: BTreeMap<ObjectId, u32>,
}

impl Imports {
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// One reference arrived.
    pub(super) fn add(&mut self, object: ObjectId) {
        let count = self.counts.entry(object).or_default();
        *count = count.saturating_add(1);
    }

    /// References are given back. Those of an answer that nobody looked at were never added; they are not counted here.
    pub(super) fn remove(&mut self, object: ObjectId, count: u32) {
        let Some(held) = self.counts.get_mut(&object) else { return };
        *held = held.saturating_sub(count);
        if *held == 0 {
            self.counts.remove(&object);
        }
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
    }
}
