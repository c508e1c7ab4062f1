//! What can be said about a server without opening its database: its settings,
//! its files, where its root key is, when it was backed up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::commands::doctor::keys;
use crate::config::{Config, Variables};
use crate::domain::{Clock, Finding, SystemClock};
use crate::store::{Leftover, leftovers};
use crate::vault::backup::{LAST_BACKUP, NoteError, Noted, read_note};

/// Whether the server runs while its files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Running,
    Stopped,
}

/// A backup that is older than so many days is worth a warning.
const BACKUP_DAYS: i64 = 7;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// So many files with the wrong mode are named.
const NAMED: usize = 10;

/// What is wrong with the configuration.
pub(super) fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.server.listen.ip().is_loopback() {
        findings.push(Finding::warn(
            format!("{} can be reached from other machines, without TLS", config.server.listen),
            "Listen on 127.0.0.1 and put a TLS proxy in front.",
        ));
    }
    for name in &config.unsupported {
        findings.push(Finding::warn(
            format!("{name} is set, and this version does nothing with it"),
            "Remove it from the configuration.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("the configuration"));
    }
    findings
}

/// What to do when a disk fails.
pub(super) const CHECK_DISK: &str = "Check the disk, and the system's log about it; copy the directory to another disk before anything else.";

/// Everything else.
pub(super) fn examine(config: &Config, variables: &Variables, server: Server) -> Vec<Finding> {
    let data_dir = &config.server.data_dir;
    let mut findings = modes(data_dir);
    findings.extend(keys::examine(config, variables));
    findings.push(backup(data_dir));
    findings.extend(lying_about(data_dir, server));
    findings
}

/// That something could not be looked at or done.
pub(super) fn refused(path: &Path, error: &io::Error) -> Finding {
    Finding::error(
        format!("{}: {error}", path.display()),
        "Run this as the user that the server runs as, and check the disk.",
    )
}

/// Whether this process is of the user to whom the database belongs. The directory
/// itself may be another's, where it is a mount that is shared by its group.
pub(in crate::cli) fn is_ours(data_dir: &Path) -> Result<(), Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let log = data_dir.join("db/db");
        let path = if log.exists() { &log } else { data_dir };
        let owner = fs::metadata(path).map_err(|error| refused(path, &error))?.uid();
        let ours = rustix::process::geteuid().as_raw();
        if owner != ours {
            return Err(Finding::error(
                format!(
                    "{} belongs to user {owner}, and this is user {ours}: the database is not opened, because the server could not use files that are made now",
                    path.display()
                ),
                "Run this as the user that the server runs as.",
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = data_dir;
    Ok(())
}

/// A file or directory, and what is wrong with it.
#[cfg(unix)]
struct Shared {
    path: PathBuf,
    mode: u32,
    wanted: u32,
}

/// Everything below the directory that others could use, or that is another's.
#[cfg(unix)]
fn walk(path: &Path, owner: u32, found: &mut (Vec<Shared>, Vec<PathBuf>)) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let metadata = match fs::symlink_metadata(path) {
        // Gone since it was listed: a running server drops snapshots.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    // What a link leads to has its own owner and mode.
    if metadata.is_symlink() {
        return Ok(());
    }
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.mode() & 0o7777;
    if mode & !wanted != 0 {
        found.0.push(Shared { path: path.to_owned(), mode, wanted });
    }
    if metadata.uid() != owner {
        found.1.push(path.to_owned());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), owner, found)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn walked(data_dir: &Path) -> io::Result<(Vec<Shared>, Vec<PathBuf>)> {
    use std::os::unix::fs::MetadataExt;

    let mut found = (Vec::new(), Vec::new());
    walk(data_dir, fs::metadata(data_dir)?.uid(), &mut found)?;
    Ok(found)
}

#[cfg(unix)]
fn modes(data_dir: &Path) -> Vec<Finding> {
    let (shared, others) = match walked(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![refused(data_dir, &error)],
    };
    let mut findings = Vec::new();
    for Shared { path, mode, wanted } in shared.iter().take(NAMED) {
        findings.push(Finding::error(
            format!("{} has mode {mode:o}: it is not for its owner only", path.display()),
            format!("Run: chmod {wanted:o} {}, or coffer doctor --repair", path.display()),
        ));
    }
    if shared.len() > NAMED {
        findings.push(Finding::error(
            format!("and {} more like these", shared.len() - NAMED),
            "Run: coffer doctor --repair",
        ));
    }
    if let Some(first) = others.first() {
        findings.push(Finding::warn(
            format!(
                "{} files belong to another user than the data directory, such as {}",
                others.len(),
                first.display()
            ),
            "Give them to the user that the server runs as, with chown.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("the files are for their owner only"));
    }
    findings
}

#[cfg(not(unix))]
fn modes(_: &Path) -> Vec<Finding> {
    Vec::new()
}

/// Takes away what others may do with the files.
pub(super) fn repair_modes(data_dir: &Path) -> Vec<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let shared = match walked(data_dir) {
            Ok((shared, _)) => shared,
            Err(error) => return vec![refused(data_dir, &error)],
        };
        let repair = |Shared { path, mode, wanted }: Shared| match fs::set_permissions(
            &path,
            fs::Permissions::from_mode(wanted),
        ) {
            Ok(()) => Finding::repaired(format!(
                "{} had mode {mode:o}, and has {wanted:o}",
                path.display()
            )),
            Err(error) => refused(&path, &error),
        };
        shared.into_iter().map(repair).collect()
    }
    #[cfg(not(unix))]
    {
        let _ = data_dir;
        Vec::new()
    }
}

fn backup(data_dir: &Path) -> Finding {
    const MAKE: &str = "Make one with: coffer backup create";
    let note = data_dir.join(LAST_BACKUP);
    let Noted { at, path, bytes } = match read_note(data_dir, LAST_BACKUP) {
        Ok(Some(noted)) => noted,
        Ok(None) => return Finding::warn("there was never a backup", MAKE),
        Err(NoteError::Io(error)) => return refused(&note, &error),
        Err(NoteError::Damaged) => {
            return Finding::warn(format!("{} does not say when", note.display()), MAKE);
        }
    };
    let days = (SystemClock.now().millis() - at.millis()).div_euclid(DAY_MILLIS);
    if days >= BACKUP_DAYS {
        return Finding::warn(format!("the last backup is {days} days old, of {at}"), MAKE);
    }
    // Clocks of one host differ by little.
    if days < -1 {
        return Finding::warn(
            format!("the last backup is said to be of {at}, which is still to come"),
            "Set the host's clock, then make another one.",
        );
    }
    let Some(path) = path else {
        return Finding::warn(
            format!(
                "the last backup, of {at}, was downloaded; whether it is kept is not known here"
            ),
            "See that the file is where it belongs: coffer backup verify FILE",
        );
    };
    match (fs::metadata(&path), bytes) {
        (Ok(file), Some(bytes)) if file.len() != bytes => Finding::warn(
            format!(
                "{}, the last backup, has {} bytes and had {bytes}",
                path.display(),
                file.len()
            ),
            MAKE,
        ),
        (Ok(_), _) => Finding::ok(format!("the last backup is of {at}")),
        (Err(error), _) => Finding::warn(
            format!("{}, the last backup, is not there: {error}", path.display()),
            "See that it was copied elsewhere, or make one with: coffer backup create",
        ),
    }
}

/// What opening the database sees to, so that nobody learns of it afterwards.
pub(super) fn before_opening(data_dir: &Path) -> Vec<Finding> {
    let found = leftovers(data_dir).unwrap_or_default();
    let ours = |kind: &Leftover| matches!(kind, Leftover::FailedSync | Leftover::BadSnapshot);
    found.into_iter().filter(|(kind, _)| ours(kind)).map(|(kind, path)| told(kind, &path)).collect()
}

fn told(kind: Leftover, path: &Path) -> Finding {
    let what = format!("{} is {}", path.display(), kind.describe());
    match kind {
        Leftover::UnfinishedSnapshot | Leftover::Compaction | Leftover::Replaced => Finding::warn(
            what,
            "Opening the database, as this does and the next start, sees to it.",
        ),
        Leftover::BadSnapshot => Finding::warn(
            what,
            "Check the disk. Opening the database sets it aside, if the log is whole without it.",
        ),
        Leftover::BeforeCompaction => Finding::warn(
            what,
            "Opening the database removes it once the new one opens; until then it is the way back.",
        ),
        Leftover::FailedSync => Finding::warn(
            what,
            "Check the disk, and the system's log about it, and copy the directory to another disk. Opening the database writes the log once more.",
        ),
        Leftover::DamagedSnapshots | Leftover::Trial => Finding::warn(
            what,
            "Run `coffer doctor --repair` on the stopped server, which removes it.",
        ),
        Leftover::Blobs => Finding::error(
            what,
            "Make a backup now, and report this: coffer never writes rows that large.",
        ),
    }
}

fn lying_about(data_dir: &Path, server: Server) -> Vec<Finding> {
    let found = match leftovers(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![refused(data_dir, &error)],
    };
    let mut findings = Vec::new();
    for (kind, path) in found {
        // A server that runs may be writing it just now.
        if kind == Leftover::UnfinishedSnapshot && server == Server::Running {
            continue;
        }
        findings.push(told(kind, &path));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("nothing lies about beside the database"));
    }
    findings
}
