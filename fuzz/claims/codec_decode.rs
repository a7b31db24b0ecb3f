//! Any bytes into the reader.
//! Owns: the claim that it reads or refuses them, and that what it reads is written in one form only. Must not know:
//! which bytes are values.

use elsewhere_proto::codec::{Limits, Reader, Value};

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = vec![];
    value.encode(&mut bytes, Limits::default()).expect("what was read can be written");
    bytes
}

pub(crate) fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes, Limits::default());
    while !reader.is_empty() && reader.skip_value().is_ok() {}

    if let Ok(value) = Value::decode(bytes, Limits::default()) {
        let canonical = encode(&value);
        let again = Value::decode(&canonical, Limits::default()).expect("what was written can be read");
        assert_eq!(encode(&again), canonical);
    }
}
