//! Where the files with root keys are, and who may read them.
//!
//! Must never: read one.

use std::path::{Path, PathBuf};

use crate::config::{Config, Variables};
use crate::domain::Finding;

/// Names in the data directory: the key, the one before it, and the one that
/// comes next (docs/operations.md, "The root key").
const INSIDE: [&str; 3] = ["root.key", "root.key.previous", "root.key.new"];

/// Whoever gets hold of the directory, or of a copy of it, must not have the key
/// to it in the same hand; and a key that is elsewhere must be for its owner only.
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
                "Back it up apart from the data, or move it and set [keys] root_key_file. Remove one that is no longer needed.",
            )
        })
        .collect();
    findings.extend(outside.iter().filter_map(|path| shared(path)));
    if findings.is_empty() {
        findings.push(Finding::ok("the root key is not in the data directory"));
    }
    findings
}

/// Every file that may hold a root key.
fn files(config: &Config, variables: &Variables) -> Vec<PathBuf> {
    let mut files: Vec<_> = ["COFFER_ROOT_KEY_FILE", "COFFER_PREVIOUS_ROOT_KEY_FILE"]
        .iter()
        .filter_map(|name| variables.get(name).map(PathBuf::from))
        .chain(config.keys.root_key_file.clone())
        .chain(config.keys.previous_root_key_file.clone())
        .chain(INSIDE.iter().map(|name| config.server.data_dir.join(name)))
        .collect();
    files.sort();
    files.dedup_by(|one, other| one.canonicalize().ok() == other.canonicalize().ok());
    files
}

/// What systemd or a container puts there has the mode that those choose, and
/// others cannot get at it; hence a warning.
fn shared(path: &Path) -> Option<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = path.metadata().ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then(|| {
            Finding::warn(
                format!("{} has mode {mode:o}: others can use the root key", path.display()),
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
