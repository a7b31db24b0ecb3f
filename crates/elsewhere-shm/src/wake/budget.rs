//! How long spinning is worth while.
//! Owns: what was learned of earlier waits. Must not know: clocks (time comes in), what is waited for.
//!
//! Waking a core that sleeps costs 25 to 57 µs, whatever wakes it; a spinner sees the answer after 0.1 µs. But a spinner on
//! the peer's own core only keeps the peer from answering, and a spinner without an answer takes a core from others. So the
//! budget follows what spinning has brought: twice the usual wait, half after each miss, nothing after several, and then one
//! try in 16, to learn of better times. A usual wait of a microsecond does not make the budget so small that the first
//! answer which is late, for a page fault or a collection there, ends the spinning: that would cost the next ones two
//! wake-ups each.

use std::time::Duration;

/// Below this a budget is none: sleeping for so short a time costs more.
const LEAST: Duration = Duration::from_micros(2);

/// After a hit it is no less than this: several misses in a row end the spinning, one does not.
const AFTER_HIT: Duration = Duration::from_micros(8);

/// One wait in so many is spun although nothing is expected of it.
const PROBE: u32 = 16;

/// Without traffic for so long, nothing is expected soon.
const QUIET: Duration = Duration::from_millis(1);

/// How long one connection's waits on one side may spin.
#[derive(Clone, Debug)]
pub struct Budget {
    most: Duration,
    usual: Duration,
    current: Duration,
    until_probe: u32,
}

/// What is known at the beginning of a wait.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// The core of the waiting thread.
    pub core: u32,
    /// The core that the peer was last seen on.
    pub peer_core: u32,
    /// Time since something was sent or received.
    pub quiet: Duration,
}

impl Budget {
    /// Budgets of at most `most`: 20 µs for who waits for a reply, 50 µs for who waits for a call. `cores` is how many this
    /// process may use; with fewer than two it never spins.
    #[must_use]
    pub fn new(most: Duration, cores: usize) -> Self {
        let most = if cores < 2 || cfg!(target_arch = "aarch64") { Duration::ZERO } else { most };
        Self { most, usual: most / 2, current: most, until_probe: PROBE }
    }

    /// How long the wait that begins now may spin.
    pub fn begin(&mut self, outlook: Outlook) -> Duration {
        if self.most.is_zero() || outlook.core == outlook.peer_core || outlook.quiet > QUIET {
            return Duration::ZERO;
        }
        if !self.current.is_zero() {
            return self.current;
        }
        self.until_probe -= 1;
        if self.until_probe > 0 {
            return Duration::ZERO;
        }
        self.until_probe = PROBE;
        self.most
    }

    /// The spinning brought what was waited for, after `waited`.
    pub fn hit(&mut self, waited: Duration) {
        let was_expected = !self.current.is_zero();
        self.usual = if was_expected { (self.usual * 7 + waited) / 8 } else { waited };
        self.current = (self.usual * 2).max(AFTER_HIT).min(self.most);
    }

    /// The spinning brought nothing.
    pub fn miss(&mut self) {
        self.current /= 2;
        if self.current < LEAST {
            self.current = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(20);
    const AWAY: Outlook = Outlook { core: 0, peer_core: 1, quiet: Duration::ZERO };

    #[test]
    fn nobody_spins_on_the_core_of_the_peer() {
        let mut budget = Budget::new(MOST, 2);

        assert_eq!(budget.begin(Outlook { peer_core: 0, ..AWAY }), Duration::ZERO);
        assert_eq!(budget.begin(AWAY), MOST);
    }

    #[test]
    fn nobody_spins_with_a_single_core_or_after_a_pause() {
        assert_eq!(Budget::new(MOST, 1).begin(AWAY), Duration::ZERO);
        let pause = Outlook { quiet: Duration::from_millis(2), ..AWAY };
        assert_eq!(Budget::new(MOST, 2).begin(pause), Duration::ZERO);
    }

    #[test]
    fn budget_is_twice_the_usual_wait() {
        let mut budget = Budget::new(MOST, 2);

        (0..100).for_each(|_| budget.hit(Duration::from_micros(5)));

        let learned = budget.begin(AWAY);
        assert!(learned >= Duration::from_micros(10) && learned < Duration::from_micros(11), "{learned:?}");
    }

    #[test]
    fn budget_has_a_least_and_a_most() {
        let mut budget = Budget::new(MOST, 2);

        (0..100).for_each(|_| budget.hit(Duration::ZERO));
        assert_eq!(budget.begin(AWAY), AFTER_HIT);
        (0..100).for_each(|_| budget.hit(Duration::from_millis(1)));
        assert_eq!(budget.begin(AWAY), MOST);
    }

    #[test]
    fn one_miss_does_not_end_the_spinning() {
        let mut budget = Budget::new(MOST, 2);
        (0..100).for_each(|_| budget.hit(Duration::ZERO));

        budget.miss();

        assert!(!budget.begin(AWAY).is_zero());
    }

    #[test]
    fn misses_end_the_spinning_and_one_wait_in_16_tries_again() {
        let mut budget = Budget::new(MOST, 2);
        (0..4).for_each(|_| budget.miss());

        let begun: Vec<_> = (0..128).map(|_| budget.begin(AWAY)).collect();
        assert_eq!(begun.iter().filter(|spun| **spun == MOST).count(), 8);
        assert_eq!(begun.iter().filter(|spun| spun.is_zero()).count(), 120);

        budget.hit(Duration::from_micros(4));
        assert_eq!(budget.begin(AWAY), Duration::from_micros(8));
    }
}
