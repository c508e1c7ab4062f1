//! Checks that the rows are consistent with each other: each index entry points to its row, each
//! row has its index entry, nothing is left over.
//!
//! Owns: what consistent means.
//! Must never: change anything, or print a value. It reads every row, so it is for diagnosis and
//! not for requests.
//! Called by: `vault`'s doctor and the examination of backups.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::domain::{EnvironmentId, OwnerId};

use crate::store::rows::account_row::Used;
use crate::store::rows::keyspace::Table;
use crate::store::rows::row::{CountsRow, SecretPlace, VarPlace};
use crate::store::rows::tables::{
    AuditHead, AuditRows, AuditStart, Counts, EnvironmentNames, Environments, IdempotencyChunks,
    IdempotencyRecords, IdempotencyTimes, Keys, LastUses, PendingDeletions, Rotation, SecretPlaces,
    Secrets, ServiceAccountNames, ServiceAccounts, ServiceKeys, SessionHashes, Sessions,
    TokenHashes, Tokens, UserEmails, UserSessions, Users, ValueChunks, VarChunks, VarPlaces, Vars,
    Versions,
};
use crate::store::rows::view::{ReadError, View};

/// Checks the whole database and returns one line for each inconsistency. Lines name ids and keys,
/// never values.
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
    check.idempotency_records()?;
    check.counts()?;
    check.audit()?;
    Ok(check.findings)
}

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

    /// Visits each row of a table. A damaged one is a finding.
    fn each<T: Table>(
        &mut self,
        look: impl FnMut(&mut Self, T::Key, T::Row) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let damaged = self.each_readable::<T>(look)?;
        self.findings.extend(damaged.iter().map(ToString::to_string));
        Ok(())
    }

    /// Visits each row of a table and returns the damaged ones, for tables that are visited twice.
    fn each_readable<T: Table>(
        &mut self,
        mut look: impl FnMut(&mut Self, T::Key, T::Row) -> Result<(), ReadError>,
    ) -> Result<Vec<ReadError>, ReadError> {
        let (view, mut damaged) = (self.view, Vec::new());
        for found in view.scan::<T>(&[], None) {
            match found {
                Ok((key, row)) => look(self, key, row)?,
                Err(error @ ReadError::Damaged { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// Visits each key of a table. One that does not decode is a finding.
    fn each_key<T: Table>(
        &mut self,
        mut look: impl FnMut(&mut Self, T::Key) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let view = self.view;
        for found in view.keys::<T>(&[]) {
            match found {
                Ok(key) => look(self, key)?,
                Err(damaged @ ReadError::Damaged { .. }) => self.findings.push(damaged.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns an index entry; `None` if it is missing, or damaged, which is a finding of its own.
    fn entry<T: Table>(&self, key: &T::Key) -> Result<Option<T::Row>, ReadError> {
        match self.view.get::<T>(key) {
            Err(ReadError::Damaged { .. }) => Ok(None),
            found => found,
        }
    }

    /// Returns whether a row exists and satisfies `so`. A damaged row, which is a finding of its
    /// own, gets the benefit of the doubt.
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

    /// Reports a row whose environment does not exist, unless that was deleted and is still being
    /// emptied.
    fn check_pending_deletion(
        &mut self,
        id: &dyn Display,
        environment: EnvironmentId,
    ) -> Result<(), ReadError> {
        let pending = self.view.has::<PendingDeletions>(&environment)?;
        self.expect(pending, || format!("{id} is in {environment}, which does not exist"));
        Ok(())
    }

    /// Everything wrapped must be wrapped under an existing key.
    fn wrapping_keys(&mut self) -> Result<(), ReadError> {
        let mut keys = BTreeSet::new();
        self.each::<Keys>(|_, id, _| {
            keys.insert(id);
            Ok(())
        })?;
        let mut wrapped = Vec::new();
        self.each::<ServiceKeys>(|_, _, row| {
            wrapped.push((row.audit.key, "the audit key".to_owned()));
            wrapped.push((row.token.key, "the token key".to_owned()));
            Ok(())
        })?;
        self.each::<Rotation>(|_, _, row| {
            wrapped.push((row.to, "what a rotation wraps".to_owned()));
            Ok(())
        })?;
        let _reported = self.each_readable::<Versions>(|_, (id, version), row| {
            // Nearly all are, so the text is built only for the others.
            if !keys.contains(&row.data_key.key) {
                wrapped.push((row.data_key.key, format!("version {version} of {id}")));
            }
            Ok(())
        })?;
        for (key, what) in wrapped {
            self.expect(keys.contains(&key), || {
                format!("{what} is wrapped under key {}, which does not exist", key.0)
            });
        }
        Ok(())
    }

    fn environments(&mut self) -> Result<(), ReadError> {
        self.each::<PendingDeletions>(|_, _, ()| Ok(()))?;
        self.each::<Environments>(|check, id, row| {
            let named = check.entry::<EnvironmentNames>(&row.name.folded())?;
            check.expect(named == Some(id), || format!("{id} cannot be found by its name"));
            check.counts.insert(id, CountsRow::default());
            Ok(())
        })?;
        self.each::<EnvironmentNames>(|check, _, id| {
            let known = check.view.has::<Environments>(&id)?;
            check.expect(known, || format!("a name points to {id}, which does not exist"));
            Ok(())
        })?;
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), ReadError> {
        self.each::<Secrets>(|check, (environment, key), row| {
            let id = row.id;
            let place = SecretPlace { environment, key };
            let found = check.entry::<SecretPlaces>(&id)?;
            check.expect(found.as_ref() == Some(&place), || {
                format!("{id} cannot be found by its id")
            });
            let has_version = check.view.has::<Versions>(&(id, row.version))?;
            check.expect(has_version, || format!("{id} has no version {}", row.version));
            match check.counts.get_mut(&environment) {
                Some(counts) => counts.secrets += 1,
                None => check.check_pending_deletion(&id, environment)?,
            }
            Ok(())
        })?;
        self.each::<SecretPlaces>(|check, id, place| {
            let row =
                check.may_be::<Secrets>(&(place.environment, place.key), |row| row.id == id)?;
            check.expect(row, || format!("{id} points to no row"));
            Ok(())
        })?;
        Ok(())
    }

    fn versions(&mut self) -> Result<(), ReadError> {
        self.each::<Versions>(|check, (id, version), row| {
            let owned = check.view.has::<SecretPlaces>(&id)?;
            check.expect(owned, || format!("version {version} of {id} is left over"));
            for chunk in 0..row.chunks {
                let there = check.view.has::<ValueChunks>(&(id, version, chunk))?;
                check.expect(there, || {
                    format!("version {version} of {id} is missing chunk {chunk}")
                });
            }
            Ok(())
        })?;
        self.each_key::<ValueChunks>(|check, (id, version, chunk)| {
            let owned = check.may_be::<Versions>(&(id, version), |row| chunk < row.chunks)?;
            check.expect(owned, || {
                format!("chunk {chunk} of version {version} of {id} is left over")
            });
            Ok(())
        })?;
        Ok(())
    }

    fn vars(&mut self) -> Result<(), ReadError> {
        self.each::<Vars>(|check, (environment, key), row| {
            let id = row.id;
            let place = VarPlace { environment, key };
            let found = check.entry::<VarPlaces>(&id)?;
            check.expect(found.as_ref() == Some(&place), || {
                format!("{id} cannot be found by its id")
            });
            for chunk in 0..row.chunks {
                let there = check.view.has::<VarChunks>(&(id, row.version, chunk))?;
                check.expect(there, || format!("{id} is missing chunk {chunk}"));
            }
            match check.counts.get_mut(&environment) {
                Some(counts) => counts.vars += 1,
                None => check.check_pending_deletion(&id, environment)?,
            }
            Ok(())
        })?;
        self.each::<VarPlaces>(|check, id, place| {
            let row = check.may_be::<Vars>(&(place.environment, place.key), |row| row.id == id)?;
            check.expect(row, || format!("{id} points to no row"));
            Ok(())
        })?;
        self.each_key::<VarChunks>(|check, (id, version, chunk)| {
            let owned = match check.entry::<VarPlaces>(&id)? {
                Some(VarPlace { environment, key }) => check
                    .may_be::<Vars>(&(environment, key), |row| {
                        version == row.version && chunk < row.chunks
                    })?,
                None => false,
            };
            check.expect(owned, || {
                format!("chunk {chunk} of version {version} of {id} is left over")
            });
            Ok(())
        })?;
        Ok(())
    }

    fn tokens(&mut self) -> Result<(), ReadError> {
        self.each::<Tokens>(|check, id, row| {
            let found = check.entry::<TokenHashes>(&row.hash)?;
            check.expect(found == Some(id), || format!("{id} cannot be found by its hash"));
            Ok(())
        })?;
        self.each::<TokenHashes>(|check, _, id| {
            let there = check.view.has::<Tokens>(&id)?;
            check.expect(there, || format!("a hash points to {id}, which does not exist"));
            Ok(())
        })?;
        Ok(())
    }

    /// The owner of every token and session must exist.
    fn owners(&mut self) -> Result<(), ReadError> {
        let _reported = self.each_readable::<Tokens>(|check, id, row| {
            let there = match row.owner {
                OwnerId::Host => true,
                OwnerId::User(user) => check.view.has::<Users>(&user)?,
                OwnerId::ServiceAccount(account) => check.view.has::<ServiceAccounts>(&account)?,
            };
            check.expect(there, || format!("the owner of {id} does not exist"));
            Ok(())
        })?;
        self.each::<Sessions>(|check, id, row| {
            let there = check.view.has::<Users>(&row.user)?;
            check.expect(there, || format!("the user of {id} does not exist"));
            let found = check.entry::<SessionHashes>(&row.hash)?;
            check.expect(found == Some(id), || format!("{id} cannot be found by its hash"));
            let listed = check.view.has::<UserSessions>(&(row.user, id))?;
            check.expect(listed, || format!("{id} is missing from its user's sessions"));
            Ok(())
        })?;
        self.each::<SessionHashes>(|check, _, id| {
            let there = check.view.has::<Sessions>(&id)?;
            check.expect(there, || format!("a hash points to {id}, which does not exist"));
            Ok(())
        })?;
        self.each::<UserSessions>(|check, (user, id), ()| {
            let there = check.may_be::<Sessions>(&id, |row| row.user == user)?;
            check.expect(there, || {
                format!("{user} is listed with {id}, which is not a session of theirs")
            });
            Ok(())
        })?;
        self.each::<LastUses>(|check, used, _| {
            let there = match used {
                Used::Token(id) => check.view.has::<Tokens>(&id)?,
                Used::Session(id) => check.view.has::<Sessions>(&id)?,
                Used::User(id) => check.view.has::<Users>(&id)?,
            };
            check.expect(there, || format!("the last use of {used:?} is left over"));
            Ok(())
        })?;
        Ok(())
    }

    fn accounts(&mut self) -> Result<(), ReadError> {
        self.each::<Users>(|check, id, row| {
            let found = check.entry::<UserEmails>(&row.email.folded())?;
            check.expect(found == Some(id), || {
                format!("{id} cannot be found by its e-mail address")
            });
            Ok(())
        })?;
        self.each::<UserEmails>(|check, _, id| {
            let there = check.view.has::<Users>(&id)?;
            check.expect(there, || {
                format!("an e-mail address points to {id}, which does not exist")
            });
            Ok(())
        })?;
        self.each::<ServiceAccounts>(|check, id, row| {
            let name = row.name.as_str().to_owned();
            let found = check.entry::<ServiceAccountNames>(&name)?;
            check.expect(found == Some(id), || format!("{id} cannot be found by its name"));
            Ok(())
        })?;
        self.each::<ServiceAccountNames>(|check, _, id| {
            let there = check.view.has::<ServiceAccounts>(&id)?;
            check.expect(there, || format!("a name points to {id}, which does not exist"));
            Ok(())
        })?;
        Ok(())
    }

    /// Every idempotency record must have all chunks of its answer and be listed by its time.
    fn idempotency_records(&mut self) -> Result<(), ReadError> {
        self.each::<IdempotencyRecords>(|check, key, row| {
            for chunk in 0..row.chunks {
                let there = check.view.has::<IdempotencyChunks>(&(key, chunk))?;
                check.expect(there, || format!("{} is missing chunk {chunk}", record_name(key)));
            }
            let timed = check.view.has::<IdempotencyTimes>(&(row.at, key))?;
            check.expect(timed, || format!("{} cannot be found by its time", record_name(key)));
            Ok(())
        })?;
        self.each::<IdempotencyChunks>(|check, (key, chunk), _| {
            let owned = check.may_be::<IdempotencyRecords>(&key, |row| chunk < row.chunks)?;
            check.expect(owned, || format!("chunk {chunk} of {} is left over", record_name(key)));
            Ok(())
        })?;
        self.each::<IdempotencyTimes>(|check, (at, key), ()| {
            let there = check.may_be::<IdempotencyRecords>(&key, |row| row.at == at)?;
            check.expect(there, || {
                format!("a time points to {}, which is not of that time", record_name(key))
            });
            Ok(())
        })?;
        Ok(())
    }

    fn counts(&mut self) -> Result<(), ReadError> {
        let mut stored = BTreeMap::new();
        self.each::<Counts>(|_, id, counts| {
            stored.insert(id, counts);
            Ok(())
        })?;
        for (id, counted) in std::mem::take(&mut self.counts) {
            let stored = stored.get(&id).copied().unwrap_or_default();
            self.expect(stored == counted, || {
                format!(
                    "{id} is recorded as holding {} secrets and {} vars, but holds {} and {}",
                    stored.secrets, stored.vars, counted.secrets, counted.vars
                )
            });
        }
        Ok(())
    }

    /// The log must begin after its start marker and end at its head. Whether the rows in between
    /// are authentic takes the audit key to tell.
    fn audit(&mut self) -> Result<(), ReadError> {
        let (mut before, mut head) = (0, 0);
        self.each::<AuditStart>(|_, (), row| {
            before = row.start().seq;
            Ok(())
        })?;
        self.each::<AuditHead>(|_, (), row| {
            head = row.head().seq;
            Ok(())
        })?;
        let (mut first, mut last) = (None, 0);
        self.each_key::<AuditRows>(|_, seq| {
            first.get_or_insert(seq);
            last = seq;
            Ok(())
        })?;
        let first = first.unwrap_or(before + 1);
        self.expect(first == before + 1, || {
            format!(
                "the audit log begins at row {first}, but only rows up to {before} were dropped"
            )
        });
        self.expect(last == head, || {
            format!("the audit log ends at row {last}, but its head is row {head}")
        });
        Ok(())
    }
}

/// Describes an idempotency record by the first bytes of its key, which is a keyed hash.
pub(super) fn record_name(key: [u8; 32]) -> String {
    let [a, b, c, d, ..] = key;
    format!("idempotency record {:08x}", u32::from_be_bytes([a, b, c, d]))
}
