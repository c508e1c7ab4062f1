//! No sensitive data of users anywhere: plants passwords, sessions and tokens, and searches every
//! response, log line and file for them in every encoding.

use std::path::{Path, PathBuf};

use coffer::domain::Role;
use serde_json::{Value, json};
use support::accounts::*;
use support::api::text;
use support::search;
use support::search::{Searcher, needles};
use support::{Client, Reply, Setup, TestApp};

fn random() -> String {
    let mut bytes = [0; 12];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    search::hex(&bytes)
}

/// A text that looks different after each kind of escaping.
fn odd_text() -> String {
    format!("é\"\\<&+ %=~{}\n\u{1F511}'$}}", random())
}

struct Session {
    app: TestApp,
    planted: Vec<(&'static str, String)>,
    /// All responses except those that show a credential on purpose.
    answers: Vec<(String, Vec<u8>)>,
}

impl Session {
    fn start() -> Self {
        support::keep_log();
        let app = TestApp::start_with(Setup::default().cheap_hashes().any_logins());
        Self { app, planted: Vec::new(), answers: Vec::new() }
    }

    fn plant(&mut self, name: &'static str, text: &str) {
        self.planted.push((name, text.to_owned()));
    }

    /// Plants a new password and returns it.
    fn password(&mut self, name: &'static str) -> String {
        let password = odd_text();
        self.plant(name, &password);
        password
    }

    /// Plants a credential; records may show its prefix.
    fn credential(&mut self, name: &'static str, token: &str) {
        self.plant(name, &token[12..]);
    }

    fn keep(&mut self, what: &str, reply: &Reply) {
        let headers: String =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        self.answers.push((what.to_owned(), [headers.as_bytes(), &reply.body].concat()));
    }

    fn send(&mut self, client: &Client, method: &str, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let body = (body != "null").then_some(("application/json", body.as_bytes()));
        let reply = client.send(method, path, body);
        self.keep(&format!("{method} {path}"), &reply);
        reply
    }

    /// Logs in without recording the response.
    fn login(&mut self, name: &'static str, email: &str, password: &str) -> Client {
        let token = login(&self.app, email, password);
        self.credential(name, &token);
        self.app.bearer(&token)
    }

    /// Creates, changes and deletes users.
    fn live(&mut self) {
        let admin = self.app.admin();
        let root = self.password("the first one's password");
        let body = json!({ "email": "root@example.com", "password": root });
        let answer = self.app.anonymous().post(REGISTER, &body).expect(200);
        self.credential("the first one's session", text(&answer, "token"));
        let first = self.password("a new user's password");
        let body = user_body("ann@example.com", "admin", &everywhere());
        let body = with(body, &json!({ "password": first }));
        let keyed = admin.with("Idempotency-Key", "k");
        let made = self.send(&keyed, "POST", USERS, &body).expect(200);
        self.send(&keyed, "POST", USERS, &body).expect(200);
        let path = format!("{USERS}/{}", text(&made["user"], "id"));
        let change = format!("{path}/change-password");
        let ann = self.login("a session", "ann@example.com", &first);
        self.login("a session that is left alone", "ann@example.com", &first);
        let second = self.password("a changed password");
        let wrong = self.password("a wrong present password");
        let body = json!({ "currentPassword": wrong, "newPassword": second });
        self.send(&ann, "POST", &change, &body).expect_error(400, "VALIDATION_ERROR");
        let body = json!({ "currentPassword": first, "newPassword": second });
        self.send(&ann, "POST", &change, &body).expect(200);
        let third = self.password("a password given by an admin");
        self.send(&admin, "POST", &change, &json!({ "newPassword": third })).expect(200);
        let ann = self.login("another session", "ann@example.com", &third);
        let body = with(json!({ "name": "ci", "role": "admin" }), &everywhere());
        let keyed = ann.with("Idempotency-Key", "k");
        let minted = mint_as(&self.app, &keyed, &body);
        self.credential("a token", &minted.token);
        self.send(&keyed, "POST", TOKENS, &body).expect_error(409, "CONFLICT");
        self.send(&minted.client, "GET", ME, &Value::Null).expect(200);
        self.send(&ann, "GET", &format!("{path}/sessions"), &Value::Null).expect(200);
        self.fail(&admin, &path);
        for path in [USERS, ACCOUNTS, TOKENS, ME, "/api/audit-logs?limit=1000"] {
            self.send(&admin, "GET", path, &Value::Null).expect(200);
            self.send(&ann, "GET", path, &Value::Null).expect(200);
        }
        self.send(&ann, "POST", LOGOUT, &Value::Null).expect(200);
        let token = format!("{TOKENS}/{}", minted.id);
        self.send(&admin, "DELETE", &token, &Value::Null).expect(200);
        self.send(&minted.client, "GET", ME, &Value::Null).expect_error(401, "UNAUTHORIZED");
        self.send(&admin, "DELETE", &path, &Value::Null).expect(200);
    }

    /// Sends passwords and credentials in requests that all fail.
    fn fail(&mut self, admin: &Client, user: &str) {
        let nobody = self.app.anonymous();
        let viewer = self.app.principal(Role::Viewer);
        let password = self.password("a wrong login's password");
        let body = json!({ "email": "ann@example.com", "password": password });
        self.send(&nobody, "POST", LOGIN, &body).expect_error(401, "UNAUTHORIZED");
        // The password in the email field, a common slip.
        let address = format!("typed{}@example.com", random());
        self.plant("an unknown address", &address);
        let password = self.password("a password typed as the address");
        for email in [&address, &password] {
            let body = json!({ "email": email, "password": "some password" });
            let reply = self.send(&nobody, "POST", LOGIN, &body);
            assert!([400, 401].contains(&reply.status), "{}", reply.text());
        }
        let password = self.password("a password that is refused");
        for body in [
            json!({ "email": "ann@example.com", "password": [password] }),
            json!({ "email": { "x": password }, "password": password }),
            json!({ "email": "ann@example.com", "password": password, "name": [password] }),
            json!({ "email": "b@example.com", "password": password, "role": password,
                "allEnvironments": password }),
            json!({ "newPassword": [password], "currentPassword": password }),
            json!({ "newPassword": password.repeat(20), "name": password.repeat(20) }),
            json!([password]),
            json!(password),
        ] {
            let change = format!("{user}/change-password");
            for path in [LOGIN, REGISTER, USERS, ACCOUNTS, TOKENS, change.as_str()] {
                for client in [&nobody, &viewer, admin] {
                    let reply = self.send(client, "POST", path, &body);
                    assert!(reply.status >= 400, "{path} {}", reply.text());
                }
            }
            self.send(admin, "PATCH", user, &body);
        }
        let body = json!({ "password": password, "passwordHash": password });
        self.send(admin, "PATCH", user, &body).expect_error(422, "READONLY_FIELD");
        let cut = format!("{{\"email\":\"ann@example.com\",\"password\":{}", json!(password));
        let reply = nobody.send("POST", LOGIN, Some(("application/json", cut.as_bytes())));
        self.keep("a cut login", &reply);
        let reply = nobody.send("POST", LOGIN, Some(("text/plain", password.as_bytes())));
        self.keep("a login of another type", &reply);
        for prefix in ["cof_", "cos_"] {
            let token = format!("{prefix}{}{}", random(), &random()[..19]);
            self.credential("a token that is none", &token);
            for client in [self.app.bearer(&token), cookie(&self.app, &token)] {
                self.send(&client, "GET", ME, &Value::Null).expect_error(401, "UNAUTHORIZED");
            }
            // Pasted in place of an id.
            self.send(admin, "DELETE", &format!("{TOKENS}/{token}"), &Value::Null);
        }
    }

    fn searcher(&self) -> Searcher {
        let all = self.planted.iter().flat_map(|(name, text)| needles(name, text.as_bytes()));
        Searcher::new(all.collect())
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn no_password_and_no_credential_is_in_any_answer_log_line_or_file() {
    let mut session = Session::start();
    session.live();
    let searcher = session.searcher();
    // Positive control: the searcher finds what was planted.
    let (_, last) = session.planted.last().unwrap();
    assert!(!searcher.find(format!("before {last} behind").as_bytes()).is_empty());
    for (request, answer) in &session.answers {
        searcher.assert_clean(request, answer);
        let printed = String::from_utf8_lossy(answer).to_lowercase();
        assert!(!printed.contains("$argon2"), "a hash is in {request}");
    }
    let dir = session.app.stop();
    let log = support::kept_log();
    assert!(log.iter().any(|line| line.starts_with("DEBUG coffer")), "{} lines", log.len());
    for line in log {
        // Do not print the line: it may contain the leak.
        searcher.assert_clean("a log line", line.as_bytes());
        assert!(!line.contains("$argon2"), "a hash is in the log");
    }
    let files = files_below(&support::data_dir(dir.path()));
    assert!(files.len() >= 5);
    for file in files {
        searcher.assert_clean(&file.display().to_string(), &std::fs::read(&file).unwrap());
    }
    let rows = support::audit_rows(dir.path());
    let said = format!("{rows:?}");
    searcher.assert_clean("the audit log", said.as_bytes());
    assert!(said.contains("auth.login") || said.contains("AuthLogin"));
}
