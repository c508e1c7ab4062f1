//! Who may do what: every route with every kind of principal, as in section 3 of the contract. The
//! table is written by hand; deriving it from the code would only prove that the code agrees with
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use coffer::domain::{Role, Scope, Timestamp};
use serde_json::{Value, json};
use support::paths::{
    ACCOUNTS, BACKUP, ENVIRONMENTS, EXPORT, KEYS, LOGIN, LOGOUT, ME, REGISTER, REGISTRATION,
    ROTATE, STATUS, TOKENS, USERS,
};
use support::tier;
use support::workloads::{Workload, declare};
use support::{Client, Reply, Setup, TestApp, api};

/// One route: method, path, action in the audit log, and the outcome for each
/// of the fifteen principals. The columns:
///
/// ```text
/// no credential, garbage, expired | viewer | operator | admin
/// each role: every environment, this one, another one, an empty list
/// ```
///
/// The outcomes:
///
/// ```text
/// +  200
/// U  401 UNAUTHORIZED
/// R  403 FORBIDDEN_ROLE
/// S  403 FORBIDDEN_SCOPE
/// N  404 NOT_FOUND: the row is in an environment the caller may not see
/// C  409 CONFLICT: an API token is not a session and cannot be ended
/// ```
///
/// What users may do to themselves is not in the table: that needs a session, and is tested in
/// `tests/api/users` and `tests/api/auth/sessions.rs`.
type Line = (&'static str, &'static str, &'static str, &'static str);

const ENVIRONMENT: &str = "/api/environments/{environment}";
const SETTINGS: &str = "/api/environments/{environment}/settings/configuration";
const RESET: &str = "/api/environments/{environment}/settings/configuration/reset";
const SECRETS: &str = "/api/environments/{environment}/secrets";
const COPY: &str = "/api/environments/{environment}/secrets/copy";
const SECRET: &str = "/api/secrets/{id}";
const VALUE: &str = "/api/secrets/{id}/value";
const VERSIONS: &str = "/api/secrets/{id}/versions";
const ACTIVATE: &str = "/api/secrets/{id}/versions/{version}/activate";
const VARS: &str = "/api/environments/{environment}/vars";
const IMPORT_SECRETS: &str = "/api/environments/{environment}/secrets/import";
const IMPORT_VARS: &str = "/api/environments/{environment}/vars/import";
const VAR: &str = "/api/vars/{id}";
const AUDIT_LOGS: &str = "/api/audit-logs";
const VERIFICATION: &str = "/api/audit-logs/verification";
const DOCTOR: &str = "/api/admin/doctor";
const WORKLOADS: &str = "/api/environments/{environment}/workloads";
const DELIVERIES: &str = "/api/environments/{environment}/deliveries";
const BUNDLE: &str = "/api/environments/{environment}/bundle";
const USER: &str = "/api/users/{id}";
const PASSWORD: &str = "/api/users/{id}/change-password";
const SESSIONS: &str = "/api/users/{id}/sessions";
const SESSION: &str = "/api/users/{id}/sessions/{session}";
const ACCOUNT: &str = "/api/admin/service-accounts/{id}";
const TOKEN: &str = "/api/admin/tokens/{id}";

const KEY: &str = "/api/admin/keys/{id}";

const TABLE: &[Line] = &[
    //                               none  viewer oper admin
    ("GET", "/health", "", "+++ ++++ ++++ ++++"),
    ("GET", "/openapi.json", "", "+++ ++++ ++++ ++++"),
    ("GET", "/api/docs", "", "+++ ++++ ++++ ++++"),
    ("GET", ENVIRONMENTS, "environment.list", "UUU ++++ ++++ ++++"),
    ("POST", ENVIRONMENTS, "environment.create", "UUU RSSS RSSS +SSS"),
    ("GET", ENVIRONMENT, "environment.read", "UUU ++SS ++SS ++SS"),
    ("DELETE", ENVIRONMENT, "environment.delete", "UUU RRSS RRSS ++SS"),
    ("GET", SETTINGS, "settings.read", "UUU RRSS RRSS ++SS"),
    ("PATCH", SETTINGS, "settings.update", "UUU RRSS RRSS ++SS"),
    ("POST", RESET, "settings.reset", "UUU RRSS RRSS ++SS"),
    ("GET", SECRETS, "secret.list", "UUU ++SS ++SS ++SS"),
    ("POST", SECRETS, "secret.create", "UUU RRSS ++SS ++SS"),
    ("POST", IMPORT_SECRETS, "secret.import", "UUU RRSS ++SS ++SS"),
    // Copies from the environment `development`, which the scopes of the second column do not
    // include.
    ("POST", COPY, "secret.copy", "UUU RRSS RRSS +SSS"),
    // A row's environment is known only once the row is found, so the role is refused first; a
    // scope violation is then reported as a missing row.
    ("GET", SECRET, "secret.read", "UUU ++NN ++NN ++NN"),
    ("PATCH", SECRET, "secret.update", "UUU RRRR ++NN ++NN"),
    ("DELETE", SECRET, "secret.delete", "UUU RRRR ++NN ++NN"),
    ("GET", VALUE, "secret.reveal", "UUU RRRR RRRR ++NN"),
    ("GET", VERSIONS, "secret.versions", "UUU ++NN ++NN ++NN"),
    ("POST", ACTIVATE, "secret.activate", "UUU RRRR ++NN ++NN"),
    ("GET", VARS, "var.list", "UUU ++SS ++SS ++SS"),
    ("POST", VARS, "var.create", "UUU RRSS ++SS ++SS"),
    ("POST", IMPORT_VARS, "var.import", "UUU RRSS ++SS ++SS"),
    ("GET", VAR, "var.read", "UUU ++NN ++NN ++NN"),
    ("PATCH", VAR, "var.update", "UUU RRRR ++NN ++NN"),
    ("DELETE", VAR, "var.delete", "UUU RRRR ++NN ++NN"),
    ("GET", WORKLOADS, "workload.list", "UUU ++SS ++SS ++SS"),
    ("GET", DELIVERIES, "delivery.list", "UUU ++SS ++SS ++SS"),
    ("GET", BUNDLE, "workload.deliver", "UUU ++SS ++SS ++SS"),
    ("GET", AUDIT_LOGS, "audit.read", "UUU ++++ ++++ ++++"),
    ("GET", VERIFICATION, "audit.verify", "UUU RSSS RSSS +SSS"),
    ("GET", EXPORT, "audit.export", "UUU RSSS RSSS +SSS"),
    ("GET", BACKUP, "backup.create", "UUU RSSS RSSS +SSS"),
    ("GET", DOCTOR, "server.doctor", "UUU RSSS RSSS +SSS"),
    ("GET", STATUS, "server.status", "UUU RSSS RSSS +SSS"),
    ("POST", LOGIN, "auth.login", "+++ ++++ ++++ ++++"),
    ("GET", REGISTRATION, "", "+++ ++++ ++++ ++++"),
    // Registration is closed: there is already a user.
    ("POST", REGISTER, "auth.register", "RRR RRRR RRRR RRRR"),
    ("POST", LOGOUT, "auth.logout", "UUU CCCC CCCC CCCC"),
    ("GET", ME, "auth.read", "UUU ++++ ++++ ++++"),
    ("GET", USERS, "user.list", "UUU RSSS RSSS +SSS"),
    ("POST", USERS, "user.create", "UUU RSSS RSSS +SSS"),
    ("GET", USER, "user.read", "UUU RSSS RSSS +SSS"),
    ("PATCH", USER, "user.update", "UUU RSSS RSSS +SSS"),
    ("DELETE", USER, "user.delete", "UUU RSSS RSSS +SSS"),
    ("POST", PASSWORD, "user.change-password", "UUU RSSS RSSS +SSS"),
    ("GET", SESSIONS, "session.list", "UUU RSSS RSSS +SSS"),
    ("DELETE", SESSIONS, "session.delete", "UUU RSSS RSSS +SSS"),
    ("DELETE", SESSION, "session.delete", "UUU RSSS RSSS +SSS"),
    ("GET", ACCOUNTS, "service-account.list", "UUU RSSS RSSS +SSS"),
    ("POST", ACCOUNTS, "service-account.create", "UUU RSSS RSSS +SSS"),
    ("GET", ACCOUNT, "service-account.read", "UUU RSSS RSSS +SSS"),
    ("PATCH", ACCOUNT, "service-account.update", "UUU RSSS RSSS +SSS"),
    ("DELETE", ACCOUNT, "service-account.delete", "UUU RSSS RSSS +SSS"),
    ("GET", TOKENS, "token.list", "UUU RSSS RSSS +SSS"),
    ("POST", TOKENS, "token.create", "UUU RSSS RSSS +SSS"),
    ("DELETE", TOKEN, "token.delete", "UUU RSSS RSSS +SSS"),
    ("GET", KEYS, "key.list", "UUU RSSS RSSS +SSS"),
    ("POST", ROTATE, "key.rotate", "UUU RSSS RSSS +SSS"),
    ("DELETE", KEY, "key.retire", "UUU RSSS RSSS +SSS"),
];

const GARBAGE: &str = "cof_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const TOKEN_LIFE_MILLIS: i64 = 60_000;

fn cells(line: &Line) -> Vec<char> {
    let cells: Vec<_> = line.3.chars().filter(|c| *c != ' ').collect();
    assert_eq!(cells.len(), 15, "{line:?}");
    cells
}

/// The server of a matrix run, and the rows that its requests use.
struct Bench {
    app: TestApp,
    expired: String,
    elsewhere: String,
    development: String,
    worlds: u32,
    world: World,
}

/// A fresh environment with a secret of two versions and a var, and settings
/// that a reset changes.
#[derive(Clone)]
struct World {
    number: u32,
    environment: String,
    secret: String,
    var: String,
    user: String,
    email: String,
    session: String,
    account: String,
    token: String,
    /// A wrapping key that nothing needs.
    key: String,
}

const PASS: &str = "a password for the matrix";

impl World {
    fn new(admin: &Client, number: u32) -> Self {
        let id = |answer: Value, of: &str| answer[of]["id"].as_str().unwrap().to_owned();
        let name = json!({ "name": format!("here-{number}") });
        let environment = id(admin.post(ENVIRONMENTS, &name).expect(200), "environment");
        let below = format!("{ENVIRONMENTS}/{environment}");
        let new = json!({ "key": "KEPT", "value": "first" });
        let secret = id(admin.post(&format!("{below}/secrets"), &new).expect(200), "secret");
        let second = json!({ "value": "second" });
        admin.patch(&format!("/api/secrets/{secret}"), &second).expect(200);
        let var = id(admin.post(&format!("{below}/vars"), &new).expect(200), "var");
        let settings = json!({ "neverRevealByDefault": true });
        admin.patch(&format!("{below}/settings/configuration"), &settings).expect(200);
        let email = format!("user-{number}@example.org");
        let user = json!({ "email": email, "password": PASS, "allEnvironments": true });
        let user = id(admin.post(USERS, &user).expect(200), "user");
        let login = json!({ "email": email, "password": PASS });
        admin.post(LOGIN, &login).expect(200);
        let sessions = admin.get(&SESSIONS.replace("{id}", &user)).expect(200);
        let session = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
        let account = json!({ "name": format!("account-{number}"), "allEnvironments": true });
        let account = id(admin.post(ACCOUNTS, &account).expect(200), "serviceAccount");
        let token = json!({
            "name": "of the world",
            "role": "viewer",
            "allEnvironments": true,
            "ownerServiceAccountId": account,
        });
        let token = id(admin.post(TOKENS, &token).expect(200), "tokenRecord");
        // A request may have started a rotation.
        api::rotated(admin);
        let key = api::rotate(admin).to_string();
        Self { number, environment, secret, var, user, email, session, account, token, key }
    }

    /// A workload of this environment.
    fn declare(&self, app: &TestApp) {
        let workload = Workload::new("w");
        declare(app, vec![workload.declared(&[&format!("here-{}", self.number)], &["*"])]);
    }

    /// The value of `{id}` in a path.
    fn row(&self, path: &str) -> &str {
        match path {
            VAR => &self.var,
            ACCOUNT => &self.account,
            TOKEN => &self.token,
            KEY => &self.key,
            _ if path.starts_with(USERS) => &self.user,
            _ => &self.secret,
        }
    }

    fn path(&self, path: &str) -> String {
        let row = self.row(path);
        let path = path.replace("{environment}", &self.environment);
        let path = path.replace("{session}", &self.session);
        path.replace("{id}", row).replace("{version}", "1")
    }

    /// A request that would change something if it were allowed.
    fn send(&self, client: &Client, method: &str, path: &str) -> Reply {
        let at = self.path(path);
        let body = match (method, path) {
            ("POST", ENVIRONMENTS) => json!({ "name": format!("new-{}", self.number) }),
            ("PATCH", SETTINGS) => json!({ "allowSecretReveal": false }),
            ("POST", SECRETS | VARS) => json!({ "key": "NEW", "value": "new" }),
            ("POST", IMPORT_SECRETS) => json!({ "secrets": [{ "key": "NEW", "value": "new" }] }),
            ("POST", IMPORT_VARS) => json!({ "vars": [{ "key": "NEW", "value": "new" }] }),
            ("POST", COPY) => json!({ "from": "development", "keys": ["COPIED"] }),
            ("PATCH", SECRET | VAR) => json!({ "value": "changed", "description": "changed" }),
            ("POST", LOGIN) => json!({ "email": self.email, "password": PASS }),
            ("POST", REGISTER) => json!({ "email": "new@example.org", "password": PASS }),
            ("POST", USERS) => json!({
                "email": format!("new-{}@example.org", self.number),
                "password": PASS,
                "allEnvironments": true,
            }),
            ("PATCH", USER) => json!({ "name": "changed", "role": "operator" }),
            ("POST", PASSWORD) => json!({ "newPassword": "another password" }),
            ("POST", ACCOUNTS) => {
                json!({ "name": format!("new-{}", self.number), "allEnvironments": true })
            }
            ("PATCH", ACCOUNT) => json!({ "description": "changed" }),
            ("POST", TOKENS) => json!({
                "name": "new",
                "role": "viewer",
                "environmentIds": [],
                "ownerServiceAccountId": self.account,
            }),
            ("GET" | "HEAD", BUNDLE) => {
                return client.send(method, &format!("{at}?workload=w"), None);
            }
            ("DELETE", ENVIRONMENT) => return client.delete(&format!("{at}?force=true")),
            _ => return client.send(method, &at, None),
        };
        client.send(method, &at, Some(("application/json", body.to_string().as_bytes())))
    }

    /// Everything that a request in this table could change.
    fn snapshot(&self, admin: &Client) -> Vec<String> {
        let paths = [
            ENVIRONMENTS,
            ENVIRONMENT,
            SETTINGS,
            SECRETS,
            SECRET,
            VALUE,
            VERSIONS,
            VARS,
            VAR,
            USERS,
            USER,
            SESSIONS,
            ACCOUNTS,
            ACCOUNT,
            // Only this account's tokens: those of the principals record when they are used.
            &format!("{TOKENS}?ownerServiceAccountId={}", self.account),
            KEYS,
        ];
        // A fixed request id, so that refusals in the responses can be compared as well.
        let admin = admin.with("X-Request-Id", "snapshot");
        paths.iter().map(|path| admin.get(&self.path(path)).text()).collect()
    }
}

impl Bench {
    fn new() -> Self {
        let mut setup = Setup::default().with_test_clock();
        setup.config.auth.argon2_memory_kib = 8192;
        setup.config.auth.argon2_passes = 1;
        let app = TestApp::start_with(setup);
        let clock = app.clock.clone().unwrap();
        let now = coffer::domain::Clock::now(&*clock);
        let end = Timestamp::from_millis(now.millis() + TOKEN_LIFE_MILLIS);
        let expired = app.token(Role::Admin, Scope::All, Some(end));
        clock.advance_millis(TOKEN_LIFE_MILLIS - 1);
        // The credential must work first; otherwise its refusal would prove nothing.
        app.bearer(&expired).get(ENVIRONMENTS).expect(200);
        clock.advance_millis(1);
        let elsewhere = app.admin().post(ENVIRONMENTS, &json!({ "name": "elsewhere" })).expect(200);
        let elsewhere = elsewhere["environment"]["id"].as_str().unwrap().to_owned();
        api::new_secret(&app.admin(), "development", "COPIED", "a value to copy");
        let development = app.environment_id("development");
        let world = World::new(&app.admin(), 0);
        world.declare(&app);
        Self { app, expired, elsewhere, development, worlds: 0, world }
    }

    fn renew(&mut self) {
        self.worlds += 1;
        self.world = World::new(&self.app.admin(), self.worlds);
        self.world.declare(&self.app);
    }

    /// The principal of a column.
    fn principal(&self, column: usize) -> Client {
        let role = match column {
            0 => return self.app.anonymous(),
            1 => return self.app.bearer(GARBAGE),
            2 => return self.app.bearer(&self.expired),
            3..=6 => Role::Viewer,
            7..=10 => Role::Operator,
            _ => Role::Admin,
        };
        match (column - 3) % 4 {
            0 => self.app.principal(role),
            1 => self.app.scoped(role, &[&self.world.environment]),
            2 => self.app.scoped(role, &[&self.elsewhere]),
            _ => self.app.scoped(role, &[]),
        }
    }
}

/// What the audit log must record about a request.
#[derive(Debug)]
struct Expected {
    line: &'static Line,
    cell: char,
    world_environment: String,
    row: Option<String>,
    /// Whether it came without a valid credential.
    stranger: bool,
}

fn check_answer(reply: &Reply, cell: char, place: &str) {
    let (status, code) = match cell {
        '+' => (200, None),
        'U' => (401, Some("UNAUTHORIZED")),
        'R' => (403, Some("FORBIDDEN_ROLE")),
        'S' => (403, Some("FORBIDDEN_SCOPE")),
        'N' => (404, Some("NOT_FOUND")),
        'C' => (409, Some("CONFLICT")),
        other => panic!("unknown outcome {other}"),
    };
    assert_eq!(reply.status, status, "{place}: {}", reply.text());
    if let Some(code) = code {
        reply.expect_error(status, code);
    }
    let challenge = reply.header("www-authenticate");
    assert_eq!(challenge, (cell == 'U').then_some("Bearer"), "{place}");
}

#[test]
fn the_written_table_names_every_route_of_the_server_and_no_other() {
    let written: BTreeSet<_> = TABLE.iter().map(|line| format!("{} {}", line.0, line.1)).collect();
    assert_eq!(written.len(), TABLE.len(), "duplicate route");
    let served: BTreeSet<_> = coffer::http::routes()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let missing: Vec<_> = served.difference(&written).collect();
    assert!(missing.is_empty(), "routes without an authorization test: {missing:?}");
    let gone: Vec<_> = written.difference(&served).collect();
    assert!(gone.is_empty(), "the table has routes that are not served: {gone:?}");
}

#[test]
fn every_principal_gets_on_every_route_what_the_contract_says_and_a_refusal_changes_nothing() {
    let mut bench = Bench::new();
    let admin = bench.app.admin();
    let mut expected = BTreeMap::new();
    let mut before = bench.world.snapshot(&admin);
    let mut is_checked = true;
    for (number, line) in TABLE.iter().enumerate() {
        for (column, cell) in cells(line).into_iter().enumerate() {
            let place = format!("{} {} column {column}", line.0, line.1);
            let request_id = format!("cell-{number}-{column}");
            let changes = cell == '+' && line.0 != "GET";
            if changes && !is_checked {
                assert_eq!(before, bench.world.snapshot(&admin), "left before {place}");
            }
            let client = bench.principal(column).with("X-Request-Id", &request_id);
            let reply = bench.world.send(&client, line.0, line.1);
            check_answer(&reply, cell, &place);
            // The default run looks once after several requests that must change nothing.
            is_checked = changes || tier::is_full() || column == 14;
            if is_checked {
                let same = before == bench.world.snapshot(&admin);
                assert_eq!(same, !changes, "{place}: what the request left behind");
            }
            // Once a copy's target is in scope, its source decides the refusal.
            let source = line.1 == COPY && cell == 'S' && column == 12;
            let about = if source { &bench.development } else { &bench.world.environment };
            let world_environment = about.clone();
            // The row about the end of a session names the session.
            let ends = line.1 == SESSION && cell == '+';
            let row =
                (line.1.contains("{id}") && !ends).then(|| bench.world.row(line.1).to_owned());
            let stranger = column < 3;
            expected.insert(request_id, Expected { line, cell, world_environment, row, stranger });
            if changes {
                bench.renew();
                before = bench.world.snapshot(&admin);
            }
        }
    }
    check_audit(bench.app, &expected);
}

/// Exactly one row for every change, every reveal and every refusal of a known
/// caller; none for reads of metadata and for callers who are not known.
fn check_audit(app: TestApp, expected: &BTreeMap<String, Expected>) {
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    for (request_id, Expected { line, cell, world_environment, row, stranger }) in expected {
        let of_request = |row: &&coffer::audit::Row| {
            row.draft.request_id.as_deref() == Some(request_id.as_str())
        };
        let found: Vec<_> = rows.iter().filter(of_request).collect();
        let error = match cell {
            'U' | 'C' => None,
            'R' if line.1 == REGISTER && *stranger => None,
            '+' if line.0 == "GET" && ![VALUE, BACKUP, BUNDLE].contains(&line.1) => None,
            '+' => Some(None),
            'R' => Some(Some("FORBIDDEN_ROLE")),
            // The caller receives "not found"; the log records the actual reason.
            _ => Some(Some("FORBIDDEN_SCOPE")),
        };
        let Some(error) = error else {
            assert!(found.is_empty(), "{line:?} {cell} left {found:?}");
            continue;
        };
        // A copy of one secret leaves its own row and one in each environment.
        let rows = if line.1 == COPY && *cell == '+' { 3 } else { 1 };
        assert_eq!(found.len(), rows, "{line:?} {cell} left {found:?}");
        let draft = &found[0].draft;
        assert_eq!(draft.action.as_str(), line.2, "{line:?} {cell}");
        assert_eq!(draft.error.as_deref(), error, "{line:?} {cell}");
        // A caller who is not authenticated is not named, whatever credential they sent.
        assert_eq!(draft.actor.token.is_none(), line.1 == LOGIN, "{line:?} {cell}: the actor");
        if let Some(row) = row {
            assert_eq!(draft.resource.id.as_ref(), Some(row), "{line:?} {cell}");
        }
        let of_nowhere = ["/api/auth", "/api/users", "/api/admin"];
        let of_nowhere = of_nowhere.iter().any(|prefix| line.1.starts_with(prefix));
        if !of_nowhere && ![ENVIRONMENTS, VERIFICATION, EXPORT].contains(&line.1) {
            let label = draft.environment.as_ref().map(|label| label.id.to_string());
            assert_eq!(label.as_ref(), Some(world_environment), "{line:?} {cell}");
        }
    }
}

#[test]
fn head_answers_as_get_does_for_every_principal_but_never_on_a_value() {
    let bench = Bench::new();
    for line in TABLE.iter().filter(|line| line.0 == "GET") {
        for (column, cell) in cells(line).into_iter().enumerate() {
            let reply = bench.principal(column).head(&bench.world.path(line.1));
            let status = match cell {
                // HEAD would reveal the length of the value without an audit row.
                _ if line.1 == VALUE => 405,
                // HEAD would leave an audit row for a backup that nobody received.
                _ if [BACKUP, BUNDLE].contains(&line.1) => 405,
                '+' => 200,
                'U' => 401,
                'N' => 404,
                'C' => 409,
                _ => 403,
            };
            assert_eq!(reply.status, status, "HEAD {} column {column}", line.1);
            assert!(reply.header("content-length").is_some_and(|length| length != "0"));
        }
    }
    let dir = bench.app.stop();
    let reveals = support::audit_rows(dir.path());
    let reveals = reveals.iter().filter(|row| row.draft.action.as_str() == "secret.reveal");
    assert_eq!(reveals.count(), 0, "HEAD on a value must not reveal it");
}

#[test]
fn a_list_of_environments_holds_those_in_scope_and_no_other() {
    let bench = Bench::new();
    let names = |client: Client| -> Vec<String> {
        let answer = client.get(ENVIRONMENTS).expect(200);
        let listed = answer["environments"].as_array().unwrap().iter();
        listed.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let app = &bench.app;
        assert_eq!(names(app.principal(role)), ["development", "elsewhere", "here-0"]);
        assert_eq!(names(app.scoped(role, &[&bench.world.environment])), ["here-0"]);
        assert_eq!(names(app.scoped(role, &[&bench.elsewhere])), ["elsewhere"]);
        assert_eq!(names(app.scoped(role, &[])), [""; 0]);
    }
}

#[test]
fn a_scoped_admin_makes_no_environment_even_under_a_name_in_its_list() {
    let bench = Bench::new();
    let admin = bench.app.admin();
    let scoped = bench.app.scoped(Role::Admin, &[&bench.world.environment]);
    scoped.delete(&bench.world.path("/api/environments/{environment}?force=true")).expect(200);
    let again = scoped.post(ENVIRONMENTS, &json!({ "name": "here-0" }));
    again.expect_error(403, "FORBIDDEN_SCOPE");
    // An environment with the same name is a different one; the old id in the scope does not match
    // it.
    admin.post(ENVIRONMENTS, &json!({ "name": "here-0" })).expect(200);
    scoped.get("/api/environments/here-0").expect_error(403, "FORBIDDEN_SCOPE");
    scoped.get("/api/environments/here-0/secrets").expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(scoped.get(ENVIRONMENTS).expect(200)["environments"], json!([]));
}
