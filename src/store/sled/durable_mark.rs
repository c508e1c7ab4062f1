//! How far changes have been acknowledged, recorded next to the database.
//!
//! sled reads its log up to the first place that is inconsistent and takes that for the end,
//! because that is how a power cut leaves the last write. If it is damage instead, everything after
//! it is gone, and an older state opens as if nothing had happened. So after each sync, and before
//! anyone is answered, the number of the newest audit row is recorded here; a database that ends
//! earlier has lost acknowledged changes.
//!
//! The file is not synced. After a power cut it may be behind, and then less damage is noticed. It
//! cannot be ahead, because what it records was synced before it was written.
//!
//! ```text
//! 0..8   number of the newest acknowledged audit row, big-endian
//! 8..16  the same with every bit inverted, which exposes a partial write
//! ```
//!
//! Owns: `<data dir>/acknowledged`.
//! Must never: record more than what was on the disk at the time.
//! Called by: `disk`.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The file's name in the data directory.
pub(in crate::store) const ACKNOWLEDGED: &str = "acknowledged";

/// The open file.
#[derive(Debug)]
pub(in crate::store) struct Acknowledged {
    file: File,
}

impl Acknowledged {
    /// Opens the file in a data directory, creating it if it is missing.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(data_dir.join(ACKNOWLEDGED)).map(|file| Self { file })
    }

    /// Returns the recorded number; 0 if there is no valid one.
    pub fn newest(&self) -> io::Result<u64> {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        file.rewind()?;
        file.take(17).read_to_end(&mut bytes)?;
        Ok(decode(&bytes).unwrap_or(0))
    }

    /// Records the newest row that is on the disk and is about to be acknowledged.
    pub fn note(&self, seq: u64) -> io::Result<()> {
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(&encode(seq))
    }
}

fn encode(seq: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seq.to_be_bytes());
    bytes[8..].copy_from_slice(&(!seq).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (seq, inverted) = bytes.split_at_checked(8)?;
    let seq = u64::from_be_bytes(seq.try_into().ok()?);
    (u64::from_be_bytes(inverted.try_into().ok()?) == !seq).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = Acknowledged::open(dir.path()).unwrap();
        assert_eq!(file.newest().unwrap(), 0);
        for seq in [7, u64::MAX, 0, 300] {
            file.note(seq).unwrap();
            assert_eq!(file.newest().unwrap(), seq);
            assert_eq!(Acknowledged::open(dir.path()).unwrap().newest().unwrap(), seq);
        }
    }

    #[test]
    fn a_damaged_file_says_nothing() {
        let whole = encode(300);
        assert_eq!(decode(&whole), Some(300));
        for cut in 0..16 {
            assert_eq!(decode(&whole[..cut]), None);
        }
        for bit in 0..128 {
            let mut changed = whole;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&changed), None);
        }
        assert_eq!(decode(&[0; 16]), None);
        assert_eq!(decode(&[&whole[..], b"x"].concat()), None);
    }
}
