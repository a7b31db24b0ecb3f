//! Integers of any size as little-endian two's complement.
//! Owns: the shortest form of one. Must not know: where it is written.

use super::token::Token;

/// Drops the bytes at the end that only repeat the sign.
pub(super) fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., before, last] = bytes {
        let repeats = match last {
            0x00 => *before < 0x80,
            0xff => *before >= 0x80,
            _ => false,
        };
        if !repeats {
            break;
        }
        let len = rest.len().saturating_add(1);
        bytes = bytes.get(..len).unwrap_or_default();
    }
    bytes
}

/// The token for an integer in any form, also one that is longer than it had to be. `bytes` is not empty.
pub(super) fn token(bytes: &[u8]) -> Token<'_> {
    let bytes = shortest(bytes);
    match bytes {
        [low @ .., 0] if low.len() == 8 => Token::Unsigned(extend(low, 0)),
        [.., last] if bytes.len() <= 8 => {
            let sign = if *last >= 0x80 { 0xff } else { 0 };
            Token::Int(extend(bytes, sign).cast_signed())
        }
        _ => Token::BigInt(bytes),
    }
}

fn extend(bytes: &[u8], sign: u8) -> u64 {
    let mut whole = [sign; 8];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_repeat_the_sign_are_dropped() {
        assert_eq!(shortest(&[5, 0, 0]), [5]);
        assert_eq!(shortest(&[0x80, 0]), [0x80, 0]);
        assert_eq!(shortest(&[0x80, 0xff, 0xff]), [0x80]);
        assert_eq!(shortest(&[0x7f, 0xff]), [0x7f, 0xff]);
        assert_eq!(shortest(&[0]), [0]);
    }

    #[test]
    fn integers_that_fit_are_no_big_ints() {
        assert_eq!(token(&[0xff; 20]), Token::Int(-1));
        assert_eq!(token(&[0, 0, 0, 0, 0, 0, 0, 0x80]), Token::Int(i64::MIN));
        assert_eq!(token(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]), Token::Unsigned(1 << 63));
        assert_eq!(token(&[0, 0, 0, 0, 0, 0, 0, 0, 1]), Token::BigInt(&[0, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(token(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff]).children(), 0);
    }
}
