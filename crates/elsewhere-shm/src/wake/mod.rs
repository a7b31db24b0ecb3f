//! The wake word: how the side that writes knows whether, and how, the side that reads must be woken.
//! Owns: the word and its rules. Must not know: what is waited for, whose turn it is to wait.
//!
//! Each side has one word in shared memory. It says NONE (somebody is awake, or nobody cares), FUTEX (a thread sleeps on
//! the word itself), EVENT (somebody polls what the two agreed on beside the memory) or LOOP (an event loop polls an
//! eventfd of its own, which the peer was handed under the number that stands beside the word); above the mode stands a
//! *turn*, which each change on the word's own side raises. Three parties act on it:
//!
//! * The peer's [`Doorbell`]. After it has published something it reads the word, and if there is a mode, it takes it away
//!   (compare and exchange to NONE, same turn) and wakes as told. So a sleeper is woken by one system call, however much
//!   is published before it is up.
//! * The *sleeper*, at most one thread of the word's side. It shows FUTEX, looks whether there is news, and sleeps only if
//!   not, and only if the word is still what it wrote.
//! * *Spinners* of the same side, which need no system call to be woken: while one spins the word is NONE, although a thread
//!   sleeps on it. Whoever finds the sleeper's reply wakes the sleeper by [`Lookout::wake_sleeper`]. The last spinner that
//!   leaves shows again what was there, looks, and if there is news, wakes.
//!
//! Why no wake is lost:
//!
//! * Peer against sleeper, or against whoever shows a mode again. One stores (tail, or mode), has a SeqCst fence, and looks
//!   at the other's word. At least one of them sees the other's store: the peer a mode, and it wakes; or the other the
//!   news, and it wakes or does not sleep.
//! * What the peer takes away. It is followed by its wake; and until that comes, the word differs from what the sleeper
//!   waits for. If the peer dies in between, its death is told by other ways (`wake_sleeper`).
//! * Turns. Between the sleeper's store and its falling asleep a spinner may come and leave, which shows FUTEX again. The
//!   word then has another turn, so the sleeper does not fall asleep, and looks again. The same holds for `wake_sleeper`.
//!   A turn comes back after 2³⁰ changes, all of them between two instructions of the sleeper.
//! * Whose loop it is. The number is written before the word that means it, and read between the word and taking its mode
//!   away. Where another number stands there by then, its writer is about to show the word, and looks after that: it sees
//!   what was published before the word was read.
//! * Among threads of the same side each change is made under a lock, which nobody holds while asleep or longer than a few
//!   stores, and from private state; the word is never read here. So a peer that scribbles into it can oversleep its own
//!   messages or wake for nothing, and no more.

mod budget;
mod event;
mod futex;
mod lookout;
mod turns;

use std::sync::Weak;

use crate::error::Violation;
use crate::place::Place;
#[cfg(not(all(test, loom)))]
use crate::place::Shared;
use crate::sync::{Arc, AtomicU32, Mutex, Ordering, fence, lock};

pub use budget::{Budget, Outlook, Traffic};
pub use event::{Event, Listener};
pub(crate) use futex::Futex;
pub use futex::Waited;
pub use lookout::{Lookout, News, Sleeper, Spinner};
pub use turns::Turns;

const NONE: u32 = 0;
const FUTEX: u32 = 1;
const EVENT: u32 = 2;
const LOOP: u32 = 3;
const MODES: u32 = 3;
/// Bits of the mode; the turn stands above.
const TURN: u32 = 2;

/// How many loops of its peer a doorbell knows at a time. Each costs a descriptor.
pub const LOOPS_MAX: usize = 8;

/// How often a doorbell tries to take the mode away from a word that changes all the time.
const TRIES: usize = 4;

/// The word of one side. A line of its own, since it is read at each message and seldom written.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct WakeLine {
    word: Futex,
    /// Which loop is meant, where the word says LOOP.
    number: AtomicU32,
}

// SAFETY: it consists of integer atomics and padding.
#[cfg(not(all(test, loom)))]
unsafe impl Shared for WakeLine {}

fn line_of(place: &Place<WakeLine>) -> Option<&WakeLine> {
    place.get()?.first()
}

fn word_of(place: &Place<WakeLine>) -> Option<&Futex> {
    Some(&line_of(place)?.word)
}

/// What a ring of the bell did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The peer is awake, or nobody waits there.
    Nobody,
    /// The peer was asleep and was woken.
    Woken,
}

/// Wakes the peer.
#[derive(Debug)]
pub struct Doorbell {
    line: Place<WakeLine>,
    bells: Mutex<Bells>,
}

/// Whoever can look whether the peer has handed over loops that the doorbell does not know.
pub trait Learn: std::fmt::Debug + Send + Sync {
    /// Looks, and adds them.
    fn learn(&self);
}

#[derive(Debug, Default)]
struct Bells {
    event: Option<Arc<Event>>,
    /// Made for the first loop: most connections never see one.
    loops: Option<Box<Loops>>,
    learn: Option<Weak<dyn Learn>>,
}

#[derive(Debug, Default)]
struct Loops {
    /// By number; None for a loop whose descriptor was lost on its way here.
    known: Vec<(u32, Option<Arc<Event>>)>,
    /// The highest number so far.
    last: u32,
}

impl Doorbell {
    pub(crate) fn new(line: Place<WakeLine>) -> Self {
        Self { line, bells: Mutex::default() }
    }

    /// The event by which whoever polls at the peer's side is woken.
    pub fn set_event(&self, event: Arc<Event>) {
        lock(&self.bells).event = Some(event);
    }

    /// What is done when the word names a loop that is not known here: it may have been handed over without anybody having
    /// looked. It may call [`add_loop`](Self::add_loop) and [`remove_loop`](Self::remove_loop), and is called under the locks of whoever rings.
    pub fn set_learn(&self, learn: Weak<dyn Learn>) {
        lock(&self.bells).learn = Some(learn);
    }

    /// The peer has handed over the event of a loop. With None it cannot be raised, and that loop has to look by itself.
    ///
    /// # Errors
    /// [`Violation::Loop`] for a number that is not higher than all before, and beyond [`LOOPS_MAX`].
    pub fn add_loop(&self, number: u32, event: Option<Arc<Event>>) -> Result<(), Violation> {
        let mut bells = lock(&self.bells);
        let loops = bells.loops.get_or_insert_default();
        if number <= loops.last || loops.known.len() >= LOOPS_MAX {
            return Err(Violation::Loop { number });
        }
        loops.last = number;
        loops.known.push((number, event));
        Ok(())
    }

    /// The peer has taken back what it handed over.
    ///
    /// # Errors
    /// [`Violation::Loop`] for a number that is not known.
    pub fn remove_loop(&self, number: u32) -> Result<(), Violation> {
        let mut bells = lock(&self.bells);
        let loops = bells.loops.get_or_insert_default();
        let at = loops.known.iter().position(|(other, _)| *other == number).ok_or(Violation::Loop { number })?;
        let gone = loops.known.swap_remove(at);
        drop(bells);
        drop(gone); // after the lock
        Ok(())
    }

    /// Lets go of what the peer handed over; it will not wait any more.
    pub fn forget_loops(&self) {
        let gone = lock(&self.bells).loops.as_mut().map(|loops| std::mem::take(&mut loops.known));
        drop(gone); // after the lock
    }

    /// Wakes the peer if it waits. To be called after each publication; costs a fence and a load if it does not.
    ///
    /// # Errors
    /// [`Violation::NoEvent`].
    pub fn ring(&self) -> Result<Rung, Violation> {
        let Some(line) = line_of(&self.line) else { return Ok(Rung::Nobody) };
        let word = &line.word;
        fence(Ordering::SeqCst); // between the publication and the look; pairs with the one in `Lookout::show`
        let mut seen = word.value.load(Ordering::Acquire); // with the number; ordered by the fence otherwise
        let mut number = 0;
        for _ in 0..TRIES {
            if seen & MODES == NONE {
                return Ok(Rung::Nobody);
            }
            number = line.number.load(Ordering::Relaxed); // that of the word, or of one that is about to be shown
            // Relaxed: the wake that follows orders what was published for whom it wakes, through the kernel and the index.
            match word.value.compare_exchange(seen, seen & !MODES, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        match seen & MODES {
            NONE => return Ok(Rung::Nobody),
            FUTEX => word.wake(),
            EVENT => lock(&self.bells).event.clone().ok_or(Violation::NoEvent)?.raise(),
            _ => self.raise_loop(number)?,
        }
        Ok(Rung::Woken)
    }

    fn raise_loop(&self, number: u32) -> Result<(), Violation> {
        let mut found = self.find_loop(number);
        if found.is_none() {
            let learn = lock(&self.bells).learn.clone();
            let _ = learn.and_then(|learn| learn.upgrade()).map(|learn| learn.learn());
            found = self.find_loop(number);
        }
        if let Some(event) = found.ok_or(Violation::NoEvent)? {
            event.raise();
        }
        Ok(())
    }

    /// The inner None for one that cannot be raised.
    fn find_loop(&self, number: u32) -> Option<Option<Arc<Event>>> {
        let bells = lock(&self.bells);
        let known = &bells.loops.as_ref()?.known;
        known.iter().find(|(other, _)| *other == number).map(|(_, event)| event.clone())
    }
}

#[cfg(all(test, not(loom)))]
#[path = "wake_tests.rs"]
mod tests;
