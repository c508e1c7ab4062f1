//! Secrets whose value the server generates.

use serde_json::{Value, json};
use support::api::{members, new_secret, reveal, text};
use support::paths::SECRETS;
use support::{Client, Setup, TestApp};

fn create(client: &Client, key: &str, generate: &Value) -> support::Reply {
    client.post(SECRETS, &json!({ "key": key, "generate": generate }))
}

fn belongs(alphabet: &str) -> fn(char) -> bool {
    match alphabet {
        "alphanumeric" => |c| c.is_ascii_alphanumeric(),
        "hex" => |c| matches!(c, '0'..='9' | 'a'..='f'),
        "base64url" => |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
        "ascii" => |c| matches!(c, ' '..='~'),
        other => panic!("{other}"),
    }
}

#[test]
fn a_generated_value_has_its_length_and_alphabet_and_is_in_no_answer() {
    let app = TestApp::start();
    let admin = app.admin();
    // How many distinct characters a long value must have at least: far fewer than the alphabet
    // has, far more than a broken source would produce.
    for (alphabet, variety) in [("alphanumeric", 50), ("hex", 16), ("base64url", 52), ("ascii", 75)]
    {
        for length in [1usize, 2, 31, 32, 33, 500, 4096] {
            let key = format!("{}_{length}", alphabet.to_uppercase());
            let reply = create(&admin, &key, &json!({ "length": length, "alphabet": alphabet }));
            let item = reply.expect(200)["secret"].clone();
            let by_value = new_secret(&admin, "development", &format!("G_{key}"), "x");
            assert_eq!(members(&item), members(&by_value));
            let id = text(&item, "id");
            let path = format!("/api/secrets/{id}");
            let value = reveal(&admin, id);
            assert_eq!(value.len(), length, "{alphabet}");
            assert!(value.chars().all(belongs(alphabet)), "{alphabet}: {value}");
            if length < 31 {
                continue;
            }
            for reply in [
                reply,
                admin.get(&path),
                admin.get(SECRETS),
                admin.get(&format!("{path}/versions")),
            ] {
                assert!(!reply.text().contains(&value));
            }
            if length >= 500 {
                let mut seen: Vec<_> = value.chars().collect();
                seen.sort_unstable();
                seen.dedup();
                assert!(seen.len() >= variety, "{alphabet} shows only {}", seen.len());
            }
        }
    }
}

#[test]
fn without_length_and_alphabet_it_is_32_alphanumeric_characters() {
    let app = TestApp::start();
    let admin = app.admin();
    let bodies = [
        json!({}),
        json!({ "length": 32 }),
        // JSON Schema counts this as an integer, and therefore so does the description.
        json!({ "length": 32.0 }),
        json!({ "alphabet": "alphanumeric" }),
    ];
    for (number, generate) in bodies.iter().enumerate() {
        let made = create(&admin, &format!("K{number}"), generate).expect(200);
        let value = reveal(&admin, text(&made["secret"], "id"));
        assert_eq!(value.len(), 32);
        assert!(value.chars().all(belongs("alphanumeric")), "{value}");
    }
}

#[test]
fn no_two_generated_values_are_equal() {
    let app = TestApp::start();
    let admin = app.admin();
    let mut values: Vec<_> = (0..20)
        .map(|number| {
            let made =
                create(&admin, &format!("K{number}"), &json!({ "length": 32, "alphabet": "hex" }));
            reveal(&admin, text(&made.expect(200)["secret"], "id"))
        })
        .collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 20);
}

#[test]
fn a_patch_generates_a_new_version() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "given");
    let id = text(&made, "id");
    let path = format!("/api/secrets/{id}");
    let generate = json!({ "generate": { "length": 40, "alphabet": "hex" } });
    let mut seen = vec!["given".to_owned()];
    for version in 2..5 {
        let reply = admin.patch(&path, &generate);
        let item = reply.expect(200)["secret"].clone();
        assert_eq!(item["version"], version);
        assert_eq!(members(&item), members(&made));
        let value = reveal(&admin, id);
        assert!(value.len() == 40 && value.chars().all(belongs("hex")), "{value}");
        assert!(!reply.text().contains(&value) && !seen.contains(&value));
        seen.push(value);
    }
}

#[test]
fn a_bad_generate_is_refused_and_named() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEPT", "kept");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    let lengths = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("32"),
        json!(null),
        json!(true),
        json!([32]),
        json!(65_537),
        json!(4_294_967_328_u64),
        json!(1e30),
    ];
    let alphabets = [
        json!("HEX"),
        json!("base64"),
        json!(""),
        json!("canary"),
        json!(null),
        json!(1),
        json!(["hex"]),
    ];
    let bad =
        lengths
            .iter()
            .map(|length| (json!({ "length": length, "alphabet": "hex" }), "generate.length"))
            .chain(alphabets.iter().map(|alphabet| {
                (json!({ "length": 32, "alphabet": alphabet }), "generate.alphabet")
            }))
            .chain(
                [json!(null), json!(true), json!(32), json!("hex"), json!([])]
                    .map(|bad| (bad, "generate")),
            );
    for (generate, field) in bad {
        for reply in
            [create(&admin, "BAD", &generate), admin.patch(&path, &json!({ "generate": generate }))]
        {
            let body = reply.expect_error(400, "VALIDATION_ERROR");
            assert_eq!(body["field"], field, "{generate}");
            assert!(!reply.text().contains("canary"));
        }
    }
    let listed = admin.get(SECRETS).expect(200);
    assert_eq!(listed["secrets"], json!([made]));
}

#[test]
fn value_and_generate_together_are_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEPT", "kept");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    for value in [json!("canary"), json!(""), json!(null)] {
        let both = json!({ "key": "BOTH", "value": value, "generate": { "length": 32 } });
        let reply = admin.post(SECRETS, &both);
        reply.expect_error(400, "VALIDATION_ERROR");
        assert!(!reply.text().contains("canary"));
        let both = json!({ "value": value, "generate": { "length": 32 } });
        admin.patch(&path, &both).expect_error(400, "VALIDATION_ERROR");
    }
    let listed = admin.get(SECRETS).expect(200);
    assert_eq!(listed["secrets"], json!([made]));
    assert_eq!(reveal(&admin, text(&made, "id")), "kept");
}

#[test]
fn a_generated_value_keeps_the_configured_limit() {
    let mut setup = Setup::default();
    setup.config.limits.value_bytes = 16;
    let app = TestApp::start_with(setup);
    let admin = app.admin();
    let made = create(&admin, "GOOD", &json!({ "length": 16, "alphabet": "ascii" })).expect(200);
    assert_eq!(reveal(&admin, text(&made["secret"], "id")).len(), 16);
    let long = create(&admin, "LONG", &json!({ "length": 17, "alphabet": "ascii" }));
    assert_eq!(long.expect_error(400, "VALIDATION_ERROR")["field"], "generate.length");
    // The default length of 32 is too long here as well.
    create(&admin, "DEFAULT", &json!({})).expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn a_generated_secret_can_be_write_only_from_the_start() {
    let app = TestApp::start();
    let admin = app.admin();
    let body = json!({ "key": "KEY", "generate": { "length": 32 }, "neverReveal": true });
    let made = admin.post(SECRETS, &body).expect(200)["secret"].clone();
    assert_eq!(made["neverReveal"], true);
    let path = format!("/api/secrets/{}/value", text(&made, "id"));
    admin.get(&path).expect_error(403, "SECRET_WRITE_ONLY");
}
