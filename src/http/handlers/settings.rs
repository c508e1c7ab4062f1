//! `/api/environments/{environment}/settings/configuration`.

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::vault::{Administer, SettingsPatch};

use crate::http::State;
use crate::http::request::call::{Call, NoBody, RequestBody};
use crate::http::request::json::{Members, boolean};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::SettingsAnswer;

/// Changes to settings. Unlike elsewhere, an unknown member is refused: a
/// misspelt switch must not look as if it had been thrown.
#[derive(Debug, ToSchema)]
#[schema(as = SettingsPatch)]
pub(in crate::http) struct PatchSettings {
    /// Whether admins may reveal revealable secrets here.
    #[schema(rename = "allowSecretReveal", nullable = false)]
    allow_secret_reveal: Option<bool>,
    /// What `neverReveal` is for a new secret that does not say.
    #[schema(rename = "neverRevealByDefault", nullable = false)]
    never_reveal_by_default: Option<bool>,
}

impl RequestBody for PatchSettings {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
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
