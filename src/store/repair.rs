//! Making the index rows fit again.
//!
//! Owns: which rows can be worked out from others, and are.
//! Must never: touch a row of the audit log, or one that holds what is nowhere
//! else: environments, secrets, vars, accounts, tokens, data keys, values. What
//! leads nowhere goes only if nothing is left that it could lead to, and what
//! belongs to nobody only if nobody's row is damaged. The one thing that is dropped
//! for being damaged is a receipt: it lives for a day, and until then all it could
//! do is to refuse the request that it is about.
//!
//! ```text
//! worked out from          rows
//! Environments             EnvironmentNames, Counts
//! Secrets, Vars            SecretPlaces, VarPlaces, Counts
//! Tokens, Sessions         TokenHashes, SessionHashes, UserSessions, LastUses
//! Users, ServiceAccounts   UserEmails, ServiceAccountNames, LastUses
//! Receipts                 ReceiptTimes
//! nobody's                 Versions, ValueChunks, VarChunks, ReceiptChunks   (not at a start)
//! broken                   Receipts                                         (not at a start)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::domain::{EnvironmentId, SecretId, VarId, Version};

use super::account_row::Used;
use super::check::receipt;
use super::keyspace::{Table, full_key};
use super::row::{CountsRow, SecretPlace, VarPlace};
use super::tables::{
    Counts, EnvironmentNames, Environments, LastUses, ReceiptChunks, ReceiptTimes, Receipts,
    SecretPlaces, Secrets, ServiceAccountNames, ServiceAccounts, SessionHashes, Sessions,
    TokenHashes, Tokens, UserEmails, UserSessions, Users, ValueChunks, VarChunks, VarPlaces, Vars,
    Versions,
};
use super::view::{ReadError, View, encode_row};
use super::writer::Tx;

/// How far a repair goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is worked out from other rows: safe without a copy.
    Index,
    /// Likewise, and what belongs to nobody is removed.
    Leftovers,
}

/// So much is repaired in one change. A batch is held in memory more than once.
const MOST_LINES: usize = 10_000;

/// What was repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// One line each; they name ids, never values.
    pub lines: Vec<String>,
    /// How many of each kind.
    pub counts: BTreeMap<&'static str, u32>,
}

impl Repaired {
    /// Whether there may be more, for a change of its own.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= MOST_LINES
    }

    /// Likewise what another change has done.
    pub fn add(&mut self, more: Self) {
        self.lines.extend(more.lines);
        for (kind, count) in more.counts {
            *self.counts.entry(kind).or_default() += count;
        }
    }
}

/// Repairs what can be repaired, in the change that is given; call it again when
/// that [is full](Repaired::is_full).
pub fn repair(tx: &mut Tx<'_>, depth: Depth) -> Result<Repaired, ReadError> {
    let mut repair = Repair { tx, depth, done: Repaired::default() };
    repair.environments()?;
    repair.secrets()?;
    repair.vars()?;
    repair.accounts()?;
    repair.tokens()?;
    repair.sessions()?;
    repair.last_uses()?;
    if depth == Depth::Leftovers {
        repair.broken_receipts()?;
    }
    repair.receipts()?;
    if depth == Depth::Leftovers {
        repair.versions()?;
        repair.value_chunks()?;
        repair.var_chunks()?;
        repair.receipt_chunks()?;
    }
    Ok(repair.done)
}

type Rows<T> = Vec<(<T as Table>::Key, <T as Table>::Row)>;

/// The rows of a table that can be read, and whether there are others.
struct Read<T: Table> {
    rows: Rows<T>,
    damaged: bool,
}

/// The entries that an index should have. `None` is one that two rows claim;
/// which of them is right is not for us to say.
struct Wanted<I: Table>(BTreeMap<Vec<u8>, Option<(I::Row, String)>>);

impl<I: Table> Wanted<I> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn add(&mut self, key: &I::Key, row: I::Row, whose: &dyn Display) {
        let entry = self.0.entry(full_key::<I>(key));
        entry.and_modify(|claimed| *claimed = None).or_insert(Some((row, whose.to_string())));
    }
}

struct Repair<'t, 'a> {
    tx: &'t mut Tx<'a>,
    depth: Depth,
    done: Repaired,
}

impl Repair<'_, '_> {
    fn read<T: Table>(&self) -> Result<Read<T>, ReadError> {
        let (mut rows, mut damaged) = (Vec::new(), false);
        for found in self.tx.scan::<T>(&[], None) {
            match found {
                Ok(row) => rows.push(row),
                Err(ReadError::Damaged { .. }) => damaged = true,
                Err(error) => return Err(error),
            }
        }
        Ok(Read { rows, damaged })
    }

    /// The keys of a table; those that are none are passed over.
    fn keys<T: Table>(&self) -> Result<Vec<T::Key>, ReadError> {
        self.tx.readable_keys::<T>(&[]).collect()
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

    /// Puts the entries that are missing or wrong, and removes those that lead
    /// nowhere: nobody wants them, and `kept` does not say that they may lead to
    /// something that cannot be read just now.
    fn index<I: Table>(
        &mut self,
        kind: &'static str,
        wanted: Wanted<I>,
        kept: impl Fn(&Tx<'_>, &I::Key) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        for (key, entry) in &wanted.0 {
            let Some((row, whose)) = entry else { continue };
            if self.done.is_full() {
                return Ok(());
            }
            let stored = self.tx.get_bytes(key)?;
            if stored.as_deref() == Some(&encode_row::<I>(row)) {
                continue;
            }
            let Some(key) = I::decode(&key[1..]) else { continue };
            self.tx.put::<I>(&key, row);
            let was = if stored.is_some() { "wrong" } else { "missing" };
            self.note(kind, format!("an index entry of {whose} was {was}, and is there again"));
        }
        for key in self.keys::<I>()? {
            if wanted.0.contains_key(&full_key::<I>(&key)) {
                continue;
            }
            if !self.done.is_full() && !kept(self.tx, &key)? {
                let table = char::from(I::PREFIX);
                self.remove::<I>(&key, kind, format!("an index entry ({table:?}) led nowhere"));
            }
        }
        if self.depth == Depth::Leftovers {
            self.nameless::<I>(kind)?;
        }
        Ok(())
    }

    /// Index entries under what is no key, so that nobody can ever find them.
    fn nameless<I: Table>(&mut self, kind: &'static str) -> Result<(), ReadError> {
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
            self.note(kind, format!("an index entry ({table:?}) was under no key, and is removed"));
        }
        Ok(())
    }

    fn environments(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Environments>()?;
        let mut wanted = Wanted::<EnvironmentNames>::new();
        rows.iter().for_each(|(id, row)| wanted.add(&row.name.folded(), *id, id));
        self.index("names", wanted, |_, _| Ok(damaged))?;
        let ids: Vec<_> = rows.iter().map(|(id, _)| *id).collect();
        self.counts(&ids)
    }

    fn counts(&mut self, environments: &[EnvironmentId]) -> Result<(), ReadError> {
        let (secrets, vars) = (self.read::<Secrets>()?, self.read::<Vars>()?);
        // A damaged row counts or not, depending on what becomes of it.
        if secrets.damaged || vars.damaged {
            return Ok(());
        }
        let mut counted: BTreeMap<EnvironmentId, CountsRow> = BTreeMap::new();
        for ((environment, _), _) in &secrets.rows {
            counted.entry(*environment).or_default().secrets += 1;
        }
        for ((environment, _), _) in &vars.rows {
            counted.entry(*environment).or_default().vars += 1;
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
                let line = format!("{id} holds {secrets} secrets and {vars} vars; counted anew");
                self.note("counts", line);
            }
        }
        Ok(())
    }

    fn secrets(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Secrets>()?;
        let mut wanted = Wanted::<SecretPlaces>::new();
        for ((environment, key), row) in rows {
            wanted.add(&row.id, SecretPlace { environment, key }, &row.id);
        }
        self.index("places", wanted, |tx, id| {
            // Without it nobody could tell where its versions belong.
            Ok(damaged || tx.keys::<Versions>(&id.to_bytes()).next().is_some())
        })
    }

    fn vars(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Vars>()?;
        let mut wanted = Wanted::<VarPlaces>::new();
        for ((environment, key), row) in rows {
            wanted.add(&row.id, VarPlace { environment, key }, &row.id);
        }
        self.index("places", wanted, |tx, id| {
            Ok(damaged || tx.keys::<VarChunks>(&id.to_bytes()).next().is_some())
        })
    }

    fn accounts(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Users>()?;
        let mut wanted = Wanted::<UserEmails>::new();
        rows.iter().for_each(|(id, row)| wanted.add(&row.email.folded(), *id, id));
        self.index("names", wanted, |_, _| Ok(damaged))?;
        let Read { rows, damaged } = self.read::<ServiceAccounts>()?;
        let mut wanted = Wanted::<ServiceAccountNames>::new();
        rows.iter().for_each(|(id, row)| wanted.add(&row.name.as_str().to_owned(), *id, id));
        self.index("names", wanted, |_, _| Ok(damaged))
    }

    fn tokens(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Tokens>()?;
        let mut wanted = Wanted::<TokenHashes>::new();
        rows.iter().for_each(|(id, row)| wanted.add(&row.hash, *id, id));
        self.index("hashes", wanted, |_, _| Ok(damaged))
    }

    fn sessions(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Sessions>()?;
        let mut hashes = Wanted::<SessionHashes>::new();
        let mut listed = Wanted::<UserSessions>::new();
        for (id, row) in &rows {
            hashes.add(&row.hash, *id, id);
            listed.add(&(row.user, *id), (), id);
        }
        self.index("hashes", hashes, |_, _| Ok(damaged))?;
        self.index("hashes", listed, |_, _| Ok(damaged))
    }

    fn last_uses(&mut self) -> Result<(), ReadError> {
        for used in self.keys::<LastUses>()? {
            let there = match &used {
                Used::Token(id) => self.tx.has::<Tokens>(id)?,
                Used::Session(id) => self.tx.has::<Sessions>(id)?,
                Used::User(id) => self.tx.has::<Users>(id)?,
            };
            let readable =
                !matches!(self.tx.get::<LastUses>(&used), Err(ReadError::Damaged { .. }));
            if !there || !readable {
                let line = format!("the last use of {used:?} was left over or damaged");
                self.remove::<LastUses>(&used, "lastUses", line);
            }
        }
        Ok(())
    }

    /// Receipts that cannot be read, or lack a piece of their answer. What their
    /// requests were answered is not known any more.
    fn broken_receipts(&mut self) -> Result<(), ReadError> {
        for key in self.keys::<Receipts>()? {
            let whole = match self.tx.get::<Receipts>(&key) {
                Ok(None) => continue,
                Ok(Some(row)) => self.has_its_pieces(key, row.chunks)?,
                Err(ReadError::Damaged { .. }) => false,
                Err(error) => return Err(error),
            };
            if !whole {
                let line = format!("{} was damaged; its request can be sent again", receipt(key));
                self.remove::<Receipts>(&key, "receipts", line);
            }
        }
        self.nameless::<Receipts>("receipts")
    }

    fn has_its_pieces(&self, key: [u8; 32], chunks: u16) -> Result<bool, ReadError> {
        for chunk in 0..chunks {
            match self.tx.get::<ReceiptChunks>(&(key, chunk)) {
                Ok(Some(_)) => {}
                Ok(None) | Err(ReadError::Damaged { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn receipts(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Receipts>()?;
        let mut wanted = Wanted::<ReceiptTimes>::new();
        rows.iter().for_each(|(key, row)| wanted.add(&(row.at, *key), (), &receipt(*key)));
        // By its time alone a receipt is forgotten in the end, a damaged one, too.
        self.index("times", wanted, |_, _| Ok(damaged))
    }

    fn receipt_chunks(&mut self) -> Result<(), ReadError> {
        for key @ (whose, chunk) in self.keys::<ReceiptChunks>()? {
            let owned = match self.tx.get::<Receipts>(&whose) {
                Ok(row) => row.is_some_and(|row| chunk < row.chunks),
                Err(ReadError::Damaged { .. }) => true,
                Err(error) => return Err(error),
            };
            if !owned {
                let line = format!("piece {chunk} of {} was left over", receipt(whose));
                self.remove::<ReceiptChunks>(&key, "pieces", line);
            }
        }
        self.nameless::<ReceiptChunks>("pieces")
    }

    /// Versions of secrets of which nothing else is left. Where they belong is
    /// part of what they were sealed with, so nobody can open them any more.
    fn versions(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Secrets>()?;
        if damaged {
            return Ok(());
        }
        let mut owners: BTreeSet<SecretId> = rows.into_iter().map(|(_, row)| row.id).collect();
        owners.extend(self.keys::<SecretPlaces>()?);
        for key @ (id, version) in self.keys::<Versions>()? {
            if !owners.contains(&id) {
                let line = format!("version {version} of {id} belonged to nothing");
                self.remove::<Versions>(&key, "versions", line);
            }
        }
        Ok(())
    }

    /// Pieces without the data key that would open them, or behind the last one.
    fn value_chunks(&mut self) -> Result<(), ReadError> {
        for key @ (id, version, chunk) in self.keys::<ValueChunks>()? {
            let owned = match self.tx.get::<Versions>(&(id, version)) {
                Ok(row) => row.is_some_and(|row| chunk < row.chunks),
                Err(ReadError::Damaged { .. }) => true,
                Err(error) => return Err(error),
            };
            if !owned {
                let line = format!("piece {chunk} of version {version} of {id} was left over");
                self.remove::<ValueChunks>(&key, "pieces", line);
            }
        }
        Ok(())
    }

    /// Pieces of values that are not in force, or of vars of which nothing else
    /// is left.
    fn var_chunks(&mut self) -> Result<(), ReadError> {
        let Read { rows, damaged } = self.read::<Vars>()?;
        let in_force: BTreeMap<VarId, (Version, u16)> =
            rows.into_iter().map(|(_, row)| (row.id, (row.version, row.chunks))).collect();
        for key @ (id, version, chunk) in self.keys::<VarChunks>()? {
            let owned = match in_force.get(&id) {
                Some((current, chunks)) => version == *current && chunk < *chunks,
                None => damaged || self.tx.has::<VarPlaces>(&id)?,
            };
            if !owned {
                let line = format!("piece {chunk} of version {version} of {id} was left over");
                self.remove::<VarChunks>(&key, "pieces", line);
            }
        }
        Ok(())
    }
}
