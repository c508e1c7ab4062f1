//! `/api/audit-logs`.

use std::str::FromStr;

use crate::audit::{Action, ResourceType};
use crate::domain::Timestamp;
use crate::vault::{Administer, AuditQuery, ExportedRow, Read};

use crate::http::request::call::{Call, NoBody};
use crate::http::request::query::{MAX_COUNT, MAX_LIMIT, Query};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{AuditLogsAnswer, ExportAnswer, ExportItem, VerificationAnswer};

const DEFAULT_LIMIT: usize = 50;

fn parse(query: &Query) -> Result<AuditQuery, ApiError> {
    fn id<T: FromStr>(text: &str) -> Option<T> {
        text.parse().ok()
    }
    Ok(AuditQuery {
        environment: query.parsed("environmentId", "must be an environment id", id)?,
        resource_type: query.parsed(
            "resourceType",
            "must be a resource type, such as secret",
            ResourceType::from_word,
        )?,
        resource_id: query.get("resourceId")?.map(str::to_owned),
        action: query.parsed(
            "action",
            "must be an action, such as secret.reveal",
            Action::from_word,
        )?,
        user: query.parsed("userId", "must be a user id", id)?,
        success: query.parsed("success", "must be true or false", id)?,
        from: query.parsed(
            "from",
            "must be a time, such as 2026-01-31T00:00:00Z",
            Timestamp::parse,
        )?,
        to: query.parsed("to", "must be a time, such as 2026-01-31T00:00:00Z", Timestamp::parse)?,
        before_seq: query.number("beforeSeq", 0..=MAX_COUNT)?.map(|number| number as u64),
        after_seq: query.number("afterSeq", 0..=MAX_COUNT)?.map(|number| number as u64),
        offset: query.number("offset", 0..=MAX_COUNT)?.unwrap_or(0),
        limit: query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
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
    let after = call.query.number("afterSeq", 0..=MAX_COUNT)?.unwrap_or(0) as u64;
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(MAX_LIMIT);
    let Call { state, permit, .. } = call;
    let read = move || state.vault.export_audit_log(&permit, after, limit);
    let rows = actix_web::web::block(read).await??;
    Ok(Answer::json(&ExportAnswer { logs: rows.into_iter().map(Into::into).collect() }))
}

/// A row as `/api/audit-logs/export` shows it, as one line of JSON without its
/// end: for an export from a database that no server has open.
pub fn audit_line(row: ExportedRow) -> String {
    serde_json::to_string(&ExportItem::from(row))
        .expect("an audit row has text keys and no type that serde_json cannot write")
}
