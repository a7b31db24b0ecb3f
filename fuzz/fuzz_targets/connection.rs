//! See `claims/connection.rs`.

#![no_main]

#[path = "../claims/connection.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
