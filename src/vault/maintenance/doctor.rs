//! Examining what is stored: whether every record opens, whether the rows fit
//! each other, whether the audit log holds, and how much room all of it takes.
//!
//! Must never: let anything of a value out but whether it opens; change anything.

use std::collections::BTreeSet;

use crate::audit::{AuditKey, Verification};
use crate::domain::{EnvironmentId, Finding, KeyName, RevealMode, Timestamp, Version};
use crate::store::{
    self, AuditRows, Opened, ReadError, SecretPlace, SecretPlaces, SecretRow, Secrets, Store,
    Usage, View,
};

use crate::vault::Vault;
use crate::vault::crypto::cipher::{self, Binding};
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::keyring::RootKeys;
use crate::vault::error::Error;
use crate::vault::keys::unlock::{UnlockError, Unlocked};
use crate::vault::keys::unlock::{services, stored_head, stored_start, verify_rows};
use crate::vault::policy::{Administer, Permit};
use crate::vault::verbs::secrets::binding;
use crate::vault::verbs::vars::value_is_whole;
use crate::vault::verbs::versions::{numbers, sealed_value};

/// So many findings of one kind are told one by one.
const TOLD: usize = 20;
/// Free space below so many times the floor is worth a warning.
const FLOOR_TIMES: u64 = 4;
/// A clock that is behind the log by less than this is none to talk about.
const CLOCK_MILLIS: i64 = 1000;

const REPAIR: &str =
    "Run `coffer doctor --repair` on the stopped server; what stays needs a backup.";
const RESTORE: &str = "Restore a backup: a repair cannot work this out from elsewhere.";
const HOLE: &str = "Check the disk, and copy the directory to another one before anything else; then restore a backup.";
const VALUE: &str = "Give the secret or var a new value, or restore a backup.";

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
    Ok(examine(opened, (&keyring, &services.audit), opened.usage(), now, REPAIR))
}

/// Likewise, of one that only its caller writes to, and that was repaired.
pub fn examine_repaired(unlocked: &Unlocked, now: Timestamp) -> Examined {
    let store = &*unlocked.store;
    examine(store, (&unlocked.keyring.now(), &unlocked.audit_key), store.usage(), now, RESTORE)
}

fn examine<V: View>(
    view: &V,
    (keyring, audit): (&Keyring, &AuditKey),
    usage: Result<Usage, ReadError>,
    now: Timestamp,
    misfit: &str,
) -> Examined {
    let verified = || {
        let (start, head) = (stored_start(view)?, stored_head(view)?);
        verify_rows(view, audit, start.as_ref(), head.as_ref(), u64::MAX)
    };
    let mut parts = Parts::default();
    parts.records(view, keyring);
    parts.add("the rows", store::check(view).map(|misfits| rows(misfits, misfit)));
    parts.add("the audit log", verified().map(|verified| log(&verified)));
    parts.add("the clock", clock(view, now));
    parts.add("the room", usage.map(room));
    parts.end(view)
}

/// What an examination goes through, each part by itself: that one cannot be
/// read to its end is no reason to say nothing about the others.
#[derive(Default)]
struct Parts {
    findings: Vec<Finding>,
    has_hole: bool,
}

impl Parts {
    fn add(&mut self, about: &str, found: Result<Vec<Finding>, ReadError>) {
        match found {
            Ok(findings) => self.findings.extend(findings),
            Err(error) => {
                self.has_hole = true;
                let what = format!("{about} cannot be examined to the end: {error}");
                self.findings.push(Finding::error(what, HOLE));
            }
        }
    }

    fn records<V: View>(&mut self, view: &V, keyring: &Keyring) {
        let mut records = Records::default();
        let secrets = secrets(view, keyring, &mut records);
        let vars = vars(view, &mut records);
        let whole = secrets.is_ok() && vars.is_ok();
        self.add("the secrets", secrets.map(|()| Vec::new()));
        self.add("the vars", vars.map(|()| Vec::new()));
        // That all of them open can be said of all of them only.
        if whole || !records.broken.is_empty() {
            self.findings.extend(records.told());
        }
    }

    fn end(mut self, view: &impl View) -> Examined {
        if self.has_hole {
            let tables = store::unreadable_tables(view).into_iter();
            self.findings.extend(tables.map(|what| Finding::error(what, HOLE)));
        }
        Examined { findings: self.findings }
    }
}

impl Vault {
    /// Examines the database while it is in use. May block on the disk.
    ///
    /// Leaves no audit row, as verifying the log leaves none.
    pub fn examine(&self, permit: &Permit<Administer>) -> Result<Examined, Error> {
        let verified = match self.verify_audit_log(permit) {
            Ok(verified) => Ok(log(&verified)),
            Err(Error::Read(error)) => Err(error),
            Err(error) => return Err(error),
        };
        let _walk =
            self.walks.try_acquire().map_err(|_| crate::vault::Unavailable::OtherExaminations)?;
        let store = &*self.store;
        let mut parts = Parts::default();
        parts.records(store, &self.keyring.now());
        parts.add("the rows", busy_misfits(store).map(|misfits| rows(misfits, REPAIR)));
        parts.add("the audit log", verified);
        parts.add("the clock", clock(store, self.now()));
        parts.add("the room", store.usage().map(room));
        Ok(parts.end(store))
    }
}

/// A walk does not see one moment. What was written under it does not look the
/// same a second time; what is wrong does.
fn busy_misfits(store: &Store) -> Result<Vec<String>, ReadError> {
    let mut misfits = store::check(store)?;
    if !misfits.is_empty() {
        let again = store::check(store)?;
        misfits.retain(|misfit| again.contains(misfit));
    }
    Ok(misfits)
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

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What was opened and read, and what of it is broken.
#[derive(Default)]
struct Records {
    secrets: u64,
    versions: u64,
    vars: u64,
    broken: Vec<String>,
}

impl Records {
    fn told(self) -> Vec<Finding> {
        let Self { secrets, versions, vars, broken } = self;
        let none = format!(
            "{}, {} and {}: every record opens",
            counted(secrets, "secret"),
            counted(versions, "version"),
            counted(vars, "var")
        );
        told(broken, VALUE, none)
    }
}

/// Opens everything that was sealed. Where the rows cannot be read in order any
/// more, each of the others is looked up by itself.
fn secrets<V: View>(view: &V, keyring: &Keyring, records: &mut Records) -> Result<(), ReadError> {
    let mut seen = BTreeSet::new();
    let mut hole = None;
    for found in view.scan::<Secrets>(&[], None) {
        let ((environment, key), row) = match found {
            Ok(found) => found,
            // Which one is said with the rows.
            Err(ReadError::Damaged { .. }) => continue,
            Err(error) => {
                hole = Some(error);
                break;
            }
        };
        seen.insert(row.id);
        secret(view, keyring, (&SecretPlace { environment, key }, &row), records);
    }
    let Some(hole) = hole else { return Ok(()) };
    for (id, place) in view.scan::<SecretPlaces>(&[], None).map_while(Result::ok) {
        if seen.contains(&id) {
            continue;
        }
        match view.get::<Secrets>(&(place.environment, place.key.clone())) {
            Ok(Some(row)) => secret(view, keyring, (&place, &row), records),
            Ok(None) | Err(ReadError::Damaged { .. }) => {}
            Err(_) => records.broken.push(format!("{id} cannot be read")),
        }
    }
    Err(hole)
}

fn secret<V: View>(
    view: &V,
    keyring: &Keyring,
    secret: (&SecretPlace, &SecretRow),
    records: &mut Records,
) {
    records.secrets += 1;
    match open_all(view, keyring, secret, &mut records.broken) {
        Ok(versions) => records.versions += versions,
        Err(error) => {
            records.broken.push(format!("the versions of {} cannot be read: {error}", secret.1.id));
        }
    }
}

/// Reads every var; likewise.
fn vars<V: View>(view: &V, records: &mut Records) -> Result<(), ReadError> {
    let mut seen = BTreeSet::new();
    let mut hole = None;
    for found in view.scan::<store::Vars>(&[], None) {
        let (key, row) = match found {
            Ok(found) => found,
            Err(ReadError::Damaged { .. }) => continue,
            Err(error) => {
                hole = Some(error);
                break;
            }
        };
        seen.insert(row.id);
        var(view, (&key, &row), records);
    }
    let Some(hole) = hole else { return Ok(()) };
    for (id, place) in view.scan::<store::VarPlaces>(&[], None).map_while(Result::ok) {
        if seen.contains(&id) {
            continue;
        }
        let key = (place.environment, place.key);
        match view.get::<store::Vars>(&key) {
            Ok(Some(row)) => var(view, (&key, &row), records),
            Ok(None) | Err(ReadError::Damaged { .. }) => {}
            Err(_) => records.broken.push(format!("{id} cannot be read")),
        }
    }
    Err(hole)
}

fn var(
    view: &impl View,
    (key, row): (&(EnvironmentId, KeyName), &store::VarRow),
    records: &mut Records,
) {
    records.vars += 1;
    match is_broken(view, key, row) {
        Ok(false) => {}
        Ok(true) => records.broken.push(format!("the value of {} is damaged", row.id)),
        Err(error) => {
            records.broken.push(format!("the value of {} cannot be read: {error}", row.id));
        }
    }
}

fn is_broken(
    view: &impl View,
    key: &(EnvironmentId, KeyName),
    row: &store::VarRow,
) -> Result<bool, ReadError> {
    if value_is_whole(view, row)? {
        return Ok(false);
    }
    // Overwritten or deleted under the walk? A row goes together with its value: if
    // it is still there, its value was to be.
    match view.get::<store::Vars>(key) {
        Ok(now) => Ok(now.is_some_and(|now| now.id == row.id && now.version == row.version)),
        Err(ReadError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
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

fn rows(misfits: Vec<String>, remedy: &str) -> Vec<Finding> {
    told(misfits, remedy, "the rows fit each other".to_owned())
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
