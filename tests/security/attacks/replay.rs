//! Attacks with an earlier answer: a revoked credential repeats a request whose Idempotency-Key the
//! server remembers.

use serde_json::{Value, json};
use support::accounts::*;
use support::api::{new_environment, text};
use support::paths::SECRETS;
use support::{Client, Reply, Setup, TestApp};

const DAY_SECONDS: i64 = 24 * 60 * 60;

fn keyed(client: &Client) -> Client {
    client.with("Idempotency-Key", "the key")
}

fn write(client: &Client) -> Reply {
    keyed(client).post(SECRETS, &json!({ "key": "A", "value": "v" }))
}

/// An admin with a session and a token, and a service account with a token. Each has made a request
/// that the server would answer again.
struct Scene {
    app: TestApp,
    ann: Person,
    minted: Minted,
    bot: String,
    bots: Minted,
    /// The ids of the secrets that the callers created.
    secrets: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let app = TestApp::start_with(Setup::default().cheap_hashes().with_test_clock());
        let ann = person(&app, "ann@example.com", "admin", &everywhere());
        let expiring = |owner: &str, id: &str| {
            let mut more = json!({ "expiresInDays": 1 });
            more[owner] = json!(id);
            mint(&app, "admin", &everywhere(), &more)
        };
        let minted = expiring("ownerUserId", &ann.id);
        let bot = service_account(&app, "bot", "admin", &everywhere());
        let bot = text(&bot, "id").to_owned();
        let bots = expiring("ownerServiceAccountId", &bot);
        let mut scene = Self { app, ann, minted, bot, bots, secrets: Vec::new() };
        scene.secrets = scene.clients().iter().map(|client| scene.first(client)).collect();
        scene
    }

    fn clients(&self) -> [Client; 3] {
        [self.ann.client.clone(), self.minted.client.clone(), self.bots.client.clone()]
    }

    /// Returns the first answer, after checking that it can be replayed now; otherwise a later
    /// refusal would prove nothing.
    fn first(&self, client: &Client) -> String {
        let first = write(client);
        let secret = first.expect(200)["secret"].clone();
        let again = write(client);
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{}", again.text());
        assert_eq!(again.body, first.body);
        // So that the next caller can create it, and a repetition would be noticed.
        let id = text(&secret, "id").to_owned();
        self.app.admin().delete(&format!("/api/secrets/{id}")).expect(200);
        id
    }

    /// Fails unless a replay gets the same refusal as any other request.
    #[track_caller]
    fn refused(&self, client: &Client, status: u16, code: &str) {
        let reply = write(client);
        reply.expect_error(status, code);
        assert_eq!(reply.header("idempotent-replayed"), None);
        for id in &self.secrets {
            assert!(!reply.text().contains(id), "the first answer is in {}", reply.text());
        }
        assert_eq!(self.app.admin().get(SECRETS).expect(200)["secrets"], json!([]), "no effect");
    }
}

#[test]
fn a_revoked_credential_replays_nothing() {
    let scene = Scene::new();
    let app = &scene.app;
    app.admin().delete(&scene.ann.sessions()).expect(200);
    for minted in [&scene.minted, &scene.bots] {
        app.admin().delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
    }
    for client in scene.clients() {
        scene.refused(&client, 401, "UNAUTHORIZED");
    }
}

#[test]
fn a_session_that_was_logged_out_of_replays_nothing() {
    let scene = Scene::new();
    scene.ann.client.send("POST", LOGOUT, None).expect(200);
    scene.refused(&scene.ann.client, 401, "UNAUTHORIZED");
    scene.refused(&cookie(&scene.app, &scene.ann.token), 401, "UNAUTHORIZED");
}

#[test]
fn an_expired_credential_replays_nothing() {
    let scene = Scene::new();
    advance_seconds(&scene.app, DAY_SECONDS - 1);
    scene.refused(&scene.ann.client, 401, "UNAUTHORIZED");
    // A receipt also expires after a day, so the tokens need newer ones.
    let clients = [&scene.minted, &scene.bots].map(|minted| minted.client.clone());
    let late = |client: &Client| {
        let client = client.with("Idempotency-Key", "another key");
        client.post("/api/environments/development/vars", &json!({ "key": "LATE", "value": "v" }))
    };
    late(&clients[0]).expect(200);
    assert_eq!(late(&clients[0]).header("idempotent-replayed"), Some("true"));
    advance_seconds(&scene.app, 1);
    late(&clients[0]).expect_error(401, "UNAUTHORIZED");
    for client in &clients {
        scene.refused(client, 401, "UNAUTHORIZED");
    }
}

#[test]
fn a_demoted_credential_replays_nothing() {
    let scene = Scene::new();
    let app = &scene.app;
    let viewer = json!({ "role": "viewer" });
    app.admin().patch(&format!("{ACCOUNTS}/{}", scene.bot), &viewer).expect(200);
    let other = person(app, "other@example.com", "admin", &everywhere());
    other.client.patch(&scene.ann.path(), &viewer).expect(200);
    for client in scene.clients() {
        scene.refused(&client, 401, "UNAUTHORIZED");
    }
    // A new session is a different principal, and now a viewer.
    let again = app.bearer(&login(app, "ann@example.com", PASSWORD));
    scene.refused(&again, 403, "FORBIDDEN_ROLE");
}

#[test]
fn a_disabled_credential_replays_nothing() {
    let scene = Scene::new();
    let app = &scene.app;
    new_user(app, "other@example.com", "admin", &everywhere());
    let off = json!({ "disabled": true });
    app.admin().patch(&format!("{ACCOUNTS}/{}", scene.bot), &off).expect(200);
    app.admin().patch(&scene.ann.path(), &off).expect(200);
    for client in scene.clients() {
        scene.refused(&client, 401, "UNAUTHORIZED");
    }
    let on = json!({ "disabled": false });
    app.admin().patch(&format!("{ACCOUNTS}/{}", scene.bot), &on).expect(200);
    app.admin().patch(&scene.ann.path(), &on).expect(200);
    for client in scene.clients() {
        scene.refused(&client, 401, "UNAUTHORIZED");
    }
}

#[test]
fn a_deleted_credential_replays_nothing() {
    let scene = Scene::new();
    let app = &scene.app;
    new_user(app, "other@example.com", "admin", &everywhere());
    app.admin().delete(&format!("{ACCOUNTS}/{}", scene.bot)).expect(200);
    app.admin().delete(&scene.ann.path()).expect(200);
    for client in scene.clients() {
        scene.refused(&client, 401, "UNAUTHORIZED");
    }
}

#[test]
fn a_change_of_password_ends_replays_as_well() {
    let scene = Scene::new();
    let change = json!({ "newPassword": "another long password" });
    scene.app.admin().post(&scene.ann.change_password(), &change).expect(200);
    scene.refused(&scene.ann.client, 401, "UNAUTHORIZED");
    scene.refused(&scene.minted.client, 401, "UNAUTHORIZED");
}

#[test]
fn a_credential_whose_owner_was_narrowed_replays_nothing_of_what_it_lost() {
    let scene = Scene::new();
    let app = &scene.app;
    new_user(app, "other@example.com", "admin", &everywhere());
    let elsewhere = new_environment(&app.admin(), "elsewhere");
    let narrow = only(&[text(&elsewhere, "id")]);
    app.admin().patch(&format!("{ACCOUNTS}/{}", scene.bot), &narrow).expect(200);
    app.admin().patch(&scene.ann.path(), &narrow).expect(200);
    for client in scene.clients() {
        scene.refused(&client, 403, "FORBIDDEN_SCOPE");
    }
}

#[test]
fn two_principals_using_one_key_do_not_get_each_others_answers() {
    let app = start();
    let ann = person(&app, "ann@example.com", "operator", &everywhere());
    let other_session = app.bearer(&login(&app, "ann@example.com", PASSWORD));
    let bob = person(&app, "bob@example.com", "operator", &everywhere());
    let token = token_of(&app, &ann.id, "operator", &everywhere());
    let account = service_account(&app, "bot", "operator", &everywhere());
    let bot = token_of_account(&app, text(&account, "id"), "operator", &everywhere());
    let first = write(&ann.client);
    first.expect(200);
    // Another user, service account or token is not the caller that made the request.
    for client in [&bob.client, &token.client, &bot.client, &app.admin(), &other_session] {
        let reply = write(client);
        // This test does not decide whether two sessions of one user are the same principal.
        let of_ann = std::ptr::eq(client, &raw const other_session);
        if reply.status == 200 {
            assert!(of_ann && reply.header("idempotent-replayed") == Some("true"));
        } else {
            let error = reply.expect_error(409, "CONFLICT");
            assert_eq!(error["field"], "key", "refused as a duplicate");
        }
    }
    let listed = app.admin().get(SECRETS).expect(200);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_login_is_never_replayed() {
    let app = start();
    new_user(&app, "ann@example.com", "viewer", &everywhere());
    let client = keyed(&app.anonymous());
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..3 {
        let reply = try_login(&client, "ann@example.com", PASSWORD);
        assert_eq!(reply.header("idempotent-replayed"), None);
        let token = reply.expect(200)["token"].clone();
        assert!(!seen.contains(&token), "a credential was stored");
        seen.push(token);
    }
    let wrong = try_login(&client, "ann@example.com", WRONG);
    wrong.expect_error(401, "UNAUTHORIZED");
}
