//! Processes that are ready to be hosts, and fork one whenever one is wanted.
//! Owns: the zygotes of this process, when there is a new one and when one goes. Must not know: what is ready in them,
//! what becomes of a host.
//!
//! A zygote is asked with what a host is to have of this process (its streams, its directory, its umask); everything else
//! it has from its own start. So it is looked up by what it was started with and by the [`surroundings`] of that moment.

mod packet;
mod seat;
mod spare;
mod surroundings;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::Shutdown;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::error::Exit;
use crate::fork::PerProcess;
use crate::lock::lock;
use crate::process::pidfd::{send_signal, watchable};
use crate::watch::{self, Token};

pub(crate) use packet::{Ends, No};
pub use seat::{Child, Errand, ForkOrder, HostOrder, ZygoteSeat, other_threads};
pub use spare::StandBy;
pub(crate) use surroundings::Surroundings;

/// Zygotes that are kept for more hosts. An older one ends with its last host.
const KEPT: usize = 4;
/// Reasons that are kept not to ask for a zygote again.
const REFUSALS_KEPT: usize = 64;
/// How long the end of this process waits for its zygotes, which takes them a moment.
const PATIENCE: Duration = Duration::from_secs(1);
/// Ends of hosts that are read at once.
const ENDS_AT_ONCE: usize = 64;

static KNOWN: PerProcess<Vec<Known>> = PerProcess::new(Vec::new(), Vec::new);

/// What is known of the zygote for a key. The last one used comes last.
struct Known {
    key: String,
    state: State,
}

enum State {
    Up(Arc<Zygote>),
    Refused(String),
}

/// A zygote of this process.
#[derive(Debug)]
pub(crate) struct Zygote {
    id: u64,
    pid: Pid,
    line: Mutex<Line>,
}

/// The line to a zygote. Its descriptors are closed when it is gone, whoever still knows it.
#[derive(Debug)]
struct Line {
    /// None once it is gone.
    orders: Option<Arc<OwnedFd>>,
    /// None once it is reaped.
    pidfd: Option<OwnedFd>,
    /// None once it can tell no more.
    ends: Option<OwnedFd>,
    /// Ends that nobody has asked for yet.
    exits: BTreeMap<u64, Exit>,
}

/// Where a host can be had.
pub(crate) enum Source {
    /// From this one; whether it was just started.
    Zygote(Arc<Zygote>, bool),
    /// Not from a zygote, and why.
    Nowhere(String),
}

/// The zygote for `key`, made by `command` if there is none.
pub(crate) fn find(key: &str, command: impl FnOnce() -> io::Result<Command>) -> io::Result<Source> {
    let mut known = KNOWN.lock();
    if let Some(at) = known.iter().position(|one| one.key == key) {
        let found = known.remove(at);
        let source = match &found.state {
            State::Refused(text) => Source::Nowhere(text.clone()),
            State::Up(zygote) => Source::Zygote(Arc::clone(zygote), false),
        };
        known.push(found);
        return Ok(source);
    }
    let zygote = Zygote::start(command()?)?;
    known.push(Known { key: key.to_owned(), state: State::Up(Arc::clone(&zygote)) });
    drop_oldest(&mut known);
    Ok(Source::Zygote(zygote, true))
}

fn drop_oldest(known: &mut Vec<Known>) {
    let mut remove_first = |is_up: bool, keep: usize| {
        let of_kind = |one: &Known| matches!(one.state, State::Up(_)) == is_up;
        if known.iter().filter(|one| of_kind(one)).count() > keep
            && let Some(at) = known.iter().position(of_kind)
            && let State::Up(zygote) = known.remove(at).state
        {
            zygote.retire();
        }
    };
    remove_first(true, KEPT);
    remove_first(false, REFUSALS_KEPT);
}

/// Forgets a zygote that takes no more orders.
pub(crate) fn forget(zygote: &Zygote) {
    KNOWN.lock().retain(|one| !matches!(&one.state, State::Up(up) if up.id == zygote.id));
    zygote.retire();
}

/// Remembers that no zygote is to be had for `key`. Whether that is news.
pub(crate) fn refuse(key: &str, text: &str) -> bool {
    let mut known = KNOWN.lock();
    let at = known.iter().position(|one| one.key == key);
    let before = at.map(|at| known.remove(at));
    known.push(Known { key: key.to_owned(), state: State::Refused(text.to_owned()) });
    drop_oldest(&mut known);
    drop(known);
    match before.map(|before| before.state) {
        Some(State::Refused(_)) => false,
        Some(State::Up(zygote)) => {
            zygote.retire();
            true
        }
        None => true,
    }
}

/// Lets every zygote of this process end with its last host. The next host is forked by a new one.
pub fn retire_zygotes() {
    for known in KNOWN.lock().drain(..) {
        if let State::Up(zygote) = known.state {
            zygote.retire();
        }
    }
}

/// The zygotes of this process that are not reaped yet: their process ids, and their descriptors here.
#[must_use]
pub fn zygotes() -> Vec<(u32, Vec<RawFd>)> {
    watch::zygotes().iter().map(|zygote| (zygote.raw_pid(), zygote.raw_fds())).collect()
}

/// Ends every zygote of this process, whose hosts have ended, and waits for it. Nothing watches them any more.
pub(crate) fn end_all(zygotes: &[Arc<Zygote>]) {
    KNOWN.lock().clear();
    zygotes.iter().for_each(|zygote| zygote.retire());
    let until = Instant::now() + PATIENCE;
    zygotes.iter().for_each(|zygote| zygote.end(until));
}

impl Zygote {
    /// Starts one; `command` still lacks its stdin.
    fn start(mut command: Command) -> io::Result<Arc<Self>> {
        let (orders, theirs) = packet::pair()?;
        let (ends, ends_theirs) = io::pipe()?;
        fcntl_setfl(&ends, OFlags::NONBLOCK)?;
        let mut child = command.stdin(theirs).spawn()?;
        drop(command);
        let started = Self::adopt(child.id(), orders, ends.into(), ends_theirs.as_fd());
        started.inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })
    }

    fn adopt(pid: u32, orders: OwnedFd, ends: OwnedFd, ends_theirs: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the system gives positive process ids");
        let pidfd = watchable(pid)?;
        packet::send_begin(&orders, ends_theirs)?;
        let line =
            Line { orders: Some(Arc::new(orders)), pidfd: Some(pidfd), ends: Some(ends), exits: BTreeMap::new() };
        let zygote = Arc::new(Self { id: watch::next_id(), pid, line: Mutex::new(line) });
        watch::add_zygote(&zygote)?;
        Ok(zygote)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn raw_pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks for a host. Gives where the answer comes.
    pub(crate) fn order(&self, id: u64, umask: u32, setting: &[u8], ends: &Ends) -> io::Result<Answering> {
        let (ours, theirs) = packet::pair()?;
        let line = lock(&self.line);
        let orders = line.orders.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        packet::send_fork(orders, (id, umask, setting), &theirs, ends)?;
        Ok(Answering { socket: ours, orders: Arc::clone(orders) })
    }

    /// Lets it end with its last host.
    fn retire(&self) {
        if let Some(orders) = &lock(&self.line).orders {
            // ENOTCONN: it is gone.
            let _ = rustix::net::shutdown(orders, Shutdown::Write);
        }
    }

    /// Ends it at once, and returns when it is gone. Its hosts live on.
    pub(crate) fn end_now(&self) {
        self.end(Instant::now());
    }

    /// Waits for its end, which is forced at `until`.
    fn end(&self, until: Instant) {
        let Some(pidfd) = self.take_pidfd() else { return };
        if !has_ended(&pidfd, until) {
            send_signal(&pidfd, self.pid, Signal::KILL);
        }
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    }

    /// Waits until `until` for its end, which comes if it was retired and has no hosts.
    pub(crate) fn end_unless_used(&self, until: Instant) {
        let Some(pidfd) = self.take_pidfd() else { return };
        if has_ended(&pidfd, until) {
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        } else {
            lock(&self.line).pidfd = Some(pidfd);
        }
    }

    /// After that no order goes to it, and nobody else reaps it.
    fn take_pidfd(&self) -> Option<OwnedFd> {
        let mut line = lock(&self.line);
        line.orders = None;
        line.pidfd.take()
    }

    pub(crate) fn watch(&self, poll: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let line = lock(&self.line);
        for fd in [&line.pidfd, &line.ends].into_iter().flatten() {
            epoll::add(poll, fd, Token::Zygote(self.id).into(), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        // Called in a forked child, where a lock may be held for ever by a thread that is not there.
        let line = crate::lock::try_lock(&self.line);
        let Some(line) = line else { return Vec::new() };
        let told = [&line.pidfd, &line.ends].into_iter().flatten().map(AsRawFd::as_raw_fd);
        told.chain(line.orders.iter().map(AsRawFd::as_raw_fd)).collect()
    }

    /// Takes what it tells. Whether it has told everything and is reaped.
    pub(crate) fn on_news(&self, poll: BorrowedFd<'_>) -> bool {
        let mut line = lock(&self.line);
        line.read(Some(poll));
        if let Some(pidfd) = &line.pidfd {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            if !matches!(waitid(WaitId::PidFd(pidfd.as_fd()), options), Ok(None)) {
                let _ = epoll::delete(poll, pidfd);
                line.pidfd = None;
            }
        }
        if line.pidfd.is_none() {
            line.orders = None;
        }
        line.pidfd.is_none() && line.ends.is_none()
    }

    /// How the host `id` ended, if that is told.
    pub(crate) fn exit_of(&self, id: u64) -> Option<Exit> {
        let mut line = lock(&self.line);
        line.read(None);
        line.exits.remove(&id)
    }

    /// Whether it tells nothing more, since it has ended.
    pub(crate) fn is_silent(&self) -> bool {
        lock(&self.line).ends.is_none()
    }
}

fn has_ended(pidfd: &OwnedFd, until: Instant) -> bool {
    let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], left.as_ref()), Ok(1))
}

impl Line {
    /// Reads what is there. `poll` watches the pipe, and may be told of its end.
    fn read(&mut self, poll: Option<BorrowedFd<'_>>) {
        let mut bytes = [0_u8; ENDS_AT_ONCE * packet::END_LEN];
        while let Some(ends) = &self.ends {
            match rustix::io::read(ends, &mut bytes) {
                Ok(0) => {
                    if let Some(poll) = poll {
                        let _ = epoll::delete(poll, ends);
                    }
                    self.ends = None; // a close takes it out of the epoll as well: nobody has another of it
                }
                // Each end is written at once, and so is whole.
                Ok(count) => {
                    let told = bytes.get(..count).unwrap_or_default().chunks_exact(packet::END_LEN);
                    self.exits.extend(told.filter_map(packet::read_end));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The answer to an order, which is still to come. Its drop gives the host up.
#[derive(Debug)]
pub(crate) struct Answering {
    socket: OwnedFd,
    /// Over which nothing ever comes.
    orders: Arc<OwnedFd>,
}

/// What came of an order.
#[derive(Debug)]
pub(crate) enum Ordered {
    Forked {
        pid: Pid,
        pidfd: OwnedFd,
    },
    Refused(No, String),
    /// The zygote is gone.
    Gone,
    /// It is no zygote.
    Babble,
    /// Nothing yet: a signal came, the time is over, or something was printed.
    Nothing,
}

impl Answering {
    /// Waits for the answer, at most for `timeout` or until a signal comes, or there is something to read in `others`.
    pub(crate) fn wait(&self, timeout: Duration, others: &[BorrowedFd<'_>]) -> io::Result<Ordered> {
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.orders, PollFlags::IN)];
        fds.extend(others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)));
        match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Ordered::Nothing),
            result => result?,
        };
        if fds[0].revents().is_empty() && fds[1].revents().is_empty() {
            return Ok(Ordered::Nothing);
        }
        if fds[0].revents().is_empty() {
            return Ok(if fds[1].revents().contains(PollFlags::HUP) { Ordered::Gone } else { Ordered::Babble });
        }
        Ok(match packet::receive_answer(&self.socket) {
            Ok(Some(packet::Answer::Forked { pid, pidfd })) => {
                let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
                Ordered::Forked { pid, pidfd }
            }
            Ok(Some(packet::Answer::Refused(no, text))) => Ordered::Refused(no, text),
            Ok(None) | Err(rustix::io::Errno::CONNRESET) => Ordered::Gone,
            Err(rustix::io::Errno::INTR) => Ordered::Nothing,
            Err(error) => return Err(error.into()),
        })
    }
}
