//! Whether this process is still the one that made something, or a child that a user's fork left with a copy.
//! Owns: the stamp of the process. Must not know: what is stamped.
//!
//! A fork in user code is not announced to Rust, and asking for the process id costs a system call. So the stamp lies in a
//! page that the kernel hands to children as zeros (`MADV_WIPEONFORK`): reading it costs a load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Stamps that were given out. A child goes on counting where its parent was, so no stamp is given out twice in a line of
/// descent, which is all that is ever compared.
static GIVEN: AtomicU32 = AtomicU32::new(0);

static PAGE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();

/// The stamp of this process, not zero. A child of a fork has another than its parent.
pub(crate) fn stamp() -> u32 {
    let Some(word) = *PAGE.get_or_init(wiped_word) else { return std::process::id() };
    let stamp = word.load(Ordering::Relaxed); // it changes in a child only, before which there is one thread
    if stamp == 0 { renew(word) } else { stamp }
}

#[cold]
fn renew(word: &AtomicU32) -> u32 {
    let fresh = GIVEN.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1); // only uniqueness matters
    word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|other| other, |_| fresh)
}

/// A word that children find zeroed. None where the kernel refuses; then the process id serves.
fn wiped_word() -> Option<&'static AtomicU32> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    let bytes = rustix::param::page_size();
    // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: `page` and `bytes` are the mapping of above, which nobody else knows; its content may change to zeros.
    unsafe { madvise(page, bytes, Advice::LinuxWipeOnFork).ok()? };
    // SAFETY: the mapping is never unmapped, zeroed, aligned to a page and only ever used as this one atomic word.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_of_a_process_stays() {
        let first = stamp();

        let of_thread = std::thread::spawn(stamp).join().unwrap();

        assert_ne!(first, 0);
        assert_eq!((first, first), (of_thread, stamp()));
    }
}
