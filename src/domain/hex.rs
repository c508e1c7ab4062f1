//! Bytes as lowercase hex digits.
//!
//! Owns: the one spelling used in names, messages and exports.
//! Must never: be given a secret: the text is an ordinary string that is not zeroized.
//! Called by: everything that shows a key id, a digest or a MAC.

use std::fmt::Write;

/// Returns two lowercase hex digits per byte.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(to_hex(&[0, 15, 16, 255]), "000f10ff");
        assert_eq!(to_hex(&[]), "");
    }
}
