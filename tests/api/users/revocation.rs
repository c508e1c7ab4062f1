//! What a change of a user revokes: its sessions and tokens, and nobody else's. Also the one user
//! that cannot be removed: the last admin.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::TestApp;
use support::accounts::*;
use support::paths::SECRETS;

/// An admin with two sessions and a token of each role, next to another admin.
struct Scene {
    app: TestApp,
    ann: Person,
    second: String,
    tokens: Vec<(&'static str, Minted)>,
    bob: Person,
    bobs: Minted,
}

impl Scene {
    fn new() -> Self {
        let app = start();
        let ann = person(&app, "ann@example.com", "admin", &everywhere());
        let bob = person(&app, "bob@example.com", "admin", &everywhere());
        let second = login(&app, "ann@example.com", PASSWORD);
        let roles = ["viewer", "operator", "admin"];
        let mint = |role| (role, token_of(&app, &ann.id, role, &everywhere()));
        let tokens = roles.map(mint).into();
        let bobs = token_of(&app, &bob.id, "admin", &everywhere());
        Self { app, ann, second, tokens, bob, bobs }
    }

    fn patch(&self, patch: &Value) {
        self.app.admin().patch(&self.ann.path(), patch).expect(200);
    }

    /// Which of Ann's sessions and tokens still work. Bob's always must.
    #[track_caller]
    fn left(&self) -> (usize, Vec<&'static str>) {
        assert!(
            works(&self.bob.client) && works(&self.bobs.client),
            "another user's credential stopped working"
        );
        let sessions = [self.ann.client.clone(), self.app.bearer(&self.second)];
        let sessions = sessions.iter().filter(|session| works(session)).count();
        let tokens = self.tokens.iter().filter(|(_, minted)| works(&minted.client));
        (sessions, tokens.map(|(role, _)| *role).collect())
    }

    fn listed(&self) -> Vec<Value> {
        let path = format!("{TOKENS}?ownerUserId={}", self.ann.id);
        self.app.admin().get(&path).expect(200)["tokens"].as_array().unwrap().clone()
    }
}

#[test]
fn a_demotion_ends_all_sessions_and_deletes_the_tokens_above_the_new_role() {
    let scene = Scene::new();
    scene.patch(&json!({ "role": "operator" }));
    assert_eq!(scene.left(), (0, vec!["viewer", "operator"]));
    assert_eq!(scene.listed().len(), 2);
    // They are revoked, not just limited: a promotion does not restore them.
    scene.patch(&json!({ "role": "admin" }));
    assert_eq!(scene.left(), (0, vec!["viewer", "operator"]));
    assert!(works(&scene.app.bearer(&login(&scene.app, "ann@example.com", PASSWORD))));
}

#[test]
fn a_disabled_user_has_neither_sessions_nor_tokens_nor_a_login() {
    let scene = Scene::new();
    scene.patch(&json!({ "disabled": true }));
    assert_eq!(scene.left(), (0, vec![]));
    assert_eq!(scene.listed(), [] as [Value; 0]);
    let refused = try_login(&scene.app.anonymous(), "ann@example.com", PASSWORD);
    refused.expect_error(401, "UNAUTHORIZED");
    scene.patch(&json!({ "disabled": false }));
    assert_eq!(scene.left(), (0, vec![]));
    login(&scene.app, "ann@example.com", PASSWORD);
}

#[test]
fn a_deleted_user_has_neither_sessions_nor_tokens_nor_a_login() {
    let scene = Scene::new();
    scene.app.admin().delete(&scene.ann.path()).expect(200);
    assert_eq!(scene.left(), (0, vec![]));
    let refused = try_login(&scene.app.anonymous(), "ann@example.com", PASSWORD);
    refused.expect_error(401, "UNAUTHORIZED");
    // The next user with the same address inherits nothing.
    new_user(&scene.app, "ann@example.com", "admin", &everywhere());
    assert_eq!(scene.left(), (0, vec![]));
    let all = scene.app.admin().get(TOKENS).expect(200);
    let owners = all["tokens"].as_array().unwrap().iter().filter(|t| t["userId"] == *scene.ann.id);
    assert_eq!(owners.count(), 0);
}

#[test]
fn a_change_of_password_ends_all_sessions_and_tokens_the_one_used_included() {
    let scene = Scene::new();
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "another long password" });
    let answer = scene.ann.client.post(&scene.ann.change_password(), &change).expect(200);
    assert_eq!(answer, json!({ "success": true }));
    assert_eq!(scene.left(), (0, vec![]));
    assert_eq!(scene.listed(), [] as [Value; 0]);
}

#[test]
fn a_narrower_scope_a_promotion_a_name_and_an_unchanged_role_end_nothing() {
    let scene = Scene::new();
    let home = scene.app.environment_id("development");
    let all = (2, vec!["viewer", "operator", "admin"]);
    for patch in [
        json!({ "role": "admin" }),
        json!({ "name": "Ann" }),
        json!({ "disabled": false }),
        only(&[&home]),
        everywhere(),
    ] {
        scene.patch(&patch);
        assert_eq!(scene.left(), all, "{patch}");
    }
    let dan = person(&scene.app, "dan@example.com", "viewer", &everywhere());
    scene.app.admin().patch(&dan.path(), &json!({ "role": "operator" })).expect(200);
    let made = dan.client.post(SECRETS, &json!({ "key": "A", "value": "v" }));
    made.expect(200);
}

#[test]
fn what_was_ended_stays_ended_over_a_restart_and_the_rest_goes_on() {
    let Scene { app, ann, second, tokens, bob, bobs } = Scene::new();
    app.admin().patch(&ann.path(), &json!({ "role": "viewer" })).expect(200);
    let app = TestApp::start_in(app.stop(), support::Setup::default().cheap_hashes());
    for ended in [&ann.token, &second, &tokens[1].1.token, &tokens[2].1.token] {
        assert!(!works(&app.bearer(ended)));
    }
    for alive in [&tokens[0].1.token, &bob.token, &bobs.token] {
        assert!(works(&app.bearer(alive)));
    }
}

/// Every way in which a user can stop being an admin of everything.
fn removals(app: &TestApp) -> Vec<Option<Value>> {
    let home = app.environment_id("development");
    vec![
        None,
        Some(json!({ "disabled": true })),
        Some(json!({ "role": "operator" })),
        Some(json!({ "role": "viewer", "name": "Nobody" })),
        Some(only(&[&home])),
        Some(json!({ "allEnvironments": false, "environmentIds": [home] })),
    ]
}

fn remove(client: &support::Client, path: &str, how: Option<&Value>) -> support::Reply {
    how.map_or_else(|| client.delete(path), |patch| client.patch(path, patch))
}

#[test]
fn the_last_admin_cannot_be_removed_by_itself_nor_by_anybody_else() {
    let app = start();
    let home = app.environment_id("development");
    let root = person(&app, "root@example.com", "admin", &everywhere());
    // None of these is an enabled admin with the full scope.
    let off = person(&app, "off@example.com", "admin", &everywhere());
    app.admin().patch(&off.path(), &json!({ "disabled": true })).expect(200);
    new_user(&app, "scoped@example.com", "admin", &only(&[&home]));
    new_user(&app, "operator@example.com", "operator", &everywhere());
    let before = app.admin().get(&root.path()).expect(200);
    let own_token = token_of(&app, &root.id, "admin", &everywhere());
    let host = app.principal(Role::Admin);
    for client in [&root.client, &app.admin(), &own_token.client, &host] {
        for how in removals(&app) {
            let error = remove(client, &root.path(), how.as_ref()).expect_error(409, "CONFLICT");
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("The last admin cannot be "), "{message}");
        }
    }
    let mut after = app.admin().get(&root.path()).expect(200);
    after["user"]["lastActiveAt"] = before["user"]["lastActiveAt"].clone();
    assert_eq!(after, before);
    assert!(works(&root.client) && works(&own_token.client));
}

#[test]
fn an_admin_that_is_not_the_last_can_be_removed_in_every_way() {
    let app = start();
    new_user(&app, "root@example.com", "admin", &everywhere());
    for (number, how) in removals(&app).into_iter().enumerate() {
        let other = person(&app, &format!("{number}@example.com"), "admin", &everywhere());
        remove(&other.client, &other.path(), how.as_ref()).expect(200);
    }
}

#[test]
fn users_without_an_admin_among_them_come_and_go() {
    // Before the first admin exists, nobody can be the last one.
    let app = start();
    let ann = new_user(&app, "ann@example.com", "operator", &everywhere());
    let path = format!("{USERS}/{}", ann["id"].as_str().unwrap());
    app.admin().patch(&path, &json!({ "role": "viewer", "disabled": true })).expect(200);
    app.admin().delete(&path).expect(200);
}
