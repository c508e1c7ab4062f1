//! A request that is authorized and then waits. If its credential is revoked or limited before the
//! writer reaches its change, the change is not made. The test calls the two halves of the request
//! separately, so that the order is certain.

use coffer::access::NewScope;
use coffer::audit::Action;
use coffer::domain::{Description, KeyName, Origin, Role};
use coffer::vault::{
    Administer, Alphabet, Caller, Error, Generate, Level, NewSecret, NewValue, Permit, Reveal,
    Target, Write,
};
use serde_json::json;
use support::accounts::{LOGOUT, PASSWORD, TOKENS, USERS, everywhere, login, new_user, start};
use support::api::{new_secret, text};
use support::paths::SECRETS;
use support::{Client, TestApp};

/// Authorizes a request.
async fn authorized<L: Level>(app: &TestApp, credential: &str, target: Target<'_>) -> Permit<L> {
    let principal = app.state.access.authenticate(credential).unwrap().expect("a good one");
    let caller = Caller { principal, origin: Origin::host() };
    app.state.vault.authorize(&caller, Action::SecretCreate, target).await.unwrap()
}

/// Makes the change.
async fn create(app: &TestApp, permit: &Permit<Write>) -> Result<(), Error> {
    let generate = Generate { length: 8, alphabet: Alphabet::Hex };
    let new = NewSecret {
        key: KeyName::parse("LATE").unwrap(),
        value: NewValue::Generated(generate),
        description: Description::default(),
        never_reveal: None,
    };
    app.state.vault.create_secret(permit, new).await.map(drop)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn there_is_none(app: &TestApp) {
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
    let rows = app.admin().get("/api/audit-logs?action=secret.create").expect(200);
    assert_eq!(rows["total"], 0);
}

/// Fails unless a write that was already authorized is refused once `end` has returned.
#[track_caller]
fn ended_in_between(app: &TestApp, credential: &str, end: impl FnOnce(&Client)) {
    let target = Target::Environment("development");
    let permit = block_on(authorized::<Write>(app, credential, target));
    end(&app.admin());
    let outcome = block_on(create(app, &permit));
    assert!(matches!(outcome, Err(Error::NoLongerValid)), "{outcome:?}");
    there_is_none(app);
}

/// A user with an API token and a session.
struct Person {
    id: String,
    token_id: String,
    token: String,
    session: String,
}

fn person(app: &TestApp, role: &str) -> Person {
    new_user(app, "root@example.org", "admin", &everywhere());
    let user = new_user(app, "ada@example.org", role, &everywhere());
    let id = text(&user, "id").to_owned();
    let new = json!({ "name": "t", "role": role, "allEnvironments": true, "ownerUserId": id });
    let made = app.admin().post(TOKENS, &new).expect(200);
    Person {
        token_id: text(&made["tokenRecord"], "id").to_owned(),
        token: text(&made, "token").to_owned(),
        session: login(app, "ada@example.org", PASSWORD),
        id,
    }
}

#[test]
fn a_write_succeeds_while_its_credential_is_valid() {
    let app = start();
    let ada = person(&app, "operator");
    let target = Target::Environment("development");
    let permit = block_on(authorized::<Write>(&app, &ada.token, target));
    // Ending another session does not affect the token.
    app.bearer(&ada.session).post(LOGOUT, &json!({})).expect(200);
    block_on(create(&app, &permit)).unwrap();
}

#[test]
fn a_revoked_token_writes_nothing_more() {
    let app = start();
    let ada = person(&app, "operator");
    let path = format!("{TOKENS}/{}", ada.token_id);
    ended_in_between(&app, &ada.token, |admin| drop(admin.delete(&path).expect(200)));
}

#[test]
fn a_session_that_was_logged_out_writes_nothing_more() {
    let app = start();
    let ada = person(&app, "operator");
    let own = app.bearer(&ada.session);
    ended_in_between(&app, &ada.session, |_| drop(own.post(LOGOUT, &json!({})).expect(200)));
}

#[test]
fn a_disabled_demoted_narrowed_or_deleted_user_writes_nothing_more() {
    for (change, by_token) in [
        (Some(json!({ "disabled": true })), false),
        (Some(json!({ "disabled": true })), true),
        (Some(json!({ "role": "viewer" })), false),
        (Some(json!({ "environmentIds": [] })), false),
        (Some(json!({ "environmentIds": [] })), true),
        (None, false),
        (None, true),
    ] {
        let app = start();
        let ada = person(&app, "operator");
        let path = format!("{USERS}/{}", ada.id);
        let credential = if by_token { &ada.token } else { &ada.session };
        ended_in_between(&app, credential, |admin| match &change {
            Some(change) => drop(admin.patch(&path, change).expect(200)),
            None => drop(admin.delete(&path).expect(200)),
        });
    }
}

#[test]
fn a_changed_password_ends_writes_under_way() {
    let app = start();
    let ada = person(&app, "operator");
    let path = format!("{USERS}/{}/change-password", ada.id);
    let change = json!({ "newPassword": "another password" });
    ended_in_between(&app, &ada.session, |admin| drop(admin.post(&path, &change).expect(200)));
}

#[test]
fn a_reveal_under_way_shows_nothing_when_its_credential_has_ended() {
    let app = start();
    let ada = person(&app, "admin");
    let secret = new_secret(&app.admin(), "development", "A", "the value");
    let id = text(&secret, "id");
    let permit = block_on(authorized::<Reveal>(&app, &ada.token, Target::Row(id)));
    app.admin().delete(&format!("{TOKENS}/{}", ada.token_id)).expect(200);
    let outcome = block_on(app.state.vault.reveal_secret(permit, id));
    assert!(matches!(outcome, Err(Error::NoLongerValid)));
}

#[test]
fn a_token_is_not_minted_by_a_credential_that_has_ended() {
    let app = start();
    let ada = person(&app, "admin");
    let permit = block_on(authorized::<Administer>(&app, &ada.token, Target::Everything(None)));
    app.admin().delete(&format!("{USERS}/{}", ada.id)).expect(200);
    let new = coffer::access::NewToken {
        name: coffer::domain::TokenName::parse("late").unwrap(),
        role: Role::Viewer,
        scope: NewScope::All,
        owner: coffer::access::NewTokenOwner::Caller,
        expires_in_days: None,
    };
    let outcome = block_on(app.state.access.create_token(&permit, new));
    assert!(matches!(outcome, Err(coffer::access::Error::Vault(Error::NoLongerValid))));
    let tokens = app.admin().get(TOKENS).expect(200);
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1, "{tokens}");
}
