//! The first credential of an empty database.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::audit::{Action, Draft};
use crate::domain::{
    Email, EnvironmentName, Origin, PersonName, Principal, Role, Scope, Timestamp, TokenId,
    TokenName, UserId,
};
use crate::store::write_private;
use crate::vault::{FirstStart, Random, Unlocked};

use crate::access::error::Error;
use crate::access::hash::Hasher;
use crate::access::password::{Cost, NewPassword, Passwords};
use crate::access::token::Token;
use crate::access::tokens::HostToken;
use crate::access::tokens::put_token;
use crate::access::users::put_first_admin;

/// The file in the data directory that holds the first admin token.
#[derive(Debug)]
pub struct NewTokenFile(PathBuf);

impl NewTokenFile {
    /// Its name.
    pub const NAME: &'static str = "bootstrap-token";

    /// Writes the token, mode 0600, durable. This comes before the database
    /// learns the token's hash: a crash in between leaves a file with a token
    /// that means nothing, and the next start writes another. The other way
    /// round, nobody would ever have the token.
    pub fn write(data_dir: &Path, token: &Token) -> io::Result<Self> {
        let path = data_dir.join(Self::NAME);
        write_private(&path, token.expose())?;
        Ok(Self(path))
    }

    /// Removes it; it need not be there.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(data_dir.join(Self::NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// A first user that the operator gives.
#[allow(missing_debug_implementations)]
pub struct FirstUser {
    /// What it logs in with.
    pub email: Email,
    /// Its password.
    pub password: NewPassword,
}

/// Initialises an empty database: keys, environments, the first admin token
/// and the first user, if there is one, in one batch.
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
        name: TokenName::parse("bootstrap").expect("the name keeps the rule"),
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
