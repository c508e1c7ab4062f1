//! Secrets: what happens at the same time. In a file of its own because a line
//! in the log fails every test of its process, so that a race would take the
//! tests down that have nothing to do with it.

mod harness;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::acts::{keys, new_secret, parallel, reveal, text};
use harness::{Client, Setup, TestApp, data_dir, rows_fit};
use serde_json::{Value, json};

const PATH: &str = "/api/environments/development/secrets";

fn list(client: &Client, query: &str) -> Value {
    let body = client.get(&format!("{PATH}{query}")).expect(200);
    body["secrets"].clone()
}

/// A server without a limit on requests, for tests that send thousands.
fn unlimited() -> TestApp {
    let mut setup = Setup::default();
    setup.config.rate_limit.authenticated_per_minute = 0;
    TestApp::start_with(setup)
}

#[test]
fn a_list_that_is_asked_for_all_the_time_never_lags_behind_an_answer() {
    let app = unlimited();
    let admin = app.admin();
    let done = AtomicBool::new(false);
    parallel(5, |number| {
        if number > 0 {
            while !done.load(Ordering::SeqCst) {
                list(&admin, "");
            }
            return;
        }
        let mut made = Vec::new();
        for number in 0..60 {
            made.push(format!("K{number:02}"));
            new_secret(&admin, "development", &made[number], "v");
            let found = keys(&list(&admin, ""));
            // Set before the panic, or the readers would keep the test alive.
            done.store(found != made, Ordering::SeqCst);
            assert_eq!(found, made);
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn of_a_hundred_that_create_the_same_key_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let replies = parallel(100, |number| {
        let value = format!("value of {number}");
        (admin.post(PATH, &json!({ "key": "RACE", "value": value })), value)
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|(reply, _)| reply.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 99));
    for (reply, _) in refused {
        reply.expect_error(409, "CONFLICT");
    }
    let (reply, value) = &made[0];
    let item = reply.expect(200)["secret"].clone();
    assert_eq!(list(&admin, ""), json!([item]));
    assert_eq!(reveal(&admin, text(&item, "id")), *value);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn of_many_that_delete_a_secret_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    let mut statuses = parallel(20, |_| admin.delete(&path).status);
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[404; 19]].concat());
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn a_secret_that_is_read_while_its_key_changes_hands_is_there_or_not_found() {
    let app = unlimited();
    let admin = app.admin();
    let made = Mutex::new(text(&new_secret(&admin, "development", "KEY", "v"), "id").to_owned());
    let done = AtomicBool::new(false);
    let bad = parallel(8, |number| {
        let mut bad = Vec::new();
        if number == 0 {
            for _ in 0..200 {
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
                let reply = admin.post(PATH, &json!({ "key": "KEY", "value": "v" }));
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
