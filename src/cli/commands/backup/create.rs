//! `coffer backup create`.

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::api::{ClientArguments, unexpected_response};
use crate::cli::commands::backup::failure::{failure, io_failure};
use crate::cli::commands::backup::report::merge;
use crate::cli::offline::{CHECK_THE_DISK, StoppedServer};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{OutputFormat, print};
use crate::cli::terminal::progress::Progress;
use crate::cli::terminal::prompt;
use crate::config::{Config, Variables};
use crate::domain::{Clock, SystemClock, Timestamp};
use crate::server::root_key::{self, SealedObject};
use crate::store::{self, DiskBudget, Options, PrivateFile};
use crate::vault::backup::{self, BackupError, Recipient, Summary};
use crate::vault::{self, Unlocked};

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupCreateArguments {
    /// Backup file to create; must not exist yet
    file: PathBuf,
    /// Seal the backup to this age or SSH public key (age1..., ssh-ed25519 ...) instead of the
    /// root key, which is still needed to create it; repeatable
    #[arg(long, value_name = "KEY", value_parser = recipient)]
    recipient: Vec<Recipient>,
    /// Read the data directory of a stopped server (the default with --data-dir, unless --url or
    /// COFFER_URL is given)
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    client: ClientArguments,
}

fn recipient(text: &str) -> Result<Recipient, String> {
    Recipient::parse(text).map_err(|error| error.to_string())
}

pub(super) fn create(arguments: BackupCreateArguments) -> Result<(), Failure> {
    let BackupCreateArguments { file, recipient, offline, client } = arguments;
    let ClientArguments { server, json } = client;
    let format = OutputFormat::choose(json);
    let (config, variables) = server.load()?;
    if file.symlink_metadata().is_ok() {
        return Err(Failure::wrong(format!("{} already exists", file.display()))
            .hint("Choose another name; backups are never overwritten."));
    }
    let (bytes, summary) = if server.is_offline(offline, &variables) {
        logging::start(config.log_level);
        create_stopped(&file, &recipient, &config, &variables)?
    } else {
        let client = server.client(&config, &variables)?;
        let started = SystemClock.now();
        let download = client.download("/api/admin/backup")?;
        let created = save(&file, download, &recipient, &config, &variables)?;
        // The server knows that it sent a backup; only this process knows that it was saved.
        if client.is_server_of(&config) && config.server.data_dir.join(store::IN_USE).exists() {
            note(&file, &config, started, created.0);
        }
        created
    };
    let mut backup = json!({ "path": file, "bytes": bytes });
    if let Some(summary) = &summary {
        merge(&mut backup, summary);
    }
    match format {
        OutputFormat::Json => print(&json!({ "backup": backup }).to_string()),
        OutputFormat::Table => print(&format!("created {} ({bytes} bytes)", file.display())),
    }
}

/// The length of a backup in bytes, and its summary if this process could read it.
type CreatedBackup = (u64, Option<Summary>);

/// Creates the file under a temporary name. If it is on the same disk as this host's database, it
/// leaves the free space that the database needs.
fn create_file(file: &Path, config: &Config) -> Result<PrivateFile, Failure> {
    let part = PrivateFile::create(file).map_err(io_failure(file))?;
    let data_dir = &config.server.data_dir;
    if !data_dir.is_dir() {
        return Ok(part);
    }
    let room = DiskBudget::beside(data_dir, file, Options::default().min_free_bytes);
    Ok(part.within(room))
}

/// The bytes of a backup that tell which root key it needs.
const HEADER_BYTES: u64 = 58;

/// Saves the backup that a server sends, sealing it anew if there are recipients.
fn save(
    file: &Path,
    (mut stream, expected): (impl Read, Option<u64>),
    recipients: &[Recipient],
    config: &Config,
    variables: &Variables,
) -> Result<CreatedBackup, Failure> {
    let interrupted = |error: std::io::Error| {
        Failure::failed(format!("the download was interrupted: {error}"))
            .hint("Nothing was saved. Check the server's log, then try again.")
    };
    let mut header = Vec::new();
    (&mut stream).take(HEADER_BYTES).read_to_end(&mut header).map_err(interrupted)?;
    let wanted = backup::wanted_root_key(&header[..], None)
        .map_err(|_| unexpected_response("not a backup"))?;
    let part = create_file(file, config)?;
    let progress = Progress::estimated("backup", expected);
    let mut source = TrackedStream { stream: (&header[..]).chain(stream), failed: None };
    let mut out = BufWriter::with_capacity(128 << 10, progress.writing(part));
    let copied = if recipients.is_empty() {
        std::io::copy(&mut source, &mut out).map(|_| None).map_err(BackupError::from)
    } else {
        let sealed = Some(SealedObject::backup(wanted));
        let (root_key, _) = root_key::resolve(config, variables, sealed, prompt::passphrase)
            .map_err(Failure::wrong)?;
        backup::reseal(&mut source, &root_key, &mut out, recipients).map(Some)
    };
    if let Some(error) = source.failed {
        return Err(interrupted(error));
    }
    let summary = copied.map_err(|error| failure(file, error, false))?;
    let counted = out.into_inner().map_err(|error| io_failure(file)(error.into_error()))?;
    let bytes = counted.to.finish_new().map_err(io_failure(file))?;
    Ok((bytes, summary))
}

/// Remembers a read error, to tell an interrupted download from a full disk.
struct TrackedStream<R> {
    stream: R,
    failed: Option<std::io::Error>,
}

impl<R: Read> Read for TrackedStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer).inspect_err(|error| {
            self.failed = Some(std::io::Error::new(error.kind(), error.to_string()));
        })
    }
}

fn create_stopped(
    file: &Path,
    recipients: &[Recipient],
    config: &Config,
    variables: &Variables,
) -> Result<CreatedBackup, Failure> {
    let alternative = ", or ask it with --url or COFFER_URL";
    let stopped = StoppedServer::open(config, variables, alternative)?;
    let source = stopped.source().clone();
    let now = SystemClock.now();
    let part = create_file(file, config)?;
    let unlocked = vault::unlock(stopped.opened, stopped.root_keys.roots(), now)
        .map_err(|error| StoppedServer::not_unlocked(&source, &error))?;
    let created = write_stopped(&unlocked, file, part, recipients, config, now);
    unlocked.store.leak_until_exit();
    let closed = unlocked.store.close();
    let (bytes, summary) = created?;
    closed.map_err(|error| {
        Failure::failed(format!("{} is complete, but {error}", file.display())).hint(CHECK_THE_DISK)
    })?;
    note(file, config, now, bytes);
    Ok((bytes, Some(summary)))
}

fn write_stopped(
    unlocked: &Unlocked,
    file: &Path,
    part: PrivateFile,
    recipients: &[Recipient],
    config: &Config,
    now: Timestamp,
) -> Result<(u64, Summary), Failure> {
    let backup = backup::back_up_stopped(unlocked, &file.to_string_lossy(), recipients, now);
    let backup = backup.map_err(|error| {
        Failure::failed(format!("{}: {error}", config.server.data_dir.display())).hint(
            "The backup must first be recorded in the audit log there. Free up some disk space.",
        )
    })?;
    let expected = backup::estimated_bytes(&unlocked.store);
    let progress = Progress::estimated("backup", expected);
    let mut out = BufWriter::with_capacity(128 << 10, progress.writing(part));
    let written = backup.write_to(&mut out, recipients);
    let summary = written.map_err(|error| failure(file, error, false))?;
    let counted = out.into_inner().map_err(|error| io_failure(file)(error.into_error()))?;
    Ok((counted.to.finish_new().map_err(io_failure(file))?, summary))
}

/// Notes the backup in the data directory, for `coffer doctor`. A failure is only a warning,
/// because the backup itself is complete.
fn note(file: &Path, config: &Config, at: Timestamp, bytes: u64) {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    if let Err(error) = backup::note_last_backup(&config.server.data_dir, at, &path, bytes) {
        let _ = writeln!(
            std::io::stderr(),
            "coffer: warning: cannot note the backup in {}: {error}",
            config.server.data_dir.display()
        );
    }
}
