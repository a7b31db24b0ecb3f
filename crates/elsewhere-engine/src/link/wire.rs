//! The locked section over the protocol: each operation, its bytes and its events.
//! Owns: the protocol state and both ends of the stream. Must not know: who waits for what.

use std::cell::RefCell;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, MutexGuard};

use elsewhere_proto::{Connection, Event, Timestamp};
use rustix::io::Errno;

use super::Link;
use crate::clock;
use crate::lock::{lock, try_lock};
use crate::pending::Pending;
use crate::transport::{Half, Transport};

/// Bytes taken from the stream at once by a thread that was never given more: few, as each costs a page fault in a new
/// process, and in a new thread too where the allocator hands out what was used before and must be cleared.
const FIRST_CHUNK: usize = 16 * 1024;
/// The same by one that was.
const CHUNK: usize = 256 * 1024;
/// Behind so many unanswered calls a further one may stay here for a moment: the peer has enough to do.
const BUSY_CALLS: usize = 16;
/// As long as less than this many bytes stay.
const HELD_BYTES: usize = 4096;
/// About so many bytes are sent before others may use the stream, where a thread is there to send the rest.
const TURN: usize = 512 * 1024;
/// Chunks taken before somebody else may read: fairness between readers, and a bound on the time a lock is held.
const CHUNKS_IN_A_ROW: usize = 16;

thread_local! {
    /// Bytes never stay here: the protocol copies what it keeps. So one buffer a thread serves all links.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) type Events = Vec<Event<Arc<Pending>>>;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) protocol: Connection<Arc<Pending>>,
    /// None after the end.
    pub(super) transport: Option<Arc<Transport>>,
    /// Threads that send content from where it lies, and everything else that there is to send.
    pub(super) straight: usize,
}

/// What the one thread that reads holds. Never held asleep.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) transport: Option<Arc<Transport>>,
    events: Events,
}

/// When what an operation made is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Now,
    /// At once, or together with what follows while the peer has enough to do.
    WhileBusy,
    /// Together with what follows.
    Soon,
}

impl Wire {
    pub(super) fn new(protocol: Connection<Arc<Pending>>, transport: Arc<Transport>) -> Self {
        Self { protocol, transport: Some(transport), straight: 0 }
    }

    fn take_events(&mut self, into: &mut Events) {
        while let Some(event) = self.protocol.poll_event() {
            into.push(event);
        }
    }
}

impl Reader {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport: Some(transport), events: Vec::new() }
    }
}

impl Link {
    /// Runs one operation on the protocol, sends what it made and routes what it caused.
    pub(super) fn with_wire<R>(self: &Arc<Self>, operation: impl FnOnce(&mut Wire) -> R) -> R {
        self.finish_section(self.wire(), Sending::Now, operation)
    }

    /// The same for a call. A run of calls that nobody waits for yet is sent in larger pieces: each write costs as much
    /// as a call otherwise does in all. What stays is sent with whatever is sent next, when somebody waits, looks or
    /// observes, or by the watch thread's next tick.
    pub(super) fn with_wire_for_call<R>(self: &Arc<Self>, operation: impl FnOnce(&mut Wire) -> R) -> R {
        self.finish_section(self.wire(), Sending::WhileBusy, operation)
    }

    /// The same for what may stay in any case, such as items that more will follow at once.
    pub(super) fn with_wire_for_more<R>(self: &Arc<Self>, operation: impl FnOnce(&mut Wire) -> R) -> R {
        self.finish_section(self.wire(), Sending::Soon, operation)
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        try_lock(&self.wire).unwrap_or_else(|| {
            self.wire_wanted.fetch_add(1, Ordering::Relaxed); // Relaxed: a hint for `give_way`
            let wire = lock(&self.wire);
            self.wire_wanted.fetch_sub(1, Ordering::Relaxed);
            wire
        })
    }

    fn finish_section<R>(
        self: &Arc<Self>,
        mut wire: MutexGuard<'_, Wire>,
        sending: Sending,
        operation: impl FnOnce(&mut Wire) -> R,
    ) -> R {
        let result = operation(&mut wire);
        let mut events = Events::new();
        self.leave(wire, sending, &mut events);
        for event in events.drain(..) {
            self.route(event);
        }
        self.after_release_lock();
        result
    }

    /// Sends what is there to send, takes the events and unlocks.
    fn leave(self: &Arc<Self>, mut wire: MutexGuard<'_, Wire>, sending: Sending, events: &mut Events) {
        let is_held = sending != Sending::Now && self.may_hold(&wire, sending);
        self.attention.set_held(is_held);
        let was_blocked = self.attention.is_blocked();
        let is_newly_blocked = !is_held && self.transmit(&mut wire);
        let is_news = was_blocked != self.attention.is_blocked();
        wire.take_events(events);
        let timer = wire.protocol.poll_timeout();
        drop(wire);
        if is_news {
            self.inbox.look_again();
        }
        if let Some(at) = timer {
            self.bell.schedule(at);
        }
        if is_newly_blocked {
            self.ask_for_writer();
        }
    }

    /// Whoever held the lock looks at the queue of releases once more after letting go: a drop that met the lock left
    /// its reference there and went away.
    fn after_release_lock(self: &Arc<Self>) {
        // Pairs with the fence in `push_release`: either that thread sees the lock free, or this one sees the reference.
        fence(Ordering::SeqCst);
        if !self.releases.is_empty() {
            self.send_releases();
        }
    }

    /// Sends queued references if nobody holds the lock; else whoever holds it sends them.
    pub(super) fn send_releases(self: &Arc<Self>) {
        if let Some(wire) = try_lock(&self.wire) {
            if wire.transport.is_none() {
                while self.releases.pop().is_some() {}
                return;
            }
            self.finish_section(wire, Sending::Now, |_| ());
        }
    }

    /// Whether what there is to send may stay here for a moment.
    fn may_hold(&self, wire: &Wire, sending: Sending) -> bool {
        (sending == Sending::Soon || wire.protocol.unanswered() >= BUSY_CALLS)
            && (1..HELD_BYTES).contains(&wire.protocol.transmit_len())
            && !self.attention.is_blocked()
            && self.far.get().is_none()
    }

    /// Sends what stayed here.
    pub(crate) fn send_held(self: &Arc<Self>) {
        if self.attention.is_held() {
            self.flush();
        }
    }

    /// Writes until nothing is left or the stream takes no more; tells whether it takes no more since now.
    fn transmit(&self, wire: &mut Wire) -> bool {
        let Some(transport) = &wire.transport else { return false };
        // Looked at first: `pop` of an empty queue costs a fence.
        while !self.releases.is_empty()
            && let Some((object, count)) = self.releases.pop()
        {
            wire.protocol.release(object, count);
        }
        let mut is_blocked = transport.flush() == Err(Errno::AGAIN);
        let mut left = if wire.straight > 0 { TURN } else { usize::MAX };
        while !is_blocked
            && left > 0
            && let Some(parts) = wire.protocol.poll_transmit_parts()
        {
            match transport.send_parts(parts) {
                Ok(count) => {
                    wire.protocol.transmitted(count);
                    left = left.saturating_sub(count);
                }
                Err(Errno::AGAIN) => {
                    is_blocked = true;
                    break;
                }
                Err(error) => {
                    self.note_violation(transport);
                    self.note_failure(error);
                    self.notice_end();
                    break;
                }
            }
        }
        is_blocked |= transport.has_unsent();
        if !is_blocked && wire.straight == 0 {
            self.shut_if_finished(wire, transport);
        }
        self.set_blocked(is_blocked)
    }

    /// Reads and routes what is here. Waits for another reader to finish, which never takes long.
    pub(super) fn read(self: &Arc<Self>) {
        self.read_with(lock(&self.reader), CHUNKS_IN_A_ROW);
    }

    /// The same where most likely there is nothing, and that can be seen: then it only waits for another reader.
    pub(super) fn read_rest(self: &Arc<Self>) {
        let reader = lock(&self.reader);
        let ring = reader.transport.as_deref().and_then(Transport::ring);
        if ring.is_none_or(|ring| ring.has_arrived()) {
            self.read_with(reader, CHUNKS_IN_A_ROW);
        }
    }

    /// Reads and routes what is here unless somebody else does so right now.
    pub(super) fn try_read(self: &Arc<Self>) {
        if let Some(reader) = try_lock(&self.reader) {
            self.read_with(reader, CHUNKS_IN_A_ROW);
        }
    }

    /// Reads and routes everything that will ever come from a peer that has ended.
    pub(crate) fn read_to_end(self: &Arc<Self>) {
        self.read_with(lock(&self.reader), usize::MAX);
    }

    /// Events are routed before the reader's lock is let go, so they reach everybody in the order of the stream.
    fn read_with(self: &Arc<Self>, mut reader: MutexGuard<'_, Reader>, chunks: usize) {
        let Reader { transport, events } = &mut *reader;
        let Some(transport) = transport else { return };
        BUFFER.with_borrow_mut(|buffer| {
            let least = if transport.takes_records() { CHUNK } else { FIRST_CHUNK };
            if buffer.len() < least {
                *buffer = vec![0; least];
            }
            let mut left = chunks;
            // What was read together with the rest is taken in at once: no poll tells of it.
            while left > 0 || transport.has_read() {
                left = left.saturating_sub(1);
                let count = match transport.receive(buffer) {
                    Ok(0) => {
                        self.notice_end();
                        break;
                    }
                    Ok(count) => count,
                    Err(Errno::AGAIN) => break,
                    Err(error) => {
                        self.note_violation(transport);
                        self.note_failure(error);
                        self.notice_end();
                        break;
                    }
                };
                if !self.take_in(&buffer[..count], events) {
                    break;
                }
                let has_filled = count == buffer.len();
                if has_filled && count < CHUNK {
                    *buffer = vec![0; CHUNK];
                }
                if !has_filled && chunks != usize::MAX && !transport.has_read() {
                    break;
                }
            }
        });
        drop(reader);
        self.after_release_lock();
    }

    /// Gives bytes to the protocol and routes what they mean; false when they broke its rules.
    fn take_in(self: &Arc<Self>, bytes: &[u8], events: &mut Events) -> bool {
        let mut wire = self.wire();
        if wire.transport.is_none() {
            return false;
        }
        let verdict = wire.protocol.receive_at(bytes, clock::now);
        if let Err(violation) = &verdict {
            self.note_broken(violation); // before anybody else finds the connection over
        }
        self.leave(wire, Sending::Now, events);
        for event in events.drain(..) {
            self.route(event);
        }
        self.wake_for_room();
        if verdict.is_err() {
            self.shut(Half::Both);
            self.notice_end();
        }
        verdict.is_ok()
    }

    /// When something runs out of time next.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let of_calls = lock(&self.wire).protocol.poll_timeout();
        [of_calls, self.next_look_at_memory()].into_iter().flatten().min()
    }

    /// Ends what has run out of time.
    pub(crate) fn fire_timers(self: &Arc<Self>) {
        self.with_wire(|wire| wire.protocol.handle_timeout(clock::now()));
        self.look_at_memory();
    }

    /// Writes on, when the stream may take more.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.with_wire(|_| ());
    }
}
