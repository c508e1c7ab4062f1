//! Where the root key files are, and who can read them.
//!
//! Must never: read a root key file.

use std::path::{Path, PathBuf};

use crate::config::{Config, Variables};
use crate::domain::Finding;

/// The root key files in the data directory: current, previous and next
/// (docs/operations.md, "The root key").
const IN_DATA_DIR: [&str; 3] = ["root.key", "root.key.previous", "root.key.new"];

/// Warns about root keys inside the data directory, because a copy of the directory would include
/// the key to it, and about root keys elsewhere that other users can read.
pub(super) fn examine(config: &Config, variables: &Variables) -> Vec<Finding> {
    let data_dir = &config.server.data_dir;
    let is_inside = |path: &Path| match (path.canonicalize(), data_dir.canonicalize()) {
        (Ok(path), Ok(data_dir)) => path.starts_with(data_dir),
        _ => false,
    };
    let (inside, outside): (Vec<_>, Vec<_>) = files(config, variables)
        .into_iter()
        .filter(|path| path.exists())
        .partition(|path| is_inside(path));
    let mut findings: Vec<_> = inside
        .into_iter()
        .map(|path| {
            Finding::warn(
                format!("the root key is in the data directory: {}", path.display()),
                "Move it and set [keys] root_key_file, or at least back it up separately. Remove it if it is no longer needed.",
            )
        })
        .collect();
    findings.extend(outside.iter().filter_map(|path| readable_by_others(path)));
    if findings.is_empty() {
        findings.push(Finding::ok("the root key is not in the data directory"));
    }
    findings
}

/// Every file that may contain a root key.
fn files(config: &Config, variables: &Variables) -> Vec<PathBuf> {
    let mut files: Vec<_> = ["COFFER_ROOT_KEY_FILE", "COFFER_PREVIOUS_ROOT_KEY_FILE"]
        .iter()
        .filter_map(|name| variables.get(name).map(PathBuf::from))
        .chain(config.keys.root_key_file.clone())
        .chain(config.keys.previous_root_key_file.clone())
        .chain(IN_DATA_DIR.iter().map(|name| config.server.data_dir.join(name)))
        .collect();
    files.sort();
    files.dedup_by(|one, other| one.canonicalize().ok() == other.canonicalize().ok());
    files
}

/// Only a warning: systemd and containers choose the mode of the files they provide, and protect
/// them in other ways.
fn readable_by_others(path: &Path) -> Option<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = path.metadata().ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then(|| {
            Finding::warn(
                format!(
                    "the root key {} is accessible to other users (mode {mode:o})",
                    path.display()
                ),
                format!("Run: chmod 600 {}", path.display()),
            )
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
