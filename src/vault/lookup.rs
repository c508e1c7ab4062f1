//! Finding rows, and hiding the rows that a caller must not learn about.
//!
//! Owns: authorization of a request against the row that it names, and the audit rows of refusals.
//! Must never: let a scoped caller tell a row outside its scope from a missing one, by the answer
//! or by the time it takes.
//! Called by: `http`, to authorize; every verb, to find its rows.

use std::str::FromStr;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{
    EnvironmentId, Id, IdKind, KeyName, SecretId, SecretKind, ServiceAccountId, Timestamp, TokenId,
    UserId, VarId, VarKind, Version,
};
use crate::store::{
    Counts, CountsRow, EnvironmentNames, EnvironmentRow, Environments, ReadError, SecretPlace,
    SecretPlaces, SecretRow, Secrets, Table, Tx, VarPlace, VarPlaces, VarRow, Vars, View,
};

use crate::vault::crypto::keyring::parse_key_id;
use crate::vault::error::Error;
use crate::vault::policy::{self, Caller, Level, Permit, Target};
use crate::vault::service::Vault;

/// Passes on what was read for a list, and skips damaged rows with a line in the log: one damaged
/// row must not hide the others.
pub(super) fn skip_damaged<T>(found: Result<T, ReadError>) -> Option<Result<T, ReadError>> {
    match found {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("left out of a list: {damaged}");
            None
        }
        found => Some(found),
    }
}

/// The part of a list that a caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only keys that start with this.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<String>,
    /// The most rows to return; `None` returns all.
    pub limit: Option<usize>,
}

impl Page {
    /// Reads the rows on this page of a table whose keys are `environment | key`.
    pub(super) fn rows<'a, T, V>(
        &self,
        view: &'a V,
        environment: EnvironmentId,
    ) -> impl Iterator<Item = Result<(KeyName, T::Row), Error>> + use<'a, T, V>
    where
        T: Table<Key = (EnvironmentId, KeyName)> + 'a,
        V: View,
    {
        let prefix = |key: &str| [&environment.to_bytes(), key.as_bytes()].concat();
        let after = self.after.as_deref().map(prefix);
        view.scan::<T>(&prefix(&self.prefix), after.as_deref())
            .filter_map(skip_damaged)
            .map(|found| found.map(|((_, key), row)| (key, row)).map_err(Error::from))
            .take(self.limit.unwrap_or(usize::MAX))
    }
}

/// Finds the environment that a path segment names, by id first, then by name. No name has the form
/// of an id, so the order hides nothing.
pub(super) fn find_environment(
    view: &impl View,
    segment: &str,
) -> Result<Option<EnvironmentId>, ReadError> {
    match EnvironmentId::from_str(segment) {
        Ok(id) => Ok(view.has::<Environments>(&id)?.then_some(id)),
        Err(_) => view.get::<EnvironmentNames>(&segment.to_ascii_lowercase()),
    }
}

/// Reads an environment's row. It may have been deleted since the caller was authorized.
pub(super) fn environment_row(
    view: &impl View,
    id: EnvironmentId,
) -> Result<EnvironmentRow, Error> {
    let row =
        view.get::<Environments>(&id).map_err(Error::damaged_or(ResourceType::Environment))?;
    row.ok_or(Error::NotFound(ResourceType::Environment))
}

/// A kind of row that is stored under its environment and key, and found by its own id through a
/// second row, its place.
pub(super) trait Located: IdKind + Sized {
    const TYPE: ResourceType;
    type Place: Clone + PartialEq;
    type Row;
    /// The table of the rows.
    type Table: Table<Key = (EnvironmentId, KeyName), Row = Self::Row>;
    /// The table of the places.
    type Places: Table<Key = Id<Self>, Row = Self::Place>;

    fn new_place(environment: EnvironmentId, key: KeyName) -> Self::Place;
    fn environment(place: &Self::Place) -> EnvironmentId;
    fn key(place: &Self::Place) -> &KeyName;
    fn id(row: &Self::Row) -> Id<Self>;
    fn version(row: &Self::Row) -> Version;
    /// The number that an environment counts rows of this kind with.
    fn count(counts: &mut CountsRow) -> &mut u32;

    /// Reads where a row is stored.
    fn place(view: &impl View, id: Id<Self>) -> Result<Option<Self::Place>, ReadError> {
        view.get::<Self::Places>(&id)
    }

    /// Reads the row at a place, if it still is the row of this id: another row may have taken the
    /// key since the place was read.
    fn row(
        view: &impl View,
        id: Id<Self>,
        place: &Self::Place,
    ) -> Result<Option<Self::Row>, ReadError> {
        let key = (Self::environment(place), Self::key(place).clone());
        Ok(view.get::<Self::Table>(&key)?.filter(|row| Self::id(row) == id))
    }
}

macro_rules! located {
    ($kind:ident, $type:ident, $places:ident, $place:ident, $table:ident, $row:ident, $count:ident) => {
        impl Located for $kind {
            const TYPE: ResourceType = ResourceType::$type;
            type Place = $place;
            type Row = $row;
            type Table = $table;
            type Places = $places;

            fn new_place(environment: EnvironmentId, key: KeyName) -> $place {
                $place { environment, key }
            }

            fn environment(place: &$place) -> EnvironmentId {
                place.environment
            }

            fn key(place: &$place) -> &KeyName {
                &place.key
            }

            fn id(row: &$row) -> Id<$kind> {
                row.id
            }

            fn version(row: &$row) -> Version {
                row.version
            }

            fn count(counts: &mut CountsRow) -> &mut u32 {
                &mut counts.$count
            }
        }
    };
}

located!(SecretKind, Secret, SecretPlaces, SecretPlace, Secrets, SecretRow, secrets);
located!(VarKind, Var, VarPlaces, VarPlace, Vars, VarRow, vars);

/// Finds a row by its id, in any environment.
pub(super) fn locate<K: Located>(view: &impl View, id: Id<K>) -> Result<(K::Place, K::Row), Error> {
    let missing = Error::NotFound(K::TYPE);
    let damaged = Error::damaged_or(K::TYPE);
    let Some(place) = K::place(view, id).map_err(damaged)? else { return Err(missing) };
    // The remaining rows of a deleted environment are invisible to everyone.
    if !view.has::<Environments>(&K::environment(&place))? {
        return Err(missing);
    }
    match K::row(view, id, &place).map_err(damaged)? {
        Some(row) => Ok((place, row)),
        // A place and its row are written and removed together. If both are gone, the row was
        // deleted after its place was read; a place without a row is damage.
        None if K::place(view, id).map_err(damaged)?.is_some() => Err(Error::Damaged(K::TYPE)),
        None => Err(missing),
    }
}

/// Treats a damaged row as missing, and names it in the log.
fn damaged_as_missing<R>(found: Result<Option<R>, ReadError>) -> Result<Option<R>, ReadError> {
    match found {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("an audit row lacks its environment: {damaged}");
            Ok(None)
        }
        found => found,
    }
}

/// Reads how many rows an environment contains; counts them if the row that says so is damaged.
pub(super) fn counts(view: &impl View, id: EnvironmentId) -> Result<CountsRow, Error> {
    match view.get::<Counts>(&id) {
        Err(ReadError::Damaged { .. }) => {
            let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
            Ok(CountsRow {
                secrets: number(view.keys::<Secrets>(&id.to_bytes()).count()),
                vars: number(view.keys::<Vars>(&id.to_bytes()).count()),
            })
        }
        found => Ok(found?.unwrap_or_default()),
    }
}

/// Updates how many rows an environment contains, after a change.
pub(super) fn update_counts(
    tx: &mut Tx<'_>,
    id: EnvironmentId,
    change: impl FnOnce(&mut CountsRow),
) -> Result<(), Error> {
    // Counting the rows includes the change.
    let counted = matches!(tx.get::<Counts>(&id), Err(ReadError::Damaged { .. }));
    let mut row = counts(tx, id)?;
    if !counted {
        change(&mut row);
    }
    tx.put::<Counts>(&id, &row);
    Ok(())
}

impl Vault {
    /// Decides whether the caller may do `action` at level `L` on `target`. A refusal is durable in
    /// the audit log before this returns.
    pub async fn authorize<L: Level>(
        &self,
        caller: &Caller,
        action: Action,
        target: Target<'_>,
    ) -> Result<Permit<L>, Error> {
        let found = match target {
            Target::Environment(segment) => find_environment(&*self.store, segment)?,
            _ => None,
        };
        match policy::authorize(caller, target, found) {
            Ok(permit) => Ok(permit),
            Err(refusal) => {
                self.record_refusal(caller, action, target, found, &refusal).await?;
                Err(refusal)
            }
        }
    }

    async fn record_refusal(
        &self,
        caller: &Caller,
        action: Action,
        target: Target<'_>,
        environment: Option<EnvironmentId>,
        refusal: &Error,
    ) -> Result<(), Error> {
        let code = match refusal {
            Error::Role { .. } => RefusalCode::ForbiddenRole,
            _ => RefusalCode::ForbiddenScope,
        };
        let mut draft = caller.draft(action, self.now()).refused(code);
        let mut environment = environment;
        if let Target::User(text) | Target::Everything(Some(text)) = target
            && (is_account_id(text) || parse_key_id(text).is_some())
        {
            draft = draft.on(text, None);
        }
        if let Target::Row(text) = target {
            // Only ids are logged: any other text in a path may contain anything.
            if let Ok(id) = SecretId::from_str(text) {
                environment = damaged_as_missing(self.store.get::<SecretPlaces>(&id))?
                    .map(|at| at.environment);
                draft = draft.on(id, None);
            } else if let Ok(id) = VarId::from_str(text) {
                environment =
                    damaged_as_missing(self.store.get::<VarPlaces>(&id))?.map(|at| at.environment);
                draft = draft.on(id, None);
            }
        }
        self.record_refused(self.labelled(draft, environment)?).await
    }

    /// Returns the id of a row that exists and that the caller's scope covers. A caller whose scope
    /// is a list gets the same answer for a row outside it as for a missing row, and both are
    /// recorded: if only one of them were, the time it takes would tell them apart.
    pub(super) async fn reach<K: Located, L>(
        &self,
        permit: &Permit<L>,
        action: Action,
        text: &str,
    ) -> Result<Id<K>, Error> {
        let id = Id::<K>::from_str(text).ok();
        let place = match id.map(|id| K::place(&*self.store, id)) {
            // Whether the scope covers a damaged place is unknown, so to a scoped caller it is
            // missing.
            Some(Err(ReadError::Damaged { .. })) if permit.is_scoped() => None,
            Some(Err(ReadError::Damaged { .. })) => return Err(Error::Damaged(K::TYPE)),
            Some(found) => found?,
            None => None,
        };
        let environment = place.as_ref().map(K::environment);
        match (id, environment) {
            (Some(id), Some(environment)) if permit.covers(environment) => return Ok(id),
            // Every attempt to reveal is recorded.
            _ if !permit.is_scoped() && action != Action::SecretReveal => {
                return Err(Error::NotFound(K::TYPE));
            }
            _ => {}
        }
        let code =
            if environment.is_some() { RefusalCode::ForbiddenScope } else { RefusalCode::NotFound };
        let mut draft = permit.draft(action, self.now()).refused(code);
        if let Some(id) = id {
            draft = draft.on(id, None);
        }
        self.record_refused(self.labelled(draft, environment)?).await?;
        Err(Error::NotFound(K::TYPE))
    }

    /// Labels an audit row with its environment, if that can be read: a damaged row must not turn a
    /// refusal into another answer.
    pub(super) fn labelled(
        &self,
        draft: Draft,
        environment: Option<EnvironmentId>,
    ) -> Result<Draft, Error> {
        let Some(id) = environment else { return Ok(draft) };
        let row = damaged_as_missing(self.store.get::<Environments>(&id))?;
        Ok(match row {
            Some(row) => policy::label(draft, id, &row),
            None => draft,
        })
    }
}

/// Returns whether a text is the id of a user, a service account or a token.
fn is_account_id(text: &str) -> bool {
    UserId::from_str(text).is_ok()
        || ServiceAccountId::from_str(text).is_ok()
        || TokenId::from_str(text).is_ok()
}

/// Returns the time of an update: a clock that was set back must not make it older than what it
/// updates.
pub(super) fn not_before(now: Timestamp, earlier: Timestamp) -> Timestamp {
    now.max(earlier)
}

/// Fails if the caller expects another version than the current one.
pub(super) fn check_version(expected: Option<&[u32]>, current: Version) -> Result<(), Error> {
    match expected {
        Some(versions) if !versions.contains(&current.get()) => {
            Err(Error::OtherVersion { current })
        }
        _ => Ok(()),
    }
}
