//! The recorder: which calls were begun and which finished, readable after the death of who ran them.
//! Owns: the table. Must not know: what a call is.
//!
//! The side that runs calls stores a word when a call begins and another when it has finished, before the reply is sent.
//! Shared memory outlives a SIGKILL at any instant, so what was stored is there. A call is found by its id modulo the number
//! of entries: ids that are in use never share an entry.

use crate::place::Place;
use crate::sync::{AtomicU64, Ordering};

/// Entries.
pub(crate) const CALLS: usize = 1024;
/// Bytes of the table.
pub(crate) const BYTES: usize = CALLS * size_of::<u64>();

const STARTED: u64 = 1;
const FINISHED: u64 = 2;
/// Bits below the id.
const SHIFT: u32 = 2;

/// The table of one connection.
#[derive(Debug)]
pub struct Recorder {
    entries: Place<AtomicU64>,
}

/// How far a call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It began.
    Started,
    /// It ended, whether or not its reply was sent.
    Finished,
}

impl Recorder {
    pub(crate) fn new(entries: Place<AtomicU64>) -> Self {
        Self { entries }
    }

    /// Records that call `id` begins. The last thing before its method.
    pub fn start(&self, id: u32) {
        self.store(id, STARTED);
    }

    /// Records that call `id` has ended. After its method and before its reply.
    pub fn finish(&self, id: u32) {
        self.store(id, STARTED | FINISHED);
    }

    /// What is recorded of call `id`; to be asked after the other side is dead, and everything it sent is read. None if it
    /// never began.
    #[must_use]
    pub fn progress(&self, id: u32) -> Option<Progress> {
        let found = self.entry(id)?.load(Ordering::Acquire); // pairs with the Release in `store`
        if found >> SHIFT != u64::from(id) {
            return None;
        }
        match found & (STARTED | FINISHED) {
            STARTED => Some(Progress::Started),
            0 => None,
            _ => Some(Progress::Finished),
        }
    }

    fn store(&self, id: u32, state: u64) {
        if let Some(entry) = self.entry(id) {
            // Release: what the method did in shared memory before is there for who finds this.
            entry.store(u64::from(id) << SHIFT | state, Ordering::Release);
        }
    }

    fn entry(&self, id: u32) -> Option<&AtomicU64> {
        self.entries.get()?.get(id as usize % CALLS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Segment, Sharing};
    use crate::sync::Arc;

    fn recorder() -> Recorder {
        let (segment, _fd) = Segment::create(BYTES, Sharing::NotWithForks).unwrap();
        Recorder::new(Place::new(&Arc::new(segment), 0, CALLS).unwrap())
    }

    #[test]
    fn call_is_found_as_far_as_it_got() {
        let recorder = recorder();
        let all = [0, 1, 1023, 1024, u32::MAX];
        assert_eq!(all.map(|id| recorder.progress(id)), [None; 5]);

        recorder.start(1);
        recorder.start(u32::MAX);
        recorder.finish(u32::MAX);

        let found = all.map(|id| recorder.progress(id));
        assert_eq!(found, [None, Some(Progress::Started), None, None, Some(Progress::Finished)]);
    }

    #[test]
    fn later_call_takes_the_entry() {
        let recorder = recorder();
        recorder.start(5);

        recorder.start(5 + 1024);

        assert_eq!((recorder.progress(5), recorder.progress(1029)), (None, Some(Progress::Started)));
    }
}
