//! The first credential of an empty database.
//!
//! Owns: the bootstrap token, its file, and the batch that initializes a database.
//! Must never: leave a database whose first token nobody has.
//! Called by: `server`, at the first start.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::access::error::Error;
use crate::access::hash::Hasher;
use crate::access::password::{Cost, NewPassword, Passwords};
use crate::access::token::Token;
use crate::access::tokens::{HostToken, put_token};
use crate::access::users::put_first_admin;
use crate::audit::{Action, Draft};
use crate::domain::{
    Email, EnvironmentName, Origin, PersonName, Principal, Role, Scope, Timestamp, TokenId,
    TokenName, UserId,
};
use crate::store::write_private;
use crate::vault::{FirstStart, Random, Unlocked};

/// The file in the data directory with the first admin token.
#[derive(Debug)]
pub struct NewTokenFile(PathBuf);

impl NewTokenFile {
    /// The name of the file.
    pub const NAME: &'static str = "bootstrap-token";

    /// Writes the token durably, with mode 0600. Must come before the database stores the token's
    /// hash: a crash in between leaves a file with a meaningless token, and the next start writes a
    /// new one. In the other order, nobody would ever have the token.
    pub fn write(data_dir: &Path, token: &Token) -> io::Result<Self> {
        let path = data_dir.join(Self::NAME);
        write_private(&path, token.expose())?;
        Ok(Self(path))
    }

    /// Removes the file if it exists.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(data_dir.join(Self::NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The first user, from the operator's settings.
#[allow(missing_debug_implementations)]
pub struct FirstUser {
    /// The email address used to log in.
    pub email: Email,
    /// The password.
    pub password: NewPassword,
}

/// Initializes an empty database in one batch: keys, environments, the first admin token and, if
/// given, the first user.
pub fn bootstrap(
    unlocked: &Unlocked,
    first_start: FirstStart,
    environments: Vec<EnvironmentName>,
    token: &Token,
    (user, cost): (Option<FirstUser>, Cost),
    now: Timestamp,
) -> Result<(), Error> {
    let id = TokenId::new(now, Random.bytes()?);
    let hasher = Hasher::new(unlocked);
    let new = HostToken {
        name: TokenName::parse("bootstrap").expect("the name follows the rule"),
        role: Role::Admin,
        scope: Scope::All,
        expires_at: None,
    };
    let row = new.into_row(token, hasher.token(token), now);
    let user = match user {
        None => None,
        Some(FirstUser { email, password }) => {
            let password = Passwords::new(hasher.pepper(), cost).hash_blocking(&password)?;
            Some((UserId::new(now, Random.bytes()?), email, password))
        }
    };
    let names: Vec<_> = environments.iter().map(EnvironmentName::as_str).collect();
    let draft = Draft::new(Action::ServerInitialize, &Principal::host(), &Origin::host(), now)
        .details(&json!({
            "environments": names,
            "tokenId": id,
            "tokenPrefix": row.prefix,
            "userId": user.as_ref().map(|(id, ..)| *id),
        }));
    let stored = unlocked
        .store
        .change(move |tx| {
            first_start.write(tx, &environments, now)?;
            put_token(tx, id, &row);
            if let Some((id, email, password)) = user {
                put_first_admin(tx, id, (email, PersonName::default()), password, now)?;
            }
            Ok::<_, Error>(((), draft))
        })
        .commit_blocking();
    stored.map_err(Error::from)
}
