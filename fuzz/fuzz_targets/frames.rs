//! See `claims/frames.rs`.

#![no_main]

#[path = "../claims/frames.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
