//! Secrets: lists and their pages.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::api::{keys, members, new_secret, parallel, text};
use support::paths::SECRETS;
use support::{Client, TestApp};

fn list(client: &Client, query: &str) -> Value {
    let body = client.get(&format!("{SECRETS}{query}")).expect(200);
    assert_eq!(members(&body), ["secrets"].into());
    body["secrets"].clone()
}

#[test]
fn the_list_is_by_key_in_byte_order_and_complete_and_pages_walk_it_once() {
    let app = TestApp::start();
    let admin = app.admin();
    let mut expected: Vec<String> =
        ["A", "A1", "AA", "A_", "B", "B_", "B0"].map(str::to_owned).into();
    expected.extend((0..293).map(|number| format!("K_{number}")));
    parallel(10, |part| {
        for key in expected.iter().rev().skip(part).step_by(10) {
            new_secret(&admin, "development", key, "v");
        }
    });
    expected.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let all = list(&admin, "");
    assert_eq!(keys(&all), expected);

    for limit in [1usize, 7, 100, 299, 300, 301, 1000] {
        let (mut walked, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(&admin, &format!("?limit={limit}{after}"));
            let page = page.as_array().unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = format!("&after={}", text(last, "key"));
            walked.extend(page.iter().cloned());
            if page.len() < limit {
                break;
            }
        }
        assert!(Value::Array(walked) == all, "pages of {limit} do not add up to the list");
    }
    let with_prefix = |prefix: &str| {
        expected.iter().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<_>>()
    };
    for prefix in ["A", "K_2", "K_", "B_", "", "C", "k", "K_299", "%4B_1"] {
        let found = keys(&list(&admin, &format!("?prefix={prefix}")));
        assert_eq!(found, with_prefix(&prefix.replace("%4B", "K")), "{prefix}");
    }
    let page = keys(&list(&admin, "?prefix=K_2&after=K_20&limit=5"));
    let later = with_prefix("K_2").into_iter().filter(|key| key.as_str() > "K_20");
    assert_eq!(page, later.take(5).collect::<Vec<_>>());
    // `after` does not have to be an existing key, or one with the prefix.
    assert_eq!(keys(&list(&admin, "?after=A0")), expected[1..]);
    assert_eq!(keys(&list(&admin, "?prefix=K_2&after=B")), with_prefix("K_2"));
    assert_eq!(keys(&list(&admin, "?prefix=A&after=K")), [""; 0]);
    assert_eq!(keys(&list(&admin, "?after=ZZZ")), [""; 0]);
}

#[test]
fn a_bad_limit_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    for bad in ["0", "-1", "x", "", "1.5", "0x10", "1%20", "99999999999999999999999"] {
        let reply = admin.get(&format!("{SECRETS}?limit={bad}"));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "limit", "{bad}");
    }
    assert_eq!(list(&admin, "?limit=1"), json!([]));
}

#[test]
fn the_list_shows_every_change_at_once() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = app.environment_id("development");
    let lists = || {
        let by_name = list(&admin, "");
        let by_id = admin.get(&format!("/api/environments/{id}/secrets")).expect(200);
        assert_eq!(by_id["secrets"], by_name);
        by_name
    };
    assert_eq!(lists(), json!([]));
    let made = new_secret(&admin, "development", "KEY", "v");
    assert_eq!(lists(), json!([made]));
    let path = format!("/api/secrets/{}", text(&made, "id"));
    for patch in
        [json!({ "description": "d" }), json!({ "value": "w" }), json!({ "neverReveal": true })]
    {
        let changed = admin.patch(&path, &patch).expect(200)["secret"].clone();
        assert_eq!(lists(), json!([changed]));
    }
    let activated = admin.post(&format!("{path}/versions/1/activate"), &json!({})).expect(200);
    assert_eq!(lists(), json!([activated["secret"]]));
    admin.delete(&path).expect(200);
    assert_eq!(lists(), json!([]));
}

#[test]
fn a_page_after_the_key_that_is_the_prefix_begins_after_it() {
    let app = TestApp::start();
    let admin = app.admin();
    for key in ["DB", "DB_HOST", "DB_PORT"] {
        new_secret(&admin, "development", key, "v");
    }
    // Otherwise pages of one key would repeat the same page forever.
    assert_eq!(keys(&list(&admin, "?prefix=DB&limit=1&after=DB")), ["DB_HOST"]);
    assert_eq!(keys(&list(&admin, "?prefix=DB&after=DB")), ["DB_HOST", "DB_PORT"]);
}

#[test]
fn a_list_that_is_asked_for_all_the_time_never_lags_behind_an_answer() {
    let app = TestApp::start();
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
            // Set before a panic; otherwise the readers would keep the test running.
            done.store(found != made, Ordering::SeqCst);
            assert_eq!(found, made);
        }
        done.store(true, Ordering::SeqCst);
    });
}
