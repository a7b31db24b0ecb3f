//! See `claims/noise_records.rs`.

#![no_main]

#[path = "../claims/noise_records.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
