//! Copies between private memory and memory that another process may write at the same time.
//! Owns: the call. Must not know: what is copied.
//!
//! A copy in Rust is a promise to the compiler that nobody writes meanwhile, which a peer cannot be held to. So the copy is
//! the C library's `memcpy`, called through a pointer that the compiler has to read each time: it knows only that foreign
//! code reads some bytes and writes others. That code is fast at every size; `rep movsb` in assembly would say the same,
//! but copies large buffers out at two thirds of the speed.

use std::ffi::c_void;

unsafe extern "C" {
    fn memcpy(target: *mut c_void, source: *const c_void, len: usize) -> *mut c_void;
}

static COPY: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void = memcpy;

/// Copies `source` to `target`.
///
/// # Safety
/// `target` is valid for writes of `source.len()` bytes of mapped memory, of which no Rust reference exists.
pub(crate) unsafe fn into_shared(target: *mut u8, source: &[u8]) {
    // SAFETY: the caller vouches for the target, the slice for the source; they cannot overlap, because `source` is a
    // reference and the target has none.
    unsafe { copy(target, source.as_ptr(), source.len()) };
}

/// Copies from `source` into `target`, all of it.
///
/// # Safety
/// `source` is valid for reads of `target.len()` bytes of mapped memory, of which no Rust reference exists.
pub(crate) unsafe fn from_shared(target: &mut [u8], source: *const u8) {
    // SAFETY: the caller vouches for the source, the slice for the target; no overlap, as above.
    unsafe { copy(target.as_mut_ptr(), source, target.len()) };
}

/// # Safety
/// `source` is valid for reads and `target` for writes of `len` bytes, and they do not overlap.
unsafe fn copy(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: a static of a plain pointer, which nobody writes.
    let copy = unsafe { std::ptr::read_volatile(&raw const COPY) };
    // SAFETY: the caller vouches for both ranges. That bytes may change while it reads them is nothing to `memcpy`: it
    // decides by addresses and the length alone.
    unsafe { copy(target.cast(), source.cast(), len) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_is_copied_and_no_more() {
        let source: Vec<u8> = (0..=255).collect();
        for (from, to, len) in
            (0..9).flat_map(|from| (0..9).flat_map(move |to| (0..40).map(move |len| (from, to, len))))
        {
            let mut target = [99_u8; 64];
            let mut back = vec![0; len];

            // SAFETY: `to + len` is at most 48 of 64 bytes; both arrays live on.
            unsafe {
                into_shared(target.as_mut_ptr().add(to), &source[from..from + len]);
                from_shared(&mut back, target.as_ptr().add(to));
            }

            assert_eq!(back, source[from..from + len]);
            assert!(target[..to].iter().chain(&target[to + len..]).all(|byte| *byte == 99));
        }
    }
}
