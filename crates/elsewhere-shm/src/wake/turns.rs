//! Whether to let the peer run, instead of sleeping, when both sides share a core.
//! Owns: what was learned of earlier waits. Must not know: clocks, what is waited for.
//!
//! On one core nobody gains by looking: while he looks the peer does not run. But a sleep costs the peer a system call to end
//! it, and the system the work of a wake: half of a round trip. Who gives up the core and stays ready to run (`sched_yield`)
//! gets it back when the peer, with its answer given, does the same: one system call on either side, and no wake.
//!
//! That holds while the two have the core to themselves and the peer answers soon. Another program on that core has a whole
//! time slice at nearly each turn, milliseconds, also one of the lowest priority (at some 170 calls in a row, by trial). So
//! one turn that took long ends it for 64 waits, the next one for 256, and so on to 16,384, a tenth of a second, which is how
//! long the other program is still reckoned with when it is gone; only 300 short ones in a row make that forgotten. Nothing
//! is lost then but what was won: the waits in between sleep as others do.
//!
//! Between 300 and 170 lies what else looks like another program: a busy thread of Python in the caller's process. Each time
//! it has the interpreter, for 5 ms, the peer's turn takes long; in between there are some 550 calls.

use crate::sync::{AtomicU32, Ordering};

/// Waits that sleep before the first turn is tried, and after the first one that took long.
const FIRST_PAUSE: u32 = 64;
/// By how much each pause is longer than the one before.
const GROWTH: u32 = 4;
const LONGEST_PAUSE: u32 = 16_384;
/// Short turns in a row after which pauses are short again. Beside a busy thread of the caller's a number there and back
/// takes 4.9 µs then, and 6.3 where it is 1000; beside other programs nothing changes down to 200, by trial.
const FORGIVEN: u32 = 300;

/// Whether the waits of one side of a connection give up the core. Threads that wait at the same time may use it: it is a
/// guess.
#[derive(Debug)]
pub struct Turns {
    /// Waits that are still to sleep; with none, turns are taken.
    left: AtomicU32,
    pause: AtomicU32,
    hits: AtomicU32,
}

impl Default for Turns {
    fn default() -> Self {
        Self { left: AtomicU32::new(FIRST_PAUSE), pause: AtomicU32::new(FIRST_PAUSE), hits: AtomicU32::new(0) }
    }
}

impl Turns {
    /// Whether the wait that begins now may give up the core instead of sleeping.
    // Relaxed, here and below: guesses, which order nothing.
    pub fn begin(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// What was waited for came soon.
    pub fn hit(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        if hits < FORGIVEN {
            self.hits.store(hits + 1, Ordering::Relaxed);
        } else {
            self.pause.store(FIRST_PAUSE, Ordering::Relaxed);
        }
    }

    /// It did not come, or others had the core meanwhile.
    pub fn miss(&self) {
        let pause = self.pause.load(Ordering::Relaxed);
        self.left.store(pause, Ordering::Relaxed);
        self.pause.store((pause * GROWTH).min(LONGEST_PAUSE), Ordering::Relaxed);
        self.hits.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// How many waits sleep before the next that gives up the core.
    fn pause(turns: &Turns) -> usize {
        (0..).take_while(|_| !turns.begin()).count()
    }

    #[test]
    fn each_miss_makes_the_pause_longer_up_to_a_bound() {
        let turns = Turns::default();

        let pauses: Vec<_> = std::iter::repeat_with(|| (pause(&turns), turns.miss()).0).take(9).collect();

        assert_eq!(pauses, [64, 64, 256, 1024, 4096, 16_384, 16_384, 16_384, 16_384]);
    }

    #[test]
    fn turns_are_taken_as_long_as_they_are_short() {
        let turns = Turns::default();
        pause(&turns);

        for _ in 0..10_000 {
            assert!(turns.begin());
            turns.hit();
        }
    }

    #[test]
    fn some_short_ones_do_not_make_bad_times_forgotten_and_many_do() {
        let turns = Turns::default();
        (0..3).for_each(|_| turns.miss());
        assert_eq!(pause(&turns), 1024);

        (0..FORGIVEN).for_each(|_| turns.hit());
        turns.miss();
        let after_some = pause(&turns);
        (0..=FORGIVEN).for_each(|_| turns.hit());
        turns.miss();

        assert_eq!((after_some, pause(&turns)), (4096, 64));
    }
}
