//! The claims of the fuzz targets, held against their seeds and against what is near to these.
//! Owns: that each claim holds for what is known to be interesting, wherever the tests run. Must not know: libFuzzer.

use std::path::Path;

#[path = "../../../fuzz/claims/codec_decode.rs"]
mod codec_decode;
#[path = "../../../fuzz/claims/codec_roundtrip.rs"]
mod codec_roundtrip;
#[path = "../../../fuzz/claims/connection.rs"]
mod connection;
#[path = "../../../fuzz/claims/frames.rs"]
mod frames;
#[path = "../../../fuzz/claims/handshake.rs"]
mod handshake;
#[cfg(feature = "net")]
#[path = "../../../fuzz/claims/noise.rs"]
mod noise;
#[cfg(feature = "net")]
#[path = "../../../fuzz/claims/noise_records.rs"]
mod noise_records;
#[path = "../../../fuzz/claims/records.rs"]
mod records;

/// How many changes of each seed are tried.
const NEAR: usize = 200;

/// Holds `check` against each seed of `target`, each of its beginnings (or some) and as many changes of single bits.
fn hold(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("seed_") {
            continue; // found by a run of the fuzzer, and not in git
        }
        let seed = std::fs::read(path).unwrap();
        check(&seed);
        let step = seed.len().div_ceil(NEAR).max(1);
        for at in (0..seed.len()).step_by(step) {
            check(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] ^= 1 << (at / step % 8);
            check(&changed);
        }
        count += 1;
    }
    assert!(count > 0, "{target} has no seeds");
}

#[test]
fn values_are_read_in_one_form_or_refused() {
    hold("codec_decode", codec_decode::check);
}

#[test]
fn nothing_is_lost_of_a_value() {
    hold("codec_roundtrip", codec_roundtrip::check);
}

#[test]
fn peers_that_follow_the_rules_break_none() {
    hold("connection", connection::check);
}

#[test]
fn cutting_the_stream_changes_nothing() {
    hold("frames", frames::check);
}

#[test]
fn nobody_is_proven_by_what_the_other_side_did_not_write() {
    hold("handshake", handshake::check);
}

#[cfg(feature = "net")]
#[test]
fn nobody_on_another_machine_is_proven_by_what_the_other_side_did_not_write() {
    hold("noise", noise::check);
}

#[cfg(feature = "net")]
#[test]
fn nothing_arrives_behind_a_record_that_was_changed() {
    hold("noise_records", noise_records::check);
}

#[test]
fn records_are_read_as_they_were_written() {
    hold("records", records::check);
}

#[test]
fn every_target_has_its_claim_here() {
    let own = include_str!("corpora.rs");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(own.contains(&format!("hold(\"{name}\", {name}::check)")), "{name} is held nowhere");
    }
}
