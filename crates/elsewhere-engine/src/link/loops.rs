//! Event loops that read a link themselves, because the peer wakes them.
//! Owns: which loops wait, which one is told, when that is worth while. Must not know: how the peer tells it (the transport
//! does), whose awaits those are.
//!
//! An await of a call on a ring may be told in two ways. Where the watch thread is told of news it reads, and wakes the loop:
//! two threads on the way of an answer. Or the peer has the eventfd of the loop, once for all, and raises it: then the loop's own
//! thread reads, as a waiting thread does.
//!
//! A loop may be busy for long, and its thread with it. So it is told only as long as
//!
//! * nobody else waits for the watch thread to read: every observer of the link is that loop's, and it is not armed; and
//! * the watch thread ticks for the link, which it does while the link is in use (`attention`). At each tick it looks whether
//!   something lies there that the loop has not read, and if so reads itself, and arms.
//!
//! Where the link was quiet for a tick it is armed as ever, and the first answer after that comes by the watch thread. If that was
//! a loop's, and nobody else waits, the watch thread lets go again and ticks: the loop awaits one call after another. A loop that
//! did not read in time (it is busy, or its peer cannot wake it) is left to the watch thread for twice as many answers as the
//! time before.
//!
//! Why no news are lost: the loop clears its eventfd, reads, has the word shown once more, and looks; news that came before that are
//! seen, and for others the peer finds the word. Whoever takes the part away from the loop (`arm`) does so under the lock of
//! what is watched, shows what is so from then on, and looks. A loop begins to be told under the same lock, and not while
//! the link is armed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use elsewhere_shm::wake::LOOPS_MAX;

use super::{Kind, Link};
use crate::lock::lock;
use crate::loop_queue::LoopQueue;
use crate::observer::Observer;
use crate::transport::Transport;

/// How often a loop reads at once before others have a turn.
const READS_IN_A_ROW: usize = 16;
/// For so many answers at most a loop that was late is left to the watch thread.
const LONGEST_PAUSE: u32 = 256;

/// The loops that wait on a link.
#[derive(Debug, Default)]
pub(super) struct Loops {
    known: Vec<Known>,
    /// The highest number that was given to one.
    last: u32,
    /// The one that an answer was told to since it was asked last.
    told: Option<Weak<LoopQueue>>,
    pause: Pause,
}

#[derive(Debug)]
struct Known {
    queue: Weak<LoopQueue>,
    /// How the peer knows it; None if it does not.
    number: Option<u32>,
    /// Observers of this loop that were not told.
    waiting: usize,
}

/// For how many answers loops are left to the watch thread.
#[derive(Debug, Default)]
struct Pause {
    left: u32,
    next: u32,
}

impl Pause {
    fn begin(&mut self) {
        self.next = (self.next * 2).clamp(1, LONGEST_PAUSE);
        self.left = self.next;
    }

    /// Counts an answer. Whether it is over.
    fn pass(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }
}

impl Loops {
    fn position(&self, queue: &Arc<LoopQueue>) -> Option<usize> {
        self.known.iter().position(|known| std::ptr::eq(known.queue.as_ptr(), Arc::as_ptr(queue)))
    }

    fn waiting(&self, queue: &Arc<LoopQueue>) -> usize {
        self.position(queue).and_then(|at| self.known.get(at)).map_or(0, |known| known.waiting)
    }
}

impl Link {
    /// Whether loops may read it themselves. What wakes a process that serves is the business of its own threads.
    fn is_for_loops(&self) -> bool {
        matches!(self.kind(), Kind::Host | Kind::Plain)
    }

    /// Made when the first loop waits: most links of a server never see one.
    fn loops(&self) -> &Mutex<Loops> {
        self.loops.get_or_init(Box::default)
    }

    /// Counts an observer that is about to be added.
    pub(super) fn note_observer(&self, observer: &Observer) {
        let Some(queue) = observer.queue().filter(|_| self.is_for_loops()) else { return };
        let mut loops = lock(self.loops());
        match loops.position(queue).and_then(|at| loops.known.get_mut(at)) {
            Some(known) => known.waiting += 1,
            None => {
                loops.known.retain(|known| known.number.is_some() || known.queue.strong_count() > 0);
                loops.known.push(Known { queue: Arc::downgrade(queue), number: None, waiting: 1 });
            }
        }
    }

    /// These observers have been told or dropped.
    pub(super) fn note_lost(&self, observers: &[Observer]) {
        let queues = observers.iter().filter_map(Observer::queue);
        for queue in queues.filter(|_| self.is_for_loops()) {
            let mut loops = lock(self.loops());
            if let Some(known) = loops.position(queue).and_then(|at| loops.known.get_mut(at)) {
                known.waiting = known.waiting.saturating_sub(1);
            }
        }
    }

    /// These observers are told now.
    pub(super) fn note_told(&self, observers: &[Observer]) {
        if let Some(queue) = observers.iter().find_map(Observer::queue).filter(|_| self.is_for_loops()) {
            lock(self.loops()).told = Some(Arc::downgrade(queue));
        }
    }

    /// Has the peer tell this loop of news, which it reads itself then. To be called by the loop's thread, after its observer
    /// was added. False where the watch thread is to read.
    pub(super) fn tell_loop(self: &Arc<Self>, queue: &Arc<LoopQueue>) -> bool {
        if !self.is_for_loops() || self.is_inherited() || queue.is_inherited() {
            return false;
        }
        let watched = lock(&self.watched);
        if self.is_armed() || lock(self.loops()).pause.left > 0 {
            return false;
        }
        let is_told = self.begin_to_tell(watched.transport(), queue);
        drop(watched);
        if is_told {
            self.touch(); // from now on the watch thread looks
        }
        is_told
    }

    /// Under the lock of what is watched.
    fn begin_to_tell(self: &Arc<Self>, transport: Option<&Arc<Transport>>, queue: &Arc<LoopQueue>) -> bool {
        let Some(ring) = transport.and_then(|transport| transport.ring()) else { return false };
        let mut loops = lock(self.loops());
        if loops.waiting(queue) != self.observers() {
            return false; // somebody else waits, too
        }
        let Some(number) = self.number_of(&mut loops, queue) else { return false };
        drop(loops);
        if ring.told_loop() != Some(number) {
            let had_news = ring.tell_loop(number, queue.event());
            queue.read_when_woken(number, self); // not before: the loop forgets a link that does not tell it
            if had_news || ring.has_news() {
                queue.wake(); // also for what the peer told the loop in between
            }
        }
        true
    }

    /// The number by which the peer knows a loop, whose eventfd it is handed if need be. None where that cannot be now.
    fn number_of(self: &Arc<Self>, loops: &mut Loops, queue: &Arc<LoopQueue>) -> Option<u32> {
        let at = loops.position(queue)?;
        if let Some(number) = loops.known.get(at)?.number {
            return Some(number);
        }
        let number = loops.last.checked_add(1)?;
        let is_full = loops.known.iter().filter(|known| known.number.is_some()).count() >= LOOPS_MAX;
        if is_full || self.memory.as_ref()?.hand_over_loop(number, &**queue).is_err() {
            return None;
        }
        loops.last = number;
        loops.known.get_mut(at)?.number = Some(number);
        queue.note_handed_over(self);
        Some(number)
    }

    /// What a loop does that was woken: reads what is here. Returns whether it is still told of news.
    pub(crate) fn read_for_loop(self: &Arc<Self>, number: u32, queue: &LoopQueue) -> bool {
        let transport = lock(&self.watched).transport().cloned();
        let Some(transport) = transport.filter(|_| !self.is_inherited()) else { return false };
        let Some(ring) = transport.ring() else { return false };
        for _ in 0..READS_IN_A_ROW {
            if self.is_input_over() {
                return false; // the watch thread does the rest
            }
            if ring.has_news() {
                self.read();
                if self.attention.is_blocked() {
                    self.flush();
                }
                lock(self.loops()).pause.next = 0;
            }
            match ring.rearm_loop(number) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
        queue.wake();
        true
    }

    /// What the watch thread does at a tick: reads what the loop that was told of it did not, and arms.
    pub(super) fn look_after_loop(&self) {
        let transport = lock(&self.watched).transport().cloned();
        let Some(ring) = transport.as_ref().and_then(|transport| transport.ring()) else { return };
        if ring.told_loop().is_some() && ring.has_news() && !self.is_driven() {
            lock(self.loops()).pause.begin();
            self.arm();
        }
    }

    /// What the watch thread does after it read: leaves the link to the loop that it told of an answer, if nobody else waits.
    pub(super) fn leave_to_loop(self: &Arc<Self>) {
        let Some(told) = self.told_loop() else { return };
        let mut watched = lock(&self.watched);
        let is_on_ring = watched.transport().is_some_and(|transport| transport.ring().is_some());
        if !is_on_ring || lock(self.loops()).waiting(&told) != self.observers() {
            return;
        }
        self.disarm_watched(&mut watched);
        // Who is added after this look finds the link not armed, and asks for it.
        let is_told = self.observers() == 0 || self.begin_to_tell(watched.transport(), &told);
        drop(watched);
        if is_told {
            self.touch();
        } else {
            self.arm();
        }
    }

    /// The loop that an answer was told to since the last time, if it may be left alone with the link.
    fn told_loop(&self) -> Option<Arc<LoopQueue>> {
        let mut loops = lock(self.loops.get()?);
        let told = loops.told.take()?.upgrade()?;
        loops.pause.pass().then_some(told)
    }

    /// No loop is told any more, unless somebody waits after all.
    pub(super) fn stop_telling_loops(&self) {
        let watched = lock(&self.watched);
        if self.observers() == 0
            && let Some(ring) = watched.transport().and_then(|transport| transport.ring())
        {
            ring.tell_no_loop();
        }
    }

    /// Has the peer let go of loops that are no more.
    pub(crate) fn take_back_loops(&self) {
        let watched = lock(&self.watched);
        let mut loops = lock(self.loops());
        let ring = watched.transport().and_then(|transport| transport.ring());
        loops.known.retain(|known| {
            if known.queue.strong_count() > 0 {
                return true;
            }
            let Some(number) = known.number else { return false };
            if let Some(ring) = ring.filter(|ring| ring.told_loop() == Some(number)) {
                ring.tell_no_loop();
            }
            // Where the socket has no room now, the next loop that ends tries again.
            self.memory.as_ref().is_some_and(|memory| memory.take_back_loop(number).is_err()) && ring.is_some()
        });
    }

    fn observers(&self) -> usize {
        self.attention.observers.load(Ordering::SeqCst)
    }
}
