//! Descriptors that stay open although their memory is mapped, so that it can be passed on.
//! Owns: how many of them a process has. Must not know: who passes memory on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, getrlimit};

/// One in so many of the descriptors that this process may have.
const PART: u64 = 4;

static KEPT: AtomicU64 = AtomicU64::new(0);

/// A descriptor that is only kept because there is room for it.
#[derive(Debug)]
pub struct KeptFd(OwnedFd);

impl KeptFd {
    /// Keeps `fd`, or closes it where a quarter of what this process may open is kept already.
    #[must_use]
    pub fn keep(fd: OwnedFd) -> Option<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / PART;
        let kept = Self(fd);
        let before = KEPT.fetch_add(1, Ordering::Relaxed); // Relaxed: a count that nothing else depends on
        (before < limit).then_some(kept)
    }
}

impl Drop for KeptFd {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed); // as above
    }
}

impl AsFd for KeptFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
