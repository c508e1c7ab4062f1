//! What runs the server: the audit log, backups, the examination, the wrapping keys.

use crate::audit::Action;

use crate::http::handlers::{audit_logs, backup, doctor, keys, status};
use crate::http::response::error::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::{Endpoint, Parameter, TargetKind};
use crate::http::routes::{CONFLICT, delete, get, needs, post};

const AUDIT: &[Parameter] = &[
    Parameter::AuditEnvironment,
    Parameter::AuditResourceType,
    Parameter::AuditResource,
    Parameter::AuditAction,
    Parameter::AuditUser,
    Parameter::AuditSuccess,
    Parameter::AuditFrom,
    Parameter::AuditTo,
    Parameter::AuditLimit,
    Parameter::AuditOffset,
    Parameter::AuditBeforeSeq,
    Parameter::AfterSeq,
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::{Everything, InScope};

    const KEYS: &str = "/api/admin/keys";
    const ROTATE: &str = "/api/admin/keys/rotate";
    const KEY: &str = "/api/admin/keys/{id}";

    vec![
        Endpoint::new(
            get(),
            "/api/audit-logs",
            needs(A::AuditRead, InScope),
            "Read the audit log, newest row first",
            audit_logs::list,
        )
        .answers::<items::AuditLogsAnswer>()
        .takes(AUDIT),
        Endpoint::new(
            get(),
            "/api/audit-logs/verification",
            needs(A::AuditVerify, Everything),
            "Walk the audit log's chain and say whether it holds",
            audit_logs::verify,
        )
        .answers::<items::VerificationAnswer>(),
        Endpoint::new(
            get(),
            "/api/audit-logs/export",
            needs(A::AuditExport, Everything),
            "Copy the audit log out, oldest row first, with the rows' MACs",
            audit_logs::export,
        )
        .answers::<items::ExportAnswer>()
        .takes(&[Parameter::AfterSeq, Parameter::ExportLimit]),
        // No HEAD: it would leave the row of a backup that nobody has.
        Endpoint::new(
            get(),
            "/api/admin/backup",
            needs(A::BackupCreate, Everything),
            "Take a backup of everything, sealed under the root key",
            backup::create,
        )
        .octets()
        .without_head(),
        Endpoint::new(
            get(),
            "/api/admin/doctor",
            needs(A::ServerDoctor, Everything),
            "Examine the database: whether every record opens and the rows fit each other",
            doctor::examine,
        )
        .answers::<doctor::DoctorAnswer>(),
        Endpoint::new(
            get(),
            "/api/admin/status",
            needs(A::ServerStatus, Everything),
            "How the server is: its room, its last backups, its requests of the last hour",
            status::read,
        )
        .answers::<status::StatusAnswer>(),
        Endpoint::new(
            get(),
            KEYS,
            needs(A::KeyList, Everything),
            "List the wrapping keys, and how far the last rotation is",
            keys::status,
        )
        .answers::<keys::KeysAnswer>(),
        Endpoint::new(
            post(),
            ROTATE,
            needs(A::KeyRotate, Everything),
            "Make a new wrapping key and wrap everything under it, in the background",
            keys::rotate,
        )
        .answers::<keys::RotationAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            delete(),
            KEY,
            needs(A::KeyRetire, Everything),
            "Destroy a wrapping key that nothing needs any more",
            keys::retire,
        )
        .answers::<items::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
    ]
}
