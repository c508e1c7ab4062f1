//! `/api/admin/status`: the health of the server, for dashboards.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::vault::{Administer, Extent, ServerStatus};

use crate::http::request::call::Call;
use crate::http::request::parse::NoBody;
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::traffic::Minute;

/// Disk space.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Storage)]
pub(in crate::http) struct StorageItem {
    /// The size of the database file.
    file_bytes: u64,
    /// The free space on its disk.
    free_bytes: u64,
    /// Writes are refused if there is less free space than this.
    floor_bytes: u64,
}

/// The last backups.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastBackups)]
pub(in crate::http) struct BackupItem {
    /// Whether the server makes scheduled backups.
    scheduled: bool,
    /// When the last backup was made on the host.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    last_at: Option<Timestamp>,
    #[schema(required = true)]
    last_bytes: Option<u64>,
    /// When the last backup that was downloaded through the API was made.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    last_download_at: Option<Timestamp>,
}

/// The requests of one minute.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RequestsOfAMinute)]
pub(in crate::http) struct MinuteItem {
    /// When the minute began.
    #[schema(value_type = String, format = DateTime)]
    minute: Timestamp,
    total: u64,
    /// Answered with 4xx.
    client_errors: u64,
    /// Answered with 5xx.
    server_errors: u64,
    /// The median duration, in milliseconds.
    #[serde(rename = "p50Ms")]
    #[schema(required = true)]
    p50_ms: Option<f64>,
    #[serde(rename = "p95Ms")]
    #[schema(required = true)]
    p95_ms: Option<f64>,
    #[serde(rename = "p99Ms")]
    #[schema(required = true)]
    p99_ms: Option<f64>,
}

/// The status of the server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Status)]
pub(in crate::http) struct StatusItem {
    version: &'static str,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    storage: StorageItem,
    backup: BackupItem,
    /// The last sixty minutes, oldest first. The last one is not over yet.
    requests: Vec<MinuteItem>,
}

/// The status of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StatusAnswer {
    status: StatusItem,
}

impl From<Extent> for StorageItem {
    fn from(Extent { file_bytes, free_bytes, floor_bytes }: Extent) -> Self {
        Self { file_bytes, free_bytes, floor_bytes }
    }
}

impl From<&Minute> for MinuteItem {
    fn from(minute: &Minute) -> Self {
        Self {
            minute: minute.start(),
            total: minute.total,
            client_errors: minute.client_errors,
            server_errors: minute.server_errors,
            p50_ms: minute.percentile_millis(50),
            p95_ms: minute.percentile_millis(95),
            p99_ms: minute.percentile_millis(99),
        }
    }
}

impl StatusItem {
    fn new(state: &State, found: ServerStatus) -> Self {
        let now = state.vault.now();
        let last = found.last_backup.as_ref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started_at: state.started_at,
            now,
            storage: found.extent.into(),
            backup: BackupItem {
                scheduled: state.backups_scheduled,
                last_at: last.map(|backup| backup.at),
                last_bytes: last.and_then(|backup| backup.bytes),
                last_download_at: found.last_download,
            },
            requests: state.traffic.minutes(now).iter().map(Into::into).collect(),
        }
    }
}

pub(in crate::http) async fn read(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let status = actix_web::web::block(move || {
        let found = state.vault.status(&permit);
        StatusItem::new(&state, found)
    });
    Ok(Answer::json(&StatusAnswer { status: status.await? }))
}
