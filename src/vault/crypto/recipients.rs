//! Sealing to age recipients: ordinary age files (age-encryption.org/v1), which the public `age`
//! program also opens. Backups and bundles use it.
//!
//! Recipients are X25519 (`age1…`) and `ssh-ed25519` keys. RSA is not supported: the crate behind
//! it has a timing leak (RUSTSEC-2023-0071), and nobody needs it here. Passphrases are not
//! supported either: a key has more entropy than any of them.
//!
//! Must never: take a recipient from a request. Anyone who chooses a recipient can read what is
//! sealed to it.

use std::fmt;
use std::io::{self, BufRead, Write};

use age::secrecy::ExposeSecret;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, IdentityFile, ssh, x25519};
use zeroize::Zeroizing;

/// Why a text is not a recipient, or a file contains no identity. Never repeats the text, which
/// may be a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecipient(&'static str);

/// A public key that something is sealed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient(String);

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Recipient {
    /// Parses `age1…` or `ssh-ed25519 …`.
    pub fn parse(text: &str) -> Result<Self, BadRecipient> {
        let text = text.trim();
        Self::key(text).map(|_| Self(text.to_owned()))
    }

    fn key(text: &str) -> Result<Box<dyn age::Recipient + Send>, BadRecipient> {
        const RULE: BadRecipient =
            BadRecipient("a recipient must be an age key (age1…) or an SSH key (ssh-ed25519 …)");
        if text.starts_with("AGE-SECRET-KEY-") {
            return Err(BadRecipient(
                "this is a secret identity, not a recipient. Print its recipient with age-keygen -y",
            ));
        }
        if text.starts_with("ssh-") {
            return match text.parse::<ssh::Recipient>() {
                Ok(key @ ssh::Recipient::SshEd25519(..)) => Ok(Box::new(key)),
                _ => Err(RULE),
            };
        }
        let key: x25519::Recipient = text.parse().map_err(|_| RULE)?;
        Ok(Box::new(key))
    }
}

/// Returns a writer that seals what is written to it, for each of the recipients.
pub(in crate::vault) fn seal<W: Write>(
    out: W,
    recipients: &[Recipient],
) -> io::Result<StreamWriter<W>> {
    let keys: Vec<_> = recipients
        .iter()
        .map(|recipient| Recipient::key(&recipient.0).expect("`parse` has accepted this text"))
        .collect();
    let encryptor = Encryptor::with_recipients(keys.iter().map(|key| &**key as _))
        .map_err(|error| io::Error::other(error.to_string()))?;
    encryptor.wrap_output(out)
}

/// The private keys that open what is sealed to their recipients.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// Parses an age identity file, or an SSH private key that has no passphrase.
    pub fn parse(text: &str) -> Result<Self, BadRecipient> {
        if text.trim_start().starts_with("-----BEGIN") {
            return match ssh::Identity::from_buffer(text.as_bytes(), None) {
                // Only the public half tells the kind of the key.
                Ok(key @ ssh::Identity::Unencrypted(_))
                    if matches!(key.clone().try_into(), Ok(ssh::Recipient::SshEd25519(..))) =>
                {
                    Ok(Self(vec![Box::new(key)]))
                }
                Ok(ssh::Identity::Encrypted(_)) => Err(BadRecipient(
                    "the SSH key is protected by a passphrase. Remove the passphrase, or open the file with the age program",
                )),
                _ => Err(BadRecipient("the file contains no ssh-ed25519 private key")),
            };
        }
        const RULE: BadRecipient = BadRecipient(
            "the file contains no identity (a line that starts with AGE-SECRET-KEY-1)",
        );
        let file = IdentityFile::from_buffer(text.as_bytes()).map_err(|_| RULE)?;
        let identities = file.into_identities().map_err(|_| RULE)?;
        if identities.is_empty() { Err(RULE) } else { Ok(Self(identities)) }
    }
}

/// Why an age file did not open.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// The file is sealed to other recipients.
    #[error("no identity matches its recipients")]
    NoIdentityMatches,
    /// The file is not an age file, or of another version.
    #[error("not an age file, or of an unsupported version")]
    UnknownFormat,
    /// The header was changed.
    #[error("its age header is damaged")]
    Damaged,
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Generates an age identity. Returns the text of its file, and its recipient.
pub fn generate_identity() -> (Zeroizing<String>, Recipient) {
    let identity = x25519::Identity::generate();
    let recipient = Recipient(identity.to_public().to_string());
    (Zeroizing::new(identity.to_string().expose_secret().to_owned()), recipient)
}

/// The first bytes of every age file.
pub(in crate::vault) const MAGIC: &[u8] = b"age-encryption.org/";

/// Opens what [`seal`], or any other age implementation, sealed.
pub(in crate::vault) fn open<R: BufRead>(
    input: R,
    identities: &Identities,
) -> Result<StreamReader<R>, AgeError> {
    let wrong = |error| match error {
        DecryptError::Io(cause) => cause.into(),
        DecryptError::NoMatchingKeys
        | DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed => AgeError::NoIdentityMatches,
        DecryptError::UnknownFormat => AgeError::UnknownFormat,
        _ => AgeError::Damaged,
    };
    let decryptor = Decryptor::new_buffered(input).map_err(wrong)?;
    decryptor.decrypt(identities.0.iter().map(|identity| &**identity as _)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_accepted_or_refused() {
        for good in [
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
            " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me\n",
        ] {
            assert!(Recipient::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "age1", "age1xyz", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "me@example.org"] {
            assert!(Recipient::parse(bad).is_err(), "{bad}");
        }
        let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let error = Recipient::parse(secret).unwrap_err().to_string();
        assert!(error.contains("age-keygen -y") && !error.contains("GFPYY"), "{error}");
        assert!(Identities::parse(secret).is_ok());
        assert!(Identities::parse("").is_err());
    }
}
