//! What the lender knows of its slots, and what it believes of the free table.
//! Owns: generations. Must not know: segments.
//!
//! The table holds for each slot the last loan that was given back. While a slot is lent, the honest values are the loan
//! (given back) and the value before it (not yet); otherwise only the last loan. The one store of the borrower and the
//! one look of the lender are all the synchronisation there is: Release and Acquire order the borrower's last use of the
//! memory before the lender's next.

use crate::error::Violation;
use crate::place::Place;
use crate::sync::{AtomicU32, Ordering};

/// The lender's books. Everything but the table is private memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    table: Place<AtomicU32>,
    slots: usize,
    /// As far as slots were looked at; the others are as fresh ones.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The loan that stands open, or the last one. Zero before the first.
    generation: u32,
    /// What the table held when it was lent.
    before: u32,
    is_lent: bool,
    /// Whether the loan was given up, so that nobody gives it back.
    is_forgone: bool,
}

impl Ledger {
    pub(crate) fn new(table: Place<AtomicU32>) -> Self {
        let slots = table.get().map_or(0, <[AtomicU32]>::len);
        Self { table, slots, entries: Vec::new() }
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        let slot = slot as usize;
        if slot < self.slots && self.entries.len() <= slot {
            self.entries.resize(slot.saturating_add(1), Entry::default());
        }
        self.entries.get_mut(slot)
    }

    /// Lends `slot`, which is not lent, and tells the generation.
    pub(crate) fn lend(&mut self, slot: u32) -> Result<u32, Violation> {
        self.has_returned(slot)?;
        let unknown = Violation::UnknownBuffer { slot };
        let entry = self.entry(slot).filter(|entry| !entry.is_lent).ok_or(unknown)?;
        if !std::mem::take(&mut entry.is_forgone) {
            entry.before = entry.generation;
        }
        entry.generation = entry.generation.checked_add(1).unwrap_or(1); // zero is what a fresh table holds
        entry.is_lent = true;
        Ok(entry.generation)
    }

    /// Whether `slot` is not lent (any more). The first answer of true for a loan ends it.
    pub(crate) fn has_returned(&mut self, slot: u32) -> Result<bool, Violation> {
        let held = self.table.get().and_then(|table| table.get(slot as usize));
        let found = held.map(|held| held.load(Ordering::Acquire)); // pairs with the Release in `give_back`
        let Some(entry) = self.entry(slot) else { return Err(Violation::UnknownBuffer { slot }) };
        let Some(found) = found else { return Ok(false) };
        let lent = entry.generation;
        if found == lent {
            entry.is_lent = false;
            entry.is_forgone = false;
        } else if !((entry.is_lent || entry.is_forgone) && found == entry.before) {
            return Err(Violation::Return { slot, found, lent });
        }
        Ok(!entry.is_lent)
    }

    /// The open loan of `slot` will not be given back, whatever the table may still say of it.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn forgo(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot as usize).filter(|entry| entry.is_lent) {
            entry.is_lent = false;
            entry.is_forgone = true;
        }
    }

    /// The loan of `slot` that stands open, or the last one; zero before the first.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.entries.get(slot as usize).map_or(0, |entry| entry.generation)
    }

    /// Where loans are given back.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn table(&self) -> &Place<AtomicU32> {
        &self.table
    }
}

/// Gives back loan `generation` of `slot`: the one store. In a child of a fork it does nothing, because the loan is its
/// parent's.
pub(crate) fn give_back(table: &Place<AtomicU32>, slot: u32, generation: u32) {
    if let Some(held) = table.get().and_then(|table| table.get(slot as usize)) {
        held.store(generation, Ordering::Release); // pairs with the Acquire in `has_returned`
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::{Segment, Sharing};
    use crate::sync::Arc;

    fn ledger(slots: usize) -> Ledger {
        let (segment, _fd) = Segment::create(4096, Sharing::NotWithForks).unwrap();
        Ledger::new(Place::new(&Arc::new(segment), 0, slots).unwrap())
    }

    #[test]
    fn loan_is_open_until_it_is_given_back() {
        let mut ledger = ledger(2);
        assert_eq!(ledger.lend(1), Ok(1));

        assert_eq!(ledger.has_returned(1), Ok(false));
        assert!(ledger.lend(1).is_err());
        give_back(ledger.table(), 1, 1);

        assert_eq!(ledger.has_returned(1), Ok(true));
        assert_eq!(ledger.lend(1), Ok(2));
        assert_eq!(ledger.has_returned(1), Ok(false));
    }

    #[test]
    fn loan_given_back_twice_is_given_back_once() {
        let mut ledger = ledger(1);
        ledger.lend(0).unwrap();
        give_back(ledger.table(), 0, 1);
        assert_eq!(ledger.lend(0), Ok(2));

        give_back(ledger.table(), 0, 1);

        assert_eq!(ledger.has_returned(0), Ok(false));
    }

    #[test]
    fn what_was_not_lent_cannot_be_given_back() {
        let mut ledger = ledger(3);
        ledger.lend(0).unwrap();

        give_back(ledger.table(), 0, 7);
        give_back(ledger.table(), 1, 1);

        assert_eq!(ledger.has_returned(0), Err(Violation::Return { slot: 0, found: 7, lent: 1 }));
        assert_eq!(ledger.lend(1), Err(Violation::Return { slot: 1, found: 1, lent: 0 }));
        assert_eq!(ledger.lend(2), Ok(1));
    }

    #[test]
    fn slot_of_a_loan_that_is_forgone_is_lent_again() {
        let mut ledger = ledger(1);
        ledger.lend(0).unwrap();
        ledger.forgo(0);

        assert_eq!(ledger.lend(0), Ok(2));
        ledger.forgo(0);
        assert_eq!(ledger.lend(0), Ok(3));
        assert_eq!(ledger.has_returned(0), Ok(false));
        give_back(ledger.table(), 0, 3);

        assert_eq!(ledger.has_returned(0), Ok(true));
    }

    #[test]
    fn loan_that_is_given_back_and_forgone_is_ended_once() {
        let mut ledger = ledger(1);
        ledger.lend(0).unwrap();
        give_back(ledger.table(), 0, 1);
        ledger.forgo(0);

        assert_eq!(ledger.lend(0), Ok(2));
        assert_eq!(ledger.has_returned(0), Ok(false));
    }

    #[test]
    fn slot_out_of_range_is_an_error_and_touches_nothing() {
        let mut ledger = ledger(2);

        give_back(ledger.table(), 2, 1);

        assert_eq!(ledger.has_returned(2), Err(Violation::UnknownBuffer { slot: 2 }));
        assert_eq!(ledger.lend(u32::MAX), Err(Violation::UnknownBuffer { slot: u32::MAX }));
    }

    #[test]
    fn generations_skip_zero_when_they_come_round() {
        let mut ledger = ledger(1);
        ledger.entry(0).unwrap().generation = u32::MAX;
        give_back(ledger.table(), 0, u32::MAX);

        assert_eq!(ledger.lend(0), Ok(1));
        assert_eq!(ledger.has_returned(0), Ok(false));
    }
}
