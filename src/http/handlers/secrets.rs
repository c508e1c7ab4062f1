//! `/api/environments/{environment}/secrets` and `/api/secrets/{id}`.

use serde_json::value::RawValue;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{Description, KeyName, Version};
use crate::vault::{
    Alphabet, Generate, NewSecret, NewValue, Plaintext, Read, Reveal, SecretPatch, Write,
};

use crate::http::State;
use crate::http::openapi::document::words;
use crate::http::request::call::{Call, NoBody, RequestBody};
use crate::http::request::json::{Members, Rule, boolean, named, nullable, text, typed};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{
    Done, SecretAnswer, SecretsAnswer, ValueAnswer, VersionsAnswer,
};

/// What PATCH cannot set. The names below `version` are what storage might be
/// called; a client that sends one believes something that is not so.
const READ_ONLY: [&str; 20] = [
    "id",
    "key",
    "environmentId",
    "createdAt",
    "updatedAt",
    "version",
    "encryptedValue",
    "ciphertext",
    "nonce",
    "iv",
    "tag",
    "authTag",
    "salt",
    "aad",
    "dataKey",
    "wrappedKey",
    "keyId",
    "valueHash",
    "hash",
    "fingerprint",
];

fn alphabet_words() -> ObjectBuilder {
    words(Alphabet::ALL.map(Alphabet::as_str))
        .description(Some("The characters it is made of; `alphanumeric` if it is not given."))
}

/// How a value is made in the server. It is in no answer.
#[derive(Debug, ToSchema)]
#[schema(as = Generate)]
pub(in crate::http) struct GenerateBody {
    /// How many characters; 32 if it is not given.
    #[schema(required = false, minimum = 1, maximum = 4096)]
    length: u16,
    #[schema(
        required = false,
        schema_with = alphabet_words
    )]
    alphabet: Alphabet,
}

/// A secret to create. One of `value` and `generate` is required, not both.
#[derive(ToSchema)]
#[schema(as = NewSecret)]
pub(in crate::http) struct CreateSecret {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, kept byte for byte.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1)]
    value: Option<Plaintext>,
    #[schema(nullable = false)]
    generate: Option<GenerateBody>,
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Description,
    /// Write-only, for good. Without it the environment's settings decide.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

/// Changes to a secret. `value` and `generate` do not go together. Read-only
/// members (`id`, `key`, `environmentId`, `createdAt`, `updatedAt`, `version` and
/// any name of a stored member) are refused with 422, whatever they say.
#[derive(ToSchema)]
#[schema(as = SecretPatch)]
pub(in crate::http) struct PatchSecret {
    /// Makes a new version, whether it differs or not.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1)]
    value: Option<Plaintext>,
    #[schema(nullable = false)]
    generate: Option<GenerateBody>,
    /// `null` or the empty text clears it.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
    /// `true` makes all versions write-only, for good. `false` is refused with 422
    /// if the secret is write-only.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

impl GenerateBody {
    const DEFAULT_LENGTH: u16 = 32;

    /// Notes its problems as those of members of `generate`.
    fn parse(members: &mut Members<'_>, limit: usize) -> Option<Self> {
        let object = "must be an object with length and alphabet";
        let raw = members.optional("generate", Ok)?;
        let Ok(mut inner) = Members::parse(raw.get().as_bytes()) else {
            members.problem("generate", object);
            return None;
        };
        let most = limit.min(Generate::MAX_LENGTH.into());
        let length = inner.optional("length", |raw| {
            // 32.0 is a whole number too (JSON Schema, section 6.1.1).
            let length = typed::<f64>(raw, "").ok().filter(|length| length.fract() == 0.0);
            length
                .map(|length| length as u16)
                .filter(|length| (1..=most).contains(&usize::from(*length)))
                .ok_or_else(|| Rule::Owned(format!("must be a whole number from 1 to {most}")))
        });
        let alphabet = inner.optional("alphabet", |raw| {
            Alphabet::from_word(&text(raw)?)
                .ok_or(Rule::Borrowed("must be alphanumeric, hex, base64url or ascii"))
        });
        members.adopt("generate", inner);
        Some(Self {
            length: length.unwrap_or(Self::DEFAULT_LENGTH),
            alphabet: alphabet.unwrap_or(Alphabet::Alphanumeric),
        })
    }
}

/// A value within its limit.
pub(in crate::http) fn plaintext(raw: &RawValue, limit: usize) -> Result<Plaintext, Rule> {
    let plaintext = typed::<Plaintext>(raw, "must be a string")?;
    if plaintext.fits(limit) {
        Ok(plaintext)
    } else {
        Err(Rule::Owned(format!("must be 1 to {limit} bytes of UTF-8")))
    }
}

/// `value` and `generate`, of which there may be one.
fn value_members(
    members: &mut Members<'_>,
    limit: usize,
) -> (Option<Plaintext>, Option<GenerateBody>) {
    if members.has("value") && members.has("generate") {
        members.problem("generate", "cannot stand beside value");
        return (None, None);
    }
    let value = members.optional("value", |raw| plaintext(raw, limit));
    (value, GenerateBody::parse(members, limit))
}

fn new_value(value: Option<Plaintext>, generate: Option<GenerateBody>) -> Option<NewValue> {
    let made =
        |GenerateBody { length, alphabet }| NewValue::Generated(Generate { length, alphabet });
    value.map(NewValue::Given).or(generate.map(made))
}

impl RequestBody for CreateSecret {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        members.refuse_misspelt("neverReveal")?;
        let key = members.required("key", named(KeyName::parse));
        let (value, generate) = value_members(&mut members, state.vault.limits().value_bytes);
        if !members.has("value") && !members.has("generate") {
            members.problem("value", "is required, unless generate is given");
        }
        let description = members.optional("description", nullable(Description::parse));
        let never_reveal = members.optional("neverReveal", boolean);
        let body = key.map(|key| Self {
            key,
            value,
            generate,
            description: description.unwrap_or_default(),
            never_reveal,
        });
        members.finish(body)
    }
}

impl RequestBody for PatchSecret {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        members.refuse_misspelt("neverReveal")?;
        let (value, generate) = value_members(&mut members, state.vault.limits().value_bytes);
        let body = Self {
            value,
            generate,
            description: members.optional("description", nullable(Description::parse)),
            never_reveal: members.optional("neverReveal", boolean),
        };
        members.finish(Some(body))
    }
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let page = call.query.page()?;
    let Call { state, permit, .. } = call;
    let key = (permit.environment()?.id(), page);
    let revision = (state.vault.revision(key.0), state.declared.revision());
    if let Some(kept) = state.lists.get(&key, revision) {
        return Ok(kept);
    }
    let answer = actix_web::web::block(move || {
        let listed = state.vault.list_secrets(&permit, &key.1)?;
        let secrets = listed.into_iter().map(|info| state.secret_item(info)).collect();
        let answer = Answer::json(&SecretsAnswer { secrets });
        state.lists.put(key, revision, &answer);
        Ok::<_, ApiError>(answer)
    });
    answer.await?
}

pub(in crate::http) async fn create(call: Call<Write, CreateSecret>) -> Result<Answer, ApiError> {
    let CreateSecret { key, value, generate, description, never_reveal } = call.body;
    // The body was refused unless it had one of the two.
    let value = new_value(value, generate)
        .ok_or_else(|| ApiError::invalid("value is required").field("value"))?;
    let new = NewSecret { key, value, description, never_reveal };
    let secret = call.state.secret_item(call.state.vault.create_secret(&call.permit, new).await?);
    Ok(Answer::json(&SecretAnswer { secret }))
}

pub(in crate::http) async fn read(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let secret =
        call.state.secret_item(call.state.vault.read_secret(&call.permit, call.id()).await?);
    Ok(Answer::json(&SecretAnswer { secret }))
}

pub(in crate::http) async fn reveal(call: Call<Reveal, NoBody>) -> Result<Answer, ApiError> {
    let id = call.id().to_owned();
    let value = call.state.vault.reveal_secret(call.permit, &id).await?;
    Ok(Answer::json(&ValueAnswer { value }))
}

pub(in crate::http) async fn update(call: Call<Write, PatchSecret>) -> Result<Answer, ApiError> {
    let expected = call.expected()?;
    let id = call.id().to_owned();
    let PatchSecret { value, generate, description, never_reveal } = call.body;
    let value = new_value(value, generate);
    let patch = SecretPatch { value, description, never_reveal, expected };
    let secret =
        call.state.secret_item(call.state.vault.update_secret(&call.permit, &id, patch).await?);
    Ok(Answer::json(&SecretAnswer { secret }))
}

pub(in crate::http) async fn delete(call: Call<Write, NoBody>) -> Result<Answer, ApiError> {
    let expected = call.expected()?;
    call.state.vault.delete_secret(&call.permit, call.id(), expected).await?;
    Ok(Answer::json(&Done { success: true }))
}

pub(in crate::http) async fn versions(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let listed = call.state.vault.list_versions(&call.permit, call.id()).await?;
    let versions = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&VersionsAnswer { versions }))
}

pub(in crate::http) async fn activate(call: Call<Write, NoBody>) -> Result<Answer, ApiError> {
    let text = call.segment("version");
    // One spelling: "01" and "+1" name nothing.
    let number = text.parse().ok().filter(|number: &u32| number.to_string() == text);
    let number = number.and_then(Version::new);
    let secret = call
        .state
        .secret_item(call.state.vault.activate_version(&call.permit, call.id(), number).await?);
    Ok(Answer::json(&SecretAnswer { secret }))
}
