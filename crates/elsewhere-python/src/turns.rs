//! Which thread runs the calls of which local host, and which thread waits for which: such hosts are serial over all
//! threads, and have none of their own.
//!
//! Owns: the table of turns and waits, and the sight of circles in it. Must not know: calls.
//! A thread that waits for a local host waits for the thread that has the turn there, if another has it. A circle comes
//! about when a thread begins to wait, and only then: a thread takes a turn only at the host that it waits for. So it is
//! looked for then, under the one lock, and of the threads of a circle the last one sees it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

#[derive(Default)]
struct Table {
    /// Who has the turn at a host, by the number of the host's far link, and how often one inside the other.
    turns: HashMap<u64, (ThreadId, usize)>,
    /// The hosts that a thread waits for, the innermost wait last.
    waits: HashMap<ThreadId, Vec<u64>>,
}

fn table() -> MutexGuard<'static, Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    TABLE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn me() -> ThreadId {
    std::thread::current().id()
}

/// The turn at a host; its drop gives it up.
pub(crate) struct Turn {
    host: u64,
}

/// Takes the turn at a host; None while another thread has it.
pub(crate) fn take(host: u64) -> Option<Turn> {
    let mut table = table();
    let (holder, depth) = table.turns.entry(host).or_insert((me(), 0));
    if *holder != me() {
        return None;
    }
    *depth += 1;
    Some(Turn { host })
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = table();
        let Some((_, depth)) = table.turns.get_mut(&self.host) else { return };
        *depth -= 1;
        if *depth == 0 {
            table.turns.remove(&self.host);
        }
    }
}

/// A thread's wait for a host; its drop ends it.
pub(crate) struct Wait;

/// Begins to wait for a host. Tells whether that closes a circle, in which each thread waits for the next one.
pub(crate) fn wait_for(host: u64) -> (Wait, bool) {
    let mut table = table();
    let closes = table.is_circle(host);
    table.waits.entry(me()).or_default().push(host);
    (Wait, closes)
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut table = table();
        let Some(waits) = table.waits.get_mut(&me()) else { return };
        waits.pop();
        if waits.is_empty() {
            table.waits.remove(&me());
        }
    }
}

impl Table {
    /// Whether the thread that has the turn at `host` waits, directly or through others, for this one.
    fn is_circle(&self, host: u64) -> bool {
        let mut host = host;
        for _ in 0..=self.waits.len() {
            let Some((holder, _)) = self.turns.get(&host) else { return false };
            if *holder == me() {
                return false; // this thread runs what it waits for itself
            }
            let Some(next) = self.waits.get(holder).and_then(|waits| waits.last()) else { return false };
            if self.turns.get(next).is_some_and(|(holder, _)| *holder == me()) {
                return true;
            }
            host = *next;
        }
        false
    }
}

/// In a forked child no other thread waits or has a turn.
pub(crate) fn forget() {
    *table() = Table::default();
}
