//! Repairs rows that can be derived from others.
//!
//! ```text
//! derived from             rows
//! Environments             EnvironmentNames, Counts
//! Secrets, Vars            SecretPlaces, VarPlaces, Counts
//! Tokens, Sessions         TokenHashes, SessionHashes, UserSessions, LastUses
//! Users, ServiceAccounts   UserEmails, ServiceAccountNames, LastUses
//! IdempotencyRecords       IdempotencyTimes
//! orphaned                 Versions, ValueChunks, VarChunks, IdempotencyChunks   (not at a start)
//! damaged                  IdempotencyRecords                                    (not at a start)
//! ```
//!
//! Owns: which rows can be derived from others, and restoring them.
//! Must never: touch a row of the audit log, or a row whose content exists nowhere else:
//! environments, secrets, vars, accounts, tokens, data keys, values. An index entry is removed only
//! if nothing is left that it could point to, and an orphan only if no row that could own it is
//! damaged. Damaged rows are removed only if they are times of last use, or idempotency records: a
//! record lives for a day, and all that it could do until then is to reject the request that it
//! belongs to.
//! Called by: `vault`'s maintenance, inside a change.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};

use crate::domain::{EnvironmentId, SecretId, VarId, Version};

use crate::store::check::record_name;
use crate::store::rows::account_row::Used;
use crate::store::rows::keyspace::{Table, full_key};
use crate::store::rows::row::{CountsRow, SecretPlace, VarPlace};
use crate::store::rows::tables::{
    Counts, EnvironmentNames, Environments, IdempotencyChunks, IdempotencyRecords,
    IdempotencyTimes, LastUses, SecretPlaces, Secrets, ServiceAccountNames, ServiceAccounts,
    SessionHashes, Sessions, TokenHashes, Tokens, UserEmails, UserSessions, Users, ValueChunks,
    VarChunks, VarPlaces, Vars, Versions,
};
use crate::store::rows::view::{ReadError, View, encode_row};
use crate::store::writer::transaction::Tx;

/// How much a repair may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairDepth {
    /// Restores what can be derived from other rows. Safe without a copy of the database.
    Index,
    /// Also removes what belongs to nothing.
    Leftovers,
}

/// The most repairs in one change, which is held in memory more than once.
const MAX_LINES: usize = 10_000;

/// What was repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// One line for each repair. Lines name ids, never values.
    pub lines: Vec<String>,
    /// The number of repairs of each kind.
    pub counts: BTreeMap<&'static str, u32>,
}

impl RepairReport {
    /// Returns whether more repairs may be needed, in another change.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= MAX_LINES
    }

    /// Adds the repairs of another change.
    pub fn add(&mut self, more: Self) {
        self.lines.extend(more.lines);
        for (kind, count) in more.counts {
            *self.counts.entry(kind).or_default() += count;
        }
    }
}

/// Repairs what can be repaired, in the given change. To be called again, in another change, while
/// the report [is full](RepairReport::is_full).
pub fn repair(tx: &mut Tx<'_>, depth: RepairDepth) -> Result<RepairReport, ReadError> {
    let mut repair = Repair { tx, depth, done: RepairReport::default() };
    repair.environments()?;
    repair.secrets()?;
    repair.vars()?;
    repair.accounts()?;
    repair.tokens()?;
    repair.sessions()?;
    repair.last_uses()?;
    if depth == RepairDepth::Leftovers {
        repair.damaged_idempotency_records()?;
    }
    repair.idempotency_records()?;
    if depth == RepairDepth::Leftovers {
        repair.versions()?;
        repair.value_chunks()?;
        repair.var_chunks()?;
        repair.idempotency_chunks()?;
    }
    Ok(repair.done)
}

/// The entries that an index should have and lacks. Of those that it has, only a hash is kept: a
/// start runs this on databases of any size.
struct ExpectedEntries<I: Table> {
    claimed: HashSet<u64>,
    /// Entries that two rows claim. Which row is right cannot be decided here.
    contested: HashSet<u64>,
    missing: BTreeMap<Vec<u8>, MissingEntry<I>>,
    hash: RandomState,
}

struct MissingEntry<I: Table> {
    row: I::Row,
    /// Whether another row is stored under the entry's key.
    stored: bool,
    whose: String,
}

impl<I: Table> ExpectedEntries<I> {
    fn new() -> Self {
        Self {
            claimed: HashSet::new(),
            contested: HashSet::new(),
            missing: BTreeMap::new(),
            hash: RandomState::new(),
        }
    }

    fn add(
        &mut self,
        tx: &Tx<'_>,
        key: &I::Key,
        row: I::Row,
        whose: &dyn Display,
    ) -> Result<(), ReadError> {
        let key = full_key::<I>(key);
        let hash = self.hash.hash_one(&key);
        if !self.claimed.insert(hash) {
            self.contested.insert(hash);
            return Ok(());
        }
        let stored = tx.get_bytes(&key)?;
        if stored.as_deref() != Some(&encode_row::<I>(&row)) {
            let stored = stored.is_some();
            self.missing.insert(key, MissingEntry { row, stored, whose: whose.to_string() });
        }
        Ok(())
    }

    fn has(&self, key: &I::Key) -> bool {
        self.claimed.contains(&self.hash.hash_one(full_key::<I>(key)))
    }
}

struct Repair<'t, 'a> {
    tx: &'t mut Tx<'a>,
    depth: RepairDepth,
    done: RepairReport,
}

impl Repair<'_, '_> {
    /// Visits each readable row of a table and returns whether any row is damaged.
    fn each<T: Table>(
        &self,
        mut look: impl FnMut(&Tx<'_>, T::Key, T::Row) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        let mut damaged = false;
        for found in self.tx.scan::<T>(&[], None) {
            match found {
                Ok((key, row)) => look(self.tx, key, row)?,
                Err(ReadError::Damaged { .. }) => damaged = true,
                Err(error) => return Err(error),
            }
        }
        Ok(damaged)
    }

    /// Returns the keys of a table for which `wanted` is false, skipping those that do not decode.
    fn keys<T: Table>(
        &self,
        wanted: impl Fn(&T::Key) -> Result<bool, ReadError>,
    ) -> Result<Vec<T::Key>, ReadError> {
        let mut keys = Vec::new();
        for key in self.tx.readable_keys::<T>(&[]) {
            let key = key?;
            if !wanted(&key)? {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn note(&mut self, kind: &'static str, line: String) {
        *self.done.counts.entry(kind).or_default() += 1;
        self.done.lines.push(line);
    }

    fn remove<T: Table>(&mut self, key: &T::Key, kind: &'static str, line: String) {
        if self.done.is_full() {
            return;
        }
        self.tx.remove::<T>(key);
        self.note(kind, line);
    }

    /// Writes entries that are missing or wrong, and removes those that no row claims, unless
    /// `kept` says that an entry may point to a row that is unreadable.
    fn index<I: Table>(
        &mut self,
        kind: &'static str,
        wanted: ExpectedEntries<I>,
        kept: impl Fn(&Tx<'_>, &I::Key) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        for (key, MissingEntry { row, stored, whose }) in &wanted.missing {
            if self.done.is_full() {
                return Ok(());
            }
            let Some(key) = I::decode(&key[1..]) else { continue };
            if wanted.contested.contains(&wanted.hash.hash_one(full_key::<I>(&key))) {
                continue;
            }
            self.tx.put::<I>(&key, row);
            let was = if *stored { "wrong" } else { "missing" };
            self.note(kind, format!("an index entry of {whose} was {was} and has been restored"));
        }
        let unwanted = self.keys::<I>(|key| Ok(wanted.has(key) || kept(self.tx, key)?))?;
        for key in unwanted {
            let table = char::from(I::PREFIX);
            self.remove::<I>(
                &key,
                kind,
                format!("an index entry ({table:?}) pointed to nothing; removed"),
            );
        }
        if self.depth == RepairDepth::Leftovers {
            self.remove_invalid_keys::<I>(kind)?;
        }
        Ok(())
    }

    /// Removes rows whose key does not decode, so that nothing can ever find them.
    fn remove_invalid_keys<I: Table>(&mut self, kind: &'static str) -> Result<(), ReadError> {
        let mut found = Vec::new();
        for row in self.tx.scan_bytes(&[I::PREFIX], None) {
            let (key, _) = row?;
            if I::decode(&key[1..]).is_none() {
                found.push(key);
            }
        }
        for key in found {
            if self.done.is_full() {
                break;
            }
            self.tx.remove_bytes(key);
            let table = char::from(I::PREFIX);
            self.note(kind, format!("a row of table {table:?} had an invalid key; removed"));
        }
        Ok(())
    }

    fn environments(&mut self) -> Result<(), ReadError> {
        let (mut wanted, mut ids) = (ExpectedEntries::<EnvironmentNames>::new(), Vec::new());
        let damaged = self.each::<Environments>(|tx, id, row| {
            ids.push(id);
            wanted.add(tx, &row.name.folded(), id, &id)
        })?;
        self.index("names", wanted, |_, _| Ok(damaged))?;
        self.counts(&ids)
    }

    fn counts(&mut self, environments: &[EnvironmentId]) -> Result<(), ReadError> {
        let mut counted: BTreeMap<EnvironmentId, CountsRow> = BTreeMap::new();
        let secrets = self.each::<Secrets>(|_, (environment, _), _| {
            counted.entry(environment).or_default().secrets += 1;
            Ok(())
        })?;
        let vars = self.each::<Vars>(|_, (environment, _), _| {
            counted.entry(environment).or_default().vars += 1;
            Ok(())
        })?;
        // Whether a damaged row counts depends on what becomes of it.
        if secrets || vars {
            return Ok(());
        }
        for id in environments {
            let counted = counted.get(id).copied().unwrap_or_default();
            let stored = match self.tx.get::<Counts>(id) {
                Err(ReadError::Damaged { .. }) => None,
                stored => Some(stored?.unwrap_or_default()),
            };
            if stored != Some(counted) && !self.done.is_full() {
                self.tx.put::<Counts>(id, &counted);
                let CountsRow { secrets, vars } = counted;
                let line = format!("{id} holds {secrets} secrets and {vars} vars; recounted");
                self.note("counts", line);
            }
        }
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), ReadError> {
        let mut wanted = ExpectedEntries::<SecretPlaces>::new();
        let damaged = self.each::<Secrets>(|tx, (environment, key), row| {
            wanted.add(tx, &row.id, SecretPlace { environment, key }, &row.id)
        })?;
        self.index("places", wanted, |tx, id| {
            // The entry is the only record of where these versions belong.
            Ok(damaged || tx.keys::<Versions>(&id.to_bytes()).next().is_some())
        })
    }

    fn vars(&mut self) -> Result<(), ReadError> {
        let mut wanted = ExpectedEntries::<VarPlaces>::new();
        let damaged = self.each::<Vars>(|tx, (environment, key), row| {
            wanted.add(tx, &row.id, VarPlace { environment, key }, &row.id)
        })?;
        self.index("places", wanted, |tx, id| {
            Ok(damaged || tx.keys::<VarChunks>(&id.to_bytes()).next().is_some())
        })
    }

    fn accounts(&mut self) -> Result<(), ReadError> {
        let mut wanted = ExpectedEntries::<UserEmails>::new();
        let damaged =
            self.each::<Users>(|tx, id, row| wanted.add(tx, &row.email.folded(), id, &id))?;
        self.index("names", wanted, |_, _| Ok(damaged))?;
        let mut wanted = ExpectedEntries::<ServiceAccountNames>::new();
        let damaged = self.each::<ServiceAccounts>(|tx, id, row| {
            wanted.add(tx, &row.name.as_str().to_owned(), id, &id)
        })?;
        self.index("names", wanted, |_, _| Ok(damaged))
    }

    fn tokens(&mut self) -> Result<(), ReadError> {
        let mut wanted = ExpectedEntries::<TokenHashes>::new();
        let damaged = self.each::<Tokens>(|tx, id, row| wanted.add(tx, &row.hash, id, &id))?;
        self.index("hashes", wanted, |_, _| Ok(damaged))
    }

    fn sessions(&mut self) -> Result<(), ReadError> {
        let mut hashes = ExpectedEntries::<SessionHashes>::new();
        let mut listed = ExpectedEntries::<UserSessions>::new();
        let damaged = self.each::<Sessions>(|tx, id, row| {
            hashes.add(tx, &row.hash, id, &id)?;
            listed.add(tx, &(row.user, id), (), &id)
        })?;
        self.index("hashes", hashes, |_, _| Ok(damaged))?;
        self.index("hashes", listed, |_, _| Ok(damaged))
    }

    fn last_uses(&mut self) -> Result<(), ReadError> {
        let unwanted = self.keys::<LastUses>(|used| {
            let there = match used {
                Used::Token(id) => self.tx.has::<Tokens>(id)?,
                Used::Session(id) => self.tx.has::<Sessions>(id)?,
                Used::User(id) => self.tx.has::<Users>(id)?,
            };
            let readable = !matches!(self.tx.get::<LastUses>(used), Err(ReadError::Damaged { .. }));
            Ok(there && readable)
        })?;
        for used in unwanted {
            let line = format!("the last use of {used:?} was left over or damaged; removed");
            self.remove::<LastUses>(&used, "lastUses", line);
        }
        Ok(())
    }

    /// Removes idempotency records that cannot be read or miss a chunk of their answer, since that
    /// answer cannot be given again.
    fn damaged_idempotency_records(&mut self) -> Result<(), ReadError> {
        let broken =
            self.keys::<IdempotencyRecords>(|key| match self.tx.get::<IdempotencyRecords>(key) {
                Ok(None) => Ok(true),
                Ok(Some(row)) => self.has_all_chunks(*key, row.chunks),
                Err(ReadError::Damaged { .. }) => Ok(false),
                Err(error) => Err(error),
            })?;
        for key in broken {
            let line = format!("{} was damaged; its request can be sent again", record_name(key));
            self.remove::<IdempotencyRecords>(&key, "receipts", line);
        }
        self.remove_invalid_keys::<IdempotencyRecords>("receipts")
    }

    fn has_all_chunks(&self, key: [u8; 32], chunks: u16) -> Result<bool, ReadError> {
        for chunk in 0..chunks {
            match self.tx.get::<IdempotencyChunks>(&(key, chunk)) {
                Ok(Some(_)) => {}
                Ok(None) | Err(ReadError::Damaged { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn idempotency_records(&mut self) -> Result<(), ReadError> {
        let mut wanted = ExpectedEntries::<IdempotencyTimes>::new();
        let damaged = self.each::<IdempotencyRecords>(|tx, key, row| {
            wanted.add(tx, &(row.at, key), (), &record_name(key))
        })?;
        // Expiry goes by these times, and damaged records must expire too.
        self.index("times", wanted, |_, _| Ok(damaged))
    }

    fn idempotency_chunks(&mut self) -> Result<(), ReadError> {
        let unowned =
            self.keys::<IdempotencyChunks>(|(whose, chunk)| {
                match self.tx.get::<IdempotencyRecords>(whose) {
                    Ok(row) => Ok(row.is_some_and(|row| *chunk < row.chunks)),
                    Err(ReadError::Damaged { .. }) => Ok(true),
                    Err(error) => Err(error),
                }
            })?;
        for key @ (whose, chunk) in unowned {
            let line = format!("chunk {chunk} of {} was left over; removed", record_name(whose));
            self.remove::<IdempotencyChunks>(&key, "pieces", line);
        }
        self.remove_invalid_keys::<IdempotencyChunks>("pieces")
    }

    /// Removes versions of secrets of which nothing else is left. Their environment and key are
    /// part of what they were sealed with, so nobody can open them.
    fn versions(&mut self) -> Result<(), ReadError> {
        let mut owners: BTreeSet<SecretId> = BTreeSet::new();
        let damaged = self.each::<Secrets>(|_, _, row| {
            owners.insert(row.id);
            Ok(())
        })?;
        if damaged {
            return Ok(());
        }
        for key in self.tx.readable_keys::<SecretPlaces>(&[]) {
            owners.insert(key?);
        }
        for key @ (id, version) in self.keys::<Versions>(|(id, _)| Ok(owners.contains(id)))? {
            let line = format!("version {version} of {id} belonged to no secret; removed");
            self.remove::<Versions>(&key, "versions", line);
        }
        Ok(())
    }

    /// Removes chunks whose version is gone, or that follow its last chunk.
    fn value_chunks(&mut self) -> Result<(), ReadError> {
        let unowned = self.keys::<ValueChunks>(|(id, version, chunk)| {
            match self.tx.get::<Versions>(&(*id, *version)) {
                Ok(row) => Ok(row.is_some_and(|row| *chunk < row.chunks)),
                Err(ReadError::Damaged { .. }) => Ok(true),
                Err(error) => Err(error),
            }
        })?;
        for key @ (id, version, chunk) in unowned {
            let line = format!("chunk {chunk} of version {version} of {id} was left over; removed");
            self.remove::<ValueChunks>(&key, "pieces", line);
        }
        Ok(())
    }

    /// Removes chunks of replaced values, and of vars of which nothing else is left.
    fn var_chunks(&mut self) -> Result<(), ReadError> {
        let mut current: BTreeMap<VarId, (Version, u16)> = BTreeMap::new();
        let damaged = self.each::<Vars>(|_, _, row| {
            current.insert(row.id, (row.version, row.chunks));
            Ok(())
        })?;
        let unowned = self.keys::<VarChunks>(|(id, version, chunk)| match current.get(id) {
            Some((latest, chunks)) => Ok(version == latest && chunk < chunks),
            None => Ok(damaged || self.tx.has::<VarPlaces>(id)?),
        })?;
        for key @ (id, version, chunk) in unowned {
            let line = format!("chunk {chunk} of version {version} of {id} was left over; removed");
            self.remove::<VarChunks>(&key, "pieces", line);
        }
        Ok(())
    }
}
