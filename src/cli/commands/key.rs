//! `coffer key`: root keys in files, and the wrapping keys of a running server.
//!
//! Must never: overwrite a file that contains a key, except with the same key; print a root key
//! that it was not asked to print.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::{ApiClient, ApiResponse, ClientArguments, ClientErrorKind};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, format_time, print, table};
use crate::cli::terminal::prompt;
use crate::cli::terminal::sanitize::clean;
use crate::config::Variables;
use crate::server::{passphrase, root_key};
use crate::store::{write_new_private, write_private};
use crate::vault::{Passphrase, Random, RootKey, SealedRootKey};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Generate a root key and print it, or write it to a new file
    Generate(KeyGenerateArguments),
    /// Protect a root key file with a passphrase, or change the passphrase
    Protect(KeyProtectArguments),
    /// Show the wrapping keys and the progress of the last rotation
    Status {
        /// Wait until no rotation is running
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Create a new wrapping key and rewrap all data keys under it
    Rotate(KeyRotateArguments),
    /// Destroy a wrapping key that is no longer used
    Retire {
        /// Key id, from `coffer key status`
        #[arg(value_name = "ID")]
        key: u32,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeyGenerateArguments {
    /// Write the key to this new file, readable by its owner only
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Protect the key with a passphrase, from the file in COFFER_ROOT_KEY_PASSPHRASE_FILE or
    /// else prompted for
    #[arg(long)]
    passphrase: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeyProtectArguments {
    /// Root key file; the key itself does not change
    file: PathBuf,
    /// Read the new passphrase from this file [default: prompt for it]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Remove the passphrase
    #[arg(long, conflicts_with = "new_passphrase_file")]
    remove: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeyRotateArguments {
    /// Wait until everything is rewrapped under the new key
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    client: ClientArguments,
}

const PATH: &str = "/api/admin/keys";
/// The first pause of --wait between two requests; the API has no event to wait for.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, reached by doubling: for each response the server counts all versions.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// --wait gives up after this long without progress or without a response.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrappingKeyStatus {
    id: u32,
    state: String,
    root_fingerprint: String,
    created_at: String,
    wrapped: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotationStatus {
    key: u32,
    finished_at: Option<String>,
    rewrapped: u64,
    left: u64,
}

#[derive(Deserialize)]
struct RotateResponse {
    rotation: StartedRotation,
}

#[derive(Deserialize)]
struct StartedRotation {
    key: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootKeyStatus {
    fingerprint: String,
    previous_fingerprint: Option<String>,
    previous_needed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UndecryptableVersion {
    secret_id: String,
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyStatusResponse {
    keys: Vec<WrappingKeyStatus>,
    rotation: Option<RotationStatus>,
    root_key: RootKeyStatus,
    unopened: Vec<UndecryptableVersion>,
}

impl KeyCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(arguments) => generate(&arguments),
            Self::Protect(arguments) => protect(&arguments),
            Self::Status { wait, client } => {
                let (client, format) = client.connect()?;
                show(&client, format, wait)
            }
            Self::Rotate(arguments) => rotate(arguments),
            Self::Retire { key, client } => {
                let (client, format) = client.connect()?;
                let response = client.delete(&format!("{PATH}/{key}"))?;
                format.show(response.text(), || Ok(format!("destroyed key {key}")))
            }
        }
    }
}

fn generate(arguments: &KeyGenerateArguments) -> Result<(), Failure> {
    let variables = Variables::of_process()?;
    let key = RootKey::generate(Random).map_err(Failure::failed)?;
    let text = if arguments.passphrase {
        let given = match passphrase::file(&passphrase::CURRENT, &variables) {
            Some(path) => passphrase::read(&path).map_err(Failure::wrong)?,
            None => prompt::new_passphrase()?,
        };
        Zeroizing::new(sealed(&key, given)?)
    } else {
        key.to_text()
    };
    let Some(path) = &arguments.file else { return print(&text) };
    write_new_private(path, &text).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} already exists, nothing was written", path.display())).hint(
                "Choose another name: overwriting a key makes what is sealed under it unreadable.",
            )
        }
        _ => cannot_write(path, &error),
    })?;
    print(&format!("wrote root key {} to {}", key.fingerprint(), path.display()))
}

/// Resolves symbolic links and checks that the file can be replaced: replacing a link would leave
/// the key that it points to unprotected.
fn replaceable_file(path: &Path) -> Result<PathBuf, Failure> {
    let real = path.canonicalize().map_err(|error| {
        Failure::wrong(format!("{}: {error}", path.display()))
            .hint("Check the path and its permissions.")
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let metadata = real.metadata().map_err(|error| cannot_write(path, &error))?;
        if metadata.nlink() > 1 {
            return Err(Failure::failed(format!("{} has more than one hard link", real.display()))
                .hint("The other links would keep the old file. Remove them first."));
        }
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user {
            return Err(Failure::failed(format!(
                "{} belongs to user {}, but this process runs as user {user}",
                real.display(),
                metadata.uid()
            ))
            .hint(
                "Run this command as the server's user, which could not read the new file otherwise.",
            ));
        }
    }
    Ok(real)
}

fn protect(arguments: &KeyProtectArguments) -> Result<(), Failure> {
    let variables = Variables::of_process()?;
    let path = &replaceable_file(&arguments.file)?;
    let (key, was_protected) =
        root_key::in_file(path, &variables, prompt::passphrase).map_err(Failure::wrong)?;
    let text = if arguments.remove {
        if !was_protected {
            return Err(Failure::failed(format!(
                "{} is not protected with a passphrase",
                path.display()
            )));
        }
        key.to_text()
    } else {
        // For a protected key the variable gives the old passphrase, not the new one.
        let named = passphrase::file(&passphrase::CURRENT, &variables);
        let given = match arguments.new_passphrase_file.clone().or(named.filter(|_| !was_protected))
        {
            Some(path) => passphrase::read(&path).map_err(Failure::wrong)?,
            None => prompt::new_passphrase()?,
        };
        Zeroizing::new(sealed(&key, given)?)
    };
    write_private(path, &text).map_err(|error| cannot_write(path, &error))?;
    let done =
        if arguments.remove { "removed the passphrase from" } else { "changed the passphrase of" };
    print(&format!("{done} root key {} in {}", key.fingerprint(), path.display()))
}

fn sealed(key: &RootKey, given: Zeroizing<String>) -> Result<String, Failure> {
    let passphrase = Passphrase::new(given).map_err(Failure::wrong)?;
    let sealed = SealedRootKey::seal(key, &passphrase, Random).map_err(Failure::failed)?;
    Ok(sealed.to_text())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
        .hint("Check the directory and its permissions.")
}

fn rotate(arguments: KeyRotateArguments) -> Result<(), Failure> {
    let (client, format) = arguments.client.connect()?;
    let response = client.post_empty(&format!("{PATH}/rotate"))?;
    if arguments.wait {
        return show(&client, format, true);
    }
    format.show(response.text(), || {
        let StartedRotation { key } = response.read::<RotateResponse>()?.rotation;
        Ok(format!("key {key} is active; rewrapping has started, see: coffer key status"))
    })
}

/// Prints the keys, with `wait` only after the rotation has finished.
fn show(client: &ApiClient, format: OutputFormat, wait: bool) -> Result<(), Failure> {
    let response = if wait { wait_for_end(client, format)? } else { client.get(PATH)? };
    format.show(response.text(), || Ok(summary(response.read()?)))
}

/// Asks until no rotation is running, and shows the progress on a terminal. A busy or restarting
/// server does not end the wait, which may take hours; a rotation without progress does.
fn wait_for_end(client: &ApiClient, format: OutputFormat) -> Result<ApiResponse, Failure> {
    let (mut pause, mut seen, mut moved) = (FIRST_PAUSE, None, Instant::now());
    loop {
        match client.get(PATH) {
            Ok(response) => {
                let status: KeyStatusResponse = response.read()?;
                let running = status.rotation.filter(|rotation| rotation.finished_at.is_none());
                let Some(RotationStatus { key, rewrapped, left, .. }) = running else {
                    return Ok(response);
                };
                let now = Some((key, rewrapped, left));
                if now != seen {
                    (seen, moved) = (now, Instant::now());
                    if format == OutputFormat::Table {
                        print(&format!("{rewrapped} done, {left} left"))?;
                    }
                }
                if moved.elapsed() >= STALL_TIMEOUT {
                    return Err(Failure::failed(format!(
                        "the rotation makes no progress: {rewrapped} done, {left} left"
                    ))
                    .hint("See the server's log for the reason. The rotation continues when disk space is available again, otherwise at the next start of the server."));
                }
            }
            Err(error) => {
                let may_pass = match error.kind() {
                    ClientErrorKind::Busy => true,
                    // Once there was a response, the address is known to be right.
                    ClientErrorKind::Unreachable => seen.is_some(),
                    ClientErrorKind::Unauthorized | ClientErrorKind::Other => false,
                };
                if !may_pass || moved.elapsed() >= STALL_TIMEOUT {
                    return Err(error.into());
                }
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

fn summary(status: KeyStatusResponse) -> String {
    let KeyStatusResponse { keys, rotation, root_key, unopened } = status;
    let retiring: Vec<_> = keys.iter().filter(|key| key.state == "retiring").collect();
    let free: Vec<_> =
        retiring.iter().filter(|key| key.wrapped == 0).map(|key| key.id.to_string()).collect();
    let is_running = rotation.as_ref().is_some_and(|rotation| rotation.finished_at.is_none());
    let mut lines = Vec::new();
    match &rotation {
        Some(RotationStatus { key, rewrapped, left, .. }) if is_running => {
            lines.push(format!("Rewrapping under key {key}: {rewrapped} done, {left} left."));
        }
        _ if !free.is_empty() => {
            let ids = free.join(", ");
            lines.push(format!(
                "No longer used: key {ids}. To destroy it: coffer key retire {}",
                free[0]
            ));
        }
        _ => {}
    }
    for UndecryptableVersion { secret_id, version } in &unopened {
        lines.push(format!("Version {version} of {} cannot be decrypted.", clean(secret_id)));
    }
    lines.push(format!("Root key: {}", clean(&root_key.fingerprint)));
    if let Some(previous) = root_key.previous_fingerprint {
        let state = if root_key.previous_needed {
            "still needed until its wrapping keys are retired"
        } else {
            "no longer needed"
        };
        lines.push(format!("Previous root key: {} ({state})", clean(&previous)));
    }
    let row = |key: WrappingKeyStatus| {
        let created = format_time(&key.created_at);
        [key.id.to_string(), key.state, key.wrapped.to_string(), key.root_fingerprint, created]
    };
    let rows = table(["ID", "STATE", "WRAPPED", "ROOT KEY", "CREATED"], keys.into_iter().map(row));
    format!("{rows}\n\n{}", lines.join("\n"))
}
