//! `/api/admin/doctor`: checking the database of the running server.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Finding;
use crate::vault::Administer;

use crate::http::request::call::Call;
use crate::http::request::parse::NoBody;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;

/// One finding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub(in crate::http) struct FindingItem {
    /// `ok`, `warn` or `error`.
    #[schema(value_type = String)]
    severity: &'static str,
    /// What was found.
    what: String,
    /// What to do about it.
    #[schema(required = true)]
    remedy: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DoctorAnswer {
    findings: Vec<FindingItem>,
}

impl From<Finding> for FindingItem {
    fn from(Finding { severity, what, remedy }: Finding) -> Self {
        Self { severity: severity.as_str(), what, remedy }
    }
}

pub(in crate::http) async fn examine(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let found = actix_web::web::block(move || state.vault.examine(&permit)).await??;
    let findings = found.findings.into_iter().map(Into::into).collect();
    Ok(Answer::json(&DoctorAnswer { findings }))
}
