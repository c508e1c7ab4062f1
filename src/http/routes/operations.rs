//! The routes of the audit log, backups, doctor, status and wrapping keys.

use crate::audit::Action as A;

use crate::http::handlers::{audit_logs, backup, doctor, keys, status};
use crate::http::request::target::TargetKind::{Everything, InScope};
use crate::http::response::code::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::{Endpoint, SuccessContent};

/// Returns the routes of this file.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [audit_log(), server(), wrapping_keys()].into_iter().flatten().collect()
}

/// The audit log.
fn audit_log() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/audit-logs",
            (A::AuditRead, InScope),
            "Read the audit log, newest row first",
            audit_logs::list,
        )
        .answers::<items::AuditLogsAnswer>()
        .takes(audit_logs::FILTERS),
        Endpoint::get(
            "/api/audit-logs/verification",
            (A::AuditVerify, Everything),
            "Verify the audit log's chain of MACs",
            audit_logs::verify,
        )
        .answers::<items::VerificationAnswer>(),
        Endpoint::get(
            "/api/audit-logs/export",
            (A::AuditExport, Everything),
            "Export the audit log with the rows' MACs, oldest row first",
            audit_logs::export,
        )
        .answers::<items::ExportAnswer>()
        .takes(audit_logs::EXPORT),
    ]
}

/// Backups, doctor and status.
fn server() -> Vec<Endpoint> {
    vec![
        // No HEAD: it would record a backup that nobody has.
        Endpoint::get(
            "/api/admin/backup",
            (A::BackupCreate, Everything),
            "Download a backup of everything, encrypted under the root key",
            backup::create,
        )
        .answers_with(SuccessContent::Octets)
        .without_head(),
        Endpoint::get(
            "/api/admin/doctor",
            (A::ServerDoctor, Everything),
            "Check the database: every record can be decrypted, and indexes are consistent",
            doctor::examine,
        )
        .answers::<doctor::DoctorAnswer>(),
        Endpoint::get(
            "/api/admin/status",
            (A::ServerStatus, Everything),
            "Read the server's status: disk space, last backups, requests of the last hour",
            status::read,
        )
        .answers::<status::StatusAnswer>(),
    ]
}

/// The wrapping keys.
fn wrapping_keys() -> Vec<Endpoint> {
    const KEYS: &str = "/api/admin/keys";
    const ROTATE: &str = "/api/admin/keys/rotate";
    const KEY: &str = "/api/admin/keys/{id}";

    vec![
        Endpoint::get(
            KEYS,
            (A::KeyList, Everything),
            "List the wrapping keys and the progress of the last rotation",
            keys::status,
        )
        .answers::<keys::KeysAnswer>(),
        Endpoint::post(
            ROTATE,
            (A::KeyRotate, Everything),
            "Create a new wrapping key and rewrap everything under it in the background",
            keys::rotate,
        )
        .answers::<keys::RotationAnswer>()
        .fails(&[Code::Conflict]),
        Endpoint::delete(
            KEY,
            (A::KeyRetire, Everything),
            "Destroy a wrapping key that is no longer used",
            keys::retire,
        )
        .answers::<items::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
    ]
}
