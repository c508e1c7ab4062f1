//! `coffer run`: a command with a workload's values as its variables.
//!
//! Owns: the identity, the last bundle, the command's environment.
//! Must never: put a value into the arguments or into a file, or print one; hand
//! on its own credentials; be in the way of signals or of the exit code.
//!
//! Without `--watch` the command takes the place of this process (execve), so it
//! has its number, its signals, its exit code.

mod cache;
mod supervise;

#[cfg(unix)]
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;

use crate::cli::api::{Client, Fetched, NotFetched, PlaceArguments};
use crate::cli::harden::Before;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::clean;
use crate::domain::{EnvironmentId, EnvironmentName, KeyPattern, WorkloadName};
use crate::server::enrolments::{LOCAL, local_identity};
use crate::vault::{Bundle, BundleError, Identities};

use cache::Cache;

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// The environment whose values it gets, by name or id
    #[arg(long, value_name = "ENV", value_parser = environment)]
    env: String,
    /// The workload that it is, as the server's config.toml declares it
    #[arg(long, value_name = "NAME", default_value = LOCAL, value_parser = workload)]
    workload: String,
    /// What opens the workload's bundle: an age identity file or an SSH private
    /// key [for the workload local: local-identity in the data directory]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Only these keys; * stands for any characters
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = pattern)]
    only: Vec<KeyPattern>,
    /// Stay, and start the command again when a value changes
    #[arg(long)]
    watch: bool,
    /// Neither keep the bundle for when the server cannot be reached, nor use one
    #[arg(long)]
    no_cache: bool,
    /// Use a kept bundle only if it is not older: minutes, hours or days, as in 12h
    #[arg(long, value_name = "TIME", value_parser = period, conflicts_with = "no_cache")]
    max_age: Option<Duration>,
    #[command(flatten)]
    place: PlaceArguments,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn environment(text: &str) -> Result<String, &'static str> {
    if text.parse::<EnvironmentId>().is_ok() {
        return Ok(text.to_owned());
    }
    EnvironmentName::parse(text).map(|_| text.to_owned()).map_err(|violation| violation.0)
}

fn workload(text: &str) -> Result<String, &'static str> {
    WorkloadName::parse(text).map(|_| text.to_owned()).map_err(|violation| violation.0)
}

fn pattern(text: &str) -> Result<KeyPattern, &'static str> {
    KeyPattern::parse(text).map_err(|violation| violation.0)
}

fn period(text: &str) -> Result<Duration, &'static str> {
    let minutes = crate::config::minutes(text);
    let minutes = minutes.ok_or("must be minutes, hours or days, such as 30m, 12h or 7d")?;
    Ok(Duration::from_secs(u64::from(minutes) * 60))
}

/// What is the same each time that the command is started.
struct Plan {
    client: Client,
    environment: String,
    workload: String,
    identities: Identities,
    only: Vec<KeyPattern>,
    cache: Option<Cache>,
    max_age: Option<Duration>,
    command: Vec<OsString>,
}

/// What a command must not have of ours: who can run it need not be whoever may
/// ask the server, or open its database.
const OWN: [&str; 11] = [
    "COFFER_TOKEN",
    "COFFER_ROOT_KEY",
    "COFFER_ROOT_KEY_FILE",
    "COFFER_ROOT_KEY_PASSPHRASE_FILE",
    "COFFER_PREVIOUS_ROOT_KEY",
    "COFFER_PREVIOUS_ROOT_KEY_FILE",
    "COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE",
    "COFFER_BOOTSTRAP_TOKEN",
    "COFFER_ADMIN_EMAIL",
    "COFFER_ADMIN_PASSWORD",
    "COFFER_ADMIN_PASSWORD_FILE",
];

impl RunArguments {
    pub fn run(self, before: &Before) -> Result<ExitCode, Failure> {
        let (config, variables) = self.place.load()?;
        let client = self.place.client(&config, &variables)?;
        let identity = match self.identity {
            Some(path) => path,
            None if self.workload == LOCAL => local_identity(&config.server.data_dir),
            None => {
                let message = format!("the workload {} needs an identity", self.workload);
                return Err(Failure::wrong(message).hint(
                    "Name its file with --identity FILE: an age identity, or an SSH private key.",
                ));
            }
        };
        let identities = identities(&identity)?;
        let cache = if self.no_cache {
            None
        } else {
            Cache::of(client.server(), &self.env, &self.workload)
        };
        let plan = Plan {
            client,
            environment: self.env,
            workload: self.workload,
            identities,
            only: self.only,
            cache,
            max_age: self.max_age,
            command: self.command,
        };
        if self.watch { plan.watch(before) } else { plan.exec(before) }
    }
}

fn identities(path: &Path) -> Result<Identities, Failure> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|error| {
        Failure::failed(format!("{}: {error}", path.display())).hint(
            "Name the file with --identity. The workload local is enrolled by a server's first start; its identity is in the data directory (--data-dir).",
        )
    })?;
    Identities::parse(&text).map_err(|error| {
        Failure::wrong(format!("{}: {error}", path.display()))
            .hint("Name an age identity file or an SSH private key with --identity.")
    })
}

impl Plan {
    /// The bundle, from the server or else from the cache; and its tag.
    fn fetch(&self) -> Result<(Bundle, Option<String>), Failure> {
        match self.ask(None, 0) {
            Ok(Fetched::New { sealed, tag }) => {
                let bundle = self.open(&sealed)?;
                self.keep(&sealed);
                Ok((bundle, tag))
            }
            Ok(Fetched::Same) => Err(crate::cli::api::not_coffer("it is not what was asked for")),
            Err(NotFetched::Refused(failure) | NotFetched::StruckOff(failure)) => Err(failure),
            Err(NotFetched::Unreachable(failure)) => {
                let (sealed, age) = self.kept(failure)?;
                let bundle = self.open(&sealed)?;
                let _ = writeln!(
                    std::io::stderr(),
                    "coffer: warning: {} cannot be reached; using the values of {} ago",
                    clean(self.client.server()),
                    in_words(age)
                );
                Ok((bundle, None))
            }
        }
    }

    fn ask(&self, known: Option<&str>, wait: u64) -> Result<Fetched, NotFetched> {
        let what = (self.environment.as_str(), self.workload.as_str());
        let fetched = self.client.bundle(what, known, wait);
        if let (Err(NotFetched::StruckOff(_)), Some(cache)) = (&fetched, &self.cache) {
            cache.forget();
        }
        fetched
    }

    /// For when the server cannot be reached; only one that opens takes the place of
    /// another.
    fn keep(&self, sealed: &[u8]) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.keep(sealed) {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: the bundle is not kept for later: {error}"
            );
        }
    }

    /// The last bundle, if there is one that may be used.
    fn kept(&self, failure: Failure) -> Result<(Vec<u8>, Duration), Failure> {
        let Some(kept) = self.cache.as_ref().and_then(|cache| cache.kept().ok()) else {
            return Err(failure);
        };
        match self.max_age {
            Some(most) if kept.age > most => Err(failure.hint(format!(
                "The values that are kept are {} old, more than --max-age.",
                in_words(kept.age)
            ))),
            _ => Ok((kept.sealed, kept.age)),
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::open(sealed, &self.identities).map_err(|error| {
            Failure::failed(format!("the bundle of {}: {error}", self.workload))
                .hint("Give the identity of one of the workload's recipients; `coffer run` opens the bundle itself.")
        })?;
        // An id says nothing that could be compared.
        let named =
            Some(self.environment.as_str()).filter(|name| name.parse::<EnvironmentId>().is_err());
        if !bundle.is_of(named, &self.workload) {
            return Err(Failure::failed(format!(
                "the server has sent something else than the bundle of {} for {}",
                self.workload, self.environment
            ))
            .hint("Nothing of it is used. See who answers at that address."));
        }
        if !self.only.is_empty() {
            bundle.retain(&self.only);
        }
        Ok(bundle)
    }

    fn command(&self, bundle: &Bundle) -> Result<Command, Failure> {
        let (program, arguments) = self.command.split_first().expect("clap requires one");
        let mut command = Command::new(program);
        command.args(arguments);
        bundle.set_on(&mut command).map_err(|error: BundleError| {
            Failure::failed(error).hint("Leave it out with --only, or give the value without it.")
        })?;
        // Also if they are among the values.
        for name in OWN {
            command.env_remove(name);
        }
        Ok(command)
    }

    #[cfg(unix)]
    fn exec(&self, before: &Before) -> Result<ExitCode, Failure> {
        use std::os::unix::process::CommandExt;

        let (bundle, _) = self.fetch()?;
        let mut command = self.command(&bundle)?;
        drop(bundle);
        before.restore();
        // Returns only when it could not be done.
        let error = command.exec();
        Err(not_started(&command, &error))
    }

    #[cfg(unix)]
    fn watch(self, before: &Before) -> Result<ExitCode, Failure> {
        let (bundle, tag) = self.fetch()?;
        let first = self.command(&bundle)?;
        drop(bundle);
        before.restore();
        let (send, next) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut known = tag;
            let mut pause = FIRST_PAUSE;
            loop {
                let fetched = self.ask(known.as_deref(), WAIT_SECONDS);
                pause = match fetched {
                    Ok(Fetched::New { sealed, tag }) => {
                        let is_other = known != tag;
                        known = tag;
                        let made = self.open(&sealed).and_then(|bundle| {
                            self.keep(&sealed);
                            self.command(&bundle)
                        });
                        match made {
                            Ok(command) => {
                                if is_other && send.send(command).is_err() {
                                    return;
                                }
                                FIRST_PAUSE
                            }
                            Err(failure) => self.complain(&failure, pause),
                        }
                    }
                    Ok(Fetched::Same) => FIRST_PAUSE,
                    Err(
                        NotFetched::Refused(failure)
                        | NotFetched::StruckOff(failure)
                        | NotFetched::Unreachable(failure),
                    ) => self.complain(&failure, pause),
                };
            }
        });
        supervise::supervise(first, next).map(ExitCode::from)
    }

    /// The command goes on with what it has; how long the next pause is.
    #[cfg(unix)]
    fn complain(&self, failure: &Failure, pause: Duration) -> Duration {
        if pause == FIRST_PAUSE {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: the command goes on with the values that it has: {}",
                clean(&failure.parts().0)
            );
        }
        std::thread::sleep(pause);
        (pause * 2).min(LONGEST_PAUSE)
    }

    #[cfg(not(unix))]
    fn exec(&self, _: &Before) -> Result<ExitCode, Failure> {
        let (bundle, _) = self.fetch()?;
        let mut command = self.command(&bundle)?;
        let status = command.status().map_err(|error| not_started(&command, &error))?;
        Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from))
    }

    #[cfg(not(unix))]
    fn watch(self, _: &Before) -> Result<ExitCode, Failure> {
        Err(Failure::wrong("--watch needs Unix signals, which this system does not have"))
    }
}

/// How long the server holds the question until something changes, in seconds.
#[cfg(unix)]
const WAIT_SECONDS: u64 = 50;
/// Between two tries when the first one failed, doubled each time.
#[cfg(unix)]
const FIRST_PAUSE: Duration = Duration::from_secs(1);
#[cfg(unix)]
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The command could not be started: 127 when it is not there, 126 when it cannot
/// be run, as a shell says it (POSIX, XCU 2.8.2).
fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().display();
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let code = if is_missing { 127 } else { 126 };
    Failure::with_code(code, format!("{program} cannot be run: {error}"))
        .hint("Check the command behind --, and its path.")
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
