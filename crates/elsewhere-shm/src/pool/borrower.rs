//! The side that uses buffers of the peer.
//! Owns: the mappings of them. Must not know: how a message arrives.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;

use super::ledger::give_back;
use super::{BufferName, PoolError, SLOTS};
use crate::error::{SegmentError, Violation};
use crate::kept::KeptFd;
use crate::place::Place;
use crate::segment::{Segment, Sharing};
use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering};

/// Who holds more buffers, or more bytes, copies what arrives and gives it back at once: a process has a limited number of
/// mappings.
const HELD: usize = 1024;
const HELD_BYTES: usize = 1 << 30;

/// What all borrowers of a process hold together.
#[derive(Debug, Default)]
pub struct Holdings {
    buffers: AtomicUsize,
    bytes: AtomicUsize,
}

/// Borrows buffers from the peer. Who shares it between threads locks it; a [`Borrowed`] needs no lock.
#[derive(Debug)]
pub struct Borrower {
    table: Place<AtomicU32>,
    known: HashMap<u32, Known>,
    holdings: Arc<Holdings>,
}

#[derive(Debug)]
struct Known {
    /// None if it could not be mapped.
    segment: Option<Arc<Segment>>,
    /// Of what may be passed on.
    fd: Option<Arc<KeptFd>>,
    /// The loan that it was handed over for.
    first: u32,
    /// The last loan. None for a segment that was never lent.
    generation: Option<u32>,
    /// Whether it is still in use here.
    is_out: Arc<AtomicBool>,
}

/// What was a buffer of the peer and is shared memory now.
#[derive(Debug)]
pub struct Withheld {
    /// The loan that nobody gives back.
    pub name: BufferName,
    /// The memory.
    pub segment: Arc<Segment>,
    /// Its descriptor, for others.
    pub fd: Arc<KeptFd>,
}

/// A buffer of the peer, in use. Its drop gives it back, from whatever thread.
#[derive(Debug)]
pub struct Borrowed {
    name: BufferName,
    segment: Arc<Segment>,
    bytes: usize,
    table: Place<AtomicU32>,
    fd: Option<Arc<KeptFd>>,
    is_out: Arc<AtomicBool>,
    holdings: Arc<Holdings>,
    is_surplus: bool,
    is_withheld: bool,
}

impl Borrower {
    pub(crate) fn new(table: Place<AtomicU32>, holdings: Arc<Holdings>) -> Self {
        Self { table, known: HashMap::new(), holdings }
    }

    /// Maps the segment that the peer has made for the slot of `name`, to be lent as `name` or later, and lets go of the one
    /// before. The descriptor need not be kept; None if it did not come through. Where there is no descriptor, or no room to
    /// map it, each loan of it fails with [`PoolError::Unusable`] and is given back.
    ///
    /// # Errors
    /// [`PoolError::Violated`] for a slot that does not exist, [`PoolError::Segment`] if it is not as it must be.
    pub fn accept(&mut self, name: BufferName, bytes: usize, fd: Option<impl AsFd>) -> Result<(), PoolError> {
        let BufferName { slot, generation: first } = name;
        if slot as usize >= SLOTS {
            return Err(Violation::UnknownBuffer { slot }.into());
        }
        let segment = match fd.map(|fd| Segment::open_lazily(fd, bytes, Sharing::WithForks)) {
            None | Some(Err(SegmentError::System { .. })) => None,
            Some(opened) => Some(Arc::new(opened?)),
        };
        let is_out = Arc::new(AtomicBool::new(false));
        self.known.insert(slot, Known { segment, fd: None, first, generation: None, is_out });
        Ok(())
    }

    /// The same for a segment that is only read here and may be passed on: the descriptor is kept if there is room.
    ///
    /// # Errors
    /// Those of [`Borrower::accept`].
    pub fn accept_open(&mut self, name: BufferName, bytes: usize, fd: Option<OwnedFd>) -> Result<(), PoolError> {
        self.accept(name, bytes, fd.as_ref())?;
        if let Some(known) = self.known.get_mut(&name.slot).filter(|known| known.segment.is_some()) {
            known.fd = fd.and_then(KeptFd::keep).map(Arc::new);
        }
        Ok(())
    }

    /// Whether a segment was handed over that `name` may be a loan of. Behind one that could not be mapped another may have
    /// come.
    #[must_use]
    pub fn knows(&self, name: BufferName) -> bool {
        let is_mapped = |known: &&Known| known.segment.is_some();
        let known = self.known.get(&name.slot).filter(is_mapped);
        known.is_some_and(|known| !is_before(name.generation, known.first))
    }

    /// Begins to use the first `bytes` bytes of a buffer that a message names.
    ///
    /// # Errors
    /// [`PoolError::Violated`] for a buffer that was never handed over or is in use, for a loan that is not newer than the
    /// last, and for more bytes than there are.
    pub fn take(&mut self, name: BufferName, bytes: usize) -> Result<Borrowed, PoolError> {
        let BufferName { slot, generation } = name;
        let known = self.known.get_mut(&slot).ok_or(Violation::UnknownBuffer { slot })?;
        if is_before(generation, known.first) {
            return Err(Violation::StaleLoan { slot, found: generation, before: known.first }.into());
        }
        let before = known.generation.unwrap_or_else(|| generation.wrapping_sub(1));
        let is_newer = generation != 0 && is_before(before, generation);
        if !is_newer {
            return Err(Violation::StaleLoan { slot, found: generation, before }.into());
        }
        let Some(segment) = &known.segment else {
            known.generation = Some(generation);
            give_back(&self.table, slot, generation);
            return Err(PoolError::Unusable);
        };
        if bytes > segment.bytes() {
            return Err(Violation::BufferLength { slot, named: bytes, bytes: segment.bytes() }.into());
        }
        // Relaxed: an honest peer lends again only after it saw the store behind the one that cleared this, and sent a
        // message that was received since.
        if known.is_out.swap(true, Ordering::Relaxed) {
            return Err(Violation::LentTwice { slot }.into());
        }
        known.generation = Some(generation);
        Ok(Borrowed {
            name,
            segment: Arc::clone(segment),
            bytes,
            table: self.table.share(),
            fd: known.fd.clone(),
            is_out: Arc::clone(&known.is_out),
            holdings: Arc::clone(&self.holdings),
            is_surplus: self.holdings.add(segment.bytes()),
            is_withheld: false,
        })
    }

    /// Lets go of the segment that the peer has retired after loan `name`; what is in use of it stays mapped until its end. If
    /// the slot has another segment by now, that one stays.
    ///
    /// # Errors
    /// [`PoolError::Violated`] for one that was never handed over.
    pub fn forget(&mut self, name: BufferName) -> Result<(), PoolError> {
        let known = self.known.get(&name.slot).ok_or(Violation::UnknownBuffer { slot: name.slot })?;
        if !is_before(name.generation, known.first) {
            self.known.remove(&name.slot);
        }
        Ok(())
    }

    /// Keeps for good what was borrowed, with its descriptor; the peer has to be told not to wait for it
    /// ([`Lender::lose`](super::Lender::lose)). What cannot be passed on comes back: there is no descriptor, or the loan is that
    /// of the process that forked this one.
    ///
    /// # Errors
    /// [`Borrowed`] itself.
    pub fn withhold(borrower: Option<&mut Self>, mut borrowed: Borrowed) -> Result<Withheld, Borrowed> {
        let Some(fd) = borrowed.fd.clone().filter(|_| borrowed.segment.is_own()) else { return Err(borrowed) };
        borrowed.is_withheld = true;
        if let Some(borrower) = borrower {
            borrower.known.remove(&borrowed.name.slot); // no later loan of the slot can be known: this one stood open
        }
        Ok(Withheld { name: borrowed.name, segment: Arc::clone(&borrowed.segment), fd })
    }

    /// How many segments of the peer are mapped for future loans.
    #[must_use]
    pub fn mapped(&self) -> usize {
        self.known.len()
    }
}

/// Whether loan `first` came before loan `second` of the same slot.
fn is_before(first: u32, second: u32) -> bool {
    second.wrapping_sub(first).cast_signed() > 0
}

impl Borrowed {
    /// Where the bytes are. They are this side's alone as long as `self` lives, if the peer is honest; see
    /// [`Segment::start`] for what follows if it is not.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.segment.start()
    }

    /// How many bytes the message named.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory behind it, which others may have after its drop.
    #[must_use]
    pub fn segment(&self) -> Arc<Segment> {
        Arc::clone(&self.segment)
    }

    /// Slot and generation.
    #[must_use]
    pub fn name(&self) -> BufferName {
        self.name
    }

    /// Whether the process holds so much already that this should be copied and given back.
    #[must_use]
    pub fn is_surplus(&self) -> bool {
        self.is_surplus
    }

    /// Fills `target` from `offset` on. Returns whether so many bytes were named.
    #[must_use]
    pub fn read(&self, offset: usize, target: &mut [u8]) -> bool {
        offset.checked_add(target.len()).is_some_and(|end| end <= self.bytes) && self.segment.read(offset, target)
    }

    /// A copy of all bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        let _ = self.read(0, &mut bytes); // it is exactly as long as what is there
        bytes
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.holdings.remove(self.segment.bytes());
        if self.is_withheld {
            return;
        }
        self.is_out.store(false, Ordering::Relaxed); // before the loan ends; see `Borrower::take`
        give_back(&self.table, self.name.slot, self.name.generation);
    }
}

impl Holdings {
    /// The one that every connection counts in.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        static OURS: LazyLock<Arc<Holdings>> = LazyLock::new(Arc::default);
        Arc::clone(&OURS)
    }

    /// Counts a buffer and tells whether there was too much before.
    pub(super) fn add(&self, bytes: usize) -> bool {
        // Relaxed: a count that nothing else depends on.
        let buffers = self.buffers.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        buffers >= HELD || held > HELD_BYTES
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.buffers.fetch_sub(1, Ordering::Relaxed); // as above
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Buffers and bytes in use.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.buffers.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed)) // as above
    }
}
