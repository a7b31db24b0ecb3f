//! See `claims/codec_roundtrip.rs`.

#![no_main]

#[path = "../claims/codec_roundtrip.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
