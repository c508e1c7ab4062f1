//! Bytes as hex digits: how fingerprints, digests and MACs are shown.
//!
//! Owns: the one spelling used in names, messages and exports.
//! Must never: be given a secret, because the text is an ordinary string that is not zeroized.
//! Called by: everything that shows or reads a key id, a digest or a MAC.

use std::fmt::Write;

/// Encodes bytes, two digits each.
pub fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// Decodes exactly `2 * N` digits, in either case; `None` for any other text.
pub fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_decoding_are_inverse() {
        assert_eq!(encode_hex(&[0x00, 0x0f, 0xa5]), "000fa5");
        assert_eq!(decode_hex("000fa5"), Some([0x00, 0x0f, 0xa5]));
        assert_eq!(decode_hex("000FA5"), Some([0x00, 0x0f, 0xa5]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0", "000fa", "000fa55", "000fag", "+00fa5", "00 fa5", "000fé"] {
            assert_eq!(decode_hex::<3>(text), None, "{text}");
        }
    }
}
