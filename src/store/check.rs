//! Whether the rows fit each other: each index entry leads to its row, each
//! row has its index entry, nothing is left over. Reads everything; for
//! diagnosis, not for requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::domain::{EnvironmentId, OwnerId};

use super::account_row::Used;
use super::keyspace::Table;
use super::row::{CountsRow, SecretPlace, VarPlace};
use super::tables::{
    AuditHead, AuditRows, AuditStart, Counts, Doomed, EnvironmentNames, Environments, Keys,
    LastUses, Rotation, SecretPlaces, Secrets, ServiceAccountNames, ServiceAccounts, ServiceKeys,
    SessionHashes, Sessions, TokenHashes, Tokens, UserEmails, UserSessions, Users, ValueChunks,
    VarChunks, VarPlaces, Vars, Versions,
};
use super::view::{ReadError, View};

/// Walks the whole database; one line for each thing that does not fit. Lines
/// name ids and keys, never values.
pub fn check(view: &impl View) -> Result<Vec<String>, ReadError> {
    let mut check = Check { view, findings: Vec::new(), counts: BTreeMap::new() };
    check.wrapping_keys()?;
    check.environments()?;
    check.secrets()?;
    check.versions()?;
    check.vars()?;
    check.tokens()?;
    check.owners()?;
    check.accounts()?;
    check.counts()?;
    check.audit()?;
    Ok(check.findings)
}

type Rows<T> = Vec<(<T as Table>::Key, <T as Table>::Row)>;

struct Check<'a, V> {
    view: &'a V,
    findings: Vec<String>,
    counts: BTreeMap<EnvironmentId, CountsRow>,
}

impl<V: View> Check<'_, V> {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(finding());
        }
    }

    /// The rows of a table; a damaged one is a finding.
    fn rows<T: Table>(&mut self) -> Result<Rows<T>, ReadError> {
        let mut rows = Vec::new();
        for found in self.view.scan::<T>(&[], None) {
            match found {
                Ok(row) => rows.push(row),
                Err(damaged @ ReadError::Damaged { .. }) => self.findings.push(damaged.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// The keys of a table; one that is none is a finding.
    fn keys<T: Table>(&mut self) -> Result<Vec<T::Key>, ReadError> {
        let mut keys = Vec::new();
        for found in self.view.keys::<T>(&[]) {
            match found {
                Ok(key) => keys.push(key),
                Err(damaged @ ReadError::Damaged { .. }) => self.findings.push(damaged.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// What an index entry says; one that is damaged, which is a finding of its
    /// own, says nothing.
    fn entry<T: Table>(&self, key: &T::Key) -> Result<Option<T::Row>, ReadError> {
        match self.view.get::<T>(key) {
            Err(ReadError::Damaged { .. }) => Ok(None),
            found => found,
        }
    }

    /// Whether a row is there and is so. One that is damaged, which is a finding
    /// of its own, may be.
    fn may_be<T: Table>(
        &self,
        key: &T::Key,
        so: impl FnOnce(T::Row) -> bool,
    ) -> Result<bool, ReadError> {
        match self.view.get::<T>(key) {
            Err(ReadError::Damaged { .. }) => Ok(true),
            found => Ok(found?.is_some_and(so)),
        }
    }

    /// A row outside every environment is a finding, unless its environment was
    /// deleted and is still being emptied.
    fn homeless(&mut self, id: &dyn Display, environment: EnvironmentId) -> Result<(), ReadError> {
        let doomed = self.view.has::<Doomed>(&environment)?;
        self.expect(doomed, || format!("{id} is in {environment}, which does not exist"));
        Ok(())
    }

    /// Whatever is wrapped must be wrapped under a key that there is.
    fn wrapping_keys(&mut self) -> Result<(), ReadError> {
        let keys: BTreeSet<_> = self.rows::<Keys>()?.into_iter().map(|(id, _)| id).collect();
        let mut wrapped = Vec::new();
        for (_, row) in self.rows::<ServiceKeys>()? {
            wrapped.push((row.audit.key, "the audit key".to_owned()));
            wrapped.push((row.token.key, "the token key".to_owned()));
        }
        for (_, row) in self.rows::<Rotation>()? {
            wrapped.push((row.to, "what a rotation wraps".to_owned()));
        }
        for ((id, version), row) in self.rows::<Versions>()? {
            // Nearly all are; the text is for those that are not.
            if !keys.contains(&row.data_key.key) {
                wrapped.push((row.data_key.key, format!("version {version} of {id}")));
            }
        }
        for (key, what) in wrapped {
            self.expect(keys.contains(&key), || {
                format!("{what} is wrapped under key {}, which does not exist", key.0)
            });
        }
        Ok(())
    }

    fn environments(&mut self) -> Result<(), ReadError> {
        for (id, row) in self.rows::<Environments>()? {
            let named = self.entry::<EnvironmentNames>(&row.name.folded())?;
            self.expect(named == Some(id), || format!("{id} is not found by its name"));
            self.counts.insert(id, CountsRow::default());
        }
        for (_, id) in self.rows::<EnvironmentNames>()? {
            let known = self.view.has::<Environments>(&id)?;
            self.expect(known, || format!("a name leads to {id}, which does not exist"));
        }
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), ReadError> {
        for ((environment, key), row) in self.rows::<Secrets>()? {
            let id = row.id;
            let place = SecretPlace { environment, key };
            let found = self.entry::<SecretPlaces>(&id)?;
            self.expect(found.as_ref() == Some(&place), || format!("{id} is not found by its id"));
            let has_version = self.view.has::<Versions>(&(id, row.version))?;
            self.expect(has_version, || format!("{id} has no version {}", row.version));
            match self.counts.get_mut(&environment) {
                Some(counts) => counts.secrets += 1,
                None => self.homeless(&id, environment)?,
            }
        }
        for (id, place) in self.rows::<SecretPlaces>()? {
            let row =
                self.may_be::<Secrets>(&(place.environment, place.key), |row| row.id == id)?;
            self.expect(row, || format!("{id} leads to no row"));
        }
        Ok(())
    }

    fn versions(&mut self) -> Result<(), ReadError> {
        for ((id, version), row) in self.rows::<Versions>()? {
            let owned = self.view.has::<SecretPlaces>(&id)?;
            self.expect(owned, || format!("version {version} of {id} is left over"));
            for chunk in 0..row.chunks {
                let there = self.view.has::<ValueChunks>(&(id, version, chunk))?;
                self.expect(there, || format!("version {version} of {id} lacks piece {chunk}"));
            }
        }
        for (id, version, chunk) in self.keys::<ValueChunks>()? {
            let owned = self.may_be::<Versions>(&(id, version), |row| chunk < row.chunks)?;
            self.expect(owned, || {
                format!("piece {chunk} of version {version} of {id} is left over")
            });
        }
        Ok(())
    }

    fn vars(&mut self) -> Result<(), ReadError> {
        for ((environment, key), row) in self.rows::<Vars>()? {
            let id = row.id;
            let place = VarPlace { environment, key };
            let found = self.entry::<VarPlaces>(&id)?;
            self.expect(found.as_ref() == Some(&place), || format!("{id} is not found by its id"));
            for chunk in 0..row.chunks {
                let there = self.view.has::<VarChunks>(&(id, row.version, chunk))?;
                self.expect(there, || format!("{id} lacks piece {chunk}"));
            }
            match self.counts.get_mut(&environment) {
                Some(counts) => counts.vars += 1,
                None => self.homeless(&id, environment)?,
            }
        }
        for (id, place) in self.rows::<VarPlaces>()? {
            let row = self.may_be::<Vars>(&(place.environment, place.key), |row| row.id == id)?;
            self.expect(row, || format!("{id} leads to no row"));
        }
        for (id, version, chunk) in self.keys::<VarChunks>()? {
            let owned = match self.entry::<VarPlaces>(&id)? {
                Some(VarPlace { environment, key }) => self
                    .may_be::<Vars>(&(environment, key), |row| {
                        version == row.version && chunk < row.chunks
                    })?,
                None => false,
            };
            self.expect(owned, || {
                format!("piece {chunk} of version {version} of {id} is left over")
            });
        }
        Ok(())
    }

    fn tokens(&mut self) -> Result<(), ReadError> {
        for (id, row) in self.rows::<Tokens>()? {
            let found = self.entry::<TokenHashes>(&row.hash)?;
            self.expect(found == Some(id), || format!("{id} is not found by its hash"));
        }
        for (_, id) in self.rows::<TokenHashes>()? {
            let there = self.view.has::<Tokens>(&id)?;
            self.expect(there, || format!("a hash leads to {id}, which does not exist"));
        }
        Ok(())
    }

    /// Whoever a token or session belongs to must be there.
    fn owners(&mut self) -> Result<(), ReadError> {
        for (id, row) in self.rows::<Tokens>()? {
            let there = match row.owner {
                OwnerId::Host => true,
                OwnerId::User(user) => self.view.has::<Users>(&user)?,
                OwnerId::ServiceAccount(account) => self.view.has::<ServiceAccounts>(&account)?,
            };
            self.expect(there, || format!("the owner of {id} does not exist"));
        }
        for (id, row) in self.rows::<Sessions>()? {
            let there = self.view.has::<Users>(&row.user)?;
            self.expect(there, || format!("the user of {id} does not exist"));
            let found = self.entry::<SessionHashes>(&row.hash)?;
            self.expect(found == Some(id), || format!("{id} is not found by its hash"));
            let listed = self.view.has::<UserSessions>(&(row.user, id))?;
            self.expect(listed, || format!("{id} is not among its user's sessions"));
        }
        for (_, id) in self.rows::<SessionHashes>()? {
            let there = self.view.has::<Sessions>(&id)?;
            self.expect(there, || format!("a hash leads to {id}, which does not exist"));
        }
        for ((user, id), ()) in self.rows::<UserSessions>()? {
            let there = self.may_be::<Sessions>(&id, |row| row.user == user)?;
            self.expect(there, || format!("{user} is said to have {id}"));
        }
        for (used, _) in self.rows::<LastUses>()? {
            let there = match used {
                Used::Token(id) => self.view.has::<Tokens>(&id)?,
                Used::Session(id) => self.view.has::<Sessions>(&id)?,
                Used::User(id) => self.view.has::<Users>(&id)?,
            };
            self.expect(there, || format!("the last use of {used:?} is left over"));
        }
        Ok(())
    }

    fn accounts(&mut self) -> Result<(), ReadError> {
        for (id, row) in self.rows::<Users>()? {
            let found = self.entry::<UserEmails>(&row.email.folded())?;
            self.expect(found == Some(id), || format!("{id} is not found by its address"));
        }
        for (_, id) in self.rows::<UserEmails>()? {
            let there = self.view.has::<Users>(&id)?;
            self.expect(there, || format!("an address leads to {id}, which does not exist"));
        }
        for (id, row) in self.rows::<ServiceAccounts>()? {
            let name = row.name.as_str().to_owned();
            let found = self.entry::<ServiceAccountNames>(&name)?;
            self.expect(found == Some(id), || format!("{id} is not found by its name"));
        }
        for (_, id) in self.rows::<ServiceAccountNames>()? {
            let there = self.view.has::<ServiceAccounts>(&id)?;
            self.expect(there, || format!("a name leads to {id}, which does not exist"));
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<(), ReadError> {
        let stored: BTreeMap<_, _> = self.rows::<Counts>()?.into_iter().collect();
        for (id, counted) in std::mem::take(&mut self.counts) {
            let stored = stored.get(&id).copied().unwrap_or_default();
            self.expect(stored == counted, || {
                format!("{id} is said to hold {stored:?} and holds {counted:?}")
            });
        }
        Ok(())
    }
    /// The log begins behind its marker and ends at its head. Whether the rows
    /// in between hold is for who has the key.
    fn audit(&mut self) -> Result<(), ReadError> {
        let before = self.rows::<AuditStart>()?.pop().map_or(0, |(_, row)| row.start().seq);
        let head = self.rows::<AuditHead>()?.pop().map_or(0, |(_, row)| row.head().seq);
        let rows = self.keys::<AuditRows>()?;
        let first = rows.first().copied().unwrap_or(before + 1);
        self.expect(first == before + 1, || {
            format!("the audit log begins at row {first}, and rows up to {before} were dropped")
        });
        let last = rows.last().copied().unwrap_or(0);
        self.expect(last == head, || {
            format!("the audit log ends at row {last}, and its head is {head}")
        });
        Ok(())
    }
}
