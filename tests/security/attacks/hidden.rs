//! Attacks on hidden rows: reaching another environment through any route, and inferring from
//! differences between responses that another caller's row exists.

use coffer::http::RouteInfo;
use serde_json::{Value, json};
use support::accounts::*;
use support::api::{new_secret, new_var, text};
use support::{Client, Reply, TestApp};

const NEW: &str = "another long password";

/// One row of each kind, none of which a stranger may see.
struct Ids {
    environment: String,
    secret: String,
    var: String,
    user: String,
    session: String,
    account: String,
    token: String,
}

impl Ids {
    /// Names of the same form that identify nothing.
    fn missing(&self) -> Self {
        Self {
            environment: missing_like(&self.environment),
            secret: missing_like(&self.secret),
            var: missing_like(&self.var),
            user: missing_like(&self.user),
            session: missing_like(&self.session),
            account: missing_like(&self.account),
            token: missing_like(&self.token),
        }
    }

    /// A route's path, filled with these ids. The word before a placeholder determines its kind.
    fn path(&self, route: &str) -> String {
        let mut before = "";
        let mut parts = Vec::new();
        for part in route.split('/') {
            parts.push(match (part.starts_with('{'), before) {
                (false, _) => part,
                (true, "environments") => &self.environment,
                (true, "secrets") => &self.secret,
                (true, "vars") => &self.var,
                (true, "users") => &self.user,
                (true, "sessions") => &self.session,
                (true, "service-accounts") => &self.account,
                (true, "tokens") => &self.token,
                // Keys belong to the whole server; a caller with a limited scope may not see them.
                (true, "versions" | "keys") => "1",
                (true, other) => panic!("{route}: unknown kind of row after {other:?}"),
            });
            before = part;
        }
        parts.join("/")
    }
}

struct Scene {
    app: TestApp,
    victim: Person,
    victims: Minted,
    foreign: Ids,
    home: String,
}

impl Scene {
    fn new() -> Self {
        let app = start_in(&["home", "foreign"]);
        let victim = person(&app, "victim@example.com", "admin", &everywhere());
        let victims = token_of(&app, &victim.id, "admin", &everywhere());
        let id = |item: &Value| text(item, "id").to_owned();
        let sessions = victim.client.get(&victim.sessions()).expect(200);
        let foreign = Ids {
            environment: app.environment_id("foreign"),
            secret: id(&new_secret(&app.admin(), "foreign", "HIDDEN_KEY", "v")),
            var: id(&new_var(&app.admin(), "foreign", "HIDDEN_KEY", "v")),
            user: victim.id.clone(),
            session: id(&sessions["sessions"][0]),
            account: id(&service_account(&app, "hidden-bot", "admin", &everywhere())),
            token: victims.id.clone(),
        };
        let home = app.environment_id("home");
        Self { app, victim, victims, foreign, home }
    }

    /// Callers whose scope is only `home`, with every kind of credential.
    fn strangers(&self) -> Vec<(String, Client)> {
        let app = &self.app;
        let scope = only(&[&self.home]);
        let owner = new_user(app, "owner@example.com", "admin", &everywhere());
        let mut strangers = Vec::new();
        for role in ["viewer", "operator", "admin"] {
            let ann = person(app, &format!("{role}@example.com"), role, &scope);
            let account = service_account(app, &format!("bot-{role}"), role, &scope);
            let bot = token_of_account(app, text(&account, "id"), role, &everywhere());
            let own = token_of(app, &ann.id, role, &everywhere());
            let narrow = token_of(app, text(&owner, "id"), role, &scope);
            let console = cookie(app, &ann.token).with("X-Coffer", "1");
            for (kind, client) in [
                ("session", ann.client),
                ("cookie", console),
                ("user's token", own.client),
                ("service account's token", bot.client),
                ("narrow token of an admin", narrow.client),
                ("nobody's token", mint(app, role, &scope, &json!({})).client),
            ] {
                strangers.push((format!("{role} by {kind}"), client));
            }
        }
        strangers
    }

    /// Fails if anything has changed.
    #[track_caller]
    fn unharmed(&self) {
        let (app, foreign) = (&self.app, &self.foreign);
        let admin = app.admin();
        let secret = admin.get(&format!("/api/secrets/{}", foreign.secret)).expect(200);
        assert_eq!(secret["secret"]["version"], 1);
        let var = admin.get(&format!("/api/vars/{}", foreign.var)).expect(200);
        assert_eq!(var["var"]["value"], "v");
        let account = admin.get(&format!("{ACCOUNTS}/{}", foreign.account)).expect(200);
        assert_eq!(account["serviceAccount"]["disabled"], false);
        assert!(works(&self.victim.client) && works(&self.victims.client));
        login(app, &self.victim.email, PASSWORD);
    }
}

/// A request to this route that would change something if it were allowed.
fn body_for(route: &RouteInfo) -> Option<Value> {
    let (method, path) = (route.method.as_str(), route.path);
    let last = path.rsplit('/').next().unwrap();
    Some(match (method, last) {
        ("GET" | "DELETE", _) => return None,
        ("POST", "secrets" | "vars") => json!({ "key": "NEW", "value": "v" }),
        ("POST", "change-password") => json!({ "newPassword": NEW, "currentPassword": PASSWORD }),
        ("PATCH", "configuration") => json!({ "allowSecretReveal": false }),
        ("PATCH", _) if path.starts_with("/api/secrets") || path.starts_with("/api/vars") => {
            json!({ "value": "changed" })
        }
        ("PATCH", _) => json!({ "disabled": true }),
        _ => json!({}),
    })
}

fn send(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let body = body.map(Value::to_string);
    client.send(method, path, body.as_ref().map(|body| ("application/json", body.as_bytes())))
}

/// The routes that have an id in their path.
fn routes() -> Vec<RouteInfo> {
    let routes: Vec<_> =
        coffer::http::routes().into_iter().filter(|route| route.path.contains('{')).collect();
    assert!(routes.len() > 10);
    routes
}

#[test]
fn no_route_reaches_a_row_outside_the_callers_list() {
    let scene = Scene::new();
    let ids = [&scene.foreign.secret, &scene.foreign.var, &scene.foreign.session];
    for (who, client) in scene.strangers() {
        for route in routes() {
            let path = scene.foreign.path(route.path);
            let mut paths = vec![path.clone()];
            if route.path.starts_with("/api/environments/") {
                paths.push(path.replace(&scene.foreign.environment, "foreign"));
            }
            if route.path == "/api/environments/{environment}" {
                paths.push(format!("{path}?force=true"));
            }
            for path in paths {
                let method = route.method.as_str();
                let body = body_for(&route);
                let reply = send(&client, method, &path, body.as_ref());
                let place = format!("{who}: {method} {path}: {}", reply.text());
                assert!([403, 404].contains(&reply.status), "{place}");
                assert!(!reply.text().contains("HIDDEN_KEY"), "{place}");
                assert!(!ids.iter().any(|id| reply.text().contains(*id)), "{place}");
                if method == "GET" {
                    let head = client.head(&path).status;
                    assert!([403, 404, 405].contains(&head), "HEAD, {place}");
                }
            }
        }
    }
    scene.unharmed();
}

#[test]
fn a_foreign_row_and_a_missing_one_are_answered_the_same() {
    let scene = Scene::new();
    let missing = scene.foreign.missing();
    for (who, client) in scene.strangers() {
        for route in routes() {
            let method = route.method.as_str();
            let good = body_for(&route);
            let odd = [json!({ "id": "x" }), json!({ "value": 7, "name": 7, "role": 7 })];
            let bodies: Vec<Option<Value>> = match &good {
                None => vec![None],
                Some(_) => odd.into_iter().map(Some).chain([good.clone()]).collect(),
            };
            for body in bodies {
                let found = send(&client, method, &scene.foreign.path(route.path), body.as_ref());
                let absent = send(&client, method, &missing.path(route.path), body.as_ref());
                assert_eq!(visible(&found), visible(&absent), "{who}: {method} {}", route.path);
                if method == "GET" {
                    let found = client.head(&scene.foreign.path(route.path));
                    let absent = client.head(&missing.path(route.path));
                    assert_eq!(visible(&found), visible(&absent), "{who}: HEAD {}", route.path);
                }
            }
        }
    }
    scene.unharmed();
}

#[test]
fn a_caller_who_sees_everything_but_is_not_an_admin_learns_of_no_account() {
    let scene = Scene::new();
    let missing = scene.foreign.missing();
    for role in ["viewer", "operator"] {
        let ann = person(&scene.app, &format!("all-{role}@example.com"), role, &everywhere());
        let token = token_of(&scene.app, &ann.id, role, &everywhere());
        for client in [&ann.client, &token.client] {
            for route in routes() {
                let about = ["/api/users", TOKENS, ACCOUNTS];
                if !about.iter().any(|start| route.path.starts_with(start)) {
                    continue;
                }
                let (method, body) = (route.method.as_str(), body_for(&route));
                let found = send(client, method, &scene.foreign.path(route.path), body.as_ref());
                let absent = send(client, method, &missing.path(route.path), body.as_ref());
                found.expect_error(403, "FORBIDDEN_ROLE");
                assert_eq!(visible(&found), visible(&absent), "{role}: {method} {}", route.path);
            }
        }
        // Also through the caller's own path.
        for session in [&scene.foreign.session, &missing.session] {
            let path = format!("{}/{session}", ann.sessions());
            ann.client.delete(&path).expect_error(404, "NOT_FOUND");
        }
        let found = ann.client.delete(&format!("{}/{}", ann.sessions(), scene.foreign.session));
        let absent = ann.client.delete(&format!("{}/{}", ann.sessions(), missing.session));
        assert_eq!(visible(&found), visible(&absent));
    }
    scene.unharmed();
}

#[test]
fn names_and_owners_in_bodies_and_filters_tell_a_stranger_nothing() {
    let scene = Scene::new();
    let missing = scene.foreign.missing();
    for (who, client) in scene.strangers() {
        let same = |found: &Reply, absent: &Reply| {
            assert_eq!(found.status, 403, "{who}");
            assert_eq!(visible(found), visible(absent), "{who}");
        };
        let new = |email: &str| client.post(USERS, &user_body(email, "viewer", &everywhere()));
        same(&new("victim@example.com"), &new("nobody@example.com"));
        let new = |name: &str| client.post(ACCOUNTS, &with(json!({"name": name}), &everywhere()));
        same(&new("hidden-bot"), &new("no-such-bot"));
        let mint = |owner: &str| {
            let body = json!({ "name": "t", "role": "viewer", "ownerUserId": owner });
            client.post(TOKENS, &with(body, &everywhere()))
        };
        same(&mint(&scene.foreign.user), &mint(&missing.user));
        let filter = |owner: &str| client.get(&format!("{TOKENS}?ownerUserId={owner}"));
        same(&filter(&scene.foreign.user), &filter(&missing.user));
        let environment = |name: &str| client.post("/api/environments", &json!({ "name": name }));
        same(&environment("foreign"), &environment("missing"));
    }
    scene.unharmed();
}

#[test]
fn the_audit_log_shows_a_stranger_no_account_and_no_login() {
    let scene = Scene::new();
    try_login(&scene.app.anonymous(), "victim@example.com", WRONG);
    for (who, client) in scene.strangers() {
        let reply = client.get("/api/audit-logs?limit=1000");
        reply.expect(200);
        // Rows about the strangers' own requests have no environment either.
        for hidden in ["victim@example.com", "hidden-bot", "HIDDEN_KEY", &scene.foreign.session] {
            assert!(!reply.text().contains(hidden), "{who} can read {hidden}");
        }
    }
}

#[test]
fn without_a_credential_no_answer_depends_on_what_exists() {
    let scene = Scene::new();
    let missing = scene.foreign.missing();
    let app = &scene.app;
    let dead = person(app, "dead@example.com", "admin", &everywhere());
    dead.client.send("POST", LOGOUT, None).expect(200);
    let nobodies = [
        app.anonymous(),
        app.bearer(&format!("cos_{}", "x".repeat(43))),
        cookie(app, &format!("cos_{}", "x".repeat(43))),
        dead.client,
        cookie(app, &dead.token),
    ];
    for nobody in nobodies {
        for route in routes() {
            let (method, body) = (route.method.as_str(), body_for(&route));
            let found = send(&nobody, method, &scene.foreign.path(route.path), body.as_ref());
            let absent = send(&nobody, method, &missing.path(route.path), body.as_ref());
            found.expect_error(401, "UNAUTHORIZED");
            assert_eq!(visible(&found), visible(&absent), "{method} {}", route.path);
        }
    }
    scene.unharmed();
}
