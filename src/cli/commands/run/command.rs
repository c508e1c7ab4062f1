//! The arguments of `coffer run`, and the steps from them to a running program.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;

use crate::cli::api::{
    ApiClient, BundleFetchError, FetchedBundle, ServerArguments, unexpected_response,
};
use crate::cli::arguments::environment::name_or_id;
use crate::cli::commands::run::cache::BundleCache;
use crate::cli::commands::run::start_error::not_started;
#[cfg(unix)]
use crate::cli::commands::run::supervise;
use crate::cli::harden::OriginalLimits;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::sanitize::clean;
use crate::config;
use crate::domain::{EnvironmentId, KeyPattern, WorkloadName};
use crate::server::enrolments::{LOCAL, local_identity};
use crate::vault::{Bundle, BundleError, Identities};

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// Environment name or id
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    env: String,
    /// Workload name (from config.toml)
    #[arg(long, value_name = "NAME", default_value = LOCAL, value_parser = workload)]
    workload: String,
    /// age identity file or SSH private key of the workload [default for the workload local:
    /// local-identity in the data directory]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Pass only these keys to the program; * matches any characters
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = pattern)]
    only: Vec<KeyPattern>,
    /// Restart the program when a value changes
    #[arg(long)]
    watch: bool,
    /// Do not use or update the offline cache
    #[arg(long)]
    no_cache: bool,
    /// Maximum age of values from the offline cache, in minutes, hours or days, such as 12h
    #[arg(long, value_name = "TIME", value_parser = period, conflicts_with = "no_cache")]
    max_age: Option<Duration>,
    #[command(flatten)]
    server: ServerArguments,
    /// Program to run, and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn workload(text: &str) -> Result<String, &'static str> {
    WorkloadName::parse(text).map(|_| text.to_owned()).map_err(|violation| violation.0)
}

fn pattern(text: &str) -> Result<KeyPattern, &'static str> {
    KeyPattern::parse(text).map_err(|violation| violation.0)
}

fn period(text: &str) -> Result<Duration, &'static str> {
    let minutes = config::minutes(text);
    let minutes = minutes.ok_or("must be minutes, hours or days, such as 30m, 12h or 7d")?;
    Ok(Duration::from_secs(u64::from(minutes) * 60))
}

/// What does not change between two starts of the program.
struct RunPlan {
    client: ApiClient,
    environment: String,
    workload: String,
    identities: Identities,
    only: Vec<KeyPattern>,
    cache: Option<BundleCache>,
    max_age: Option<Duration>,
    command: Vec<OsString>,
}

/// coffer's own variables, which the program does not get: it need not be trusted with access to
/// the server or its database.
const OWN_VARIABLES: [&str; 11] = [
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
    pub fn run(self, limits: &OriginalLimits) -> Result<ExitCode, Failure> {
        let (config, variables) = self.server.load()?;
        let client = self.server.client(&config, &variables)?;
        let identity = match self.identity {
            Some(path) => path,
            None if self.workload == LOCAL => local_identity(&config.server.data_dir),
            None => {
                let message = format!("no identity given for workload {:?}", self.workload);
                return Err(Failure::wrong(message)
                    .hint("Pass its age identity or SSH private key with --identity FILE."));
            }
        };
        let identities = identities(&identity)?;
        let cache = if self.no_cache {
            None
        } else {
            BundleCache::of(client.server(), &self.env, &self.workload)
        };
        let plan = RunPlan {
            client,
            environment: self.env,
            workload: self.workload,
            identities,
            only: self.only,
            cache,
            max_age: self.max_age,
            command: self.command,
        };
        if self.watch { plan.watch(limits) } else { plan.exec(limits) }
    }
}

fn identities(path: &Path) -> Result<Identities, Failure> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|error| {
        Failure::failed(format!("{}: {error}", path.display())).hint(
            "Pass the identity with --identity FILE. The identity of the workload local is in the server's data directory; pass that with --data-dir.",
        )
    })?;
    Identities::parse(&text).map_err(|error| {
        Failure::wrong(format!("{}: {error}", path.display()))
            .hint("Pass an age identity or an SSH private key with --identity FILE.")
    })
}

impl RunPlan {
    /// Fetches the bundle and its tag; without a server, takes the bundle from the cache.
    fn fetch(&self) -> Result<(Bundle, Option<String>), Failure> {
        match self.ask(None, 0) {
            Ok(FetchedBundle::New { sealed, tag }) => {
                let bundle = self.open(&sealed)?;
                self.save(&sealed);
                Ok((bundle, tag))
            }
            Ok(FetchedBundle::Unchanged) => Err(unexpected_response("no bundle").into()),
            Err(BundleFetchError::Rejected(error) | BundleFetchError::Revoked(error)) => {
                Err(error.into())
            }
            Err(BundleFetchError::Unreachable(error)) => {
                let (sealed, age) = self.cached(error.into())?;
                let bundle = self.open(&sealed)?;
                let _ = writeln!(
                    std::io::stderr(),
                    "coffer: warning: cannot reach {}, using values cached {} ago",
                    clean(self.client.server()),
                    format_age(age)
                );
                Ok((bundle, None))
            }
        }
    }

    /// Asks the server for the bundle. Clears the cache if the workload has lost its access.
    fn ask(&self, known: Option<&str>, wait: u64) -> Result<FetchedBundle, BundleFetchError> {
        let (environment, workload) = (self.environment.as_str(), self.workload.as_str());
        let fetched = self.client.bundle((environment, workload), known, wait);
        let Err(BundleFetchError::Revoked(error)) = fetched else { return fetched };
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        let error = error.naming_environment(environment).naming_workload(workload, environment);
        Err(BundleFetchError::Revoked(error))
    }

    /// Saves a bundle that has been opened, for when the server cannot be reached.
    fn save(&self, sealed: &[u8]) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.save(sealed) {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: cannot update the offline cache: {error}"
            );
        }
    }

    /// Takes the bundle and its age from the cache. Returns `failure` if there is none that may
    /// be used.
    fn cached(&self, failure: Failure) -> Result<(Vec<u8>, Duration), Failure> {
        let Some(cached) = self.cache.as_ref().and_then(|cache| cache.load().ok()) else {
            return Err(failure);
        };
        match self.max_age {
            Some(max_age) if cached.age > max_age => Err(failure.hint(format!(
                "The cached values are {} old, which is more than --max-age.",
                format_age(cached.age)
            ))),
            _ => Ok((cached.sealed, cached.age)),
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::open(sealed, &self.identities).map_err(|error| {
            Failure::failed(format!(
                "cannot open the bundle of workload {:?}: {error}",
                self.workload
            ))
            .hint("Pass the identity of one of the workload's recipients with --identity FILE.")
        })?;
        // The bundle contains the environment's name, so an id cannot be compared.
        let named =
            Some(self.environment.as_str()).filter(|name| name.parse::<EnvironmentId>().is_err());
        if !bundle.is_of(named, &self.workload) {
            return Err(Failure::failed(format!(
                "the server sent the wrong bundle, not that of workload {:?} for {}",
                self.workload, self.environment
            ))
            .hint("The bundle was not used. Check which server runs at that address."));
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
            Failure::failed(error).hint("Leave this key out with --only, or change its value.")
        })?;
        // Also removes values with these names.
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        Ok(command)
    }

    #[cfg(unix)]
    fn exec(&self, limits: &OriginalLimits) -> Result<ExitCode, Failure> {
        use std::os::unix::process::CommandExt;

        let (bundle, _) = self.fetch()?;
        let mut command = self.command(&bundle)?;
        drop(bundle);
        limits.restore();
        // Returns only on failure.
        let error = command.exec();
        Err(not_started(&command, &error))
    }

    #[cfg(unix)]
    fn watch(self, limits: &OriginalLimits) -> Result<ExitCode, Failure> {
        let (bundle, tag) = self.fetch()?;
        let first = self.command(&bundle)?;
        drop(bundle);
        limits.restore();
        let (send, next) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut known = tag;
            let mut pause = FIRST_PAUSE;
            loop {
                let fetched = self.ask(known.as_deref(), WAIT_SECONDS);
                pause = match fetched {
                    Ok(FetchedBundle::New { sealed, tag }) => {
                        let is_different = known != tag;
                        known = tag;
                        let command = self.open(&sealed).and_then(|bundle| {
                            self.save(&sealed);
                            self.command(&bundle)
                        });
                        match command {
                            Ok(command) => {
                                if is_different && send.send(command).is_err() {
                                    return;
                                }
                                FIRST_PAUSE
                            }
                            Err(failure) => warn_and_wait(failure.message(), pause),
                        }
                    }
                    Ok(FetchedBundle::Unchanged) => FIRST_PAUSE,
                    Err(
                        BundleFetchError::Rejected(error)
                        | BundleFetchError::Revoked(error)
                        | BundleFetchError::Unreachable(error),
                    ) => warn_and_wait(error.message(), pause),
                };
            }
        });
        supervise::supervise(first, next).map(ExitCode::from)
    }

    #[cfg(not(unix))]
    fn exec(&self, _: &OriginalLimits) -> Result<ExitCode, Failure> {
        let (bundle, _) = self.fetch()?;
        let mut command = self.command(&bundle)?;
        let status = command.status().map_err(|error| not_started(&command, &error))?;
        Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from))
    }

    #[cfg(not(unix))]
    fn watch(self, _: &OriginalLimits) -> Result<ExitCode, Failure> {
        Err(Failure::wrong("--watch is not supported on this system: it needs Unix signals"))
    }
}

/// How long the server holds a request until a value changes, in seconds.
#[cfg(unix)]
const WAIT_SECONDS: u64 = 50;
/// The pause after the first failed request; it doubles with each further one.
#[cfg(unix)]
const FIRST_PAUSE: Duration = Duration::from_secs(1);
#[cfg(unix)]
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Reports the first of several failures in a row, while the program keeps running, and waits.
/// Returns the next pause.
#[cfg(unix)]
fn warn_and_wait(problem: &str, pause: Duration) -> Duration {
    if pause == FIRST_PAUSE {
        let _ = writeln!(
            std::io::stderr(),
            "coffer: warning: still running with the previous values: {}",
            clean(problem)
        );
    }
    std::thread::sleep(pause);
    (pause * 2).min(MAX_PAUSE)
}

fn format_age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
