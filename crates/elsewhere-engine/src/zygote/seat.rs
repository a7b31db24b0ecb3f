//! Being a zygote: a process that is ready to be a host, and forks one whenever its owner wants one.
//! Owns: the orders that come, the children and how they ended, when there is a spare. Must not know: how a fork is made,
//! what is ready in it.
//!
//! There is no thread here, and whoever sits here must have none: what another thread held at a fork stays held for ever in
//! the child.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, fchdir, getpid, kill_process, umask, waitid, waitpid,
};

use super::packet::{self, Ends, Fork, No, Order};
use super::spare::{Line, Spare, StandBy};
use super::surroundings::{is_proc_ours, rights};
use crate::error::Exit;
use crate::process::pidfd::{send_signal, watchable};

const OWNER: u64 = 0;
const ORDERS: u64 = 1;
const SPARE: u64 = u64::MAX;
const EVENTS_AT_ONCE: usize = 16;
/// How long nothing happens here before a spare is forked: the host that was just ordered is to have the cores first. With
/// half of it a start on one core took twice as long where there was a pause before it, and eight hosts a quarter longer;
/// with half as much again, and on, hosts that follow each other within some milliseconds had no spare any more.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// So many hosts make another one likely: a program with a single one has no spare beside it.
const SEVERAL: u32 = 2;

/// The place of a zygote, between its owner and its children.
#[derive(Debug)]
pub struct ZygoteSeat {
    /// None after the owner wanted no more.
    orders: Option<OwnedFd>,
    ends: OwnedFd,
    owner: Pid,
    /// None where the owner's end is only told by the end of its stream.
    _watched: Option<OwnedFd>,
    /// What this process may do; None where `/proc` does not say what the owner may.
    rights: Option<String>,
    epoll: OwnedFd,
    /// By the numbers that the owner gave them.
    children: BTreeMap<u64, OwnedFd>,
    /// Hosts that came to be, as far as [`SEVERAL`].
    hosts: u32,
    spare: Option<Spare>,
    /// Whether there is to be a spare. One that ends by itself is not replaced before the next host: it might do so again.
    wants_spare: bool,
}

/// One process that is to be forked.
#[derive(Debug)]
pub struct ForkOrder(Wanted);

#[derive(Debug)]
enum Wanted {
    Host(Box<Fork>),
    Spare(Line),
}

/// Why [`ZygoteSeat::wait`] returned.
#[derive(Debug)]
pub enum Errand {
    /// Fork, then call [`ZygoteSeat::adopt`] here and [`ForkOrder::leave`] in the child; or [`ForkOrder::refuse`]. What is
    /// to be a host may be had without a fork: [`ZygoteSeat::employ`].
    Fork(ForkOrder),
    /// A signal came.
    Interrupted,
    /// The owner is gone, or wants no more and every child has ended.
    Over,
}

impl ZygoteSeat {
    /// Makes this process the zygote of whoever gave it a socket as stdin, which becomes `/dev/null`.
    ///
    /// # Errors
    /// Those of the system; also when stdin is no such socket.
    pub fn adopt_stdin() -> io::Result<Self> {
        let orders = io::stdin().as_fd().try_clone_to_owned()?;
        let owner = socket_peercred(&orders)?.pid;
        let watched = watchable(owner).ok();
        let rights = rights(getpid()).ok().filter(|_| is_proc_ours());
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let Some(Order::Begin(ends)) = packet::receive_order(&orders)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &orders, epoll::EventData::new_u64(ORDERS), epoll::EventFlags::IN)?;
        if let Some(watched) = &watched {
            epoll::add(&epoll, watched, epoll::EventData::new_u64(OWNER), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            orders: Some(orders),
            ends,
            owner,
            _watched: watched,
            rights,
            epoll,
            children: BTreeMap::new(),
            hosts: 0,
            spare: None,
            wants_spare: false,
        })
    }

    /// Takes no more orders; those that lie there are let go of, and go to another zygote. It is over with its last child.
    ///
    /// # Errors
    /// Those of the system.
    pub fn retire(&mut self) -> io::Result<()> {
        self.dismiss();
        if let Some(orders) = self.orders.take() {
            epoll::delete(&self.epoll, &orders)?;
        }
        Ok(())
    }

    /// The pipe to the owner. It is broken when the owner is gone.
    #[must_use]
    pub fn pipe(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }

    /// Waits for something to do; tells the owner meanwhile how children end.
    ///
    /// # Errors
    /// Those of the system, and orders that make no sense.
    pub fn wait(&mut self) -> io::Result<Errand> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            if self.orders.is_none() && self.children.is_empty() {
                return Ok(Errand::Over);
            }
            let wants_spare = self.wants_spare && self.spare.is_none() && self.orders.is_some();
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), wants_spare.then_some(&REST)) {
                Err(Errno::INTR) => return Ok(Errand::Interrupted),
                result => result.map(drop)?,
            }
            if events.is_empty() {
                self.wants_spare = false;
                // Without it hosts are forked when they are wanted.
                let Ok(line) = Line::new() else { continue };
                return Ok(Errand::Fork(ForkOrder(Wanted::Spare(line))));
            }
            let told: Vec<u64> = events.iter().map(|event| event.data.u64()).collect();
            if told.contains(&OWNER) {
                self.dismiss();
                return Ok(Errand::Over);
            }
            if told.contains(&SPARE) {
                self.dismiss(); // it has ended
            }
            told.iter().try_for_each(|id| self.reap(*id))?;
            if told.contains(&ORDERS)
                && let Some(order) = self.take_order()?
            {
                return Ok(Errand::Fork(order));
            }
        }
    }

    fn take_order(&mut self) -> io::Result<Option<ForkOrder>> {
        let Some(orders) = &self.orders else { return Ok(None) };
        match packet::receive_order(orders) {
            Ok(Some(Order::Fork(fork))) => Ok(self.heed(ForkOrder(Wanted::Host(fork)))),
            Ok(None) | Err(Errno::CONNRESET) => self.retire().map(|()| None),
            Ok(Some(Order::Begin(_))) => Err(Errno::PROTO.into()),
            Err(Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An owner that has given up rights since this process was started is not to have them through it: whoever took over
    /// a process that shut itself in would be out again.
    fn heed(&self, order: ForkOrder) -> Option<ForkOrder> {
        match (&self.rights, rights(self.owner)) {
            (Some(ours), Ok(theirs)) if *ours == theirs => return Some(order),
            (Some(_), Ok(_)) => order.refuse("this process may not do the same as the one that is to fork it"),
            _ => order.refuse("/proc does not show what this process may do"),
        }
        None
    }

    fn reap(&mut self, id: u64) -> io::Result<()> {
        let Some(pidfd) = self.children.get(&id) else { return Ok(()) };
        let exit = match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => Exit { code: status.exit_status(), signal: status.terminating_signal() },
            // Somebody in this process waits for all children and was faster.
            Err(_) => Exit::default(),
        };
        epoll::delete(&self.epoll, pidfd)?;
        self.children.remove(&id);
        // An owner that is gone does not read it.
        let _ = rustix::io::write(&self.ends, &packet::write_end(id, exit));
        Ok(())
    }

    /// After the fork, here: takes the child `pid` and tells the owner of it, if it is a host.
    ///
    /// # Errors
    /// Those of the system; the child is gone and reaped then, and the owner told.
    pub fn adopt(&mut self, order: ForkOrder, pid: u32) -> io::Result<()> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let id = order.host().map_or(SPARE, |fork| fork.id);
        let watched = watchable(pid).and_then(|pidfd| {
            epoll::add(&self.epoll, &pidfd, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?;
            Ok(pidfd)
        });
        let pidfd = match watched {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // Not reaped yet, so the id is still its own.
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitpid(Some(pid), WaitOptions::empty());
                order.fail(&error.to_string());
                return Err(error);
            }
        };
        match order.0 {
            Wanted::Host(fork) => self.tell(&fork, pid, pidfd), // the ends are the child's alone then
            Wanted::Spare(line) => self.spare = Some(line.into_spare(pid, pidfd)),
        }
        Ok(())
    }

    /// Tells the owner of the host that came to be.
    fn tell(&mut self, fork: &Fork, pid: Pid, pidfd: OwnedFd) {
        if packet::send_forked(&fork.answer, pid.as_raw_nonzero().get(), pidfd.as_fd()).is_err() {
            // Whoever wanted it has given up.
            send_signal(&pidfd, pid, Signal::KILL);
        }
        self.children.insert(fork.id, pidfd);
        self.hosts = self.hosts.saturating_add(1);
        self.wants_spare = self.hosts >= SEVERAL;
    }

    /// Makes the spare the host that is wanted, and tells the owner of it. If there is none, the order comes back.
    ///
    /// # Errors
    /// The order.
    pub fn employ(&mut self, order: ForkOrder) -> Result<(), ForkOrder> {
        let Wanted::Host(fork) = &order.0 else { return Err(order) };
        let Some(spare) = self.spare.take() else { return Err(order) };
        let data = epoll::EventData::new_u64(fork.id);
        let watched = epoll::modify(&self.epoll, spare.pidfd(), data, epoll::EventFlags::IN);
        if watched.and_then(|()| spare.order(fork)).is_err() {
            self.spare = Some(spare);
            self.dismiss();
            return Err(order);
        }
        let (pid, pidfd) = spare.into_child();
        self.tell(fork, pid, pidfd);
        Ok(())
    }

    /// Ends the spare, if there is one, and returns when it is gone: what a host is to have has changed since it was forked.
    pub fn dismiss(&mut self) {
        if let Some(spare) = self.spare.take() {
            let _ = epoll::delete(&self.epoll, spare.pidfd());
            spare.end();
        }
    }
}

impl ForkOrder {
    fn host(&self) -> Option<&Fork> {
        match &self.0 {
            Wanted::Host(fork) => Some(fork),
            Wanted::Spare(_) => None,
        }
    }

    /// What the owner said for the program. None for a spare: its owner has not said anything yet.
    #[must_use]
    pub fn setting(&self) -> Option<&[u8]> {
        self.host().map(|fork| fork.setting.as_slice())
    }

    /// Tells the owner that this process cannot be forked, and why: it starts this host and those to come in another way.
    pub fn refuse(&self, text: &str) {
        self.send_no(No::Ever, text);
    }

    /// Tells the owner that this fork did not come to be, and why. The next one may.
    pub fn fail(&self, text: &str) {
        self.send_no(No::ThisTime, text);
    }

    fn send_no(&self, no: No, text: &str) {
        if let Some(fork) = self.host() {
            let _ = packet::send_no(&fork.answer, no, text);
        }
    }

    /// After the fork, in the child: lets go of what is the zygote's. Gives what the child is.
    #[must_use]
    pub fn leave(self, seat: ZygoteSeat) -> Child {
        drop(seat);
        match self.0 {
            Wanted::Host(fork) => Child::Host(HostOrder(fork)),
            Wanted::Spare(line) => Child::Spare(line.stand_by()),
        }
    }
}

/// What a fork of a zygote is.
#[derive(Debug)]
pub enum Child {
    /// A host that is wanted.
    Host(HostOrder),
    /// The next host.
    Spare(StandBy),
}

/// What a child is to have of its owner.
#[derive(Debug)]
pub struct HostOrder(pub(super) Box<Fork>);

impl HostOrder {
    /// What the owner said for the program.
    #[must_use]
    pub fn setting(&self) -> &[u8] {
        &self.0.setting
    }

    /// Takes the owner's streams, directory and umask. The socket is its stdin, where
    /// [`adopt_stdin`](crate::adopt_stdin) finds it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn become_host(self) -> io::Result<()> {
        let Ends { socket, directory, stdout, stderr } = self.0.ends;
        rustix::stdio::dup2_stdin(&socket)?;
        rustix::stdio::dup2_stdout(&stdout)?;
        rustix::stdio::dup2_stderr(&stderr)?;
        fchdir(&directory)?;
        umask(Mode::from_bits_truncate(self.0.umask));
        Ok(())
    }
}

/// The ids and names of the threads that this process has beside the calling one.
///
/// # Errors
/// Those of the system, where `/proc` cannot be read; they name it.
pub fn other_threads() -> io::Result<Vec<(String, String)>> {
    // Not by its own number: `/proc` may show those of another PID namespace.
    let own = fs::read_link("/proc/thread-self").map_err(|error| naming("/proc/thread-self", &error))?;
    let tasks = fs::read_dir("/proc/self/task").map_err(|error| naming("/proc/self/task", &error))?;
    let mut names = Vec::new();
    for task in tasks {
        let task = task?;
        let id = task.file_name().to_string_lossy().into_owned();
        if own.ends_with(&id) {
            continue;
        }
        // One that ends meanwhile is none.
        if let Ok(name) = fs::read(task.path().join("comm")) {
            names.push((id, String::from_utf8_lossy(&name).trim_end().to_owned()));
        }
    }
    Ok(names)
}

fn naming(place: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("it cannot be told which threads run ({place}: {error})"))
}
