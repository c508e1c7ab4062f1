//! An attacker can write the database file but has no key. Whatever they move, edit or truncate, a
//! value is returned as it was stored or not at all, a never-reveal value is never returned, and
//! one damaged row does not affect the others.

use coffer::domain::{RevealMode, Version};
use coffer::store::{Bytes, KeyId, SecretPlace, SecretPlaces, Secrets, ValueChunks, Versions};
use serde_json::json;
use support::expect_log;
use support::tampered_db::{Table, TamperedDb, flip};

const UNREADABLE: &str = "SECRET_UNREADABLE";

#[test]
fn what_was_not_touched_is_revealed_as_it_was_put() {
    let bench = TamperedDb::new();
    bench.edit(|_| {});
    let app = bench.restart();
    for secret in bench.secrets.iter().filter(|secret| !secret.never) {
        assert_eq!(bench.reveal(&app, secret).expect(200)["value"], secret.value.as_str());
    }
    for secret in bench.secrets.iter().filter(|secret| secret.never) {
        bench.reveal(&app, secret).expect_error(403, "SECRET_WRITE_ONLY");
    }
}

#[test]
fn data_keys_that_were_swapped_open_neither_secret() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let (a, b) = (bench.version_key("FIRST", 1), bench.version_key("SECOND", 1));
        let (row_a, row_b) = (table.get::<Versions>(&a), table.get::<Versions>(&b));
        table.put::<Versions>(&a, &row_b);
        table.put::<Versions>(&b, &row_a);
    });
    bench.assert_unreadable_with_fingerprint(&["FIRST", "SECOND"]);
}

#[test]
fn ciphertexts_that_were_swapped_open_neither_secret() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let (a, b) = (bench.chunk_key("FIRST", 1, 0), bench.chunk_key("SECOND", 1, 0));
        let (row_a, row_b) = (table.get::<ValueChunks>(&a), table.get::<ValueChunks>(&b));
        table.put::<ValueChunks>(&a, &row_b);
        table.put::<ValueChunks>(&b, &row_a);
    });
    bench.assert_unreadable_with_fingerprint(&["FIRST", "SECOND"]);
}

#[test]
fn a_never_reveal_value_copied_whole_under_a_revealable_secret_is_not_given() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let key = table.get::<Versions>(&bench.version_key("NEVER", 1));
        table.put::<Versions>(&bench.version_key("FIRST", 1), &key);
        let chunk = table.get::<ValueChunks>(&bench.chunk_key("NEVER", 1, 0));
        table.put::<ValueChunks>(&bench.chunk_key("FIRST", 1, 0), &chunk);
    });
    bench.assert_unreadable_with_fingerprint(&["FIRST"]);
}

#[test]
fn an_old_version_copied_over_the_active_one_is_not_given() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let key = table.get::<Versions>(&bench.version_key("TWICE", 1));
        table.put::<Versions>(&bench.version_key("TWICE", 2), &key);
        let chunk = table.get::<ValueChunks>(&bench.chunk_key("TWICE", 1, 0));
        table.put::<ValueChunks>(&bench.chunk_key("TWICE", 2, 0), &chunk);
    });
    bench.assert_unreadable_with_fingerprint(&["TWICE"]);
}

#[test]
fn a_version_number_turned_back_gives_that_version_and_says_so() {
    // The row claims version 1, whose value is still kept: the server returns it as version 1,
    // never as version 2.
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let mut row = table.get::<Secrets>(&bench.secret_key("TWICE"));
        row.version = Version::FIRST;
        table.put::<Secrets>(&bench.secret_key("TWICE"), &row);
    });
    let app = bench.restart();
    let id = bench.secret("TWICE").id.to_string();
    let shown = app.admin().get(&format!("/api/secrets/{id}")).expect(200);
    assert_eq!(shown["secret"]["version"], 1);
    let value = bench.reveal(&app, bench.secret("TWICE")).expect(200);
    assert_eq!(value["value"], "the old value of TWICE");
}

#[test]
fn a_never_reveal_flag_cleared_in_the_database_reveals_nothing_by_any_route() {
    expect_log(UNREADABLE);
    expect_log("was cleared in the database");
    let bench = TamperedDb::new();
    bench.edit(|table| {
        for key in ["NEVER", "LATCHED"] {
            let mut row = table.get::<Secrets>(&bench.secret_key(key));
            assert_eq!(row.mode, RevealMode::NeverReveal);
            row.mode = RevealMode::Revealable;
            table.put::<Secrets>(&bench.secret_key(key), &row);
        }
    });
    let app = bench.assert_unreadable_with_fingerprint(&["NEVER", "LATCHED"]);
    let admin = app.admin();
    for secret in [bench.secret("NEVER"), bench.secret("LATCHED")] {
        let path = format!("/api/secrets/{}", secret.id);
        // Activating an old version does not expose its value under the cleared flag either.
        let activate = admin.send("POST", &format!("{path}/versions/1/activate"), None);
        activate.expect_error(500, UNREADABLE);
        // The data key still records that it was wrapped for a never-reveal secret: the next write
        // sets the flag again, so that a new value cannot be revealed either.
        let patched = admin.patch(&path, &json!({ "value": "a new one" })).expect(200);
        assert_eq!(patched["secret"]["neverReveal"], true);
        bench.reveal(&app, secret).expect_error(403, "SECRET_WRITE_ONLY");
        let activate = admin.send("POST", &format!("{path}/versions/1/activate"), None);
        activate.expect(200);
        bench.reveal(&app, secret).expect_error(403, "SECRET_WRITE_ONLY");
    }
}

#[test]
fn a_secret_renamed_in_the_database_does_not_open() {
    // A workload must get, under DATABASE_URL, the value that was stored there.
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| bench.move_row(table, "FIRST", bench.environment, "RENAMED"));
    let app = bench.assert_unreadable_with_fingerprint(&["FIRST"]);
    let listed = bench.listed(&app);
    assert!(listed.contains(&"RENAMED".to_owned()), "{listed:?}");
}

#[test]
fn a_secret_moved_to_another_environment_does_not_open_there() {
    // Reveal may be enabled there, and an admin with that scope may be waiting.
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        bench.move_row(table, "FIRST", bench.other, "FIRST");
        bench.move_row(table, "NEVER", bench.other, "NEVER");
    });
    let app = bench.assert_unreadable_with_fingerprint(&["FIRST"]);
    bench.reveal(&app, bench.secret("NEVER")).expect_error(403, "SECRET_WRITE_ONLY");
    let scoped = app.scoped(coffer::domain::Role::Admin, &[&bench.other.to_string()]);
    let path = format!("/api/secrets/{}/value", bench.secret("FIRST").id);
    scoped.get(&path).expect_error(500, UNREADABLE);
}

#[test]
fn a_row_that_took_the_id_of_a_never_reveal_secret_does_not_open_it() {
    // The flag comes from another row; the id and the ciphertext are its own.
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let never = bench.secret("NEVER").id;
        let mut row = table.get::<Secrets>(&bench.secret_key("FIRST"));
        row.id = never;
        table.put::<Secrets>(&bench.secret_key("FIRST"), &row);
        let (environment, key) = bench.secret_key("FIRST");
        table.put::<SecretPlaces>(&never, &SecretPlace { environment, key });
    });
    bench.assert_unreadable(&["NEVER", "FIRST"]);
}

#[test]
fn index_entries_that_lead_to_other_rows_give_no_value() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let place = |key: &str| {
            let (environment, key) = bench.secret_key(key);
            SecretPlace { environment, key }
        };
        // A revealable row for a never-reveal id, and the reverse.
        table.put::<SecretPlaces>(&bench.secret("NEVER").id, &place("FIRST"));
        table.put::<SecretPlaces>(&bench.secret("SECOND").id, &place("NEVER"));
    });
    let app = bench.assert_unreadable(&["NEVER", "SECOND"]);
    // Deleting through a misleading row does not delete another secret's row.
    let path = format!("/api/secrets/{}", bench.secret("NEVER").id);
    app.admin().delete(&path).expect(200);
    app.admin().get(&path).expect_error(404, "NOT_FOUND");
    bench.reveal(&app, bench.secret("FIRST")).expect(200);
}

#[test]
fn an_index_entry_that_leads_nowhere_is_damage_and_not_a_missing_secret() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let (environment, _) = bench.secret_key("FIRST");
        let nowhere = coffer::domain::KeyName::parse("NOWHERE").unwrap();
        let place = SecretPlace { environment, key: nowhere };
        table.put::<SecretPlaces>(&bench.secret("FIRST").id, &place);
    });
    bench.assert_unreadable(&["FIRST"]);
}

#[test]
fn a_piece_of_a_long_value_that_is_gone_swapped_or_short_opens_nothing() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        table.remove::<ValueChunks>(&bench.chunk_key("LONG1", 1, 0));
        table.remove::<ValueChunks>(&bench.chunk_key("LONG2", 1, 1));
        table.remove::<ValueChunks>(&bench.chunk_key("LONG3", 1, 2));
        let (a, b) = (bench.chunk_key("LONG4", 1, 0), bench.chunk_key("LONG4", 1, 1));
        let (row_a, row_b) = (table.get::<ValueChunks>(&a), table.get::<ValueChunks>(&b));
        table.put::<ValueChunks>(&a, &row_b);
        table.put::<ValueChunks>(&b, &row_a);
        let last = bench.chunk_key("LONG5", 1, 2);
        let Bytes(mut bytes) = table.get::<ValueChunks>(&last);
        bytes.pop();
        table.put::<ValueChunks>(&last, &Bytes(bytes));
        // The row claims fewer pieces than it has: a truncated value.
        let mut row = table.get::<Versions>(&bench.version_key("LONG6", 1));
        row.chunks -= 1;
        table.put::<Versions>(&bench.version_key("LONG6", 1), &row);
    });
    let long = ["LONG1", "LONG2", "LONG3", "LONG4", "LONG5", "LONG6"];
    bench.assert_unreadable_with_fingerprint(&long);
}

#[test]
fn a_data_key_under_a_wrapping_key_that_is_not_loaded_is_named_in_the_answer() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let mut row = table.get::<Versions>(&bench.version_key("FIRST", 1));
        row.data_key.key = KeyId(0xABCD);
        table.put::<Versions>(&bench.version_key("FIRST", 1), &row);
    });
    let app = bench.assert_unreadable(&["FIRST"]);
    let error = bench.reveal(&app, bench.secret("FIRST")).json();
    assert!(error["message"].as_str().unwrap().contains("0000abcd"), "{error}");
}

/// The sealed bytes of a version row: format, key id, nonce 12, sealed 32, tag 16, number of
/// pieces. Only a date and a name come after them.
const SEALED_BYTES: usize = 1 + 1 + 12 + 32 + 16 + 1;

#[test]
fn no_flipped_byte_of_a_stored_version_gives_another_value() {
    expect_log(UNREADABLE);
    // One secret for each offset, so that one restart shows them all.
    let bench = TamperedDb::with_many(160);
    let mut broken = Vec::new();
    bench.edit(|table| {
        let keys: Vec<_> = (0..160).map(|n| format!("MANY{n}")).collect();
        let row = table.bytes::<Versions>(&bench.version_key("MANY0", 1));
        let chunk = table.bytes::<ValueChunks>(&bench.chunk_key("MANY0", 1, 0));
        let offsets =
            (0..row.len()).map(|at| (true, at)).chain((0..chunk.len()).map(|at| (false, at)));
        for (number, (in_row, at)) in offsets.enumerate() {
            let key = &keys[number];
            let bit = 1 << (number % 8);
            if in_row {
                let bytes = table.bytes::<Versions>(&bench.version_key(key, 1));
                table.put_bytes::<Versions>(&bench.version_key(key, 1), &flip(bytes, at, bit));
            } else {
                let bytes = table.bytes::<ValueChunks>(&bench.chunk_key(key, 1, 0));
                table.put_bytes::<ValueChunks>(&bench.chunk_key(key, 1, 0), &flip(bytes, at, bit));
            }
            broken.push((key.clone(), !in_row || at < SEALED_BYTES, in_row, at));
        }
    });
    assert!(broken.len() > 100 && broken.iter().any(|(_, sealed, ..)| !sealed));
    let app = bench.restart();
    for (key, sealed, in_row, at) in &broken {
        let secret = bench.secret(key);
        let reply = bench.reveal(&app, secret);
        let place = format!("byte {at} of the {}", if *in_row { "version row" } else { "piece" });
        match reply.status {
            // Additional pieces do not change anything that is sealed.
            200 if !sealed || (*in_row && *at == SEALED_BYTES - 1) => {
                assert_eq!(reply.json()["value"], secret.value.as_str(), "{place}");
            }
            500 => {
                reply.expect_error(500, UNREADABLE);
            }
            status => panic!("{place}: {status} {}", reply.text()),
        }
    }
    bench.assert_others_work(&app, &broken.iter().map(|b| b.0.as_str()).collect::<Vec<_>>());
}

#[test]
fn rows_that_were_cut_short_or_changed_their_format_are_damage_and_no_panic() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::with_many(24);
    let mut broken = Vec::new();
    bench.edit(|table| {
        for number in 0..24 {
            let key = format!("MANY{number}");
            let cut = |mut bytes: Vec<u8>| {
                match number / 2 % 4 {
                    0 => bytes.truncate(0),
                    1 => bytes.truncate(1),
                    2 => bytes.truncate(bytes.len() - 1),
                    _ => bytes[0] = 2,
                }
                bytes
            };
            if number % 2 == 0 {
                let at = bench.version_key(&key, 1);
                table.put_bytes::<Versions>(&at, &cut(table.bytes::<Versions>(&at)));
            } else {
                let at = bench.chunk_key(&key, 1, 0);
                table.put_bytes::<ValueChunks>(&at, &cut(table.bytes::<ValueChunks>(&at)));
            }
            broken.push(key);
        }
    });
    let broken: Vec<_> = broken.iter().map(String::as_str).collect();
    bench.assert_unreadable(&broken);
}

#[test]
fn a_version_row_that_is_gone_is_damage() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| table.remove::<Versions>(&bench.version_key("FIRST", 1)));
    bench.assert_unreadable(&["FIRST"]);
}

fn cut_last<T: coffer::store::Table>(table: &Table, key: &T::Key) {
    let mut bytes = table.bytes::<T>(key);
    bytes.pop();
    table.put_bytes::<T>(key, &bytes);
}

#[test]
fn a_damaged_secret_row_is_left_out_of_the_list_and_of_nothing_else() {
    expect_log(UNREADABLE);
    expect_log("left out of a list");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Secrets>(table, &bench.secret_key("FIRST")));
    let app = bench.restart();
    bench.reveal(&app, bench.secret("FIRST")).expect_error(500, UNREADABLE);
    let listed = bench.listed(&app);
    assert!(!listed.contains(&"FIRST".to_owned()));
    assert_eq!(listed.len(), bench.secrets.len() - 1);
    bench.assert_others_work(&app, &["FIRST"]);
}

#[test]
fn a_damaged_index_row_is_an_unreadable_secret() {
    expect_log(UNREADABLE);
    expect_log("damaged");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<SecretPlaces>(table, &bench.secret("FIRST").id));
    bench.assert_unreadable(&["FIRST"]);
}
