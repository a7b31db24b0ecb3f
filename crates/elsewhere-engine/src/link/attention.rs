//! When the watch thread must read a link because nobody else does.
//! Owns: the counts that decide it, and what epoll tells of the stream. Must not know: the loop of the watch thread.
//!
//! A link needs attention while somebody expects news without waiting for them: observers, answers that are asked for later
//! or not at all, a peer that may call, bytes left to write, calls held back to be sent together, a close under way. While
//! a thread drives, it does all of that. Between drivers the hand-over is lazy, because a driver usually comes back within
//! microseconds: each use of the link counts up `activity`, the watch thread looks every 5 ms, and arms (asks epoll for the
//! stream) a link that was quiet for a whole tick and has no driver. Then it stops ticking, so a quiet process has no
//! wake-ups. The next driver disarms. While it ticks, an event loop may read the link instead (`loops`).
//!
//! Why no hand-over is lost: a driver that leaves counts itself out and then reads `is_ticking`; the watch thread clears
//! `is_ticking` and then reads the drivers. In the one total order of these operations either the thread that leaves
//! finds it cleared, and asks for a new tick, or the watch thread finds no driver, and arms. A driver that comes counts
//! itself in and then reads `is_armed`; the watch thread arms and leaves it at that: if they miss each other, the first
//! event for the armed stream finds a driver and disarms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::Link;
use crate::lock::lock;
use crate::observer::Observer;
use crate::pending::Pending;
use crate::transport::{Interest, Transport};
use crate::watch::{self, Ask};

/// The counts. All SeqCst: see the argument above; on the hot path each is one uncontended operation.
#[derive(Debug, Default)]
pub(super) struct Flags {
    drivers: AtomicUsize,
    pub(super) observers: AtomicUsize,
    pub(super) room_waiters: AtomicUsize,
    activity: AtomicU64,
    is_serving: AtomicBool,
    is_exporting: AtomicBool,
    is_keeping: AtomicBool,
    has_exported: AtomicBool,
    is_closing: AtomicBool,
    is_owed: AtomicBool,
    is_blocked: AtomicBool,
    has_lost_patience: AtomicBool,
    is_held: AtomicBool,
    is_ticking: AtomicBool,
    is_armed: AtomicBool,
}

/// What epoll was asked for.
#[derive(Debug)]
pub(super) struct Watched {
    /// None after the end.
    transport: Option<Arc<Transport>>,
    interest: Interest,
}

impl Watched {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport: Some(transport), interest: Interest::default() }
    }

    pub(super) fn transport(&self) -> Option<&Arc<Transport>> {
        self.transport.as_ref()
    }
}

impl Flags {
    pub(super) fn set_exporting(&self, exporting: bool) {
        self.is_exporting.store(exporting, Ordering::SeqCst);
        if exporting {
            self.has_exported.store(true, Ordering::SeqCst);
        }
    }

    /// Whether memory of the peer is kept here, which it may want to be let go of.
    pub(super) fn set_keeping(&self, keeping: bool) {
        if self.is_keeping.load(Ordering::SeqCst) != keeping {
            self.is_keeping.store(keeping, Ordering::SeqCst);
        }
    }

    /// Whether the peer may call at any time.
    pub(super) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::SeqCst)
    }

    /// Whether the peer was ever given an object of ours.
    pub(super) fn has_exported(&self) -> bool {
        self.has_exported.load(Ordering::SeqCst)
    }

    pub(super) fn set_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// That it changes is what counts, so two threads may count as one.
    pub(super) fn add_activity(&self) {
        self.activity.store(self.activity.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Whether bytes wait for the stream to take more.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::SeqCst)
    }

    /// Whether the peer did not take what was blocked within the time that somebody gave it.
    pub(super) fn has_lost_patience(&self) -> bool {
        self.has_lost_patience.load(Ordering::SeqCst)
    }

    pub(super) fn lose_patience(&self) {
        self.has_lost_patience.store(true, Ordering::SeqCst);
    }

    /// Whether bytes wait for others to be sent with.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::SeqCst)
    }

    /// Called under the wire's lock. The write is spared where nothing changes, which is nearly always.
    pub(super) fn set_held(&self, is_held: bool) {
        if self.is_held() != is_held {
            self.is_held.store(is_held, Ordering::SeqCst);
        }
    }

    fn is_needed(&self) -> bool {
        let flags = [
            &self.is_serving,
            &self.is_exporting,
            &self.is_keeping,
            &self.is_closing,
            &self.is_owed,
            &self.is_blocked,
            &self.is_held,
        ];
        self.observers.load(Ordering::SeqCst) > 0 || flags.iter().any(|flag| flag.load(Ordering::SeqCst))
    }
}

impl Link {
    /// Says that the peer may call at any time: whenever nobody drives, the watch thread reads.
    pub fn serve(self: &Arc<Self>) {
        self.attention.is_serving.store(true, Ordering::SeqCst);
        self.touch();
    }

    /// Says that answers may come which nobody waits for now. Whenever nobody drives, the watch thread reads: a peer that runs
    /// one call after the other begins none while an answer is not sent to its end.
    pub fn expect_later(self: &Arc<Self>) {
        let flags = &self.attention;
        if !flags.is_owed.load(Ordering::SeqCst) {
            flags.is_owed.store(true, Ordering::SeqCst);
            self.touch();
        }
    }

    /// Expects nothing more where every call is answered.
    fn look_what_is_owed(&self) {
        // First, so that a call that comes meanwhile is seen here or says so itself.
        if self.attention.is_owed.swap(false, Ordering::SeqCst) && lock(&self.wire).protocol.stats().calls > 0 {
            self.attention.is_owed.store(true, Ordering::SeqCst);
        }
    }

    /// Tells `observer` once when `pending` has news: its end, or items of its stream. Returns whether it has them
    /// already; then the observer is not told. To be called again after each news of a stream.
    pub fn observe(self: &Arc<Self>, pending: &Arc<Pending>, observer: Observer) -> bool {
        self.attention.observers.fetch_add(1, Ordering::SeqCst);
        self.note_observer(&observer);
        let queue = observer.queue().cloned();
        if let Err(refused) = pending.observe(observer) {
            self.attention_lost(&[refused]);
            return true;
        }
        self.send_held();
        if !queue.is_some_and(|queue| self.tell_loop(&queue)) {
            self.arm_soon();
        }
        false
    }

    /// These observers have been told or dropped.
    pub(super) fn attention_lost(&self, observers: &[Observer]) {
        if !observers.is_empty() {
            self.note_lost(observers);
            self.attention.observers.fetch_sub(observers.len(), Ordering::SeqCst);
        }
    }

    /// Counts a use; asks the watch thread to look after the link unless it does or need not.
    pub(super) fn touch(self: &Arc<Self>) {
        let flags = &self.attention;
        flags.add_activity();
        let is_looked_after = flags.is_armed.load(Ordering::SeqCst) && !flags.is_held();
        if !flags.is_needed() || is_looked_after || flags.is_ticking.load(Ordering::SeqCst) {
            return;
        }
        if !flags.is_ticking.swap(true, Ordering::SeqCst) {
            self.bell().ask(Ask::Tick(Arc::downgrade(self)));
        }
    }

    /// Has the link armed at once if nobody drives it.
    pub(super) fn arm_soon(self: &Arc<Self>) {
        let flags = &self.attention;
        if flags.drivers.load(Ordering::SeqCst) == 0 && !flags.is_armed.load(Ordering::SeqCst) {
            self.bell().ask(Ask::Arm(Arc::downgrade(self)));
        }
        self.touch();
    }

    pub(super) fn begin_drive(&self) {
        self.attention.drivers.fetch_add(1, Ordering::SeqCst);
        if self.attention.is_armed.load(Ordering::SeqCst) {
            self.disarm();
        }
    }

    pub(super) fn end_drive(self: &Arc<Self>) {
        self.attention.drivers.fetch_sub(1, Ordering::SeqCst);
        self.touch();
    }

    /// Notes whether the stream takes no more; called under the wire's lock. Returns whether that is news.
    pub(super) fn set_blocked(&self, is_blocked: bool) -> bool {
        if !is_blocked && !self.attention.is_blocked() {
            return false;
        }
        if !is_blocked {
            self.attention.has_lost_patience.store(false, Ordering::SeqCst);
        }
        !self.attention.is_blocked.swap(is_blocked, Ordering::SeqCst) && is_blocked
    }

    /// Bytes were left behind: a driver polls for writing too, else the watch thread will.
    pub(super) fn ask_for_writer(self: &Arc<Self>) {
        if self.is_input_over() {
            self.arm(); // nobody polls a stream that has ended in one direction
        } else if !self.wake_sleeper() {
            self.touch();
            if self.attention.is_armed.load(Ordering::SeqCst) {
                self.arm();
            }
        }
    }

    /// How often the link was used, for the watch thread's ticks.
    pub(crate) fn activity(&self) -> u64 {
        self.attention.activity.load(Ordering::SeqCst)
    }

    /// Whether a thread drives the link now.
    pub(crate) fn is_driven(&self) -> bool {
        self.attention.drivers.load(Ordering::SeqCst) > 0
    }

    /// Ends the ticking, and arms the link if it still needs somebody.
    pub(crate) fn settle(self: &Arc<Self>) {
        self.attention.is_ticking.store(false, Ordering::SeqCst); // before the drivers are read; see above
        self.send_held(); // likewise: whoever holds bytes back and still found us ticking is seen here
        self.look_what_is_owed(); // likewise
        if self.is_driven() {
            self.rouse(); // likewise: whoever left the stream to nobody and still found us ticking
        } else if self.attention.is_needed() {
            self.arm();
        } else {
            self.stop_telling_loops();
        }
    }

    /// At a tick: has a stream read that a loop did not read, or that was left to nobody before the last one, of which this
    /// gives what that found.
    pub(crate) fn look_after(&self, before: Option<u64>) -> Option<u64> {
        self.look_after_loop();
        let left = self.left();
        if left.is_some() && left == before {
            self.rouse();
        }
        left
    }

    /// Has epoll tell of the stream.
    pub(crate) fn arm(&self) {
        let mut watched = lock(&self.watched);
        let write = self.attention.is_blocked();
        self.change(&mut watched, |interest| Interest { read: true, write, ..interest });
        // Under the lock, so that the flag and what epoll was asked for never part.
        self.attention.is_armed.store(true, Ordering::SeqCst);
        if let Some(ring) = watched.transport.as_ref().and_then(|transport| transport.ring()) {
            ring.tell_no_loop();
        }
        let has_news = watched.transport.as_ref().is_some_and(|transport| transport.rearm());
        drop(watched);
        if has_news {
            self.bell().ask(Ask::News(self.id));
        }
    }

    /// Has epoll tell of nothing but the end of the stream.
    fn disarm(&self) {
        self.disarm_watched(&mut lock(&self.watched));
    }

    pub(super) fn disarm_watched(&self, watched: &mut Watched) {
        self.change(watched, |interest| Interest { read: false, write: false, ..interest });
        self.attention.is_armed.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.attention.is_armed.load(Ordering::SeqCst)
    }

    /// Has epoll tell no more of the half-close that was seen.
    pub(crate) fn pass_end(&self) {
        self.change(&mut lock(&self.watched), |interest| Interest { past_end: true, ..interest });
    }

    fn change(&self, watched: &mut Watched, change: impl FnOnce(Interest) -> Interest) {
        let wanted = change(watched.interest);
        if wanted == watched.interest {
            return;
        }
        watched.interest = wanted;
        if let Some(transport) = &watched.transport {
            // Fails only for a stream that is no longer watched.
            let _ = transport.rewatch(self.bell().epoll(), watch::link_token(self.id), wanted);
        }
    }

    /// Has epoll tell nothing any more and lets go of the stream.
    pub(super) fn drop_watched(&self) {
        let mut watched = lock(&self.watched);
        if let Some(transport) = watched.transport.take() {
            transport.unwatch(self.bell().epoll());
        }
    }

    /// Lets epoll forget the stream, whose end would be told again and again.
    pub(crate) fn unwatch(&self) {
        if let Some(transport) = &lock(&self.watched).transport {
            transport.unwatch(self.bell().epoll());
        }
    }

    /// What the watch thread does when epoll tells of the stream.
    pub(crate) fn on_stream_event(self: &Arc<Self>) {
        if self.is_driven() {
            self.disarm();
            if !self.is_driven() {
                self.arm(); // the driver left meanwhile and still found it armed
            }
            self.rouse();
            return;
        }
        let transport = lock(&self.watched).transport.clone();
        if let Some(transport) = transport {
            transport.take_wakes();
        }
        self.try_read();
        self.leave_to_loop();
        self.on_room();
    }

    /// What the watch thread does when a stream that it watches may take more.
    pub(crate) fn on_room(self: &Arc<Self>) {
        if self.attention.is_blocked() {
            self.flush();
        }
        if self.attention.is_armed.load(Ordering::SeqCst) {
            self.arm(); // once more, because what is wanted of writing may have changed
        }
    }
}
