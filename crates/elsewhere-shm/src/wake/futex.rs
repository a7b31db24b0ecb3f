//! A word that threads of several processes can sleep on.
//! Owns: the system call, and what stands for it under loom. Must not know: what the values of the word mean.

use std::time::Duration;

use crate::sync::AtomicU32;

/// Why a wait on a word ended. Each may also come without reason: look, and wait again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Somebody woke.
    Woken,
    /// The word had changed before the wait began.
    Changed,
    /// The time is over.
    TimedOut,
    /// A signal arrived at this thread.
    Interrupted,
}

/// The word. Its value may change at any time; only a wake ends a wait that has begun.
#[cfg(not(all(test, loom)))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Futex {
    pub(crate) value: AtomicU32,
}

#[cfg(not(all(test, loom)))]
impl Futex {
    /// Sleeps, if the word still has the value `expected`.
    pub(crate) fn wait(&self, expected: u32, timeout: Option<Duration>) -> Waited {
        use rustix::io::Errno;
        use rustix::thread::futex::{Flags, Timespec, wait};
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match wait(&self.value, Flags::empty(), expected, timeout.as_ref()) {
            Ok(()) => Waited::Woken,
            Err(Errno::TIMEDOUT) => Waited::TimedOut,
            Err(Errno::INTR) => Waited::Interrupted,
            Err(_) => Waited::Changed,
        }
    }

    /// Wakes everybody who sleeps on the word, here and in other processes.
    pub(crate) fn wake(&self) {
        use rustix::thread::futex::{Flags, wake};
        // Fails only for addresses that are none.
        let _ = wake(&self.value, Flags::empty(), i32::MAX as u32);
    }
}

/// What the kernel does, in a model: the comparison and falling asleep are one step to whoever wakes. A wait with a timeout
/// ends at once.
#[cfg(all(test, loom))]
#[derive(Debug)]
pub(crate) struct Futex {
    pub(crate) value: AtomicU32,
    bed: loom::sync::Mutex<()>,
    bell: loom::sync::Condvar,
}

#[cfg(all(test, loom))]
impl Default for Futex {
    fn default() -> Self {
        Self { value: AtomicU32::new(0), bed: loom::sync::Mutex::new(()), bell: loom::sync::Condvar::new() }
    }
}

#[cfg(all(test, loom))]
impl Futex {
    pub(crate) fn wait(&self, expected: u32, timeout: Option<Duration>) -> Waited {
        let bed = crate::sync::lock(&self.bed);
        if self.value.load(std::sync::atomic::Ordering::SeqCst) != expected {
            return Waited::Changed;
        }
        if timeout.is_some() {
            return Waited::TimedOut;
        }
        drop(self.bell.wait(bed).unwrap());
        Waited::Woken
    }

    pub(crate) fn wake(&self) {
        let _bed = crate::sync::lock(&self.bed);
        self.bell.notify_all();
    }
}
