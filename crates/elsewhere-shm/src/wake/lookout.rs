//! The waiting side of a wake word: its sleeper, its spinners, its loop.
//! Owns: what the word shows. Must not know: which thread should wait, how long spinning is worth while.

use std::time::Duration;

use super::{EVENT, FUTEX, LOOP, Listener, NONE, TURN, Waited, WakeLine, line_of, word_of};
use crate::place::Place;
use crate::sync::{AtomicBool, Mutex, Ordering, fence, lock};

/// What a side waits for, as it can be seen without reading it.
pub trait News {
    /// Whether there is something to read or to do. It may say so wrongly, but not deny it wrongly after a SeqCst fence.
    fn is_there(&self) -> bool;

    /// Called before a thread falls asleep.
    fn falls_asleep(&self) {}
}

/// The waiting side of a wake word.
#[derive(Debug)]
pub struct Lookout<N> {
    line: Place<WakeLine>,
    news: N,
    state: Mutex<State>,
    /// Whether a spinner has nothing to take down: no sleeper and no loop. Written under the lock.
    is_quiet: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    turn: u32,
    spinners: usize,
    part: Part,
    listener: Option<Listener>,
}

/// The part of the sleeper.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Free,
    Awake,
    Asleep,
}

impl State {
    fn mode(&self) -> u32 {
        match (&self.part, &self.listener) {
            _ if self.spinners > 0 => NONE,
            (Part::Asleep, _) => FUTEX,
            (Part::Free, Some(Listener::Event(_))) => EVENT,
            (Part::Free, Some(Listener::Loop(..))) => LOOP,
            (Part::Awake, _) | (Part::Free, None) => NONE,
        }
    }
}

impl<N: News> Lookout<N> {
    pub(crate) fn new(line: Place<WakeLine>, news: N) -> Self {
        Self { line, news, state: Mutex::new(State::default()), is_quiet: AtomicBool::new(true) }
    }

    /// What is waited for.
    pub fn news(&self) -> &N {
        &self.news
    }

    /// Takes the part of the sleeper, unless another thread has it. Whoever has it and is awake reads what comes, so it looks
    /// again before it lets go.
    pub fn try_sleeper(&self) -> Option<Sleeper<'_, N>> {
        let mut state = lock(&self.state);
        if state.part != Part::Free {
            return None;
        }
        state.part = Part::Awake;
        self.show(&mut state);
        Some(Sleeper { lookout: self })
    }

    /// Says that this thread looks all the time, so that nobody need wake it. Costs a load if nobody else waits.
    pub fn spin(&self) -> Spinner<'_, N> {
        if self.is_quiet.load(Ordering::Relaxed) {
            // Relaxed: who goes to sleep meanwhile shows its mode, and the peer wakes it for nothing at worst.
            return Spinner { lookout: self, is_counted: false };
        }
        let mut state = lock(&self.state);
        state.spinners = state.spinners.saturating_add(1);
        self.show(&mut state);
        Spinner { lookout: self, is_counted: true }
    }

    /// Has `listener` told of news whenever no thread sleeps; None: nobody any more. The peer must have its event before.
    /// Returns whether there is news that nobody is told of.
    pub fn set_listener(&self, listener: Option<Listener>) -> bool {
        let before = std::mem::replace(&mut lock(&self.state).listener, listener);
        drop(before); // after the lock
        self.arm()
    }

    /// Asks for the event once more, after it was raised and everything was read. Returns whether there is news that
    /// nobody is told of: then read, and ask again.
    pub fn arm(&self) -> bool {
        self.show(&mut lock(&self.state));
        self.news.is_there()
    }

    /// Wakes the sleeper, or keeps it from falling asleep: for replies that another thread read, and for the end.
    pub fn wake_sleeper(&self) {
        let mut state = lock(&self.state);
        if state.part != Part::Asleep {
            return; // it looks under the lock, after this
        }
        self.show(&mut state);
        self.wake();
    }

    /// Shows the mode under a new turn, and tells the word.
    fn show(&self, state: &mut State) -> u32 {
        state.turn = state.turn.wrapping_add(1);
        let shown = state.turn << TURN | state.mode();
        self.is_quiet.store(state.part != Part::Asleep && state.listener.is_none(), Ordering::Relaxed); // see `spin`
        if let Some(line) = line_of(&self.line) {
            if let Some(Listener::Loop(number, _)) = state.listener {
                line.number.store(number, Ordering::Relaxed); // before the word that means it
            }
            line.word.value.store(shown, Ordering::Release); // pairs with the Acquire in `Doorbell::ring`, for the number
        }
        fence(Ordering::SeqCst); // between the mode and a look; pairs with the one in `Doorbell::ring`
        shown
    }

    /// Shows what was there before, and wakes if there is news that the peer told nobody.
    fn show_and_look(&self, state: &mut State) {
        self.show(state);
        if !self.news.is_there() {
            return;
        }
        match (state.mode(), &state.listener) {
            (FUTEX, _) => self.wake(),
            (EVENT | LOOP, Some(listener)) => listener.event().raise(),
            _ => {}
        }
    }

    fn wake(&self) {
        if let Some(word) = word_of(&self.line) {
            word.wake();
        }
    }
}

/// The part of the sleeper. Its drop gives the part back, and wakes the loop if there is news; other threads that wait are
/// told by whoever knows them.
#[derive(Debug)]
pub struct Sleeper<'a, N: News> {
    lookout: &'a Lookout<N>,
}

impl<N: News> Sleeper<'_, N> {
    /// Sleeps until the peer rings, until [`Lookout::wake_sleeper`], until a signal or until `timeout` is over; not at all if
    /// there is news or `is_over` says that there is no reason to. What `is_over` looks at is changed before
    /// [`Lookout::wake_sleeper`] is called.
    pub fn sleep(&mut self, timeout: Option<Duration>, is_over: impl FnOnce() -> bool) -> Waited {
        let lookout = self.lookout;
        lookout.news.falls_asleep();
        let shown = self.set(Part::Asleep);
        let waited = match word_of(&lookout.line) {
            Some(word) if !lookout.news.is_there() && !is_over() => word.wait(shown, timeout),
            _ => Waited::Changed,
        };
        self.set(Part::Awake);
        waited
    }

    fn set(&self, part: Part) -> u32 {
        let mut state = lock(&self.lookout.state);
        state.part = part;
        self.lookout.show(&mut state)
    }
}

impl<N: News> Drop for Sleeper<'_, N> {
    fn drop(&mut self) {
        let mut state = lock(&self.lookout.state);
        state.part = Part::Free;
        self.lookout.show_and_look(&mut state);
    }
}

/// A thread that looks all the time, until it is dropped.
#[derive(Debug)]
pub struct Spinner<'a, N: News> {
    lookout: &'a Lookout<N>,
    is_counted: bool,
}

impl<N: News> Drop for Spinner<'_, N> {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut state = lock(&self.lookout.state);
        state.spinners = state.spinners.saturating_sub(1);
        if state.spinners == 0 {
            self.lookout.show_and_look(&mut state);
        }
    }
}
