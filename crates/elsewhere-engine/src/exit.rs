//! The end of this process.
//! Owns: the order of the last steps. Must not know: Python's finalisation, which only its own thread may enter.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::{watch, zygote};

static EXITING: AtomicBool = AtomicBool::new(false);
static LAST_THREAD: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Tells that the calling thread is about to end the process. From now on every other thread that waits in the engine
/// stays there for ever instead of returning, so that it never meets an interpreter that is being taken down.
pub fn begin() {
    *lock(&LAST_THREAD) = Some(std::thread::current().id());
    EXITING.store(true, Ordering::SeqCst); // after the thread is named: a gate that sees it finds the name
}

/// Closes every host and waits until all have ended, at most for `timeout` or until a signal comes, and kills what is left.
/// Stops the watch thread. Returns whether all have ended by themselves.
pub fn finish(timeout: Duration) -> bool {
    let end = Instant::now() + timeout;
    watch::porches().iter().for_each(|porch| porch.close());
    // Those that go on for others end by the end of this process, which they see, and not before.
    let (kept, processes): (Vec<_>, Vec<_>) =
        watch::processes().into_iter().partition(|process| process.goes_on_for_others());
    kept.iter().for_each(|process| process.link().abandon());
    for process in &processes {
        process.link().cancel_streams();
        process.link().close();
    }
    let all_ended = processes.iter().all(|process| process.wait_until(Some(end)));
    processes.iter().for_each(|process| process.kill());
    watch::stop();
    zygote::end_all(&watch::zygotes());
    all_ended
}

/// Whether the process is about to end.
#[must_use]
pub fn has_begun() -> bool {
    EXITING.load(Ordering::SeqCst)
}

/// What each wait passes before it returns to its caller. Once the process is about to end, it returns on no other thread
/// than the last one.
pub fn gate() {
    if !has_begun() {
        return;
    }
    if *lock(&LAST_THREAD) == Some(std::thread::current().id()) {
        return;
    }
    loop {
        std::thread::park();
    }
}

/// A forked child is not exiting, whatever its parent was doing.
pub(crate) fn reset() {
    EXITING.store(false, Ordering::SeqCst);
}
