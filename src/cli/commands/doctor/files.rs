//! The checks that do not open the database: settings, file permissions, stray files, the last
//! backup, and where the root key is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::commands::doctor::keys;
use crate::cli::offline::inaccessible;
use crate::config::{Config, Variables};
use crate::domain::{Clock, Finding, SystemClock};
use crate::store::{Leftover, leftovers};
use crate::vault::backup::{BackupNote, LAST_BACKUP, NoteError, read_note};

/// Whether the server is running while its files are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerState {
    Running,
    Stopped,
}

/// The age in days from which a backup causes a warning.
const MAX_BACKUP_DAYS: i64 = 7;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How many files with a wrong mode are listed.
const MAX_LISTED: usize = 10;

/// Checks the configuration.
pub(super) fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.server.listen.ip().is_loopback() {
        findings.push(Finding::warn(
            format!("{} accepts connections from other machines without TLS", config.server.listen),
            "Listen on 127.0.0.1, behind a TLS proxy.",
        ));
    }
    for name in &config.unsupported {
        findings.push(Finding::warn(
            format!("{name} is set but has no effect in this version"),
            "Remove it from the configuration.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("configuration is valid"));
    }
    findings
}

/// The remedy for a failing disk.
pub(super) const CHECK_DISK: &str = "Copy the directory to another disk before anything else, then check the disk and the system log.";

/// Checks the files, the root key's place and the last backup.
pub(super) fn examine(config: &Config, variables: &Variables, server: ServerState) -> Vec<Finding> {
    let data_dir = &config.server.data_dir;
    let mut findings = modes(data_dir);
    findings.extend(keys::examine(config, variables));
    findings.push(backup(data_dir));
    findings.extend(stray_files(data_dir, server));
    findings
}

/// A file or directory that other users can access.
#[cfg(unix)]
struct WrongMode {
    path: PathBuf,
    mode: u32,
    wanted: u32,
}

/// Everything in a data directory that belongs to its owner not alone, or not at all.
#[cfg(unix)]
#[derive(Default)]
struct PermissionProblems {
    wrong_modes: Vec<WrongMode>,
    /// Files of another user than the directory's owner.
    foreign: Vec<PathBuf>,
}

#[cfg(unix)]
fn walk(path: &Path, owner: u32, problems: &mut PermissionProblems) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let metadata = match fs::symlink_metadata(path) {
        // Removed since it was listed: a running server deletes old snapshots.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    // The permissions of a link do not matter, only those of its target.
    if metadata.is_symlink() {
        return Ok(());
    }
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.mode() & 0o7777;
    if mode & !wanted != 0 {
        problems.wrong_modes.push(WrongMode { path: path.to_owned(), mode, wanted });
    }
    if metadata.uid() != owner {
        problems.foreign.push(path.to_owned());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), owner, problems)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn permission_problems(data_dir: &Path) -> io::Result<PermissionProblems> {
    use std::os::unix::fs::MetadataExt;

    let mut problems = PermissionProblems::default();
    walk(data_dir, fs::metadata(data_dir)?.uid(), &mut problems)?;
    Ok(problems)
}

#[cfg(unix)]
fn modes(data_dir: &Path) -> Vec<Finding> {
    let PermissionProblems { wrong_modes, foreign } = match permission_problems(data_dir) {
        Ok(problems) => problems,
        Err(error) => return vec![inaccessible(data_dir, &error)],
    };
    let mut findings = Vec::new();
    for WrongMode { path, mode, wanted } in wrong_modes.iter().take(MAX_LISTED) {
        findings.push(Finding::error(
            format!("{} is accessible to other users (mode {mode:o})", path.display()),
            format!("Run `chmod {wanted:o} {}` or `coffer doctor --repair`.", path.display()),
        ));
    }
    if wrong_modes.len() > MAX_LISTED {
        findings.push(Finding::error(
            format!("{} more files are accessible to other users", wrong_modes.len() - MAX_LISTED),
            "Run `coffer doctor --repair`.",
        ));
    }
    if let Some(first) = foreign.first() {
        findings.push(Finding::warn(
            format!(
                "{} files do not belong to the owner of the data directory, for example {}",
                foreign.len(),
                first.display()
            ),
            "Change their owner to the server's user with chown.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("files are accessible to their owner only"));
    }
    findings
}

#[cfg(not(unix))]
fn modes(_: &Path) -> Vec<Finding> {
    Vec::new()
}

/// Removes the access of other users to the files.
pub(super) fn repair_modes(data_dir: &Path) -> Vec<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let wrong_modes = match permission_problems(data_dir) {
            Ok(problems) => problems.wrong_modes,
            Err(error) => return vec![inaccessible(data_dir, &error)],
        };
        let repair = |WrongMode { path, mode, wanted }: WrongMode| match fs::set_permissions(
            &path,
            fs::Permissions::from_mode(wanted),
        ) {
            Ok(()) => Finding::repaired(format!(
                "changed the mode of {} from {mode:o} to {wanted:o}",
                path.display()
            )),
            Err(error) => inaccessible(&path, &error),
        };
        wrong_modes.into_iter().map(repair).collect()
    }
    #[cfg(not(unix))]
    {
        let _ = data_dir;
        Vec::new()
    }
}

fn backup(data_dir: &Path) -> Finding {
    const CREATE: &str = "Create one with: coffer backup create FILE";
    let note = data_dir.join(LAST_BACKUP);
    let BackupNote { at, path, bytes } = match read_note(data_dir, LAST_BACKUP) {
        Ok(Some(noted)) => noted,
        Ok(None) => return Finding::warn("no backup yet", CREATE),
        Err(NoteError::Io(error)) => return inaccessible(&note, &error),
        Err(NoteError::Damaged) => {
            let what = format!("{} is damaged: the last backup is unknown", note.display());
            return Finding::warn(what, CREATE);
        }
    };
    let days = (SystemClock.now().millis() - at.millis()).div_euclid(DAY_MILLIS);
    if days >= MAX_BACKUP_DAYS {
        return Finding::warn(format!("the last backup is {days} days old ({at})"), CREATE);
    }
    // A day of tolerance, for a clock that was corrected.
    if days < -1 {
        return Finding::warn(
            format!("the last backup is dated in the future ({at})"),
            "Set the host's clock, then create another backup.",
        );
    }
    let Some(path) = path else {
        return Finding::warn(
            format!(
                "the last backup ({at}) was downloaded; the server cannot tell whether it was kept"
            ),
            "Check the file with: coffer backup verify FILE",
        );
    };
    match (fs::metadata(&path), bytes) {
        (Ok(file), Some(bytes)) if file.len() != bytes => Finding::warn(
            format!(
                "the last backup has changed: {} has {} bytes, it had {bytes}",
                path.display(),
                file.len()
            ),
            CREATE,
        ),
        (Ok(_), _) => Finding::ok(format!("last backup at {at}")),
        (Err(error), _) => Finding::warn(
            format!("the last backup is missing: {}: {error}", path.display()),
            "Make sure that it was copied elsewhere, or create one with: coffer backup create FILE",
        ),
    }
}

/// Reports the problems that opening the database takes care of, and so would hide.
pub(super) fn before_opening(data_dir: &Path) -> Vec<Finding> {
    let found = leftovers(data_dir).unwrap_or_default();
    let is_handled = |kind: &Leftover| matches!(kind, Leftover::FailedSync | Leftover::BadSnapshot);
    let handled = found.into_iter().filter(|(kind, _)| is_handled(kind));
    handled.map(|(kind, path)| stray_file(kind, &path)).collect()
}

fn stray_file(kind: Leftover, path: &Path) -> Finding {
    let what = format!("{} is {}", path.display(), kind.describe());
    match kind {
        Leftover::UnfinishedSnapshot | Leftover::Compaction | Leftover::Replaced => {
            Finding::warn(what, "No action needed: the next start of the server takes care of it.")
        }
        Leftover::BadSnapshot => Finding::warn(
            what,
            "Check the disk. The next start of the server sets it aside, if the log is complete without it.",
        ),
        Leftover::BeforeCompaction => Finding::warn(
            what,
            "No action needed: the next start of the server removes it after the compacted database has opened.",
        ),
        Leftover::FailedSync => Finding::warn(
            what,
            "Copy the directory to another disk, then check the disk and the system log. The next start of the server rewrites the log.",
        ),
        Leftover::DamagedSnapshots | Leftover::Trial => Finding::warn(
            what,
            "Stop the server and run `coffer doctor --repair`, which removes it.",
        ),
        Leftover::Blobs => Finding::error(
            what,
            "Create a backup now and report this: coffer never writes rows that large.",
        ),
    }
}

fn stray_files(data_dir: &Path, server: ServerState) -> Vec<Finding> {
    let found = match leftovers(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![inaccessible(data_dir, &error)],
    };
    let mut findings = Vec::new();
    for (kind, path) in found {
        // A running server may be writing it right now.
        if kind == Leftover::UnfinishedSnapshot && server == ServerState::Running {
            continue;
        }
        findings.push(stray_file(kind, &path));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("no stray files"));
    }
    findings
}
