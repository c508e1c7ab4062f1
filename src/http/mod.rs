//! HTTP: one route table, one pipeline, one error map.
//!
//! Owns: the wire contract. `routes` lists every route with what it needs;
//! `call` takes each request through the same steps in the same order; `error`
//! is the only place that knows which status an error has.
//! Must never: decide who may do what (it asks the vault for a permit), see the
//! store or a key, or put a piece of a request into an error message.
//! Called by: `cli`, with everything it needs.

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod list_cache;
mod openapi;
mod request;
mod response;
mod routes;
mod traffic;

pub use handlers::audit_logs::audit_line;
pub use routes::endpoint::{Access as RouteAccess, RouteInfo, TargetKind, routes};

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, HttpServer, web};
use tokio::sync::{Semaphore, watch};

use crate::access::{Access, RateLimits, Rates};
use crate::delivery::{Declared, DeliveryStatuses};
use crate::domain::{Network, Timestamp};
use crate::vault::Vault;

/// What the configuration says about requests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many a minute.
    pub rates: Rates,
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// Peers that are believed about who their client is.
    pub trusted_proxies: Vec<Network>,
    /// Whether the server makes backups by itself.
    pub backups_scheduled: bool,
}

/// Everything a request may use.
#[derive(Debug)]
pub struct State {
    /// The verbs.
    pub vault: Vault,
    /// Who is asking.
    pub access: Access,
    /// How many requests a minute.
    pub limits: RateLimits,
    /// Longest request body, in bytes.
    pub body_bytes: usize,
    /// Peers that are believed about who their client is.
    pub trusted_proxies: Vec<Network>,
    /// Who gets values.
    pub declared: Arc<Declared>,
    /// What became of the files that values are written into.
    pub receipts: DeliveryStatuses,
    /// Requests for bundles that may be under way, those that wait for a change
    /// included.
    bundles: Semaphore,
    stopping: Stopping,
    started_at: Timestamp,
    backups_scheduled: bool,
    traffic: traffic::Traffic,
    lists: list_cache::ListCache,
    under_way: request::idempotency::UnderWay,
}

impl State {
    /// Puts the parts together.
    pub fn new(vault: Vault, access: Access, declared: Arc<Declared>, settings: Settings) -> Self {
        let Settings { rates, body_bytes, trusted_proxies, backups_scheduled } = settings;
        let started_at = vault.now();
        let limits = RateLimits::new(rates);
        let lists = list_cache::ListCache::default();
        let under_way = request::idempotency::UnderWay::default();
        let stopping = Stopping::default();
        Self {
            vault,
            access,
            limits,
            body_bytes,
            trusted_proxies,
            declared,
            receipts: DeliveryStatuses::default(),
            bundles: Semaphore::new(MOST_BUNDLES),
            stopping,
            started_at,
            backups_scheduled,
            traffic: traffic::Traffic::default(),
            lists,
            under_way,
        }
    }

    /// From now on, no request waits for anything but its own work.
    pub fn stop_waiting(&self) {
        self.stopping.0.send_replace(true);
    }

    fn stopping(&self) -> Waiting {
        Waiting(self.stopping.0.subscribe())
    }
}

/// Whether the server is about to stop.
#[derive(Debug, Default)]
struct Stopping(watch::Sender<bool>);

struct Waiting(watch::Receiver<bool>);

impl Waiting {
    /// Resolves when the server is about to stop.
    async fn begun(&mut self) {
        // An error means that there is no server any more.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// So many requests for bundles may be under way.
const MOST_BUNDLES: usize = 500;
/// A request line and headers that take longer than this to arrive are not
/// waited for.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// What is under way at a shutdown gets this long to finish, in seconds.
const SHUTDOWN_SECONDS: u64 = 30;

/// The app: the same one for production and for tests.
pub fn app(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .configure(routes::endpoint::configure)
        .configure(handlers::console::configure)
        .default_service(web::to(handlers::public::not_found))
        .wrap(actix_web::middleware::from_fn(request::envelope::wrap))
}

/// Serves the app on a listener until it is stopped.
pub fn serve(listener: TcpListener, state: Arc<State>) -> std::io::Result<Server> {
    let state = web::Data::from(state);
    let server = HttpServer::new(move || app(state.clone()))
        .workers(std::thread::available_parallelism().map_or(2, usize::from))
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
