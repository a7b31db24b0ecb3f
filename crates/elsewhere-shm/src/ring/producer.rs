//! The writing end of a ring.
//! Owns: the tail. Must not know: how the consumer is woken.

use super::{Lines, RingError, lines_of, moved, words};
use crate::cores;
use crate::place::Place;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// The writing end. Writing needs `&mut`: who shares it between threads locks it.
#[derive(Debug)]
pub struct Producer {
    words: Place<AtomicU64>,
    capacity: u32,
    outlet: Arc<Outlet>,
    pub(super) tail: u32,
    /// The newest valid head. The tail is never more than the capacity ahead of it.
    pub(super) head: u32,
    is_closed: bool,
}

/// What other threads of the same side may ask of the writing end.
#[derive(Debug)]
pub struct Outlet {
    pub(super) lines: Place<Lines>,
    pub(super) words: Place<AtomicU64>,
    /// The tail, which nobody else can write here.
    pub(super) written_to: AtomicU32,
    /// The head at the last look.
    pub(super) head_seen: AtomicU32,
    /// Whether the last write found too little room.
    pub(super) is_waiting: AtomicBool,
}

impl Producer {
    pub(super) fn new(words: Place<AtomicU64>, capacity: u32, outlet: Arc<Outlet>) -> Self {
        Self { words, capacity, outlet, tail: 0, head: 0, is_closed: false }
    }

    /// What other threads may ask.
    #[must_use]
    pub fn outlet(&self) -> Arc<Outlet> {
        Arc::clone(&self.outlet)
    }

    /// Bytes that the ring can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Bytes for which there is room now.
    ///
    /// # Errors
    /// [`RingError::Gone`], [`RingError::Inherited`] or [`RingError::Violated`].
    pub fn free(&mut self) -> Result<usize, RingError> {
        self.look()?;
        Ok(self.known_free() as usize)
    }

    /// Writes a prefix of `bytes` and tells its length. If that is not all, the peer is asked to tell of room.
    ///
    /// # Errors
    /// [`RingError::Full`] if there is no room at all, [`RingError::Closed`], [`RingError::Gone`] (only told when the ring is
    /// full), [`RingError::Inherited`] or [`RingError::Violated`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, RingError> {
        let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = self.room_for(wanted)?.min(wanted);
        if room == 0 && wanted > 0 {
            return Err(RingError::Full);
        }
        self.put(&[bytes.get(..room as usize).unwrap_or_default()])?;
        Ok(room as usize)
    }

    /// Writes all `parts`, one behind the other, or nothing. The consumer sees them at once.
    ///
    /// # Errors
    /// Those of [`Producer::write`], and [`RingError::TooLong`] for what the empty ring would not hold.
    pub fn write_whole(&mut self, parts: &[&[u8]]) -> Result<(), RingError> {
        let bytes = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let too_long = RingError::TooLong { bytes, capacity: self.capacity() };
        let wanted = u32::try_from(bytes).ok().filter(|wanted| *wanted <= self.capacity).ok_or(too_long)?;
        if self.room_for(wanted)? < wanted {
            return Err(RingError::Full);
        }
        self.put(parts)
    }

    /// Ends the direction; the consumer still gets what was written. A second time does nothing.
    pub fn close(&mut self) {
        self.is_closed = true;
        if let Ok(lines) = lines_of(&self.outlet.lines) {
            lines.tail.is_closed.store(1, Ordering::Release); // after the last tail, which whoever sees this sees too
        }
    }

    fn known_free(&self) -> u32 {
        self.capacity.saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// Room for `wanted` bytes, or as much as there is; then the consumer knows that this side waits.
    fn room_for(&mut self, wanted: u32) -> Result<u32, RingError> {
        if self.is_closed {
            return Err(RingError::Closed);
        }
        if self.known_free() < wanted {
            self.look()?;
        }
        let is_waiting = self.known_free() < wanted;
        if is_waiting {
            self.set_waiting(true)?;
            fence(Ordering::SeqCst); // between the wish and the look; pairs with the one in `Consumer::read`
            self.look()?;
        }
        // Relaxed: whoever may write may also wait, and it is the same thread or locks in between.
        if self.known_free() >= wanted && self.outlet.is_waiting.load(Ordering::Relaxed) {
            self.set_waiting(false)?;
        }
        Ok(self.known_free())
    }

    fn set_waiting(&self, is_waiting: bool) -> Result<(), RingError> {
        self.outlet.is_waiting.store(is_waiting, Ordering::Relaxed); // read after a fence or by this side's writer
        lines_of(&self.outlet.lines)?.tail.wants_room.store(is_waiting.into(), Ordering::Relaxed); // the fence orders it
        Ok(())
    }

    fn look(&mut self) -> Result<(), RingError> {
        let lines = lines_of(&self.outlet.lines)?;
        if lines.head.is_gone.load(Ordering::Relaxed) != 0 {
            return Err(RingError::Gone); // a hint: nothing else depends on it
        }
        // Acquire pairs with the Release in `Consumer::read`: it no longer reads what is overwritten from here on.
        let found = lines.head.head.load(Ordering::Acquire);
        moved(found, self.head, self.tail.wrapping_sub(self.head))?;
        self.head = found;
        self.outlet.head_seen.store(found, Ordering::Relaxed); // a thread that sees an older one looks once too often
        Ok(())
    }

    /// Copies `parts`, for which there is room, and publishes them.
    fn put(&mut self, parts: &[&[u8]]) -> Result<(), RingError> {
        let lines = lines_of(&self.outlet.lines)?;
        let words = self.words.get().ok_or(RingError::Inherited)?;
        let mut tail = self.tail;
        for part in parts {
            words::store(words, tail, part);
            tail = tail.wrapping_add(u32::try_from(part.len()).unwrap_or(u32::MAX));
        }
        self.tail = tail;
        self.outlet.written_to.store(tail, Ordering::Relaxed); // for a hint
        lines.tail.core.store(cores::current(), Ordering::Relaxed); // a hint, published with the tail
        lines.tail.tail.store(tail, Ordering::Release); // pairs with the Acquire in `Consumer::look`: the bytes come before
        Ok(())
    }
}

impl Outlet {
    /// Whether there is room, or the peer's end, since the last write that found too little. Whoever asks before sleeping
    /// has a SeqCst fence between telling that it sleeps and this.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let Ok(lines) = lines_of(&self.lines) else { return false };
        // All Relaxed: the caller's fence orders them against its own store, and nothing is read by what they say.
        self.is_waiting.load(Ordering::Relaxed)
            && (lines.head.head.load(Ordering::Relaxed) != self.head_seen.load(Ordering::Relaxed) || self.is_gone())
    }

    /// Has the processor fetch the place of the next message, because one is likely to be written soon: the consumer's core has
    /// its lines by now, and a tail is not published before they are taken back.
    pub fn expect_write(&self) {
        if let Some(words) = self.words.get() {
            words::fetch(words, self.written_to.load(Ordering::Relaxed), words::Use::Write); // Relaxed: a hint
        }
    }

    /// Whether the peer reads no more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        lines_of(&self.lines).is_ok_and(|lines| lines.head.is_gone.load(Ordering::Relaxed) != 0) // a hint
    }

    /// Tells the peer which core this thread runs on: before it sleeps.
    pub fn tell_core(&self) {
        if let Ok(lines) = lines_of(&self.lines) {
            lines.tail.core.store(cores::current(), Ordering::Relaxed); // a hint
        }
    }
}
