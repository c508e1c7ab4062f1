//! Finding rows, and hiding those that a caller must not learn about.

use std::str::FromStr;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{
    EnvironmentId, Id, IdKind, KeyName, SecretId, SecretKind, ServiceAccountId, Timestamp, TokenId,
    UserId, VarId, VarKind,
};
use crate::store::{
    Counts, CountsRow, EnvironmentNames, EnvironmentRow, Environments, ReadError, SecretPlace,
    SecretPlaces, SecretRow, Secrets, Table, Tx, VarPlace, VarPlaces, VarRow, Vars, View,
};

use crate::vault::Vault;
use crate::vault::error::Error;
use crate::vault::keys::rotation;
use crate::vault::policy::{self, Caller, Level, Permit, Target};

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<String>,
    /// At most so many; `None` is all of them.
    pub limit: Option<usize>,
}

impl Page {
    /// The rows of a table whose keys are `environment | key` on this page.
    /// A damaged row is logged and left out: it must not hide the others.
    pub(super) fn rows<'a, T, V>(
        &self,
        view: &'a V,
        environment: EnvironmentId,
    ) -> impl Iterator<Item = Result<(KeyName, T::Row), Error>> + use<'a, T, V>
    where
        T: Table<Key = (EnvironmentId, KeyName)> + 'a,
        V: View,
    {
        let place = |key: &str| [&environment.to_bytes(), key.as_bytes()].concat();
        let after = self.after.as_deref().map(place);
        view.scan::<T>(&place(&self.prefix), after.as_deref())
            .filter_map(|found| match found {
                Ok(((_, key), row)) => Some(Ok((key, row))),
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}");
                    None
                }
                Err(error) => Some(Err(error.into())),
            })
            .take(self.limit.unwrap_or(usize::MAX))
    }
}

/// The environment that a path segment names: an id first, then a name. No
/// name can be shaped like an id, so the order hides nothing.
pub(super) fn find_environment(
    view: &impl View,
    segment: &str,
) -> Result<Option<EnvironmentId>, ReadError> {
    match EnvironmentId::from_str(segment) {
        Ok(id) => Ok(view.has::<Environments>(&id)?.then_some(id)),
        Err(_) => view.get::<EnvironmentNames>(&segment.to_ascii_lowercase()),
    }
}

/// An environment's row, which may have gone since the caller was authorised.
pub(super) fn environment_row(
    view: &impl View,
    id: EnvironmentId,
) -> Result<EnvironmentRow, Error> {
    match view.get::<Environments>(&id) {
        Ok(row) => row.ok_or(Error::NotFound(ResourceType::Environment)),
        Err(ReadError::Damaged { .. }) => Err(Error::Damaged(ResourceType::Environment)),
        Err(error) => Err(error.into()),
    }
}

/// A row that is reached by its own id through a second row that says where it is.
pub(super) trait Placed: IdKind + Sized {
    const TYPE: ResourceType;
    type Place: Clone;
    type Row;

    fn environment(place: &Self::Place) -> EnvironmentId;
    fn place(view: &impl View, id: Id<Self>) -> Result<Option<Self::Place>, ReadError>;
    fn row(
        view: &impl View,
        id: Id<Self>,
        place: &Self::Place,
    ) -> Result<Option<Self::Row>, ReadError>;
}

macro_rules! placed {
    ($kind:ident, $type:ident, $places:ident, $place:ident, $table:ident, $row:ident) => {
        impl Placed for $kind {
            const TYPE: ResourceType = ResourceType::$type;
            type Place = $place;
            type Row = $row;

            fn environment(place: &$place) -> EnvironmentId {
                place.environment
            }

            fn place(view: &impl View, id: Id<$kind>) -> Result<Option<$place>, ReadError> {
                view.get::<$places>(&id)
            }

            fn row(
                view: &impl View,
                id: Id<$kind>,
                place: &$place,
            ) -> Result<Option<$row>, ReadError> {
                let key = (place.environment, place.key.clone());
                // Another row may have taken the key since the place was read.
                Ok(view.get::<$table>(&key)?.filter(|row| row.id == id))
            }
        }
    };
}

placed!(SecretKind, Secret, SecretPlaces, SecretPlace, Secrets, SecretRow);
placed!(VarKind, Var, VarPlaces, VarPlace, Vars, VarRow);

/// A row by its id, wherever it is.
pub(super) fn locate<K: Placed>(view: &impl View, id: Id<K>) -> Result<(K::Place, K::Row), Error> {
    let missing = Error::NotFound(K::TYPE);
    let damaged = |error| match error {
        ReadError::Damaged { .. } => Error::Damaged(K::TYPE),
        error => Error::Read(error),
    };
    let Some(place) = K::place(view, id).map_err(damaged)? else { return Err(missing) };
    // What is left of a deleted environment is gone for everybody.
    if !view.has::<Environments>(&K::environment(&place))? {
        return Err(missing);
    }
    match K::row(view, id, &place).map_err(damaged)? {
        Some(row) => Ok((place, row)),
        // The place and its row come and go together. Both gone: deleted since
        // the place was read. A place that is still there leads nowhere.
        None if K::place(view, id).map_err(damaged)?.is_some() => Err(Error::Damaged(K::TYPE)),
        None => Err(missing),
    }
}

/// A row that is damaged as one that is not there; it is named in the log.
fn undamaged<R>(found: Result<Option<R>, ReadError>) -> Result<Option<R>, ReadError> {
    match found {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("an audit row lacks its environment: {damaged}");
            Ok(None)
        }
        found => found,
    }
}

/// How much an environment holds; counted, when the row that says so is damaged.
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

/// Writes how much an environment holds after a change.
pub(super) fn count(
    tx: &mut Tx<'_>,
    id: EnvironmentId,
    change: impl FnOnce(&mut CountsRow),
) -> Result<(), Error> {
    // Counting anew sees the change already.
    let anew = matches!(tx.get::<Counts>(&id), Err(ReadError::Damaged { .. }));
    let mut row = counts(tx, id)?;
    if !anew {
        change(&mut row);
    }
    tx.put::<Counts>(&id, &row);
    Ok(())
}

impl Vault {
    /// Decides whether the caller may do `action` at level `L` on `target`. A
    /// refusal is in the audit log before this returns.
    pub async fn authorise<L: Level>(
        &self,
        caller: &Caller,
        action: Action,
        target: Target<'_>,
    ) -> Result<Permit<L>, Error> {
        let found = match target {
            Target::Environment(segment) => find_environment(&*self.store, segment)?,
            _ => None,
        };
        match policy::authorise(caller, target, found) {
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
            && (names_an_account(text) || rotation::key_id(text).is_some())
        {
            draft = draft.on(text, None);
        }
        if let Target::Row(text) = target {
            // Only an id goes into the log; whatever else a path held may be anything.
            if let Ok(id) = SecretId::from_str(text) {
                environment =
                    undamaged(self.store.get::<SecretPlaces>(&id))?.map(|at| at.environment);
                draft = draft.on(id, None);
            } else if let Ok(id) = VarId::from_str(text) {
                environment = undamaged(self.store.get::<VarPlaces>(&id))?.map(|at| at.environment);
                draft = draft.on(id, None);
            }
        }
        self.record_refused(self.labelled(draft, environment)?).await
    }

    /// The id of a row that exists and that the caller's scope covers. To a
    /// caller whose scope is a list, a row outside it and a missing row are the
    /// same: the same answer, after a durable write. Both leave an audit row,
    /// because only one of them doing so could be told by the time it takes.
    pub(super) async fn reach<K: Placed, L>(
        &self,
        permit: &Permit<L>,
        action: Action,
        text: &str,
    ) -> Result<Id<K>, Error> {
        let id = Id::<K>::from_str(text).ok();
        let place = match id.map(|id| K::place(&*self.store, id)) {
            // To a stranger, what cannot be told is missing.
            Some(Err(ReadError::Damaged { .. })) if permit.is_scoped() => None,
            Some(Err(ReadError::Damaged { .. })) => return Err(Error::Damaged(K::TYPE)),
            Some(found) => found?,
            None => None,
        };
        let environment = place.as_ref().map(K::environment);
        match (id, environment) {
            (Some(id), Some(environment)) if permit.covers(environment) => return Ok(id),
            // A reveal is in the log whatever comes of it.
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

    /// The draft with its environment, as far as that can be told: a damaged
    /// row must not turn a refusal into another answer.
    pub(super) fn labelled(
        &self,
        draft: Draft,
        environment: Option<EnvironmentId>,
    ) -> Result<Draft, Error> {
        let Some(id) = environment else { return Ok(draft) };
        let row = undamaged(self.store.get::<Environments>(&id))?;
        Ok(match row {
            Some(row) => policy::label(draft, id, &row),
            None => draft,
        })
    }
}

/// Whether a text is the id of a user, a service account or a token.
fn names_an_account(text: &str) -> bool {
    UserId::from_str(text).is_ok()
        || ServiceAccountId::from_str(text).is_ok()
        || TokenId::from_str(text).is_ok()
}

/// The moment to write into rows of a change.
pub(super) fn not_before(now: Timestamp, earlier: Timestamp) -> Timestamp {
    // A clock that was set back must not make an update older than what it updates.
    now.max(earlier)
}
