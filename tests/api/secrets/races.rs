//! Secrets: reads that race with changes. They have their own file because a line in the log fails
//! every test of its process, and a race would fail unrelated tests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::TestApp;
use support::api::{new_secret, parallel, text};
use support::paths::SECRETS;
use support::tier;

#[test]
fn a_secret_that_is_read_while_its_key_changes_hands_is_there_or_not_found() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = Mutex::new(text(&new_secret(&admin, "development", "KEY", "v"), "id").to_owned());
    let done = AtomicBool::new(false);
    let bad = parallel(8, |number| {
        let mut bad = Vec::new();
        if number == 0 {
            for _ in 0..tier::rounds(200, 50) {
                let id = made.lock().unwrap().clone();
                // Creators wait in the writer's queue behind the delete, so that
                // both may land in one batch.
                admin.delete(&format!("/api/secrets/{id}")).expect(200);
                while *made.lock().unwrap() == id {
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::SeqCst);
        } else if number < 4 {
            while !done.load(Ordering::SeqCst) {
                let reply = admin.post(SECRETS, &json!({ "key": "KEY", "value": "v" }));
                if reply.status == 200 {
                    *made.lock().unwrap() = text(&reply.json()["secret"], "id").to_owned();
                }
            }
        } else {
            while !done.load(Ordering::SeqCst) {
                let id = made.lock().unwrap().clone();
                let reply = admin.get(&format!("/api/secrets/{id}"));
                if ![200, 404].contains(&reply.status) {
                    bad.push(reply.text());
                }
            }
        }
        bad
    });
    let bad = bad.concat();
    assert!(bad.is_empty(), "{} bad answers, the first: {}", bad.len(), bad[0]);
}
