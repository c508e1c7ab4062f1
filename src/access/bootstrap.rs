//! The first credential of an empty database.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::audit::{Action, Draft};
use crate::domain::{EnvironmentName, Origin, Principal, Role, Scope, Timestamp, TokenId};
use crate::store::write_private;
use crate::vault::{self, FirstStart, Random, Unlocked};

use super::{NewToken, Token, TokenHasher, put_token};

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

/// Initialises an empty database: keys, environments and the first admin token
/// in one batch.
pub fn bootstrap(
    unlocked: &Unlocked,
    first_start: FirstStart,
    environments: Vec<EnvironmentName>,
    token: &Token,
    now: Timestamp,
) -> Result<(), vault::Error> {
    let id = TokenId::new(now, Random.bytes()?);
    let hash = TokenHasher::new(unlocked).hash(token);
    let new = NewToken {
        name: "bootstrap".to_owned(),
        role: Role::Admin,
        scope: Scope::All,
        expires_at: None,
    };
    let row = new.into_row(token, hash, now);
    let names: Vec<_> = environments.iter().map(EnvironmentName::as_str).collect();
    let draft = Draft::new(Action::ServerInitialize, &Principal::host(), &Origin::host(), now)
        .details(&json!({ "environments": names, "tokenId": id, "tokenPrefix": row.prefix }));
    let stored = unlocked.store.commit_blocking(move |tx| {
        first_start.write(tx, &environments, now)?;
        put_token(tx, id, &row);
        Ok(((), draft))
    });
    stored.map_err(vault::Error::from)
}
