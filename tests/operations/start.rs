//! Starts of the real binary: its sources of settings, and its messages when it cannot start.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::process::Launch;
use tempfile::TempDir;

/// Every setting: section, key, a valid value, an invalid value.
const SETTINGS: [(&str, &str, &str, &str); 15] = [
    ("server", "listen", "127.0.0.1:0", "localhost"),
    ("server", "data_dir", "data", ""),
    ("server", "trusted_proxies", "10.0.0.0/8, ::1", "10.0.0.0/33"),
    ("keys", "root_key_file", "key", ""),
    ("bootstrap", "environments", "staging, production", "no blanks"),
    ("limits", "value_bytes", "100", "-1"),
    ("limits", "versions_kept", "3", "0"),
    ("limits", "body_bytes", "8192", "much"),
    ("rate_limit", "authenticated_per_minute", "0", "-1"),
    ("rate_limit", "anonymous_per_minute", "0", "x"),
    ("rate_limit", "login_failures", "0", "1.5"),
    ("auth", "argon2_memory_kib", "8192", "1"),
    ("auth", "argon2_passes", "1", "0"),
    ("auth", "session_idle_minutes", "1", "0"),
    ("auth", "session_hours", "1", "0"),
];

fn variable(section: &str, key: &str) -> String {
    format!("COFFER_{}__{}", section.to_uppercase(), key.to_uppercase())
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Creates a directory with this `config.toml`.
fn with_config(text: &str) -> TempDir {
    let dir = directory();
    std::fs::write(dir.path().join("config.toml"), text).unwrap();
    dir
}

/// Launches a server that must exit before it creates anything.
fn bare(dir: &Path) -> Launch {
    Launch::bare(dir).arguments(["--listen", "127.0.0.1:0"])
}

#[test]
fn alone_it_serves_from_data_in_the_working_directory() {
    let dir = directory();
    let server = bare(dir.path()).start();
    assert!(server.address.ip().is_loopback());
    assert_ne!(server.address.port(), 0);
    let health = server.admin().get("/health").expect(200);
    assert_eq!(health["status"], "ok");
    assert!(dir.path().join("data/db/db").is_file());
    let ended = server.stop();
    assert!(ended.stdout.starts_with("listening on http://127.0.0.1:"), "{ended:#?}");
}

#[test]
fn the_default_address_is_8420_on_the_loopback() {
    // The port is in use, by this test or by another program.
    let _holder = TcpListener::bind("127.0.0.1:8420");
    let dir = directory();
    let ended = Launch::bare(dir.path()).fails();
    ended.says(["127.0.0.1:8420", "in use", "--listen"]);
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let dir = directory();
    let ended = Launch::bare(dir.path()).arguments(["--listen", &address]).fails();
    ended.says([&address, "in use", "--listen"]);
}

/// The operator tries again with another port, and must still learn where the token is.
#[test]
fn a_first_start_without_a_port_keeps_its_announcement_for_the_next() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let dir = directory();
    Launch::bare(dir.path()).arguments(["--listen", &address]).fails();
    let ended = bare(dir.path()).start().stop();
    assert!(ended.stdout.contains("curl "), "{ended:#?}");
}

#[test]
fn serve_is_the_same_as_nothing() {
    let dir = directory();
    let server = Launch::bare(dir.path()).arguments(["serve", "--listen", "127.0.0.1:0"]).start();
    server.stop();
    assert!(dir.path().join("data/db/db").is_file());
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let dir = with_config(
        "[server]\nlisten = 'will not do'\ndata_dir = 'by-file'\n[limits]\nvalue_bytes = 5\nversions_kept = 1",
    );
    // The flag has precedence, but an invalid value below it is still an error.
    bare(dir.path()).complains(["config.toml", "[server] listen"]);

    let text = "[server]\ndata_dir = 'by-file'\nlisten = '127.0.0.1:1'\n[limits]\nvalue_bytes = 5";
    let dir = with_config(text);
    bare(dir.path()).start().stop();
    assert!(dir.path().join("by-file/db/db").is_file());

    let by_variable = bare(dir.path())
        .variable("COFFER_SERVER__DATA_DIR", "by-variable")
        .variable("COFFER_LIMITS__VALUE_BYTES", "7");
    by_variable.start().stop();
    assert!(dir.path().join("by-variable/db/db").is_file());

    let by_flag = by_variable.arguments(["--data-dir", "by-flag"]);
    let server = by_flag.start();
    assert!(dir.path().join("by-flag/db/db").is_file());
    let token = std::fs::read_to_string(dir.path().join("by-flag/bootstrap-token")).unwrap();
    let admin = support::Client::new(server.address, Some(token.trim().to_owned()));
    let create = |key: &str, value: &str| {
        let body = json!({ "key": key, "value": value });
        admin.post("/api/environments/development/secrets", &body)
    };
    create("SEVEN", "1234567").expect(200);
    create("EIGHT", "12345678").expect_error(400, "VALIDATION_ERROR");
    server.stop();
}

#[test]
fn another_file_can_be_named() {
    let dir = directory();
    std::fs::write(dir.path().join("other.toml"), "[server]\ndata_dir = 'other'").unwrap();
    std::fs::write(dir.path().join("config.toml"), "[server]\ndata_dir = 'wrong'").unwrap();
    bare(dir.path()).arguments(["--config", "other.toml"]).start().stop();
    bare(dir.path()).variable("COFFER_CONFIG", "other.toml").start().stop();
    assert!(dir.path().join("other/db/db").is_file());
    assert!(!dir.path().join("wrong").exists());
}

#[test]
fn every_setting_can_be_a_variable() {
    let dir = directory();
    // A key file with the right permissions: readable by its owner only.
    let text = format!("{}=", "k".repeat(43));
    coffer::store::write_private(&dir.path().join("key"), &text).unwrap();
    let mut all = Launch::bare(dir.path()).variable("COFFER_LOG__LEVEL", "error");
    for (section, key, good, bad) in SETTINGS {
        let name = variable(section, key);
        all = all.variable(&name, good);
        let ended = bare(dir.path()).variable(&name, bad).complains([&name, "must"]);
        assert!(!dir.path().join("data").exists(), "{ended:#?}");
    }
    bare(dir.path()).variable("COFFER_LOG__LEVEL", "loud").complains(["COFFER_LOG__LEVEL", "must"]);
    let server = all.start();
    let environments = server.admin().get("/api/environments").expect(200);
    let names: Vec<_> = environments["environments"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "{environments}");
    assert_eq!(names[0]["name"], "production");
    assert_eq!(server.stop().stderr, "", "the log level is error, and there is no error");
    assert!(!dir.path().join("data/root.key").exists());
}

#[test]
fn every_setting_can_be_in_the_file() {
    let lists = ["trusted_proxies", "environments"];
    for (section, key, _, bad) in SETTINGS {
        let bad = match bad.parse::<f64>() {
            Ok(_) => bad.to_owned(),
            Err(_) if lists.contains(&key) => format!("['{bad}']"),
            Err(_) => format!("'{bad}'"),
        };
        let dir = with_config(&format!("# one\n[{section}]\n{key} = {bad}\n"));
        bare(dir.path()).complains(["config.toml", &format!("[{section}] {key}"), "must"]);
        assert!(!dir.path().join("data").exists());
    }
    let text = "[server]\ntrusted_proxies = ['10.0.0.0/8']\n[bootstrap]\nenvironments = ['a', 'b']\n\
        [limits]\nvalue_bytes = 100\nversions_kept = 3\nbody_bytes = 8192\n[log]\nlevel = 'error'\n\
        [rate_limit]\nauthenticated_per_minute = 0\nanonymous_per_minute = 0\nlogin_failures = 0\n\
        [auth]\nargon2_memory_kib = 8192\nargon2_passes = 1\nsession_idle_minutes = 1\nsession_hours = 1\n";
    let dir = with_config(text);
    let server = bare(dir.path()).start();
    server.admin().get("/api/environments/b").expect(200);
    server.stop();
}

#[test]
fn sections_of_later_versions_are_accepted() {
    let dir = with_config("[tls]\n[metrics]\n[log]\n");
    let ended = bare(dir.path()).start().stop();
    for section in ["tls", "metrics"] {
        assert!(
            ended.stderr.contains(&format!("[{section}]")),
            "no warning about this section: {ended:#?}"
        );
    }
}

#[test]
fn a_name_that_nobody_knows_is_a_mistake() {
    let place = |text: &str, words: [&str; 3]| {
        let dir = with_config(text);
        bare(dir.path()).complains(words);
        assert!(!dir.path().join("data").exists());
    };
    place("[server]\nlisten_on = '127.0.0.1:0'", ["config.toml", "[server] listen_on", "listen"]);
    place("[server]\nlisen = '127.0.0.1:0'", ["config.toml", "lisen", "Did you mean \"listen\"?"]);
    place("[sever]\nlisten = '127.0.0.1:0'", ["config.toml", "sever", "Did you mean \"server\"?"]);
    place("listen = '127.0.0.1:0'", ["config.toml", "listen", "known"]);
    place("[keys]\nroot_key = 'x'", ["config.toml", "[keys] root_key", "root_key_file"]);

    let dir = directory();
    let complain = |name: &str, words: [&str; 2]| {
        bare(dir.path()).variable(name, "x").complains(words);
    };
    complain("COFFER_SERVER__LISEN", ["COFFER_SERVER__LISEN", "Did you mean \"listen\"?"]);
    complain("COFFER_SEVER__LISTEN", ["COFFER_SEVER__LISTEN", "server"]);
    assert!(!dir.path().join("data").exists());
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    for (text, line) in [
        ("[server]\nlisten =\n", "line 2"),
        ("\n\n[server\n", "line 3"),
        ("a = 1\na = 2", "line 2"),
    ] {
        let dir = with_config(text);
        bare(dir.path()).complains(["config.toml", line]);
    }
    let dir = directory();
    std::fs::write(dir.path().join("config.toml"), b"[server]\ndata_dir = '\xff'").unwrap();
    bare(dir.path()).complains(["config.toml"]);
}

#[test]
fn a_rule_between_settings_names_the_file_too() {
    let dir = with_config("[limits]\nvalue_bytes = 100000\nbody_bytes = 5000\n");
    bare(dir.path()).complains(["config.toml", "body_bytes", "value_bytes"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = directory();
    bare(dir.path()).arguments(["--config", "none.toml"]).complains(["none.toml", "path"]);
    bare(dir.path()).variable("COFFER_CONFIG", "none.toml").complains(["none.toml", "path"]);
    bare(dir.path()).arguments(["--config", "."]).complains([".", "path"]);
    std::fs::create_dir(dir.path().join("config.toml")).unwrap();
    bare(dir.path()).complains(["config.toml", "path"]);
}

#[test]
fn a_file_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let dir = with_config("");
    let path = dir.path().join("config.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // Root can read every file. The previous test covers files that are unreadable for another
        // reason.
        return;
    }
    bare(dir.path()).complains(["config.toml", "ermission"]);
}

#[test]
fn a_variable_that_is_not_text_is_named() {
    use std::os::unix::ffi::OsStrExt;

    let dir = directory();
    let value = std::ffi::OsStr::from_bytes(b"data\xff");
    let launch = bare(dir.path()).variable("COFFER_SERVER__DATA_DIR", value);
    launch.complains(["COFFER_SERVER__DATA_DIR", "UTF-8"]);
}

#[test]
fn bad_flags_end_with_2_and_are_named() {
    let dir = directory();
    for flags in [["--listen", "localhost"], ["--lisen", "127.0.0.1:0"], ["--data-dir", ""]] {
        let ended = Launch::bare(dir.path()).arguments(flags).fails();
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(flags[0]), "{ended:#?}");
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn an_invalid_data_directory_is_named() {
    let dir = directory();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let in_the_way: PathBuf = dir.path().join("file");
    Launch::on(&in_the_way).fails().says([in_the_way.to_str().unwrap()]);
    let below = in_the_way.join("data");
    let launch = bare(dir.path()).argument("--data-dir").argument(&below);
    launch.fails().says([below.to_str().unwrap()]);
}

#[test]
fn a_second_server_on_a_directory_is_refused() {
    let dir = directory();
    let data_dir = dir.path().join("data");
    let first = Launch::on(&data_dir).start();
    let ended = Launch::on(&data_dir).fails();
    ended.says([data_dir.to_str().unwrap(), "in use"]);
    // The first server is unaffected.
    let body = json!({ "key": "STILL", "value": "here" });
    first.admin().post("/api/environments/development/secrets", &body).expect(200);
    first.stop();
    Launch::on(&data_dir).start().stop();
}

#[test]
fn help_and_version_are_answers() {
    let dir = directory();
    for (flag, word) in [("--help", "--data-dir"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let ended = Launch::bare(dir.path()).argument(flag).spawn().wait();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.stdout.contains(word), "{ended:#?}");
    }
    assert!(!dir.path().join("data").exists());
}
