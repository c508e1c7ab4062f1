//! Bad input gets a 4xx status and no echo: no byte of the request comes back, because it may have
//! been a secret in the wrong place. Every bad request here carries a mark, and no response may
//! contain it. Bodies that are not JSON are in `malformed_json.rs`, requests that are not HTTP in
//! `bad_http.rs`.

use proptest::prelude::*;
use serde_json::{Value, json};
use support::paths::{SECRETS, SETTINGS, VARS};
use support::{Client, Reply, TestApp};

const JSON: &str = "application/json";
const MARK: &str = "mArKeR7f3a";

/// Fails unless the response is a 4xx without the mark.
#[track_caller]
fn refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
    let headers = reply.headers.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    let all = headers.chain([reply.text().as_str()]).collect::<Vec<_>>().join("\n").to_lowercase();
    assert!(!all.contains(&MARK.to_lowercase()), "{what}: {all}");
}

fn make(client: &Client, list: &str, name: &str) -> String {
    let reply = client.post(list, &json!({ "key": "OWN", "value": "v" }));
    format!("/api/{name}s/{}", reply.expect(200)[name]["id"].as_str().unwrap())
}

/// One or more values of every JSON type.
fn values() -> Vec<Value> {
    vec![
        json!(MARK),
        json!(0),
        json!(1),
        json!(-1.5),
        json!(1e300),
        json!(true),
        json!([]),
        json!([MARK]),
        json!({}),
        json!({ MARK: MARK }),
    ]
}

#[test]
fn a_member_of_the_wrong_type_is_refused_by_name() {
    let app = TestApp::start();
    let admin = app.admin();
    let (secret, var) = (make(&admin, SECRETS, "secret"), make(&admin, VARS, "var"));
    let new = json!({ "key": "A", "value": "v" });
    let environment = json!({ "name": "staging" });
    let none = json!({});
    let (text, boolean, object) = ("text", "boolean", "object");
    let places = [
        (
            "POST",
            SECRETS,
            &new,
            vec![("key", text), ("value", text), ("description", text), ("neverReveal", boolean)],
        ),
        ("POST", SECRETS, &json!({ "key": "A" }), vec![("generate", object)]),
        (
            "PATCH",
            &secret,
            &none,
            vec![
                ("value", text),
                ("description", text),
                ("neverReveal", boolean),
                ("generate", object),
            ],
        ),
        ("POST", VARS, &new, vec![("key", text), ("value", text), ("description", text)]),
        ("PATCH", &var, &none, vec![("value", text), ("description", text)]),
        ("POST", "/api/environments", &environment, vec![("name", text), ("displayName", text)]),
        (
            "PATCH",
            SETTINGS,
            &none,
            vec![("allowSecretReveal", boolean), ("neverRevealByDefault", boolean)],
        ),
    ];
    for (method, path, base, members) in places {
        for (member, kind) in members {
            for value in &values() {
                let right = match kind {
                    "text" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    _ => value.is_object(),
                };
                if right {
                    continue;
                }
                let mut body = base.clone();
                body[member] = value.clone();
                let reply = admin.send(method, path, Some((JSON, body.to_string().as_bytes())));
                refused(&reply, &format!("{method} {path} {body}"));
                assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], member, "{body}");
            }
        }
    }
    assert_eq!(admin.get(&secret).expect(200)["secret"]["version"], 1);
    assert_eq!(admin.get(&var).expect(200)["var"]["version"], 1);
}

#[test]
fn a_member_that_breaks_its_rule_is_refused_without_an_echo() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = make(&admin, SECRETS, "secret");
    let long = format!("{MARK}{}", "x".repeat(70_000));
    let bodies = [
        ("POST", SECRETS, json!({ "key": MARK, "value": "v" })),
        ("POST", SECRETS, json!({ "key": format!("A {MARK}"), "value": MARK })),
        ("POST", SECRETS, json!({ "key": "A", "value": long })),
        ("POST", SECRETS, json!({ "key": "A", "value": "v", "description": long })),
        ("POST", SECRETS, json!({ "key": "A", "value": MARK, "generate": {} })),
        ("POST", SECRETS, json!({ "key": "A", "generate": { "alphabet": MARK } })),
        ("POST", SECRETS, json!({ "key": "A", "generate": { "length": MARK } })),
        ("POST", SECRETS, json!({ "key": MARK })),
        ("PATCH", secret.as_str(), json!({ "value": long })),
        ("PATCH", secret.as_str(), json!({ "key": MARK })),
        ("PATCH", secret.as_str(), json!({ "nonce": MARK, "encryptedValue": MARK })),
        ("POST", VARS, json!({ "key": MARK, "value": MARK })),
        ("POST", "/api/environments", json!({ "name": format!("{MARK}!") })),
        ("POST", "/api/environments", json!({ "name": "x", "displayName": long })),
        ("PATCH", SETTINGS, json!({ MARK: true })),
        ("PATCH", SETTINGS, json!({ "allowSecretReveal": MARK })),
        ("POST", SECRETS, json!({ "key": "OWN", "value": MARK, "description": MARK })),
    ];
    for (method, path, body) in bodies {
        let reply = admin.send(method, path, Some((JSON, body.to_string().as_bytes())));
        refused(&reply, &format!("{method} {path}"));
    }
    assert_eq!(admin.get(&secret).expect(200)["secret"]["version"], 1);
}

#[test]
fn values_come_back_byte_for_byte() {
    let app = TestApp::start();
    let admin = app.admin();
    let values = [
        "\0",
        "\0\0a\0",
        "a\0b",
        " ",
        " a ",
        "\n",
        "\r\n",
        "a\r\nb\n",
        "\t",
        "\u{1}\u{1f}\u{7f}\u{80}\u{9f}",
        "\u{feff}",
        "\u{feff}a",
        "\u{2028}\u{2029}",
        "\"\\/",
        "{\"a\":1}",
        "\\u0000",
        "\u{e9}",
        "e\u{301}",
        "\u{1F511}",
        "\u{10FFFF}\u{FFFF}\u{FFFE}",
        "%00%0a",
        "${HOME}",
        "null",
    ];
    for (index, value) in values.into_iter().enumerate() {
        let body = json!({ "key": format!("K{index}"), "value": value });
        let made = admin.post(SECRETS, &body).expect(200);
        let path = format!("/api/secrets/{}", made["secret"]["id"].as_str().unwrap());
        assert_eq!(admin.get(&format!("{path}/value")).expect(200), json!({ "value": value }));
        assert_eq!(admin.post(VARS, &body).expect(200)["var"]["value"], value);
        // Again through PATCH, and with every character escaped.
        let escaped: String = value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let patch = format!("{{\"value\":\"{escaped}\"}}");
        admin.send("PATCH", &path, Some((JSON, patch.as_bytes()))).expect(200);
        assert_eq!(admin.get(&format!("{path}/value")).expect(200), json!({ "value": value }));
    }
}

/// Queries that may be accepted or refused, but never echoed (# is the mark).
const QUERIES: [&str; 17] = [
    "&&&",
    "=",
    "=#",
    "#",
    "%",
    "%zz",
    "%f",
    "a[]=1&a[b]=#",
    "?#",
    "unknown=#",
    "prefix=%ff",
    "prefix=#",
    "after=%00",
    "&=&=&",
    "a=b=c",
    "+",
    ";",
];

#[test]
fn odd_queries_are_answered_without_an_echo() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = make(&admin, SECRETS, "secret");
    for query in [
        "limit=#",
        "limit=-1",
        "limit=0",
        "limit=1001",
        "limit=99999999999999999999999",
        "limit=1.0",
        "limit=%00",
        "limit=",
        "limit=1&limit=2",
        "limit=%ff",
        "limit=1#",
    ] {
        let query = query.replace('#', MARK);
        for list in [SECRETS, VARS] {
            let reply = admin.get(&format!("{list}?{query}"));
            refused(&reply, &query);
            reply.expect_error(400, "VALIDATION_ERROR");
        }
    }
    for query in
        ["version=#", "version=0", "version=-1", "version=4294967296", "version=1&version=1"]
    {
        let reply = admin.patch(&format!("{secret}?{}", query.replace('#', MARK)), &json!({}));
        refused(&reply, query);
    }
    for header in ["#", "\"#", "#\"", "1", "", "\"1\" \"2\"", "W/1"] {
        let client = admin.with("If-Match", &header.replace('#', MARK));
        refused(&client.patch(&secret, &json!({ "value": "w" })), header);
    }
    refused(&admin.delete(&format!("/api/environments/development?force={MARK}")), "force");
    for query in QUERIES {
        let reply = admin.get(&format!("{SECRETS}?{}", query.replace('#', MARK)));
        assert!(reply.status < 500 && !reply.text().contains(MARK), "{query}: {}", reply.text());
    }
    let many = "a=b&".repeat(2000);
    assert!(admin.get(&format!("{SECRETS}?{many}")).status < 500);
    assert_eq!(admin.get(&secret).expect(200)["secret"]["version"], 1);
}

/// Headers with a mark (#), or with the right token ($) in a place where it does not count.
const CREDENTIALS: [&str; 33] = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer    ",
    "Bearer #",
    "Bearer: #",
    "Bearer#",
    "bearer=#",
    "Basic #",
    "Basic Og==",
    "Digest username=\"#\"",
    "#",
    "Token $",
    "Bearer $#",
    "Bearer #$",
    "Bearer $ #",
    "Bearer $,$",
    "Bearer $, Bearer $",
    "Bearer \"$\"",
    "Bearer '$'",
    "Bearer <$>",
    "Bearer\t$",
    "$",
    "BearerX $",
    "Bear er $",
    "Bearer Bearer $",
    "Bearer cof_",
    "Bearer cof_#",
    "Bearer null",
    "Bearer undefined",
    "Bearer \u{e4}#",
    "Bearer ../../#",
    "Bearer %00#",
];

#[test]
fn odd_credentials_are_401_without_an_echo() {
    let app = TestApp::start();
    let token = app.admin_token().to_owned();
    let nobody = app.anonymous();
    for header in CREDENTIALS {
        let header = header.replace('#', MARK).replace('$', &token);
        let reply = nobody.with("Authorization", &header).get(SECRETS);
        refused(&reply, &header);
        reply.expect_error(401, "UNAUTHORIZED");
        assert!(!reply.text().contains(&token), "{header}");
    }
    let right = format!("Bearer {token}");
    let twice = nobody.with("Authorization", &right);
    twice.with("Authorization", &right).get(SECRETS).expect_error(401, "UNAUTHORIZED");
    let wrong = twice.with("Authorization", &format!("Bearer {MARK}")).get(SECRETS);
    refused(&wrong, "two headers");
    for word in ["bearer", "BEARER", "bEaReR"] {
        nobody.with("Authorization", &format!("{word} {token}")).get(SECRETS).expect(200);
    }
    nobody.with("authorization", &right).get(SECRETS).expect(200);
    // A credential belongs in the header; in a URL it would be logged.
    nobody
        .get(&format!("{SECRETS}?access_token={token}&token={token}"))
        .expect_error(401, "UNAUTHORIZED");
}

/// How a valid body is changed: where, and to what.
#[derive(Debug, Clone)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Repeat(usize, usize),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = 0usize..200;
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\u0-e \0\xFF".to_vec())];
    let one = prop_oneof![
        (at.clone(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at.clone(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        at.clone().prop_map(Mutation::Remove),
        at.clone().prop_map(Mutation::Cut),
        (at.clone(), at).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ];
    prop::collection::vec(one, 1..6)
}

fn mutate(body: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: usize| at % body.len().max(1);
    match *mutation {
        _ if body.is_empty() => {}
        Mutation::Set(at, byte) => {
            let at = place(at);
            body[at] = byte;
        }
        Mutation::Insert(at, byte) => body.insert(place(at), byte),
        Mutation::Remove(at) => {
            body.remove(place(at));
        }
        Mutation::Cut(at) => body.truncate(place(at)),
        Mutation::Repeat(from, to) => {
            let (from, to) = (place(from), place(to));
            let piece = body[from.min(to)..from.max(to)].to_vec();
            body.extend(piece);
        }
    }
}

#[test]
fn no_mutation_of_a_valid_body_breaks_the_server() {
    let app = TestApp::start();
    let admin = app.admin();
    let (secret, var) = (make(&admin, SECRETS, "secret"), make(&admin, VARS, "var"));
    let places = [
        (
            "POST",
            SECRETS,
            json!({ "key": "A", "value": MARK, "description": "d", "neverReveal": true }),
        ),
        ("POST", SECRETS, json!({ "key": "B", "generate": { "length": 32, "alphabet": "hex" } })),
        ("PATCH", &secret, json!({ "value": MARK, "neverReveal": false, "description": null })),
        ("POST", VARS, json!({ "key": "A", "value": "v", "description": "" })),
        ("PATCH", &var, json!({ "value": "w", "description": "d" })),
        ("POST", "/api/environments", json!({ "name": "staging", "displayName": "S" })),
        ("PATCH", SETTINGS, json!({ "allowSecretReveal": true, "neverRevealByDefault": false })),
    ];
    let config =
        ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(which in 0..places.len(), mutations in mutations())| {
        let (method, path, body) = &places[which];
        let mut body = body.to_string().into_bytes();
        for mutation in &mutations {
            mutate(&mut body, mutation);
        }
        let reply = admin.send(method, path, Some((JSON, &body)));
        let what = String::from_utf8_lossy(&body).into_owned();
        prop_assert!(reply.status < 500, "{}: {}", what, reply.text());
        prop_assert!(reply.status == 200 || !reply.text().contains(MARK), "{}", what);
        prop_assert_eq!(app.anonymous().get("/health").status, 200);
    });
}
