//! Values that parse: names, ids, roles, scopes, times.
//!
//! Owns: the vocabulary every other room speaks. A value of one of these types
//! has passed its rule; there is no second place that checks it.
//! Must never: touch a disk, a socket, a clock or a random source (time and
//! randomness come in as arguments), or hold a secret's value.
//! Called by: everybody. Imports: no other room.

mod account;
mod conflict;
mod environment;
mod finding;
mod hex;
mod id;
mod name;
mod network;
mod origin;
mod principal;
mod secret;
mod time;
mod workload;

pub use account::{OwnerId, ServiceAccountInfo, SessionInfo, TokenInfo, UserInfo};
pub use conflict::OnConflict;
pub use environment::{EnvironmentInfo, Settings};
pub use finding::{Finding, Severity};
pub use hex::{decode_hex, encode_hex};
pub use id::{
    EnvironmentId, Id, Kind, SecretId, SecretKind, ServiceAccountId, SessionId, TokenId, UserId,
    VarId, VarKind,
};
pub use name::{
    Description, DisplayName, Email, EnvironmentName, KeyName, PersonName, ServiceAccountName,
    TokenName, Violation, folded_email,
};
pub use network::{Network, reachable};
pub use origin::{Origin, RequestId};
pub use principal::{Credential, Owner, Principal, PrincipalKey, Role, Scope, UserLabel};
pub use secret::{RevealMode, SecretInfo, VarInfo, Version, VersionInfo};
pub use time::{Clock, SystemClock, Timestamp};
pub use workload::{KeyPattern, WorkloadName};
