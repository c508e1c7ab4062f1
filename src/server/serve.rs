//! `coffer serve`: the order in which the server starts and stops.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::access::{self, Access, AccessSettings, Cost, NewTokenFile, Rates, Token};
use crate::audit::Action;
use crate::config::{Config, Variables};
use crate::delivery::{Declared, keep_delivering};
use crate::domain::{Clock, SystemClock, Timestamp};
use crate::http::{self, State};
use crate::server::announce::{self, FirstStartSummary};
use crate::server::backups::{Schedule, keep_backing_up};
use crate::server::enrolments::{self, Reload, keep_reloading};
use crate::server::error::{RESTORE_BACKUP, ServeError};
use crate::server::first_user;
use crate::server::passphrase::AskPassphrase;
use crate::server::pruning::{keep_pruning, prune_at_start};
use crate::server::root_key::{self, RootKeySource, SealedObject};
use crate::server::signals::{ReloadSignals, stop_signal};
use crate::store::{self, Opened};
use crate::vault::{self, Unavailable, Unlocked, Vault};

/// Options that tests set and production leaves at their defaults.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Options of the database.
    pub store: store::Options,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Whether inconsistent index rows are repaired before the server accepts requests.
    pub repair_index: bool,
    /// Prompts for the passphrase of a protected root key.
    pub ask_passphrase: AskPassphrase,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            store: store::Options::default(),
            clock: Arc::new(SystemClock),
            repair_index: true,
            ask_passphrase: |_| None,
        }
    }
}

/// A server that has everything open and does not yet accept requests.
#[allow(missing_debug_implementations)]
pub struct Prepared {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    first_start: Option<FirstStartSummary>,
    keep_days: u32,
    schedule: Option<Schedule>,
    compacted: Option<store::Compacted>,
    reload: Option<(ReloadSignals, Reload)>,
}

/// Opens everything. Blocks, so it must not run on a thread of an async runtime.
pub fn prepare(
    config: &Config,
    variables: &Variables,
    options: ServeOptions,
) -> Result<Prepared, ServeError> {
    // Configuration errors first: they are reported before anything is created.
    let given_token = variables.get("COFFER_BOOTSTRAP_TOKEN").map(Token::parse);
    let given_token = given_token.transpose().map_err(ServeError::BootstrapToken)?;
    let first_user = first_user::given(variables)?;
    let schedule = Schedule::of(config)?;
    enrolments::catalog(config)?;
    let opened = Opened::open(&config.server.data_dir, options.store)?;
    // Before the first start creates anything: its announcement is printed only once, so a later
    // start must not fail on the address.
    let address = config.server.listen;
    let not_available = |cause| ServeError::Listen { address, cause };
    let listener = TcpListener::bind(address).map_err(not_available)?;
    let address = listener.local_addr().map_err(not_available)?;
    let UnlockedDatabase { mut unlocked, source, compacted, now } =
        unlock(opened, config, variables, &options)?;
    if options.repair_index && unlocked.first_start.is_none() {
        repair_index(&unlocked, now);
    }
    let credentials = access_settings(config);
    let first_start = match unlocked.first_start.take() {
        None => None,
        Some(first_start) => {
            let data_dir = config.server.data_dir.clone();
            let environments = config.bootstrap.environments.clone();
            let (token, token_file) = first_token(given_token, &data_dir)?;
            enrolments::enrol_local(&data_dir, &environments)
                .map_err(|cause| ServeError::LocalWorkload { path: data_dir.clone(), cause })?;
            let email = first_user.as_ref().map(|user| user.email.clone());
            let user = (first_user, credentials.cost);
            access::bootstrap(&unlocked, first_start, environments.clone(), &token, user, now)?;
            Some(FirstStartSummary {
                token,
                token_file,
                root_key: source,
                data_dir,
                environments,
                email,
            })
        }
    };
    let vault = Vault::new(&unlocked, Arc::clone(&options.clock), vault_limits(config));
    let access = Access::new(&unlocked, options.clock, credentials);
    // After a first start has enrolled the workload `local`.
    let declared = Arc::new(Declared::new(enrolments::catalog(config)?));
    let settings = http_settings(config, schedule.is_some());
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
        reload: None,
    })
}

/// An unlocked database, and what happened on the way there.
struct UnlockedDatabase {
    unlocked: Unlocked,
    source: RootKeySource,
    compacted: Option<store::Compacted>,
    now: Timestamp,
}

/// Finds the root key, compacts the database if it wastes much space, and unlocks it.
fn unlock(
    opened: Opened,
    config: &Config,
    variables: &Variables,
    options: &ServeOptions,
) -> Result<UnlockedDatabase, ServeError> {
    let ask_passphrase = options.ask_passphrase;
    let sealed = vault::sealed_under(&opened)?.map(SealedObject::database);
    let (root_key, source) = root_key::resolve(config, variables, sealed, ask_passphrase)?;
    // Only now: a prompt for a passphrase may have taken a while.
    let now = options.clock.now();
    let (opened, compacted) = opened.compact_if_wasteful()?;
    let previous = root_key::previous(config, variables, ask_passphrase)?;
    let roots = vault::RootKeys { current: &root_key, previous: previous.as_ref() };
    let unlocked = vault::unlock(opened, roots, now).map_err(|error| {
        let remedy = error.remedy(&source.to_string());
        ServeError::Unlock { error, remedy: remedy.unwrap_or_else(|| RESTORE_BACKUP.to_owned()) }
    })?;
    Ok(UnlockedDatabase { unlocked, source, compacted, now })
}

fn access_settings(config: &Config) -> AccessSettings {
    AccessSettings {
        cost: Cost { memory_kib: config.auth.argon2_memory_kib, passes: config.auth.argon2_passes },
        session_idle_millis: i64::from(config.auth.session_idle_minutes) * 60_000,
        session_millis: i64::from(config.auth.session_hours) * 3_600_000,
        login_failures: config.rate_limit.login_failures,
    }
}

fn vault_limits(config: &Config) -> vault::VaultLimits {
    vault::VaultLimits {
        value_bytes: config.limits.value_bytes,
        versions_kept: config.limits.versions_kept,
    }
}

fn http_settings(config: &Config, backups_scheduled: bool) -> http::HttpSettings {
    http::HttpSettings {
        rates: Rates {
            authenticated_per_minute: config.rate_limit.authenticated_per_minute,
            anonymous_per_minute: config.rate_limit.anonymous_per_minute,
        },
        body_bytes: config.limits.body_bytes,
        trusted_proxies: config.server.trusted_proxies.clone(),
        backups_scheduled,
    }
}

/// Repairs the index rows that can be derived from others; see `store::repair`. Logs each repair.
/// A failure does not stop the server, because each inconsistent row is refused by itself, and
/// `coffer doctor` reports it.
fn repair_index(unlocked: &Unlocked, now: Timestamp) {
    match vault::repair_index(unlocked, now) {
        Ok(repaired) => repaired.lines.iter().for_each(|line| log::warn!("repaired: {line}")),
        Err(error) => log::error!("cannot check the index rows: {error}"),
    }
}

/// The first admin token: the given one, or a new one in a file of the data directory.
fn first_token(
    given: Option<Token>,
    data_dir: &Path,
) -> Result<(Token, Option<NewTokenFile>), ServeError> {
    let failed = |cause| ServeError::TokenFile { path: data_dir.join(NewTokenFile::NAME), cause };
    if let Some(token) = given {
        // A file from an interrupted first start would be mistaken for the token.
        NewTokenFile::remove(data_dir).map_err(failed)?;
        return Ok((token, None));
    }
    let token = Token::generate(vault::Random)?;
    let file = NewTokenFile::write(data_dir, &token).map_err(failed)?;
    Ok((token, Some(file)))
}

impl Prepared {
    /// The address that the server will listen on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state that the HTTP handlers use.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// The first admin token, if this start created the database.
    pub fn first_token(&self) -> Option<&Token> {
        self.first_start.as_ref().map(|first| &first.token)
    }

    /// Serves until `stop` resolves, finishes running requests, and closes the database. Calls
    /// `ready` when the server accepts requests.
    pub async fn run(
        self,
        ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let vault = &self.state.vault;
        record(vault, Action::ServerStart).await?;
        if let Some(compacted) = self.compacted {
            record_compaction(vault, compacted).await;
        }
        if let Err(error) = vault.finish_deletions() {
            // What is left is unreachable, and the next start tries again.
            log::error!("cannot remove the rows of deleted environments: {error}");
        }
        vault.finish_rotation().await?;
        let more = prune_at_start(vault, self.keep_days).await;
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
            never = keep_delivering(vault, &self.state.declared, &self.state.delivery_statuses) => {
                match never {}
            }
            never = keep_reloading(&self.state, self.reload) => match never {},
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
        // If the writer has failed, an error of the last event adds nothing.
        vault.close().map_err(|_| ServeError::Failed)?;
        outcome.and(recorded)
    }
}

/// Records a start or a stop. The server starts and stops even if the disk is too full for this
/// event or its page is damaged, because reads still work.
async fn record(vault: &Vault, action: Action) -> Result<(), ServeError> {
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    match vault.record_host(action, &version).await {
        Err(vault::Error::Unavailable(
            why @ (Unavailable::DiskNearlyFull | Unavailable::Damaged),
        )) => {
            log::error!("cannot record {} in the audit log: {why}", action.as_str());
            Ok(())
        }
        recorded => Ok(recorded?),
    }
}

async fn record_compaction(vault: &Vault, compacted: store::Compacted) {
    let store::Compacted { before_bytes, after_bytes, .. } = compacted;
    log::info!("compacted the database from {before_bytes} to {after_bytes} bytes");
    if let Err(error) = vault.record_compacted(compacted).await {
        log::error!("cannot record the compaction in the audit log: {error}");
    }
}

/// Runs the server until a signal stops it.
pub(crate) fn run(
    config: Config,
    variables: Variables,
    reload: Reload,
    ask_passphrase: AskPassphrase,
) -> Result<(), ServeError> {
    for name in &config.unsupported {
        log::warn!("{name} is set but has no effect in this version");
    }
    if !config.server.listen.ip().is_loopback() {
        log::warn!(
            "{} accepts connections from other machines, and without TLS tokens and values are sent unencrypted; put a TLS proxy in front",
            config.server.listen
        );
    }
    actix_web::rt::System::new().block_on(async {
        // Before anything is open, so that every signal is handled.
        let stop = stop_signal().map_err(ServeError::Http)?;
        let reload_signals = ReloadSignals::listen().map_err(ServeError::Http)?;
        let prepared = actix_web::web::block(move || {
            let options = ServeOptions { ask_passphrase, ..ServeOptions::default() };
            prepare(&config, &variables, options)
        });
        let mut stop = std::pin::pin!(stop);
        let prepared = tokio::select! {
            prepared = prepared => prepared.map_err(|_| ServeError::Failed)??,
            () = &mut stop => {
                // Nothing has been acknowledged, so the preparation may end anywhere; its thread,
                // which may wait for a file, cannot be stopped otherwise.
                std::process::exit(0);
            }
        };
        prepared.state.vault.leak_until_exit();
        let address = prepared.address();
        let first_start = prepared.first_start;
        let reload = Some((reload_signals, reload));
        let prepared = Prepared { first_start: None, reload, ..prepared };
        let ready = || {
            announce::listening(address);
            if let Some(first) = first_start {
                announce::first_start(&first, address);
            }
        };
        prepared.run(ready, stop).await
    })
}
