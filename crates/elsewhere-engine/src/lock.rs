//! How the engine takes a lock.
//! Owns: what a poisoned lock means. Must not know: what the locks guard.
//!
//! Order of the engine's locks, outermost first: known zygotes, watch table, reader, chains, inbox, wire, and then, none of them inside
//! another: roles, watched stream, call, released objects, bell, interrupts, and those of a process, with a home's
//! or the line to a zygote inside or alone. A thread that holds one of them takes only locks further right. None is held across a sleep, or while the last handle of a link may be dropped.
//!
//! Those of memory stand alone, but that one may be taken inside another in this order: what a frozen piece of memory is, what
//! came in on a link, what this process has mapped, what a link has lent, its socket.
//!
//! Inside the watched stream may be taken what is known of loops, and inside that the socket of its memory and a loop's links; a
//! loop's keys stand alone.
//!
//! Inside any of these may be taken, one at a time, a parker's bed and those of a ring: sender, receiver, budget, and who
//! polls it. Inside that last one, and inside the roles, the lookout's of `elsewhere-shm`; inside that only the bell. Inside sender
//! and receiver, where the peer names a loop that is not known yet, also what came in on the link, and what follows there.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. A panic of an earlier holder is not inherited: every section leaves its data whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex` if nobody holds it, never blocks.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(std::sync::TryLockError::WouldBlock) => None,
    }
}
