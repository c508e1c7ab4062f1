//! `/api/admin/keys/…`: the wrapping keys and their rotation.
//!
//! Must never: show more of a key than its number and the fingerprint of its root key.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{SecretId, Timestamp, Version};
use crate::vault::{Administer, KeyInfo, KeyStatus, RotationBegun, RotationInfo};

use crate::http::request::call::Call;
use crate::http::request::parse::NoBody;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// Whether new data keys are wrapped under a wrapping key.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum KeyState {
    /// New data keys are wrapped under it.
    Active,
    /// It is only kept for the keys that are still wrapped under it.
    Retiring,
}

/// A wrapping key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
pub(in crate::http) struct KeyItem {
    id: u32,
    state: KeyState,
    /// Identifies the root key that it is derived from.
    #[schema(example = "5f1c0a9e77b2d304")]
    root_fingerprint: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// How many keys are wrapped under it: one for each version of each secret, and two of the
    /// server.
    wrapped: u64,
}

impl From<KeyInfo> for KeyItem {
    fn from(info: KeyInfo) -> Self {
        Self {
            id: info.id,
            state: if info.active { KeyState::Active } else { KeyState::Retiring },
            root_fingerprint: info.root.to_string(),
            created_at: info.created_at,
            wrapped: info.wrapped,
        }
    }
}

/// The progress of a rotation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Rotation)]
pub(in crate::http) struct RotationItem {
    /// The wrapping key that it created.
    key: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// `null` while it is in progress.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    finished_at: Option<Timestamp>,
    /// How many keys have been rewrapped so far.
    rewrapped: u64,
    /// How many keys are still wrapped under another key.
    left: u64,
}

impl From<RotationInfo> for RotationItem {
    fn from(info: RotationInfo) -> Self {
        Self {
            key: info.key,
            started_at: info.started_at,
            finished_at: info.finished_at,
            rewrapped: info.rewrapped,
            left: info.left,
        }
    }
}

/// The root keys that the server was started with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RootKey)]
pub(in crate::http) struct RootKeyItem {
    fingerprint: String,
    /// The fingerprint of the previous root key, if one was given.
    #[schema(required = true)]
    previous_fingerprint: Option<String>,
    /// Whether anything is still wrapped under a wrapping key derived from the previous root key.
    previous_needed: bool,
}

/// A version whose data key cannot be decrypted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct UnopenedVersion {
    #[schema(value_type = String, example = "sec_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    secret_id: SecretId,
    #[schema(value_type = u32)]
    version: Version,
}

/// The wrapping keys and the last rotation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct KeysAnswer {
    /// In ascending order of their numbers.
    keys: Vec<KeyItem>,
    /// The last rotation; `null` if there never was one.
    #[schema(required = true)]
    rotation: Option<RotationItem>,
    root_key: RootKeyItem,
    /// Up to 20 versions that the last rotation skipped because their data keys cannot be
    /// decrypted. Their wrapping key cannot be retired.
    unopened: Vec<UnopenedVersion>,
}

impl From<KeyStatus> for KeysAnswer {
    fn from(status: KeyStatus) -> Self {
        let unopened = status.unopened.into_iter();
        Self {
            keys: status.keys.into_iter().map(Into::into).collect(),
            rotation: status.rotation.map(Into::into),
            root_key: RootKeyItem {
                fingerprint: status.root.to_string(),
                previous_fingerprint: status.previous_root.map(|root| root.to_string()),
                previous_needed: status.previous_root_needed,
            },
            unopened: unopened
                .map(|(secret_id, version)| UnopenedVersion { secret_id, version })
                .collect(),
        }
    }
}

/// The rotation that was started.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RotationAnswer {
    pub rotation: StartedRotationItem,
}

/// A rotation that was started. `GET /api/admin/keys` shows its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotationBegun)]
pub(in crate::http) struct StartedRotationItem {
    /// The wrapping key that it made, which is active now.
    key: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
}

impl From<RotationBegun> for StartedRotationItem {
    fn from(RotationBegun { key, started_at }: RotationBegun) -> Self {
        Self { key, started_at }
    }
}

pub(in crate::http) async fn status(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let status = actix_web::web::block(move || state.vault.key_status(&permit)).await??;
    Ok(Answer::json(&KeysAnswer::from(status)))
}

pub(in crate::http) async fn rotate(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let rotation = call.state.vault.rotate_keys(&call.permit).await?.into();
    Ok(Answer::json(&RotationAnswer { rotation }))
}

pub(in crate::http) async fn retire(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.vault.retire_key(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}
