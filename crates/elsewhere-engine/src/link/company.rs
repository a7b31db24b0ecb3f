//! Links that one thread reads while it waits for another one.
//! Owns: the set of their streams, polled at once. Must not know: why they belong together.
//!
//! Without it the watch thread would read them, and wake the thread that is to run what they bring: one hand-over for each
//! call. While the waiting thread does something else they are the watch thread's, as every link is that nobody drives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::epoll;

use super::Link;
use crate::lock::lock;
use crate::transport::Interest;
use crate::watch;

/// Links to be read beside another one.
#[derive(Debug)]
pub struct Company {
    epoll: OwnedFd,
    links: Mutex<Vec<Arc<Link>>>,
}

/// A thread waits; its drop ends that.
#[derive(Debug)]
pub struct Attending {
    links: Vec<Arc<Link>>,
}

impl Company {
    /// None.
    ///
    /// # Errors
    /// Those of `epoll_create`.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, links: Mutex::default() })
    }

    /// One more, until it is taken out.
    pub fn add(&self, link: &Arc<Link>) {
        let transport = lock(&link.roles).transport().cloned();
        let Some(transport) = transport else { return };
        if transport.ring().is_some() {
            return; // its socket tells of news only to who has said that he polls it: the watch thread reads it
        }
        let interest = Interest { read: true, ..Interest::default() };
        if transport.watch(self.epoll.as_fd(), watch::link_token(link.id()), interest).is_ok() {
            lock(&self.links).push(Arc::clone(link));
        }
    }

    /// No more of this one.
    pub fn remove(&self, link: &Link) {
        let gone = lock(&self.links).extract_if(.., |other| other.id() == link.id()).next();
        if let Some(transport) = gone.as_ref().and_then(|link| lock(&link.roles).transport().cloned()) {
            transport.unwatch(self.epoll.as_fd());
        }
    }

    /// This thread is about to wait for [`as_fd`](AsFd::as_fd) to be readable, and reads then.
    #[must_use]
    pub fn attend(&self) -> Attending {
        let links = lock(&self.links).clone();
        links.iter().for_each(|link| link.begin_drive());
        Attending { links }
    }

    /// Takes in what has arrived, without waiting.
    pub fn take_in(&self) {
        let links = lock(&self.links).clone();
        for link in links {
            link.drain();
            if link.is_input_over() {
                self.remove(&link); // its end would be told again and again
            }
        }
    }
}

impl AsFd for Company {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.links.iter().for_each(|link| link.end_drive());
    }
}
