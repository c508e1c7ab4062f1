//! Two hundred logins at once. All succeed, and only a few hashes are computed at a time, so that
//! memory does not grow with the number of logins.

use serde_json::json;
use support::Client;
use support::api::parallel;
use support::process::Launch;
use support::tier;

/// The memory of one hash in this test, in KiB.
const HASH_KIB: usize = 32 << 10;

/// The peak memory of a process in KiB, as Linux reports it.
fn peak_kib(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn two_hundred_logins_at_once_do_not_exhaust_memory() {
    let logins = tier::rounds(200, 40);
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data"))
        .variable("COFFER_AUTH__ARGON2_MEMORY_KIB", HASH_KIB.to_string())
        .variable("COFFER_AUTH__ARGON2_PASSES", "1")
        .variable("COFFER_RATE_LIMIT__ANONYMOUS_PER_MINUTE", "0")
        .start();
    let body = json!({ "email": "ada@example.org", "password": "correct horse battery" });
    let anonymous = Client::new(server.address, None);
    anonymous.post("/api/auth/register", &body).expect(200);
    let statuses = parallel(logins, |_| anonymous.post("/api/auth/login", &body).status);
    assert_eq!(statuses, vec![200; logins]);
    match peak_kib(server.running.pid()) {
        // All of them at once would need 6400 MiB.
        Some(peak) => assert!(peak < 20 * HASH_KIB, "{} MiB", peak >> 10),
        None => support::skip("this system does not report the memory of a process"),
    }
    server.stop();
}
