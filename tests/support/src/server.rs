//! A coffer server inside the test process: the app that production builds, on a free port, with
//! its own database. Stopping it fails the test if the server logged a warning or an error that the
//! test did not announce.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use coffer::access::HostToken;
use coffer::config::{Config, Variables};
use coffer::domain::{Clock, EnvironmentId, EnvironmentName, Role, Scope, Timestamp, TokenName};
use coffer::http::State;
use coffer::server::ServeError;
use coffer::server::serve::{self, ServeOptions};
use tempfile::TempDir;

use crate::stopped::owner_only;
use crate::{Client, await_release, data_dir, log_capture};

/// A clock that moves only when the test moves it.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Moves the clock forward (or back).
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The server's settings for a test.
pub struct Setup {
    pub config: Config,
    pub variables: Vec<(String, String)>,
    pub parts: ServeOptions,
    pub clock: Option<Arc<TestClock>>,
}

impl Default for Setup {
    /// The production settings, but without rate limits: tests send many requests, all from one
    /// address.
    fn default() -> Self {
        let mut config = Config::default();
        config.rate_limit.authenticated_per_minute = 0;
        config.rate_limit.anonymous_per_minute = 0;
        let (variables, parts, clock) = (Vec::new(), ServeOptions::default(), None);
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

    /// The initial environments, in place of `development`.
    pub fn environments(mut self, names: &[&str]) -> Self {
        let parse = |name: &&str| EnvironmentName::parse(name).unwrap();
        self.config.bootstrap.environments = names.iter().map(parse).collect();
        self
    }
}

/// A running server. Dropping it stops it.
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
    /// Starts a server on an empty directory, with the environment `development`.
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub fn start_with(setup: Setup) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setup)
    }

    /// Starts a server on the directory that [`TestApp::stop`] returned.
    pub fn start_in(dir: TempDir, setup: Setup) -> Self {
        log_capture::listen();
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

    /// Stops cleanly and returns the directory, which can then be examined or started again.
    pub fn stop(mut self) -> TempDir {
        self.shut_down();
        let dir = self.dir.take().unwrap();
        drop(self);
        await_release(&data_dir(dir.path()));
        // The real binary would have left these modes.
        owner_only(&data_dir(dir.path()).join("db"));
        dir
    }

    /// The data directory.
    pub fn data_dir(&self) -> std::path::PathBuf {
        data_dir(self.dir.as_ref().unwrap().path())
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address, None)
    }

    /// A client with this token.
    pub fn bearer(&self, token: &str) -> Client {
        Client::new(self.address, Some(token.to_owned()))
    }

    /// A client of the first admin.
    pub fn admin(&self) -> Client {
        self.bearer(&self.admin_token)
    }

    /// The first admin's token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Creates a principal with this role everywhere.
    pub fn principal(&self, role: Role) -> Client {
        self.principal_in(role, Scope::All)
    }

    /// Creates a principal with this role in these environments (ids).
    pub fn scoped(&self, role: Role, environments: &[&str]) -> Client {
        let ids: BTreeSet<EnvironmentId> =
            environments.iter().map(|id| id.parse().unwrap()).collect();
        self.principal_in(role, Scope::Environments(ids))
    }

    fn principal_in(&self, role: Role, scope: Scope) -> Client {
        self.bearer(&self.token(role, scope, None))
    }

    /// Creates a token.
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
                log_capture::nothing_unexpected();
            }
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shut_down();
    }
}
