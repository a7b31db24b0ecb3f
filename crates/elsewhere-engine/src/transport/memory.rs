//! A stream whose two ends lie in one process.
//! Owns: two bounded byte queues. Must not know: who is at the other end, frames, threads.
//!
//! Readiness is told by three eventfds a direction, so that a waiter polls them as it polls a socket: `data` is readable
//! while bytes or the end are there to receive, `room` while there is room again after the queue was full, `end` after each
//! half of the end.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd};
use rustix::io::{Errno, Result};

use super::{Half, Interest, PeerEnd};
use crate::lock::lock;

/// Bytes that may lie in one direction.
const CAPACITY: usize = 256 * 1024;

/// One end: what arrives here and what leaves from here. Its drop ends both halves.
#[derive(Debug)]
pub struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    queue: Mutex<Queue>,
    data: OwnedFd,
    room: OwnedFd,
    end: OwnedFd,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    writer_done: bool,
    reader_gone: bool,
}

pub(super) fn pair() -> Result<(End, End)> {
    let (there, back) = (Arc::new(Pipe::new()?), Arc::new(Pipe::new()?));
    let here = End { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) };
    Ok((here, End { incoming: there, outgoing: back }))
}

impl Pipe {
    fn new() -> Result<Self> {
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self { queue: Mutex::default(), data: event()?, room: event()?, end: event()? })
    }
}

fn raise(event: &OwnedFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

fn clear(event: &OwnedFd) {
    let _ = rustix::io::read(event, &mut [0_u8; 8]);
}

impl End {
    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize> {
        let pipe = &*self.outgoing;
        let mut queue = lock(&pipe.queue);
        if queue.reader_gone || queue.writer_done {
            return Err(Errno::PIPE);
        }
        let count = bytes.len().min(CAPACITY - queue.bytes.len());
        if count == 0 {
            clear(&pipe.room);
            return if bytes.is_empty() { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let was_empty = queue.bytes.is_empty();
        queue.bytes.extend(&bytes[..count]);
        if was_empty {
            raise(&pipe.data);
        }
        Ok(count)
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let pipe = &*self.incoming;
        let mut queue = lock(&pipe.queue);
        if queue.bytes.is_empty() {
            return if queue.writer_done || queue.reader_gone { Ok(0) } else { Err(Errno::AGAIN) };
        }
        let was_full = queue.bytes.len() == CAPACITY;
        let count = buffer.len().min(queue.bytes.len());
        for (place, byte) in buffer.iter_mut().zip(queue.bytes.drain(..count)) {
            *place = byte;
        }
        if queue.bytes.is_empty() && !queue.writer_done {
            clear(&pipe.data);
        }
        if was_full {
            raise(&pipe.room);
        }
        Ok(count)
    }

    pub(super) fn shutdown(&self, half: Half) {
        lock(&self.outgoing.queue).writer_done = true;
        raise(&self.outgoing.data);
        raise(&self.outgoing.end);
        if half == Half::Both {
            lock(&self.incoming.queue).reader_gone = true;
            raise(&self.incoming.room);
            raise(&self.incoming.data);
            raise(&self.outgoing.end);
        }
    }

    pub(super) fn peer_end(&self) -> PeerEnd {
        match (lock(&self.incoming.queue).writer_done, lock(&self.outgoing.queue).reader_gone) {
            (_, true) => PeerEnd::Gone,
            (true, false) => PeerEnd::HalfClosed,
            (false, false) => PeerEnd::Open,
        }
    }

    pub(super) fn poll_fds(&self, want_write: bool) -> (Option<PollFd<'_>>, Option<PollFd<'_>>) {
        let room = want_write.then(|| PollFd::new(&self.outgoing.room, PollFlags::IN));
        (Some(PollFd::new(&self.incoming.data, PollFlags::IN)), room)
    }

    pub(super) fn watch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.watched(interest).into_iter().try_for_each(|(event, flags)| epoll::add(poll, event, data, flags))
    }

    pub(super) fn rewatch(&self, poll: BorrowedFd<'_>, data: epoll::EventData, interest: Interest) -> Result<()> {
        self.watched(interest).into_iter().try_for_each(|(event, flags)| epoll::modify(poll, event, data, flags))
    }

    pub(super) fn unwatch(&self, poll: BorrowedFd<'_>) {
        for (event, _) in self.watched(Interest::default()) {
            let _ = epoll::delete(poll, event);
        }
    }

    fn watched(&self, interest: Interest) -> [(&OwnedFd, epoll::EventFlags); 3] {
        [
            (&self.incoming.data, told(interest.read && !interest.past_end)),
            // Each half is told once, by the edge.
            (&self.incoming.end, epoll::EventFlags::IN | epoll::EventFlags::ET),
            (&self.outgoing.room, told(interest.write)),
        ]
    }

    pub(super) fn raw_fds(&self) -> Vec<RawFd> {
        let of_pipe = |pipe: &Pipe| [&pipe.data, &pipe.room, &pipe.end].map(AsRawFd::as_raw_fd);
        [of_pipe(&self.incoming), of_pipe(&self.outgoing)].concat()
    }
}

fn told(wanted: bool) -> epoll::EventFlags {
    if wanted { epoll::EventFlags::IN } else { epoll::EventFlags::empty() }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shutdown(Half::Both);
    }
}
