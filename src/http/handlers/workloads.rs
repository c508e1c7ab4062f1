//! `/api/environments/{environment}/workloads` and `…/bundle`.
//!
//! Must never: answer with a value other than as ciphertext for recipients that the server's
//! configuration declares; take a recipient from a request.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;

use crate::audit::ResourceType;
use crate::domain::KeyPattern;
use crate::vault::{self, Enrolment, Read, ToRecipients};

use crate::http::request::call::Call;
use crate::http::request::if_none_match::names;
use crate::http::request::parameter::Parameter;
use crate::http::request::parse::NoBody;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::schema;

/// The parameters of a request for a bundle.
pub(in crate::http) const BUNDLE: &[Parameter] = &[WORKLOAD, WAIT, KNOWN_TAG];
const WORKLOAD: Parameter = Parameter::query(
    "workload",
    || schema::text().min_length(Some(1)),
    "The name of a workload in the server's configuration.",
)
.required();
/// How long a request may wait for a change, in seconds.
const WAIT_SECONDS: RangeInclusive<usize> = 0..=60;
const WAIT: Parameter = Parameter::number(
    "wait",
    WAIT_SECONDS,
    "How many seconds to wait for a bundle other than the one in `If-None-Match`.",
);
/// Any text is accepted: one that is not a tag of this server matches nothing.
const KNOWN_TAG: Parameter = Parameter::header(
    "If-None-Match",
    schema::text,
    "The `ETag` of the bundle that the client has; 304 if it is still current.",
);

/// A workload that `config.toml` on the server declares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workload)]
pub(in crate::http) struct WorkloadItem {
    #[schema(example = "api")]
    name: String,
    /// The public keys that its bundles are encrypted to.
    recipients: Vec<String>,
    /// The keys that it receives; `*` matches any characters.
    keys: Vec<String>,
}

impl From<&Enrolment<ToRecipients>> for WorkloadItem {
    fn from(enrolment: &Enrolment<ToRecipients>) -> Self {
        Self {
            name: enrolment.name().to_owned(),
            recipients: enrolment.recipients().iter().map(ToString::to_string).collect(),
            keys: enrolment.keys().iter().map(KeyPattern::as_str).map(str::to_owned).collect(),
        }
    }
}

/// The workloads of an environment.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct WorkloadsAnswer {
    /// Ordered by name.
    workloads: Vec<WorkloadItem>,
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let environment = call.state.vault.read_environment(&call.permit)?;
    let declared = call.state.declared.now();
    let workloads = declared.workloads_of(&environment.name).map(Into::into).collect();
    Ok(Answer::json(&WorkloadsAnswer { workloads }))
}

pub(in crate::http) async fn bundle(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let missing = || ApiError::invalid("workload is required").field(WORKLOAD.name);
    let name = call.query.get(WORKLOAD.name)?.ok_or_else(missing)?.to_owned();
    let wait = call.query.number(WAIT.name, WAIT_SECONDS)?.unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(wait as u64);
    let known = call.request.headers().clone();
    let Call { state, permit, .. } = call;
    let permit = Arc::new(permit);
    let environment = permit.environment()?.id();
    let _slot = state.bundles.try_acquire().map_err(|_| ApiError::busy())?;
    // Subscribed before anything is read, so that no change is missed in between.
    let (mut rows, mut declared) = (state.vault.changes(), state.declared.changes());
    let mut stopping = state.stop_listener();
    loop {
        let unknown = vault::Error::NotFound(ResourceType::Workload);
        let enrolment = state.declared.now().workload(&name).ok_or(unknown)?;
        let seen = state.vault.revision(environment);
        let tag = {
            let (state, permit) = (state.clone(), Arc::clone(&permit));
            let enrolment = Arc::clone(&enrolment);
            actix_web::web::block(move || state.vault.bundle_tag(&permit, &enrolment)).await??
        };
        if !names(&known, &tag) {
            let sealed = state.vault.deliver_bundle(&permit, Arc::clone(&enrolment)).await?;
            // The configuration removed the workload or changed its recipients meanwhile.
            if state.declared.now().workload(&name) != Some(enrolment) {
                continue;
            }
            return Ok(Answer::sealed(sealed.bytes, &sealed.tag));
        }
        let changed = async {
            loop {
                tokio::select! {
                    _ = rows.changed() => {
                        // Changes in other environments do not matter.
                        if state.vault.revision(environment) != seen { return; }
                    }
                    _ = declared.changed() => return,
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(until) => return Ok(Answer::not_modified(&tag)),
            () = stopping.stopped() => return Ok(Answer::not_modified(&tag)),
        }
    }
}
