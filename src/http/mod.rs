//! HTTP: the route table, the path of a request to its handler, and the wire contract.
//!
//! Owns: everything that a client sees. This file assembles the app from its parts.
//! Must never: decide who may do what (it asks the vault for a permit), touch the store or a key,
//! or put any part of a request into an error message.
//! Called by: `server`, which builds the `State` and serves the app.
//!
//! The folders, each of which imports only those before it (`traffic` and `list_cache`, which
//! import none of them, come first):
//!
//! ```text
//! response   bodies and the mapping from errors to statuses
//! request    from bytes to a checked call
//! handlers   one function per route
//! routes     the table: path, method, permission, handler
//! openapi    the table as a document
//! ```

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
pub use request::state::{HttpSettings, State};
pub use request::target::TargetKind;
pub use routes::endpoint::{RouteAccess, RouteInfo};

use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, HttpServer, web};

use crate::access::Access;
use crate::delivery::Declared;
use crate::vault::Vault;

use handlers::public::ApiDescription;

/// How long a request line and its headers may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in progress may take to finish at a shutdown, in seconds.
const SHUTDOWN_SECONDS: u64 = 30;

impl State {
    /// Builds the state of a server.
    pub fn new(
        vault: Vault,
        access: Access,
        declared: Arc<Declared>,
        settings: HttpSettings,
    ) -> Self {
        Self::with_render(vault, access, declared, settings, handlers::replay::render)
    }
}

/// Lists every route of the API. Each GET also answers HEAD, which is not listed.
pub fn routes() -> Vec<RouteInfo> {
    routes::endpoints().into_iter().map(|endpoint| endpoint.info).collect()
}

/// Returns the OpenAPI document, which is rendered once.
fn document() -> &'static [u8] {
    static DOCUMENT: OnceLock<Vec<u8>> = OnceLock::new();
    DOCUMENT.get_or_init(|| openapi::document::render(&routes::endpoints()))
}

/// Returns the OpenAPI document as a page for people, which is rendered once.
fn docs_page() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| openapi::docs::render(document()))
}

/// Builds the app, which is the same in production and in tests.
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
        .app_data(ApiDescription { document, page: docs_page })
        .configure(|config| routes::endpoint::configure(config, routes::endpoints()))
        .configure(handlers::console::configure)
        .default_service(web::to(|request, payload| {
            request::anonymous::not_found(request, payload, handlers::console::not_found_page)
        }))
        .wrap(actix_web::middleware::from_fn(request::envelope::wrap))
}

/// Starts serving the app on a listener.
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
