//! The console's cookie: the same session sent in another way, plus a header that no other site can
//! make a browser send.

use coffer::domain::Network;
use serde_json::json;
use support::accounts::*;
use support::api::{new_secret, text};
use support::paths::{ENVIRONMENTS, SECRETS};
use support::{Client, Reply, Setup, TestApp};

/// Logs in as the console does.
fn console_login(client: &Client) -> Reply {
    try_login(&client.with("X-Coffer", "1"), "ann@example.com", PASSWORD)
}

#[track_caller]
fn the_cookie(reply: &Reply) -> (String, Vec<String>) {
    let cookies = set_cookies(reply);
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    cookies[0].clone()
}

#[test]
fn a_login_of_the_console_sets_a_cookie_that_scripts_and_other_sites_cannot_use() {
    let mut setup = Setup::default().cheap_hashes();
    setup.config.auth.session_hours = 3;
    let app = TestApp::start_with(setup);
    new_user(&app, "ann@example.com", "viewer", &everywhere());
    let reply = console_login(&app.anonymous());
    assert_eq!(
        reply.expect(200)["token"],
        serde_json::Value::Null,
        "scripts could read the cookie"
    );
    let (pair, attributes) = the_cookie(&reply);
    let token = pair.strip_prefix("coffer_session=").unwrap().to_owned();
    assert!(token.starts_with("cos_") && !reply.text().contains(&token));
    for wanted in ["httponly", "samesite=strict", "path=/", "max-age=10800"] {
        assert!(attributes.iter().any(|one| one == wanted), "no {wanted} in {attributes:?}");
    }
    assert!(!attributes.iter().any(|one| one.starts_with("domain")), "{attributes:?}");
    cookie(&app, &token).get(ENVIRONMENTS).expect(200);
    app.bearer(&token).get(ENVIRONMENTS).expect(200);
    for not_one in ["0", "true", "", "11"] {
        let client = app.anonymous().with("X-Coffer", not_one);
        let reply = try_login(&client, "ann@example.com", PASSWORD);
        reply.expect(200);
        assert!(set_cookies(&reply).is_empty(), "{not_one:?}");
    }
    let wrong = try_login(&app.anonymous().with("X-Coffer", "1"), "ann@example.com", WRONG);
    wrong.expect_error(401, "UNAUTHORIZED");
    assert!(set_cookies(&wrong).iter().all(|(pair, _)| !pair.contains("cos_")));
}

#[test]
fn the_cookie_is_secure_only_when_a_trusted_proxy_speaks_https() {
    for (trusted, proto, secure) in [
        (true, Some("https"), true),
        (true, Some("http"), false),
        (true, None, false),
        (false, Some("https"), false),
        (false, None, false),
    ] {
        let mut setup = Setup::default().cheap_hashes();
        if trusted {
            setup.config.server.trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
        }
        let app = TestApp::start_with(setup);
        new_user(&app, "ann@example.com", "viewer", &everywhere());
        let client = app.anonymous().with("X-Forwarded-For", "198.51.100.1");
        let client = proto.map_or(client.clone(), |proto| client.with("X-Forwarded-Proto", proto));
        let reply = console_login(&client);
        reply.expect(200);
        let (_, attributes) = the_cookie(&reply);
        let found = attributes.iter().any(|one| one == "secure");
        assert_eq!(found, secure, "trusted {trusted}, {proto:?}");
    }
}

#[test]
fn a_request_by_cookie_that_may_change_something_needs_the_header() {
    let app = start();
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let secret = new_secret(&root.client, "development", "KEPT", "v");
    let by_cookie = cookie(&app, &root.token);
    let secret = format!("/api/secrets/{}", text(&secret, "id"));
    let changes = |client: &Client| {
        [
            client.post(SECRETS, &json!({ "key": "NEW", "value": "v" })),
            client.patch(&secret, &json!({ "value": "changed" })),
            client.delete(&secret),
            client.post(USERS, &user_body("new@example.com", "admin", &everywhere())),
            client.patch(&root.path(), &json!({ "name": "changed" })),
            client.delete(&root.sessions()),
            client.post(
                &root.change_password(),
                &json!({ "currentPassword": PASSWORD, "newPassword": "another long password" }),
            ),
            client.post(TOKENS, &with(json!({ "name": "t", "role": "admin" }), &everywhere())),
            client.send("POST", LOGOUT, None),
        ]
    };
    let without = [by_cookie.clone(), by_cookie.with("X-Coffer", "0")];
    for client in without {
        for reply in changes(&client) {
            let error = reply.expect_error(401, "UNAUTHORIZED");
            assert!(text(&error, "hint").contains("X-Coffer"), "{error}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    // Requests that only read do not need the header: a link into the console works.
    by_cookie.get(SECRETS).expect(200);
    assert_eq!(by_cookie.head(SECRETS).status, 200);
    assert_eq!(by_cookie.get(&secret).expect(200)["secret"]["version"], 1);
    assert_eq!(app.admin().get(&root.path()).expect(200)["user"]["name"], json!(null));
    // With the header, the session has its usual rights.
    let console = by_cookie.with("X-Coffer", "1");
    console.patch(&secret, &json!({ "value": "changed" })).expect(200);
    console.delete(&secret).expect(200);
    console.post(SECRETS, &json!({ "key": "NEW", "value": "v" })).expect(200);
}

#[test]
fn every_route_that_changes_something_refuses_the_cookie_alone() {
    let app = start();
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let by_cookie = cookie(&app, &root.token);
    for route in coffer::http::routes() {
        let open = [LOGIN, REGISTER].contains(&route.path);
        if route.method == "GET" || open {
            continue;
        }
        let path: String = route
            .path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let reply = by_cookie.send(route.method.as_str(), &path, None);
        reply.expect_error(401, "UNAUTHORIZED");
    }
    assert!(works(&root.client));
}

#[test]
fn an_authorization_header_is_all_that_counts_when_there_is_one() {
    let app = start();
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let viewer = person(&app, "viewer@example.com", "viewer", &everywhere());
    let both = |bearer: &str| {
        app.bearer(bearer)
            .with("Cookie", &format!("coffer_session={}", root.token))
            .with("X-Coffer", "1")
    };
    both(&format!("cos_{}", "x".repeat(43))).get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    both("").get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    let basic = cookie(&app, &root.token).with("Authorization", "Basic eDp5");
    basic.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    both(&viewer.token).get(USERS).expect_error(403, "FORBIDDEN_ROLE");
    // A bearer token needs nothing else, with or without the cookie.
    let bearer = app.bearer(&root.token).with("Cookie", "coffer_session=x");
    bearer.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect(200);
}

#[test]
fn the_cookie_holds_a_session_and_nothing_else() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let minted = token_of(&app, &ann.id, "viewer", &everywhere());
    for value in [app.admin_token(), &minted.token, "", "x", "cos_", &ann.token[4..]] {
        cookie(&app, value).get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    }
    for header in [
        format!("a=b; coffer_session={}; c=d", ann.token),
        format!("a=b;coffer_session={}", ann.token),
    ] {
        app.anonymous().with("Cookie", &header).get(ENVIRONMENTS).expect(200);
    }
    for name in ["Coffer_Session", "xcoffer_session", "coffer_session2"] {
        let client = app.anonymous().with("Cookie", &format!("{name}={}", ann.token));
        client.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    }
}

#[test]
fn a_logout_by_cookie_ends_the_session_and_clears_the_cookie() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let console = cookie(&app, &ann.token).with("X-Coffer", "1");
    let reply = console.send("POST", LOGOUT, None);
    assert_eq!(reply.expect(200), json!({ "success": true }));
    let (pair, attributes) = the_cookie(&reply);
    assert_eq!(pair.trim_end_matches('"'), "coffer_session=", "the cookie is cleared");
    let ends = |one: &String| one == "max-age=0" || one.starts_with("expires=thu, 01 jan 1970");
    assert!(attributes.iter().any(ends), "{attributes:?}");
    assert!(attributes.iter().any(|one| one == "path=/"), "{attributes:?}");
    assert!(!works(&ann.client) && !works(&console));
}

#[test]
fn a_session_by_cookie_ends_as_any_other() {
    let app = start_with_clock();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let by_cookie = cookie(&app, &ann.token);
    advance_seconds(&app, 50 * 60);
    assert!(works(&by_cookie));
    advance_seconds(&app, 60 * 60);
    assert!(!works(&by_cookie));
    let again = login(&app, "ann@example.com", PASSWORD);
    app.admin().patch(&ann.path(), &json!({ "disabled": true })).expect(200);
    assert!(!works(&cookie(&app, &again)));
}
