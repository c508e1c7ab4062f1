//! Bodies that are not a JSON object: refused with 400 and with the position and kind of the error,
//! but without any part of the body, because it may have been a secret.

use std::time::{Duration, Instant};

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

#[track_caller]
fn malformed(client: &Client, body: &[u8]) -> Value {
    let what = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let reply = client.send("POST", SECRETS, Some((JSON, body)));
    refused(&reply, &what);
    assert_eq!(reply.status, 400, "{what}");
    reply.expect_error(400, "VALIDATION_ERROR")
}

#[track_caller]
fn no_secrets(app: &TestApp) {
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
}

fn make(client: &Client, list: &str, name: &str) -> String {
    let reply = client.post(list, &json!({ "key": "OWN", "value": "v" }));
    format!("/api/{name}s/{}", reply.expect(200)[name]["id"].as_str().unwrap())
}

#[test]
fn malformed_json_is_400_with_position_and_kind_and_no_echo() {
    let app = TestApp::start();
    let admin = app.admin();
    // Each becomes a body with the mark in place of the #.
    #[rustfmt::skip]
    let bodies = [
        "#", "{", "{\"#\"", "{\"#\":", "{\"key\":\"#\"", "{\"key\":\"#", "{\"key\":#}",
        "{key:\"#\"}", "{'key':'#'}", "{\"key\":\"A\",\"value\":\"#\",}",
        "{\"key\":\"A\",\"value\":\"#\"}}", "{\"key\":\"A\",\"value\":\"#\"} x",
        "{\"key\":\"A\",\"value\":\"#\"}{}", "{\"key\":\"A\" \"value\":\"#\"}",
        "{\"key\":\"A\",\"value\":\"#\" /* c */}", "// #\n{}", "{\"#\":NaN}",
        "{\"#\":Infinity}", "{\"#\":-}", "{\"#\":01}", "{\"#\":.5}", "{\"#\":1.}", "{\"#\":1e}",
        "{\"#\":0x1}", "{\"#\":+1}", "{\"#\":tru}", "{\"#\":True}", "{\"#\":undefined}",
        "{\"#\":\"\\x\"}", "{\"#\":\"\\u12\"}", "{\"#\":\"\\u{12}\"}", "{\"#\":\"a\nb\"}",
        "{\"#\":\"a\tb\"}", "{\"#\":\"a\0b\"}", "{\"#\":[1,]}", "{\"#\":[1 2]}", "{\"#\":[}",
        "{\"#\":{]}", "{,\"#\":1}", "{\"#\":1,,\"a\":2}", "{\"#\"}", "{1:\"#\"}",
        "{null:\"#\"}", "\0{\"#\":1}", "{}\0#", "key=A&value=#", "<key>#</key>",
    ];
    for body in bodies {
        let body = body.replace('#', MARK);
        let message = malformed(&admin, body.as_bytes())["message"].as_str().unwrap().to_owned();
        assert!(message.contains("line") && message.contains("column"), "{body}: {message}");
    }
    for blank in [&b""[..], b" ", b"\n\t\r "] {
        malformed(&admin, blank);
    }
    let error = malformed(&admin, b"{\n  \"key\": \"A\",\n  \"value\": oops\n}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("line 3") && message.contains("column 1"), "{message}");
    no_secrets(&app);
}

#[test]
fn a_byte_order_mark_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    let body = json!({ "key": "A", "value": MARK }).to_string();
    malformed(&admin, &[b"\xEF\xBB\xBF", body.as_bytes()].concat());
    let wide: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    malformed(&admin, &[&b"\xFF\xFE"[..], &wide].concat());
    malformed(&admin, &wide);
    malformed(&admin, b"\xEF\xBB\xBF");
    no_secrets(&app);
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_is() {
    let app = TestApp::start();
    let admin = app.admin();
    // A stray byte, a truncated sequence, overlong forms, surrogates, beyond Unicode.
    let bad = [
        &b"\xFF"[..],
        b"\x80",
        b"\xC3",
        b"\xE2\x82",
        b"\xC0\x80",
        b"\xC1\xBF",
        b"\xE0\x80\xAF",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
    ];
    let places = [
        "{\"key\":\"A#\",\"value\":\"mArKeR7f3a\"}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a#\"}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"description\":\"#\"}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown\":\"#\"}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown#\":1}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown\":[{\"deep\":[\"#\"]}]}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown\":{\"#\":1}}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\"#}",
        "{\"key\":\"A\",\"value\":\"mArKeR7f3a\"}#",
    ];
    for place in places {
        let (before, after) = place.split_once('#').unwrap();
        for bytes in bad {
            malformed(&admin, &[before.as_bytes(), bytes, after.as_bytes()].concat());
        }
    }
    no_secrets(&app);
}

#[test]
fn lone_surrogates_are_refused_wherever_they_stand_and_pairs_are_taken() {
    let app = TestApp::start();
    let admin = app.admin();
    let bad = [
        "\\ud800",
        "\\udbff",
        "\\udc00",
        "\\uDFFF",
        "\\ud800x",
        "\\ud800\\ud800",
        "\\ud800\\u0041",
        "\\udc00\\ud800",
        "\\ud800\\n",
        "x\\ud83d",
    ];
    let places = [
        "\"key\":\"A\",\"value\":\"mArKeR7f3a#\"",
        "\"key\":\"#\",\"value\":\"mArKeR7f3a\"",
        "\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"description\":\"#\"",
        "\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown\":\"#\"",
        "\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown#\":1",
        "\"key\":\"A\",\"value\":\"mArKeR7f3a\",\"unknown\":[{\"a#\":\"b\"},[\"#\"]]",
        "\"key\":\"A\",\"generate\":{\"alphabet\":\"hex\",\"unknown\":\"#\"}",
    ];
    for place in places {
        for surrogate in bad {
            malformed(&admin, format!("{{{}}}", place.replace('#', surrogate)).as_bytes());
        }
    }
    no_secrets(&app);
    let pair = r#"{"key":"A","value":"\ud83d\udd11","unknown":"\ud83d\ude00"}"#;
    let made = admin.send("POST", SECRETS, Some((JSON, pair.as_bytes()))).expect(200);
    let path = format!("/api/secrets/{}/value", made["secret"]["id"].as_str().unwrap());
    assert_eq!(admin.get(&path).expect(200)["value"], "\u{1F511}");
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    let (secret, var) = (make(&admin, SECRETS, "secret"), make(&admin, VARS, "var"));
    let places = [
        ("POST", SECRETS),
        ("POST", VARS),
        ("POST", "/api/environments"),
        ("PATCH", SETTINGS),
        ("PATCH", &secret),
        ("PATCH", &var),
    ];
    let bodies = [
        json!(null),
        json!(true),
        json!(0),
        json!(1.5),
        json!(""),
        json!(MARK),
        json!([]),
        json!([MARK]),
        json!([{ "key": "A", "value": MARK }]),
        json!([[MARK]]),
        json!([["key", "A"], ["value", MARK]]),
    ];
    for (method, path) in places {
        for body in &bodies {
            let reply = admin.send(method, path, Some((JSON, body.to_string().as_bytes())));
            refused(&reply, &format!("{method} {path} {body}"));
            reply.expect_error(400, "VALIDATION_ERROR");
        }
    }
}

#[test]
fn a_duplicate_member_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    // Two parsers could read such a body as two different requests.
    for body in [
        r#"{"key":"A","key":"B","value":"mArKeR7f3a"}"#,
        r#"{"key":"A","value":"mArKeR7f3a","value":"x"}"#,
        r#"{"key":"A","value":"mArKeR7f3a","v\u0061lue":"x"}"#,
        r#"{"key":"A","value":"mArKeR7f3a","neverReveal":true,"neverReveal":false}"#,
    ] {
        malformed(&admin, body.as_bytes());
    }
    no_secrets(&app);
}

#[test]
fn nesting_of_any_depth_is_refused_and_survived() {
    let app = TestApp::start();
    let admin = app.admin();
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        malformed(
            &admin,
            format!("{{\"key\":\"A\",\"value\":\"{MARK}\",\"x\":{open}1{close}}}").as_bytes(),
        );
        malformed(&admin, format!("{open}1{close}").as_bytes());
        malformed(&admin, open.as_bytes());
        malformed(&admin, format!("{{\"key\":\"A\",\"generate\":{open}").as_bytes());
    }
    no_secrets(&app);
    app.anonymous().get("/health").expect(200);
}

#[test]
fn a_body_of_very_many_members_is_answered_quickly() {
    let app = TestApp::start();
    let mut body = String::from("{\"key\":\"A\",\"value\":\"v\"");
    let mut number = 0;
    while body.len() < (1 << 20) - 16 {
        body += &format!(",\"{number:x}\":0");
        number += 1;
    }
    body.push('}');
    let started = Instant::now();
    app.admin().send("POST", SECRETS, Some((JSON, body.as_bytes()))).expect(200);
    // Quadratic work in the number of members would take minutes here.
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?} for {number} members",
        started.elapsed()
    );
}
