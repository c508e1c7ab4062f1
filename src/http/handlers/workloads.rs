//! `/api/environments/{environment}/workloads` and `…/bundle`.
//!
//! Must never: answer with anything of a value but ciphertext for recipients
//! that the host has declared; take a recipient from a request.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;

use crate::audit::ResourceType;
use crate::domain::KeyPattern;
use crate::vault::{self, Enrolment, Read, ToRecipients};

use crate::http::request::call::{Call, NoBody};
use crate::http::request::if_none_match::names;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;

/// Longest time that a request may wait for a change, in seconds.
pub(in crate::http) const MOST_WAIT: usize = 60;

/// A workload that `config.toml` on the host declares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workload)]
pub(in crate::http) struct WorkloadItem {
    #[schema(example = "api")]
    name: String,
    /// The public keys that its bundles are sealed to.
    recipients: Vec<String>,
    /// The keys that it gets; `*` stands for any characters.
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
    /// By name.
    workloads: Vec<WorkloadItem>,
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let environment = call.state.vault.read_environment(&call.permit)?;
    let declared = call.state.declared.now();
    let workloads = declared.workloads_of(&environment.name).map(Into::into).collect();
    Ok(Answer::json(&WorkloadsAnswer { workloads }))
}

pub(in crate::http) async fn bundle(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let missing = || ApiError::invalid("workload is required").field("workload");
    let name = call.query.get("workload")?.ok_or_else(missing)?.to_owned();
    let wait = call.query.number("wait", 0..=MOST_WAIT)?.unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(wait as u64);
    let known = call.request.headers().clone();
    let Call { state, permit, .. } = call;
    let permit = Arc::new(permit);
    let environment = permit.environment()?.id();
    // Before anything is looked at, so that no change falls in between.
    let _place = state.bundles.try_acquire().map_err(|_| ApiError::busy())?;
    let (mut rows, mut declared) = (state.vault.changes(), state.declared.changes());
    let mut stopping = state.stopping();
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
            // Struck off, or sealed to others, while it was being made.
            if state.declared.now().workload(&name) != Some(enrolment) {
                continue;
            }
            return Ok(Answer::sealed(sealed.bytes, &sealed.tag));
        }
        let changed = async {
            loop {
                tokio::select! {
                    _ = rows.changed() => {
                        // Another environment's change is none of ours.
                        if state.vault.revision(environment) != seen { return; }
                    }
                    _ = declared.changed() => return,
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(until) => return Ok(Answer::not_modified(&tag)),
            () = stopping.begun() => return Ok(Answer::not_modified(&tag)),
        }
    }
}
