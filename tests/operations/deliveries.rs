//! `[[deliver]]`: files that the server keeps up to date, with the real binary.
#![cfg(unix)]

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::{Launch, Lines, Server};
use support::{Client, api, data_dir};
use tempfile::TempDir;

const DELIVERIES: &str = "/api/environments/development/deliveries";
const VALUE: &str = "canary-90c1 \"quoted\" $HOME `id`";

/// A host with a data directory, a directory for files, and a configuration.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        chmod(&dir.path().join("run"), 0o700);
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        // The system's temporary directory may be a symbolic link.
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Writes the configuration. `$DIR` is replaced by the host's directory.
    fn configure(&self, text: &str) {
        let text = text.replace("$DIR", self.path("").to_str().unwrap().trim_end_matches('/'));
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    fn launch(&self) -> Launch {
        // The tests ask again and again until a file is written.
        Launch::on(&data_dir(self.dir.path()))
            .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits until the receipt of the only file meets a condition, and returns it.
#[track_caller]
fn receipt(client: &Client, so: impl Fn(&Value) -> bool) -> Value {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let answer = client.get(DELIVERIES).expect(200);
        let one = answer["deliveries"][0].clone();
        if so(&one) {
            return one;
        }
        assert!(std::time::Instant::now() < until, "timed out, last receipt: {one}");
        std::thread::yield_now();
    }
}

fn versions(wanted: Value) -> impl Fn(&Value) -> bool {
    move |one| one["versions"] == wanted && one["outcome"] == "written"
}

fn secret(server: &Server, key: &str, value: &str) -> String {
    let new = json!({ "key": key, "value": value, "neverReveal": true });
    let made = server.admin().post("/api/environments/development/secrets", &new).expect(200);
    api::text(&made["secret"], "id").to_owned()
}

const ONE: &str = "[[deliver]]\nenvironment = \"development\"\npath = \"$DIR/run/app.env\"\n";

#[test]
fn a_file_is_written_at_the_start_and_when_a_value_changes() {
    let host = Host::new();
    host.configure(&format!(
        "{ONE}format = \"shell\"\nmode = \"0640\"\non_change = [\"sh\", \"-c\", \"env > $DIR/run/hook; echo $0\", \"{VALUE}\"]\n",
        VALUE = "no value"
    ));
    let server = host.launch().start();
    let admin = server.admin();
    receipt(&admin, versions(json!({})));
    let id = secret(&server, "DATABASE_URL", VALUE);
    api::new_var(&admin, "development", "LOG_LEVEL", "debug");
    let one = receipt(&admin, versions(json!({ "DATABASE_URL": 1, "LOG_LEVEL": 1 })));
    assert_eq!((&one["commandStatus"], &one["mode"]), (&json!("0"), &json!("0640")), "{one}");
    let file = host.path("run/app.env");
    // Keeps the file open so that its inode number is not reused.
    let first = std::fs::File::open(&file).unwrap();
    let before = first.metadata().unwrap();
    assert_eq!(before.permissions().mode() & 0o7777, 0o640);
    // Reads the file as a shell does.
    let script = ". \"$0\"; printf '%s|%s' \"$DATABASE_URL\" \"$LOG_LEVEL\"";
    let sourced =
        std::process::Command::new("sh").arg("-c").arg(script).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(sourced.stdout).unwrap(), format!("{VALUE}|debug"));
    // The command receives neither values nor the server's variables.
    let hook = host.read("run/hook");
    assert!(!hook.contains("canary") && !hook.contains("COFFER"), "{hook}");
    // A new value replaces the file atomically.
    admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": "second" })).expect(200);
    receipt(&admin, versions(json!({ "DATABASE_URL": 2, "LOG_LEVEL": 1 })));
    assert_ne!(file.metadata().unwrap().ino(), before.ino());
    // No other file is left in the directory.
    let names: Vec<_> = std::fs::read_dir(host.path("run")).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // After a restart the file is up to date: no new file, no command.
    std::fs::remove_file(host.path("run/hook")).unwrap();
    let ino = file.metadata().unwrap().ino();
    server.stop();
    let server = host.launch().start();
    let one = receipt(&server.admin(), |one| one["outcome"] != "pending");
    assert_eq!((&one["outcome"], &one["commandStatus"]), (&json!("unchanged"), &Value::Null));
    assert_eq!(file.metadata().unwrap().ino(), ino);
    assert!(!host.path("run/hook").exists());
    server.stop();
    // Each delivery is in the audit log, with keys and versions.
    let rows = support::audit_rows(host.dir.path());
    let delivered: Vec<_> = rows
        .iter()
        .filter(|row| row.draft.action.as_str() == "delivery.write")
        .map(|row| row.draft.details.clone().unwrap())
        .collect();
    let last = r#"{"versions":{"DATABASE_URL":2,"LOG_LEVEL":1}}"#;
    assert!(delivered.iter().any(|details| details == last), "{delivered:?}");
}

#[test]
fn a_template_is_resolved_in_one_pass() {
    let host = Host::new();
    std::fs::write(
        host.path("app.conf.in"),
        "url=${DATABASE_URL}\nlevel=${LOG_LEVEL:-info}\nprice=$$5\nagain=${NESTED}\n",
    )
    .unwrap();
    host.configure(&format!("{ONE}template = \"$DIR/app.conf.in\"\n"));
    let server = host.launch().start();
    let admin = server.admin();
    // If a key has no value, nothing is delivered and the receipt names the key.
    let one = receipt(&admin, |one| one["outcome"] == "missing");
    assert_eq!(one["missingKeys"], json!(["DATABASE_URL", "NESTED"]));
    assert!(!host.path("run/app.env").exists());
    secret(&server, "DATABASE_URL", "postgres://db");
    api::new_var(&admin, "development", "NESTED", "${DATABASE_URL} $$");
    api::new_var(&admin, "development", "OTHER", "x");
    let one = receipt(&admin, versions(json!({ "DATABASE_URL": 1, "NESTED": 1 })));
    assert_eq!(one["template"], host.path("app.conf.in").to_str().unwrap());
    let wanted = "url=postgres://db\nlevel=info\nprice=$5\nagain=${DATABASE_URL} $$\n";
    assert_eq!(host.read("run/app.env"), wanted);
    // No response expands references in a var, either.
    let vars = admin.get("/api/environments/development/vars").expect(200);
    assert_eq!(vars["vars"][0]["value"], "${DATABASE_URL} $$");
    // The users of a secret are the file, and the template that names it.
    let secrets = admin.get("/api/environments/development/secrets").expect(200);
    let secret = &secrets["secrets"][0];
    let path = host.path("run/app.env");
    // The other user is the workload `local`.
    assert_eq!(secret["usedByServices"], json!(["local", path.to_str().unwrap()]));
    assert_eq!(secret["usedByConfigFiles"], json!([host.path("app.conf.in").to_str().unwrap()]));
    assert_eq!(secret["usageCount"], 2);
    // Deleting a key leaves the old file.
    let var = vars["vars"][0]["id"].as_str().unwrap();
    admin.delete(&format!("/api/vars/{var}")).expect(200);
    let one = receipt(&admin, |one| one["outcome"] == "missing");
    assert_eq!(one["missingKeys"], json!(["NESTED"]));
    assert_eq!(host.read("run/app.env"), wanted);
    server.stop();
}

/// Checks that a delivery is refused: the file stays unchanged, the receipt says why, and the
/// server tries again.
fn is_refused(host: &Host, why: &str) {
    let server = host.launch().start();
    secret(&server, "A", VALUE);
    let one = receipt(&server.admin(), |one| {
        one["outcome"] == "failed" && one["problem"].as_str().is_some_and(|text| text.contains(why))
    });
    assert_eq!(one["versions"], json!({}), "{one}");
    let ended = server.stop();
    assert!(ended.stderr.contains(why), "{ended:#?}");
    ended.keeps_quiet_about(VALUE);
}

#[test]
fn a_delivery_path_that_is_a_symlink_is_refused() {
    let host = Host::new();
    host.configure(&format!("{ONE}format = \"json\"\n"));
    std::fs::write(host.path("victim"), "victim").unwrap();
    symlink(host.path("victim"), host.path("run/app.env")).unwrap();
    is_refused(&host, "exists but is not a regular file");
    assert_eq!(host.read("victim"), "victim");
}

#[test]
fn a_directory_that_is_a_symlink_is_refused() {
    let host = Host::new();
    std::fs::create_dir(host.path("elsewhere")).unwrap();
    chmod(&host.path("elsewhere"), 0o700);
    symlink(host.path("elsewhere"), host.path("run/link")).unwrap();
    host.configure(
        "[[deliver]]\nenvironment = \"development\"\npath = \"$DIR/run/link/x\"\nformat = \"json\"\n",
    );
    is_refused(&host, "is a symbolic link");
    assert_eq!(std::fs::read_dir(host.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    for mode in [0o777, 0o770, 0o1777] {
        let host = Host::new();
        host.configure(&format!("{ONE}format = \"json\"\n"));
        chmod(&host.path("run"), mode);
        is_refused(&host, "is writable by other users");
        assert!(!host.path("run/app.env").exists());
    }
}

#[test]
fn a_path_with_dots_is_no_path() {
    let host = Host::new();
    for path in ["$DIR/run/../x", "run/x", "/"] {
        host.configure(&format!(
            "[[deliver]]\nenvironment = \"development\"\npath = \"{path}\"\nformat = \"json\"\n"
        ));
        let ended = host.launch().fails();
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains("must be the absolute path of a file"), "{ended:#?}");
    }
    host.configure(&format!("{ONE}format = \"ini\"\n"));
    assert!(host.launch().fails().stderr.contains("must be dotenv, docker-env"));
    host.configure(&format!("{ONE}template = \"$DIR/none\"\n"));
    assert!(host.launch().fails().stderr.contains("none: No such file"));
    host.configure(&format!("{ONE}format = \"json\"\nowner = \"no-such-user-here\"\n"));
    assert!(host.launch().fails().stderr.contains("\"no-such-user-here\" is not in /etc/passwd"));
}

#[test]
fn what_a_command_prints_is_nowhere() {
    let host = Host::new();
    host.configure(&format!(
        "{ONE}format = \"json\"\non_change = [\"sh\", \"-c\", \"cat $DIR/run/app.env; cat $DIR/run/app.env >&2; exit 3\"]\n"
    ));
    let server = host.launch().start();
    let value = "canary-90c1-echoed";
    secret(&server, "A", value);
    let one = receipt(&server.admin(), versions(json!({ "A": 1 })));
    assert_eq!(one["commandStatus"], "3");
    assert!(!one.to_string().contains(value));
    assert!(host.read("run/app.env").contains(value));
    let ended = server.stop();
    ended.keeps_quiet_about(value);
    assert!(ended.stderr.contains("the on_change command of"), "{ended:#?}");
}

#[test]
fn a_command_that_hangs_is_ended() {
    let host = Host::new();
    host.configure(&format!(
        "{ONE}format = \"json\"\non_change = [\"sleep\", \"600\"]\ntimeout_seconds = 1\n"
    ));
    let server = host.launch().start();
    let one = receipt(&server.admin(), |one| one["outcome"] == "written");
    assert_eq!(one["commandStatus"], "timed out");
    server.stop();
}

#[test]
fn a_hangup_activates_the_new_declarations_and_a_bad_file_keeps_the_old() {
    let host = Host::new();
    host.configure("");
    let server = host.launch().start();
    let admin = server.admin();
    assert_eq!(admin.get(DELIVERIES).expect(200)["deliveries"], json!([]));
    secret(&server, "A", VALUE);
    let log = Lines::clone(&server.running.stderr);
    host.configure(&format!("{ONE}format = \"json\"\n"));
    server.running.signal(Signal::HUP);
    receipt(&admin, versions(json!({ "A": 1 })));
    for (bad, why) in [
        (
            "[[deliver]]\nenvironment = 'development'\npath = 5\n",
            "path: must be a non-empty string",
        ),
        ("[server\n", "is not valid TOML"),
        (
            "[[workload]]\nname = 'x'\nenvironments = ['a']\nrecipients = ['age1nobody']\n",
            "recipients",
        ),
    ] {
        host.configure(bad);
        server.running.signal(Signal::HUP);
        log.wait_for(|line| {
            line.contains("reload failed, nothing was changed") && line.contains(why)
        })
        .unwrap();
        assert_eq!(admin.get(DELIVERIES).expect(200)["deliveries"].as_array().unwrap().len(), 1);
    }
    host.configure("");
    server.running.signal(Signal::HUP);
    log.wait_for(|line| line.ends_with("reloaded: 1 workload, 0 files (local)\n")).unwrap();
    assert_eq!(admin.get(DELIVERIES).expect(200)["deliveries"], json!([]));
    // The written file stays; removing it is up to the operator.
    assert!(host.path("run/app.env").exists());
    server.stop();
}

/// Nothing may reveal whether two versions have the same value: an operator could test guesses for
/// a secret that nobody can see.
#[test]
fn a_new_version_is_written_and_its_command_run_whatever_its_value() {
    let host = Host::new();
    host.configure(&format!(
        "{ONE}format = \"json\"\non_change = [\"sh\", \"-c\", \"echo x >> $DIR/run/hook\"]\n"
    ));
    let server = host.launch().start();
    let admin = server.admin();
    let id = secret(&server, "A", VALUE);
    receipt(&admin, versions(json!({ "A": 1 })));
    let runs = |host: &Host| host.read("run/hook").lines().count();
    let before = runs(&host);
    for (version, value) in [(2, VALUE), (3, "another"), (4, "another")] {
        let ino = host.path("run/app.env").metadata().unwrap().ino();
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        let one = receipt(&admin, versions(json!({ "A": version })));
        assert_eq!(one["commandStatus"], "0", "{one}");
        assert_ne!(host.path("run/app.env").metadata().unwrap().ino(), ino);
    }
    assert_eq!(runs(&host), before + 3);
    server.stop();
}

/// The reason why a value does not fit reveals something about a value that nobody may see.
#[test]
fn why_a_value_does_not_fit_is_for_the_host_alone() {
    let host = Host::new();
    host.configure(&format!("{ONE}format = \"docker-env\"\n"));
    let server = host.launch().start();
    let admin = server.admin();
    let log = Lines::clone(&server.running.stderr);
    secret(&server, "SHUT", "two\nlines of canary-90c1");
    let one = receipt(&admin, |one| one["outcome"] == "failed");
    let problem = one["problem"].as_str().unwrap();
    assert!(!problem.contains("SHUT") && !problem.contains("line break"), "{one}");
    log.wait_for(|line| line.contains("SHUT") && line.contains("line break")).unwrap();
    // The audit row about the intended delivery is followed by one about its failure.
    let rows = admin.get("/api/audit-logs?action=delivery.write").expect(200);
    assert_eq!(rows["logs"][0]["success"], false, "{rows}");
    server.stop().keeps_quiet_about("canary-90c1");
}

/// A group that is no longer declared loses its read access.
#[test]
fn a_mode_or_a_group_that_is_taken_back_is_taken_back() {
    let host = Host::new();
    host.configure(&format!("{ONE}format = \"json\"\nmode = \"0644\"\n"));
    let server = host.launch().start();
    let admin = server.admin();
    secret(&server, "A", VALUE);
    receipt(&admin, versions(json!({ "A": 1 })));
    host.configure(&format!("{ONE}format = \"json\"\n"));
    server.running.signal(Signal::HUP);
    receipt(&admin, |one| one["mode"] == "0600" && one["outcome"] == "written");
    let mode = host.path("run/app.env").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.stop();
}

/// The file used to get the directory's group, which could read it at mode 0640, and was considered
/// wrong and rewritten at each start.
#[test]
fn a_file_in_a_directory_with_the_set_group_id_bit_has_the_servers_group() {
    let host = Host::new();
    let (ours, another) = (rustix::process::getegid().as_raw(), 54_321);
    if std::os::unix::fs::chown(host.path("run"), None, Some(another)).is_err() {
        return support::skip("only root can give a directory to any group");
    }
    chmod(&host.path("run"), 0o2700);
    host.configure(&format!("{ONE}format = \"json\"\nmode = \"0640\"\n"));
    let server = host.launch().start();
    secret(&server, "A", VALUE);
    receipt(&server.admin(), versions(json!({ "A": 1 })));
    let made = host.path("run/app.env").metadata().unwrap();
    assert_eq!((made.gid(), made.permissions().mode() & 0o7777), (ours, 0o640));
    server.stop();
    let server = host.launch().start();
    receipt(&server.admin(), |one| one["outcome"] == "unchanged");
    server.stop();
}
