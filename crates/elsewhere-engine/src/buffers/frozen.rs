//! Memory that a peer has lent to be read only.
//! Owns: where it lies, and its step from lent to shared memory. Must not know: what lies in it.
//!
//! The lender has written it once and does not touch it before it is given back, and whoever borrowed it only reads it. So
//! it may be passed on without a copy, also back to the lender: from then on it is shared memory, which goes back to the
//! system when no process has it any more. It is then never given back to the lender, who may not use it again: nobody here
//! knows how far it has gone. Before that it is lent memory like any other.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use elsewhere_shm::Segment;
use elsewhere_shm::pool::Borrowed;

use super::shared::{Holding, SharedMemory};
use crate::link::Link;
use crate::lock::lock;

/// What this process has of it, by where it begins.
static FROZEN: Mutex<BTreeMap<usize, Weak<Frozen>>> = Mutex::new(BTreeMap::new());
/// How much there is, for those who need not look.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Memory of a peer that is only read. Given back by its drop, unless it was passed on.
#[derive(Debug)]
pub struct Frozen {
    segment: Arc<Segment>,
    /// None once it is shared.
    lent: Mutex<Option<Borrowed>>,
    shared: OnceLock<Holding>,
    lender: Weak<Link>,
}

impl Frozen {
    pub(crate) fn enter(borrowed: Borrowed, lender: &Arc<Link>) -> Arc<Self> {
        let frozen = Arc::new(Self {
            segment: borrowed.segment(),
            lent: Mutex::new(Some(borrowed)),
            shared: OnceLock::new(),
            lender: Arc::downgrade(lender),
        });
        let mut known = lock(&FROZEN);
        known.insert(frozen.start().as_ptr().addr(), Arc::downgrade(&frozen));
        COUNT.store(known.len(), Ordering::SeqCst);
        frozen
    }

    /// Whether this process has any.
    #[must_use]
    pub fn is_any() -> bool {
        COUNT.load(Ordering::Relaxed) > 0 // Relaxed: see `find`
    }

    /// The memory that `bytes` bytes from `address` on lie in, and how far from its beginning.
    #[must_use]
    pub fn find(address: usize, bytes: usize) -> Option<(Arc<Self>, usize)> {
        // Relaxed: who has an address of such memory has it from whoever counted it.
        if !Self::is_any() {
            return None;
        }
        let found = {
            let known = lock(&FROZEN);
            let (start, frozen) = known.range(..=address).next_back()?;
            (frozen.upgrade()?, address - start)
        };
        let (frozen, offset) = found; // dropped without the lock, which its drop takes
        let is_inside = offset.checked_add(bytes).is_some_and(|end| end <= frozen.segment.bytes());
        is_inside.then_some((frozen, offset))
    }

    /// Makes it shared memory. None if it cannot be: there was no room to keep its descriptor, or it belongs to the process
    /// that forked this one.
    #[must_use]
    pub fn share(&self) -> Option<Holding> {
        if let Some(shared) = self.shared.get() {
            return Some(shared.clone());
        }
        let name = {
            let mut lent = lock(&self.lent);
            match lent.take().map(|borrowed| Link::withhold(self.lender.upgrade().as_ref(), borrowed)) {
                None => None, // by another thread
                Some(Ok(withheld)) => {
                    let _ = self.shared.set(SharedMemory::adopt(withheld.segment, withheld.fd)); // nobody else gets here
                    Some(withheld.name)
                }
                Some(Err(borrowed)) => {
                    *lent = Some(borrowed);
                    None
                }
            }
        };
        if let Some((lender, name)) = self.lender.upgrade().zip(name) {
            lender.tell_withheld(name);
        }
        self.shared.get().cloned()
    }

    /// Where it begins. Valid as long as `self`; an honest peer does not write it any more.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.segment.start()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let mut known = lock(&FROZEN);
        known.remove(&self.start().as_ptr().addr()); // before it is given back: nothing else can have this address yet
        COUNT.store(known.len(), Ordering::SeqCst);
    }
}
