//! `/api/environments/{environment}/deliveries`: files that the server writes on its host.
//!
//! Must never: show any content of a file, or any output of a command.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::delivery::{CommandExit, DeliveryOutcome, DeliveryStatus, FileDelivery, FormName};
use crate::domain::{KeyPattern, Timestamp, Version};
use crate::vault::Read;

use crate::http::request::call::Call;
use crate::http::request::parse::NoBody;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::schema::words;

fn outcome_words() -> ObjectBuilder {
    words(["written", "unchanged", "missing", "failed", "pending"])
        .description(Some("The result of the last check."))
}

/// A file that `config.toml` on the server declares.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub(in crate::http) struct DeliveryItem {
    #[schema(example = "/run/app/env")]
    path: String,
    /// The format of the file; `null` if it has a template.
    #[schema(required = true)]
    format: Option<&'static str>,
    /// The path of its template; `null` if it has a format.
    #[schema(required = true)]
    template: Option<String>,
    /// The keys that it may contain; `*` matches any characters.
    keys: Vec<String>,
    #[schema(example = "0600")]
    mode: String,
    #[schema(schema_with = outcome_words)]
    outcome: &'static str,
    /// When it was last checked.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    at: Option<Timestamp>,
    /// The version of each secret and var in the file, by key.
    #[schema(value_type = BTreeMap<String, u32>)]
    versions: BTreeMap<String, Version>,
    /// Keys that the file requires but that have no value.
    missing_keys: Vec<String>,
    /// Why the file was not written.
    #[schema(required = true)]
    problem: Option<String>,
    /// How the file's command ended, if it was run: an exit code, `signal N`, `timed out`, or why
    /// it was not started.
    #[schema(required = true)]
    command_status: Option<String>,
}

/// The files of an environment, in the order of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DeliveriesAnswer {
    /// In the order of the configuration.
    deliveries: Vec<DeliveryItem>,
}

impl DeliveryItem {
    fn new(file: &FileDelivery, receipt: Option<DeliveryStatus>) -> Self {
        let (format, template) = match &file.form {
            FormName::Format(name) => (Some(*name), None),
            FormName::Template(path) => (None, Some(path.clone())),
        };
        let (outcome, missing_keys, problem) = match receipt.as_ref().map(|one| &one.outcome) {
            None => ("pending", Vec::new(), None),
            Some(DeliveryOutcome::Written) => ("written", Vec::new(), None),
            Some(DeliveryOutcome::Unchanged) => ("unchanged", Vec::new(), None),
            Some(DeliveryOutcome::Missing(keys)) => ("missing", keys.clone(), None),
            Some(DeliveryOutcome::Failed(problem)) => ("failed", Vec::new(), Some(problem.clone())),
        };
        let keys = file.enrolment.keys().iter().map(KeyPattern::as_str).map(str::to_owned);
        Self {
            path: file.enrolment.name().to_owned(),
            format,
            template,
            keys: keys.collect(),
            mode: format!("{:04o}", file.attributes.mode),
            outcome,
            at: receipt.as_ref().map(|one| one.at),
            versions: receipt.as_ref().map(|one| one.versions.clone()).unwrap_or_default(),
            missing_keys,
            problem,
            command_status: receipt.and_then(|one| one.command).map(|ended| match ended {
                CommandExit::Code(code) => code.to_string(),
                CommandExit::Signal(signal) => format!("signal {signal}"),
                CommandExit::TimedOut => "timed out".to_owned(),
                CommandExit::NotStarted(why) => format!("not started: {why}"),
            }),
        }
    }
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let environment = call.state.vault.read_environment(&call.permit)?;
    let declared = call.state.declared.now();
    let files = declared.files_of(&environment.name);
    let item = |file: &FileDelivery| DeliveryItem::new(file, call.state.delivery_statuses.of(file));
    Ok(Answer::json(&DeliveriesAnswer { deliveries: files.map(item).collect() }))
}
