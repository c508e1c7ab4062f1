//! `/api/audit-logs/…`: reading, verifying and exporting the audit log.

use std::str::FromStr;

use crate::audit::{Action, ResourceType};
use crate::domain::{EnvironmentId, Timestamp, UserId};
use crate::vault::{Administer, AuditQuery, ExportedRow, Read};

use crate::http::request::call::Call;
use crate::http::request::parameter::Parameter;
use crate::http::request::parse::NoBody;
use crate::http::request::query::{PAGE_ROWS, Query, ROW_NUMBERS};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{AuditLogsAnswer, ExportAnswer, ExportItem, VerificationAnswer};
use crate::http::response::schema::{boolean, date_time, text, words};

const DEFAULT_LIMIT: usize = 50;

/// The parameters of the list.
pub(in crate::http) const FILTERS: &[Parameter] = &[
    ENVIRONMENT,
    RESOURCE_TYPE,
    RESOURCE,
    ACTION,
    USER,
    SUCCESS,
    FROM,
    TO,
    LIMIT,
    OFFSET,
    BEFORE_SEQ,
    AFTER_SEQ,
];
const ENVIRONMENT: Parameter = Parameter::query(
    "environmentId",
    || text().pattern(Some(EnvironmentId::pattern())),
    "Only rows about this environment.",
);
const RESOURCE_TYPE: Parameter = Parameter::query(
    "resourceType",
    || words(ResourceType::ALL.iter().map(|one| one.as_str())),
    "Only rows about resources of this type.",
);
const RESOURCE: Parameter =
    Parameter::query("resourceId", text, "Only rows about the resource with this id.");
const ACTION: Parameter = Parameter::query(
    "action",
    || words(Action::ALL.iter().map(|one| one.as_str())),
    "Only rows about this action.",
);
const USER: Parameter = Parameter::query(
    "userId",
    || text().pattern(Some(UserId::pattern())),
    "Only rows about what this user did.",
);
const SUCCESS: Parameter = Parameter::query(
    "success",
    boolean,
    "`true` for requests that succeeded, `false` for refused ones.",
);
const FROM: Parameter = Parameter::query("from", date_time, "Only rows at or after this time.");
const TO: Parameter = Parameter::query("to", date_time, "Only rows before this time.");
const LIMIT: Parameter =
    Parameter::number("limit", PAGE_ROWS, "Maximum number of rows. Default: 50.");
const OFFSET: Parameter =
    Parameter::number("offset", ROW_NUMBERS, "How many of the newest rows to skip.");
const BEFORE_SEQ: Parameter = Parameter::number(
    "beforeSeq",
    ROW_NUMBERS,
    "Only rows with a lower number. As a cursor it stays valid while new rows are added.",
);
const AFTER_SEQ: Parameter =
    Parameter::number("afterSeq", ROW_NUMBERS, "Only rows with a higher number. Default: all.");

/// The parameters of the export.
pub(in crate::http) const EXPORT: &[Parameter] = &[AFTER_SEQ, EXPORT_LIMIT];
const EXPORT_LIMIT: Parameter =
    Parameter::number("limit", PAGE_ROWS, "Maximum number of rows. Default: 1000.");

fn parse(query: &Query) -> Result<AuditQuery, ApiError> {
    fn id<T: FromStr>(text: &str) -> Option<T> {
        text.parse().ok()
    }
    Ok(AuditQuery {
        environment: query.parsed(ENVIRONMENT.name, "must be an environment id", id)?,
        resource_type: query.parsed(
            RESOURCE_TYPE.name,
            "must be a resource type, such as secret",
            ResourceType::from_word,
        )?,
        resource_id: query.get(RESOURCE.name)?.map(str::to_owned),
        action: query.parsed(
            ACTION.name,
            "must be an action, such as secret.reveal",
            Action::from_word,
        )?,
        user: query.parsed(USER.name, "must be a user id", id)?,
        success: query.parsed(SUCCESS.name, "must be true or false", id)?,
        from: query.parsed(
            FROM.name,
            "must be a time, such as 2026-01-31T00:00:00Z",
            Timestamp::parse,
        )?,
        to: query.parsed(
            TO.name,
            "must be a time, such as 2026-01-31T00:00:00Z",
            Timestamp::parse,
        )?,
        before_seq: query.number(BEFORE_SEQ.name, ROW_NUMBERS)?.map(|number| number as u64),
        after_seq: query.number(AFTER_SEQ.name, ROW_NUMBERS)?.map(|number| number as u64),
        offset: query.number(OFFSET.name, ROW_NUMBERS)?.unwrap_or(0),
        limit: query.number(LIMIT.name, PAGE_ROWS)?.unwrap_or(DEFAULT_LIMIT),
    })
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let query = parse(&call.query)?;
    let Call { state, permit, .. } = call;
    let page = actix_web::web::block(move || state.vault.audit_logs(&permit, &query)).await??;
    let logs = page.rows.into_iter().map(Into::into).collect();
    Ok(Answer::json(&AuditLogsAnswer { logs, total: page.total }))
}

pub(in crate::http) async fn verify(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let found = actix_web::web::block(move || state.vault.verify_audit_log(&permit)).await??;
    Ok(Answer::json(&VerificationAnswer { verification: found.into() }))
}

pub(in crate::http) async fn export(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let after = call.query.number(AFTER_SEQ.name, ROW_NUMBERS)?.unwrap_or(0) as u64;
    let limit = call.query.number(EXPORT_LIMIT.name, PAGE_ROWS)?.unwrap_or(*PAGE_ROWS.end());
    let Call { state, permit, .. } = call;
    let read = move || state.vault.export_audit_log(&permit, after, limit);
    let rows = actix_web::web::block(read).await??;
    Ok(Answer::json(&ExportAnswer { logs: rows.into_iter().map(Into::into).collect() }))
}

/// Renders a row as `/api/audit-logs/export` does, as one line of JSON without a line break. The
/// command line uses it to export the audit log of a stopped server.
pub fn audit_line(row: ExportedRow) -> String {
    serde_json::to_string(&ExportItem::from(row))
        .expect("an audit row has text keys and only types that serde_json can write")
}
