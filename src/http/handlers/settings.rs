//! `/api/environments/{environment}/settings/configuration`.

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::vault::{Administer, SettingsPatch};

use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, boolean};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::SettingsAnswer;

/// Changes to settings. Unlike elsewhere, an unknown member is refused, so that a misspelled
/// setting does not look as if it had been applied.
#[derive(Debug, ToSchema)]
#[schema(as = SettingsPatch)]
pub(in crate::http) struct PatchSettings {
    /// Whether admins may reveal revealable secrets in this environment.
    #[schema(rename = "allowSecretReveal", nullable = false)]
    allow_secret_reveal: Option<bool>,
    /// The default of `neverReveal` for new secrets.
    #[schema(rename = "neverRevealByDefault", nullable = false)]
    never_reveal_by_default: Option<bool>,
}

impl RequestBody for PatchSettings {
    fn constrain(schema: &mut Value) {
        schema["additionalProperties"] = json!(false);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_unknown(&["allowSecretReveal", "neverRevealByDefault"])?;
        let body = Self {
            allow_secret_reveal: members.optional("allowSecretReveal", boolean),
            never_reveal_by_default: members.optional("neverRevealByDefault", boolean),
        };
        members.finish(Some(body))
    }
}

pub(in crate::http) async fn read(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let settings = call.state.vault.read_settings(&call.permit)?.into();
    Ok(Answer::json(&SettingsAnswer { settings }))
}

pub(in crate::http) async fn update(
    call: Call<Administer, PatchSettings>,
) -> Result<Answer, ApiError> {
    let PatchSettings { allow_secret_reveal, never_reveal_by_default } = call.body;
    let patch = SettingsPatch { allow_secret_reveal, never_reveal_by_default };
    let settings = call.state.vault.update_settings(&call.permit, patch).await?.into();
    Ok(Answer::json(&SettingsAnswer { settings }))
}

pub(in crate::http) async fn reset(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let settings = call.state.vault.reset_settings(&call.permit).await?.into();
    Ok(Answer::json(&SettingsAnswer { settings }))
}
