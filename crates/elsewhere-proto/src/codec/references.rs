//! The references in a body, for whoever has to count them.
//! Owns: finding them without making values. Must not know: tables.

use super::format as f;
use super::token::{BufferPlace, ReferenceHead, Token};
use super::{CodecError, Limits, Reader};
use crate::ids::ObjectId;

/// The objects that the values in `body` offer, one entry for each reference: who throws the body away releases them.
///
/// # Errors
/// [`CodecError`] if it is not a sequence of values; then nothing can be said about it. A body without a byte that
/// references and buffers begin with has none, whatever else it is.
pub fn offered_references(body: &[u8], limits: Limits) -> Result<Vec<ObjectId>, CodecError> {
    references(body, limits, |head| match head {
        ReferenceHead::Offer { object, .. } => Some(*object),
        _ => None,
    })
}

/// The objects of the receiver that the values in `body` name, one entry for each time.
///
/// # Errors
/// As [`offered_references`].
pub fn home_references(body: &[u8], limits: Limits) -> Result<Vec<ObjectId>, CodecError> {
    references(body, limits, |head| match head {
        ReferenceHead::Home { object } | ReferenceHead::Place { object, .. } => Some(*object),
        _ => None,
    })
}

/// The places of the buffers that the values in `body` name, in their order: who throws the body away gives back those
/// that are lent.
///
/// # Errors
/// As [`offered_references`].
pub fn lent_buffers(body: &[u8], limits: Limits) -> Result<Vec<BufferPlace>, CodecError> {
    tokens(body, limits, |token| match token {
        Token::Buffer(head) => Some(head.place),
        _ => None,
    })
}

fn references(
    body: &[u8],
    limits: Limits,
    pick: impl Fn(&ReferenceHead) -> Option<ObjectId>,
) -> Result<Vec<ObjectId>, CodecError> {
    tokens(body, limits, |token| match token {
        Token::Reference(head) => pick(head),
        _ => None,
    })
}

fn tokens<T>(body: &[u8], limits: Limits, pick: impl Fn(&Token<'_>) -> Option<T>) -> Result<Vec<T>, CodecError> {
    let mut found = Vec::new();
    if !may_hold_any(body) {
        return Ok(found);
    }
    let mut reader = Reader::new(body, limits);
    while !reader.is_empty() {
        reader.walk(|token| found.extend(pick(token)))?;
    }
    Ok(found)
}

/// Whether a byte in `body` may begin a reference to an object or a buffer: all of these are extensions of a length that
/// has no form of its own. Most bodies have no such byte, and reading them to find that out would cost more than the rest
/// of a call.
fn may_hold_any(body: &[u8]) -> bool {
    let begins = |byte: &u8| matches!(*byte, f::EXT8 | f::EXT16 | f::EXT32);
    // By pieces without a way out in the middle, which the compiler does many bytes at a time.
    body.chunks(64).any(|piece| piece.iter().fold(false, |found, byte| found | begins(byte)))
}

#[cfg(test)]
mod tests {
    use super::super::{Flavour, Writer};
    use super::*;

    fn offer(object: u64, described: bool) -> ReferenceHead {
        ReferenceHead::Offer { object: ObjectId(object), class: 1, described }
    }

    #[test]
    fn offers_are_found_in_containers_descriptors_and_pickles() {
        let mut body = vec![];
        let mut out = Writer::new(&mut body);
        out.begin_list(2).unwrap();
        out.reference(&offer(1, true));
        out.begin_list(1).unwrap();
        out.str("descriptor").unwrap();
        out.reference(&ReferenceHead::Home { object: ObjectId(7) });
        out.begin_pickle(Flavour::Pickle, 1, 0).unwrap();
        out.reference(&offer(2, false));
        out.bytes(b"pickle").unwrap();
        out.reference(&offer(1, false));

        let offered = offered_references(&body, Limits::default()).unwrap();

        assert_eq!(offered, [ObjectId(1), ObjectId(2), ObjectId(1)]);
        assert_eq!(home_references(&body, Limits::default()).unwrap(), [ObjectId(7)]);
    }

    #[test]
    fn offer_of_the_bootstrap_object_is_malformed() {
        let mut body = vec![];
        Writer::new(&mut body).reference(&offer(0, false));

        assert!(matches!(
            offered_references(&body, Limits::default()),
            Err(CodecError::Malformed { name: "reference", .. })
        ));
    }
}
