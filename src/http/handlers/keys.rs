//! `/api/admin/keys/…`.
//!
//! Must never: show more of a key than its number and its root key's fingerprint.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{SecretId, Timestamp, Version};
use crate::vault::{Administer, KeyInfo, KeyStatus, RotationBegun, RotationInfo};

use crate::http::request::call::{Call, NoBody};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// Whether new keys are wrapped under a wrapping key.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum KeyState {
    /// They are.
    Active,
    /// They are not; what is still wrapped under it keeps it.
    Retiring,
}

/// A wrapping key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
pub(in crate::http) struct KeyItem {
    id: u32,
    state: KeyState,
    /// Tells which root key it is made from.
    #[schema(example = "5f1c0a9e77b2d304")]
    root_fingerprint: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// How many keys are wrapped under it: one for each version of each secret,
    /// and two of the server.
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

/// How far a rotation is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Rotation)]
pub(in crate::http) struct RotationItem {
    /// The wrapping key that it made.
    key: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// `null` while it is under way.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    finished_at: Option<Timestamp>,
    /// How many keys were wrapped again so far.
    rewrapped: u64,
    /// How many keys are wrapped under another key now.
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

/// The root keys that the server was given.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RootKey)]
pub(in crate::http) struct RootKeyItem {
    fingerprint: String,
    /// Of the one that was given beside it.
    #[schema(required = true)]
    previous_fingerprint: Option<String>,
    /// Whether something is still wrapped under a wrapping key made from that one.
    previous_needed: bool,
}

/// A version whose data key does not open.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct UnopenedVersion {
    #[schema(value_type = String, example = "sec_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    secret_id: SecretId,
    #[schema(value_type = u32)]
    version: Version,
}

/// The wrapping keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct KeysAnswer {
    /// The lowest number first.
    keys: Vec<KeyItem>,
    /// The last one; `null` when there never was one.
    #[schema(required = true)]
    rotation: Option<RotationItem>,
    root_key: RootKeyItem,
    /// Up to 20 versions that the last rotation had to leave, because their data
    /// keys do not open. They keep their wrapping key from being retired.
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

/// What came of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RotationAnswer {
    pub rotation: BegunItem,
}

/// A rotation that has begun; `GET /api/admin/keys` shows how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotationBegun)]
pub(in crate::http) struct BegunItem {
    /// The wrapping key that it made, which is in force.
    key: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
}

impl From<RotationBegun> for BegunItem {
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
