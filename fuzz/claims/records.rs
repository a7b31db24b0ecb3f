//! Any bytes as error records, and as bodies whose references are given back.
//! Owns: the claim that a record is read as it was written, and that skimming agrees with reading. Must not know: how a
//! record is told to people.

use elsewhere_proto::codec::{Limits, ReferenceHead, Value};
use elsewhere_proto::{ErrorRecord, ObjectId, offered_references};

fn offers(value: &Value, found: &mut Vec<ObjectId>) {
    match value {
        Value::List(values) | Value::Tuple(values) | Value::Set(values) | Value::FrozenSet(values) => {
            values.iter().for_each(|value| offers(value, found));
        }
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            offers(key, found);
            offers(value, found);
        }),
        Value::Reference(head, values) => {
            if let ReferenceHead::Offer { object, .. } = head {
                found.push(*object);
            }
            values.iter().for_each(|value| offers(value, found));
        }
        Value::Pickle { references, buffers, .. } => {
            references.iter().chain(buffers).for_each(|value| offers(value, found));
        }
        Value::Instance { attributes, .. } => attributes.iter().for_each(|(_, value)| offers(value, found)),
        _ => {}
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let limits = Limits::default();
    let skimmed = offered_references(bytes, limits);
    if let Ok(value) = Value::decode(bytes, limits) {
        let mut found = vec![];
        offers(&value, &mut found);
        assert_eq!(skimmed, Ok(found));
    }
    if let Ok(record) = ErrorRecord::decode(bytes, limits) {
        assert_eq!(ErrorRecord::peek(bytes), Ok((record.kind, record.outcome)));
        let mut again = vec![];
        record.encode(&mut again).expect("what was read can be written");
        assert_eq!(ErrorRecord::decode(&again, limits), Ok(record));
    }
}
