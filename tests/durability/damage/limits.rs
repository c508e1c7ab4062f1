//! Damage that looks the same as a power cut or an older copy, and what is still detected.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use support::api::{new_secret, reveal, text};
use support::damage;
use support::damage::{copy, launch, samples};
use support::process::{Launch, Server};
use support::{Client, data_dir};

/// The number of damages to examine.
const ROUNDS: usize = 6;

/// Counts the secrets that show their newest value, an older value, and no value.
fn count(server: &Server, token: &str, values: &BTreeMap<String, Vec<String>>) -> [usize; 3] {
    let (counts, is_there) = count_while_it_lasts(server, token, values);
    assert!(is_there, "{}", server.running.stderr.so_far());
    counts
}

/// Counts the values as `count` does, for a server that may exit at a damaged page. Returns also
/// whether it still runs.
fn count_while_it_lasts(
    server: &Server,
    token: &str,
    values: &BTreeMap<String, Vec<String>>,
) -> ([usize; 3], bool) {
    let client = Client::new(server.address, None);
    let mut counts = [0; 3];
    for (id, values) in values {
        let path = format!("/api/secrets/{id}/value");
        let request = support::process::request(token, "count", "GET", &path, "");
        let Ok(reply) = client.try_raw("GET", request.as_bytes()) else { return (counts, false) };
        let body = reply.json();
        let kind = match body["value"].as_str() {
            Some(value) if Some(value) == values.last().map(String::as_str) => 0,
            Some(value) if values.iter().any(|one| one == value) => 1,
            Some(value) => panic!("read a value that was never written: {value:.100}"),
            None => 2,
        };
        counts[kind] += 1;
    }
    (counts, true)
}

fn doctor(data_dir: &Path) -> support::process::Ended {
    let launch = Launch::bare(data_dir.parent().unwrap()).arguments(["doctor", "--data-dir"]);
    launch.argument(data_dir).run("")
}

/// A log that ends early is the same as an older log. Only the `acknowledged` file records the
/// difference. If that file is missing or just as old, nothing is detected.
#[test]
fn an_older_log_with_an_older_note_is_an_older_state() {
    let samples = samples();
    let of = samples.iter().find(|sample| sample.name == "killed").unwrap();
    let older = samples.iter().find(|sample| sample.name == "closed").unwrap();
    let dir = older.copy();
    let server = launch(&data_dir(dir.path())).start();
    let [newest, old, none] = count(&server, &server.token(), &of.known.secrets);
    assert_eq!((newest, none), (0, 0));
    assert_eq!(old, of.known.secrets.len());
    server.stop();
    // With the newer file in place, the server refuses to start.
    let dir = older.copy();
    let note = of.copy();
    let name = "acknowledged";
    fs::copy(data_dir(note.path()).join(name), data_dir(dir.path()).join(name)).unwrap();
    let ended = launch(&data_dir(dir.path())).fails();
    assert!(ended.stderr.contains("has lost changes"), "{ended:#?}");
}

/// The offset where the rows of the log end. Only zeros follow.
fn end_of(log: &Path) -> usize {
    let bytes = fs::read(log).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

/// A power cut destroys the last write, which nobody received an answer to. The write is gone, and
/// nothing is reported.
#[test]
fn a_torn_write_that_was_not_acknowledged_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = support::data_dir(dir.path());
    let server = launch(&data_dir).start();
    let admin = server.admin();
    let kept = new_secret(&admin, "development", "KEPT", "the value of KEPT");
    let note = fs::read(data_dir.join("acknowledged")).unwrap();
    let before = end_of(&data_dir.join("db/db"));
    new_secret(&admin, "development", "TORN", &"x".repeat(60_000));
    let after = end_of(&data_dir.join("db/db"));
    server.kill();
    for cut in [after - 1, before + (after - before) / 2, before + 40] {
        let torn = tempfile::tempdir().unwrap();
        let to = support::data_dir(torn.path());
        copy(&data_dir, &to);
        fs::write(to.join("acknowledged"), &note).unwrap();
        fs::File::options()
            .write(true)
            .open(to.join("db/db"))
            .unwrap()
            .set_len(cut as u64)
            .unwrap();
        let server = launch(&to).start();
        let admin = server.admin();
        assert_eq!(reveal(&admin, text(&kept, "id")), "the value of KEPT");
        let listed = admin.get("/api/environments/development/secrets").expect(200);
        assert_eq!(support::api::keys(&listed["secrets"]), ["KEPT"]);
        server.stop();
        support::rows_fit(&to);
        support::audit_rows(torn.path());
    }
}

/// sled skips a place that it cannot read and continues with its next segment. Older values used to
/// appear among newer ones silently. Once sled has opened the log, this can no longer be detected.
#[test]
fn damage_before_later_changes_is_reported_before_sled_skips_it() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = support::data_dir(dir.path());
    let server = launch(&data_dir).start();
    let (admin, token, mut known) = (server.admin(), server.token(), BTreeMap::new());
    for n in 0..200 {
        let value = format!("secret {n} v1");
        let made = new_secret(&admin, "development", &format!("KEY_{n:03}"), &value);
        known.insert(text(&made, "id").to_owned(), vec![value]);
    }
    server.stop();
    let server = launch(&data_dir).start();
    let (admin, log) = (server.admin(), data_dir.join("db/db"));
    let from = end_of(&log);
    for (id, values) in known.iter_mut().step_by(10) {
        let value = format!("{id} v2");
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        values.push(value);
    }
    let to = end_of(&log);
    for n in 0..30 {
        new_secret(&admin, "development", &format!("ZZ_{n:03}"), &"x".repeat(60_000));
    }
    server.kill();
    // The undamaged copy has no hole.
    let whole = tempfile::tempdir().unwrap();
    copy(&data_dir, &support::data_dir(whole.path()));
    let server = launch(&support::data_dir(whole.path())).start();
    assert_eq!(count(&server, &token, &known), [known.len(), 0, 0]);
    server.stop();
    let mut astray = 0;
    for n in 0..ROUNDS {
        let damaged = tempfile::tempdir().unwrap();
        let data = support::data_dir(damaged.path());
        copy(&data_dir, &data);
        let mut bytes = fs::read(data.join("db/db")).unwrap();
        bytes[from + (to - from) * n / ROUNDS + 8] ^= 1;
        fs::write(data.join("db/db"), &bytes).unwrap();
        let ended = launch(&data).fails();
        damage::is_one_clear_line(&ended.stderr, &[]);
        assert!(ended.stderr.contains("before changes that came later"), "{ended:#?}");
        assert_eq!(fs::read(data.join("db/db")).unwrap(), bytes, "a refused start changed the log");
        let doctor = doctor(&data);
        assert_eq!(doctor.code, Some(2), "{doctor:#?}");
        assert!(doctor.stdout.contains("before changes that came later"), "{doctor:#?}");
        // An operator who continues as the message describes gets older values, values
        // that do not open, or a server that ends, depending on where the damage is.
        fs::remove_file(data.join("acknowledged")).unwrap();
        let Ok(server) = launch(&data).try_start() else {
            astray += 1;
            continue;
        };
        let (counts, is_there) = count_while_it_lasts(&server, &token, &known);
        astray += usize::from(counts != [known.len(), 0, 0]);
        if is_there {
            server.kill();
        } else {
            let ended = server.running.wait();
            damage::is_one_clear_line(&ended.stderr, &[]);
            assert_eq!(ended.code, Some(1), "{ended:#?}");
        }
    }
    // Some damaged pages have a newer state later in the log; nothing can detect those.
    println!("{astray} of {ROUNDS} damages would have changed what is read");
}
