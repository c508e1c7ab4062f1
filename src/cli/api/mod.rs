//! The client side of the API.
//!
//! Owns: the blocking HTTP client, how the server and the token are chosen, the login file, and
//! what a failed request is reported as.
//! Must never: send the token anywhere but in the Authorization header, or to any server other
//! than the chosen one; log it.
//! Called by: `arguments` and `commands`.

mod arguments;
mod bundle;
mod client;
mod destination;
mod error;
mod login_file;
mod response;
mod retry;
mod server_url;

pub(super) use arguments::{ClientArguments, ServerArguments};
pub(super) use bundle::{BundleFetchError, FetchedBundle};
pub(super) use client::ApiClient;
pub(super) use error::{ClientError, ClientErrorKind, unexpected_response};
pub(super) use login_file::{Login, LoginFile};
pub(super) use response::{ApiResponse, path_id};
