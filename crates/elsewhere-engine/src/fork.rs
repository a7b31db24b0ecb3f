//! What `os.fork` in user code means for the engine.
//! Owns: the generation of this process and the tables that each process has for itself. Must not know: why somebody
//! forks.
//!
//! Before the fork the watch thread is stopped. No lock is held meanwhile: other hooks run between ours and the fork, and
//! let other threads run, which may want that lock while they hold what the hooks wait for. So a child cannot rely on the
//! tables of its parent, which a thread that is not here may have locked for ever, and begins its own. It forgets what
//! it inherited: it joins, kills and shuts down nothing of its parent's. Whatever belongs to an older generation refuses
//! every use, and the caller puts `/dev/null` over the descriptors it is told, because an inherited socket left open
//! would hide the parent's death from the peer.

use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::lock::{lock, try_lock};
use crate::{HostProcess, chains, exit, interrupts, watch};

static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// What was open before the fork that this thread is about to make.
    static OPEN: RefCell<Vec<RawFd>> = const { RefCell::new(Vec::new()) };
}

/// A table of this process, of which each forked child begins its own.
pub(crate) struct PerProcess<T: 'static> {
    table: Mutex<T>,
    make: fn() -> T,
    /// The table of a child, in the child; made there.
    of_child: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    /// `first` is the table of the first process, and what `make` would make.
    pub(crate) const fn new(first: T, make: fn() -> T) -> Self {
        Self { table: Mutex::new(first), make, of_child: OnceLock::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.after(generation()).table)
    }

    /// The parent's table as it was at the fork; None in the first process, and if a thread of the parent was using it.
    pub(crate) fn of_parent(&self) -> Option<MutexGuard<'_, T>> {
        try_lock(&self.after(generation().checked_sub(1)?).table)
    }

    fn after(&self, forks: u32) -> &Self {
        (0..forks).fold(self, |table, _| table.of_child.get_or_init(|| Box::new(Self::new((self.make)(), self.make))))
    }
}

/// How many forks lie between the first process and this one.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed) // changes only while the process has one thread
}

/// The watch thread stands still until this is dropped: what is made for a fork meanwhile does not start it.
#[derive(Debug)]
pub struct Stillness(());

impl Stillness {
    /// Stops the watch thread.
    #[must_use]
    pub fn begin() -> Self {
        let _ = watch::pause();
        Self(())
    }

    /// Starts the watch thread again. Where the system has none to give, since `started` took the place, that process is
    /// ended and reaped: nobody would tell of its death, nor of the end of its time.
    ///
    /// # Errors
    /// What the system said to the thread.
    pub fn end(self, started: Option<&HostProcess>) -> io::Result<()> {
        std::mem::forget(self);
        watch::resume().inspect_err(|_| {
            started.inspect(|process| process.end_unwatched());
            let _ = watch::go_on();
        })
    }

    /// In a forked child, whose thread was never stopped.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Stillness {
    fn drop(&mut self) {
        let _ = watch::resume(); // the next link tries again
    }
}

/// To be called right before a fork, on the forking thread.
pub fn prepare() {
    OPEN.set(watch::pause());
}

/// To be called right after a fork in the parent, on the forking thread, also when the fork failed.
pub fn parent() {
    OPEN.take();
    let _ = watch::resume(); // the next link tries again
}

/// To be called right after a fork in the child. Returns the inherited descriptors; put `/dev/null` over each.
#[must_use]
pub fn child() -> Vec<RawFd> {
    GENERATION.fetch_add(1, Ordering::Relaxed); // the child has one thread
    exit::reset();
    chains::reset();
    interrupts::reset();
    let open = OPEN.take();
    watch::inherited().unwrap_or(open)
}
