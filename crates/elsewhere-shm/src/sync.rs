//! The seam between the standard library and loom, which checks the same code in every order of events.
//! Owns: the choice. Must not know: what is synchronised.
//!
//! Loom replaces atomics only in this crate's own tests under `--cfg loom`; then there are no segments, and what lies in
//! shared memory otherwise lies on the heap.

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
};

pub(crate) use std::sync::atomic::Ordering;

/// Locks, also after a panic of another holder: what these locks guard is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // ThreadSanitizer sees what is inlined here, but not how the standard library waits for a lock.
    #[cfg(tsan)]
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(_) => std::thread::yield_now(),
        }
    }
    #[cfg(not(tsan))]
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
