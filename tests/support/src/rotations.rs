//! Rotations, retirements and backups as steps of a load, and checks that the answers to them hold
//! after the server was cut off.

use std::path::Path;

use coffer::store::{Rotation, View};
use serde_json::{Value, json};

use crate::load::{Beside, Known, Worker};
use crate::paths::KEYS;
use crate::process::Server;
use crate::tier;
use crate::{Client, api, await_release, backups, data_dir, open_stopped};

/// Creates secrets with this many versions each, so that a rotation takes several writes.
const STOCK: usize = 6;
const STOCK_VERSIONS: u64 = 100;

/// The requests that the load can mix in now.
pub fn steps(admin: &Client) -> Vec<Beside> {
    let step = |method, path: String, also, is_file| Beside {
        method,
        path,
        body: Value::Null,
        also,
        is_file,
    };
    // Only one rotation and one backup run at a time.
    let rotate = step("POST", format!("{KEYS}/rotate"), &[409][..], false);
    let backup = step("GET", backups::BACKUP.to_owned(), &[503], true);
    let mut steps = vec![rotate.clone(), rotate, backup.clone(), backup];
    let status = admin.get(KEYS).expect(200);
    if let Some(id) = retiring(&status).first() {
        // Another client may have retired it already, or it may still be needed.
        steps.push(step("DELETE", format!("{KEYS}/{id}"), &[404, 409], false));
    }
    steps
}

fn retiring(status: &Value) -> Vec<u64> {
    let keys = status["keys"].as_array().unwrap().iter();
    keys.filter(|key| key["state"] == "retiring").map(|key| key["id"].as_u64().unwrap()).collect()
}

/// An idle client that knows secrets with many versions.
pub fn stock(server: &Server) -> Worker {
    let mut worker = Worker::new(usize::MAX, 0);
    let made = api::parallel(STOCK, |number| {
        let (admin, key) = (server.admin(), format!("STOCK_{number}"));
        let made = api::new_secret(&admin, "development", &key, "1");
        let id = api::text(&made, "id").to_owned();
        for version in 2..=STOCK_VERSIONS {
            let value = json!({ "value": version.to_string() });
            admin.patch(&format!("/api/secrets/{id}"), &value).expect(200);
        }
        let value = STOCK_VERSIONS.to_string();
        (("development".to_owned(), key), Known { id, value, version: STOCK_VERSIONS })
    });
    worker.model.secrets.extend(made);
    worker
}

/// Whether a stopped server has an unfinished rotation.
pub fn is_rotating(dir: &Path) -> bool {
    let data_dir = data_dir(dir);
    let row = open_stopped(&data_dir).get::<Rotation>(&()).unwrap();
    await_release(&data_dir);
    row.is_some_and(|row| row.finished_at.is_none())
}

/// Fails unless the keys are as the server said.
pub fn holds(admin: &Client, workers: &mut [Worker]) {
    let status = admin.get(KEYS).expect(200);
    let keys = status["keys"].as_array().unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key["id"].as_u64().unwrap()).collect();
    for (beside, answer) in workers.iter_mut().flat_map(|one| one.besides.answered.drain(..)) {
        match beside.method {
            "POST" => {
                let made = answer["rotation"]["key"].as_u64().unwrap();
                assert!(*ids.last().unwrap() >= made, "key {made} is gone: {status}");
            }
            _ => {
                let id: u64 = beside.path.rsplit('/').next().unwrap().parse().unwrap();
                assert!(!ids.contains(&id), "key {id} is back: {status}");
            }
        }
    }
}

/// Fails unless the last rotation ends and every key but one can be retired.
pub fn ends(admin: &Client) {
    let status = api::rotated(admin);
    // In few rounds there may be none.
    let none = status["rotation"].is_null() && !tier::is_full();
    assert!(none || status["rotation"]["left"] == 0, "{status}");
    assert_eq!(status["unopened"], json!([]), "{status}");
    for id in retiring(&status) {
        admin.delete(&format!("{KEYS}/{id}")).expect(200);
    }
    let status = admin.get(KEYS).expect(200);
    assert_eq!(status["keys"].as_array().unwrap().len(), 1, "{status}");
}
