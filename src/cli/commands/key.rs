//! `coffer key`: root keys in files, and the wrapping keys of a running server.
//!
//! Must never: write over a file that holds a key, unless it writes the same key;
//! print a root key that it was not asked to print.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::{Answer, Client, ClientArguments};
use crate::cli::terminal::error::{Failure, Passing};
use crate::cli::terminal::output::{Form, clean, moment, print, table};
use crate::cli::terminal::prompt;
use crate::config::Variables;
use crate::server::{passphrase, root_key};
use crate::store::{write_new_private, write_private};
use crate::vault::{Passphrase, Random, RootKey, SealedRootKey};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Make a root key and print it, or write it to a new file
    Generate(GenerateArguments),
    /// Protect a root key file by a passphrase, or by another one
    Protect(ProtectArguments),
    /// The wrapping keys, and how far the last rotation is
    Status {
        /// Return only when no rotation is under way
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Make a new wrapping key and wrap everything under it
    Rotate(RotateArguments),
    /// Destroy a wrapping key that nothing needs any more
    Retire {
        /// Its number in `coffer key status`
        #[arg(value_name = "ID")]
        key: u32,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GenerateArguments {
    /// Write it here, for its owner only; the file must not exist yet
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Protect it by a passphrase: the one in the file that
    /// COFFER_ROOT_KEY_PASSPHRASE_FILE names, else it is asked for
    #[arg(long)]
    passphrase: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ProtectArguments {
    /// The root key file; the key in it stays the same
    file: PathBuf,
    /// The new passphrase is in this file [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Take the passphrase off
    #[arg(long, conflicts_with = "new_passphrase_file")]
    remove: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArguments {
    /// Return only when everything is wrapped under the new key
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    client: ClientArguments,
}

const PATH: &str = "/api/admin/keys";
/// How long --wait waits before it asks again: nothing tells a client.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// And so long after it has asked for a while: each answer costs the server a
/// look at every version.
const ASK_AGAIN_LATER: Duration = Duration::from_secs(5);
/// A rotation that has not moved, or a server that has not answered, for so long
/// is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: u32,
    state: String,
    root_fingerprint: String,
    created_at: String,
    wrapped: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rotation {
    key: u32,
    finished_at: Option<String>,
    rewrapped: u64,
    left: u64,
}

#[derive(Deserialize)]
struct Begun {
    rotation: BegunRotation,
}

#[derive(Deserialize)]
struct BegunRotation {
    key: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootKeys {
    fingerprint: String,
    previous_fingerprint: Option<String>,
    previous_needed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unopened {
    secret_id: String,
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    keys: Vec<Key>,
    rotation: Option<Rotation>,
    root_key: RootKeys,
    unopened: Vec<Unopened>,
}

impl KeyCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(arguments) => generate(&arguments),
            Self::Protect(arguments) => protect(&arguments),
            Self::Status { wait, client } => {
                let (client, form) = client.connect()?;
                show(&client, form, wait)
            }
            Self::Rotate(arguments) => rotate(arguments),
            Self::Retire { key, client } => {
                let (client, form) = client.connect()?;
                let answer = client.delete(&format!("{PATH}/{key}"))?;
                form.show(&answer, || Ok(format!("retired key {key}; nobody can use it again")))
            }
        }
    }
}

fn generate(arguments: &GenerateArguments) -> Result<(), Failure> {
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
            Failure::failed(format!("{} is there already; nothing was written", path.display()))
                .hint("A key that something is sealed under must not be lost; choose another name.")
        }
        _ => cannot_write(path, &error),
    })?;
    print(&format!("root key {} is in {}", key.fingerprint(), path.display()))
}

/// The file itself, where a link leads to it: what replaces a link would leave
/// the key behind it as it was.
fn file_itself(path: &Path) -> Result<PathBuf, Failure> {
    let real = path.canonicalize().map_err(|error| {
        Failure::wrong(format!("{}: {error}", path.display()))
            .hint("Check the path and its permissions.")
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let metadata = real.metadata().map_err(|error| cannot_write(path, &error))?;
        if metadata.nlink() > 1 {
            return Err(Failure::failed(format!("{} has another name, too", real.display())).hint(
                "The key would stay under that name as it is. Remove the other one (a hard link) first.",
            ));
        }
        let ours = rustix::process::geteuid().as_raw();
        if metadata.uid() != ours {
            return Err(Failure::failed(format!(
                "{} belongs to user {}, and this is user {ours}",
                real.display(),
                metadata.uid()
            ))
            .hint(
                "Run this as the user that the server runs as: it could not read the new file.",
            ));
        }
    }
    Ok(real)
}

fn protect(arguments: &ProtectArguments) -> Result<(), Failure> {
    let variables = Variables::of_process()?;
    let path = &file_itself(&arguments.file)?;
    let (key, was_protected) =
        root_key::in_file(path, &variables, prompt::passphrase).map_err(Failure::wrong)?;
    let text = if arguments.remove {
        if !was_protected {
            return Err(Failure::failed(format!("{} has no passphrase", path.display())));
        }
        key.to_text()
    } else {
        // A protected key was opened with the passphrase that is given; the new
        // one has to come from elsewhere.
        let named = passphrase::file(&passphrase::CURRENT, &variables);
        let given = match arguments.new_passphrase_file.clone().or(named.filter(|_| !was_protected))
        {
            Some(path) => passphrase::read(&path).map_err(Failure::wrong)?,
            None => prompt::new_passphrase()?,
        };
        Zeroizing::new(sealed(&key, given)?)
    };
    write_private(path, &text).map_err(|error| cannot_write(path, &error))?;
    let state =
        if arguments.remove { "has no passphrase any more" } else { "has a new passphrase" };
    print(&format!("root key {} in {} {state}", key.fingerprint(), path.display()))
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

fn rotate(arguments: RotateArguments) -> Result<(), Failure> {
    let (client, form) = arguments.client.connect()?;
    let answer = client.send_empty(&format!("{PATH}/rotate"))?;
    if arguments.wait {
        return show(&client, form, true);
    }
    form.show(&answer, || {
        let BegunRotation { key } = answer.read::<Begun>()?.rotation;
        Ok(format!(
            "key {key} is in force, and everything is being wrapped under it: coffer key status"
        ))
    })
}

/// Shows the keys; with `wait` once no rotation is under way.
fn show(client: &Client, form: Form, wait: bool) -> Result<(), Failure> {
    let answer = if wait { wait_for_end(client, form)? } else { client.get(PATH)? };
    form.show(&answer, || Ok(shown(answer.read()?)))
}

/// Asks until no rotation is under way, on a terminal saying how far it is. What
/// passes by itself does not end the wait: whoever waits for hours does not want
/// to begin again because of a restart. But neither does it wait for ever for a
/// rotation that stands still.
fn wait_for_end(client: &Client, form: Form) -> Result<Answer, Failure> {
    let (mut pause, mut seen, mut moved) = (ASK_AGAIN, None, Instant::now());
    loop {
        match client.get(PATH) {
            Ok(answer) => {
                let status: Status = answer.read()?;
                let under_way = status.rotation.filter(|rotation| rotation.finished_at.is_none());
                let Some(Rotation { key, rewrapped, left, .. }) = under_way else {
                    return Ok(answer);
                };
                let now = Some((key, rewrapped, left));
                if now != seen {
                    (seen, moved) = (now, Instant::now());
                    if form == Form::Table {
                        print(&format!("{rewrapped} done, {left} left"))?;
                    }
                }
                if moved.elapsed() >= PATIENCE {
                    return Err(Failure::failed(format!(
                        "the rotation stands still: {rewrapped} done, {left} left"
                    ))
                    .hint("The server's log says why. It goes on by itself when the disk has room again, else at the next start of the server."));
                }
            }
            Err(failure) => {
                let passes = match failure.may_pass() {
                    Passing::No => false,
                    Passing::Busy => true,
                    // The first answer shows that the address is right.
                    Passing::Unreached => seen.is_some(),
                };
                if !passes || moved.elapsed() >= PATIENCE {
                    return Err(failure);
                }
            }
        }
        std::thread::sleep(pause);
        // Each answer counts all keys.
        pause = (pause * 2).min(ASK_AGAIN_LATER);
    }
}

fn shown(status: Status) -> String {
    let Status { keys, rotation, root_key, unopened } = status;
    let retiring: Vec<_> = keys.iter().filter(|key| key.state == "retiring").collect();
    let free: Vec<_> =
        retiring.iter().filter(|key| key.wrapped == 0).map(|key| key.id.to_string()).collect();
    let under_way = rotation.as_ref().is_some_and(|rotation| rotation.finished_at.is_none());
    let mut lines = Vec::new();
    match &rotation {
        Some(Rotation { key, rewrapped, left, .. }) if under_way => {
            lines.push(format!("Wrapping under key {key}: {rewrapped} done, {left} left."));
        }
        _ if !free.is_empty() => {
            let ids = free.join(", ");
            lines.push(format!("Nothing needs key {ids} any more: coffer key retire {}", free[0]));
        }
        _ => {}
    }
    for Unopened { secret_id, version } in &unopened {
        lines.push(format!("Version {version} of {} does not open.", clean(secret_id)));
    }
    lines.push(format!("The root key is {}.", clean(&root_key.fingerprint)));
    if let Some(previous) = root_key.previous_fingerprint {
        let state = if root_key.previous_needed {
            "is still needed: retire its wrapping keys first"
        } else {
            "is no longer needed"
        };
        lines.push(format!("The previous root key, {}, {state}.", clean(&previous)));
    }
    let row = |key: Key| {
        let created = moment(&key.created_at);
        [key.id.to_string(), key.state, key.wrapped.to_string(), key.root_fingerprint, created]
    };
    let rows = table(["ID", "STATE", "WRAPPED", "ROOT KEY", "CREATED"], keys.into_iter().map(row));
    format!("{rows}\n\n{}", lines.join("\n"))
}
