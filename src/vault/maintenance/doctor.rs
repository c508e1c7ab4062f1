//! The doctor: whether every record opens, the indexes are consistent, the audit log verifies, and
//! how much disk space all of it takes.
//!
//! Must never: let anything of a value out, except whether it opens; change anything.
//! Called by: `http`, for a running server; `cli`, for the database of a stopped one.

use crate::audit::{AuditKey, Verification};
use crate::domain::{Finding, Timestamp};
use crate::store::{self, AuditRows, Opened, ReadError, Store, Unavailable, Usage, View};

use crate::vault::audit_rows::{stored_head, verify_all};
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::error::Error;
use crate::vault::keys::unlock::load_keys;
use crate::vault::keys::unlock_error::UnlockError;
use crate::vault::maintenance::records::Records;
use crate::vault::policy::{Administer, Permit};
use crate::vault::service::Vault;
use crate::vault::unlocked::Unlocked;

/// The most findings of one kind that are listed one by one.
const MAX_LISTED: usize = 20;
/// Free disk space below this multiple of the floor is worth a warning.
const FLOOR_TIMES: u64 = 4;
/// A clock that is behind the audit log by less than this is not reported, in milliseconds.
const CLOCK_MILLIS: i64 = 1000;

const REPAIR: &str =
    "Run `coffer doctor --repair` on the stopped server. What it cannot repair needs a backup.";
const RESTORE: &str = "Restore a backup: no other rows say what this row should be.";
const HOLE: &str = "Check the disk. Before anything else, copy the directory to another disk; then restore a backup.";
const VALUE: &str = "Give the secret or var a new value, or restore a backup.";

/// The result of an examination.
#[derive(Debug)]
pub struct DoctorReport {
    /// The findings, good and bad.
    pub findings: Vec<Finding>,
}

/// Examines a database that no server has open.
pub fn examine_stopped<'a>(
    opened: &Opened,
    roots: impl Into<RootKeys<'a>>,
    now: Timestamp,
) -> Result<DoctorReport, UnlockError> {
    let (keyring, services) = load_keys(opened, roots.into())?;
    Ok(examine(opened, (&keyring, &services.audit), opened.usage(), now, REPAIR))
}

/// Examines a database after a repair. Only the caller may be writing to it.
pub fn examine_repaired(unlocked: &Unlocked, now: Timestamp) -> DoctorReport {
    let (store, keyring) = (&*unlocked.store, unlocked.keyring.current());
    examine(store, (&keyring, &unlocked.audit_key), store.usage(), now, RESTORE)
}

fn examine<V: View>(
    view: &V,
    (keyring, audit): (&Keyring, &AuditKey),
    usage: Result<Usage, ReadError>,
    now: Timestamp,
    remedy: &str,
) -> DoctorReport {
    let mut examination = Examination::default();
    examination.records(view, keyring);
    examination.add("indexes", store::check(view).map(|misfits| indexes(misfits, remedy)));
    examination.add("audit log", verify_all(view, audit).map(|verified| audit_log(&verified)));
    examination.add("clock", clock(view, now));
    examination.add("disk space", usage.map(disk_space));
    examination.finish(view)
}

/// An examination in progress. Each part stands alone: one that cannot be read to its end does not
/// prevent the others.
#[derive(Default)]
struct Examination {
    findings: Vec<Finding>,
    has_hole: bool,
}

impl Examination {
    fn add(&mut self, part: &str, found: Result<Vec<Finding>, ReadError>) {
        match found {
            Ok(findings) => self.findings.extend(findings),
            Err(error) => {
                self.has_hole = true;
                let what = format!("cannot finish checking the {part}: {error}");
                self.findings.push(Finding::error(what, HOLE));
            }
        }
    }

    fn records<V: View>(&mut self, view: &V, keyring: &Keyring) {
        let mut records = Records::default();
        let secrets = records.check_secrets(view, keyring);
        let vars = records.check_vars(view);
        let complete = secrets.is_ok() && vars.is_ok();
        self.add("secrets", secrets.map(|()| Vec::new()));
        self.add("vars", vars.map(|()| Vec::new()));
        // "Every record opens" is only true of a complete check.
        if complete || !records.broken.is_empty() {
            self.findings.extend(record_findings(records));
        }
    }

    fn finish(mut self, view: &impl View) -> DoctorReport {
        if self.has_hole {
            let tables = store::unreadable_tables(view).into_iter();
            self.findings.extend(tables.map(|what| Finding::error(what, HOLE)));
        }
        DoctorReport { findings: self.findings }
    }
}

impl Vault {
    /// Examines the database while it is in use. May block on the disk.
    ///
    /// Leaves no audit row, like every verification of the log.
    pub fn examine(&self, permit: &Permit<Administer>) -> Result<DoctorReport, Error> {
        let verified = match self.verify_audit_log(permit) {
            Ok(verified) => Ok(audit_log(&verified)),
            Err(Error::Read(error)) => Err(error),
            Err(error) => return Err(error),
        };
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let store = &*self.store;
        let mut examination = Examination::default();
        examination.records(store, &self.keyring.current());
        examination.add("indexes", check_busy(store).map(|misfits| indexes(misfits, REPAIR)));
        examination.add("audit log", verified);
        examination.add("clock", clock(store, self.now()));
        examination.add("disk space", store.usage().map(disk_space));
        Ok(examination.finish(store))
    }
}

/// Checks the indexes of a database that is being written to. A walk does not see one moment, so
/// only misfits that a second walk also finds are real.
fn check_busy(store: &Store) -> Result<Vec<String>, ReadError> {
    let mut misfits = store::check(store)?;
    if !misfits.is_empty() {
        let again = store::check(store)?;
        misfits.retain(|misfit| again.contains(misfit));
    }
    Ok(misfits)
}

/// Lists the first of many errors of one kind; `none` is the finding if there are none.
fn listed(errors: Vec<String>, remedy: &str, none: String) -> Vec<Finding> {
    if errors.is_empty() {
        return vec![Finding::ok(none)];
    }
    let more = errors.len().saturating_sub(MAX_LISTED);
    let mut findings: Vec<_> =
        errors.into_iter().take(MAX_LISTED).map(|what| Finding::error(what, remedy)).collect();
    if more > 0 {
        findings.push(Finding::error(format!("and {more} more like these"), remedy));
    }
    findings
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn record_findings(records: Records) -> Vec<Finding> {
    let Records { secrets, versions, vars, broken } = records;
    let none = format!(
        "{}, {} and {}: every record opens",
        counted(secrets, "secret"),
        counted(versions, "version"),
        counted(vars, "var")
    );
    listed(broken, VALUE, none)
}

fn indexes(misfits: Vec<String>, remedy: &str) -> Vec<Finding> {
    listed(misfits, remedy, "indexes are consistent".to_owned())
}

fn audit_log(verified: &Verification) -> Vec<Finding> {
    let finding = match &verified.broken {
        None => Finding::ok(format!("audit log verified ({})", counted(verified.rows, "event"))),
        Some(broken) => Finding::error(
            format!("the audit log does not verify: {broken}"),
            "Compare it with an export or a backup. It cannot be repaired.",
        ),
    };
    vec![finding]
}

/// Compares the clock with the newest audit row: a row from the future means that the clock is
/// wrong, or was.
fn clock(view: &impl View, now: Timestamp) -> Result<Vec<Finding>, ReadError> {
    let Some(head) = stored_head(view)? else { return Ok(Vec::new()) };
    let newest = match view.get::<AuditRows>(&head.seq) {
        Err(ReadError::Damaged { .. }) => None,
        found => found?.and_then(|row| row.row()),
    };
    Ok(newest
        .map(|newest| match newest.draft.at {
            at if at.millis() - now.millis() > CLOCK_MILLIS => Finding::warn(
                format!("the clock says {now}, but the newest audit row is from {at}"),
                "Set the host's clock, and find out what set it back.",
            ),
            _ => Finding::ok("the clock is not behind the audit log"),
        })
        .into_iter()
        .collect())
}

fn disk_space(usage: Usage) -> Vec<Finding> {
    let Usage { file_bytes, live_bytes, free_bytes, floor_bytes } = usage;
    let log = format!("the database takes {} for {} of data", mib(file_bytes), mib(live_bytes));
    let log = if usage.is_wasteful() {
        Finding::warn(log, "Run `coffer compact` on the stopped server, or restart it.")
    } else {
        Finding::ok(log)
    };
    let free = format!("{} free on the disk", mib(free_bytes));
    let low = format!("{free}; below {}, writes are refused", mib(floor_bytes));
    let free = if free_bytes < floor_bytes {
        Finding::error(low, "Free some disk space.")
    } else if free_bytes < floor_bytes.saturating_mul(FLOOR_TIMES) {
        Finding::warn(low, "Free some disk space.")
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
