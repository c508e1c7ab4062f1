//! The data directory of a stopped server, opened by the test process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The audit log of a stopped server, oldest row first, after verifying its chain from the first
/// kept row to the head.
pub fn audit_rows(dir: &Path) -> Vec<coffer::audit::Row> {
    use coffer::store::{AuditRows, View};

    let opened = open_stopped(&data_dir(dir));
    let root_key = std::fs::read_to_string(data_dir(dir).join("root.key")).unwrap();
    let root_key = coffer::vault::RootKey::parse(&root_key).unwrap();
    let verified = coffer::vault::verify_audit(&opened, &root_key).unwrap();
    let rows = opened.scan::<AuditRows>(&[], None);
    let rows: Vec<_> = rows.map(|row| row.unwrap().1.row().unwrap()).collect();
    assert_eq!(verified.broken, None);
    assert_eq!(rows.len() as u64, verified.rows);
    assert!(rows.iter().zip(verified.first_seq..).all(|(row, seq)| row.seq == seq));
    rows
}

/// Fails unless all rows of a stopped server's database are consistent.
#[track_caller]
pub fn rows_fit(data_dir: &Path) {
    let findings = coffer::store::check(&open_stopped(data_dir)).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The database of a stopped server.
pub fn open_stopped(data_dir: &Path) -> coffer::store::Opened {
    await_release(data_dir);
    coffer::store::Opened::open(data_dir, coffer::store::Options::default()).unwrap()
}

/// Makes a file, or a directory and everything in it, accessible to its owner only.
///
/// The real binary sets its umask for that. A umask belongs to the whole process. Tests share one
/// process and start programs that inherit the umask, so no test may change it.
pub fn owner_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let is_dir = path.is_dir();
    let mode = if is_dir { 0o700 } else { 0o600 };
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
        // The database's threads may still rename a snapshot.
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        outcome => outcome.unwrap(),
    }
    if is_dir {
        path.read_dir().unwrap().for_each(|entry| owner_only(&entry.unwrap().path()));
    }
}

/// Returns when nothing in this process holds the database anymore. The threads of sled and actix
/// may keep it and its locks a moment longer than the dropped handle; opening it again in that
/// moment fails.
///
/// Releases the locks itself instead of waiting until the files close: a child process that another
/// test starts at this moment has a copy of every open file until it calls exec, and would hold the
/// locks until then.
pub fn await_release(data_dir: &Path) {
    for held in ["lock", "db/db"] {
        if let Ok(file) = std::fs::File::open(data_dir.join(held)) {
            file.lock().unwrap();
            file.unlock().unwrap();
        }
    }
}

/// The data directory below a [`TestApp`]'s directory.
pub fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}
