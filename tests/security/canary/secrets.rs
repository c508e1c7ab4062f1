//! No secret values anywhere: plants values, calls every route, and searches every response, log
//! line and file for them in every encoding.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use coffer::domain::Role;
use serde_json::{Value, json};
use support::search;
use support::search::{Needle, Searcher, needles};
use support::workloads::{Workload, declare};
use support::{Client, Reply, Setup, TestApp};

/// A value that looks different after each kind of escaping, built around a plain token that is
/// found even when only a part leaks.
struct Canary {
    name: &'static str,
    token: String,
    value: String,
}

impl Canary {
    fn new(name: &'static str) -> Self {
        // Random, so that it does not occur by chance in a binary file or in this source.
        let token = random_token();
        let value = format!("é\"\\/<&+ %=?~>{token}\n\t\u{1F511}\u{7f}ß'`$}}");
        Self { name, token, value }
    }

    /// More than two pieces of 4 KiB, each with the token many times.
    fn long(name: &'static str) -> Self {
        let token = random_token();
        let value = token.repeat(9 * 1024 / token.len() + 1);
        assert!(value.len() > 8 * 1024);
        Self { name, token, value }
    }

    fn needles(&self) -> Vec<Needle> {
        let whole = needles(&format!("{} (whole)", self.name), self.value.as_bytes());
        [whole, needles(self.name, self.token.as_bytes())].concat()
    }
}

fn random_token() -> String {
    let mut bytes = [0; 15];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
    format!("Kq{}", search::hex(&bytes))
}

/// Sends requests and records the responses.
struct Recorder {
    answers: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Recorder {
    fn keep(&self, what: &str, reply: Reply) -> Reply {
        let headers: String =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let bytes = [headers.as_bytes(), &reply.body].concat();
        self.answers.lock().unwrap().push((what.to_owned(), bytes));
        reply
    }

    fn send(&self, client: &Client, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string());
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        self.keep(&format!("{method} {path}"), client.send(method, path, body))
    }

    fn bytes(&self, client: &Client, method: &str, path: &str, kind: &str, body: &[u8]) -> Reply {
        self.keep(&format!("{method} {path} {kind}"), client.send(method, path, Some((kind, body))))
    }
}

const SECRETS: &str = "/api/environments/home/secrets";
const SETTINGS: &str = "/api/environments/home/settings/configuration";

struct Session {
    app: TestApp,
    recorder: Recorder,
    canaries: Vec<Canary>,
}

impl Session {
    fn start() -> Self {
        support::keep_log();
        let app = TestApp::start_with(Setup::default().environments(&["home", "other"]));
        Self { app, recorder: Recorder { answers: Mutex::default() }, canaries: Vec::new() }
    }

    /// Plants a new value and returns it.
    fn plant(&mut self, name: &'static str) -> String {
        self.canaries.push(Canary::new(name));
        self.canaries[self.canaries.len() - 1].value.clone()
    }

    fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.recorder.send(&self.app.admin(), method, path, body)
    }

    fn create(&self, body: Value) -> String {
        let made = self.admin("POST", SECRETS, Some(body)).expect(200);
        made["secret"]["id"].as_str().unwrap().to_owned()
    }

    /// Reveals a value. Not recorded: this is the one kind of response that may hold it.
    fn reveal(&self, id: &str) -> String {
        let answer = self.app.admin().get(&format!("/api/secrets/{id}/value")).expect(200);
        answer["value"].as_str().unwrap().to_owned()
    }

    fn plant_in_secrets(&mut self) -> Vec<String> {
        let first = self.plant("revealable");
        let open = self.create(json!({ "key": "OPEN", "value": first, "description": "d" }));
        assert_eq!(self.reveal(&open), first);
        let value = self.plant("never-reveal");
        let shut = self.create(json!({ "key": "SHUT", "value": value, "neverReveal": true }));
        let long = Canary::long("in several pieces");
        let several = self.create(json!({ "key": "LONG", "value": long.value }));
        assert_eq!(self.reveal(&several), long.value);
        self.canaries.push(long);
        for (id, name) in [(&open, "patched"), (&shut, "patched never-reveal")] {
            let value = self.plant(name);
            self.admin("PATCH", &format!("/api/secrets/{id}"), Some(json!({ "value": value })))
                .expect(200);
        }
        for id in [&open, &shut, &several] {
            let activate = format!("/api/secrets/{id}/versions/1/activate");
            self.admin("POST", &activate, None).expect(200);
        }
        assert_eq!(self.reveal(&open), first, "version 1 is active again");
        let value = self.plant("latched later");
        let latched = self.create(json!({ "key": "LATCHED", "value": value }));
        self.admin("PATCH", &format!("/api/secrets/{latched}"), Some(json!({"neverReveal": true})))
            .expect(200);
        let value = self.plant("deleted");
        let deleted = self.create(json!({ "key": "DELETED", "value": value }));
        self.admin("DELETE", &format!("/api/secrets/{deleted}"), None).expect(200);
        vec![open, shut, several, latched, deleted]
    }

    /// Copies every secret to the other environment: first as new keys, then over existing ones.
    fn copy(&self) {
        let copy = "/api/environments/other/secrets/copy";
        for on_conflict in ["fail", "replace", "skip"] {
            let keys = ["OPEN", "SHUT", "LONG", "LATCHED"];
            let body = json!({ "from": "home", "keys": keys, "onConflict": on_conflict });
            let reply = self.admin("POST", copy, Some(body)).expect(200);
            assert_eq!(reply["copied"].as_array().unwrap().len(), keys.len());
        }
        let body = json!({ "from": "home", "keys": ["OPEN", "GONE"] });
        self.admin("POST", copy, Some(body)).expect_error(404, "NOT_FOUND");
        let body = json!({ "from": "home", "keys": ["SHUT"] });
        self.admin("POST", copy, Some(body)).expect_error(409, "CONFLICT");
    }

    /// Delivers a bundle to a workload, which opens it; to everyone else it is ciphertext.
    fn deliver(&self) {
        let workload = Workload::new("w");
        declare(&self.app, vec![workload.declared(&["home"], &["*"])]);
        let home = "/api/environments/home";
        let bundle = self.admin("GET", &format!("{home}/bundle?workload=w"), None);
        let opened = workload.open(&bundle.body);
        for (key, canary) in [("OPEN", "revealable"), ("SHUT", "never-reveal")] {
            let planted = self.canaries.iter().find(|one| one.name == canary).unwrap();
            assert_eq!(
                opened["values"][key], planted.value,
                "the delivery must contain the planted value"
            );
        }
        let known = self.app.admin().with("If-None-Match", bundle.header("etag").unwrap());
        let again = format!("{home}/bundle?workload=w");
        assert_eq!(self.recorder.send(&known, "GET", &again, None).status, 304);
        for list in ["workloads", "deliveries", "secrets"] {
            self.admin("GET", &format!("{home}/{list}"), None).expect(200);
        }
    }

    fn plant_generated(&mut self) -> Vec<String> {
        let alphabets =
            [("alphanumeric", "M1"), ("hex", "M2"), ("base64url", "M3"), ("ascii", "M4")];
        let mut made = Vec::new();
        for (alphabet, key) in alphabets {
            let generate = json!({ "length": 40, "alphabet": alphabet });
            let id = self.create(json!({ "key": key, "generate": generate }));
            let value = self.reveal(&id);
            assert_eq!(value.len(), 40);
            self.canaries.push(Canary { name: "generated", token: value.clone(), value });
            made.push(id);
        }
        made
    }

    fn plant_in_failures(&mut self, ids: &[String]) {
        let admin = self.app.admin();
        let value = self.plant("409");
        let again = json!({ "key": "OPEN", "value": value, "description": "x" });
        self.admin("POST", SECRETS, Some(again)).expect_error(409, "CONFLICT");
        let value = self.plant("409 by If-Match");
        let late = admin.with("If-Match", "\"77\"");
        let patch = format!("/api/secrets/{}", ids[0]);
        self.recorder
            .send(&late, "PATCH", &patch, Some(json!({ "value": value })))
            .expect_error(409, "CONFLICT");
        let value = self.plant("409 of an import");
        let items =
            json!([{ "key": "IMPORTED", "value": value }, { "key": "OPEN", "value": value }]);
        let import = format!("{SECRETS}/import");
        let body = json!({ "secrets": items, "onConflict": "fail" });
        self.admin("POST", &import, Some(body)).expect_error(409, "CONFLICT");
        let body = json!({ "secrets": items, "onConflict": "skip" });
        self.admin("POST", &import, Some(body)).expect(200);
        for (body, status) in self.malformed() {
            let reply = self.recorder.bytes(&admin, "POST", SECRETS, "application/json", &body);
            assert_eq!(reply.status, status, "{}", reply.text());
            let reply = self.recorder.bytes(&admin, "PATCH", &patch, "application/json", &body);
            assert!(matches!(reply.status, 400 | 413 | 422), "{}", reply.text());
        }
        let value = self.plant("415");
        for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let reply = self.recorder.bytes(&admin, "POST", SECRETS, kind, value.as_bytes());
            reply.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let value = self.plant("404");
        let body = json!({ "key": "NEW", "value": value });
        let missing = "/api/environments/missing/secrets";
        self.admin("POST", missing, Some(body)).expect_error(404, "NOT_FOUND");
        let value = self.plant("422");
        let body = json!({ "value": value, "version": 3, "encryptedValue": value });
        self.admin("PATCH", &patch, Some(body)).expect_error(422, "READONLY_FIELD");
        self.plant_in_refusals(ids);
    }

    /// Bodies with a value in the wrong place or form, and their statuses.
    fn malformed(&mut self) -> Vec<(Vec<u8>, u16)> {
        let mut bad = |name, body: &dyn Fn(&Value) -> String| {
            let value = self.plant(name);
            (body(&json!(value)).into_bytes(), 400)
        };
        let mut bodies = vec![
            bad("400: value as key", &|v| format!(r#"{{"key":{v},"value":"x"}}"#)),
            bad("400: value in a list", &|v| format!(r#"{{"key":"NEW","value":[{v}]}}"#)),
            bad("400: value in an object", &|v| format!(r#"{{"key":"NEW","value":{{{v}:1}}}}"#)),
            bad("400: bad key beside it", &|v| format!(r#"{{"key":"lower","value":{v}}}"#)),
            bad("400: cut off", &|v| format!(r#"{{"key":"NEW","value":{v}"#)),
            bad("400: not JSON", &|v| format!("{{key:{v}}}")),
            bad("400: only a string", &|v| v.to_string()),
            bad("400: bare", &|v| v.as_str().unwrap().to_owned()),
            bad("400: behind it", &|v| format!(r#"{{"key":"NEW","value":"x"}}{v}"#)),
            bad("400: twice", &|v| format!(r#"{{"value":{v},"key":"NEW","value":{v}}}"#)),
            bad("400: beside generate", &|v| {
                format!(r#"{{"key":"NEW","value":{v},"generate":{{}}}}"#)
            }),
            bad("400: as alphabet", &|v| {
                format!(r#"{{"key":"NEW","generate":{{"alphabet":{v},"length":{v}}}}}"#)
            }),
            bad("400: as neverReveal", &|v| {
                format!(r#"{{"key":"NEW","value":"x","neverReveal":{v}}}"#)
            }),
            bad("400: lone surrogate", &|v| format!(r#"{{"key":"NEW","value":[{v},"\ud800"]}}"#)),
            bad("400: too long", &|v| {
                format!(r#"{{"key":"NEW","value":{}}}"#, json!(v.as_str().unwrap().repeat(2000)))
            }),
        ];
        let value = self.plant("413").repeat(20_000);
        bodies.push((json!({ "key": "NEW", "value": value }).to_string().into_bytes(), 413));
        let utf8 = self.plant("400: not UTF-8").into_bytes();
        bodies.push(([b"{\"key\":\"NEW\",\"value\":\"", &utf8[..], b"\xff\"}"].concat(), 400));
        bodies
    }

    fn plant_in_refusals(&mut self, ids: &[String]) {
        let other = self.app.environment_id("other");
        let viewer = self.app.principal(Role::Viewer);
        let stranger = self.app.scoped(Role::Operator, &[&other]);
        let nobody = self.app.anonymous();
        let cases = [
            ("403 by role", &viewer, 403, 403),
            ("403 by scope", &stranger, 403, 404),
            ("401", &nobody, 401, 401),
        ];
        for (name, client, create, patch) in cases {
            let value = self.plant(name);
            let body = json!({ "key": "NEW", "value": value });
            let reply = self.recorder.send(client, "POST", SECRETS, Some(body.clone()));
            assert_eq!(reply.status, create);
            let body = json!({ "value": value });
            let path = format!("/api/secrets/{}", ids[0]);
            let reply = self.recorder.send(client, "PATCH", &path, Some(body));
            assert_eq!(reply.status, patch);
            let value = format!("/api/secrets/{}/value", ids[0]);
            let reply = self.recorder.send(client, "GET", &value, None);
            assert!(reply.status >= 401);
        }
    }

    /// A value that was pasted in place of an id.
    fn plant_in_paths(&mut self) {
        self.plant("in a path");
        let token = self.canaries[self.canaries.len() - 1].token.clone();
        let stranger = self.app.scoped(Role::Admin, &[]);
        for client in [self.app.admin(), stranger, self.app.anonymous()] {
            for path in [
                format!("/api/secrets/{token}/value"),
                format!("/api/environments/{token}/secrets"),
                format!("/api/{token}"),
                format!("/{token}"),
            ] {
                let reply = self.recorder.send(&client, "GET", &path, None);
                assert!(reply.status >= 400, "{path}");
            }
            let page = format!("{SECRETS}?prefix={token}&limit={token}");
            self.recorder.send(&client, "GET", &page, None);
        }
    }

    /// Calls every route again, as every role, with all planted values in place.
    fn walk(&self, ids: &[String]) {
        let home = self.app.environment_id("home");
        let var = json!({ "key": "PLAIN", "value": "plain" });
        let var = self.admin("POST", "/api/environments/home/vars", Some(var)).expect(200);
        let var = var["var"]["id"].as_str().unwrap().to_owned();
        let mut clients = vec![self.app.anonymous(), self.app.bearer("cof_garbage")];
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            clients.extend([self.app.principal(role), self.app.scoped(role, &[&home])]);
            clients.push(self.app.scoped(role, &[]));
        }
        for route in coffer::http::routes() {
            for id in ids {
                let id = if route.path.starts_with("/api/vars") { &var } else { id };
                let path = route.path.replace("{environment}", "home").replace("{id}", id);
                let path = path.replace("{version}", "2");
                let reveals = path.ends_with("/value");
                for (number, client) in clients.iter().enumerate() {
                    // Reveals by callers who may reveal are tested in `refused_reveals`.
                    if reveals && number >= 8 {
                        continue;
                    }
                    let method =
                        if route.method == "DELETE" { "HEAD" } else { route.method.as_str() };
                    self.recorder.send(client, method, &path, None);
                    if id == &ids[0] {
                        self.recorder.send(client, "PUT", &path, None);
                    }
                }
            }
        }
        for query in ["?limit=2", "?prefix=S", "?after=OPEN", "?limit=x"] {
            self.admin("GET", &format!("{SECRETS}{query}"), None);
        }
        self.admin("GET", "/no/such/route", None).expect_error(404, "NOT_FOUND");
        self.admin("GET", "/api/no/such/route", None).expect_error(404, "NOT_FOUND");
    }

    fn refused_reveals(&self, ids: &[String]) {
        for (number, id) in ids.iter().enumerate() {
            let path = format!("/api/secrets/{id}/value");
            self.admin("HEAD", &path, None);
            if matches!(number, 1 | 3) {
                self.admin("GET", &path, None).expect_error(403, "SECRET_WRITE_ONLY");
            }
        }
        let off = json!({ "allowSecretReveal": false });
        self.admin("PATCH", SETTINGS, Some(off)).expect(200);
        for id in ids.iter().take(4) {
            let path = format!("/api/secrets/{id}/value");
            self.admin("GET", &path, None).expect_error(403, "REVEAL_DISABLED");
        }
        self.admin("POST", &format!("{SETTINGS}/reset"), None).expect(200);
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

fn search_files(data: &Path, searcher: &Searcher, besides: &str) -> usize {
    let files = files_below(data);
    for file in files.iter().filter(|file| !file.ends_with(besides)) {
        searcher.assert_clean(&file.display().to_string(), &std::fs::read(file).unwrap());
    }
    files.len()
}

fn search_log(searcher: &Searcher) {
    let log = support::kept_log();
    // Without this check, the search would accept an empty log.
    assert!(log.iter().any(|line| line.starts_with("DEBUG coffer")), "{} lines", log.len());
    assert!(log.iter().any(|line| line.starts_with("TRACE")), "{} lines", log.len());
    for line in log {
        searcher.assert_clean("a log line", line.as_bytes());
        // Do not print the line: it may contain the leak.
    }
}

#[test]
fn no_planted_value_is_in_any_answer_but_a_granted_reveal_nor_in_any_log_line_or_file() {
    let mut session = Session::start();
    let ids = session.plant_in_secrets();
    let made = session.plant_generated();
    session.copy();
    session.deliver();
    session.plant_in_failures(&ids);
    let all = [&ids[..], &made[..1]].concat();
    session.plant_in_paths();
    session.walk(&all);
    session.refused_reveals(&ids);

    // Positive controls: the searcher finds a value where one is allowed.
    let searcher = Searcher::new(session.canaries.iter().flat_map(Canary::needles).collect());
    let granted = session.app.admin().get(&format!("/api/secrets/{}/value", ids[2]));
    assert!(!searcher.find(&granted.body).is_empty());
    let in_clear = Canary::new("var");
    let var = json!({ "key": "CLEAR", "value": in_clear.value });
    session.app.admin().post("/api/environments/home/vars", &var).expect(200);

    let Session { app, recorder, .. } = session;
    let dir = app.stop();
    let data = support::data_dir(dir.path());
    for (request, answer) in recorder.answers.into_inner().unwrap() {
        searcher.assert_clean(&request, &answer);
    }
    search_log(&searcher);
    assert!(search_files(&data, &searcher, "") >= 5);
    let in_clear = Searcher::new(in_clear.needles());
    let database = std::fs::read(data.join("db/db")).unwrap();
    assert!(
        !in_clear.find(&database).is_empty(),
        "vars are stored in plain text and must be found"
    );
}

#[test]
fn neither_the_admin_token_nor_the_root_key_is_anywhere_but_in_its_own_file() {
    let mut session = Session::start();
    let ids = session.plant_in_secrets();
    session.walk(&ids);
    let token = session.app.admin_token().to_owned();
    let recorded = session.recorder.answers.lock().unwrap().clone();
    let dir = session.app.stop();
    let data = support::data_dir(dir.path());

    let root_key = std::fs::read_to_string(data.join("root.key")).unwrap();
    let raw = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(root_key.trim()).unwrap()
    };
    // Records show the prefix on purpose; the rest is secret.
    let token = Searcher::new(needles("the token", &token.as_bytes()[8..]));
    let key_text = needles("the key's text", root_key.trim().as_bytes());
    let key = Searcher::new([needles("the root key", &raw), key_text].concat());
    for (request, answer) in recorded {
        token.assert_clean(&request, &answer);
        key.assert_clean(&request, &answer);
    }
    search_log(&token);
    search_log(&key);
    search_files(&data, &token, "bootstrap-token");
    search_files(&data, &key, "root.key");
    // Positive control: the search finds them where they belong.
    assert!(!token.find(&std::fs::read(data.join("bootstrap-token")).unwrap()).is_empty());
    assert!(!key.find(&std::fs::read(data.join("root.key")).unwrap()).is_empty());
}

#[test]
fn the_searcher_finds_each_encoding_at_every_alignment() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    let canary = Canary::new("planted");
    let value = &canary.value;
    let searcher = Searcher::new(needles("planted", value.as_bytes()));
    let found = |bytes: &[u8]| {
        let around = [b"\x00before", bytes, b"after\xff"].concat();
        searcher.find(&around).iter().map(|needle| needle.encoding).collect::<Vec<_>>()
    };
    assert!(found(b"").is_empty());
    assert_eq!(found(value.as_bytes()), ["raw"]);
    assert!(found(&value.as_bytes()[1..]).is_empty());
    for before in 0..6 {
        for after in 0..4 {
            let text = [&b"abcdef"[..before], value.as_bytes(), &b"uvwxyz"[..after]].concat();
            let hits = found(STANDARD.encode(&text).as_bytes());
            assert!(hits.contains(&"base64"), "{before} {after}");
            let hits = found(URL_SAFE.encode(&text).as_bytes());
            assert!(hits.contains(&"base64url"), "{before} {after}");
        }
    }
    let hex = search::hex(value.as_bytes());
    assert_eq!(found(hex.as_bytes()), ["hex"]);
    assert_eq!(found(hex.to_uppercase().as_bytes()), ["hex"]);
    assert!(found(json!({ "a": value }).to_string().as_bytes()).contains(&"json"));
    assert!(found(format!("{value:?}").as_bytes()).contains(&"debug"));
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(found(&utf16), ["utf-16le"]);
    assert_eq!(found(&value.bytes().rev().collect::<Vec<_>>()), ["reversed"]);
    let url: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert!(found(url.as_bytes()).is_empty(), "only what needs escaping is escaped");
    let escaped = Searcher::new(needles("p", "a b/c\u{e9}\"12345".as_bytes()));
    for text in [
        "a%20b%2Fc%C3%A9%2212345",
        "a+b%2Fc%C3%A9%2212345",
        "a%20b%2fc%c3%a9%2212345",
        r#"a b\/cé\"12345"#,
        r#"a b/c\u00e9\"12345"#,
    ] {
        assert!(!escaped.find(text.as_bytes()).is_empty(), "{text}");
    }
    let sha = ring::digest::digest(&ring::digest::SHA256, value.as_bytes());
    assert_eq!(found(search::hex(sha.as_ref()).as_bytes()), ["sha256"]);
}
