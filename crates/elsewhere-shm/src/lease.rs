//! Bytes that are lent for a while to who cannot say for how long.
//! Owns: that nobody has them any longer than they are there. Must not know: what is done with them.

use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of somebody else, which are there as long as this is.
///
/// Others may write them meanwhile, as they may those of any buffer: who reads them only copies.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Span>);

#[derive(Debug)]
struct Span {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is read only, and the bytes outlive it, wherever it is: see `Lease::with`.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

impl Lease {
    /// Lends `bytes` while `run` runs. The process ends if anybody still has them after it, however it ended: he would read
    /// what is not there any more.
    pub fn with<T>(bytes: &[u8], run: impl FnOnce(&Self) -> T) -> T {
        let end = End(Self(Arc::new(Span { start: NonNull::from(bytes).cast(), len: bytes.len() })));
        run(&end.0)
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these are the bytes that `with` borrows until nobody has this any more.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

/// The end of a lease.
struct End(Lease);

impl Drop for End {
    fn drop(&mut self) {
        if Arc::get_mut(&mut self.0.0).is_none() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_where_they_lie() {
        let bytes = vec![7; 100];

        let read = Lease::with(&bytes, |lease| {
            let other = lease.clone();
            let copy = std::thread::spawn(move || other.as_ref().to_vec()).join().unwrap();
            (copy, lease.as_ref().as_ptr())
        });

        assert_eq!(read, (bytes.clone(), bytes.as_ptr()));
    }

    #[test]
    fn nothing_is_lent_as_well() {
        assert_eq!(Lease::with(&[], |lease| lease.as_ref().len()), 0);
    }
}
