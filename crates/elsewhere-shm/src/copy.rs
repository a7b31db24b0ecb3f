//! Copies between private memory and memory that another process may write at the same time.
//! Owns: the instruction. Must not know: what is copied.
//!
//! A plain copy is a promise to the compiler that nobody writes meanwhile, which a peer cannot be held to. `rep movsb` in
//! assembly makes no such promise: the compiler knows only that some bytes were read and some written. Elsewhere volatile
//! accesses say the same more slowly.

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
#[cfg(target_arch = "x86_64")]
unsafe fn copy(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: it reads and writes exactly the ranges that the caller vouches for, leaves the stack alone, and the
    // direction flag is clear, as the ABI has it at every entry of `asm!`. No flags are changed.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") target => _,
            inout("rsi") source => _,
            options(nostack, preserves_flags)
        );
    }
}

/// # Safety
/// `source` is valid for reads and `target` for writes of `len` bytes, and they do not overlap.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy(target: *mut u8, source: *const u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    let is_aligned = target.align_offset(WORD) == 0 && source.align_offset(WORD) == 0;
    let words = if is_aligned { len / WORD } else { 0 };
    for index in 0..words {
        // SAFETY: `index` is below `len / 8`, so both words lie in the ranges, and both pointers are aligned to words.
        unsafe { target.cast::<u64>().add(index).write_volatile(source.cast::<u64>().add(index).read_volatile()) };
    }
    for index in words * WORD..len {
        // SAFETY: `index` is below `len`, so both bytes lie in the ranges.
        unsafe { target.add(index).write_volatile(source.add(index).read_volatile()) };
    }
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
            let mut target = [7_u8; 64];
            let mut back = vec![0; len];

            // SAFETY: `to + len` is at most 48 of 64 bytes; both slices live on.
            unsafe {
                into_shared(target.as_mut_ptr().add(to), &source[from..from + len]);
                from_shared(&mut back, target.as_ptr().add(to));
            }

            assert_eq!(back, source[from..from + len]);
            assert!(target[..to].iter().chain(&target[to + len..]).all(|byte| *byte == 7));
        }
    }
}
