//! Links that one thread reads while it waits for another one.
//! Owns: who they are, the one descriptor that tells of them all, the look at them all. Must not know: why they belong together.
//!
//! Without it the watch thread would read them, and wake the thread that is to run what they bring: one hand-over for each
//! call. While the waiting thread does something else they are the watch thread's, as every link is that nobody drives.
//!
//! Only links with memory are company. The thread looks at the memory of all of them before it sleeps, for as long as that is
//! worth while with the one that brought the last work. To sleep it polls; they wake it by their sockets, which it has them
//! told before it looks once more. Room in memory is told like bytes in it, so it sends then what another thread left behind.
//! Who waits for nothing but bytes would never send what is left for a socket, so links over sockets are the watch thread's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::epoll;

use super::spin::KEPT;
use super::{InboxWake, Link};
use crate::inbox::Work;
use crate::lock::lock;
use crate::taker::Taker;
use crate::transport::{Interest, Transport, ring};
use crate::watch;

/// How many links are looked at. Each costs a look, and a word before each sleep; more than so many are the watch thread's.
const MEMBERS_MAX: usize = 8;

/// Links to be read beside another one.
#[derive(Debug)]
pub struct Company {
    epoll: OwnedFd,
    /// Replaced as a whole, so that whoever waits holds no lock.
    members: Mutex<Arc<[Member]>>,
    /// The link that brought the last work.
    lead: AtomicU64,
}

#[derive(Clone, Debug)]
struct Member {
    link: Arc<Link>,
    transport: Arc<Transport>,
}

/// A thread waits; its drop ends that.
struct Attending<'a>(&'a [Member]);

impl Company {
    /// None.
    ///
    /// # Errors
    /// Those of `epoll_create`.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, members: Mutex::new(Arc::new([])), lead: AtomicU64::new(0) })
    }

    /// One more, until it is taken out, if it has memory.
    pub fn add(&self, link: &Arc<Link>) {
        let transport = lock(&link.roles).transport().cloned();
        let Some(transport) = transport.filter(|transport| transport.ring().is_some()) else { return };
        let mut members = lock(&self.members);
        if members.len() >= MEMBERS_MAX {
            return;
        }
        let interest = Interest { read: true, ..Interest::default() };
        if transport.watch(self.epoll.as_fd(), watch::link_token(link.id()), interest).is_ok() {
            let member = Member { link: Arc::clone(link), transport };
            *members = members.iter().cloned().chain([member]).collect();
        }
    }

    /// No more of this one.
    pub fn remove(&self, link: &Link) {
        let mut members = lock(&self.members);
        let gone = members.iter().find(|member| member.link.id() == link.id()).cloned();
        if let Some(gone) = gone {
            *members = members.iter().filter(|member| member.link.id() != link.id()).cloned().collect();
            drop(members);
            gone.transport.unwatch(self.epoll.as_fd());
        }
    }

    /// [`Link::spin_for_work`] of `owner`, and of what is to be read beside it.
    #[must_use]
    pub fn spin_for_work(&self, owner: &Arc<Link>, taker: &mut Taker) -> Option<InboxWake> {
        let members = self.members();
        if members.is_empty() {
            return owner.spin_for_work(taker);
        }
        self.spin(&members, owner, taker, KEPT)
    }

    /// [`Link::wait_work`] of `owner`, and of what is to be read beside it.
    #[must_use]
    pub fn wait_work(&self, owner: &Arc<Link>, taker: &mut Taker, tick: Option<Duration>) -> InboxWake {
        let members = self.members();
        if members.is_empty() {
            return owner.wait_work(taker, tick, None);
        }
        if let Some(found) = self.spin(&members, owner, taker, Duration::MAX) {
            return found;
        }
        let attending = Attending::begin(&members);
        let polling: Option<Vec<_>> = members.iter().filter_map(Member::ring).map(ring::End::poll).collect();
        let wake = match &polling {
            Some(_) => owner.wait_work(taker, tick, Some(self.epoll.as_fd())),
            None => InboxWake::Tick, // there is news already
        };
        let found = if matches!(wake, InboxWake::Tick) { self.take_in(&members, owner, taker) } else { None };
        drop(polling);
        drop(attending);
        self.note(found.unwrap_or(wake))
    }

    fn members(&self) -> Arc<[Member]> {
        Arc::clone(&lock(&self.members))
    }

    /// Looks at all, for at most `at_most`: see [`Link::spin`].
    fn spin(&self, members: &[Member], owner: &Arc<Link>, taker: &mut Taker, at_most: Duration) -> Option<InboxWake> {
        if owner.attention.is_blocked() {
            return None;
        }
        owner.send_held();
        members.iter().for_each(|member| member.link.send_held());
        let transport = lock(&owner.roles).transport().cloned()?;
        let own = transport.ring();
        let lead = self.lead.load(Ordering::Relaxed); // Relaxed: a guess
        let leading = members.iter().find(|member| member.link.id() == lead).and_then(Member::ring).or(own)?;
        let mut found = None;
        leading.spin(at_most, || {
            if own.is_some_and(ring::End::has_arrived) {
                owner.try_read();
            }
            members.iter().filter(|member| member.ring().is_some_and(ring::End::has_arrived)).for_each(Member::read);
            if owner.inbox.has_some() {
                found = owner.look(taker);
            }
            found.is_some()
        });
        found.map(|work| self.note(work))
    }

    /// Takes in what has arrived, without waiting. Gives what there is to do.
    fn take_in(&self, members: &[Member], owner: &Arc<Link>, taker: &mut Taker) -> Option<InboxWake> {
        for Member { link, transport } in members {
            if let Some(ring) = transport.ring() {
                ring.take_wakes();
            }
            link.drain();
            if link.attention.is_blocked() {
                link.flush();
            }
            if link.is_input_over() {
                self.remove(link); // its end would be told again and again
            }
        }
        if !owner.inbox.has_some() {
            return None;
        }
        owner.look(taker)
    }

    /// Remembers who brought work.
    fn note(&self, wake: InboxWake) -> InboxWake {
        if let InboxWake::Work(Work::Call(incoming)) = &wake {
            self.lead.store(incoming.link.id(), Ordering::Relaxed); // Relaxed: a guess
        }
        wake
    }
}

impl Member {
    fn ring(&self) -> Option<&ring::End> {
        self.transport.ring()
    }

    /// Takes in what has arrived. While somebody looks all the time, the watch thread need not be told of anything.
    fn read(&self) {
        self.link.begin_drive();
        self.link.try_read();
        self.link.end_drive();
    }
}

impl<'a> Attending<'a> {
    /// This thread is about to wait, and reads then.
    fn begin(members: &'a [Member]) -> Self {
        members.iter().for_each(|member| member.link.begin_drive());
        Self(members)
    }
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|member| member.link.end_drive());
    }
}
