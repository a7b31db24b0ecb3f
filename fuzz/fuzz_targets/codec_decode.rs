//! See `claims/codec_decode.rs`.

#![no_main]

#[path = "../claims/codec_decode.rs"]
mod claim;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claim::check(bytes));
