//! What `os.fork` in user code means for the engine.
//! Owns: the generation of this process and the locks held across a fork. Must not know: why somebody forks.
//!
//! Before the fork the watch thread is stopped and the process-wide tables are locked, so the child finds them whole. The
//! child forgets them: it joins, kills, locks and shuts down nothing of its parent's. Whatever belongs to an older
//! generation refuses every use, and the caller puts `/dev/null` over the descriptors it is told, because an inherited
//! socket left open would hide the parent's death from the peer.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::chains::{self, Chains};
use crate::exit;
use crate::watch::{self, Table};

static GENERATION: AtomicU32 = AtomicU32::new(0);

struct Held {
    table: MutexGuard<'static, Table>,
    chains: MutexGuard<'static, Chains>,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// How many forks lie between the first process and this one.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed) // changes only while the process has one thread
}

/// To be called right before a fork, on the forking thread.
pub fn prepare() {
    let table = watch::pause();
    let chains = chains::hold();
    HELD.set(Some(Held { table, chains }));
}

/// To be called right after a fork in the parent, on the forking thread, also when the fork failed.
pub fn parent() {
    if let Some(Held { mut table, chains }) = HELD.take() {
        drop(chains);
        watch::resume(&mut table);
    }
}

/// To be called right after a fork in the child. Returns the inherited descriptors; put `/dev/null` over each.
#[must_use]
pub fn child() -> Vec<RawFd> {
    GENERATION.fetch_add(1, Ordering::Relaxed); // the child has one thread
    exit::reset();
    let Some(Held { mut table, mut chains }) = HELD.take() else { return Vec::new() };
    chains::clear(&mut chains);
    watch::abandon(&mut table)
}
