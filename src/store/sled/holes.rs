//! Finds holes in sled's log: places that cannot be read, followed by changes that can.
//!
//! Where sled cannot read on in one of its segments, it continues with the next one and reports
//! nothing: of a page written in between, it uses an older state. That is right for a segment that
//! was being reused; with a damaged one, it results in a database that mixes older values with
//! newer ones.
//!
//! What tells the two apart: there is a single writer, and it syncs each batch before it starts the
//! next. So once two later batches have started, everything before the first of them was on the
//! disk, and no power cut can have taken it.
//!
//! ```text
//! segment   0..4    checksum of the 16 bytes that follow, inverted
//! 512 KiB   4..12   its position, little-endian, xor 2^63-1
//!           12..20  how far the log was stable, in the same encoding
//!           20..    messages, until a cap or until less than 32 bytes are left
//! message   0..4    checksum of its body and of the rest of its header, inverted
//!           4       kind: 2 a cap, 3 the start of a batch
//!           ..      length of the body | segment number | page: 1 to 9 bytes each
//!           ..      body
//! ```
//!
//! Positions count from the first byte that was ever written. A reused segment keeps its old header
//! until the new one is on the disk; until then it contains messages of a segment after the last
//! one, and is not a hole.
//!
//! Owns: the format of sled 0.34's log, as far as this takes. Only reads.
//! Must never: report what a power cut may have left as a hole.
//! Called by: `disk` and `open_sled`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::store::sled::snapshots::last_snapshot;

const SEGMENT: u64 = 512 << 10;
const SEGMENT_LENGTH: usize = 512 << 10;
const HEADER: usize = 20;
/// No message starts where less than this is left.
const SHORTEST: usize = 32;
const CAP: u8 = 2;
const BATCH: u8 = 3;
const LAST_KIND: u8 = 11;
/// A batch spans at most this many segments.
const AHEAD: u64 = 1024;

/// Returns the byte of the log file where there is a hole, if any. sled does not read what is older
/// than its snapshot, so that part is not checked.
pub(in crate::store) fn find_hole(dir: &Path) -> io::Result<Option<u64>> {
    match last_snapshot(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        position => search_segments(dir, position? / SEGMENT, 0),
    }
}

/// Returns the first hole in the whole log, for an opening without a snapshot, which reads all of
/// it. `position` is that of the missing snapshot.
pub(in crate::store) fn find_hole_before(dir: &Path, position: u64) -> io::Result<Option<u64>> {
    search_segments(dir, 0, position / SEGMENT)
}

/// Checks the segments from number `first` on. Those before `settled` may have been reused at any
/// time since.
fn search_segments(dir: &Path, first: u64, settled: u64) -> io::Result<Option<u64>> {
    let mut log = match File::open(dir.join("db")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        log => log?,
    };
    let slots = log.metadata()?.len().div_ceil(SEGMENT);
    let mut numbers = BTreeMap::new();
    let mut headless = Vec::new();
    for slot in 0..slots {
        match number(&read(&mut log, slot, HEADER as u64)?) {
            Some(number) if number >= first => drop(numbers.insert(number, slot)),
            Some(_) => {}
            None => headless.push(slot),
        }
    }
    let Some((&last, _)) = numbers.last_key_value() else { return Ok(None) };
    let mut found = HoleSearch { first, settled, last, batches: Vec::new(), holes: Vec::new() };
    for (&number, &slot) in &numbers {
        found.walk(number, slot, &read(&mut log, slot, SEGMENT)?);
    }
    for slot in headless {
        found.search(slot, &read(&mut log, slot, SEGMENT)?, &numbers);
    }
    Ok(found.hole())
}

fn read(log: &mut File, slot: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    log.seek(SeekFrom::Start(slot * SEGMENT))?;
    log.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct HoleSearch {
    first: u64,
    settled: u64,
    last: u64,
    /// Positions where batches start.
    batches: Vec<u64>,
    /// The position in the log, and the byte in the file, of each place that cannot be read.
    holes: Vec<(u64, u64)>,
}

impl HoleSearch {
    /// Reads a segment as sled does, and searches what follows a hole.
    fn walk(&mut self, number: u64, slot: u64, segment: &[u8]) {
        let position = |at: usize| number * SEGMENT + at as u64;
        let mut at = HEADER;
        while at + SHORTEST <= SEGMENT_LENGTH {
            let rest = segment.get(at..).unwrap_or_default();
            let message = LogMessage::read(rest).filter(|one| one.segment == number);
            let Some(message) = message else {
                let mut is_used_again = false;
                let later = if number < self.settled { number } else { self.last };
                let most = self.last.saturating_add(AHEAD);
                let wanted = |one| one == number || (one > later && one <= most);
                for (behind, message) in messages(rest, wanted) {
                    is_used_again |= message.segment > later;
                    if message.segment == number && message.kind == BATCH {
                        self.batches.push(position(at + behind));
                    }
                }
                if !is_used_again {
                    self.holes.push((position(at), slot * SEGMENT + at as u64));
                }
                return;
            };
            match message.kind {
                CAP => return,
                BATCH => self.batches.push(position(at)),
                _ => {}
            }
            at += message.length;
        }
    }

    /// Searches a segment without a header for messages of missing segments. One pass checks for
    /// all missing numbers: a log that has been in use for long lacks many.
    fn search(&mut self, slot: u64, segment: &[u8], numbers: &BTreeMap<u64, u64>) {
        let missing =
            |number| (self.first..self.last).contains(&number) && !numbers.contains_key(&number);
        if let Some((_, message)) = messages(segment, missing).next() {
            self.holes.push((message.segment * SEGMENT, slot * SEGMENT));
        }
    }

    fn hole(mut self) -> Option<u64> {
        self.batches.sort_unstable();
        let (_, rest) = self.batches.split_last()?;
        let synced = rest.last()?;
        self.holes.sort_unstable();
        self.holes.iter().find(|(position, _)| position < synced).map(|(_, byte)| *byte)
    }
}

/// Returns the number of a segment, from its header.
fn number(header: &[u8]) -> Option<u64> {
    let (sum, rest) = header.first_chunk::<HEADER>()?.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != !u32::from_le_bytes(*sum) {
        return None;
    }
    let place = u64::from_le_bytes(*rest.first_chunk::<8>()?) ^ (u64::MAX >> 1);
    (place % SEGMENT == 0).then_some(place / SEGMENT)
}

/// Iterates over the complete messages of wanted segments, wherever they start.
fn messages(
    bytes: &[u8],
    wanted: impl Fn(u64) -> bool,
) -> impl Iterator<Item = (usize, LogMessage)> {
    (0..bytes.len()).filter_map(move |at| {
        let message = LogMessage::read_header(&bytes[at..]).filter(|(one, _)| wanted(one.segment));
        let (message, header) = message?;
        message.is_valid(&bytes[at..], header).then_some((at, message))
    })
}

struct LogMessage {
    kind: u8,
    segment: u64,
    /// Header and body, in bytes.
    length: usize,
}

impl LogMessage {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (message, header) = Self::read_header(bytes)?;
        message.is_valid(bytes, header).then_some(message)
    }

    /// Decodes the header of a message and returns its length.
    fn read_header(bytes: &[u8]) -> Option<(Self, usize)> {
        let kind = *bytes.get(4)?;
        if !(1..=LAST_KIND).contains(&kind) {
            return None;
        }
        let mut rest = &bytes[5..];
        let body = usize::try_from(varint(&mut rest)?).ok()?;
        let segment = varint(&mut rest)?;
        varint(&mut rest)?;
        let header = bytes.len() - rest.len();
        (body <= rest.len()).then(|| (Self { kind, segment, length: header + body }, header))
    }

    fn is_valid(&self, bytes: &[u8], header: usize) -> bool {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes[header..self.length]);
        sum.update(&bytes[4..header]);
        sum.finalize().to_le_bytes().map(|byte| !byte) == bytes[..4]
    }
}

/// Decodes a number in sled's encoding: up to 240 in one byte, larger ones in up to nine.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let (number, length) = match first {
        0..=240 => (u64::from(first), 0),
        241..=248 => (240 + 256 * (u64::from(first) - 241) + u64::from(*rest.first()?), 1),
        249 => (2288 + 256 * u64::from(*rest.first()?) + u64::from(*rest.get(1)?), 2),
        _ => {
            let length = usize::from(first) - 247;
            let mut number = [0; 8];
            number[..length].copy_from_slice(rest.get(..length)?);
            (u64::from_le_bytes(number), length)
        }
    };
    *bytes = &rest[length..];
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_sled_writes_them() {
        for (bytes, number) in [
            (&[0][..], 0),
            (&[240], 240),
            (&[241, 1], 241),
            (&[248, 255], 2287),
            (&[249, 0, 0], 2288),
            (&[249, 255, 255], 67823),
            (&[250, 0, 0, 1], 65536),
            (&[255, 1, 0, 0, 0, 0, 0, 0, 128], (1 << 63) + 1),
        ] {
            let mut rest = bytes;
            assert_eq!((varint(&mut rest), rest.len()), (Some(number), 0), "{bytes:?}");
            assert_eq!(varint(&mut &bytes[..bytes.len() - 1]), None, "{bytes:?}");
        }
    }

    /// A segment's header, as sled writes it.
    fn header(number: u64) -> Vec<u8> {
        let place = ((number * SEGMENT) ^ (u64::MAX >> 1)).to_le_bytes();
        let rest = [place, place].concat();
        [&(!crc32fast::hash(&rest)).to_le_bytes()[..], &rest].concat()
    }

    /// A valid message of a segment below 241.
    fn message(kind: u8, segment: u8) -> Vec<u8> {
        let (header, body) = ([kind, 40, segment, 0], [7; 40]);
        let mut sum = crc32fast::Hasher::new();
        sum.update(&body);
        sum.update(&header);
        [&(!sum.finalize()).to_le_bytes()[..], &header, &body].concat()
    }

    fn log(segments: &[(Vec<u8>, Vec<Vec<u8>>)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for (header, messages) in segments {
            let mut segment = [header.clone(), messages.concat()].concat();
            segment.resize(SEGMENT_LENGTH, 0);
            bytes.extend(segment);
        }
        std::fs::write(dir.path().join("db"), bytes).unwrap();
        dir
    }

    fn batches(segment: u8) -> Vec<Vec<u8>> {
        let mut batches = vec![message(BATCH, segment), message(BATCH, segment)];
        batches.push(message(CAP, segment));
        batches
    }

    /// Searching each slot without a header once per missing number took hours after some weeks of
    /// use.
    #[test]
    fn a_log_that_is_long_in_use_is_looked_through_once() {
        let zeros = || (vec![0; HEADER], Vec::new());
        let segments =
            [(header(0), batches(0)), zeros(), zeros(), zeros(), (header(50_000_000), Vec::new())];
        // What is in the last segment may not have been synced. Fifty million passes would take
        // days.
        assert_eq!(find_hole(log(&segments).path()).unwrap(), None);
    }

    #[test]
    fn messages_of_a_missing_segment_are_a_hole_and_those_of_the_next_one_are_none() {
        let lost = (vec![0; HEADER], batches(3));
        let dir = log(&[(header(1), batches(1)), lost.clone(), (header(9), batches(9))]);
        assert_eq!(find_hole(dir.path()).unwrap(), Some(SEGMENT));
        // Messages of an existing segment, or of the one started after the last: a power cut has
        // kept the messages but not yet the header.
        for begun in [1, 9, 10, 200] {
            let reused = (vec![0; HEADER], batches(begun));
            let dir = log(&[(header(1), batches(1)), reused, (header(9), batches(9))]);
            assert_eq!(find_hole(dir.path()).unwrap(), None, "{begun}");
        }
    }

    #[test]
    fn what_is_no_log_has_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find_hole(dir.path()).unwrap(), None);
        for bytes in [&[][..], &[0xff; 100], &[250; 3 << 19], &[3; 700_000]] {
            std::fs::write(dir.path().join("db"), bytes).unwrap();
            assert_eq!(find_hole(dir.path()).unwrap(), None);
        }
    }
}
