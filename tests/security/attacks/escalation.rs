//! Attacks by a caller whose credential is valid and who wants more than it allows.
//! Replays, hidden rows and races have files of their own.

use serde_json::{Value, json};
use support::accounts::*;
use support::api::{new_secret, text};
use support::{Client, TestApp};

const NEW: &str = "another long password";

fn secrets_of(environment: &str) -> String {
    format!("/api/environments/{environment}/secrets")
}

/// Admins whose scope is this one environment, with each kind of credential.
fn scoped_admins(app: &TestApp, environment: &str) -> Vec<(&'static str, Client)> {
    let scope = only(&[environment]);
    let ann = person(app, "scoped@example.com", "admin", &scope);
    let root = new_user(app, "whole@example.com", "admin", &everywhere());
    let account = service_account(app, "scoped-bot", "admin", &scope);
    let account = text(&account, "id");
    vec![
        ("a session", ann.client.clone()),
        ("a cookie", cookie(app, &ann.token).with("X-Coffer", "1")),
        ("a user's token", token_of(app, &ann.id, "admin", &everywhere()).client),
        ("a narrower token", token_of(app, text(&root, "id"), "admin", &scope).client),
        ("a service account's", token_of_account(app, account, "admin", &everywhere()).client),
        ("nobody's token", mint(app, "admin", &scope, &json!({})).client),
    ]
}

/// All users, tokens, service accounts and environments.
fn inventory(app: &TestApp) -> Vec<usize> {
    let lists = [
        (USERS, "users"),
        (TOKENS, "tokens"),
        (ACCOUNTS, "serviceAccounts"),
        ("/api/environments", "environments"),
    ];
    let count = |(path, list): &(&str, &str)| {
        app.admin().get(path).expect(200)[*list].as_array().unwrap().len()
    };
    lists.iter().map(count).collect()
}

#[test]
fn a_scoped_admin_makes_no_tokens_users_service_accounts_or_environments() {
    let app = start_in(&["home", "foreign"]);
    let home = app.environment_id("home");
    let admins = scoped_admins(&app, &home);
    let before = inventory(&app);
    for (who, client) in &admins {
        client.post(&secrets_of("home"), &json!({})).expect_error(400, "VALIDATION_ERROR");
        for scope in [only(&[&home]), everywhere()] {
            let token = with(json!({ "name": "t", "role": "viewer" }), &scope);
            let account = with(json!({ "name": "new-bot", "role": "viewer" }), &scope);
            for (path, body) in [
                (USERS, user_body("new@example.com", "viewer", &scope)),
                (TOKENS, token),
                (ACCOUNTS, account),
                ("/api/environments", json!({ "name": "another" })),
            ] {
                let reply = client.post(path, &body);
                assert_eq!(reply.status, 403, "{who} {path}");
                reply.expect_error(403, "FORBIDDEN_SCOPE");
            }
        }
        for path in [USERS, TOKENS, ACCOUNTS] {
            client.get(path).expect_error(403, "FORBIDDEN_SCOPE");
        }
        let scopes = client.get(ME).expect(200)["scopes"].clone();
        let scopes = scopes.as_array().unwrap();
        assert!(!scopes.iter().any(|one| one == "tokens:manage" || one == "admin:*"), "{who}");
    }
    assert_eq!(inventory(&app), before);
}

#[test]
fn a_scoped_admin_registers_nobody() {
    let app = start();
    let home = app.environment_id("development");
    let token = mint(&app, "admin", &only(&[&home]), &json!({}));
    let body = json!({ "email": "root@example.com", "password": PASSWORD });
    token.client.post(REGISTER, &body).expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(app.admin().get(USERS).expect(200)["users"], json!([]));
}

#[test]
fn a_token_never_has_more_power_than_its_owner_has_now() {
    // The role: a promotion and a demotion, with tokens that survive the demotion.
    let app = start_in(&["one", "two"]);
    new_user(&app, "root@example.com", "admin", &everywhere());
    let ann = new_user(&app, "ann@example.com", "operator", &everywhere());
    let path = format!("{USERS}/{}", text(&ann, "id"));
    let operator = token_of(&app, text(&ann, "id"), "operator", &everywhere());
    let viewer = token_of(&app, text(&ann, "id"), "viewer", &everywhere());
    let role = |minted: &Minted| minted.client.get(ME).expect(200)["role"].clone();
    app.admin().patch(&path, &json!({ "role": "admin" })).expect(200);
    // The lower of the two roles counts: a promotion does not raise the token's.
    assert_eq!((role(&operator), role(&viewer)), (json!("operator"), json!("viewer")));
    operator.client.get(USERS).expect_error(403, "FORBIDDEN_ROLE");
    let new = json!({ "key": "A", "value": "v" });
    operator.client.post(&secrets_of("one"), &new).expect(200);
    app.admin().patch(&path, &json!({ "role": "viewer" })).expect(200);
    operator.client.post(&secrets_of("two"), &new).expect_error(401, "UNAUTHORIZED");
    assert_eq!(role(&viewer), "viewer");
    viewer.client.post(&secrets_of("two"), &new).expect_error(403, "FORBIDDEN_ROLE");
}

#[test]
fn the_scope_of_a_token_is_what_it_shares_with_its_owner_at_each_request() {
    let app = start_in(&["one", "two", "three"]);
    let ids = ["one", "two", "three"].map(|name| app.environment_id(name));
    let [one, two, three] = &ids;
    let ann = person(&app, "ann@example.com", "admin", &everywhere());
    let bot = service_account(&app, "bot", "admin", &everywhere());
    let owners = [ann.path(), format!("{ACCOUNTS}/{}", text(&bot, "id"))];
    new_user(&app, "root@example.com", "admin", &everywhere());
    let tokens = |scope: &Value| {
        [
            token_of(&app, &ann.id, "admin", scope).client,
            token_of_account(&app, text(&bot, "id"), "admin", scope).client,
        ]
    };
    let (all, listed) = (tokens(&everywhere()), tokens(&only(&[one, two])));
    let secret = new_secret(&app.admin(), "one", "KEY", "v");
    let secret = format!("/api/secrets/{}", text(&secret, "id"));
    let reach = |client: &Client| -> Vec<&str> {
        let answer = client.get("/api/environments").expect(200);
        let shown: Vec<_> = answer["environments"].as_array().unwrap().clone();
        let me = client.get(ME).expect(200);
        let mut reach = Vec::new();
        for (name, id) in ["one", "two", "three"].into_iter().zip(&ids) {
            let status = client.get(&secrets_of(name)).status;
            assert!([200, 403].contains(&status), "{status}");
            let yes = status == 200;
            assert_eq!(shown.iter().any(|item| item["id"] == **id), yes, "{name} in the list");
            let of_me = me["environments"].as_array().unwrap();
            assert_eq!(of_me.iter().any(|item| item == id), yes, "{name} in me");
            if yes {
                reach.push(name);
            }
        }
        assert_eq!(client.get(&secret).status == 200, reach.contains(&"one"));
        reach
    };
    for (scope, of_all, of_listed) in [
        (everywhere(), vec!["one", "two", "three"], vec!["one", "two"]),
        (only(&[two, three]), vec!["two", "three"], vec!["two"]),
        (only(&[three]), vec!["three"], vec![]),
        (only(&[one]), vec!["one"], vec!["one"]),
        (everywhere(), vec!["one", "two", "three"], vec!["one", "two"]),
    ] {
        for (number, owner) in owners.iter().enumerate() {
            app.admin().patch(owner, &scope).expect(200);
            assert_eq!(reach(&all[number]), of_all, "{owner} {scope}");
            assert_eq!(reach(&listed[number]), of_listed, "{owner} {scope}");
            let whole = scope == everywhere();
            assert_eq!(all[number].get(USERS).status == 200, whole, "{owner} {scope}");
            assert_eq!(listed[number].get(USERS).status, 403, "{owner} {scope}");
        }
        let session = reach(&ann.client);
        assert_eq!(session, of_all, "a session has its user's scope");
    }
}

#[test]
fn a_token_of_a_user_cannot_use_what_is_for_the_user_itself() {
    let app = start();
    let home = app.environment_id("development");
    for role in ["viewer", "operator"] {
        let ann = person(&app, &format!("{role}@example.com"), role, &everywhere());
        let listed = ann.client.get(&ann.sessions()).expect(200);
        let session = format!("{}/{}", ann.sessions(), text(&listed["sessions"][0], "id"));
        for scope in [everywhere(), only(&[&home])] {
            let token = token_of(&app, &ann.id, role, &scope).client;
            let change = json!({ "newPassword": NEW, "currentPassword": PASSWORD });
            for reply in [
                token.get(&ann.path()),
                token.patch(&ann.path(), &json!({ "name": "x" })),
                token.get(&ann.sessions()),
                token.delete(&ann.sessions()),
                token.delete(&session),
                token.post(&ann.change_password(), &change),
                token.post(&ann.change_password(), &json!({ "newPassword": NEW })),
            ] {
                assert_eq!(reply.status, 403, "{}", reply.text());
                let code = reply.json()["code"].clone();
                assert!(
                    code == "FORBIDDEN_ROLE" || code == "FORBIDDEN_SCOPE" && scope != everywhere()
                );
            }
        }
        assert!(works(&ann.client));
        assert_eq!(app.admin().get(&ann.path()).expect(200)["user"]["name"], Value::Null);
        login(&app, &ann.email, PASSWORD);
    }
}

#[test]
fn a_login_never_takes_over_a_session_that_was_presented() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let mallory = person(&app, "mallory@example.com", "viewer", &everywhere());
    let planted = format!("cos_{}", "A".repeat(43));
    for presented in [planted.as_str(), &mallory.token, &ann.token] {
        let cookie = app.anonymous().with("Cookie", &format!("coffer_session={presented}"));
        for client in [cookie.with("X-Coffer", "1"), cookie, app.bearer(presented)] {
            let reply = try_login(&client, "ann@example.com", PASSWORD);
            // An invalid bearer may be refused; it must not become a valid one.
            if reply.status != 200 {
                reply.expect_error(401, "UNAUTHORIZED");
                continue;
            }
            // The console gets its token in the cookie, every other client in the response.
            let told = reply.json()["token"].as_str().map(str::to_owned);
            let set = set_cookies(&reply).into_iter().map(|(pair, _)| pair);
            let set: Vec<_> =
                set.filter_map(|pair| pair.split('=').nth(1).map(str::to_owned)).collect();
            let tokens: Vec<_> = told.into_iter().chain(set).collect();
            assert_eq!(tokens.len(), 1, "{tokens:?}");
            assert!(tokens[0].starts_with("cos_") && tokens[0] != presented);
        }
    }
    assert!(!works(&app.bearer(&planted)));
    let who = |client: &Client| client.get(ME).expect(200)["user"]["email"].clone();
    assert_eq!(who(&mallory.client), "mallory@example.com");
    assert_eq!(who(&ann.client), "ann@example.com");
}

#[test]
fn the_parts_of_two_credentials_do_not_make_a_third() {
    let app = start();
    let ann = person(&app, "ann@example.com", "admin", &everywhere());
    let minted = token_of(&app, &ann.id, "admin", &everywhere());
    let tail = |token: &str| token[4..].to_owned();
    for token in [
        format!("cof_{}", tail(&ann.token)),
        format!("cos_{}", tail(&minted.token)),
        format!("cos_{}", tail(app.admin_token())),
        tail(&ann.token),
        ann.token.to_uppercase(),
        format!("{}x", ann.token),
        ann.token[..46].to_owned(),
        ann.id.clone(),
        minted.id.clone(),
    ] {
        let client = app.bearer(&token);
        client.get("/api/environments").expect_error(401, "UNAUTHORIZED");
        cookie(&app, &token).get("/api/environments").expect_error(401, "UNAUTHORIZED");
    }
    let twice = ann.client.with("Authorization", &format!("Bearer {}", minted.token));
    twice.get("/api/environments").expect_error(401, "UNAUTHORIZED");
    let word = app.anonymous().with("Authorization", &format!("bEARER {}", ann.token));
    word.get("/api/environments").expect(200);
    let in_query = app.anonymous().get(&format!("/api/environments?token={}", ann.token));
    in_query.expect_error(401, "UNAUTHORIZED");
}

#[test]
fn an_operator_cannot_lift_itself() {
    let app = start();
    let ann = person(&app, "ann@example.com", "operator", &everywhere());
    let token = token_of(&app, &ann.id, "operator", &everywhere());
    for client in [&ann.client, &token.client] {
        let admin = json!({ "role": "admin" });
        client.patch(&ann.path(), &admin).expect_error(403, "FORBIDDEN_ROLE");
        let own = with(json!({ "name": "t", "role": "viewer" }), &everywhere());
        client.post(TOKENS, &own).expect_error(403, "FORBIDDEN_ROLE");
        client
            .post(USERS, &user_body("x@example.com", "admin", &everywhere()))
            .expect_error(403, "FORBIDDEN_ROLE");
        client
            .post(REGISTER, &json!({ "email": "x@example.com", "password": PASSWORD }))
            .expect_error(403, "FORBIDDEN_ROLE");
        assert_eq!(client.get(ME).expect(200)["role"], "operator");
    }
}
