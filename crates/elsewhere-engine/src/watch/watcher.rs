//! The loop of the watch thread.
//! Owns: the ticks and timers of this process. Must not know: Python; how a link or process does what it is told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use elsewhere_proto::Timestamp;
use rustix::event::{Timespec, epoll};
use rustix::process::{Signal, getpid, kill_process};

use super::{Ask, Bell};
use crate::aside;
use crate::clock;
use crate::error::Loss;
use crate::link::{Kind, Link, PeerFate};
use crate::transport::{Half, PeerEnd};
use crate::zygote;

/// How long a link must be quiet before it is armed.
const TICK: Duration = Duration::from_millis(5);
/// How long this process may go on after its owner is gone.
const GRACE_WITHOUT_OWNER: Duration = Duration::from_secs(1);
const EVENTS_AT_ONCE: usize = 64;

/// What an event of epoll is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Poke,
    Owner,
    /// Its end, or that of a host that it forked. Ids begin with 2.
    Zygote(u64),
    Link(u64),
    Exit(u64),
    /// One of the two that a process writes to.
    Output(u64),
    /// Somebody wants to be let in.
    Porch(u64),
    /// Somebody who wants to be let in has something to say.
    Knock(u64),
    /// A signal came.
    Alarm(u64),
}

impl From<Token> for epoll::EventData {
    fn from(token: Token) -> Self {
        let (kind, id) = match token {
            Token::Poke => (0, 0),
            Token::Owner => (0, 1),
            Token::Zygote(id) => (0, id),
            Token::Link(id) => (1, id),
            Token::Exit(id) => (2, id),
            Token::Output(id) => (3, id),
            Token::Porch(id) => (4, id),
            Token::Knock(id) => (5, id),
            Token::Alarm(id) => (6, id),
        };
        Self::new_u64(id << 3 | kind)
    }
}

impl From<epoll::EventData> for Token {
    fn from(data: epoll::EventData) -> Self {
        let (kind, id) = (data.u64() & 7, data.u64() >> 3);
        match kind {
            0 if id == 0 => Self::Poke,
            0 if id == 1 => Self::Owner,
            0 => Self::Zygote(id),
            1 => Self::Link(id),
            2 => Self::Exit(id),
            3 => Self::Output(id),
            4 => Self::Porch(id),
            5 => Self::Knock(id),
            _ => Self::Alarm(id),
        }
    }
}

/// What the thread knows between two rounds; it survives a pause of the thread.
pub(super) struct Watcher {
    bell: Arc<Bell>,
    ticking: Vec<Ticking>,
    next_tick: Option<Timestamp>,
    next_timer: Option<Timestamp>,
    /// When this process ends, after its owner is gone.
    last_moment: Option<Timestamp>,
}

struct Ticking {
    link: Weak<Link>,
    activity: u64,
    /// See [`Link::look_after`].
    left: Option<u64>,
}

impl Watcher {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, ticking: Vec::new(), next_tick: None, next_timer: None, last_moment: None }
    }

    pub(super) fn run(mut self) -> Self {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            events.clear();
            let timeout = self.timeout();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            // An interrupted or failed wait is a round without events.
            let _ = epoll::wait(self.bell.epoll(), buffer, timeout.as_ref());
            for event in &events {
                self.on_event(event.data.into());
            }
            if self.do_what_was_asked() {
                return self;
            }
            self.tick();
            if self.next_timer.is_some_and(|at| at <= clock::now()) {
                self.fire_timers();
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let next = [self.next_tick, self.next_timer].into_iter().flatten().min()?;
        // Up to the next millisecond, because kernels before 5.11 cut the rest off and would spin through it.
        let left = clock::until(next).as_nanos().div_ceil(1_000_000);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX).min(u64::from(u32::MAX) / 4));
        Timespec::try_from(left).ok()
    }

    fn on_event(&mut self, token: Token) {
        match token {
            Token::Poke => self.bell.clear(),
            Token::Owner => {
                super::unwatch_owner(&self.bell);
                self.on_owner_gone();
            }
            Token::Zygote(id) => self.on_zygote(id),
            Token::Link(id) => self.on_link(id),
            Token::Exit(id) => self.on_exit(id),
            Token::Porch(id) => {
                if let Some(porch) = super::porch(id) {
                    porch.on_arrival(self.bell.epoll());
                    self.note_timer(porch.next_timer());
                }
            }
            Token::Knock(id) => {
                let _ = super::porches().iter().any(|porch| porch.on_knock(id, self.bell.epoll()));
            }
            Token::Alarm(id) => {
                if let Some(alarm) = super::alarm(id) {
                    alarm.ring();
                }
            }
            Token::Output(id) => {
                if let Some(process) = super::process(id) {
                    process.pump_output();
                }
            }
        }
    }

    /// Does what others asked for; true when it was to leave.
    fn do_what_was_asked(&mut self) -> bool {
        let mut is_to_leave = false;
        for ask in self.bell.take_asked() {
            match ask {
                Ask::Tick(link) => self.begin_ticking(link),
                Ask::Arm(link) => {
                    if let Some(link) = link.upgrade().filter(|link| !link.is_driven()) {
                        link.arm();
                    }
                }
                Ask::News(id) => {
                    if let Some(link) = super::link(id) {
                        link.on_stream_event();
                    }
                }
                Ask::End(id) => self.on_end(id),
                Ask::LoopEnded(id) => {
                    if let Some(link) = super::link(id) {
                        link.take_back_loops();
                    }
                }
                Ask::Timers => self.fire_timers(),
                Ask::Stop => is_to_leave = true,
            }
        }
        is_to_leave
    }

    fn on_link(&mut self, id: u64) {
        let Some(link) = super::link(id) else { return };
        match link.peer_end() {
            PeerEnd::Open => link.on_stream_event(),
            // The half-close was seen before, so this is room to write.
            PeerEnd::HalfClosed if link.is_input_over() => link.on_room(),
            PeerEnd::HalfClosed | PeerEnd::Gone => self.on_end(id),
        }
    }

    /// The stream has ended, or half of it. What had arrived is delivered first, whatever comes then.
    fn on_end(&mut self, id: u64) {
        let Some(link) = super::link(id) else { return };
        link.read_to_end();
        if let Some(text) = link.violation() {
            link.end_with(Loss::Violated { text }, PeerFate::MayGoOn);
        }
        let is_orderly = link.is_peer_closing() && link.peer_end() != PeerEnd::Gone;
        match link.kind() {
            Kind::Host => self.on_silent_host(&link),
            // What was accepted is finished and answered before this side ends too.
            Kind::Plain | Kind::Owner if is_orderly => {
                link.pass_end();
                link.end_input();
            }
            Kind::Client if is_orderly => {
                link.pass_end();
                link.end_input();
                link.close();
            }
            Kind::Plain | Kind::Client => link.end_as_plain(),
            Kind::Owner => self.on_owner_gone(),
        }
    }

    /// A host has closed its stream. It is about to exit, which its pidfd will tell, or it is made to.
    fn on_silent_host(&mut self, link: &Arc<Link>) {
        link.unwatch();
        match super::process(link.id()) {
            Some(process) => {
                process.expect_exit();
                self.fire_timers();
            }
            None => link.end_as_plain(),
        }
    }

    /// A process has ended. Its last words are in the socket and the pipe, whoever else may hold their other ends.
    fn on_exit(&mut self, id: u64) {
        let Some(process) = super::process(id) else { return };
        if !process.try_reap() {
            self.fire_timers(); // the news of a zygote is waited for
            return;
        }
        let link = Arc::clone(process.link());
        link.read_to_end();
        process.unwatch(self.bell.epoll());
        super::remove_process(id);
        process.tidy_up();
        link.end_with(process.loss(), PeerFate::Ended);
        process.set_done();
    }

    /// A zygote tells how hosts ended, or has ended itself.
    fn on_zygote(&mut self, id: u64) {
        let Some(zygote) = super::zygote(id) else { return };
        if zygote.on_news(self.bell.epoll()) {
            super::remove_zygote(id);
            zygote::forget(&zygote);
        }
        let waiting = super::processes().into_iter().filter(|process| process.waits_for_news_of(id));
        waiting.for_each(|process| self.on_exit(process.id()));
    }

    /// The owner of this process is gone: the program hears of it and gets a second, every process of ours gets the same
    /// at once, and then this process ends, whatever its threads are doing.
    fn on_owner_gone(&mut self) {
        if self.last_moment.is_some() {
            return;
        }
        self.last_moment = Some(Timestamp(clock::now().0 + GRACE_WITHOUT_OWNER));
        super::porches().iter().for_each(|porch| porch.close());
        let owner = super::owner_link();
        for link in super::links() {
            if Some(link.id()) == owner {
                link.read_to_end();
                link.end_as_plain();
            } else {
                link.shut(Half::Both);
            }
        }
        self.fire_timers();
    }

    fn begin_ticking(&mut self, link: Weak<Link>) {
        let Some(activity) = link.upgrade().map(|link| link.activity()) else { return };
        self.ticking.push(Ticking { link, activity, left: None });
        self.next_tick.get_or_insert_with(|| Timestamp(clock::now().0 + TICK));
    }

    /// Sends what links held back, and arms those that were quiet since the last tick.
    fn tick(&mut self) {
        let now = clock::now();
        if self.next_tick.is_none_or(|at| at > now) {
            return;
        }
        self.ticking.retain_mut(|ticking| {
            let Some(link) = ticking.link.upgrade() else { return false };
            link.send_held();
            ticking.left = link.look_after(ticking.left);
            let activity = link.activity();
            if std::mem::replace(&mut ticking.activity, activity) != activity {
                return true;
            }
            link.settle();
            false
        });
        self.next_tick = (!self.ticking.is_empty()).then_some(Timestamp(now.0 + TICK));
    }

    /// Something is due at `at`, if that is sooner than what is known.
    fn note_timer(&mut self, at: Option<Timestamp>) {
        self.next_timer = [self.next_timer, at].into_iter().flatten().min();
        self.bell.set_next_timer(self.next_timer);
    }

    /// Does what is due and finds out what is due next.
    fn fire_timers(&mut self) {
        self.bell.set_next_timer(None); // "unknown" before the look; see `Bell::schedule`
        let now = clock::now();
        if self.last_moment.is_some_and(|at| at <= now) {
            let _ = kill_process(getpid(), Signal::KILL);
        }
        let mut next = self.last_moment;
        let mut note = |at: Option<Timestamp>| next = [next, at].into_iter().flatten().min();
        for link in super::links() {
            if link.next_timer().is_some_and(|at| at <= now) {
                link.fire_timers();
            }
            note(link.next_timer());
        }
        for porch in super::porches() {
            porch.fire_timers(now, self.bell.epoll());
            note(porch.next_timer());
        }
        aside::look(now);
        note(aside::due());
        let mut given_up = Vec::new();
        for process in super::processes() {
            if process.is_given_up(now) {
                given_up.push(process.id());
            } else {
                note(process.fire_timers(now));
            }
        }
        self.next_timer = next;
        self.bell.set_next_timer(next);
        given_up.into_iter().for_each(|id| self.on_exit(id));
    }
}
