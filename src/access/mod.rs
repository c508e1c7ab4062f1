//! Access: from a credential to a principal, and the accounts behind it.
//!
//! Owns: users and their passwords, sessions, service accounts and API tokens; authentication; the
//! limits on requests and on failed logins.
//! Must never: store or log a credential, keep one in memory, say why one was refused, or decide what
//! a principal may do (the vault's policy does).
//! Called by: `http` for every request; `server` at the first start; `cli` for the operator of a
//! stopped server.

mod authenticate;
mod bootstrap;
mod damaged_rows;
mod error;
mod failures;
mod hash;
mod last_used;
mod limits;
mod password;
mod permissions;
mod recover;
mod registration;
mod revocation;
mod scope;
mod service_accounts;
mod sessions;
mod state;
mod token;
mod tokens;
mod users;

pub use bootstrap::{FirstUser, NewTokenFile, bootstrap};
pub use error::Error;
pub use limits::{LimitExceeded, LimitKind, RateLimits, Rates};
pub use password::{Cost, NewPassword, Password};
pub use recover::recover_admin_token;
pub use registration::{Registrant, Registration};
pub use scope::NewScope;
pub use service_accounts::{NewServiceAccount, ServiceAccountPatch};
pub use sessions::{LoginClient, NewSession};
pub use state::{Access, AccessSettings};
pub use token::{BadToken, Token};
pub use tokens::{HostToken, NewToken, NewTokenOwner, TokenFilter};
pub use users::{CallerIdentity, NewUser, UserPatch};
