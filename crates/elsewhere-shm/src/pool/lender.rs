//! The side that makes buffers and lends them.
//! Owns: the segments that it made. Must not know: how a message is sent.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use super::ledger::{Ledger, give_back};
use super::{BufferName, PoolError, SLOTS, class_of};
use crate::error::{SegmentError, Violation};
use crate::place::Place;
use crate::segment::{Key, PIECE, Segment, Sharing};
use crate::sync::{Arc, AtomicU32};

/// Free segments are kept as long as they are so few, or have so few bytes together.
const KEPT: usize = 4;
const KEPT_BYTES: usize = 256 << 20;

/// Lends buffers to the peer. Who shares it between threads locks it; a [`Loan`] is filled without that lock.
#[derive(Debug)]
pub struct Lender {
    ledger: Ledger,
    /// As many as were ever in use: a quiet connection has none.
    slots: Vec<Option<Buffer>>,
    /// Those of them without a segment.
    vacant: Vec<u32>,
    /// How many slots there may be.
    most: usize,
    lent: Vec<u32>,
    /// The longest unused first.
    free: VecDeque<u32>,
    retired: Vec<BufferName>,
    /// What the peer keeps for good, until the next trim.
    withheld: Vec<Arc<Segment>>,
    was_used: bool,
}

#[derive(Debug)]
struct Buffer {
    segment: Arc<Segment>,
    /// Until the peer has it.
    fd: Option<Arc<OwnedFd>>,
    purpose: Purpose,
    /// Whether the peer could not map it, so that it is of no more use.
    is_lost: bool,
}

/// What the borrower may do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Anything, until it gives it back.
    Own,
    /// Only read it; then it may also pass it on, and not give it back. It keeps the descriptor for that.
    Read,
}

/// A buffer that may be filled. Given back by its drop, unless it was sent.
#[derive(Debug)]
pub struct Loan {
    name: BufferName,
    segment: Arc<Segment>,
    fd: Option<Arc<OwnedFd>>,
    purpose: Purpose,
    table: Option<Place<AtomicU32>>,
}

impl Lender {
    pub(crate) fn new(table: Place<AtomicU32>) -> Self {
        Self {
            ledger: Ledger::new(table),
            slots: Vec::new(),
            vacant: Vec::new(),
            most: SLOTS,
            lent: Vec::new(),
            free: VecDeque::new(),
            retired: Vec::new(),
            withheld: Vec::new(),
            was_used: false,
        }
    }

    /// A buffer of at least `bytes` bytes, made if there is none.
    ///
    /// # Errors
    /// [`PoolError`]; the connection can go on, except after [`PoolError::Violated`].
    pub fn lend(&mut self, bytes: usize) -> Result<Loan, PoolError> {
        if let Some(loan) = self.reuse(bytes, Purpose::Own)? {
            return Ok(loan);
        }
        let (segment, fd) = Self::make(&[], bytes, &mut || true)?;
        self.lend_new(segment, fd, Purpose::Own)
    }

    /// A buffer that begins with `content`.
    ///
    /// # Errors
    /// Those of [`Lender::lend`].
    pub fn lend_with(&mut self, content: &[u8]) -> Result<Loan, PoolError> {
        if let Some(loan) = self.reuse(content.len(), Purpose::Own)? {
            loan.fill(content, &mut || true)?;
            return Ok(loan);
        }
        let (segment, fd) = Self::make(content, content.len(), &mut || true)?;
        self.lend_new(segment, fd, Purpose::Own)
    }

    /// A segment for [`Lender::lend_new`] or [`Lender::stock`]: the slow part of lending, for which no lock is needed.
    ///
    /// # Errors
    /// Those of [`Segment::create_with`].
    pub fn make(
        content: &[u8],
        bytes: usize,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(Segment, OwnedFd), PoolError> {
        let class = class_of(bytes.max(content.len())).ok_or(SegmentError::Size(bytes))?;
        Ok(Segment::create_with(content, class, Sharing::WithForks, goes_on)?)
    }

    /// A buffer of at least `bytes` bytes that was lent before, or was to be. None if there is none of the right size that may
    /// be used so.
    ///
    /// # Errors
    /// [`PoolError::Violated`] or [`PoolError::Inherited`].
    pub fn reuse(&mut self, bytes: usize, purpose: Purpose) -> Result<Option<Loan>, PoolError> {
        let class = class_of(bytes).ok_or(SegmentError::Size(bytes))?;
        self.was_used = true;
        if self.find_free(class, purpose).is_none() {
            self.collect()?;
        }
        let Some(index) = self.find_free(class, purpose) else { return Ok(None) };
        let Some(slot) = self.free.remove(index) else { return Ok(None) };
        let loan = self.lend_slot(slot)?;
        loan.segment.populate(); // its content may have been written without touching a page
        Ok(Some(loan))
    }

    /// Lends a segment that was just made.
    ///
    /// # Errors
    /// [`PoolError::AllLent`], [`PoolError::Violated`] or [`PoolError::Inherited`].
    pub fn lend_new(&mut self, segment: Segment, fd: OwnedFd, purpose: Purpose) -> Result<Loan, PoolError> {
        let slot = self.settle(segment, fd, purpose)?;
        self.lend_slot(slot)
    }

    /// Keeps a segment that was just made for the next who needs one.
    ///
    /// # Errors
    /// [`PoolError::AllLent`].
    pub fn stock(&mut self, segment: Segment, fd: OwnedFd) -> Result<(), PoolError> {
        let slot = self.settle(segment, fd, Purpose::Own)?;
        self.free.push_back(slot);
        Ok(())
    }

    /// Notes that the peer was sent the descriptor of `loan`, in a message ahead of all that name it.
    pub fn handed_over(&mut self, loan: &mut Loan) {
        loan.fd = None;
        if let Some(Some(buffer)) = self.slots.get_mut(loan.name.slot as usize) {
            buffer.fd = None;
        }
    }

    /// The same for the descriptor and the message that names `loan`, which is sent right behind it. Tells the name.
    pub fn sent(&mut self, mut loan: Loan) -> BufferName {
        self.handed_over(&mut loan);
        loan.sent()
    }

    /// The peer could not map what was lent as `name`, or keeps it for good: the segment is not lent again. Until the next
    /// [`Lender::trim`] it is found by [`Lender::find`].
    ///
    /// # Errors
    /// [`Violation::UnknownBuffer`] for a slot that does not exist.
    pub fn lose(&mut self, name: BufferName) -> Result<(), Violation> {
        if name.slot as usize >= SLOTS {
            return Err(Violation::UnknownBuffer { slot: name.slot });
        }
        let Some(place) = self.slots.get_mut(name.slot as usize) else { return Ok(()) };
        if let Some(buffer) = place.as_mut().filter(|_| self.ledger.generation(name.slot) == name.generation) {
            buffer.is_lost = true;
            if let Some(index) = self.lent.iter().position(|slot| *slot == name.slot) {
                self.lent.swap_remove(index);
                self.ledger.forgo(name.slot);
                self.withheld.extend(place.take().map(|buffer| buffer.segment));
                self.vacant.push(name.slot);
            }
        }
        if let Some(index) = self.free.iter().position(|slot| *slot == name.slot) {
            self.free.swap(0, index);
            self.retire_if_lost();
        }
        Ok(())
    }

    /// Takes back what was given back, and retires what is too much.
    ///
    /// # Errors
    /// [`PoolError::Violated`] or [`PoolError::Inherited`].
    pub fn collect(&mut self) -> Result<(), PoolError> {
        self.ledger.table().get().ok_or(PoolError::Inherited)?;
        let mut index = 0;
        while let Some(slot) = self.lent.get(index).copied() {
            if self.ledger.has_returned(slot)? {
                self.lent.swap_remove(index);
                self.free.push_front(slot);
                if !self.retire_if_lost() {
                    self.free.rotate_left(1);
                }
            } else {
                index += 1;
            }
        }
        let mut bytes: usize = self.free.iter().map(|slot| self.bytes_of(*slot)).sum();
        while self.free.len() > KEPT && bytes > KEPT_BYTES {
            bytes -= self.retire_oldest();
        }
        Ok(())
    }

    /// To be called once a second while there are free buffers: lets go of them if none was asked for since the last time.
    /// Returns whether any is left.
    ///
    /// # Errors
    /// Those of [`Lender::collect`].
    pub fn trim(&mut self) -> Result<bool, PoolError> {
        self.collect()?;
        self.withheld.clear();
        if !std::mem::take(&mut self.was_used) {
            self.let_go();
        }
        Ok(!self.free.is_empty())
    }

    /// Lets go of all that is free: the memory is wanted for something else. It comes back when the peer has let go of it too.
    pub fn let_go(&mut self) {
        while self.retire_oldest() > 0 {}
    }

    /// Lets go of everything: the peer is no more, and nothing is lent again. A [`Loan`] that is still here keeps its segment.
    pub fn end(&mut self) {
        self.slots.iter_mut().for_each(|place| *place = None);
        self.vacant.clear();
        self.most = 0;
        self.lent.clear();
        self.free.clear();
        self.retired.clear();
        self.withheld.clear();
    }

    /// The segment that is known to others by `key`, if it is lent or was withheld.
    #[must_use]
    pub fn find(&self, key: Key) -> Option<Arc<Segment>> {
        let lent = self.lent.iter().filter_map(|slot| Some(&self.slots.get(*slot as usize)?.as_ref()?.segment));
        lent.chain(&self.withheld).find(|segment| segment.key() == key).cloned()
    }

    /// The segments that are no more, by their last loans and once each: for the peer to let go of them too. The peer may be
    /// told at any time, also when the slot has another segment by then.
    pub fn take_retired(&mut self) -> Vec<BufferName> {
        std::mem::take(&mut self.retired)
    }

    /// How many bytes are lent, as far as is known.
    #[must_use]
    pub fn lent_bytes(&self) -> usize {
        self.lent.iter().map(|slot| self.bytes_of(*slot)).sum()
    }

    /// How many buffers are lent, as far as is known, and how many free.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.lent.len(), self.free.len())
    }

    /// The index of a free buffer of that size, of several the last used, which is the warmest. One that may be passed on is
    /// taken for other uses where there is no other.
    fn find_free(&self, class: usize, purpose: Purpose) -> Option<usize> {
        let find = |wanted: Purpose| {
            let is_right = |buffer: &Buffer| buffer.segment.bytes() == class && buffer.purpose == wanted;
            self.free
                .iter()
                .rposition(|slot| matches!(self.slots.get(*slot as usize), Some(Some(found)) if is_right(found)))
        };
        find(purpose).or_else(|| if purpose == Purpose::Own { find(Purpose::Read) } else { None })
    }

    fn bytes_of(&self, slot: u32) -> usize {
        self.slots.get(slot as usize).and_then(Option::as_ref).map_or(0, |buffer| buffer.segment.bytes())
    }

    /// Gives a new segment a slot.
    fn settle(&mut self, segment: Segment, fd: OwnedFd, purpose: Purpose) -> Result<u32, PoolError> {
        if self.vacant.is_empty() && self.slots.len() >= self.most {
            self.retire_oldest();
        }
        let slot = self.vacant.pop().or_else(|| self.new_slot()).ok_or(PoolError::AllLent)?;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Buffer { segment: Arc::new(segment), fd: Some(Arc::new(fd)), purpose, is_lost: false });
        }
        Ok(slot)
    }

    fn new_slot(&mut self) -> Option<u32> {
        let slot = u32::try_from(self.slots.len()).ok().filter(|_| self.slots.len() < self.most)?;
        self.slots.push(None);
        Some(slot)
    }

    /// Lends a slot that is in no list.
    fn lend_slot(&mut self, slot: u32) -> Result<Loan, PoolError> {
        let table = self.ledger.table().share();
        table.get().ok_or(PoolError::Inherited)?;
        let generation = self.ledger.lend(slot)?;
        self.lent.push(slot);
        let buffer = self.slots.get(slot as usize).and_then(Option::as_ref).ok_or(PoolError::AllLent)?;
        Ok(Loan {
            name: BufferName { slot, generation },
            segment: Arc::clone(&buffer.segment),
            fd: buffer.fd.clone(),
            purpose: buffer.purpose,
            table: Some(table),
        })
    }

    /// Retires the longest unused one if the peer cannot use it.
    fn retire_if_lost(&mut self) -> bool {
        let buffer = self.free.front().and_then(|slot| self.slots.get(*slot as usize)?.as_ref());
        buffer.is_some_and(|buffer| buffer.is_lost) && self.retire_oldest() > 0
    }

    /// Tells how many bytes it had; zero if nothing is free.
    fn retire_oldest(&mut self) -> usize {
        let Some(slot) = self.free.pop_front() else { return 0 };
        let Some(buffer) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return 0 };
        self.vacant.push(slot);
        if buffer.fd.is_none() {
            let generation = self.ledger.generation(slot);
            self.retired.push(BufferName { slot, generation }); // otherwise the peer never had it
        }
        buffer.segment.bytes()
    }
}

impl Loan {
    /// Slot and generation.
    #[must_use]
    pub fn name(&self) -> BufferName {
        self.name
    }

    /// What the peer must be sent before a message may name the buffer, with [`Loan::bytes`]. None if it has it.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.as_fd())
    }

    /// What the peer is told that it may do with the buffer, with the descriptor: that and less.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Bytes of the segment, at least as many as were asked for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.segment.bytes()
    }

    /// Copies `source` to `offset`. Returns whether it fits.
    #[must_use]
    pub fn write(&self, offset: usize, source: &[u8]) -> bool {
        self.segment.write(offset, source)
    }

    /// Copies `content` to its beginning, asking before each [`PIECE`] whether it `goes_on`.
    ///
    /// # Errors
    /// [`SegmentError::GivenUp`] if it does not go on; [`PoolError::Inherited`] where the memory is not here, or not so long.
    pub fn fill(&self, content: &[u8], goes_on: &mut dyn FnMut() -> bool) -> Result<(), PoolError> {
        for (index, piece) in content.chunks(PIECE).enumerate() {
            if !goes_on() {
                return Err(SegmentError::GivenUp.into());
            }
            if !self.write(index.saturating_mul(PIECE), piece) {
                return Err(PoolError::Inherited);
            }
        }
        Ok(())
    }

    /// The message that names it is sent: from now on only the peer gives it back. Tells the name.
    pub fn sent(mut self) -> BufferName {
        self.table = None;
        self.name
    }

    /// Where the buffer begins, for who fills it by other means. See [`Segment::start`].
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.segment.start()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            give_back(table, self.name.slot, self.name.generation);
        }
    }
}
