//! The one thread that does what happens when nobody waits, and the table of what it watches.
//! Owns: the links, processes and the owner of this process, the start and stop of the thread. Must not know: Python;
//! the thread never attaches to it and lies on no call's path.

mod bell;
mod watcher;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use elsewhere_shm::pages;
use rustix::event::epoll;

use crate::alarm;
use crate::fork::PerProcess;
use crate::link::Link;
use crate::process::Process;
use crate::serve::Porch;
use crate::transport::{Interest, Transport};
use crate::zygote::Zygote;

pub(crate) use bell::{Ask, Bell};
pub(crate) use watcher::Token;
use watcher::Watcher;

static TABLE: PerProcess<Table> = PerProcess::new(Table::new(), Table::new);

/// Everything that this process watches. Its lock comes before all others of the engine.
struct Table {
    links: BTreeMap<u64, Entry>,
    processes: BTreeMap<u64, Arc<Process>>,
    zygotes: BTreeMap<u64, Arc<Zygote>>,
    porches: BTreeMap<u64, Arc<Porch>>,
    alarms: BTreeMap<u64, Arc<alarm::Wired>>,
    owner: Option<Owner>,
    service: Option<Service>,
    /// Threads that are about to fork; meanwhile the thread is not started.
    forking: usize,
    next_id: u64,
}

struct Entry {
    link: Weak<Link>,
    fds: Vec<RawFd>,
}

/// The process that owns this one.
struct Owner {
    link: u64,
    pidfd: Option<OwnedFd>,
}

struct Service {
    bell: Arc<Bell>,
    thread: Thread,
}

enum Thread {
    Running(JoinHandle<Watcher>),
    /// Between a pause and its resumption; what the thread knew waits here, unless it is still on its way out.
    Paused(Option<Box<Watcher>>),
}

impl Table {
    const fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            processes: BTreeMap::new(),
            zygotes: BTreeMap::new(),
            porches: BTreeMap::new(),
            alarms: BTreeMap::new(),
            owner: None,
            service: None,
            forking: 0,
            next_id: 1,
        }
    }

    /// The bell of the running thread, started if need be.
    fn service(&mut self) -> io::Result<Arc<Bell>> {
        if self.service.is_none() {
            let bell = Arc::new(Bell::new()?);
            let watcher = Box::new(Watcher::new(Arc::clone(&bell)));
            self.service = Some(Service { bell, thread: Thread::Paused(Some(watcher)) });
        }
        self.resume()?;
        let service = self.service.as_ref().expect("the service was just made");
        Ok(Arc::clone(&service.bell))
    }

    fn fds(&self) -> Vec<RawFd> {
        let Self { links, processes, zygotes, porches, alarms, owner, service, .. } = self;
        let mut fds: Vec<RawFd> = links.values().flat_map(|entry| entry.fds.iter().copied()).collect();
        fds.extend(processes.values().flat_map(|process| process.raw_fds()));
        fds.extend(zygotes.values().flat_map(|zygote| zygote.raw_fds()));
        fds.extend(porches.values().flat_map(|porch| porch.raw_fds()));
        fds.extend(alarms.values().flat_map(|alarm| alarm.raw_fds()));
        fds.extend(owner.iter().filter_map(|owner| owner.pidfd.as_ref().map(AsRawFd::as_raw_fd)));
        fds.extend(service.iter().flat_map(|service| service.bell.raw_fds()));
        fds
    }

    fn resume(&mut self) -> io::Result<()> {
        if self.forking > 0 {
            return Ok(());
        }
        let Some(service) = &mut self.service else { return Ok(()) };
        let Thread::Paused(waiting) = &mut service.thread else { return Ok(()) };
        let Some(watcher) = waiting.take() else { return Ok(()) };
        // If the system refuses the thread, what it knew is lost with it; the next start begins anew.
        match std::thread::Builder::new().name("elsewhere-watch".to_owned()).spawn(move || watcher.run()) {
            Ok(thread) => {
                service.thread = Thread::Running(thread);
                Ok(())
            }
            Err(error) => {
                let watcher = Watcher::new(Arc::clone(&service.bell));
                service.thread = Thread::Paused(Some(Box::new(watcher)));
                Err(error)
            }
        }
    }
}

/// The bell of the watch thread, which is started if need be.
pub(crate) fn bell() -> io::Result<Arc<Bell>> {
    TABLE.lock().service()
}

/// A number that was not given before.
pub(crate) fn next_id() -> u64 {
    let mut table = TABLE.lock();
    table.next_id += 1;
    table.next_id
}

pub(crate) fn link_token(id: u64) -> epoll::EventData {
    Token::Link(id).into()
}

/// Watches a link for its end.
pub(crate) fn add_link(link: &Arc<Link>, transport: &Transport) -> io::Result<()> {
    let mut table = TABLE.lock();
    transport.watch(link.bell().epoll(), link_token(link.id()), Interest::default())?;
    table.links.insert(link.id(), Entry { link: Arc::downgrade(link), fds: transport.raw_fds() });
    Ok(())
}

/// Forgets a link. To be called before its stream is closed.
pub(crate) fn remove_link(id: u64) {
    TABLE.lock().links.remove(&id);
}

/// Watches a process until it is reaped.
pub(crate) fn add_process(process: &Arc<Process>) -> io::Result<()> {
    let mut table = TABLE.lock();
    process.watch(process.link().bell().epoll())?;
    table.processes.insert(process.id(), Arc::clone(process));
    Ok(())
}

fn remove_process(id: u64) {
    let process = TABLE.lock().processes.remove(&id);
    drop(process); // without the table, which the drop of a link takes
}

/// Every process that is not reaped yet.
pub(crate) fn processes() -> Vec<Arc<Process>> {
    TABLE.lock().processes.values().cloned().collect()
}

/// Watches a zygote until it is reaped.
pub(crate) fn add_zygote(zygote: &Arc<Zygote>) -> io::Result<()> {
    let mut table = TABLE.lock();
    zygote.watch(table.service()?.epoll())?;
    table.zygotes.insert(zygote.id(), Arc::clone(zygote));
    Ok(())
}

fn zygote(id: u64) -> Option<Arc<Zygote>> {
    TABLE.lock().zygotes.get(&id).cloned()
}

fn remove_zygote(id: u64) {
    TABLE.lock().zygotes.remove(&id);
}

/// Every zygote that is not reaped yet.
pub(crate) fn zygotes() -> Vec<Arc<Zygote>> {
    TABLE.lock().zygotes.values().cloned().collect()
}

/// Watches a place that is listened at.
pub(crate) fn add_porch(porch: &Arc<Porch>) -> io::Result<()> {
    let mut table = TABLE.lock();
    table.porches.insert(porch.id(), Arc::clone(porch));
    porch.watch(table.service()?.epoll())
}

/// Forgets a place that is listened at. To be called before its socket is closed.
pub(crate) fn remove_porch(id: u64) {
    let porch = TABLE.lock().porches.remove(&id);
    drop(porch); // without the table
}

fn porch(id: u64) -> Option<Arc<Porch>> {
    TABLE.lock().porches.get(&id).cloned()
}

/// Every place that is listened at.
pub(crate) fn porches() -> Vec<Arc<Porch>> {
    TABLE.lock().porches.values().cloned().collect()
}

/// Watches for what is written to an alarm.
pub(crate) fn add_alarm(alarm: &Arc<alarm::Wired>) -> io::Result<()> {
    let mut table = TABLE.lock();
    table.alarms.insert(alarm.id(), Arc::clone(alarm));
    alarm.watch(table.service()?.epoll())
}

/// Forgets an alarm. To be called before its pipe is closed.
pub(crate) fn remove_alarm(id: u64) {
    let alarm = TABLE.lock().alarms.remove(&id);
    drop(alarm); // without the table
}

fn alarm(id: u64) -> Option<Arc<alarm::Wired>> {
    TABLE.lock().alarms.get(&id).cloned()
}

/// Watches the process at the other end of `link` as the owner of this one.
pub(crate) fn set_owner(link: &Arc<Link>, pidfd: Option<OwnedFd>) -> io::Result<()> {
    let mut table = TABLE.lock();
    if let Some(pidfd) = &pidfd {
        epoll::add(link.bell().epoll(), pidfd, Token::Owner.into(), epoll::EventFlags::IN)?;
    }
    table.owner = Some(Owner { link: link.id(), pidfd });
    Ok(())
}

fn link(id: u64) -> Option<Arc<Link>> {
    TABLE.lock().links.get(&id).and_then(|entry| entry.link.upgrade())
}

fn links() -> Vec<Arc<Link>> {
    TABLE.lock().links.values().filter_map(|entry| entry.link.upgrade()).collect()
}

fn process(id: u64) -> Option<Arc<Process>> {
    TABLE.lock().processes.get(&id).cloned()
}

fn owner_link() -> Option<u64> {
    TABLE.lock().owner.as_ref().map(|owner| owner.link)
}

/// Lets epoll forget the owner, whose end would be told again and again.
fn unwatch_owner(bell: &Bell) {
    if let Some(pidfd) = TABLE.lock().owner.as_mut().and_then(|owner| owner.pidfd.take()) {
        let _ = epoll::delete(bell.epoll(), &pidfd);
    }
}

/// Stops the thread; it is started again by the next link.
pub(crate) fn stop() {
    halt();
}

/// Stops the thread until [`resume`]; tells the descriptors that are open for what is watched.
pub(crate) fn pause() -> Vec<RawFd> {
    TABLE.lock().forking += 1;
    halt();
    pages::let_go(Duration::ZERO); // a child would have it for ever
    TABLE.lock().fds()
}

fn halt() {
    let running = {
        let mut table = TABLE.lock();
        match &mut table.service {
            Some(service) => match std::mem::replace(&mut service.thread, Thread::Paused(None)) {
                Thread::Running(thread) => {
                    service.bell.ask(Ask::Stop);
                    Some(thread)
                }
                paused => {
                    service.thread = paused;
                    None
                }
            },
            None => None,
        }
    };
    // Joined without the table, which the thread may want for its last steps.
    let watcher = running.and_then(|thread| thread.join().ok());
    if let (Some(watcher), Some(service)) = (watcher, &mut TABLE.lock().service) {
        service.thread = Thread::Paused(Some(Box::new(watcher)));
    }
}

/// Starts the thread again after a pause, when nobody else is about to fork.
///
/// # Errors
/// When the system has no thread to give now. The next link tries again, and so does [`go_on`].
pub(crate) fn resume() -> io::Result<()> {
    let mut table = TABLE.lock();
    table.forking = table.forking.saturating_sub(1);
    table.resume()
}

/// Tries once more to start the thread after a pause.
///
/// # Errors
/// As [`resume`].
pub(crate) fn go_on() -> io::Result<()> {
    TABLE.lock().resume()
}

/// In a forked child, the descriptors that the parent had open for what it watched. None if that is not known.
pub(crate) fn inherited() -> Option<Vec<RawFd>> {
    TABLE.of_parent().map(|table| table.fds())
}
