//! Creates, verifies and restores backups.

use std::path::Path;

use coffer::domain::{Clock, SystemClock};
use coffer::store::Options;
use coffer::vault::RootKey;
use coffer::vault::backup::{self, BackupError, Examined, Opening, Restored, Summary};
use tempfile::TempDir;

use super::{Client, TestApp, data_dir};

pub use crate::paths::BACKUP;

/// Creates a backup through the API.
#[track_caller]
pub fn take(client: &Client) -> Vec<u8> {
    let reply = client.get(BACKUP);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    reply.body
}

/// The root key of a data directory.
pub fn root_key(data_dir: &Path) -> RootKey {
    RootKey::parse(&std::fs::read_to_string(data_dir.join("root.key")).unwrap()).unwrap()
}

pub fn open(file: &[u8], root: &RootKey) -> Result<(Summary, Examined), BackupError> {
    backup::verify(file, Opening { root, previous: None, identities: None })
}

/// Fails unless the backup opens and verifies without a finding.
#[track_caller]
pub fn sound(file: &[u8], root: &RootKey) -> (Summary, Examined) {
    let (summary, examined) = open(file, root).unwrap();
    assert!(examined.findings.is_empty(), "{:#?}", examined.findings);
    (summary, examined)
}

pub fn restore(file: &[u8], root: &RootKey, data_dir: &Path) -> Result<Restored, BackupError> {
    let opening = Opening { root, previous: None, identities: None };
    backup::restore(file, opening, data_dir, Options::default(), SystemClock.now())
}

/// Restores a backup into a new directory, ready for a server: with the root key and the first
/// token of the old server, which its operator kept.
#[track_caller]
pub fn restored(app: &TestApp, file: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let to = data_dir(dir.path());
    std::fs::create_dir(&to).unwrap();
    std::fs::copy(app.data_dir().join("root.key"), to.join("root.key")).unwrap();
    let restored = restore(file, &root_key(&to), &to).unwrap();
    assert!(restored.examined.findings.is_empty(), "{:#?}", restored.examined.findings);
    std::fs::copy(app.data_dir().join("bootstrap-token"), to.join("bootstrap-token")).unwrap();
    dir
}
