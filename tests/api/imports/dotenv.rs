//! Importing the text of a `.env` file: its values arrive unchanged, all of them or none. A refusal
//! names a line or a key and contains no part of a value.

use std::collections::BTreeMap;

use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{keys, new_secret, new_var, reveal, text};
use support::paths::{IMPORT, IMPORT_VARS, SECRETS, SETTINGS, VARS};
use support::{Client, Reply, TestApp};

const CANARY: &str = "cAnArY7f3b9d21";

/// Starts a server and keeps all of its log.
fn start() -> TestApp {
    support::keep_log();
    TestApp::start()
}

fn with(dotenv: &str, more: &Value) -> Value {
    let mut body = json!({ "dotenv": dotenv });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn import(client: &Client, dotenv: &str, more: &Value) -> Reply {
    client.post(IMPORT, &with(dotenv, more))
}

/// Keys with their outcomes and versions.
fn results(answer: &Value) -> Vec<String> {
    let result =
        |one: &Value| format!("{} {} {}", text(one, "key"), text(one, "outcome"), one["version"]);
    answer["import"]["results"].as_array().unwrap().iter().map(result).collect()
}

fn secrets(client: &Client) -> BTreeMap<String, Value> {
    let list = client.get(SECRETS).expect(200)["secrets"].clone();
    let pair = |one: &Value| (text(one, "key").to_owned(), one.clone());
    list.as_array().unwrap().iter().map(pair).collect()
}

fn values(client: &Client) -> BTreeMap<String, String> {
    let all = secrets(client).into_iter();
    all.map(|(key, one)| (key, reveal(client, text(&one, "id")))).collect()
}

fn modes(client: &Client) -> Vec<(String, bool)> {
    let all = secrets(client).into_iter();
    all.map(|(key, one)| (key, one["neverReveal"].as_bool().unwrap())).collect()
}

/// Everything that an import could change.
fn snapshot(client: &Client) -> Vec<String> {
    let paths = [SECRETS, VARS, "/api/audit-logs", "/api/environments/development"];
    paths.iter().map(|path| client.get(path).text()).collect()
}

/// Fails if the canary is in a response, its headers, or the log.
#[track_caller]
fn has_no_canary(reply: &Reply) {
    let whole = format!("{:?} {}", reply.headers, reply.text()).to_lowercase();
    assert!(!whole.contains(&CANARY.to_lowercase()), "{whole}");
    let log = support::kept_log();
    let said = log.iter().find(|line| line.to_lowercase().contains(&CANARY.to_lowercase()));
    assert_eq!(said, None);
}

const FILE: &str = "\u{feff}# of the shop\r\n\
    export SMTP_USER = mailer  # who sends\r\n\
    \r\n\
    DB='postgres://u:p#w$x@h/\"d\" ${NOT}'\r\n\
    PEM=\"-----BEGIN-----\r\nabc\\tdé\r\n-----END-----\\n\"\r\n\
    QUOTED=\"it's \\\"so\\\" \\\\\"\n\
    HASH=$2a$10$N9qo\r\
    JSON='{\"a\":\n 1}' # two lines";

#[test]
fn a_file_arrives_unchanged() {
    let app = start();
    let operator = app.principal(Role::Operator);
    let answer = import(&operator, FILE, &json!({})).expect(200);
    let in_order = ["SMTP_USER", "DB", "PEM", "QUOTED", "HASH", "JSON"];
    assert_eq!(results(&answer), in_order.map(|key| format!("{key} created 1")));
    assert_eq!(answer["import"]["created"], 6);
    let admin = app.admin();
    let expected = [
        ("SMTP_USER", "mailer"),
        ("DB", "postgres://u:p#w$x@h/\"d\" ${NOT}"),
        ("PEM", "-----BEGIN-----\nabc\tdé\n-----END-----\n"),
        ("QUOTED", "it's \"so\" \\"),
        ("HASH", "$2a$10$N9qo"),
        ("JSON", "{\"a\":\n 1}"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(values(&admin), BTreeMap::from(expected));
    let rows = admin.get("/api/audit-logs?action=secret.import").expect(200)["logs"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert!(rows.as_array().unwrap().iter().all(|row| row["requestId"] == rows[0]["requestId"]));
}

#[test]
fn vars_arrive_by_the_same_rules() {
    let app = start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "OLD", "first");
    let path = format!("/api/vars/{}", text(&made, "id"));
    admin.patch(&path, &json!({ "description": "kept" })).expect(200);
    let body = |mode: &str| with("NEW='a\nb'\nexport OLD=second", &json!({ "onConflict": mode }));
    let refused = admin.post(IMPORT_VARS, &body("fail")).expect_error(409, "CONFLICT");
    assert_eq!(refused["field"], "dotenv");
    assert_eq!(refused["message"], "dotenv has OLD, which already exists");
    assert_eq!(keys(&admin.get(VARS).expect(200)["vars"]), ["OLD"]);
    let answer = admin.post(IMPORT_VARS, &body("replace")).expect(200);
    assert_eq!(results(&answer), ["NEW created 1", "OLD replaced 2"]);
    let vars = admin.get(VARS).expect(200)["vars"].clone();
    assert_eq!((&vars[0]["value"], &vars[1]["value"]), (&json!("a\nb"), &json!("second")));
    assert_eq!(vars[1]["description"], "kept");
}

/// Fails unless the import is refused with this field and this beginning of the message, and
/// nothing was imported.
#[track_caller]
fn refuses(admin: &Client, path: &str, body: &Value, field: &str, begins: &str) {
    let before = snapshot(admin);
    let reply = admin.post(path, body);
    has_no_canary(&reply);
    let refused = reply.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(refused["field"], field, "{refused}");
    assert!(text(&refused, "message").starts_with(begins), "{begins}: {refused}");
    assert_eq!(snapshot(admin), before);
}

#[test]
fn what_is_refused_names_a_line_or_a_key_and_nothing_of_a_value() {
    let app = start();
    let admin = app.admin();
    let lines = [
        (format!("A=1\n\n{CANARY}"), "dotenv cannot be read: line 3: expected KEY=value"),
        (format!("A=1\r\n{CANARY}=2"), "dotenv cannot be read: line 2: the key must"),
        (format!("A={CANARY}\nA={CANARY}"), "dotenv cannot be read: line 2: duplicate key"),
        (format!("A='\n'\nB='{CANARY}"), "dotenv cannot be read: line 3: unclosed single quote"),
        (format!("A=\"{CANARY}"), "dotenv cannot be read: line 1: unclosed double quote"),
        (
            format!("A='x'{CANARY}"),
            "dotenv cannot be read: line 1: unexpected text after the closing quote",
        ),
        (format!("A={CANARY}#1"), "dotenv cannot be read: line 1: unquoted #"),
        (format!("A=`{CANARY}`"), "dotenv cannot be read: line 1: backquotes"),
        (format!("A=${{{CANARY}}}"), "dotenv cannot be read: line 1: references such as ${NAME}"),
        (
            format!("A=\"{CANARY}\\q\""),
            "dotenv cannot be read: line 1: in double quotes, a backslash",
        ),
        (
            format!("A={CANARY}\nB=\n"),
            "dotenv cannot be imported: the value of B must be 1 to 65536",
        ),
        (
            format!("A={CANARY}\nB={CANARY}{}", "x".repeat(65_536)),
            "dotenv cannot be imported: the value of B must be 1 to 65536",
        ),
        (String::new(), "dotenv must have 1 to 1000 keys, but has 0"),
        (format!("\u{feff}\n# {CANARY}"), "dotenv must have 1 to 1000 keys, but has 0"),
        (many(1001), "dotenv must have 1 to 1000 keys, but has 1001"),
    ];
    for (file, begins) in &lines {
        for path in [IMPORT, IMPORT_VARS] {
            refuses(&admin, path, &json!({ "dotenv": file }), "dotenv", begins);
        }
    }
    let answer = import(&admin, &many(1000), &json!({})).expect(200);
    assert_eq!(answer["import"]["created"], 1000);
}

fn many(count: usize) -> String {
    (0..count).map(|number| format!("K{number}={CANARY}\n")).collect()
}

#[test]
fn no_part_of_a_body_is_lost_by_a_slip() {
    let app = start();
    let admin = app.admin();
    let file = format!("A={CANARY}");
    let list = json!([{ "key": "A", "value": CANARY }]);
    for (path, name) in [(IMPORT, "secrets"), (IMPORT_VARS, "vars")] {
        let begins = format!("dotenv cannot be combined with {name}");
        for beside in [list.clone(), json!(null)] {
            refuses(&admin, path, &json!({ "dotenv": file, name: beside }), "dotenv", &begins);
        }
        for wrong in [json!(null), json!(1), json!([CANARY]), json!({ CANARY: CANARY })] {
            let begins = "dotenv must be a string";
            refuses(&admin, path, &json!({ "dotenv": wrong }), "dotenv", begins);
        }
        // Misspelled: alone, next to a list, and a list next to a text.
        for slip in ["Dotenv", "dotenv ", "dot_env", "DOTENV"] {
            let begins = "The member must be spelled dotenv.";
            refuses(&admin, path, &json!({ slip: file }), "dotenv", begins);
            refuses(&admin, path, &json!({ slip: file, name: list }), "dotenv", begins);
        }
        let (slip, begins) = (name.to_uppercase(), format!("The member must be spelled {name}."));
        refuses(&admin, path, &json!({ "dotenv": file, slip: list }), name, &begins);
        refuses(&admin, path, &json!({}), name, &format!("{name} is required"));
        // Of two texts, neither is imported.
        let twice = format!(r#"{{"dotenv":"{file}","dotenv":"{file}"}}"#);
        let reply = admin.send("POST", path, Some(("application/json", twice.as_bytes())));
        has_no_canary(&reply);
        reply.expect_error(400, "VALIDATION_ERROR");
        // Unknown members are ignored, as on every route.
        let dry = json!({ "dotenv": file, "unknown": CANARY, "dryRun": true });
        admin.post(path, &dry).expect(200);
    }
    for never in [json!(null), json!("true"), json!(1)] {
        let body = with(&file, &json!({ "neverReveal": never }));
        refuses(&admin, IMPORT, &body, "neverReveal", "neverReveal must be true or false");
    }
    for never in [true, false] {
        let body = json!({ "secrets": list, "neverReveal": never });
        refuses(&admin, IMPORT, &body, "neverReveal", "neverReveal is only for dotenv");
        // A file of secrets sent to the vars: everyone with access could read it.
        let body = with(&file, &json!({ "neverReveal": never }));
        refuses(&admin, IMPORT_VARS, &body, "neverReveal", "neverReveal is only for secrets");
    }
    for path in [IMPORT, IMPORT_VARS] {
        let body = with(&file, &json!({ "never_reveal": true }));
        refuses(&admin, path, &body, "neverReveal", "The member must be spelled neverReveal.");
        let body = with(&file, &json!({ "dry_run": true }));
        refuses(&admin, path, &body, "dryRun", "The member must be spelled dryRun.");
    }
}

#[test]
fn a_text_over_the_limit_of_a_body_is_no_import() {
    let app = start();
    let admin = app.admin();
    let reply = import(&admin, &format!("A={CANARY}\n#{}", "x".repeat(1 << 20)), &json!({}));
    has_no_canary(&reply);
    reply.expect_error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(secrets(&admin).len(), 0);
}

#[test]
fn on_conflict_and_a_dry_run_are_those_of_a_list() {
    let app = start();
    let admin = app.admin();
    new_secret(&admin, "development", "OLD", "first");
    let file = format!("NEW=n\nOLD={CANARY}\n");
    let before = snapshot(&admin);
    for (mode, expected) in [
        ("fail", ["NEW created 1", "OLD conflict 1"]),
        ("skip", ["NEW created 1", "OLD skipped 1"]),
        ("replace", ["NEW created 1", "OLD replaced 2"]),
    ] {
        let reply = import(&admin, &file, &json!({ "onConflict": mode, "dryRun": true }));
        has_no_canary(&reply);
        assert_eq!(results(&reply.expect(200)), expected);
    }
    for more in [json!({}), json!({ "onConflict": "fail" })] {
        let reply = import(&admin, &file, &more);
        has_no_canary(&reply);
        let refused = reply.expect_error(409, "CONFLICT");
        assert_eq!(refused["field"], "dotenv");
        assert_eq!(refused["message"], "dotenv has OLD, which already exists");
    }
    assert_eq!(snapshot(&admin), before);
    let skipped = import(&admin, &file, &json!({ "onConflict": "skip" })).expect(200);
    assert_eq!(results(&skipped), ["NEW created 1", "OLD skipped 1"]);
    assert_eq!(values(&admin)["OLD"], "first");
    let replaced = import(&admin, &file, &json!({ "onConflict": "replace" })).expect(200);
    assert_eq!(results(&replaced), ["NEW replaced 2", "OLD replaced 2"]);
    assert_eq!(values(&admin)["OLD"], CANARY);
    let refused = import(&admin, &file, &json!({})).expect_error(409, "CONFLICT");
    let said: Vec<_> = refused["details"].as_array().unwrap().iter().collect();
    let named = |key: &str| json!({ "field": "dotenv", "message": format!("dotenv has {key}, which already exists") });
    assert_eq!(said, [&named("NEW"), &named("OLD")]);
}

#[test]
fn never_reveal_is_for_all_of_them_and_for_good() {
    let app = start();
    let admin = app.admin();
    let open = new_secret(&admin, "development", "OPEN", "one");
    let replace = |never: bool| json!({ "onConflict": "replace", "neverReveal": never });
    import(&admin, "OPEN=two\nNEW=x", &replace(true)).expect(200);
    assert_eq!(modes(&admin), [("NEW".to_owned(), true), ("OPEN".to_owned(), true)]);
    let path = format!("/api/secrets/{}", text(&open, "id"));
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    admin.send("POST", &format!("{path}/versions/1/activate"), None).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    // One key that cannot be imported makes the whole import fail.
    let before = admin.get(SECRETS).text();
    let reply = import(&admin, &format!("OTHER=x\nOPEN={CANARY}"), &replace(false));
    has_no_canary(&reply);
    let refused = reply.expect_error(422, "READONLY_FIELD");
    assert_eq!(refused["field"], "neverReveal");
    assert!(text(&refused, "message").starts_with("OPEN: "), "{refused}");
    assert_eq!(admin.get(SECRETS).text(), before);
    // Without `neverReveal`, the secret stays write-only.
    import(&admin, "OPEN=three", &json!({ "onConflict": "replace" })).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn the_settings_decide_about_new_ones_of_a_text_that_does_not_say() {
    let app = start();
    let admin = app.admin();
    new_secret(&admin, "development", "OLD", "first");
    admin.patch(SETTINGS, &json!({ "neverRevealByDefault": true })).expect(200);
    import(&admin, "NEW=x\nOLD=second", &json!({ "onConflict": "replace" })).expect(200);
    import(&admin, "SAID=x", &json!({ "neverReveal": false })).expect(200);
    let expected = [("NEW", true), ("OLD", false), ("SAID", false)];
    assert_eq!(modes(&admin), expected.map(|(key, never)| (key.to_owned(), never)));
}

#[test]
fn a_repeated_import_of_a_text_is_answered_again_and_not_done_again() {
    let app = start();
    let admin = app.admin();
    let keyed = admin.with("Idempotency-Key", "a file");
    let replace = json!({ "onConflict": "replace" });
    let first = import(&keyed, "A=x", &replace).expect(200);
    let second = import(&keyed, "A=x", &replace);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.expect(200), first);
    let other = import(&keyed, &format!("A={CANARY}"), &replace);
    has_no_canary(&other);
    other.expect_error(409, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(secrets(&admin)["A"]["version"], 1);
}

#[test]
fn attack_a_text_is_no_way_round_role_and_scope() {
    let app = start();
    let admin = app.admin();
    new_secret(&admin, "development", "KEY", "x");
    let before = [admin.get(SECRETS).text(), admin.get(VARS).text()];
    for path in [IMPORT, IMPORT_VARS] {
        for dry_run in [true, false] {
            let body = with(
                &format!("KEY={CANARY}"),
                &json!({ "dryRun": dry_run, "onConflict": "replace" }),
            );
            for (client, status, code) in [
                (app.anonymous(), 401, "UNAUTHORIZED"),
                (app.principal(Role::Viewer), 403, "FORBIDDEN_ROLE"),
                (app.scoped(Role::Admin, &[]), 403, "FORBIDDEN_SCOPE"),
            ] {
                let reply = client.post(path, &body);
                has_no_canary(&reply);
                reply.expect_error(status, code);
            }
        }
    }
    assert_eq!([admin.get(SECRETS).text(), admin.get(VARS).text()], before);
}
