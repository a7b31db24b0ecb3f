//! How long spinning is worth while.
//! Owns: what was learned of earlier waits. Must not know: clocks, what is waited for.
//!
//! Waking a core that sleeps costs 25 to 57 µs, whatever wakes it; a spinner sees the answer after 0.1 µs. Who does not know
//! how long he waits loses least by looking for as long as the waking would take, and sleeping then (the rent-or-buy rule,
//! Karlin and others 1988). So the budget is all or nothing: a hit costs no more than the wait itself took, and only misses
//! cost anything. They are counted against the hits; who has lost his credit tries one wait in 16.
//!
//! Two sides that both sleep keep each other asleep: the answer of a peer that has to be woken first is late, and so is the
//! next call of who is woken for that answer. So who had to wake the peer spins for as much longer as the peer takes to wake
//! up: it is awake when the answer comes, and the peer, which need not wake anybody, finds the next call soon.

use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

/// One wait in so many is spun although nothing is expected of it.
const PROBE: u32 = 16;

/// How long a peer takes that has to be woken first.
const WAKING: Duration = Duration::from_micros(60);

/// A miss costs as much as so many hits bring: it takes the whole budget, and they save most of it.
const MISS: u32 = 2;

/// Credit beyond this is not counted, so that bad times are noticed soon: after four misses.
const MOST_CREDIT: u32 = 4 * MISS;

/// Credit after a probe that brought something.
const FRESH_CREDIT: u32 = 2 * MISS;

/// How long the waits of one side of a connection may spin. Threads that wait at the same time may use it: it is a guess.
#[derive(Debug)]
pub struct Budget {
    most: Duration,
    /// Nanoseconds that were left when a wait was cut short, for the wait that goes on with it.
    left: AtomicU32,
    credit: AtomicU32,
    until_probe: AtomicU32,
}

/// What is known at the beginning of a wait.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// The core of the waiting thread.
    pub core: u32,
    /// The core that the peer was last seen on.
    pub peer_core: u32,
    /// What was said since the last wait.
    pub traffic: Traffic,
}

/// What was sent or received between two waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Nothing: the last wait goes on.
    None,
    /// The peer was awake when it was sent to, or nothing was sent.
    Awake,
    /// The peer had to be woken.
    Woken,
}

impl Budget {
    /// Budgets of `most`. `cores` is how many this process may use at a time; with fewer than two it never spins.
    #[must_use]
    pub fn new(most: Duration, cores: usize) -> Self {
        let most = if cores < 2 || cfg!(target_arch = "aarch64") { Duration::ZERO } else { most };
        Self { most, left: AtomicU32::new(0), credit: AtomicU32::new(MOST_CREDIT), until_probe: AtomicU32::new(PROBE) }
    }

    /// How long the wait that begins now, or goes on, may spin.
    // Relaxed, here and below: guesses, which order nothing.
    pub fn begin(&self, outlook: Outlook) -> Duration {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(0, Ordering::Relaxed);
        }
        if self.most.is_zero() || outlook.core == outlook.peer_core {
            return Duration::ZERO;
        }
        if outlook.traffic == Traffic::None {
            return Duration::from_nanos(left.into());
        }
        if self.credit.load(Ordering::Relaxed) == 0 && !self.is_probe() {
            return Duration::ZERO;
        }
        if outlook.traffic == Traffic::Woken { self.most + WAKING } else { self.most }
    }

    fn is_probe(&self) -> bool {
        let until = self.until_probe.load(Ordering::Relaxed).saturating_sub(1);
        self.until_probe.store(if until == 0 { PROBE } else { until }, Ordering::Relaxed);
        until == 0
    }

    /// The spinning brought what was waited for.
    pub fn hit(&self) {
        match self.credit.load(Ordering::Relaxed) {
            MOST_CREDIT => {}
            0 => self.credit.store(FRESH_CREDIT, Ordering::Relaxed),
            credit => self.credit.store(credit + 1, Ordering::Relaxed),
        }
    }

    /// The spinning brought nothing in all the time it had.
    pub fn miss(&self) {
        self.credit.store(self.credit.load(Ordering::Relaxed).saturating_sub(MISS), Ordering::Relaxed);
    }

    /// The spinning was ended before its time: it may go on for `left`, if nothing comes in between.
    pub fn cut(&self, left: Duration) {
        self.left.store(u32::try_from(left.as_nanos()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);
    const AWAY: Outlook = Outlook { core: 0, peer_core: 1, traffic: Traffic::Awake };
    const WOKEN: Outlook = Outlook { traffic: Traffic::Woken, ..AWAY };

    fn spins(budget: &Budget, outlook: Outlook, waits: usize) -> Vec<Duration> {
        (0..waits).map(|_| budget.begin(outlook)).filter(|spin| !spin.is_zero()).collect()
    }

    #[test]
    fn nobody_spins_on_the_core_of_the_peer() {
        let budget = Budget::new(MOST, 2);

        assert_eq!(budget.begin(Outlook { peer_core: 0, ..AWAY }), Duration::ZERO);
        assert_eq!(budget.begin(AWAY), MOST);
    }

    #[test]
    fn nobody_spins_with_a_single_core_or_without_traffic() {
        assert_eq!(Budget::new(MOST, 1).begin(AWAY), Duration::ZERO);
        let silence = Outlook { traffic: Traffic::None, ..AWAY };
        assert_eq!(Budget::new(MOST, 2).begin(silence), Duration::ZERO);
    }

    #[test]
    fn some_misses_among_hits_do_not_end_the_spinning() {
        let budget = Budget::new(MOST, 2);

        for _ in 0..100 {
            budget.miss();
            (0..MISS).for_each(|_| budget.hit());
        }

        assert_eq!(spins(&budget, AWAY, 10).len(), 10);
    }

    #[test]
    fn four_misses_end_the_spinning_and_one_wait_in_16_tries_again() {
        let budget = Budget::new(MOST, 2);
        (0..4).for_each(|_| budget.miss());

        assert_eq!(spins(&budget, AWAY, 128), [MOST; 8]);
        budget.hit();

        assert_eq!(spins(&budget, AWAY, 10).len(), 10);
    }

    #[test]
    fn wait_for_a_peer_that_had_to_be_woken_spins_for_longer() {
        let budget = Budget::new(MOST, 2);

        assert_eq!(spins(&budget, WOKEN, 3), [MOST + WAKING; 3]);
        (0..4).for_each(|_| budget.miss());

        assert_eq!(spins(&budget, WOKEN, 32), [MOST + WAKING; 2]);
    }

    #[test]
    fn wait_that_was_cut_goes_on_once() {
        let budget = Budget::new(MOST, 2);
        let silence = Outlook { traffic: Traffic::None, ..AWAY };

        budget.cut(Duration::from_micros(30));

        assert_eq!(budget.begin(silence), Duration::from_micros(30));
        assert_eq!(budget.begin(silence), Duration::ZERO);
    }

    #[test]
    fn what_was_left_of_a_wait_is_gone_with_the_next_traffic() {
        let budget = Budget::new(MOST, 2);
        budget.cut(Duration::from_micros(30));

        let next = budget.begin(AWAY);

        assert_eq!(next, MOST);
        assert_eq!(budget.begin(Outlook { traffic: Traffic::None, ..AWAY }), Duration::ZERO);
    }
}
