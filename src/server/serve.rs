//! `coffer serve`: puts the rooms together and runs them.

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::access::{self, Access, AccessSettings, Cost, NewTokenFile, Rates, Token};
use crate::audit::Action;
use crate::config::{Config, Variables};
use crate::delivery::{Declared, keep_delivering};
use crate::domain::{Clock, SystemClock};
use crate::http::{self, State};
use crate::store::{self, Opened};
use crate::vault::{self, PruneError, Unavailable, UnlockError, Vault};

use crate::server::announce::{self, FirstStartMade};
use crate::server::backups::{Schedule, keep_backing_up};
use crate::server::enrolments::{self, DeclareError, Hangups, Reread, keep_declaring};
use crate::server::first_user::{self, FirstUserError};
use crate::server::passphrase::AskPassphrase;
use crate::server::root_key::{self, RootKeyError};

/// Why the server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database could not be opened.
    #[error("{0}")]
    Open(#[from] store::OpenError),
    /// The database could not be read.
    #[error("{0}. {STAYS_CLOSED}")]
    Read(#[from] store::ReadError),
    /// There is no usable root key.
    #[error("{0}")]
    RootKey(#[from] RootKeyError),
    /// The database stays closed.
    #[error("{error}. {remedy}")]
    Unlock {
        /// Why.
        error: UnlockError,
        /// What to do.
        remedy: String,
    },
    /// The token that the operator gave is none.
    #[error("COFFER_BOOTSTRAP_TOKEN: {0}")]
    BootstrapToken(access::BadToken),
    /// The first user that the operator gave is none.
    #[error("{0}")]
    FirstUser(#[from] FirstUserError),
    /// What is declared cannot be used.
    #[error("{0}")]
    Declare(#[from] DeclareError),
    /// The files of the workload `local` could not be written.
    #[error("{path}: {cause}. Check the directory and its permissions.")]
    LocalWorkload {
        /// The data directory.
        path: std::path::PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A recipient of the scheduled backups is none.
    #[error("[backup] recipients: {0}")]
    Recipient(#[from] vault::backup::BadRecipient),
    /// The token's file could not be written.
    #[error("{path}: {cause}. Check the directory and its permissions.")]
    TokenFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The address is not to be had.
    #[error("cannot listen on {address}: {cause}. Choose another with --listen.")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The first rows or the start row could not be written.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// The first credentials could not be written.
    #[error("{0}")]
    Access(#[from] access::Error),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(std::io::Error),
    /// A write or sync failed while running.
    #[error(
        "the database failed; what was answered is safe, the rest is not. Check the disk, then start again."
    )]
    Failed,
}

impl ServeError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BootstrapToken(_)
            | Self::RootKey(_)
            | Self::FirstUser(_)
            | Self::Declare(_)
            | Self::Recipient(_) => 2,
            _ => 1,
        }
    }
}

/// Options that production leaves alone and tests do not.
#[derive(Debug, Clone)]
pub struct Parts {
    /// About the database.
    pub store: store::Options,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whether index rows that do not fit are repaired before anybody is served.
    pub repair_index: bool,
    /// Asks for the passphrase of a protected root key.
    pub ask_passphrase: AskPassphrase,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            store: store::Options::default(),
            clock: Arc::new(SystemClock),
            repair_index: true,
            ask_passphrase: |_| None,
        }
    }
}

/// A server with everything open, before it takes a request.
#[allow(missing_debug_implementations)]
pub struct Prepared {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    first_start: Option<FirstStartMade>,
    keep_days: u32,
    schedule: Option<Schedule>,
    compacted: Option<store::Compacted>,
    reread: Option<(Hangups, Reread)>,
}

/// What to do about a database that stays closed for another reason than its
/// root key.
const STAYS_CLOSED: &str = "Nothing was changed; look at the disk, or restore a backup.";

/// Opens everything. Not for use inside an async runtime.
pub fn prepare(
    config: &Config,
    variables: &Variables,
    parts: Parts,
) -> Result<Prepared, ServeError> {
    let given = variables.get("COFFER_BOOTSTRAP_TOKEN").map(Token::parse);
    let given = given.transpose().map_err(ServeError::BootstrapToken)?;
    let first_user = first_user::given(variables)?;
    let schedule = Schedule::of(config)?;
    enrolments::catalogue(config)?;
    let opened = Opened::open(&config.server.data_dir, parts.store)?;
    // Before anything is made: what the first start prints is printed once.
    let address = config.server.listen;
    let listen = |cause| ServeError::Listen { address, cause };
    let listener = TcpListener::bind(address).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let sealed_under = vault::sealed_under(&opened)?;
    let (root_key, source) = root_key::resolve(
        config,
        variables,
        sealed_under.map(root_key::Sealed::database),
        parts.ask_passphrase,
    )?;
    let now = parts.clock.now();
    let (opened, compacted) = opened.compact_if_wasteful()?;
    let previous = root_key::previous(config, variables, parts.ask_passphrase)?;
    let roots = vault::RootKeys { current: &root_key, previous: previous.as_ref() };
    let mut unlocked = vault::unlock(opened, roots, now).map_err(|error| {
        let remedy = error.remedy(&source.to_string());
        ServeError::Unlock { error, remedy: remedy.unwrap_or_else(|| STAYS_CLOSED.to_owned()) }
    })?;
    drop((root_key, previous));
    if parts.repair_index && unlocked.first_start.is_none() {
        repair_index(&unlocked, now);
    }
    let credentials = AccessSettings {
        cost: Cost { memory_kib: config.auth.argon2_memory_kib, passes: config.auth.argon2_passes },
        session_idle_millis: i64::from(config.auth.session_idle_minutes) * 60_000,
        session_millis: i64::from(config.auth.session_hours) * 3_600_000,
        login_failures: config.rate_limit.login_failures,
    };
    let first_start = match unlocked.first_start.take() {
        None => None,
        Some(first_start) => {
            let data_dir = config.server.data_dir.clone();
            let environments = config.bootstrap.environments.clone();
            let (token, token_file) = first_token(given, &data_dir)?;
            enrolments::enrol_local(&data_dir, &environments)
                .map_err(|cause| ServeError::LocalWorkload { path: data_dir.clone(), cause })?;
            let email = first_user.as_ref().map(|user| user.email.clone());
            let user = (first_user, credentials.cost);
            access::bootstrap(&unlocked, first_start, environments.clone(), &token, user, now)?;
            Some(FirstStartMade {
                token,
                token_file,
                root_key: source,
                data_dir,
                environments,
                email,
            })
        }
    };
    let limits = vault::Limits {
        value_bytes: config.limits.value_bytes,
        versions_kept: config.limits.versions_kept,
    };
    let vault = Vault::new(&unlocked, Arc::clone(&parts.clock), limits);
    let access = Access::new(&unlocked, parts.clock, credentials);
    let settings = http::HttpSettings {
        rates: Rates {
            authenticated_per_minute: config.rate_limit.authenticated_per_minute,
            anonymous_per_minute: config.rate_limit.anonymous_per_minute,
        },
        body_bytes: config.limits.body_bytes,
        trusted_proxies: config.server.trusted_proxies.clone(),
        backups_scheduled: schedule.is_some(),
    };
    // Now that a first start has enrolled what works at once.
    let declared = Arc::new(Declared::new(enrolments::catalogue(config)?));
    let state = Arc::new(State::new(vault, access, declared, settings));
    let keep_days = config.audit.keep_days;
    Ok(Prepared {
        listener,
        address,
        state,
        first_start,
        keep_days,
        schedule,
        compacted,
        reread: None,
    })
}

/// Makes the index rows fit that can be worked out from others; see
/// `store::repair`. What it does it says; what it cannot do, `coffer doctor` says.
/// That is no reason not to serve: each row that does not fit is refused alone.
fn repair_index(unlocked: &vault::Unlocked, now: crate::domain::Timestamp) {
    match vault::repair_index(unlocked, now) {
        Ok(repaired) => repaired.lines.iter().for_each(|line| log::warn!("repaired: {line}")),
        Err(error) => log::error!("the index rows are not looked at: {error}"),
    }
}

fn first_token(
    given: Option<Token>,
    data_dir: &std::path::Path,
) -> Result<(Token, Option<NewTokenFile>), ServeError> {
    if let Some(token) = given {
        // One that an interrupted start left behind would be taken for the token.
        NewTokenFile::remove(data_dir).map_err(|cause| ServeError::TokenFile {
            path: data_dir.join(NewTokenFile::NAME),
            cause,
        })?;
        return Ok((token, None));
    }
    let token = Token::generate(vault::Random)?;
    let file = NewTokenFile::write(data_dir, &token).map_err(|cause| ServeError::TokenFile {
        path: data_dir.join(NewTokenFile::NAME),
        cause,
    })?;
    Ok((token, Some(file)))
}

impl Prepared {
    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its handlers use.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// The admin token, if this start made the database.
    pub fn first_token(&self) -> Option<&Token> {
        self.first_start.as_ref().map(|made| &made.token)
    }

    /// Serves until `stop` resolves, finishes what is under way, closes the
    /// database. `ready` is called when requests are taken.
    pub async fn run(
        self,
        ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let vault = &self.state.vault;
        record(vault, Action::ServerStart).await?;
        if let Some(compacted) = self.compacted {
            let store::Compacted { before_bytes, after_bytes, .. } = compacted;
            log::info!("the database was compacted from {before_bytes} to {after_bytes} bytes");
            if let Err(error) = vault.record_compacted(compacted).await {
                log::error!("that the database was compacted is not in the audit log: {error}");
            }
        }
        if let Err(error) = vault.finish_deletions() {
            // Nobody can reach what is left; the next start tries again.
            log::error!("deleted environments cannot be emptied: {error}");
        }
        vault.finish_rotation().await?;
        let more = prune(vault, self.keep_days, FIRST_BATCHES).await;
        let server =
            http::serve(self.listener, Arc::clone(&self.state)).map_err(ServeError::Http)?;
        let handle = server.handle();
        let mut running = actix_web::rt::spawn(server);
        ready();
        let outcome = tokio::select! {
            ended = &mut running => match ended {
                Ok(ended) => ended.map_err(ServeError::Http),
                Err(panicked) => Err(ServeError::Http(panicked.into())),
            },
            never = keep_pruning(vault, self.keep_days, more) => match never {},
            never = keep_delivering(vault, &self.state.declared, &self.state.receipts) => {
                match never {}
            }
            never = keep_declaring(&self.state, self.reread) => match never {},
            never = keep_backing_up(&self.state, self.schedule.as_ref()) => match never {},
            () = vault.failed() => {
                handle.stop(false).await;
                Err(ServeError::Failed)
            }
            () = stop => {
                self.state.stop_waiting();
                handle.stop(true).await;
                Ok(())
            }
        };
        let recorded = match &outcome {
            Ok(()) => record(vault, Action::ServerStop).await,
            Err(_) => Ok(()),
        };
        // What a failure of the writer has made of the last row is no news beside it.
        vault.close().map_err(|_| ServeError::Failed)?;
        outcome.and(recorded)
    }
}

/// Old audit rows are dropped so often.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Writes that drop audit rows before the server takes requests: what a day or
/// two of standing still leaves. The rest goes while it serves.
const FIRST_BATCHES: usize = 20;

/// Drops old audit rows every hour, and at once if the start left some. It ends
/// with whoever waits for it; a write that is under way then is finished by the
/// writer.
async fn keep_pruning(vault: &Vault, keep_days: u32, at_once: bool) -> Infallible {
    let mut hours = tokio::time::interval(PRUNE_EVERY);
    // After a machine has slept there is one pass to make up for, not many.
    hours.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if !at_once {
        hours.reset();
    }
    loop {
        hours.tick().await;
        prune(vault, keep_days, usize::MAX).await;
    }
}

/// Drops old audit rows; whether there may be more. What keeps it from doing so
/// is no reason not to serve.
async fn prune(vault: &Vault, keep_days: u32, batches: usize) -> bool {
    match vault.prune_audit_log(keep_days, batches).await {
        Ok(more) => more,
        Err(PruneError::Store(vault::Error::Unavailable(Unavailable::ShuttingDown))) => false,
        Err(error) => {
            log::error!("old audit rows stay: {error}");
            false
        }
    }
}

/// Records a start or a stop. On a disk that is too full even for that, and where
/// the page that the row would go to is damaged, the server still starts, for reads
/// go on, and still stops.
async fn record(vault: &Vault, action: Action) -> Result<(), ServeError> {
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    match vault.record_host(action, &version).await {
        Err(vault::Error::Unavailable(
            why @ (Unavailable::DiskNearlyFull | Unavailable::Damaged),
        )) => {
            log::error!("{} is not in the audit log: {why}", action.as_str());
            Ok(())
        }
        recorded => Ok(recorded?),
    }
}

/// Runs the command.
pub(crate) fn run(
    config: Config,
    variables: Variables,
    reread: Reread,
    ask_passphrase: AskPassphrase,
) -> Result<(), ServeError> {
    for name in &config.unsupported {
        log::warn!("{name} is accepted, but this version does nothing with it yet");
    }
    if !config.server.listen.ip().is_loopback() {
        log::warn!(
            "{} can be reached from other machines, and without TLS tokens and values cross the network in the clear; put a TLS proxy in front",
            config.server.listen
        );
    }
    actix_web::rt::System::new().block_on(async {
        // Before anything is open, so that no signal finds us without a handler.
        let stop = stop_signal().map_err(ServeError::Http)?;
        let hangups = Hangups::listen().map_err(ServeError::Http)?;
        let prepared = actix_web::web::block(move || {
            let parts = Parts { ask_passphrase, ..Parts::default() };
            prepare(&config, &variables, parts)
        });
        let mut stop = std::pin::pin!(stop);
        let prepared = tokio::select! {
            prepared = prepared => prepared.map_err(|_| ServeError::Failed)??,
            () = &mut stop => {
                // Nothing was answered yet, and whatever was begun may be cut
                // off anywhere; a thread that waits for a file cannot be stopped.
                std::process::exit(0);
            }
        };
        prepared.state.vault.leak_until_exit();
        let address = prepared.address();
        let first_start = prepared.first_start;
        let reread = Some((hangups, reread));
        let prepared = Prepared { first_start: None, reread, ..prepared };
        let ready = || {
            announce::listening(address);
            if let Some(made) = first_start {
                announce::first_start(&made, address);
            }
        };
        prepared.run(ready, stop).await
    })
}

/// Signals that come closer together than this are one.
const ONE_PRESS: Duration = Duration::from_millis(500);

/// Resolves at SIGTERM or SIGINT (elsewhere: Ctrl-C).
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            log::info!("{name}: finishing what is under way");
            // Somebody who asks twice does not want to wait for slow clients.
            actix_web::rt::spawn(async move {
                // One press can arrive twice, by the terminal and by a parent.
                let asked = std::time::Instant::now();
                while asked.elapsed() < ONE_PRESS {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                log::warn!("asked again: ending at once; what was answered is safe");
                std::process::exit(1);
            });
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a handler the system ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
