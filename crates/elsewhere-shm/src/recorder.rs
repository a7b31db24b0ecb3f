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
    /// One word: whether the side that runs calls records them at all.
    is_kept: Place<AtomicU64>,
}

/// How far a call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It never began.
    NotStarted,
    /// It began.
    Started,
    /// It ended, whether or not its reply was sent.
    Finished,
}

impl Recorder {
    pub(crate) fn new(entries: Place<AtomicU64>, is_kept: Place<AtomicU64>) -> Self {
        Self { entries, is_kept }
    }

    /// Says that from now on each call is recorded, before its method and after it.
    pub fn keep(&self) {
        if let Some(word) = self.is_kept.get().and_then(<[AtomicU64]>::first) {
            word.store(1, Ordering::Release); // read after the death of this side, which orders everything
        }
    }

    /// Records that call `id` begins. The last thing before its method.
    pub fn start(&self, id: u32) {
        self.store(id, STARTED);
    }

    /// Records that call `id` has ended. After its method and before its reply.
    pub fn finish(&self, id: u32) {
        self.store(id, STARTED | FINISHED);
    }

    /// What is recorded of call `id`; to be asked after the other side is dead, and everything it sent is read. None if the
    /// other side keeps no record.
    #[must_use]
    pub fn progress(&self, id: u32) -> Option<Progress> {
        if self.is_kept.get()?.first()?.load(Ordering::Acquire) == 0 {
            return None; // see `keep`
        }
        let found = self.entry(id)?.load(Ordering::Acquire); // pairs with the Release in `store`
        if found >> SHIFT != u64::from(id) {
            return Some(Progress::NotStarted);
        }
        match found & (STARTED | FINISHED) {
            STARTED => Some(Progress::Started),
            0 => Some(Progress::NotStarted),
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

    const NOT_STARTED: Option<Progress> = Some(Progress::NotStarted);

    fn recorder() -> Recorder {
        let (segment, _fd) = Segment::create(BYTES + 8, Sharing::NotWithForks).unwrap();
        let segment = Arc::new(segment);
        Recorder::new(Place::new(&segment, 0, CALLS).unwrap(), Place::new(&segment, BYTES, 1).unwrap())
    }

    #[test]
    fn call_is_found_as_far_as_it_got() {
        let recorder = recorder();
        let all = [0, 1, 1023, 1024, u32::MAX];
        assert_eq!(all.map(|id| recorder.progress(id)), [None; 5]);
        recorder.keep();
        assert_eq!(all[1..].iter().map(|id| recorder.progress(*id)).collect::<Vec<_>>(), [NOT_STARTED; 4]);

        recorder.start(1);
        recorder.start(u32::MAX);
        recorder.finish(u32::MAX);

        let found = all.map(|id| recorder.progress(id));
        let expected = [Some(Progress::Started), NOT_STARTED, NOT_STARTED, Some(Progress::Finished)];
        assert_eq!(found[1..], expected);
    }

    #[test]
    fn later_call_takes_the_entry() {
        let recorder = recorder();
        recorder.keep();
        recorder.start(5);

        recorder.start(5 + 1024);

        assert_eq!((recorder.progress(5), recorder.progress(1029)), (NOT_STARTED, Some(Progress::Started)));
    }
}
