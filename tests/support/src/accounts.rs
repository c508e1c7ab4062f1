//! Users with their sessions, and service accounts with their tokens. The first admin creates all
//! of them over HTTP, as an operator would.

use serde_json::{Value, json};

use super::api::text;
use super::{Client, Reply, Setup, TestApp};
pub use crate::paths::{ACCOUNTS, LOGIN, LOGOUT, ME, REGISTER, TOKENS, USERS};

/// The password of every test user, unless a test needs a different one.
pub const PASSWORD: &str = "correct horse battery";

/// A well-formed password that no user has.
pub const WRONG: &str = "incorrect horse battery";

impl Setup {
    /// Sets the cheapest password hash parameters that the configuration allows.
    pub fn cheap_hashes(mut self) -> Self {
        self.config.auth.argon2_memory_kib = 8192;
        self.config.auth.argon2_passes = 1;
        self
    }

    /// Removes the limit on failed logins.
    pub fn any_logins(mut self) -> Self {
        self.config.rate_limit.login_failures = 0;
        self
    }
}

/// Starts a server with cheap hashes and the environment `development`.
pub fn start() -> TestApp {
    TestApp::start_with(Setup::default().cheap_hashes())
}

/// Starts a server with cheap hashes and a clock that the test controls.
pub fn start_with_clock() -> TestApp {
    TestApp::start_with(Setup::default().cheap_hashes().with_test_clock())
}

/// Starts a server with cheap hashes and these environments.
pub fn start_in(environments: &[&str]) -> TestApp {
    TestApp::start_with(Setup::default().cheap_hashes().environments(environments))
}

/// The scope that covers everything.
pub fn everywhere() -> Value {
    json!({ "allEnvironments": true })
}

/// The scope that covers these environments (ids).
pub fn only(environments: &[&str]) -> Value {
    json!({ "environmentIds": environments })
}

/// Merges two objects. Members of the second one win.
pub fn with(mut object: Value, more: &Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// The request body that creates a user.
pub fn user_body(email: &str, role: &str, scope: &Value) -> Value {
    with(json!({ "email": email, "password": PASSWORD, "role": role }), scope)
}

/// Creates a user with the password [`PASSWORD`] and returns its item.
#[track_caller]
pub fn new_user(app: &TestApp, email: &str, role: &str, scope: &Value) -> Value {
    app.admin().post(USERS, &user_body(email, role, scope)).expect(200)["user"].clone()
}

/// Tries to log in.
pub fn try_login(client: &Client, email: &str, password: &str) -> Reply {
    client.post(LOGIN, &json!({ "email": email, "password": password }))
}

/// Logs in and returns the session token.
#[track_caller]
pub fn login(app: &TestApp, email: &str, password: &str) -> String {
    text(&try_login(&app.anonymous(), email, password).expect(200), "token").to_owned()
}

/// A user with one session.
pub struct Person {
    pub id: String,
    pub email: String,
    /// The session token.
    pub token: String,
    /// A client that sends this token.
    pub client: Client,
}

impl Person {
    /// The path of this user's item.
    pub fn path(&self) -> String {
        format!("{USERS}/{}", self.id)
    }

    pub fn sessions(&self) -> String {
        format!("{USERS}/{}/sessions", self.id)
    }

    pub fn change_password(&self) -> String {
        format!("{USERS}/{}/change-password", self.id)
    }
}

/// Creates a user and logs in.
#[track_caller]
pub fn person(app: &TestApp, email: &str, role: &str, scope: &Value) -> Person {
    let id = text(&new_user(app, email, role, scope), "id").to_owned();
    let token = login(app, email, PASSWORD);
    let client = app.bearer(&token);
    Person { id, email: email.to_owned(), token, client }
}

/// Creates a service account and returns its item.
#[track_caller]
pub fn service_account(app: &TestApp, name: &str, role: &str, scope: &Value) -> Value {
    let body = with(json!({ "name": name, "role": role }), scope);
    app.admin().post(ACCOUNTS, &body).expect(200)["serviceAccount"].clone()
}

/// A token and its record.
pub struct Minted {
    pub id: String,
    pub token: String,
    pub record: Value,
    /// A client that sends the token.
    pub client: Client,
}

/// Creates a token from this body, as this client.
#[track_caller]
pub fn mint_as(app: &TestApp, client: &Client, body: &Value) -> Minted {
    let answer = client.post(TOKENS, body).expect(200);
    let token = text(&answer, "token").to_owned();
    let record = answer["tokenRecord"].clone();
    let client = app.bearer(&token);
    Minted { id: text(&record, "id").to_owned(), token, record, client }
}

/// Creates a token with this role, this scope and any other members, such as the owner.
#[track_caller]
pub fn mint(app: &TestApp, role: &str, scope: &Value, more: &Value) -> Minted {
    let body = with(json!({ "name": "minted", "role": role }), scope);
    mint_as(app, &app.admin(), &with(body, more))
}

/// Creates a token for a user.
#[track_caller]
pub fn token_of(app: &TestApp, user: &str, role: &str, scope: &Value) -> Minted {
    mint(app, role, scope, &json!({ "ownerUserId": user }))
}

/// Creates a token for a service account.
#[track_caller]
pub fn token_of_account(app: &TestApp, account: &str, role: &str, scope: &Value) -> Minted {
    mint(app, role, scope, &json!({ "ownerServiceAccountId": account }))
}

/// A client that sends a session token in the cookie.
pub fn cookie(app: &TestApp, token: &str) -> Client {
    app.anonymous().with("Cookie", &format!("coffer_session={token}"))
}

/// Whether the server still accepts this credential.
pub fn works(client: &Client) -> bool {
    match client.get(ME).status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// An id of the same kind that identifies nothing.
pub fn missing_like(id: &str) -> String {
    let missing = format!("{}0000000000", &id[..id.len() - 10]);
    assert_ne!(missing, id);
    missing
}

/// Advances the test's clock.
pub fn advance_seconds(app: &TestApp, seconds: i64) {
    app.clock.as_ref().expect("a test clock").advance_millis(seconds * 1000);
}

/// The audit log rows that match this query, newest first.
#[track_caller]
pub fn rows(app: &TestApp, query: &str) -> Vec<Value> {
    let answer = app.admin().get(&format!("/api/audit-logs?limit=1000&{query}")).expect(200);
    answer["logs"].as_array().unwrap().clone()
}

/// The names of the changed members that a row lists, in order.
#[track_caller]
pub fn changed(row: &Value) -> Vec<String> {
    let details: Value = serde_json::from_str(text(row, "details")).unwrap();
    let changed =
        details["changed"].as_array().unwrap_or_else(|| panic!("no changed members in {row}"));
    let mut names: Vec<_> = changed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A response without the parts that differ between any two responses.
pub fn visible(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
    let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(members) = body.as_object_mut() {
        members.remove("requestId");
    }
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| {
        !["x-request-id", "date", "content-length"].contains(&name.as_str())
            && !name.starts_with("x-ratelimit-")
    });
    headers.sort();
    (reply.status, headers, body)
}

/// The value that the server set for this cookie, followed by its attributes in lower case.
pub fn set_cookies(reply: &Reply) -> Vec<(String, Vec<String>)> {
    let all = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    all.map(|(_, value)| {
        let mut parts = value.split(';').map(str::trim);
        let pair = parts.next().unwrap().to_owned();
        (pair, parts.map(str::to_ascii_lowercase).collect())
    })
    .collect()
}
