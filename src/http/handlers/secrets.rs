//! `/api/environments/{environment}/secrets` and `/api/secrets/{id}`.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::domain::{Description, KeyName, Version};
use crate::vault::{
    Alphabet, Generate, NewSecret, NewValue, Plaintext, Read, Reveal, SecretPatch, Write,
};

use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, Rule, boolean, named, nullable, text, typed};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{
    Done, SecretAnswer, SecretsAnswer, ValueAnswer, VersionsAnswer,
};
use crate::http::response::schema::words;

/// Members that PATCH cannot set. Those after `version` are names that stored members might have; a
/// client that sends one is mistaken about what it can change.
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
        .description(Some("The characters to use. Default: `alphanumeric`."))
}

/// How the server generates a value. The value is not in the answer.
#[derive(Debug, ToSchema)]
#[schema(as = Generate)]
pub(in crate::http) struct GenerateBody {
    /// The number of characters. Default: 32.
    #[schema(required = false, minimum = 1, maximum = 4096)]
    length: u16,
    #[schema(required = false, schema_with = alphabet_words)]
    alphabet: Alphabet,
}

/// A secret to create. Exactly one of `value` and `generate` is required.
#[derive(ToSchema)]
#[schema(as = NewSecret)]
pub(in crate::http) struct CreateSecret {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, stored byte for byte.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1)]
    value: Option<Plaintext>,
    #[schema(nullable = false)]
    generate: Option<GenerateBody>,
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Description,
    /// Permanently write-only. The default is set in the environment's settings.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

/// Changes to a secret. `value` and `generate` cannot be combined. Read-only members (`id`, `key`,
/// `environmentId`, `createdAt`, `updatedAt`, `version` and any name of a stored member) are
/// refused with 422, whatever their value is.
#[derive(ToSchema)]
#[schema(as = SecretPatch)]
pub(in crate::http) struct PatchSecret {
    /// Adds a new version, even if the value is the same.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1)]
    value: Option<Plaintext>,
    #[schema(nullable = false)]
    generate: Option<GenerateBody>,
    /// `null` or an empty string clears it.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
    /// `true` makes all versions permanently write-only. `false` is refused with 422 if the secret
    /// is write-only.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

impl GenerateBody {
    const DEFAULT_LENGTH: u16 = 32;

    /// Parses the member `generate`, and notes its problems with that prefix.
    fn parse(members: &mut BodyMembers<'_>, limit: usize) -> Option<Self> {
        let object = "must be an object with length and alphabet";
        let raw = members.optional("generate", Ok)?;
        let Ok(mut inner) = BodyMembers::parse(raw.get().as_bytes()) else {
            members.problem("generate", object);
            return None;
        };
        let max = limit.min(Generate::MAX_LENGTH.into());
        let length = inner.optional("length", |raw| {
            // JSON Schema (section 6.1.1) counts 32.0 as a whole number.
            let length = typed::<f64>(raw, "").ok().filter(|length| length.fract() == 0.0);
            length
                .map(|length| length as u16)
                .filter(|length| (1..=max).contains(&usize::from(*length)))
                .ok_or_else(|| Rule::Owned(format!("must be a whole number from 1 to {max}")))
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

/// Parses a value and checks its length.
pub(in crate::http) fn plaintext(raw: &RawValue, limit: usize) -> Result<Plaintext, Rule> {
    let plaintext = typed::<Plaintext>(raw, "must be a string")?;
    if plaintext.fits(limit) {
        Ok(plaintext)
    } else {
        Err(Rule::Owned(format!("must be 1 to {limit} bytes of UTF-8")))
    }
}

/// Parses `value` and `generate`, of which at most one may be present.
fn value_members(
    members: &mut BodyMembers<'_>,
    limit: usize,
) -> (Option<Plaintext>, Option<GenerateBody>) {
    if members.has("value") && members.has("generate") {
        members.problem("generate", "cannot be combined with value");
        return (None, None);
    }
    let value = members.optional("value", |raw| plaintext(raw, limit));
    (value, GenerateBody::parse(members, limit))
}

fn new_value(value: Option<Plaintext>, generate: Option<GenerateBody>) -> Option<NewValue> {
    let generated =
        |GenerateBody { length, alphabet }| NewValue::Generated(Generate { length, alphabet });
    value.map(NewValue::Given).or(generate.map(generated))
}

impl RequestBody for CreateSecret {
    fn constrain(schema: &mut Value) {
        schema["oneOf"] = json!([{ "required": ["value"] }, { "required": ["generate"] }]);
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_misspelled("neverReveal")?;
        let key = members.required("key", named(KeyName::parse));
        let (value, generate) = value_members(&mut members, state.vault.limits().value_bytes);
        if !members.has("value") && !members.has("generate") {
            members.problem("value", "or generate is required");
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
    fn constrain(schema: &mut Value) {
        schema["not"] = json!({ "required": ["value", "generate"] });
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        members.refuse_misspelled("neverReveal")?;
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
    if let Some(body) = state.lists.get(&key, revision) {
        return Ok(Answer::rendered(body));
    }
    let answer = actix_web::web::block(move || {
        let listed = state.vault.list_secrets(&permit, &key.1)?;
        let secrets = listed.into_iter().map(|info| state.secret_item(info)).collect();
        let answer = Answer::json(&SecretsAnswer { secrets });
        state.lists.put(key, revision, &answer.body);
        Ok::<_, ApiError>(answer)
    });
    answer.await?
}

pub(in crate::http) async fn create(call: Call<Write, CreateSecret>) -> Result<Answer, ApiError> {
    let CreateSecret { key, value, generate, description, never_reveal } = call.body;
    // The body is refused unless it has one of the two.
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
    // A number has one spelling: "01" and "+1" name no version.
    let number = text.parse().ok().filter(|number: &u32| number.to_string() == text);
    let number = number.and_then(Version::new);
    let secret = call
        .state
        .secret_item(call.state.vault.activate_version(&call.permit, call.id(), number).await?);
    Ok(Answer::json(&SecretAnswer { secret }))
}
