//! Must trip unsafe_code: reads memory. Never compiled with the crate.

/// # Safety
/// `at` can be read.
pub unsafe fn peek(at: *const u8) -> u8 {
    unsafe { *at }
}
