//! New values of secrets: given by the caller, or generated here.
//!
//! Must never: return a generated value.

use zeroize::Zeroizing;

use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::plaintext::Plaintext;

/// The characters that a generated value consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `A-Z a-z 0-9`
    Alphanumeric,
    /// `0-9 a-f`
    Hex,
    /// `A-Z a-z 0-9 - _` (RFC 4648, section 5)
    Base64Url,
    /// The 94 printable characters of ASCII, without the space.
    Ascii,
}

impl Alphabet {
    /// All alphabets.
    pub const ALL: [Alphabet; 4] = [Self::Alphanumeric, Self::Hex, Self::Base64Url, Self::Ascii];

    /// Returns the word for the alphabet on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alphanumeric => "alphanumeric",
            Self::Hex => "hex",
            Self::Base64Url => "base64url",
            Self::Ascii => "ascii",
        }
    }

    /// Parses the word that [`Alphabet::as_str`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    fn characters(self) -> Vec<u8> {
        let word = |b: &u8| b.is_ascii_alphanumeric();
        let printing = b'!'..=b'~';
        match self {
            Self::Alphanumeric => printing.filter(word).collect(),
            Self::Hex => b"0123456789abcdef".to_vec(),
            Self::Base64Url => printing.filter(|b| word(b) || matches!(b, b'-' | b'_')).collect(),
            Self::Ascii => printing.collect(),
        }
    }
}

/// A value to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generate {
    /// The length, in characters of one byte each.
    pub length: u16,
    /// The characters to choose from.
    pub alphabet: Alphabet,
}

impl Generate {
    /// The longest value that can be generated, in characters.
    pub const MAX_LENGTH: u16 = 4096;
}

/// A value to seal.
#[allow(missing_debug_implementations)]
pub enum NewValue {
    /// The caller gave the value.
    Given(Plaintext),
    /// The value is generated here, and leaves only sealed.
    Generated(Generate),
}

impl NewValue {
    pub(in crate::vault) fn is_generated(&self) -> bool {
        matches!(self, Self::Generated(_))
    }

    /// Returns the plaintext, or `ValueSize` if it is empty or longer than `limit` bytes.
    pub(in crate::vault) fn into_plaintext(
        self,
        random: Random,
        limit: usize,
    ) -> Result<Plaintext, Error> {
        let plaintext = match self {
            Self::Given(plaintext) => plaintext,
            Self::Generated(Generate { length, alphabet }) => {
                let text: Zeroizing<Vec<u8>> =
                    random.text(&alphabet.characters(), length.into())?;
                Plaintext::new(text)
            }
        };
        if plaintext.fits(limit) { Ok(plaintext) } else { Err(Error::ValueSize { limit }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_values_use_their_whole_alphabet_and_nothing_else() {
        for alphabet in Alphabet::ALL {
            assert_eq!(Alphabet::from_word(alphabet.as_str()), Some(alphabet));
            let expected = alphabet.characters();
            let made = NewValue::Generated(Generate { length: 4096, alphabet })
                .into_plaintext(Random, 4096)
                .unwrap_or_else(|_| panic!("4096 characters fit"))
                .expose();
            let mut seen = made.to_vec();
            seen.sort_unstable();
            seen.dedup();
            let mut sorted = expected.clone();
            sorted.sort_unstable();
            // 4096 draws from 94 characters miss one with odds of 1 in 10^17.
            assert_eq!(seen, sorted);
        }
    }
}
