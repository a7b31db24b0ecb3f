//! The reading end of a ring.
//! Owns: the head. Must not know: how the producer is woken.

use super::{Lines, RingError, lines_of, moved, words};
use crate::place::Place;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// The reading end. Reading needs `&mut`: who shares it between threads locks it.
#[derive(Debug)]
pub struct Consumer {
    words: Place<AtomicU64>,
    capacity: u32,
    inlet: Arc<Inlet>,
    pub(super) head: u32,
    /// The newest valid tail. It is never more than the capacity ahead of the head.
    pub(super) tail: u32,
}

/// What other threads of the same side may ask of the reading end.
#[derive(Debug)]
pub struct Inlet {
    pub(super) lines: Place<Lines>,
    pub(super) words: Place<AtomicU64>,
    /// The head, which nobody else can write here.
    pub(super) read_to: AtomicU32,
    /// Whether the end was told.
    pub(super) has_ended: AtomicBool,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one unless none were asked for.
    Bytes {
        /// Bytes that were read.
        count: usize,
        /// Whether the producer waits for room and must be woken.
        wants_room: bool,
    },
    /// Nothing is there yet.
    Empty,
    /// Nothing will come any more.
    End,
}

impl Consumer {
    pub(super) fn new(words: Place<AtomicU64>, capacity: u32, inlet: Arc<Inlet>) -> Self {
        Self { words, capacity, inlet, head: 0, tail: 0 }
    }

    /// What other threads may ask.
    #[must_use]
    pub fn inlet(&self) -> Arc<Inlet> {
        Arc::clone(&self.inlet)
    }

    /// Bytes that are there now.
    ///
    /// # Errors
    /// [`RingError::Inherited`] or [`RingError::Violated`].
    pub fn available(&mut self) -> Result<usize, RingError> {
        self.look()?;
        Ok(self.known() as usize)
    }

    /// Reads what is there, at most as much as `target` takes.
    ///
    /// # Errors
    /// [`RingError::Inherited`] or [`RingError::Violated`].
    pub fn read(&mut self, target: &mut [u8]) -> Result<Received, RingError> {
        if (self.known() as usize) < target.len() {
            let is_closed = self.look()?;
            if self.known() == 0 {
                return Ok(self.nothing(is_closed));
            }
        }
        let count = target.len().min(self.known() as usize);
        let lines = lines_of(&self.inlet.lines)?;
        words::load(
            self.words.get().ok_or(RingError::Inherited)?,
            self.head,
            target.get_mut(..count).unwrap_or_default(),
        );
        self.head = self.head.wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.inlet.read_to.store(self.head, Ordering::Relaxed); // a thread that sees an older one looks once too often
        // Release pairs with the Acquire in `Producer::look`: the bytes are read before they are overwritten.
        lines.head.head.store(self.head, Ordering::Release);
        fence(Ordering::SeqCst); // between the head and the look; pairs with the one in `Producer::room_for`
        let wants_room = lines.tail.wants_room.load(Ordering::Relaxed) != 0; // ordered by the fence
        Ok(Received::Bytes { count, wants_room })
    }

    /// Tells the producer that nothing is read any more. A second time does nothing.
    pub fn close(&mut self) {
        if let Ok(lines) = lines_of(&self.inlet.lines) {
            lines.head.is_gone.store(1, Ordering::Release); // nothing is published by it; the producer takes it as a hint
        }
    }

    fn nothing(&self, is_closed: bool) -> Received {
        if is_closed {
            self.inlet.has_ended.store(true, Ordering::Relaxed); // a thread that does not see it looks once too often
            return Received::End;
        }
        Received::Empty
    }

    fn known(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Returns whether the producer closed the direction; then the tail that is known is the last.
    fn look(&mut self) -> Result<bool, RingError> {
        let lines = lines_of(&self.inlet.lines)?;
        // Before the tail. Acquire pairs with the Release in `Producer::close`.
        let is_closed = lines.tail.is_closed.load(Ordering::Acquire) != 0;
        let found = lines.tail.tail.load(Ordering::Acquire); // pairs with the Release in `Producer::put`
        moved(found, self.tail, self.capacity.saturating_sub(self.known()))?;
        self.tail = found;
        Ok(is_closed)
    }
}

impl Inlet {
    /// Whether there are bytes that were not read, or an end that was not told. Whoever asks before sleeping has a SeqCst
    /// fence between telling that it sleeps and this.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let Ok(lines) = lines_of(&self.lines) else { return false };
        // All Relaxed: the caller's fence orders them against its own store, and nothing is read by what they say.
        lines.tail.tail.load(Ordering::Relaxed) != self.read_to.load(Ordering::Relaxed)
            || (self.is_closed() && !self.has_ended.load(Ordering::Relaxed))
    }

    /// Has the processor fetch what is read next.
    pub fn expect_read(&self) {
        if let Some(words) = self.words.get() {
            words::fetch(words, self.read_to.load(Ordering::Relaxed), words::Use::Read); // Relaxed: a hint
        }
    }

    /// Whether the peer writes no more. What it wrote may still be there to read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lines_of(&self.lines).is_ok_and(|lines| lines.tail.is_closed.load(Ordering::Relaxed) != 0) // a hint
    }

    /// The core that the peer ran on when it last wrote or went to sleep. Whatever it says is only compared.
    #[must_use]
    pub fn peer_core(&self) -> u32 {
        lines_of(&self.lines).map_or(u32::MAX, |lines| lines.tail.core.load(Ordering::Relaxed)) // a hint
    }
}
