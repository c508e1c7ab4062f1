//! Values that have passed their rule: names, ids, roles, scopes, times.
//!
//! Owns: the vocabulary of every other folder. A value of one of these types has been checked; no
//! other code checks it again. Also two conventions that everything shares: how bytes are shown as
//! hex, and what happens when a lock is poisoned.
//! Must never: touch a disk, a socket, a clock or a random source (time and randomness are
//! arguments), or hold a secret's value.
//! Called by: everything. Imports no other folder.

mod account;
mod conflict;
mod environment;
mod finding;
mod hex;
mod id;
mod lock;
mod name;
mod network;
mod origin;
mod principal;
mod secret;
mod time;
mod workload;

pub use account::{OwnerId, ServiceAccountInfo, SessionInfo, TokenInfo, UserInfo};
pub use conflict::OnConflict;
pub use environment::{EnvironmentInfo, EnvironmentSettings};
pub use finding::{Finding, Severity};
pub use hex::{decode_hex, encode_hex};
pub use id::{
    EnvironmentId, Id, IdKind, SecretId, SecretKind, ServiceAccountId, SessionId, TokenId, UserId,
    VarId, VarKind,
};
pub use lock::{lock, read_lock, write_lock};
pub use name::{
    Description, DisplayName, Email, EnvironmentName, KeyName, PersonName, ServiceAccountName,
    TokenName, Violation, WorkloadName, folded_email,
};
pub use network::{Network, reachable};
pub use origin::{Origin, RequestId};
pub use principal::{Credential, Owner, Principal, PrincipalKey, Role, Scope, UserLabel};
pub use secret::{RevealMode, SecretInfo, VarInfo, Version, VersionInfo};
pub use time::{Clock, SystemClock, Timestamp};
pub use workload::KeyPattern;
