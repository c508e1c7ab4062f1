//! The seal under the root key.
//!
//! ```text
//! header    magic "coffer backup v1\n" 17 | sealing u8 = 1 | root key fingerprint 8 | salt 32
//! FILE      header 58 | chunk(0) | chunk(1) | … | chunk(n)
//! chunk(i)  AES-256-GCM(file key, nonce(i), aad = header, 65536 bytes; chunk(n): 1 to 65536) | tag 16
//! nonce(i)  zero 3 | i u64 BE | last u8      last = 1 in chunk(n), else 0
//! file key  HKDF(backup key, salt, "file key")
//! ```
//!
//! This is the STREAM construction: the counter detects chunks that were moved, removed or
//! repeated, and the last flag detects a truncated or extended file. The salt is random for each
//! file, so a file key seals one file, and no nonce is used twice under it.

use std::io::{self, Read, Write};

use ring::aead::{Aad, LessSafeKey, Nonce};
use zeroize::Zeroizing;

use crate::vault::backup::error::BackupError;
use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;

pub(super) const MAGIC: &[u8; 17] = b"coffer backup v1\n";
const HEADER_BYTES: usize = 58;
const UNDER_ROOT_KEY: u8 = 1;
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;

fn nonce(counter: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

/// A writer that seals what is written to it.
pub(super) struct SealWriter<W> {
    out: W,
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    chunk: Zeroizing<Vec<u8>>,
    counter: u64,
}

impl<W: Write> SealWriter<W> {
    /// Starts a file by writing its header.
    pub fn begin(mut out: W, key: &BackupKey, random: Random) -> Result<Self, BackupError> {
        let salt: [u8; 32] = random.bytes().map_err(|_| Error::NoRandomness)?;
        let mut header = [0; HEADER_BYTES];
        header[..17].copy_from_slice(MAGIC);
        header[17] = UNDER_ROOT_KEY;
        header[18..26].copy_from_slice(&key.root().0);
        header[26..].copy_from_slice(&salt);
        out.write_all(&header)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
        Ok(Self { out, key: key.file_key(&salt), header, chunk, counter: 0 })
    }

    /// Returns the underlying writer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the file by sealing its last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let tag = self
            .key
            .seal_in_place_separate_tag(
                nonce(self.counter, last),
                Aad::from(self.header),
                self.chunk.as_mut_slice(),
            )
            .map_err(|_| io::Error::other("a chunk is too long to seal"))?;
        self.counter += 1;
        self.chunk.extend_from_slice(tag.as_ref());
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is sealed only once more data follows, because it may be the last one.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.seal(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The header of a sealed file.
pub(super) struct Header {
    bytes: [u8; HEADER_BYTES],
    pub root: Fingerprint,
    salt: [u8; 32],
}

impl Header {
    pub fn read(input: &mut impl Read) -> Result<Self, BackupError> {
        let mut bytes = [0; HEADER_BYTES];
        let got = read_full(input, &mut bytes)?;
        let known = got.min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            let ours = bytes.starts_with(&MAGIC[..15]);
            return Err(if ours { BackupError::OtherForm } else { BackupError::NotABackup });
        }
        if got < HEADER_BYTES {
            return Err(if got < MAGIC.len() {
                BackupError::NotABackup
            } else {
                BackupError::CutOff
            });
        }
        if bytes[17] != UNDER_ROOT_KEY {
            return Err(BackupError::OtherForm);
        }
        let (mut root, mut salt) = ([0; 8], [0; 32]);
        root.copy_from_slice(&bytes[18..26]);
        salt.copy_from_slice(&bytes[26..]);
        Ok(Self { bytes, root: Fingerprint(root), salt })
    }
}

fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// A reader that opens what [`SealWriter`] sealed.
pub(super) struct SealReader<R> {
    input: R,
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    counter: u64,
    /// The first byte of the next chunk: there is a next chunk only if it is set.
    ahead: Option<u8>,
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
    ended: bool,
}

impl<R: Read> SealReader<R> {
    pub fn begin(mut input: R, key: &BackupKey) -> Result<Self, BackupError> {
        let header = Header::read(&mut input)?;
        if header.root != key.root() {
            return Err(BackupError::OtherRootKey { wanted: header.root, given: key.root() });
        }
        let mut first = [0];
        if read_full(&mut input, &mut first)? == 0 {
            return Err(BackupError::CutOff);
        }
        Ok(Self {
            input,
            key: key.file_key(&header.salt),
            header: header.bytes,
            counter: 0,
            ahead: Some(first[0]),
            chunk: Zeroizing::default(),
            given: 0,
            ended: false,
        })
    }

    /// Opens the next chunk. Returns `false` if there is none.
    fn next(&mut self) -> Result<bool, BackupError> {
        let Some(first) = self.ahead.take() else { return Ok(false) };
        let mut sealed = vec![0; CHUNK_BYTES + TAG_BYTES + 1];
        sealed[0] = first;
        let got = 1 + read_full(&mut self.input, &mut sealed[1..])?;
        let last = got < sealed.len();
        if !last {
            self.ahead = sealed.pop();
        }
        sealed.truncate(got);
        let opened = self.open(sealed.clone(), last);
        self.chunk = match opened {
            Some(chunk) if !chunk.is_empty() => chunk,
            // A complete chunk from the middle of the file, with nothing after it.
            _ if last && self.open(sealed, false).is_some() => return Err(BackupError::CutOff),
            _ if last => {
                return Err(BackupError::Damaged {
                    what: "its last chunk does not open: it was truncated or changed",
                });
            }
            _ => return Err(BackupError::Damaged { what: "a chunk does not open" }),
        };
        (self.counter, self.given, self.ended) = (self.counter + 1, 0, last);
        Ok(true)
    }

    fn open(&self, sealed: Vec<u8>, last: bool) -> Option<Zeroizing<Vec<u8>>> {
        let mut chunk = Zeroizing::new(sealed);
        let nonce = nonce(self.counter, last);
        let length = self.key.open_in_place(nonce, Aad::from(self.header), &mut chunk).ok()?.len();
        chunk.truncate(length);
        Some(chunk)
    }
}

impl<R: Read> Read for SealReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.chunk.len()
            && (self.ended || !self.next().map_err(BackupError::into_io)?)
        {
            return Ok(0);
        }
        let count = buffer.len().min(self.chunk.len() - self.given);
        buffer[..count].copy_from_slice(&self.chunk[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;

    use super::*;
    use crate::vault::crypto::root_key::RootKey;

    fn key(byte: u8) -> BackupKey {
        let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        RootKey::parse(&text).unwrap().backup_key()
    }

    fn seal(key: &BackupKey, content: &[u8], piece: usize) -> Vec<u8> {
        let mut writer = SealWriter::begin(Vec::new(), key, Random).unwrap();
        content.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap()
    }

    fn open(key: &BackupKey, file: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut content = Vec::new();
        SealReader::begin(file, key)?.read_to_end(&mut content)?;
        Ok(content)
    }

    const LENGTHS: [usize; 8] =
        [1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 140_000, 200_001];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A sealed file opens; truncated, changed or extended anywhere, it does not.
        #[test]
        fn a_file_opens_complete_and_unchanged_or_not_at_all(
            length in prop::sample::select(&LENGTHS[..]), fill in any::<u8>(),
            piece in 1usize..100_000, at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let content: Vec<u8> = (0..length).map(|n| fill.wrapping_add((n % 251) as u8)).collect();
            let file = seal(&key(7), &content, piece);
            prop_assert_eq!(&open(&key(7), &file).unwrap(), &content);
            let at = at.index(file.len());
            prop_assert!(open(&key(7), &file[..at]).is_err());
            let mut changed = file.clone();
            changed[at] ^= flip;
            prop_assert!(open(&key(7), &changed).is_err());
            prop_assert!(open(&key(7), &[&file[..], &[flip]].concat()).is_err());
            let other = matches!(open(&key(8), &file), Err(BackupError::OtherRootKey { .. }));
            prop_assert!(other);
        }
    }

    #[test]
    fn chunks_cannot_be_moved_removed_repeated_or_taken_from_another_file() {
        let content = vec![5; 4 * CHUNK_BYTES];
        let (file, other) = (seal(&key(7), &content, 1000), seal(&key(7), &content, 1000));
        let sealed = CHUNK_BYTES + TAG_BYTES;
        let header = &file[..HEADER_BYTES];
        let chunk = |file: &[u8], n: usize| {
            file[HEADER_BYTES + n * sealed..HEADER_BYTES + (n + 1) * sealed].to_vec()
        };
        let build = |chunks: &[Vec<u8>]| [header, &chunks.concat()].concat();
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| chunk(&file, n));
        assert!(open(&key(7), &build(&[a.clone(), b.clone(), c.clone(), d.clone()])).is_ok());
        for wrong in [
            vec![b.clone(), a.clone(), c.clone(), d.clone()],
            vec![a.clone(), c.clone(), d.clone()],
            vec![a.clone(), a.clone(), b.clone(), c.clone(), d.clone()],
            vec![a.clone(), chunk(&other, 1), c.clone(), d.clone()],
            vec![d.clone()],
            vec![],
        ] {
            assert!(open(&key(7), &build(&wrong)).is_err());
        }
        // A file that ends between two chunks is reported as incomplete.
        assert!(matches!(open(&key(7), &build(&[a, b])), Err(BackupError::CutOff)));
    }

    #[test]
    fn other_files_are_not_taken_for_backups() {
        for other in [&b""[..], b"coffer", b"hello, world, this is a text file of some length!"] {
            assert!(matches!(open(&key(7), other), Err(BackupError::NotABackup)));
        }
        let mut file = seal(&key(7), b"x", 1);
        file[15] = b'2';
        assert!(matches!(open(&key(7), &file), Err(BackupError::OtherForm)));
        file[15] = b'1';
        file[17] = 9;
        assert!(matches!(open(&key(7), &file), Err(BackupError::OtherForm)));
    }
}
