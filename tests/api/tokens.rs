//! `/api/admin/tokens` (section 9 of the contract): what a token may do, for how long, and that it
//! is shown once.

use std::time::{Duration, Instant};

use coffer::domain::Role;
use serde_json::{Value, json};
use support::accounts::*;
use support::api::{is_time, members, new_secret, text};
use support::paths::ENVIRONMENTS;
use support::{Client, Setup, TestApp};

const DAY_SECONDS: i64 = 24 * 60 * 60;

fn body(more: &Value) -> Value {
    with(with(json!({ "name": "ci", "role": "viewer" }), &everywhere()), more)
}

fn listed(app: &TestApp, query: &str) -> Vec<Value> {
    let answer = app.admin().get(&format!("{TOKENS}{query}")).expect(200);
    assert_eq!(members(&answer), ["tokens"].into());
    answer["tokens"].as_array().unwrap().clone()
}

/// A token's record as the list shows it.
fn record(app: &TestApp, id: &str) -> Value {
    listed(app, "").into_iter().find(|record| record["id"] == id).expect("the token is listed")
}

#[track_caller]
fn refused(client: &Client, body: &Value, field: &str) {
    let error = client.post(TOKENS, body).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["field"], field, "{body}: {error}");
}

#[test]
fn a_new_token_is_shown_with_its_record_and_in_no_other_answer() {
    let app = start();
    let reply = app.admin().post(TOKENS, &body(&json!({})));
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["token", "tokenRecord"].into());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let token = text(&answer, "token");
    let tail = token.strip_prefix("cof_").expect("a token's prefix");
    assert_eq!(tail.len(), 43);
    assert!(tail.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    let new = &answer["tokenRecord"];
    let expected = "id name tokenPrefix role allEnvironments environmentIds lastUsedAt expiresAt \
        createdAt createdBy userId serviceAccountId";
    assert!(members(new).is_superset(&expected.split_whitespace().collect()), "{new}");
    assert_eq!((&new["name"], &new["role"]), (&json!("ci"), &json!("viewer")));
    assert_eq!((&new["lastUsedAt"], &new["expiresAt"]), (&Value::Null, &Value::Null));
    is_time(text(new, "createdAt"));
    let prefix = text(new, "tokenPrefix");
    assert!(token.starts_with(prefix) && prefix.len() <= 12, "{prefix}");
    assert_eq!(record(&app, text(new, "id")), *new);
    // No later response contains the rest of the token.
    let secret_part = &token[12..];
    let client = app.bearer(token);
    for path in [TOKENS, ME, USERS, ACCOUNTS, "/api/audit-logs?limit=1000", "/openapi.json"] {
        assert!(!app.admin().get(path).text().contains(secret_part), "{path}");
        assert!(!client.get(path).text().contains(secret_part), "{path}");
    }
    let deleted = app.admin().delete(&format!("{TOKENS}/{}", text(new, "id")));
    assert_eq!(deleted.expect(200), json!({ "success": true }));
    assert!(!app.admin().get("/api/audit-logs?limit=1000").text().contains(secret_part));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let app = start_in(&["one", "two"]);
    let one = app.environment_id("one");
    let admin = app.admin();
    let without = |member: &str| {
        let mut body = body(&json!({}));
        body.as_object_mut().unwrap().remove(member);
        body
    };
    for member in ["name", "role", "allEnvironments"] {
        refused(&admin, &without(member), member);
    }
    for (more, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": 7 }), "name"),
        (json!({ "name": "é".repeat(101) }), "name"),
        (json!({ "role": "root" }), "role"),
        (json!({ "role": null }), "role"),
        (json!({ "allEnvironments": 1 }), "allEnvironments"),
        (json!({ "allEnvironments": false }), "environmentIds"),
        (json!({ "environmentIds": [one] }), "environmentIds"),
        (json!({ "allEnvironments": false, "environmentIds": [one, "x"] }), "environmentIds.1"),
        (json!({ "expiresInDays": 0 }), "expiresInDays"),
        (json!({ "expiresInDays": 366 }), "expiresInDays"),
        (json!({ "expiresInDays": -1 }), "expiresInDays"),
        (json!({ "expiresInDays": 1.5 }), "expiresInDays"),
        (json!({ "expiresInDays": "7" }), "expiresInDays"),
        (json!({ "expiresInDays": 18_446_744_073_709_551_615_u64 }), "expiresInDays"),
        (json!({ "ownerUserId": 7 }), "ownerUserId"),
        (json!({ "ownerUserId": "usr_nobody" }), "ownerUserId"),
        (json!({ "ownerServiceAccountId": "sva_nobody" }), "ownerServiceAccountId"),
    ] {
        refused(&admin, &body(&more), field);
    }
    let user = new_user(&app, "ann@example.com", "admin", &everywhere());
    let account = service_account(&app, "bot", "admin", &everywhere());
    // The id of one kind is not valid for the other.
    refused(&admin, &body(&json!({ "ownerUserId": account["id"] })), "ownerUserId");
    let wrong_kind = body(&json!({ "ownerServiceAccountId": user["id"] }));
    refused(&admin, &wrong_kind, "ownerServiceAccountId");
    let both = json!({ "ownerUserId": user["id"], "ownerServiceAccountId": account["id"] });
    admin.post(TOKENS, &body(&both)).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(listed(&app, "").len(), 1, "only the token of the first start");
    let longest = json!({ "name": "é".repeat(100), "expiresInDays": null, "unknown": 1 });
    admin.post(TOKENS, &body(&longest)).expect(200);
}

#[test]
fn a_token_belongs_to_whom_it_was_made_for_or_else_to_its_maker() {
    let app = start();
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let account = service_account(&app, "bot", "admin", &everywhere());
    let account = text(&account, "id");
    let owners = |minted: &Minted| {
        (minted.record["userId"].clone(), minted.record["serviceAccountId"].clone())
    };
    let by = |client: &Client| mint_as(&app, client, &body(&json!({ "role": "admin" })));
    let of_root = (json!(root.id), Value::Null);
    let of_bot = (Value::Null, json!(account));
    assert_eq!(owners(&by(&root.client)), of_root);
    assert_eq!(owners(&by(&app.admin())), (Value::Null, Value::Null));
    let roots = token_of(&app, &root.id, "admin", &everywhere());
    assert_eq!(owners(&roots), of_root);
    assert_eq!(owners(&by(&roots.client)), of_root);
    let bots = token_of_account(&app, account, "admin", &everywhere());
    assert_eq!(owners(&bots), of_bot);
    assert_eq!(owners(&by(&bots.client)), of_bot);
    let me = roots.client.get(ME).expect(200);
    assert_eq!((&me["user"]["id"], &me["user"]["apiTokenId"]), (&json!(root.id), &json!(roots.id)));
    assert_eq!(me["user"]["email"], "root@example.com");
    let me = app.admin().get(ME).expect(200);
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("bootstrap"), &Value::Null));
    assert_eq!(me["user"]["id"], me["user"]["apiTokenId"]);
}

#[test]
fn a_role_above_the_owners_is_refused_and_a_disabled_owner_gets_none() {
    let app = start();
    let ann = new_user(&app, "ann@example.com", "operator", &everywhere());
    let bot = service_account(&app, "bot", "viewer", &everywhere());
    let of_ann = |role| body(&json!({ "role": role, "ownerUserId": ann["id"] }));
    let of_bot = |role| body(&json!({ "role": role, "ownerServiceAccountId": bot["id"] }));
    refused(&app.admin(), &of_ann("admin"), "role");
    refused(&app.admin(), &of_bot("operator"), "role");
    app.admin().post(TOKENS, &of_ann("operator")).expect(200);
    app.admin().post(TOKENS, &of_bot("viewer")).expect(200);
    let off = json!({ "disabled": true });
    app.admin().patch(&format!("{USERS}/{}", text(&ann, "id")), &off).expect(200);
    app.admin().patch(&format!("{ACCOUNTS}/{}", text(&bot, "id")), &off).expect(200);
    app.admin().post(TOKENS, &of_ann("viewer")).expect_error(409, "CONFLICT");
    app.admin().post(TOKENS, &of_bot("viewer")).expect_error(409, "CONFLICT");
    assert_eq!(listed(&app, "").len(), 1);
}

#[test]
fn a_token_can_do_what_its_role_and_its_scope_allow() {
    let app = start_in(&["one", "two"]);
    let one = app.environment_id("one");
    let secret = new_secret(&app.admin(), "two", "KEY", "v");
    let value = json!({ "key": "NEW", "value": "v" });
    let operator = mint(&app, "operator", &only(&[&one]), &json!({})).client;
    operator.post("/api/environments/one/secrets", &value).expect(200);
    operator.post("/api/environments/two/secrets", &value).expect_error(403, "FORBIDDEN_SCOPE");
    let path = format!("/api/secrets/{}", text(&secret, "id"));
    operator.get(&path).expect_error(404, "NOT_FOUND");
    let viewer = mint(&app, "viewer", &everywhere(), &json!({})).client;
    viewer.get(&path).expect(200);
    viewer.post("/api/environments/one/secrets", &value).expect_error(403, "FORBIDDEN_ROLE");
    viewer.get(&format!("{path}/value")).expect_error(403, "FORBIDDEN_ROLE");
}

#[test]
fn a_token_expires_after_its_days_to_the_millisecond() {
    let app = start_with_clock();
    let days = |days: i64| mint(&app, "viewer", &everywhere(), &json!({ "expiresInDays": days }));
    let (one, most) = (days(1), days(365));
    let never = mint(&app, "viewer", &everywhere(), &json!({ "expiresInDays": null }));
    assert_eq!(never.record["expiresAt"], Value::Null);
    is_time(text(&one.record, "expiresAt"));
    assert_eq!(
        one.record["createdAt"].as_str().unwrap()[10..],
        one.record["expiresAt"].as_str().unwrap()[10..]
    );
    let clock = app.clock.clone().unwrap();
    clock.advance_millis(DAY_SECONDS * 1000 - 1);
    assert!(works(&one.client) && works(&most.client));
    clock.advance_millis(1);
    assert!(!works(&one.client) && works(&most.client));
    clock.advance_millis(364 * DAY_SECONDS * 1000 - 1);
    assert!(works(&most.client));
    clock.advance_millis(1);
    assert!(!works(&most.client) && works(&never.client));
}

#[test]
fn a_deletion_takes_effect_before_it_answers() {
    let app = start();
    for _ in 0..20 {
        let minted = mint(&app, "admin", &everywhere(), &json!({}));
        assert!(works(&minted.client));
        let path = format!("{TOKENS}/{}", minted.id);
        app.admin().delete(&path).expect(200);
        assert!(!works(&minted.client));
        app.admin().delete(&path).expect_error(404, "NOT_FOUND");
    }
    // A token can revoke itself.
    let minted = mint(&app, "admin", &everywhere(), &json!({}));
    minted.client.delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
    assert!(!works(&minted.client));
    let app = TestApp::start_in(app.stop(), Setup::default().cheap_hashes());
    assert!(!works(&app.bearer(&minted.token)));
    for id in [&missing_like(&minted.id), "x", "%00"] {
        app.admin().delete(&format!("{TOKENS}/{id}")).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn tokens_are_listed_newest_first_and_by_owner() {
    let app = start_with_clock();
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let bot = service_account(&app, "bot", "viewer", &everywhere());
    let (ann, bot) = (text(&ann, "id"), text(&bot, "id"));
    let mut made = Vec::new();
    for _ in 0..3 {
        advance_seconds(&app, 1);
        made.push((token_of(&app, ann, "viewer", &everywhere()).id, "ann"));
        advance_seconds(&app, 1);
        made.push((token_of_account(&app, bot, "viewer", &everywhere()).id, "bot"));
    }
    made.reverse();
    let ids = |query: &str| -> Vec<String> {
        listed(&app, query).iter().map(|record| text(record, "id").to_owned()).collect()
    };
    let of = |who: &str| -> Vec<String> {
        made.iter().filter(|(_, owner)| *owner == who).map(|(id, _)| id.clone()).collect()
    };
    let all: Vec<String> = made.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids("")[..6], all);
    assert_eq!(ids("").len(), 7, "the token of the first start is the oldest");
    assert_eq!(ids(&format!("?ownerUserId={ann}")), of("ann"));
    assert_eq!(ids(&format!("?ownerServiceAccountId={bot}")), of("bot"));
    assert_eq!(ids(&format!("?ownerUserId={}", missing_like(ann))), [""; 0]);
    let both = format!("?ownerUserId={ann}&ownerServiceAccountId={bot}");
    let status = app.admin().get(&format!("{TOKENS}{both}")).status;
    assert!(status == 400 || status == 200 && ids(&both).is_empty(), "no token has two owners");
}

#[test]
fn the_last_use_is_written_at_most_once_a_minute() {
    let app = start_with_clock();
    let minted = mint(&app, "viewer", &everywhere(), &json!({}));
    let last_used = || record(&app, &minted.id)["lastUsedAt"].clone();
    // It may be written after the response, so the test waits for a new one.
    let wait_for_other_than = |old: &Value| {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found = last_used();
            if found != *old {
                return found;
            }
            assert!(Instant::now() < until, "still {old}");
            std::thread::yield_now();
        }
    };
    assert_eq!(last_used(), Value::Null);
    minted.client.get(ENVIRONMENTS).expect(200);
    let first = wait_for_other_than(&Value::Null);
    is_time(first.as_str().unwrap());
    for _ in 0..5 {
        advance_seconds(&app, 11);
        minted.client.get(ENVIRONMENTS).expect(200);
    }
    assert_eq!(last_used(), first);
    advance_seconds(&app, 10);
    minted.client.get(ENVIRONMENTS).expect(200);
    let second = wait_for_other_than(&first);
    // A write in between would have a different time, so this is the write of the last request.
    let now = coffer::domain::Clock::now(&**app.clock.as_ref().unwrap());
    assert_eq!(second, json!(now));
    assert!(second.as_str() > first.as_str());
    app.admin().delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
    minted.client.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn only_an_admin_of_everything_has_to_do_with_tokens() {
    let app = start();
    let home = app.environment_id("development");
    let victim = mint(&app, "viewer", &everywhere(), &json!({}));
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let scoped = person(&app, "scoped@example.com", "admin", &only(&[&home]));
    let root = new_user(&app, "root@example.com", "admin", &everywhere());
    let weaker = token_of(&app, text(&root, "id"), "operator", &everywhere());
    let narrower = token_of(&app, text(&root, "id"), "admin", &only(&[&home]));
    for (client, code) in [
        (&ann.client, "FORBIDDEN_ROLE"),
        (&weaker.client, "FORBIDDEN_ROLE"),
        (&app.principal(Role::Operator), "FORBIDDEN_ROLE"),
        (&scoped.client, "FORBIDDEN_SCOPE"),
        (&narrower.client, "FORBIDDEN_SCOPE"),
    ] {
        client.get(TOKENS).expect_error(403, code);
        client.get(&format!("{TOKENS}?ownerUserId={}", ann.id)).expect_error(403, code);
        client.post(TOKENS, &body(&json!({ "ownerUserId": ann.id }))).expect_error(403, code);
        client.post(TOKENS, &json!({})).expect_error(403, code);
        client.delete(&format!("{TOKENS}/{}", victim.id)).expect_error(403, code);
    }
    assert!(works(&victim.client));
    app.anonymous().get(TOKENS).expect_error(401, "UNAUTHORIZED");
    assert_eq!(app.admin().head(TOKENS).status, 200);
    let reply = app.admin().send("PUT", TOKENS, None);
    reply.expect_error(405, "METHOD_NOT_ALLOWED");
    assert!(reply.header("allow").is_some_and(|a| a.contains("GET") && a.contains("POST")));
    let reply = app.admin().get(&format!("{TOKENS}/{}", victim.id));
    reply.expect_error(405, "METHOD_NOT_ALLOWED");
    assert!(reply.header("allow").is_some_and(|allow| allow.contains("DELETE")));
}
