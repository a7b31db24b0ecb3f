//! See `claims/handshake.rs`.

#![no_main]

#[path = "../claims/handshake.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
