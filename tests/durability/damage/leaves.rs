//! One leaf of the database tree cannot be read: requests that do not need it still work, and
//! acknowledged changes stay.

use std::fs;
use std::path::PathBuf;

use coffer::domain::{Clock, SystemClock, Timestamp};
use coffer::store::{
    Counts, EnvironmentNames, Environments, IdempotencyTimes, PendingDeletions, Secrets,
    ValueChunks,
};
use serde_json::json;
use support::process::{Launch, Server};
use support::tampered_db::{Secret, Table, TamperedDb};

/// Enough rows to fill several leaves of their own.
const MANY: u32 = 3000;

/// The directory of a stopped server, with more rows than fit into one leaf.
struct DamagedDir {
    bench: TamperedDb,
    data_dir: PathBuf,
}

impl DamagedDir {
    fn over(bench: TamperedDb, plant: impl FnOnce(&TamperedDb, &Table)) -> Self {
        bench.edit(|table| {
            plant(&bench, table);
            // This moves the planted rows out of the part of the log that is scanned for holes.
            // Damage in that part keeps the database from opening at all.
            for n in 0..3000u32 {
                let junk: Vec<u8> = (0..900u32).map(|at| (at * n + at / 7) as u8).collect();
                table.put_raw::<ValueChunks>(&[&[0xff; 16][..], &n.to_be_bytes()].concat(), &junk);
            }
        });
        // Opening the database writes a snapshot.
        for _ in 0..2 {
            bench.edit(|_| ());
        }
        let data_dir = bench.data_dir();
        Self { bench, data_dir }
    }

    /// Breaks the checksum of every record that contains these bytes, wherever it was written.
    fn break_leaf(&self, bytes: &[u8]) {
        support::await_release(&self.data_dir);
        let log = self.data_dir.join("db/db");
        let mut content = fs::read(&log).unwrap();
        let places: Vec<_> = content
            .windows(bytes.len())
            .enumerate()
            .filter_map(|(at, found)| (found == bytes).then_some(at))
            .collect();
        assert!(!places.is_empty(), "the bytes are not in the log");
        places.iter().for_each(|at| content[*at] ^= 1);
        fs::write(&log, content).unwrap();
    }

    fn start(&self) -> Server {
        support::await_release(&self.data_dir);
        Launch::on(&self.data_dir).start()
    }

    fn secret(&self, key: &str) -> &Secret {
        self.bench.secret(key)
    }
}

/// Deterministic bytes that occur nowhere else.
fn odd_bytes<const N: usize>(n: u32) -> [u8; N] {
    let mut state = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
}

/// The new key used to become active although its row was refused. Anything sealed under it and
/// acknowledged could never be opened again.
#[test]
fn a_rotation_that_is_refused_leaves_no_active_key_without_a_row() {
    // Ordered by time, half of them in the future, so the next one is inserted after the one in the
    // middle.
    let now = SystemClock.now().millis();
    let damaged = DamagedDir::over(TamperedDb::new(), |_, table| {
        for n in 0..MANY {
            let at = now + (i64::from(n) - i64::from(MANY / 2)) * 55_000;
            let key = (Timestamp::from_millis(at), odd_bytes(n));
            table.put_bytes_new::<IdempotencyTimes>(&key, &[1]);
        }
    });
    damaged.break_leaf(&odd_bytes::<32>(MANY / 2));
    let server = damaged.start();
    let admin = server.admin();
    let rotate = admin.with("Idempotency-Key", "a rotation");
    rotate.post("/api/admin/keys/rotate", &json!({})).expect_error(500, "INTERNAL");
    let secret = damaged.secret("FIRST");
    let path = format!("/api/secrets/{}", secret.id);
    admin.patch(&path, &json!({ "value": "acknowledged" })).expect(200);
    server.stop();
    let server = damaged.start();
    let value = support::api::reveal(&server.admin(), &secret.id.to_string());
    assert_eq!(value, "acknowledged");
    let keys = server.admin().get("/api/admin/keys").expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    server.stop();
}

/// The readable rows used to be removed and the rest ignored, so nobody could reach or remove the
/// rest.
#[test]
fn a_deleted_environment_whose_rows_cannot_be_read_is_not_taken_for_empty() {
    // Where sled writes a leaf again depends on its threads. Damage near the end of the log keeps
    // the database from opening, which this test is not about.
    for _ in 0..8 {
        let mut row = Vec::new();
        let damaged = DamagedDir::over(TamperedDb::with_many(400), |bench, table| {
            row = table.bytes::<Secrets>(&bench.secret_key("MANY200"));
            table.remove::<Environments>(&bench.environment);
            table.remove::<EnvironmentNames>(&"home".to_owned());
            table.remove::<Counts>(&bench.environment);
            table.put_bytes_new::<PendingDeletions>(&bench.environment, &[1]);
        });
        damaged.break_leaf(&row);
        support::await_release(&damaged.data_dir);
        let Ok(server) = Launch::on(&damaged.data_dir).try_start() else { continue };
        let said =
            |line: &str| line.contains("cannot remove the rows of the deleted environment env_");
        if server.running.stderr.wait_for(said).is_none() {
            // The server ended, because sled needs the leaf to write others.
            continue;
        }
        server.stop();
        damaged.bench.edit(|table| {
            assert_eq!(table.keys::<PendingDeletions>(), [damaged.bench.environment]);
        });
        return;
    }
    panic!("in none of 8 attempts was only the leaf with the rows damaged");
}
