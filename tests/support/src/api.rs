//! Setup steps and shortcuts that most tests use.

use std::collections::BTreeSet;
use std::sync::Barrier;

use serde_json::{Value, json};

use super::Client;

/// Creates a secret and returns its item.
#[track_caller]
pub fn new_secret(client: &Client, environment: &str, key: &str, value: &str) -> Value {
    let path = format!("/api/environments/{environment}/secrets");
    client.post(&path, &json!({ "key": key, "value": value })).expect(200)["secret"].clone()
}

/// Creates a var and returns its item.
#[track_caller]
pub fn new_var(client: &Client, environment: &str, key: &str, value: &str) -> Value {
    let path = format!("/api/environments/{environment}/vars");
    client.post(&path, &json!({ "key": key, "value": value })).expect(200)["var"].clone()
}

/// Creates the secret `key` in `development` with the value `v` and returns its id.
#[track_caller]
pub fn make_secret(client: &Client, key: &str) -> String {
    text(&new_secret(client, "development", key, "v"), "id").to_owned()
}

/// Creates the var `key` in `development` with the value `v` and returns its id.
#[track_caller]
pub fn make_var(client: &Client, key: &str) -> String {
    text(&new_var(client, "development", key, "v"), "id").to_owned()
}

/// Creates an environment and returns its item.
#[track_caller]
pub fn new_environment(client: &Client, name: &str) -> Value {
    let reply = client.post("/api/environments", &json!({ "name": name }));
    reply.expect(200)["environment"].clone()
}

/// Reveals the value of a secret.
#[track_caller]
pub fn reveal(client: &Client, id: &str) -> String {
    let body = client.get(&format!("/api/secrets/{id}/value")).expect(200);
    body["value"].as_str().unwrap().to_owned()
}

/// The keys of a list, in list order.
#[track_caller]
pub fn keys(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item["key"].as_str().unwrap().to_owned()).collect()
}

/// A string member of an object.
#[track_caller]
pub fn text<'a>(item: &'a Value, member: &str) -> &'a str {
    item[member].as_str().unwrap_or_else(|| panic!("no string {member} in {item}"))
}

/// The names of all members of an object.
#[track_caller]
pub fn members(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Fails unless a text is a time in the contract's format.
#[track_caller]
pub fn is_time(text: &str) {
    let digits = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
    let shape: Vec<u8> = text.bytes().map(digits).collect();
    assert_eq!(shape, b"0000-00-00T00:00:00.000Z", "{text}");
}

/// Runs `act` in this many threads that start together.
pub fn parallel<T: Send>(threads: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        let run = |number| {
            let (start, act) = (&start, &act);
            scope.spawn(move || {
                start.wait();
                act(number)
            })
        };
        let handles: Vec<_> = (0..threads).map(run).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

/// Waits until no rotation is running and returns the wrapping keys.
#[track_caller]
pub fn rotated(admin: &Client) -> Value {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let keys = admin.get("/api/admin/keys").expect(200);
        if keys["rotation"].is_null() || !keys["rotation"]["finishedAt"].is_null() {
            return keys;
        }
        assert!(std::time::Instant::now() < until, "the rotation does not end: {keys}");
        std::thread::yield_now();
    }
}

/// Rotates the wrapping key, waits until the rotation ends, and returns the number of the old key.
#[track_caller]
pub fn rotate(admin: &Client) -> u64 {
    let begun = admin.send("POST", "/api/admin/keys/rotate", None).expect(200);
    let key = begun["rotation"]["key"].as_u64().unwrap();
    rotated(admin);
    key - 1
}
