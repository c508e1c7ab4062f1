//! Backups that anyone could make: a header, the content of a seal, and the same with a corrected
//! checksum, so that what follows it is read too. And backups that someone with the root key could
//! make: valid seals, checksums and origin around changed rows of a real server.
#![no_main]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

use coffer::server::serve::{ServeOptions, prepare};
use coffer::config::{Config, Variables};
use coffer::domain::Timestamp;
use coffer::store::{AuditRows, Opened, Options, Table, ValueChunks};
use coffer::vault::backup::fuzzing::{Rows, read, seal, write};
use coffer::vault::backup::{
    Examined, Identities, Opening, Recipient, Summary, back_up_stopped, read_backup, restore,
    verify,
};
use coffer::vault::{RootKey, unlock};
use libfuzzer_sys::{arbitrary, fuzz_target};
use ring::digest::{SHA256, digest};

const ROWS: &[u8] = b"coffer rows v1\n";
/// Length of the checksum and MAC at the end of the rows.
const CHECKS: usize = 64;
/// A limit of the format in `src/vault/backup/rows.rs`.
const MAX_KEY_BYTES: usize = 4 << 10;
/// One of this many changed backups is also restored to disk, which takes a hundred times as long.
const RESTORED: u8 = 64;

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Anything(&'a [u8]),
    Rows(&'a [u8]),
    Summed(&'a [u8]),
    Key(&'a str),
    /// Arbitrary rows inside a valid seal.
    Sealed(&'a [u8]),
    /// A sealed file in which one byte is changed, or which is truncated at that byte.
    Damaged(u16, u8),
    Written(BTreeMap<&'a [u8], &'a [u8]>),
    Changed(Vec<Change<'a>>),
}

/// One change to the rows of a real server. Row numbers and offsets wrap around.
#[derive(Debug, arbitrary::Arbitrary)]
enum Change<'a> {
    Byte(u16, u16, u8),
    Cut(u16, u16),
    Swap(u16, u16),
    Remove(u16),
    Row(u16, &'a [u8]),
    Put(&'a [u8], &'a [u8]),
}

/// The backup of a small server, and its root key.
struct Base {
    root: RootKey,
    file: Vec<u8>,
    rows: Rows,
    opened: u64,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let root = RootKey::parse(&format!("{}=", "BwcH".repeat(10) + "Bwc")).expect("32 bytes");
        let dir = tempfile::tempdir().expect("a directory can be made");
        let mut config = Config::default();
        config.server.data_dir = dir.path().join("data");
        config.server.listen = ([127, 0, 0, 1], 0).into();
        let text = root.to_text();
        let variables = Variables::from_pairs([("COFFER_ROOT_KEY", text.trim())]);
        fill(&config, &variables);
        // sled's threads may keep its files open slightly longer than its handle.
        for held in ["lock", "db/db"] {
            let file = File::open(config.server.data_dir.join(held)).expect("the file exists");
            file.lock().and_then(|()| file.unlock()).expect("the file is unlocked");
        }
        let opened = Opened::open(&config.server.data_dir, Options::default());
        let now = Timestamp::from_millis(0);
        let unlocked = unlock(opened.expect("it opens"), &root, now).expect("under its key");
        let backup = back_up_stopped(&unlocked, "fuzz", &[], now).expect("no other backup runs");
        let mut file = Vec::new();
        backup.write_to(&mut file, &[]).expect("memory is writable");
        let rows = read(&file, &root).expect("a new backup is readable");
        let (summary, examined) = look(&file, &root).expect("a new backup is readable");
        assert_eq!(examined.findings, Vec::<String>::new());
        assert!(summary.counts["versions"] > 2 && examined.opened > 2);
        // A restore yields exactly the rows in the backup, so other rows need no check.
        Base { root, file, rows, opened: examined.opened }
    })
}

/// Runs a server just long enough to create some secrets and vars.
fn fill(config: &Config, variables: &Variables) {
    let prepared = prepare(config, variables, ServeOptions::default()).expect("an empty database opens");
    let token = prepared.first_token().expect("a new database has a token").expose().to_owned();
    let (address, (stop, stopped)) = (prepared.address(), std::sync::mpsc::channel::<()>());
    let asks = std::thread::spawn(move || {
        let ask = |method: &str, path: &str, body: &str| {
            let mut stream = TcpStream::connect(address).expect("the server accepts connections");
            let length = body.len();
            let text = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(text.as_bytes()).expect("the server accepts requests");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("the server answers");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        };
        let environment = "/api/environments/development";
        for (key, value, never) in
            [("SHORT", "short".to_owned(), false), ("NEVER", "x".repeat(9000), true)]
        {
            let body = format!(r#"{{"key":"{key}","value":"{value}","neverReveal":{never}}}"#);
            ask("POST", &format!("{environment}/secrets"), &body);
        }
        ask("POST", &format!("{environment}/secrets"), r#"{"key":"LAST","value":"z"}"#);
        ask("POST", &format!("{environment}/vars"), r#"{"key":"VAR","value":"v"}"#);
        drop(stop);
    });
    let until = async move {
        let asked = actix_web::rt::task::spawn_blocking(move || stopped.recv());
        drop(asked.await);
    };
    actix_web::rt::System::new().block_on(prepared.run(|| {}, until)).expect("the server runs");
    asks.join().expect("every request succeeds");
}

fn opening(root: &RootKey) -> Opening<'_> {
    Opening { root, previous: None, identities: None }
}

fn look(file: &[u8], root: &RootKey) -> Option<(Summary, Examined)> {
    verify(file, opening(root)).ok()
}

fn change(rows: &mut Rows, change: &Change<'_>) {
    let nth = |rows: &Rows, n: u16| {
        let n = usize::from(n) % rows.len().max(1);
        rows.keys().nth(n).cloned().unwrap_or_default()
    };
    match *change {
        Change::Byte(row, at, flip) => {
            let key = nth(rows, row);
            if let Some(row) = rows.get_mut(&key).filter(|row| !row.is_empty()) {
                let at = usize::from(at) % row.len();
                row[at] ^= flip;
            }
        }
        Change::Cut(row, at) => {
            let key = nth(rows, row);
            if let Some(row) = rows.get_mut(&key) {
                row.truncate(usize::from(at) % (row.len() + 1));
            }
        }
        Change::Swap(one, other) => {
            let keys = [nth(rows, one), nth(rows, other)];
            if let [Some(one), Some(other)] = keys.each_ref().map(|key| rows.get(key).cloned()) {
                rows.extend(keys.into_iter().zip([other, one]));
            }
        }
        Change::Remove(row) => drop(rows.remove(&nth(rows, row))),
        Change::Row(row, bytes) => {
            let key = nth(rows, row);
            rows.insert(key, bytes.to_vec());
        }
        Change::Put(key, row) => drop(rows.insert(key.to_vec(), row.to_vec())),
    }
}

/// Whether a row was changed that is sealed or chained by itself. Without its keys that is always
/// detected, whatever else is valid.
fn is_forged(rows: &Rows) -> bool {
    let sealed =
        |key: &[u8]| matches!(key.first(), Some(&(ValueChunks::PREFIX | AuditRows::PREFIX)));
    rows.iter().any(|(key, row)| sealed(key) && base().rows.get(key).is_none_or(|was| was != row))
}

/// Returns whether to restore these rows as well. The choice depends on their digest, because a
/// flag in the input would be copied into all inputs derived from it.
fn is_restored(rows: &Rows) -> bool {
    let bytes: Vec<_> = rows.iter().flat_map(|(key, row)| [&**key, &**row]).collect();
    digest(&SHA256, &bytes.concat()).as_ref()[0].is_multiple_of(RESTORED)
}

fn changed(rows: &Rows) {
    let Base { root, opened, .. } = base();
    if rows.keys().any(|key| key.len() > MAX_KEY_BYTES) {
        assert!(write(rows, root).is_err());
        return;
    }
    let file = write(rows, root).expect("the rows are within the limits of the format");
    let looked = look(&file, root);
    if let Some((summary, examined)) = &looked {
        assert_eq!(summary.rows, rows.len() as u64);
        assert!(examined.opened <= *opened, "more values open than were sealed");
        assert!(!is_forged(rows) || !examined.findings.is_empty(), "a forged row was not detected");
        assert!(rows != &base().rows || examined.findings.is_empty());
    }
    if !is_restored(rows) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory can be made");
    let data_dir = dir.path().join("data");
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let restored = restore(&*file, opening(root), &data_dir, options, Timestamp::from_millis(0));
    assert_eq!(restored.is_ok(), data_dir.join("db").exists(), "the restore is incomplete");
    assert!(restored.is_err() || looked.is_some(), "a backup that does not verify was restored");
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
        Input::Sealed(bytes) => {
            let file = seal(&[ROWS, bytes].concat(), &base().root).expect("memory is writable");
            assert!(read(&file, &base().root).is_err(), "rows of invalid origin were accepted");
        }
        Input::Damaged(at, flip) => {
            let mut file = base().file.clone();
            let at = usize::from(at) % file.len();
            match flip {
                0 => file.truncate(at),
                flip => file[at] ^= flip,
            }
            assert!(look(&file, &base().root).is_none(), "a damaged file was accepted");
        }
        Input::Written(rows) => {
            let rows: Rows = rows.iter().map(|(key, row)| (key.to_vec(), row.to_vec())).collect();
            let Ok(file) = write(&rows, &base().root) else {
                assert!(rows.keys().any(|key| key.len() > MAX_KEY_BYTES));
                return;
            };
            assert_eq!(read(&file, &base().root).ok(), Some(rows), "a round trip changes rows");
        }
        Input::Changed(changes) => {
            let mut rows = base().rows.clone();
            changes.iter().for_each(|one| change(&mut rows, one));
            changed(&rows);
        }
    }
});
