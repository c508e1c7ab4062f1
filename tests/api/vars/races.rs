//! Vars: reads that race with changes. They have their own file because a line in the log fails
//! every test of its process.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::TestApp;
use support::api::{new_var, parallel, text};
use support::paths::VARS;
use support::tier;

/// What is wrong with an item, whose value must be its version's letter repeated.
fn odd(item: &Value) -> Option<String> {
    let (value, version) = (text(item, "value"), item["version"].as_u64().unwrap());
    let whole = value == value_of(version);
    let (first, length) = (value.chars().next(), value.len());
    (!whole).then(|| format!("version {version}: {length} bytes from {first:?} on"))
}

/// Alternates long and short values, so that pieces are added and removed.
fn value_of(version: u64) -> String {
    let letter = char::from(b'a' + (version % 26) as u8);
    let length = if version.is_multiple_of(2) { 60_000 } else { 5_000 };
    String::from(letter).repeat(length)
}

/// Calls `read` while the var is updated continuously.
fn read_while_updating(read: impl Fn(&str) -> Option<String> + Sync, app: &TestApp) {
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", &value_of(1));
    let path = format!("/api/vars/{}", text(&made, "id"));
    let done = AtomicBool::new(false);
    let odd = parallel(6, |number| {
        let mut odd = Vec::new();
        if number == 0 {
            for version in 2..tier::rounds(300, 60) {
                admin.patch(&path, &json!({ "value": value_of(version) })).expect(200);
            }
            done.store(true, Ordering::SeqCst);
        }
        while !done.load(Ordering::SeqCst) {
            odd.extend(read(&path));
        }
        odd
    });
    let odd = odd.concat();
    assert!(odd.is_empty(), "{} wrong answers, the first: {:?}", odd.len(), odd[0]);
}

#[test]
fn a_var_that_is_read_while_it_changes_is_one_version_or_another_never_a_mixture() {
    let app = TestApp::start();
    let admin = app.admin();
    let read = |path: &str| {
        let reply = admin.get(path);
        if reply.status == 200 { odd(&reply.json()["var"]) } else { Some(reply.text()) }
    };
    read_while_updating(read, &app);
}

#[test]
fn a_list_is_complete_and_whole_while_its_vars_change() {
    let app = TestApp::start();
    let admin = app.admin();
    let read = |_: &str| {
        let list = admin.get(VARS).expect(200)["vars"].clone();
        match list.as_array().unwrap().as_slice() {
            [item] => odd(item),
            items => Some(format!("{} items", items.len())),
        }
    };
    read_while_updating(read, &app);
}
