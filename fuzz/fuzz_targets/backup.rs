//! Backups, as anybody could make them: a header, what is inside a seal, and
//! the same with its checksum mended, so that what lies behind it is read, too.
#![no_main]

use coffer::vault::backup::{Identities, Recipient, read_backup};
use libfuzzer_sys::{arbitrary, fuzz_target};
use ring::digest::{SHA256, digest};

const ROWS: &[u8] = b"coffer rows v1\n";
/// Checksum and MAC at the end of the rows.
const CHECKS: usize = 64;

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Anything(&'a [u8]),
    Rows(&'a [u8]),
    Summed(&'a [u8]),
    Key(&'a str),
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Anything(bytes) => drop(read_backup(bytes)),
        Input::Rows(bytes) => drop(read_backup(&[ROWS, bytes].concat())),
        Input::Summed(bytes) => {
            let mut rows = [ROWS, bytes].concat();
            let sum = digest(&SHA256, &rows);
            rows.extend_from_slice(sum.as_ref());
            rows.extend_from_slice(&[0; CHECKS - 32]);
            drop(read_backup(&rows));
        }
        Input::Key(text) => {
            drop(Recipient::parse(text));
            drop(Identities::parse(text));
        }
    }
});
