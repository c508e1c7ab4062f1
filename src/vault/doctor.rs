//! Examining what is stored: whether every record opens, whether the rows fit
//! each other, whether the audit log holds, and how much room all of it takes.
//!
//! Must never: let anything of a value out but whether it opens; change anything
//! outside `repair`.

use serde_json::json;

use crate::audit::{Action, AuditKey, Draft, Verification};
use crate::domain::{Finding, Origin, Principal, RevealMode, Timestamp, VarKind, Version};
use crate::store::{
    self, AuditRows, CommitError, Compacted, Depth, Opened, ReadError, Repaired, SecretPlace,
    SecretRow, Secrets, Store, Tx, Usage, View,
};

use super::cipher::{self, Binding};
use super::keyring::Keyring;
use super::lookup::Placed;
use super::secrets::binding;
use super::unlock::{services, stored_head, stored_start, verify_rows};
use super::vars::value_is_whole;
use super::versions::{numbers, sealed_value};
use super::{Administer, Error, Permit, RootKeys, UnlockError, Unlocked, Vault};

/// So many findings of one kind are told one by one.
const TOLD: usize = 20;
/// Free space below so many times the floor is worth a warning.
const FLOOR_TIMES: u64 = 4;
/// A clock that is behind the log by less than this is none to talk about.
const CLOCK_MILLIS: i64 = 1000;

const RESTORE: &str =
    "Run `coffer doctor --repair` on the stopped server; what stays needs a backup.";
const VALUE: &str = "Give the secret a new value, or restore a backup.";

/// What an examination has found.
#[derive(Debug)]
pub struct Examined {
    /// Line by line.
    pub findings: Vec<Finding>,
}

/// Examines a database that no server has open.
pub fn examine_stopped<'a>(
    opened: &Opened,
    roots: impl Into<RootKeys<'a>>,
    now: Timestamp,
) -> Result<Examined, UnlockError> {
    let (keyring, services) = services(opened, roots.into())?;
    Ok(examine(opened, (&keyring, &services.audit), opened.usage()?, now)?)
}

/// Likewise, of one that only its caller writes to.
pub fn examine_unlocked(unlocked: &Unlocked, now: Timestamp) -> Result<Examined, ReadError> {
    let store = &*unlocked.store;
    examine(store, (&unlocked.keyring.now(), &unlocked.audit_key), store.usage()?, now)
}

fn examine<V: View>(
    view: &V,
    (keyring, audit): (&Keyring, &AuditKey),
    usage: Usage,
    now: Timestamp,
) -> Result<Examined, ReadError> {
    let (start, head) = (stored_start(view)?, stored_head(view)?);
    let verified = verify_rows(view, audit, start.as_ref(), head.as_ref(), u64::MAX)?;
    let mut findings = records(view, keyring)?;
    findings.extend(rows(store::check(view)?));
    findings.extend(log(&verified));
    findings.extend(clock(view, now)?);
    findings.extend(room(usage));
    Ok(Examined { findings })
}

impl Vault {
    /// Examines the database while it is in use. May block on the disk.
    ///
    /// Leaves no audit row, as verifying the log leaves none.
    pub fn examine(&self, permit: &Permit<Administer>) -> Result<Examined, Error> {
        let verified = self.verify_audit_log(permit)?;
        let _walk = self.walks.try_acquire().map_err(|_| super::Unavailable::OtherExaminations)?;
        let store = &*self.store;
        let mut findings = records(store, &self.keyring.now())?;
        // A walk does not see one moment. What was written under it does not
        // look the same a second time; what is wrong does.
        let mut misfits = store::check(store)?;
        if !misfits.is_empty() {
            let again = store::check(store)?;
            misfits.retain(|misfit| again.contains(misfit));
        }
        findings.extend(rows(misfits));
        findings.extend(log(&verified));
        findings.extend(clock(store, self.now())?);
        findings.extend(room(store.usage()?));
        Ok(Examined { findings })
    }

    /// Records that the log was written anew.
    pub async fn record_compacted(&self, compacted: Compacted) -> Result<(), Error> {
        self.record_host(Action::ServerCompact, &described(compacted)).await
    }
}

/// Many findings of one kind, and what it means that there are none.
fn told(broken: Vec<String>, remedy: &str, none: String) -> Vec<Finding> {
    if broken.is_empty() {
        return vec![Finding::ok(none)];
    }
    let more = broken.len().saturating_sub(TOLD);
    let mut findings: Vec<_> =
        broken.into_iter().take(TOLD).map(|what| Finding::error(what, remedy)).collect();
    if more > 0 {
        findings.push(Finding::error(format!("and {more} more like these"), remedy));
    }
    findings
}

/// Opens everything that was sealed, and reads every var.
fn records<V: View>(view: &V, keyring: &Keyring) -> Result<Vec<Finding>, ReadError> {
    let mut broken = Vec::new();
    let (mut secrets, mut versions, mut vars) = (0u64, 0u64, 0u64);
    for found in view.scan::<Secrets>(&[], None) {
        match found {
            Ok(((environment, key), row)) => {
                secrets += 1;
                let place = SecretPlace { environment, key };
                versions += open_all(view, keyring, (&place, &row), &mut broken)?;
            }
            // Which one is said with the rows.
            Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    for found in view.scan::<store::Vars>(&[], None) {
        let (_, row) = match found {
            Err(ReadError::Damaged { .. }) => continue,
            found => found?,
        };
        vars += 1;
        let whole = |row: &store::VarRow| value_is_whole(view, row);
        if !whole(&row)? {
            // Overwritten or deleted under the walk?
            let now = match VarKind::place(view, row.id) {
                Ok(Some(place)) => VarKind::row(view, row.id, &place).unwrap_or(None),
                _ => Some(row.clone()),
            };
            if now.is_some_and(|now| now.version == row.version) && !whole(&row)? {
                broken.push(format!("the value of {} is damaged", row.id));
            }
        }
    }
    let none =
        format!("{secrets} secrets with {versions} versions and {vars} vars: every record opens");
    Ok(told(broken, VALUE, none))
}

/// Opens every version of a secret; how many there are.
fn open_all(
    view: &impl View,
    keyring: &Keyring,
    secret: (&SecretPlace, &SecretRow),
    broken: &mut Vec<String>,
) -> Result<u64, ReadError> {
    let (place, row) = secret;
    let versions = numbers(view, row.id)?;
    for version in &versions {
        if opens(view, keyring, (place, row), *version)? {
            continue;
        }
        // Changed, latched or deleted under the walk: the row as it is now tells.
        let now = match view.get::<Secrets>(&(place.environment, place.key.clone())) {
            Ok(Some(now)) if now.id == row.id => now,
            Ok(_) => continue,
            Err(ReadError::Damaged { .. }) => row.clone(),
            Err(error) => return Err(error),
        };
        let kept = numbers(view, row.id)?.contains(version);
        if kept && !opens(view, keyring, (place, &now), *version)? {
            let why = if moved(view, keyring, (place, &now), *version)? {
                "was sealed for another reveal mode than its row says"
            } else {
                "does not open"
            };
            broken.push(format!("version {version} of {} {why}", row.id));
        }
    }
    Ok(versions.len() as u64)
}

fn bound((place, row): (&SecretPlace, &SecretRow), version: Version) -> Binding {
    Binding { version, ..binding(place, row) }
}

fn opens(
    view: &impl View,
    keyring: &Keyring,
    secret: (&SecretPlace, &SecretRow),
    version: Version,
) -> Result<bool, ReadError> {
    match sealed_value(view, (secret.1.id, version)) {
        Ok(Some(sealed)) => Ok(cipher::opens(keyring, &bound(secret, version), sealed).is_ok()),
        Ok(None) | Err(Error::Damaged(_)) => Ok(false),
        Err(Error::Read(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether a version that does not open was sealed for the other mode.
fn moved(
    view: &impl View,
    keyring: &Keyring,
    secret: (&SecretPlace, &SecretRow),
    version: Version,
) -> Result<bool, ReadError> {
    let other = RevealMode::from_never_reveal(secret.1.mode != RevealMode::NeverReveal);
    opens(view, keyring, (secret.0, &SecretRow { mode: other, ..secret.1.clone() }), version)
}

fn rows(misfits: Vec<String>) -> Vec<Finding> {
    told(misfits, RESTORE, "the rows fit each other".to_owned())
}

fn log(verified: &Verification) -> Vec<Finding> {
    let finding = match &verified.broken {
        None => Finding::ok(format!("the audit log holds: {} rows", verified.rows)),
        Some(broken) => Finding::error(
            format!("the audit log does not hold: {broken}"),
            "Compare it with an export or a backup. Nothing repairs it.",
        ),
    };
    vec![finding]
}

/// A row from the future says that the clock is wrong, or was.
fn clock(view: &impl View, now: Timestamp) -> Result<Vec<Finding>, ReadError> {
    let Some(head) = stored_head(view)? else { return Ok(Vec::new()) };
    let newest = match view.get::<AuditRows>(&head.seq) {
        Err(ReadError::Damaged { .. }) => None,
        found => found?.and_then(|row| row.row()),
    };
    Ok(newest
        .map(|newest| match newest.draft.at {
            at if at.millis() - now.millis() > CLOCK_MILLIS => Finding::warn(
                format!("the clock says {now}, and the newest audit row is of {at}"),
                "Set the host's clock, and see what has set it back.",
            ),
            _ => Finding::ok("the clock is not behind the audit log"),
        })
        .into_iter()
        .collect())
}

fn room(usage: Usage) -> Vec<Finding> {
    let Usage { file_bytes, live_bytes, free_bytes, floor_bytes } = usage;
    let log = format!("the database's log has {} for {} of rows", mib(file_bytes), mib(live_bytes));
    let log = if usage.is_wasteful() {
        Finding::warn(log, "Run `coffer compact` on the stopped server, or start it again.")
    } else {
        Finding::ok(log)
    };
    let free = format!("{} of the disk are free", mib(free_bytes));
    let free = if free_bytes < floor_bytes {
        Finding::error(
            format!("{free}; below {} no write is taken", mib(floor_bytes)),
            "Make room.",
        )
    } else if free_bytes < floor_bytes.saturating_mul(FLOOR_TIMES) {
        Finding::warn(format!("{free}; below {} no write is taken", mib(floor_bytes)), "Make room.")
    } else {
        Finding::ok(free)
    };
    vec![log, free]
}

fn mib(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < 10 * MIB {
        format!("{} KiB", bytes.div_ceil(1024))
    } else {
        format!("{} MiB", bytes / MIB)
    }
}

/// That nothing was to be repaired, as a change that comes to nothing.
enum Nothing {
    ToDo,
    Read(ReadError),
}

/// Repairs what can be worked out from other rows, and removes what belongs to
/// nobody. The caller has copied the data directory.
pub fn repair(unlocked: &Unlocked, now: Timestamp) -> Result<Repaired, Error> {
    repair_to(&unlocked.store, Depth::Leftovers, now)
}

/// Likewise, without removing what belongs to nobody: what a start does.
pub fn repair_index(unlocked: &Unlocked, now: Timestamp) -> Result<Repaired, Error> {
    repair_to(&unlocked.store, Depth::Index, now)
}

fn repair_to(store: &Store, depth: Depth, now: Timestamp) -> Result<Repaired, Error> {
    let change = move |tx: &mut Tx<'_>| {
        let repaired = store::repair(tx, depth).map_err(Nothing::Read)?;
        if repaired.lines.is_empty() {
            return Err(Nothing::ToDo);
        }
        let draft = host(Action::ServerRepair, now).details(&json!(repaired.counts));
        Ok((repaired, draft))
    };
    match store.commit_blocking(change) {
        Ok(repaired) => Ok(repaired),
        Err(CommitError::Refused(Nothing::ToDo)) => Ok(Repaired::default()),
        Err(CommitError::Refused(Nothing::Read(error))) => Err(error.into()),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(CommitError::Panicked) => Err(Error::Panicked),
    }
}

/// Records that the log of a stopped server was written anew.
pub fn record_compaction(
    unlocked: &Unlocked,
    compacted: Compacted,
    now: Timestamp,
) -> Result<(), Error> {
    let draft = host(Action::ServerCompact, now).details(&described(compacted));
    unlocked.store.commit_blocking(move |_| Ok::<_, Error>(((), draft))).map_err(Error::from)
}

fn host(action: Action, now: Timestamp) -> Draft {
    Draft::new(action, &Principal::host(), &Origin::host(), now)
}

fn described(
    Compacted { rows, live_bytes, before_bytes, after_bytes }: Compacted,
) -> serde_json::Value {
    json!({ "rows": rows, "liveBytes": live_bytes, "beforeBytes": before_bytes, "afterBytes": after_bytes })
}
