//! Section 12 of the contract: how many requests are allowed, and whom they count against. Routes
//! that check a password have their own limits.

use coffer::domain::{Network, Role};
use serde_json::json;
use support::{Client, Reply, Setup, TestApp};

const LIST: &str = "/api/environments";

fn limited(authenticated: u32, anonymous: u32) -> Setup {
    let mut setup = Setup::default();
    setup.config.rate_limit.authenticated_per_minute = authenticated;
    setup.config.rate_limit.anonymous_per_minute = anonymous;
    setup
}

fn statuses(client: &Client, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.get(path).status).collect()
}

#[track_caller]
fn check_limited(reply: &Reply, limit: u32) {
    reply.expect_error(429, "RATE_LIMITED");
    let number = |name: &str| reply.header(name).unwrap().parse::<u64>().unwrap();
    let wait = number("retry-after");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(number("x-ratelimit-limit"), u64::from(limit));
    assert_eq!(number("x-ratelimit-remaining"), 0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let reset = number("x-ratelimit-reset");
    assert!((now..=now + 61).contains(&reset), "{reset}");
}

#[test]
fn a_principal_has_its_own_limit() {
    let app = TestApp::start_with(limited(3, 0));
    let viewer = app.principal(Role::Viewer);
    assert_eq!(statuses(&viewer, LIST, 3), [200, 200, 200]);
    check_limited(&viewer.get(LIST), 3);
    let other = app.principal(Role::Viewer);
    other.get(LIST).expect(200);
}

#[test]
fn the_limit_comes_before_scope_and_role_and_after_the_form() {
    let app = TestApp::start_with(limited(2, 0));
    let viewer = app.principal(Role::Viewer);
    viewer.post(LIST, &json!({})).expect_error(403, "FORBIDDEN_ROLE");
    viewer.get("/api/secrets/none").expect_error(404, "NOT_FOUND");
    check_limited(&viewer.post(LIST, &json!({})), 2);
    check_limited(&viewer.get("/api/secrets/none"), 2);
    let wrong_type = viewer.send("POST", LIST, Some(("text/plain", b"x")));
    wrong_type.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[test]
fn strangers_are_counted_by_address_and_do_not_hinder_who_is_known() {
    let app = TestApp::start_with(limited(0, 2));
    let garbage = app.bearer(&format!("cof_{}", "x".repeat(43)));
    app.anonymous().get(LIST).expect_error(401, "UNAUTHORIZED");
    garbage.get(LIST).expect_error(401, "UNAUTHORIZED");
    check_limited(&app.anonymous().get(LIST), 2);
    check_limited(&garbage.get(LIST), 2);
    check_limited(&app.anonymous().get("/api/docs"), 2);
    check_limited(&app.anonymous().get("/api/auth/registration"), 2);
    check_limited(&app.anonymous().get("/api/no-such-route"), 2);
    check_limited(&app.anonymous().send("PUT", LIST, None), 2);
    assert_eq!(statuses(&app.admin(), LIST, 5), [200; 5]);
}

#[test]
fn health_can_be_asked_as_often_as_one_likes() {
    let app = TestApp::start_with(limited(1, 1));
    assert_eq!(statuses(&app.anonymous(), "/health", 20), [200; 20]);
    app.anonymous().get(LIST).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn zero_switches_a_limit_off() {
    let app = TestApp::start_with(limited(0, 0));
    assert_eq!(statuses(&app.admin(), LIST, 150), [200; 150]);
    assert_eq!(statuses(&app.anonymous(), LIST, 150), [401; 150]);
}

#[test]
fn a_spoofed_address_changes_nothing() {
    let app = TestApp::start_with(limited(0, 2));
    let spoofed = |n: usize| {
        let address = format!("198.51.100.{n}");
        app.anonymous()
            .with("X-Forwarded-For", &address)
            .with("Forwarded", &format!("for={address}"))
    };
    let seen: Vec<_> = (0..4).map(|n| spoofed(n).get(LIST).status).collect();
    assert_eq!(seen, [401, 401, 429, 429]);
    let client = app.admin().with("X-Forwarded-For", "198.51.100.1");
    client.post(LIST, &json!({ "name": "named" })).expect(200);
    let row = app.admin().get("/api/audit-logs?action=environment.create").expect(200);
    assert_eq!(row["logs"][0]["ip"], "127.0.0.1");
}

#[test]
fn a_trusted_proxy_is_believed_about_its_client_and_no_further() {
    let mut setup = limited(0, 2);
    setup.config.server.trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
    let app = TestApp::start_with(setup);
    let seen_by_proxy = |chain: &str| app.anonymous().with("X-Forwarded-For", chain);
    // Addresses that the client writes itself come before the one that the proxy appends.
    let statuses: Vec<_> =
        ["198.51.100.1", "203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1"]
            .iter()
            .map(|chain| seen_by_proxy(chain).get(LIST).status)
            .collect();
    assert_eq!(statuses, [401, 401, 429]);
    seen_by_proxy("198.51.100.2").get(LIST).expect_error(401, "UNAUTHORIZED");
    let client = app.admin().with("X-Forwarded-For", "203.0.113.9, 198.51.100.3");
    client.post(LIST, &json!({ "name": "named" })).expect(200);
    let row = app.admin().get("/api/audit-logs?action=environment.create").expect(200);
    assert_eq!(row["logs"][0]["ip"], "198.51.100.3");
}
