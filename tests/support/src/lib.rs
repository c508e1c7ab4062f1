//! What the tests share: the app that production builds, on a free port, with
//! a database of its own; clients with every kind of credential; and an ear on
//! the log that fails the test at any line of WARN or ERROR it did not expect.
#![allow(dead_code, unused_imports)]

pub mod acts;
pub mod backups;
pub mod cli;
pub mod client;
pub mod dice;
mod log_ear;
pub mod people;
pub mod process;
pub mod scripted;
#[cfg(target_os = "linux")]
pub mod small;
pub mod terminal;
pub mod workloads;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coffer::access::HostToken;
use coffer::cli::serve::{self, Parts, ServeError};
use coffer::config::{Config, Variables};
use coffer::domain::{Clock, EnvironmentId, EnvironmentName, Role, Scope, Timestamp, TokenName};
use coffer::http::State;
use tempfile::TempDir;

pub use client::{Client, Reply};

/// A clock that stands still unless it is told to move.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Moves on (or back).
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// How a test wants its server.
pub struct Setup {
    pub config: Config,
    pub variables: Vec<(String, String)>,
    pub parts: Parts,
    pub clock: Option<Arc<TestClock>>,
}

impl Default for Setup {
    /// As production has it, but without limits on how many requests there may
    /// be: tests send many, all of them from one address.
    fn default() -> Self {
        let mut config = Config::default();
        config.rate_limit.authenticated_per_minute = 0;
        config.rate_limit.anonymous_per_minute = 0;
        let (variables, parts, clock) = (Vec::new(), Parts::default(), None);
        Self { config, variables, parts, clock }
    }
}

impl Setup {
    /// A clock under the test's control instead of the machine's.
    pub fn with_test_clock(mut self) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        self.parts.clock = clock.clone();
        self.clock = Some(clock);
        self
    }

    /// First environments other than `development`.
    pub fn environments(mut self, names: &[&str]) -> Self {
        let parse = |name: &&str| EnvironmentName::parse(name).unwrap();
        self.config.bootstrap.environments = names.iter().map(parse).collect();
        self
    }
}

/// A running server. Stops when dropped.
pub struct TestApp {
    pub address: SocketAddr,
    pub state: Arc<State>,
    pub clock: Option<Arc<TestClock>>,
    admin_token: String,
    dir: Option<TempDir>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl TestApp {
    /// A new server on an empty directory with the environment `development`.
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub fn start_with(setup: Setup) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setup)
    }

    /// A server on the directory that [`TestApp::stop`] gave back.
    pub fn start_in(dir: TempDir, setup: Setup) -> Self {
        log_ear::listen();
        let Setup { mut config, variables, parts, clock } = setup;
        config.server.data_dir = dir.path().join("data");
        config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let token_file = config.server.data_dir.join("bootstrap-token");
        await_release(&config.server.data_dir);
        let (started, when_started) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let prepared = serve::prepare(&config, &Variables::from_pairs(pairs), parts)?;
            let about = (prepared.address(), prepared.state());
            actix_web::rt::System::new().block_on(prepared.run(
                move || started.send(about).unwrap(),
                async {
                    let _ = stopped.await;
                },
            ))
        });
        let Ok((address, state)) = when_started.recv() else {
            panic!("the server did not start: {:?}", thread.join().unwrap().err());
        };
        let admin_token = std::fs::read_to_string(token_file).unwrap().trim().to_owned();
        Self {
            address,
            state,
            clock,
            admin_token,
            dir: Some(dir),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Stops in good order; the directory can be looked at or started again.
    pub fn stop(mut self) -> TempDir {
        self.shut_down();
        let dir = self.dir.take().unwrap();
        drop(self);
        await_release(&data_dir(dir.path()));
        dir
    }

    /// The data directory.
    pub fn data_dir(&self) -> std::path::PathBuf {
        data_dir(self.dir.as_ref().unwrap().path())
    }

    /// Nobody in particular.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address, None)
    }

    /// Whoever has this token.
    pub fn bearer(&self, token: &str) -> Client {
        Client::new(self.address, Some(token.to_owned()))
    }

    /// The admin of the first start.
    pub fn admin(&self) -> Client {
        self.bearer(&self.admin_token)
    }

    /// The admin's token itself.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A new principal with this role everywhere.
    pub fn principal(&self, role: Role) -> Client {
        self.principal_in(role, Scope::All)
    }

    /// A new principal with this role in these environments (ids).
    pub fn scoped(&self, role: Role, environments: &[&str]) -> Client {
        let ids: BTreeSet<EnvironmentId> =
            environments.iter().map(|id| id.parse().unwrap()).collect();
        self.principal_in(role, Scope::Environments(ids))
    }

    fn principal_in(&self, role: Role, scope: Scope) -> Client {
        self.bearer(&self.token(role, scope, None))
    }

    /// A new token.
    pub fn token(&self, role: Role, scope: Scope, expires_at: Option<Timestamp>) -> String {
        let name = TokenName::parse(&format!("test {role}")).unwrap();
        let new = HostToken { name, role, scope, expires_at };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_, token) = runtime.block_on(self.state.access.create_host_token(new)).unwrap();
        token.expose().to_owned()
    }

    /// The id of an environment.
    pub fn environment_id(&self, name: &str) -> String {
        let reply = self.admin().get(&format!("/api/environments/{name}"));
        reply.expect(200)["environment"]["id"].as_str().unwrap().to_owned()
    }

    fn shut_down(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            if !std::thread::panicking() {
                outcome.unwrap().unwrap();
                log_ear::nothing_unexpected();
            }
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// What the audit log of a stopped server says, oldest row first, after its
/// chain was verified from the first kept row to the head.
pub fn audit_rows(dir: &Path) -> Vec<coffer::audit::Row> {
    use coffer::store::{AuditRows, View};

    let opened = open_stopped(&data_dir(dir));
    let root_key = std::fs::read_to_string(data_dir(dir).join("root.key")).unwrap();
    let root_key = coffer::vault::RootKey::parse(&root_key).unwrap();
    let verified = coffer::vault::verify_audit(&opened, &root_key).unwrap();
    let rows = opened.scan::<AuditRows>(&[], None);
    let rows: Vec<_> = rows.map(|row| row.unwrap().1.row().unwrap()).collect();
    assert_eq!(verified.broken, None);
    assert_eq!(rows.len() as u64, verified.rows);
    assert!(rows.iter().zip(verified.first_seq..).all(|(row, seq)| row.seq == seq));
    rows
}

/// That every row of a stopped server's database fits the others.
#[track_caller]
pub fn rows_fit(data_dir: &Path) {
    let findings = coffer::store::check(&open_stopped(data_dir)).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The database of a stopped server.
pub fn open_stopped(data_dir: &Path) -> coffer::store::Opened {
    await_release(data_dir);
    coffer::store::Opened::open(data_dir, coffer::store::Options::default()).unwrap()
}

/// Says why a test cannot run here. Where everything must run, as on the
/// machine that decides whether a change lands, that is a failure.
pub fn skip(reason: impl std::fmt::Display) {
    use std::io::Write;

    let reason = reason.to_string();
    let without = std::env::var("COFFER_TESTS_WITHOUT").unwrap_or_default();
    // `.ci/run` has looked: the kernel does not offer it, and no package can bring it.
    if without.split(' ').any(|one| !one.is_empty() && reason.to_lowercase().contains(one)) {
        let _ = writeln!(std::io::stderr(), "without{without}, not run: {reason}");
        return;
    }
    assert!(std::env::var_os("COFFER_TESTS_MUST_RUN").is_none(), "cannot run: {reason}");
    // Not eprintln!: that is captured, and a skip must be seen.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Returns when nothing in this process holds the database any more. sled's own
/// threads, and actix's, may keep it and its locks a moment longer than the
/// handle that was dropped; opening it again in that moment fails.
///
/// It lets go of the locks itself instead of closing them: a child that another
/// test starts at this moment has a copy of every open file until it becomes its
/// program, and would keep them locked for so long.
pub fn await_release(data_dir: &Path) {
    for held in ["lock", "db/db"] {
        if let Ok(file) = std::fs::File::open(data_dir.join(held)) {
            file.lock().unwrap();
            file.unlock().unwrap();
        }
    }
}

/// The data directory below a [`TestApp`]'s directory.
pub fn data_dir(dir: &Path) -> std::path::PathBuf {
    dir.join("data")
}

/// From here on, log lines of WARN or ERROR that contain `text` are expected.
pub fn expect_log(text: &str) {
    log_ear::expect(text);
}

/// From here on, every line of the log is kept, of every library and from TRACE up.
pub fn keep_log() {
    log_ear::keep_all();
}

/// The lines since [`keep_log`].
pub fn kept_log() -> Vec<String> {
    log_ear::all()
}
