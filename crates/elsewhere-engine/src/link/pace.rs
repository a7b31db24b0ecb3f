//! Whether a thread that goes to work leaves the stream to nobody until it is back.
//! Owns: that rule, and what was learned of late. Must not know: what work is, how threads wait.
//!
//! Of several threads that serve a link one sleeps on the stream. When it leaves to run a call, another has to take its
//! place. For each call that is one switch of threads, and a second one for the next call, which the other one reads and
//! hands over. So a thread that took the last calls all by itself, and was back from each within microseconds, leaves the
//! stream as it is, and takes it back from a thread that sleeps there for want of a better one.
//!
//! What it leaves is not forgotten: if it is not back, the watch thread wakes another at its next tick or the one after
//! that. If what that one finds is work of its own, it was late, as where this thread waits for a lock that a call of another
//! one gives back. So each time that happens the stream is not left for a while, and for longer if it happens again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{InboxWake, Link};
use crate::lock::lock;
use crate::parker;
use crate::taker::Taker;

/// Who is back within this time is back soon.
const SOON: Duration = Duration::from_micros(50);
/// So many calls in a row make a habit.
const HABIT: u32 = 8;
/// Of a worker with the habit one absence in so many is timed: to read the clock takes longer than the rest of this.
const TIMED: u64 = 4;
/// How long the stream is not left after something came late, the first time and at most.
const PENALTY: Duration = Duration::from_millis(100);
const LONGEST_PENALTY: Duration = Duration::from_millis(3_200);
/// What happened so many penalties ago is forgotten.
const FORGOTTEN: u32 = 8;

/// What is known of those who take the work of a link.
#[derive(Debug)]
pub(super) struct Pace {
    /// Who took the last of it.
    worker: usize,
    /// How often in a row that one was back soon.
    count: u32,
    /// When the stream may be left again, and how long it may not the next time.
    not_before: Option<Instant>,
    penalty: Duration,
    /// Whether that time has not come yet, for all that is known.
    is_barred: bool,
    is_away: bool,
    /// Since when it is away, if that is timed.
    left_at: Option<Instant>,
    /// Which time it is that somebody left the stream to nobody, while that lasts.
    left: Option<u64>,
    times: u64,
    /// Whether another thread was woken since, which may find work.
    is_roused: bool,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            worker: 0,
            count: 0,
            not_before: None,
            penalty: PENALTY,
            is_barred: false,
            is_away: false,
            left_at: None,
            left: None,
            times: 0,
            is_roused: false,
        }
    }

    /// `worker` waits for work. Returns whether it should sleep on the stream, whoever does so now.
    pub(super) fn come(&mut self, worker: usize) -> bool {
        if worker != self.worker {
            return false;
        }
        if let Some(left_at) = self.left_at.take() {
            // One that is away for longer now and then, since the machine does something else, goes on; not twice in a row.
            let is_soon = left_at.elapsed() <= SOON;
            self.count = if is_soon { self.count.saturating_add(1).min(2 * HABIT) } else { self.count / 2 };
        }
        if std::mem::take(&mut self.is_away) {
            self.left = None;
            self.is_roused = false;
        }
        self.is_habit()
    }

    /// There was work for another thread while the stream was left to nobody for long.
    fn miss(&mut self, now: Instant) {
        if self.not_before.is_some_and(|at| now.saturating_duration_since(at) >= self.penalty * FORGOTTEN) {
            self.penalty = PENALTY;
        }
        self.not_before = now.checked_add(self.penalty);
        self.is_barred = true;
        self.penalty = (self.penalty * 2).min(LONGEST_PENALTY);
    }

    /// `worker` leaves with work. Returns whether it leaves the stream to nobody.
    pub(super) fn leave(&mut self, worker: usize) -> bool {
        if worker != self.worker {
            self.worker = worker;
            self.count = 0;
            if self.is_roused {
                self.miss(Instant::now());
            }
        }
        self.is_roused = false;
        self.is_away = true;
        let is_left = self.is_habit();
        self.times += u64::from(is_left);
        self.left = is_left.then_some(self.times);
        let is_timed = !is_left || self.times.is_multiple_of(TIMED);
        self.left_at = is_timed.then(Instant::now);
        is_left
    }

    /// Which time it is that the stream is left to nobody, if it is.
    pub(super) const fn left(&self) -> Option<u64> {
        self.left
    }

    fn is_habit(&mut self) -> bool {
        if self.count < HABIT {
            return false;
        }
        self.is_barred = self.is_barred && self.not_before.is_some_and(|at| Instant::now() < at);
        !self.is_barred
    }
}

impl Link {
    /// [`spin_for_work`](Self::spin_for_work) for one of several threads, if it is the one that reads the stream.
    #[must_use]
    pub fn spin_for_work_again(self: &Arc<Self>, taker: &mut Taker) -> Option<InboxWake> {
        if !self.begin_to_look() {
            return None;
        }
        let found = self.spin_for_work(taker);
        if found.is_some() {
            self.end_look();
        }
        found
    }

    /// Has a thread that waits sleep on the stream, if none does.
    pub(super) fn rouse(&self) {
        let mut roles = lock(&self.roles);
        if roles.sleeper.is_some() {
            return;
        }
        roles.pace.is_roused = roles.pace.left().is_some();
        if let Some(parker) = roles.sleeper_or_next() {
            parker.wake();
        }
    }

    /// Which time it is that the stream was left to nobody, while it is.
    pub(crate) fn left(&self) -> Option<u64> {
        let roles = lock(&self.roles);
        roles.pace.left().filter(|_| roles.sleeper.is_none())
    }

    /// One of several threads that serve wants to look for work. Returns whether it is the one that reads the stream.
    fn begin_to_look(&self) -> bool {
        let worker = parker::current().number();
        let mut roles = lock(&self.roles);
        roles.pace.come(worker) && roles.sleeper.is_none()
    }

    /// It goes to work, without having taken a seat.
    fn end_look(self: &Arc<Self>) {
        let is_left = lock(&self.roles).pace.leave(parker::current().number());
        self.touch();
        if !is_left {
            self.rouse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: usize = 1;
    const OTHER: usize = 2;

    /// As if `worker` had been away for so long, so many times.
    fn away(pace: &mut Pace, worker: usize, time: Duration, times: u32) {
        for _ in 0..times {
            pace.come(worker);
            pace.leave(worker);
            pace.left_at = Instant::now().checked_sub(time);
        }
    }

    #[test]
    fn stream_is_left_by_who_was_back_soon_each_time() {
        let mut pace = Pace::new();

        away(&mut pace, ONE, Duration::ZERO, HABIT);

        assert_eq!(pace.left(), None);
        assert!(pace.come(ONE));
        assert!(pace.leave(ONE));
        assert_eq!(pace.left(), Some(1));
    }

    #[test]
    fn who_shares_the_work_with_another_leaves_nothing() {
        let mut pace = Pace::new();

        for _ in 0..HABIT {
            away(&mut pace, ONE, Duration::ZERO, HABIT - 1);
            away(&mut pace, OTHER, Duration::ZERO, 1);
        }

        assert!(!pace.leave(ONE));
        assert!(!pace.leave(OTHER));
    }

    #[test]
    fn who_takes_long_once_goes_on_and_who_always_does_leaves_nothing() {
        let mut pace = Pace::new();
        away(&mut pace, ONE, Duration::ZERO, 3 * HABIT);

        away(&mut pace, ONE, 2 * SOON, 1);
        pace.come(ONE);

        assert!(pace.leave(ONE));
        away(&mut pace, ONE, 2 * SOON, 2);
        pace.come(ONE);
        assert!(!pace.leave(ONE));
    }

    #[test]
    fn one_absence_in_four_is_timed_of_who_has_the_habit() {
        let mut pace = Pace::new();
        away(&mut pace, ONE, Duration::ZERO, HABIT + 1);

        let timed = (0..3 * TIMED).filter(|_| pace.come(ONE) && pace.leave(ONE) && pace.left_at.is_some()).count();

        assert_eq!(timed, 3);
    }

    #[test]
    fn who_was_missed_leaves_nothing_for_a_while() {
        let mut pace = Pace::new();
        away(&mut pace, ONE, Duration::ZERO, HABIT + 1);

        pace.is_roused = true;
        assert!(!pace.leave(OTHER));

        assert_eq!(pace.left(), None);
        away(&mut pace, ONE, Duration::ZERO, 2 * HABIT);
        assert!(!pace.come(ONE));
        pace.not_before = Some(Instant::now());
        assert!(pace.come(ONE));
        assert!(pace.leave(ONE));
    }

    #[test]
    fn who_is_back_before_anybody_else_found_work_goes_on() {
        let mut pace = Pace::new();
        away(&mut pace, ONE, Duration::ZERO, 2 * HABIT + 1);

        pace.is_roused = true;
        assert!(pace.come(ONE));

        assert!(pace.leave(ONE));
    }

    #[test]
    fn who_is_missed_again_and_again_leaves_nothing_for_longer_each_time_until_that_is_forgotten() {
        let mut pace = Pace::new();
        let mut now = Instant::now();

        for _ in 0..20 {
            pace.miss(now);
            now = pace.not_before.unwrap();
        }
        assert_eq!(pace.penalty, LONGEST_PENALTY);
        now += LONGEST_PENALTY * FORGOTTEN;
        pace.miss(now);

        assert_eq!(pace.not_before.unwrap() - now, PENALTY);
    }
}
