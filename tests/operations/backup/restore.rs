//! A restored server has the state of the backup, an audit row about the restore, and no sessions
//! of the old server.

use serde_json::json;
use support::api::{new_secret, new_var, reveal, text};
use support::backups::{restore, restored, root_key, take};
use support::{Setup, TestApp, data_dir};

fn setup() -> Setup {
    Setup::default().cheap_hashes()
}

#[test]
fn a_restored_server_has_everything_and_goes_on_with_the_chain() {
    let app = TestApp::start_with(setup());
    let admin = app.admin();
    let secret = new_secret(&admin, "development", "A", &"a long value ".repeat(1000));
    let id = text(&secret, "id").to_owned();
    let never = json!({ "key": "NEVER", "value": "nobody sees this", "neverReveal": true });
    let never = admin.post("/api/environments/development/secrets", &never).expect(200);
    let never = text(&never["secret"], "id").to_owned();
    new_var(&admin, "development", "V", "a var");
    let file = take(&admin);
    // Later changes are not in the backup.
    new_secret(&admin, "development", "LATER", "x");
    // The host declares its workloads; they are not in the backup.
    support::workloads::declare(&app, Vec::new());
    let before = admin.get(&format!("/api/secrets/{id}")).expect(200);
    let dir = restored(&app, &file);
    drop(app);

    let app = TestApp::start_in(dir, setup());
    let admin = app.admin();
    assert_eq!(admin.get(&format!("/api/secrets/{id}")).expect(200), before);
    assert_eq!(reveal(&admin, &id), "a long value ".repeat(1000));
    admin.get(&format!("/api/secrets/{never}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    let again = json!({ "neverReveal": false });
    admin.patch(&format!("/api/secrets/{never}"), &again).expect_error(422, "READONLY_FIELD");
    let listed = admin.get("/api/environments/development/secrets").expect(200);
    assert_eq!(support::api::keys(&listed["secrets"]), ["A", "NEVER"]);
    new_secret(&admin, "development", "AFTER", "x");
    let dir = app.stop();
    support::rows_fit(&data_dir(dir.path()));
    let rows = support::audit_rows(dir.path());
    let words: Vec<_> = rows.iter().map(|row| row.draft.action.as_str()).collect();
    let marker = words.iter().position(|word| *word == "backup.restore").unwrap();
    assert_eq!((words[marker - 1], words[marker + 1]), ("backup.create", "server.start"));
    let details = rows[marker].draft.details.as_deref().unwrap();
    let details: serde_json::Value = serde_json::from_str(details).unwrap();
    assert_eq!(details["headSeq"], rows[marker].seq - 1);
}

#[test]
fn sessions_end_with_a_restore_and_tokens_do_not() {
    let app = TestApp::start_with(setup());
    let admin = app.admin();
    let user = json!({ "email": "ada@example.org", "password": "a long password" });
    admin.post("/api/auth/register", &user).expect(200);
    let login = app.anonymous().post("/api/auth/login", &user).expect(200);
    let session = text(&login, "token").to_owned();
    app.bearer(&session).get("/api/auth/me").expect(200);
    let dir = restored(&app, &take(&admin));
    drop(app);
    let app = TestApp::start_in(dir, setup());
    app.bearer(&session).get("/api/auth/me").expect_error(401, "UNAUTHORIZED");
    app.admin().get("/api/auth/me").expect(200);
    app.anonymous().post("/api/auth/login", &user).expect(200);
    let dir = app.stop();
    support::rows_fit(&data_dir(dir.path()));
}

#[test]
fn a_request_that_was_done_once_is_not_done_again_after_a_restore() {
    let app = TestApp::start_with(setup());
    let path = "/api/environments/development/secrets";
    let new = json!({ "key": "ONCE", "value": "x" });
    let once = |app: &TestApp| app.admin().with("Idempotency-Key", "k").post(path, &new);
    let first = once(&app).expect(200);
    let dir = restored(&app, &take(&app.admin()));
    drop(app);
    let app = TestApp::start_in(dir, setup());
    let replay = once(&app);
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    assert_eq!(replay.expect(200), first);
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let app = TestApp::start_with(setup());
    let file = take(&app.admin());
    let root = root_key(&app.data_dir());
    let error = restore(&file, &root, &app.data_dir()).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let dir = app.stop();
    let error = restore(&file, &root, &data_dir(dir.path())).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("notes.txt"), "precious").unwrap();
    let error = restore(&file, &root, other.path()).unwrap_err().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1);
    support::rows_fit(&data_dir(dir.path()));
}

#[test]
fn a_restored_directory_holds_a_database_and_nothing_of_the_restore() {
    let app = TestApp::start_with(setup());
    let file = take(&app.admin());
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("some/where/new");
    restore(&file, &root_key(&app.data_dir()), &to).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["db", "in-use", "lock"]);
}
