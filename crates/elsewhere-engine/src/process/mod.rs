//! A process of ours at the other end of a link, from its start until it is reaped.
//! Owns: its pidfd, its stdout and stderr, how it ended, the steps of its close. Must not know: what runs in it.

mod command;
mod forked;
mod handle;
mod output;
pub(crate) mod pidfd;
mod warm;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use elsewhere_proto::Timestamp;
use rustix::event::epoll;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::clock;
use crate::error::{Exit, Loss};
use crate::exit;
use crate::home::Home;
use crate::link::Link;
use crate::lock::lock;
use crate::parker::{self, Parker};
use crate::watch::Token;
use crate::zygote::Zygote;
use output::Output;

pub use command::{HostCommand, Stdio};
pub use forked::HostFork;
pub use handle::HostProcess;
pub use warm::{Unforked, WarmStart};

/// From the polite signal to the one that cannot be refused, and from the end of a host's stream to that one.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Kept by the watch table until it is reaped, whatever handles exist.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    parent: Parent,
    link: Arc<Link>,
    /// None once it is reaped.
    pidfd: Mutex<Option<OwnedFd>>,
    stdout: Mutex<Output>,
    stderr: Mutex<Output>,
    /// Where those two go, if they are shown in this process.
    home: Option<Arc<Home>>,
    exit: OnceLock<Exit>,
    /// Where it listens, if it does.
    socket: OnceLock<PathBuf>,
    plan: Mutex<Plan>,
    is_done: AtomicBool,
    waiters: Mutex<Vec<Arc<Parker>>>,
}

/// Whose child it is, and so who is told how it ended.
#[derive(Debug)]
pub(crate) enum Parent {
    Here,
    Zygote(Arc<Zygote>),
}

/// The signals to come.
#[derive(Debug, Default)]
struct Plan {
    /// When its end is told without its exit code, which its zygote still has.
    give_up_at: Option<Timestamp>,
    /// Whether it is known that nobody knows how it ended.
    is_untold: bool,
    terminate_at: Option<Timestamp>,
    kill_at: Option<Timestamp>,
    /// Whether its end was our wish, expressed by a close.
    is_ended_by_us: bool,
}

impl Process {
    fn new(
        (pid, pidfd, parent): (Pid, OwnedFd, Parent),
        link: Arc<Link>,
        stdout: Output,
        stderr: Output,
        home: Option<Arc<Home>>,
    ) -> Self {
        Self {
            pid,
            parent,
            link,
            pidfd: Mutex::new(Some(pidfd)),
            stdout: Mutex::new(stdout),
            stderr: Mutex::new(stderr),
            home,
            exit: OnceLock::new(),
            socket: OnceLock::new(),
            plan: Mutex::default(),
            is_done: AtomicBool::new(false),
            waiters: Mutex::default(),
        }
    }

    /// The id of its link.
    pub(crate) fn id(&self) -> u64 {
        self.link.id()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn raw_pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>) -> rustix::io::Result<()> {
        if let Some(pidfd) = &*lock(&self.pidfd) {
            epoll::add(poll, pidfd, Token::Exit(self.id()).into(), epoll::EventFlags::IN)?;
        }
        lock(&self.stdout).watch(poll, Token::Output(self.id()).into())?;
        lock(&self.stderr).watch(poll, Token::Output(self.id()).into())
    }

    /// Lets go of the descriptors.
    pub(crate) fn unwatch(&self, poll: BorrowedFd<'_>) {
        if let Some(pidfd) = lock(&self.pidfd).take() {
            let _ = epoll::delete(poll, &pidfd);
        }
        lock(&self.stdout).close(poll);
        lock(&self.stderr).close(poll);
        self.tell_home();
    }

    /// Takes what the process has written.
    pub(crate) fn pump_output(&self) {
        self.read_output();
        self.tell_home();
    }

    fn read_output(&self) {
        let poll = self.link.bell().epoll();
        lock(&self.stdout).pump(Some(poll));
        lock(&self.stderr).pump(Some(poll));
    }

    fn tell_home(&self) {
        if let Some(home) = self.home.as_ref().filter(|home| home.is_fresh()) {
            home.tell();
        }
    }

    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        // Called in a forked child, where a lock may be held for ever by a thread that is not there.
        let pidfd = crate::lock::try_lock(&self.pidfd).and_then(|pidfd| pidfd.as_ref().map(AsRawFd::as_raw_fd));
        let stdout = crate::lock::try_lock(&self.stdout).and_then(|stdout| stdout.raw_fd());
        let stderr = crate::lock::try_lock(&self.stderr).and_then(|stderr| stderr.raw_fd());
        pidfd.into_iter().chain(stdout).chain(stderr).collect()
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pidfd) = &*lock(&self.pidfd) {
            pidfd::send_signal(pidfd, self.pid, signal);
        }
    }

    /// Collects the status if the process has ended; true when it has.
    pub(crate) fn try_reap(&self) -> bool {
        let pidfd = lock(&self.pidfd);
        let Some(pidfd) = &*pidfd else { return true };
        let exit = match &self.parent {
            Parent::Here => reap(pidfd),
            Parent::Zygote(zygote) => self.ask_how_it_ended(zygote, pidfd),
        };
        let Some(exit) = exit else { return false };
        let _ = self.exit.set(exit);
        true
    }

    /// Waits for the end of the process, which is on its way, and collects the status.
    pub(crate) fn reap_here(&self) {
        if let Some(pidfd) = &*lock(&self.pidfd) {
            let flags = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), flags)); // others may be faster
        }
        let _ = self.try_reap();
    }

    /// How the child of a zygote ended, which its pidfd has told that it did. If that is still to come, the pidfd is not
    /// watched any more, since it would tell the same again and again.
    fn ask_how_it_ended(&self, zygote: &Zygote, pidfd: &OwnedFd) -> Option<Exit> {
        if let Some(exit) = zygote.exit_of(self.id()) {
            return Some(exit);
        }
        let mut plan = lock(&self.plan);
        if zygote.is_silent() || plan.give_up_at.is_some_and(|at| at <= clock::now()) {
            // Orphans are ours where this process is the first of its PID namespace, and nobody else would reap them.
            let exit = reap(pidfd).unwrap_or_default();
            plan.is_untold = exit == Exit::default();
            return Some(exit);
        }
        if plan.give_up_at.is_none() {
            plan.give_up_at = Some(Timestamp(clock::now().0 + LAST_GRACE));
            let _ = epoll::delete(self.link.bell().epoll(), pidfd);
        }
        None
    }

    /// Whether we are done with it, but others that have connected to it may not be.
    pub(crate) fn goes_on_for_others(&self) -> bool {
        self.socket.get().is_some() && self.link.is_closing() && self.exit.get().is_none()
    }

    /// Takes away what it left behind: who is killed tidies up nothing.
    pub(crate) fn tidy_up(&self) {
        if let Some(path) = self.socket.get() {
            let _ = std::fs::remove_file(path); // gone already where it ended by itself
        }
    }

    /// Whether it has ended and the zygote `id` is to tell how.
    pub(crate) fn waits_for_news_of(&self, id: u64) -> bool {
        matches!(&self.parent, Parent::Zygote(zygote) if zygote.id() == id) && lock(&self.plan).give_up_at.is_some()
    }

    /// Whether the news of how it ended does not come any more.
    pub(crate) fn is_given_up(&self, now: Timestamp) -> bool {
        lock(&self.plan).give_up_at.is_some_and(|at| at <= now)
    }

    /// How its link ended, once it is reaped.
    pub(crate) fn loss(&self) -> Loss {
        let exit = self.exit.get().copied().unwrap_or_default();
        if self.link.is_closing() && (exit.is_success() || lock(&self.plan).is_ended_by_us) {
            return Loss::Closed;
        }
        let Exit { code: exit_code, signal } = exit;
        let (stderr_tail, is_untold) = (lock(&self.stderr).tail(), lock(&self.plan).is_untold);
        Loss::Died { pid: self.raw_pid(), exit_code, signal, stderr_tail, is_untold }
    }

    /// Everybody who had to hear of its end has been told.
    pub(crate) fn set_done(&self) {
        self.is_done.store(true, Ordering::SeqCst); // before the waiters are taken: who comes later sees it
        std::mem::take(&mut *lock(&self.waiters)).iter().for_each(|parker| parker.wake());
    }

    /// Waits until its end is told to everybody. Returns whether it is.
    pub(crate) fn wait_until(&self, until: Option<Instant>) -> bool {
        let parker = parker::current();
        lock(&self.waiters).push(Arc::clone(&parker));
        loop {
            if self.is_done.load(Ordering::SeqCst) {
                break;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) || parker.sleep(None, None, left).interrupted {
                break;
            }
        }
        lock(&self.waiters).retain(|other| !Arc::ptr_eq(other, &parker));
        exit::gate();
        self.is_done.load(Ordering::SeqCst)
    }

    /// Closes the link and lets the process end within `grace`; then it is asked to, and a second later made to.
    fn start_close(&self, grace: Duration) {
        self.link.close();
        let at = Timestamp(clock::now().0.saturating_add(grace));
        {
            let mut plan = lock(&self.plan);
            plan.is_ended_by_us = true;
            plan.terminate_at = Some(plan.terminate_at.map_or(at, |earlier| earlier.min(at)));
        }
        self.link.bell().schedule(at);
    }

    /// Its stream has ended, so it should be gone in a moment.
    pub(crate) fn expect_exit(&self) {
        let at = Timestamp(clock::now().0 + LAST_GRACE);
        lock(&self.plan).kill_at.get_or_insert(at);
    }

    /// Sends the signals that are due and tells when the next one is.
    pub(crate) fn fire_timers(&self, now: Timestamp) -> Option<Timestamp> {
        let mut plan = lock(&self.plan);
        if plan.terminate_at.is_some_and(|at| at <= now) {
            plan.terminate_at = None;
            plan.kill_at.get_or_insert(Timestamp(now.0 + LAST_GRACE));
            self.signal(Signal::TERM);
        }
        if plan.kill_at.is_some_and(|at| at <= now) {
            plan.kill_at = None;
            self.signal(Signal::KILL);
        }
        [plan.terminate_at, plan.kill_at, plan.give_up_at].into_iter().flatten().min()
    }
}

/// How a child of ours ended; None while it runs.
fn reap(pidfd: &OwnedFd) -> Option<Exit> {
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(None) => None,
        Ok(Some(status)) => Some(Exit { code: status.exit_status(), signal: status.terminating_signal() }),
        // Somebody else in this process waits for all children and was faster.
        Err(_) => Some(Exit::default()),
    }
}
