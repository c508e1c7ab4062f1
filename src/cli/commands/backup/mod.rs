//! `coffer backup`: everything in one sealed file, and back.
//!
//! `create` asks a running server, or opens a stopped one's data directory;
//! `verify` and `restore` work on the file alone, with the root key of the usual
//! places. Must never: write over a file or into a directory that is in use;
//! make a root key; leave a file under its name that is not whole.

mod remedy;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::api::{ClientArguments, not_coffer};
use crate::cli::commands::audit::is_offline;
use crate::cli::offline::{CHECK_THE_DISK, Stopped};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{Form, print};
use crate::cli::terminal::progress::Progress;
use crate::cli::terminal::prompt;
use crate::config::{self, Config, Variables};
use crate::domain::{Clock, SystemClock, Timestamp};
use crate::server::root_key::{self, Sealed};
use crate::store::{self, DiskBudget, Options, PrivateFile, RestoreError};
use crate::vault::backup::{self, BackupError, Examined, Identities, Opening, Recipient, Summary};
use crate::vault::{self, RootKey, Unlocked};

use remedy::{failure, io_failure};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BackupCommand {
    /// Write everything into one sealed file, while the server runs or not
    Create(CreateArguments),
    /// Open a backup and every record in it
    Verify(VerifyArguments),
    /// Make a data directory out of a backup
    Restore(RestoreArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    /// The file to make; there must be none
    file: PathBuf,
    /// Seal it to this age or SSH key (age1..., ssh-ed25519 ...) instead of under
    /// the root key; as often as needed. Needs the root key
    #[arg(long, value_name = "KEY", value_parser = recipient)]
    recipient: Vec<Recipient>,
    /// Read a stopped server's data directory instead of asking a server; also
    /// when --data-dir is given and neither --url nor COFFER_URL
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArguments {
    /// The backup
    file: PathBuf,
    /// Opens a backup that is sealed to a recipient: an age identity file, or an
    /// SSH private key
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where root.key is looked for [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON, as when stdout is no terminal
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArguments {
    /// The backup
    file: PathBuf,
    /// The directory to make: missing, or empty but for root.key
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Opens a backup that is sealed to a recipient: an age identity file, or an
    /// SSH private key
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, as when stdout is no terminal
    #[arg(long)]
    json: bool,
}

fn recipient(text: &str) -> Result<Recipient, String> {
    Recipient::parse(text).map_err(|error| error.to_string())
}

impl BackupCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::Verify(arguments) => verify(arguments),
            Self::Restore(arguments) => restore(arguments),
        }
    }
}

fn create(arguments: CreateArguments) -> Result<(), Failure> {
    let CreateArguments { file, recipient, offline, client } = arguments;
    let ClientArguments { place, json } = client;
    let form = Form::choose(json);
    let (config, variables) = place.load()?;
    if file.symlink_metadata().is_ok() {
        return Err(Failure::wrong(format!("{} exists already", file.display()))
            .hint("Choose another name; a backup is never written over."));
    }
    let (bytes, summary) = if is_offline(offline, &place, &variables) {
        logging::start(config.log_level);
        create_stopped(&file, &recipient, &config, &variables)?
    } else {
        let client = place.client(&config, &variables)?;
        let begun = SystemClock.now();
        let stream = client.download("/api/admin/backup")?;
        let made = take(&file, stream, &recipient, &config, &variables)?;
        // The server knows that it has sent one; that it is kept is known here.
        if client.asks_host_of(&config) && config.server.data_dir.join(store::IN_USE).exists() {
            note(&file, &config, begun, made.0);
        }
        made
    };
    let mut answer = json!({ "path": file, "bytes": bytes });
    if let Some(summary) = &summary {
        merge(&mut answer, summary);
    }
    match form {
        Form::Json => print(&json!({ "backup": answer }).to_string()),
        Form::Table => print(&format!("{}: {bytes} bytes", file.display())),
    }
}

type Made = (u64, Option<Summary>);

/// The file that is being made. It leaves the room that the database needs, if it
/// lies on the disk of this host's database.
fn half(file: &Path, config: &Config) -> Result<PrivateFile, Failure> {
    let half = PrivateFile::create(file).map_err(io_failure(file))?;
    let data_dir = &config.server.data_dir;
    if !data_dir.is_dir() {
        return Ok(half);
    }
    let room = DiskBudget::beside(data_dir, file, Options::default().min_free_bytes);
    Ok(half.leaving(room))
}

/// What a server sends, into the file.
fn take(
    file: &Path,
    (mut stream, expected): (impl Read, Option<u64>),
    recipients: &[Recipient],
    config: &Config,
    variables: &Variables,
) -> Result<Made, Failure> {
    // The header's first bytes tell the root key, and that it is a backup.
    let mut head = Vec::new();
    let broke = |error: std::io::Error| {
        Failure::failed(format!("the backup broke off: {error}"))
            .hint("Nothing was kept. See what the server's log says, then try again.")
    };
    (&mut stream).take(58).read_to_end(&mut head).map_err(broke)?;
    let wanted =
        backup::wanted_root_key(&head[..], None).map_err(|_| not_coffer("it is no backup"))?;
    let half = half(file, config)?;
    let progress = Progress::of_about("backup", expected);
    let mut source = Source { stream: (&head[..]).chain(stream), failed: None };
    let mut out = BufWriter::with_capacity(128 << 10, progress.writing(half));
    let copied = if recipients.is_empty() {
        std::io::copy(&mut source, &mut out).map(|_| None).map_err(BackupError::from)
    } else {
        let (root, _) =
            root_key::resolve(config, variables, Some(Sealed::backup(wanted)), prompt::passphrase)
                .map_err(Failure::wrong)?;
        backup::reseal(&mut source, &root, &mut out, recipients).map(Some)
    };
    if let Some(error) = source.failed {
        return Err(broke(error));
    }
    let summary = copied.map_err(|error| failure(file, error, false))?;
    let counted = out.into_inner().map_err(|error| io_failure(file)(error.into_error()))?;
    let bytes = counted.to.finish_new().map_err(io_failure(file))?;
    Ok((bytes, summary))
}

/// Tells a stream that broke from a disk that is full.
struct Source<R> {
    stream: R,
    failed: Option<std::io::Error>,
}

impl<R: Read> Read for Source<R> {
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
) -> Result<Made, Failure> {
    let stopped = Stopped::open(config, variables, ", or ask it, by --url or COFFER_URL")?;
    let source = stopped.source().clone();
    let now = SystemClock.now();
    let half = half(file, config)?;
    let unlocked = vault::unlock(stopped.opened, stopped.given.roots(), now)
        .map_err(|error| Stopped::failure(&source, &error))?;
    let made = write_stopped(&unlocked, file, half, recipients, config, now);
    unlocked.store.leak_until_exit();
    let closed = unlocked.store.close();
    let (bytes, summary) = made?;
    closed.map_err(|error| {
        Failure::failed(format!("{} is whole, but {error}", file.display())).hint(CHECK_THE_DISK)
    })?;
    note(file, config, now, bytes);
    Ok((bytes, Some(summary)))
}

fn write_stopped(
    unlocked: &Unlocked,
    file: &Path,
    half: PrivateFile,
    recipients: &[Recipient],
    config: &Config,
    now: Timestamp,
) -> Result<(u64, Summary), Failure> {
    let backup = backup::back_up_stopped(unlocked, &file.to_string_lossy(), recipients, now);
    let backup = backup.map_err(|error| {
        Failure::failed(format!("{}: {error}", config.server.data_dir.display())).hint(
            "The row that tells of the backup has to be written there first. Make a little room on that disk.",
        )
    })?;
    let expected = backup::about_bytes(&unlocked.store);
    let progress = Progress::of_about("backup", expected);
    let mut out = BufWriter::with_capacity(128 << 10, progress.writing(half));
    let written = backup.write_to(&mut out, recipients);
    let summary = written.map_err(|error| failure(file, error, false))?;
    let counted = out.into_inner().map_err(|error| io_failure(file)(error.into_error()))?;
    Ok((counted.to.finish_new().map_err(io_failure(file))?, summary))
}

/// Notes for `coffer doctor` that this host has a backup. It has one, whatever
/// comes of this.
fn note(file: &Path, config: &Config, at: Timestamp, bytes: u64) {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    if let Err(error) = backup::note_last_backup(&config.server.data_dir, at, &path, bytes) {
        let _ = writeln!(
            std::io::stderr(),
            "coffer: warning: the backup is not noted in {}: {error}",
            config.server.data_dir.display()
        );
    }
}

/// A backup with what opens it.
struct Chosen {
    file: PathBuf,
    root: RootKey,
    /// While the root key changes, records may be sealed under the one before.
    previous: Option<RootKey>,
    identities: Option<Identities>,
}

impl Chosen {
    fn find(
        file: PathBuf,
        identity: Option<&Path>,
        config: &Config,
        variables: &Variables,
    ) -> Result<Self, Failure> {
        let identities = match identity {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(io_failure(path))?;
                let text = zeroize::Zeroizing::new(text);
                let parsed = Identities::parse(&text);
                Some(parsed.map_err(|bad| Failure::wrong(format!("{}: {bad}", path.display())))?)
            }
        };
        let input = File::open(&file).map_err(io_failure(&file))?;
        let wanted = backup::wanted_root_key(input, identities.as_ref())
            .map_err(|error| failure(&file, error, false))?;
        let sealed = Some(Sealed::backup(wanted));
        let (root, _) =
            root_key::resolve(config, variables, sealed, prompt::passphrase).map_err(|error| {
                Failure::wrong(error).hint("A backup does not hold the root key that it needs.")
            })?;
        let previous =
            root_key::previous(config, variables, prompt::passphrase).map_err(Failure::wrong)?;
        Ok(Self { file, root, previous, identities })
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            root: &self.root,
            previous: self.previous.as_ref(),
            identities: self.identities.as_ref(),
        }
    }

    fn open(&self) -> Result<(File, u64), Failure> {
        let file = File::open(&self.file).map_err(io_failure(&self.file))?;
        let bytes = file.metadata().map_err(io_failure(&self.file))?.len();
        Ok((file, bytes))
    }

    fn verify(&self) -> Result<(Summary, Examined), Failure> {
        let (file, bytes) = self.open()?;
        let progress = Progress::of("verify", bytes);
        backup::verify(progress.reading(file), self.opening())
            .map_err(|error| failure(&self.file, error, false))
    }
}

fn merge(answer: &mut serde_json::Value, summary: &Summary) {
    let told = serde_json::to_value(summary).expect("a summary is texts and numbers");
    if let (Some(answer), serde_json::Value::Object(told)) = (answer.as_object_mut(), told) {
        answer.extend(told);
    }
}

/// What was done with a backup, or would be.
enum Done<'a> {
    Verified,
    Restored { into: &'a Path, dry_run: bool },
}

fn tell(
    form: Form,
    done: &Done<'_>,
    file: &Path,
    (summary, examined): (&Summary, &Examined),
) -> Result<(), Failure> {
    let Examined { opened, vars, revealable, findings, audit } = examined;
    if form == Form::Json {
        let mut answer = json!({
            "path": file, "versionsOpened": opened, "varsRead": vars, "revealable": revealable,
            "auditRows": audit.rows, "findings": findings,
        });
        if let Done::Restored { into, dry_run } = done {
            answer["dataDir"] = json!(into);
            answer["dryRun"] = json!(dry_run);
        }
        merge(&mut answer, summary);
        return print(&json!({ "backup": answer }).to_string());
    }
    let count = |name: &str| summary.counts.get(name).copied().unwrap_or(0);
    let keys: Vec<_> = summary
        .wrapping_keys
        .iter()
        .map(|key| format!("{} (root key {})", key.id, key.root_key))
        .collect();
    let (what, then) = match done {
        Done::Verified => ("the backup opens".to_owned(), ""),
        Done::Restored { into, dry_run: true } => (
            format!("would be restored into {}; nothing was written", into.display()),
            "\nthen        every session would have ended; API tokens would be as they were when it was made",
        ),
        Done::Restored { into, dry_run: false } => (
            format!("restored into {}", into.display()),
            "\nthen        every session has ended; API tokens are as they were when it was made",
        ),
    };
    print(&format!(
        "{what}\nmade        {} by {}\nroot key    {}\nwrapping    {}\nrows        {}: {} environments, {} secrets, {} vars, {} users, {} tokens\nversions    {opened} of {} open\nvars        {vars} of {} read\nrevealable  {revealable} secrets, with those that became neverReveal only later\naudit log   {} rows, the last is {}{then}",
        summary.created_at,
        summary.program,
        summary.root_key,
        keys.join(", "),
        summary.rows,
        count("environments"),
        count("secrets"),
        count("vars"),
        count("users"),
        count("tokens"),
        count("versions"),
        count("vars"),
        audit.rows,
        summary.audit_head_seq,
    ))
}

fn findings(examined: &Examined) {
    for finding in &examined.findings {
        let _ =
            writeln!(std::io::stderr(), "coffer: {}", crate::cli::terminal::output::clean(finding));
    }
}

fn verify(arguments: VerifyArguments) -> Result<(), Failure> {
    let VerifyArguments { file, identity, config, data_dir, json } = arguments;
    let form = Form::choose(json);
    let variables = Variables::of_process()?;
    let mut config = config::load(config.as_deref(), &variables)?;
    if let Some(data_dir) = data_dir {
        config.server.data_dir = data_dir;
    }
    logging::start(config.log_level);
    let chosen = Chosen::find(file, identity.as_deref(), &config, &variables)?;
    let (summary, examined) = chosen.verify()?;
    tell(form, &Done::Verified, &chosen.file, (&summary, &examined))?;
    findings(&examined);
    match examined.findings.len() {
        0 => Ok(()),
        count => Err(Failure::failed(match count {
            1 => "one record does not open or does not fit".to_owned(),
            _ => format!("{count} records do not open or do not fit"),
        })
            .hint("The backup is whole; the database was damaged when it was made. Compare with an older one.")),
    }
}

fn restore(arguments: RestoreArguments) -> Result<(), Failure> {
    let RestoreArguments { file, data_dir, dry_run, identity, config, json } = arguments;
    let form = Form::choose(json);
    let variables = Variables::of_process()?;
    let mut config = config::load(config.as_deref(), &variables)?;
    config.server.data_dir.clone_from(&data_dir);
    logging::start(config.log_level);
    let length =
        File::open(&file).and_then(|file| file.metadata()).map_err(io_failure(&file))?.len();
    store::check_restorable(&data_dir, length, Options::default()).map_err(
        |error| match error {
            error @ RestoreError::NotEmpty { .. } => Failure::wrong(error),
            error => failure(&file, error.into(), true),
        },
    )?;
    let chosen = Chosen::find(file, identity.as_deref(), &config, &variables)?;
    let mut unsettled = None;
    let (summary, examined) = if dry_run {
        chosen.verify()?
    } else {
        let (input, bytes) = chosen.open()?;
        let progress = Progress::of("restore", bytes);
        let restored = backup::restore(
            progress.reading(input),
            chosen.opening(),
            &data_dir,
            Options::default(),
            SystemClock.now(),
        );
        let restored = restored.map_err(|error| failure(&chosen.file, error, true))?;
        unsettled = restored.unsettled;
        (restored.summary, restored.examined)
    };
    let done = Done::Restored { into: &data_dir, dry_run };
    tell(form, &done, &chosen.file, (&summary, &examined))?;
    findings(&examined);
    match unsettled {
        None => Ok(()),
        Some(unsettled) => Err(Failure::failed(format!(
            "the database is in place, and a power cut may take it away: {unsettled}"
        ))
        .hint("Check the disk. The next start makes sure of it, or says why it cannot.")),
    }
}
