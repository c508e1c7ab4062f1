//! `coffer token` and `coffer service-account`: the requests they send, and that a token is shown
//! once and nowhere else. The API is scripted here.

use serde_json::{Value, json};
use support::cli::{Cli, TOKEN};
use support::fake_server::FakeServer;
use support::process::has_program;
use support::skip;

const MADE: &str = "cof_A-new_token_that_is_shown_once_0123456789abc";

fn token(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "tokenPrefix": "cof_A-ne", "role": "operator",
        "allEnvironments": true, "environmentIds": [], "lastUsedAt": null, "expiresAt": null,
        "createdAt": "2026-01-31T00:00:00.000Z", "createdBy": "bootstrap",
        "userId": null, "serviceAccountId": null })
}

fn account(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "description": "deploys", "role": "operator",
        "allEnvironments": true, "environmentIds": [], "disabled": false,
        "createdAt": "2026-01-31T00:00:00.000Z", "updatedAt": "2026-01-31T00:00:00.000Z",
        "createdBy": "bootstrap", "_count": { "apiTokens": 2 } })
}

fn api() -> (FakeServer, Cli) {
    let tokens = [
        token("tok_1", "deploy"),
        token("tok_2", "twice"),
        token("tok_3", "twice"),
        token("tok_4", "tok_1"),
    ];
    let user = json!({ "id": "usr_1", "email": "ada@example.com", "name": null, "role": "admin",
        "allEnvironments": true, "environmentIds": [], "disabled": false, "lastActiveAt": null });
    let success = json!({ "success": true });
    let scripted = FakeServer::answering([
        ("GET /api/admin/tokens", 200, json!({ "tokens": tokens })),
        (
            "POST /api/admin/tokens",
            200,
            json!({ "token": MADE, "tokenRecord": token("tok_9", "new") }),
        ),
        ("DELETE /api/admin/tokens/tok_1", 200, success.clone()),
        ("DELETE /api/admin/tokens/tok_3", 200, success.clone()),
        ("GET /api/users", 200, json!({ "users": [user] })),
        (
            "GET /api/admin/service-accounts",
            200,
            json!({ "serviceAccounts": [account("sva_1", "ci")] }),
        ),
        (
            "POST /api/admin/service-accounts",
            200,
            json!({ "serviceAccount": account("sva_1", "ci") }),
        ),
        ("DELETE /api/admin/service-accounts/sva_1", 200, success),
    ]);
    let cli = Cli::on(scripted.address);
    (scripted, cli)
}

#[test]
fn a_program_gets_the_new_token_on_stdout() {
    let (scripted, cli) = api();
    let made = cli.run(["token", "create", "new", "--role", "operator", "--all-environments"]);
    assert_eq!(made.json()["token"], MADE);
    let body = json!({ "name": "new", "role": "operator", "allEnvironments": true,
        "expiresInDays": null });
    assert_eq!(scripted.only("POST /api/admin/tokens").json(), body);
    made.keeps_quiet_about(TOKEN);
}

#[test]
fn owners_are_named_and_sent_as_ids() {
    let (scripted, cli) = api();
    let create = cli.launch(["token", "create", "n", "--role", "viewer", "--all-environments"]);
    let last = || scripted.heard().last().unwrap().json();
    create.clone().arguments(["--service-account", "ci", "--expires-in-days", "30"]).run("").json();
    assert_eq!(last()["ownerServiceAccountId"], "sva_1");
    assert_eq!(last()["expiresInDays"], 30);
    assert_eq!(last().get("ownerUserId"), None);
    create.clone().arguments(["--user", "Ada@Example.com"]).run("").json();
    assert_eq!(last()["ownerUserId"], "usr_1");
    assert_eq!(last().get("ownerServiceAccountId"), None);

    let sent = scripted.heard().len();
    let both = create.clone().arguments(["--user", "ada@example.com", "--service-account", "ci"]);
    both.run("").refuses(2, ["cannot be used with"]);
    for days in ["0", "366", "-1", "1.5", "x"] {
        let launch = create.clone().argument(format!("--expires-in-days={days}"));
        launch.run("").refuses(2, ["--expires-in-days"]);
    }
    assert_eq!(scripted.heard().len(), sent);
    let nobody = create.clone().arguments(["--user", "eve@example.com"]).run("");
    nobody.refuses(1, ["no user with email \"eve@example.com\""]);
    let none = create.arguments(["--service-account", "cd"]).run("");
    none.refuses(1, ["no service account named \"cd\"", "coffer service-account list"]);
}

#[test]
fn role_and_scope_must_be_said() {
    let (scripted, cli) = api();
    cli.run(["token", "create", "n", "--all-environments"]).refuses(2, ["--role"]);
    cli.run(["token", "create", "n", "--role", "admin"]).refuses(2, ["--all-environments"]);
    assert_eq!(scripted.lines(), [""; 0]);
}

#[test]
fn a_token_is_revoked_by_its_name_or_id() {
    let (scripted, cli) = api();
    cli.run(["token", "revoke", "deploy"]).json();
    cli.run(["token", "revoke", "tok_3"]).json();
    // An id takes precedence over a token that has this id as its name.
    cli.run(["token", "revoke", "tok_1"]).json();
    let mut lines = scripted.lines();
    lines.retain(|line| line.starts_with("DELETE"));
    let path = "DELETE /api/admin/tokens";
    assert_eq!(lines, [format!("{path}/tok_1"), format!("{path}/tok_3"), format!("{path}/tok_1")]);
}

#[test]
fn a_name_that_fits_two_tokens_ends_neither() {
    let (scripted, cli) = api();
    cli.run(["token", "revoke", "twice"]).refuses(1, ["2 tokens", "tok_2", "tok_3", "by id"]);
    cli.run(["token", "revoke", "nothing"])
        .refuses(1, ["no token with id or name \"nothing\"", "coffer token list"]);
    assert!(scripted.lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn a_token_given_for_its_name_is_not_repeated() {
    let (_scripted, cli) = api();
    let refused = cli.run(["token", "revoke", MADE]);
    refused.refuses(2, ["the token itself", "coffer token list"]);
    refused.keeps_quiet_about(MADE);
}

#[test]
fn a_person_sees_the_token_once_on_its_own_line() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_scripted, cli) = api();
    let words = ["token", "create", "new", "--role", "operator", "--all-environments"];
    let made = cli.screen(words);
    assert_eq!(made.lines().next(), Some(MADE), "{made}");
    assert_eq!(made.matches(MADE).count(), 1, "{made}");
    assert!(made.contains("will not be shown again"), "{made}");
    let list = cli.screen(["token", "list"]);
    assert!(list.starts_with("NAME") && list.lines().count() == 5, "{list}");
    assert!(list.contains("never") && list.contains("tok_3"), "{list}");
    let revoked = cli.screen(["token", "revoke", "deploy"]);
    assert_eq!(revoked.trim(), "revoked deploy (tok_1)");
}

#[test]
fn service_accounts_come_and_go_by_name() {
    let (scripted, cli) = api();
    let words = ["service-account", "create", "ci", "--role", "operator", "--all-environments"];
    cli.launch(words).arguments(["--description", "deploys"]).run("").json();
    let body = json!({ "name": "ci", "description": "deploys", "role": "operator",
        "allEnvironments": true });
    assert_eq!(scripted.only("POST /api/admin/service-accounts").json(), body);
    let list = cli.run(["service-account", "list"]).json();
    assert_eq!(list["serviceAccounts"][0]["name"], "ci");
    cli.run(["service-account", "delete", "cd"]).refuses(1, ["no service account named \"cd\""]);
    cli.run(["service-account", "delete", "ci"]).json();
    scripted.only("DELETE /api/admin/service-accounts/sva_1");
}
