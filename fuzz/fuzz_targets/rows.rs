//! Rows and keys of every table: arbitrary bytes are decoded or refused, and everything decoded or
//! created round-trips.
#![no_main]

use coffer::domain::{EnvironmentId, KeyName, SecretId, Timestamp};
use coffer::store::fuzzing::{TABLES, stored, written};
use coffer::store::{self, Bytes, KeyId, KeyRow, IdempotencyRow, SecretPlace, VersionRow, WrappedKey};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Stored { table: u8, key: &'a [u8], row: &'a [u8] },
    Made(Made<'a>),
}

#[derive(Debug, arbitrary::Arbitrary)]
struct Made<'a> {
    number: u32,
    time: i64,
    id: [u8; 16],
    bytes: [u8; 32],
    few: [u8; 12],
    chunks: u16,
    text: &'a str,
    many: &'a [u8],
}

fn made(made: &Made<'_>) {
    let at = Timestamp::from_millis(made.time);
    let tag = made.id;
    let key = KeyId(made.number);
    let data_key = WrappedKey { key, nonce: made.few, sealed: made.bytes, tag };
    written::<store::Keys>(&KeyRow {
        salt: made.bytes,
        root_fingerprint: *made.few.first_chunk().expect("eight of twelve bytes"),
        created_at: at,
    });
    written::<store::Versions>(&VersionRow {
        data_key,
        chunks: made.chunks,
        created_at: at,
        created_by: made.text.to_owned(),
    });
    written::<store::ValueChunks>(&Bytes(made.many.to_vec()));
    written::<store::IdempotencyRecords>(&IdempotencyRow {
        fingerprint: made.bytes,
        environment: Some(EnvironmentId::from_bytes(made.id)),
        chunks: made.chunks,
        at,
    });
    if let Ok(key) = KeyName::parse(made.text) {
        let environment = EnvironmentId::from_bytes(made.id);
        written::<store::SecretPlaces>(&SecretPlace { environment, key });
    }
    written::<store::TokenHashes>(
        &format!("tok_{}", &SecretId::from_bytes(made.id).to_string()[4..])
            .parse()
            .expect("an ID with another prefix parses"),
    );
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Stored { table, key, row } => {
            stored(TABLES[usize::from(table) % TABLES.len()], key, row);
        }
        Input::Made(row) => made(&row),
    }
});
