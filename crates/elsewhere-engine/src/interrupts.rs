//! Calls of peers that are to be broken off while they run here.
//! Owns: the list of them, and the signal that says there are some. Must not know: how a running call is broken off.
//!
//! A cancel is work for whoever serves the inbox, and that is often the very thread that runs the call. So an interrupt
//! stands in a list of its own, too, and in a host a signal has the main thread look at it at once, whatever it does:
//! SIGURG, because it is ignored where nobody expects it, and is no signal by which people or libraries end things, as
//! SIGINT is. In a program that is no host the signals are the program's own, and nothing is sent.

use std::sync::atomic::{AtomicBool, Ordering};

use elsewhere_proto::CallId;
use rustix::process::{Signal, getpid, kill_process};

use crate::fork::PerProcess;

/// A call of a peer that is to be broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The link that it came by; see [`Link::id`](crate::Link::id).
    pub link: u64,
    /// The call.
    pub call: CallId,
}

static ASKED: PerProcess<Vec<Interrupt>> = PerProcess::new(Vec::new(), Vec::new);
static IS_SIGNALLED: AtomicBool = AtomicBool::new(false);

/// From now on this process is sent SIGURG for each interrupt. To be called once its handler is in
/// place, or while signals are put off until it is.
pub fn signal() {
    IS_SIGNALLED.store(true, Ordering::SeqCst); // once in the life of a host
}

/// Takes what is to be broken off. Some of it may have ended by now.
#[must_use]
pub fn take() -> Vec<Interrupt> {
    std::mem::take(&mut *ASKED.lock())
}

/// A peer wants its call broken off.
pub(crate) fn ask(interrupt: Interrupt) {
    let mut asked = ASKED.lock();
    if !asked.contains(&interrupt) {
        asked.push(interrupt);
    }
    drop(asked);
    if IS_SIGNALLED.load(Ordering::SeqCst) {
        // The kernel gives a signal to a process to its main thread, which is Python's, unless that one blocks it.
        let _ = kill_process(getpid(), Signal::URG);
    }
}

/// Forgets what a lost link wanted.
pub(crate) fn forget(link: u64) {
    ASKED.lock().retain(|interrupt| interrupt.link != link);
}

/// A forked child is no host.
pub(crate) fn reset() {
    IS_SIGNALLED.store(false, Ordering::SeqCst);
}
