//! See `claims/noise.rs`.

#![no_main]

#[path = "../claims/noise.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
