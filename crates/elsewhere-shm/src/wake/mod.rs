//! The wake word: how the side that writes knows whether, and how, the side that reads must be woken.
//! Owns: the word and its rules. Must not know: what is waited for, whose turn it is to wait.
//!
//! Each side has one word in shared memory. It says NONE (somebody is awake, or nobody cares), FUTEX (a thread sleeps on
//! the word itself) or EVENT (an event loop polls its eventfd); above the mode stands a *turn*, which each change on the
//! word's own side raises. Three parties act on it:
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
//! * Among threads of the same side each change is made under a lock, which nobody holds while asleep or longer than a few
//!   stores, and from private state; the word is never read here. So a peer that scribbles into it can oversleep its own
//!   messages or wake for nothing, and no more.

mod budget;
mod event;
mod futex;
mod lookout;
mod turns;

use crate::error::Violation;
use crate::place::Place;
#[cfg(not(all(test, loom)))]
use crate::place::Shared;
use crate::sync::{Arc, Mutex, Ordering, fence, lock};

pub use budget::{Budget, Outlook, Traffic};
pub use event::Event;
pub(crate) use futex::Futex;
pub use futex::Waited;
pub use lookout::{Lookout, News, Sleeper, Spinner};
pub use turns::Turns;

const NONE: u32 = 0;
const FUTEX: u32 = 1;
const EVENT: u32 = 2;
const MODES: u32 = 3;
/// Bits of the mode; the turn stands above.
const TURN: u32 = 2;

/// How often a doorbell tries to take the mode away from a word that changes all the time.
const TRIES: usize = 4;

/// The word of one side. A line of its own, since it is read at each message and seldom written.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct WakeLine {
    word: Futex,
}

// SAFETY: it consists of an integer atomic and padding.
#[cfg(not(all(test, loom)))]
unsafe impl Shared for WakeLine {}

fn word_of(place: &Place<WakeLine>) -> Option<&Futex> {
    Some(&place.get()?.first()?.word)
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
    event: Mutex<Option<Arc<Event>>>,
}

impl Doorbell {
    pub(crate) fn new(line: Place<WakeLine>) -> Self {
        Self { line, event: Mutex::new(None) }
    }

    /// The event by which the peer's loop is woken, once the peer has handed it over.
    pub fn set_event(&self, event: Arc<Event>) {
        *lock(&self.event) = Some(event);
    }

    /// Wakes the peer if it waits. To be called after each publication; costs a fence and a load if it does not.
    ///
    /// # Errors
    /// [`Violation::WakeWord`] or [`Violation::NoEvent`].
    pub fn ring(&self) -> Result<Rung, Violation> {
        let Some(word) = word_of(&self.line) else { return Ok(Rung::Nobody) };
        fence(Ordering::SeqCst); // between the publication and the look; pairs with the one in `Lookout::show`
        let mut seen = word.value.load(Ordering::Relaxed); // ordered by the fence
        for _ in 0..TRIES {
            if seen & MODES == NONE {
                return Ok(Rung::Nobody);
            }
            // Relaxed: the wake that follows orders what was published for whom it wakes, through the kernel and the index.
            match word.value.compare_exchange(seen, seen & !MODES, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        match seen & MODES {
            NONE => return Ok(Rung::Nobody),
            FUTEX => word.wake(),
            EVENT => lock(&self.event).clone().ok_or(Violation::NoEvent)?.raise(),
            _ => return Err(Violation::WakeWord(seen)),
        }
        Ok(Rung::Woken)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "wake_tests.rs"]
mod tests;
