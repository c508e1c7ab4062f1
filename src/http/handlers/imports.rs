//! `/api/environments/{environment}/secrets/import` and `…/vars/import`.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use zeroize::Zeroizing;

use crate::domain::{Description, KeyName, OnConflict, Version};
use crate::vault::{
    Error, Import, ImportOutcome, ImportReport, Imported, ImportedSecret, NewVar, Plaintext, Write,
    read_dotenv,
};

use crate::http::handlers::on_conflict::{self, on_conflict, on_conflict_schema};
use crate::http::handlers::{secrets, vars};
use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, Rule, boolean, named, nullable, text};
use crate::http::request::parse::RequestBody;
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::code::Code;
use crate::http::response::error::{ApiError, Problem};
use crate::http::response::schema::words;

/// The largest number of items in one import. Each one adds a row to the audit log, in a batch that
/// other writes wait for.
const MAX_ITEMS: usize = 1000;

/// The keys and values of a `.env` file, in its order.
type DotenvEntries = Vec<(KeyName, Zeroizing<String>)>;

/// A secret to import.
#[derive(ToSchema)]
#[schema(as = ImportedSecret)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct SecretToImport {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, stored byte for byte.
    #[schema(value_type = String, min_length = 1)]
    value: Plaintext,
    /// If it is not given, an existing secret keeps its description.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
    /// As when a single secret is created or changed.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

/// Secrets to import, as a list or as the text of a `.env` file, without duplicate keys.
#[derive(ToSchema)]
#[schema(as = SecretImport)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct ImportSecrets {
    #[schema(min_items = 1, max_items = 1000, required = false)]
    secrets: Vec<SecretToImport>,
    /// Instead of the list: the text of a `.env` file, read as `coffer import` does.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, example = "SMTP_USER=mailer\nSMTP_PASSWORD='…'")]
    dotenv: Option<DotenvEntries>,
    /// Applies to all secrets in `dotenv`. In a list, each item has its own.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
    #[schema(rename = "onConflict", required = false, schema_with = on_conflict_schema)]
    on_conflict: OnConflict,
    /// Report what would happen, and change nothing.
    #[schema(rename = "dryRun", required = false)]
    dry_run: bool,
}

/// A var to import.
#[derive(Debug, ToSchema)]
#[schema(as = ImportedVar)]
pub(in crate::http) struct VarToImport {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, stored byte for byte.
    #[schema(min_length = 1)]
    value: String,
    /// If it is not given, an existing var keeps its description.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
}

/// Vars to import, as a list or as the text of a `.env` file, without duplicate keys.
#[derive(ToSchema)]
#[schema(as = VarImport)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct ImportVars {
    #[schema(min_items = 1, max_items = 1000, required = false)]
    vars: Vec<VarToImport>,
    /// Instead of the list: the text of a `.env` file, read as `coffer import` does.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, example = "LOG_LEVEL=info")]
    dotenv: Option<DotenvEntries>,
    #[schema(rename = "onConflict", required = false, schema_with = on_conflict_schema)]
    on_conflict: OnConflict,
    /// Report what would happen, and change nothing.
    #[schema(rename = "dryRun", required = false)]
    dry_run: bool,
}

/// What both kinds of import have in common.
struct ImportMembers<T> {
    items: Vec<T>,
    dotenv: Option<DotenvEntries>,
    on_conflict: OnConflict,
    dry_run: bool,
}

impl<T> ImportMembers<T> {
    /// Parses the items, from the list or from `dotenv`, and the two options.
    fn parse(
        members: &mut BodyMembers<'_>,
        list: &'static str,
        limit: usize,
        mut item: impl FnMut(&mut BodyMembers<'_>, KeyName) -> Option<T>,
    ) -> Result<Self, ApiError> {
        // Next to a correct member, a misspelled one would be ignored, and with it a whole file.
        for name in ["dryRun", on_conflict::MEMBER, "dotenv", list] {
            members.refuse_misspelled(name)?;
        }
        let (items, dotenv) = if members.has("dotenv") {
            (Vec::new(), Some(dotenv_entries(members, list, limit)))
        } else {
            let mut seen = HashSet::new();
            let items = members.objects(list, MAX_ITEMS, |inner| {
                let key = inner.required("key", named(KeyName::parse));
                if key.as_ref().is_some_and(|key| !seen.insert(key.clone())) {
                    inner.problem("key", "is a duplicate");
                }
                // Without a key the item is refused, but its other problems are reported too.
                let placeholder = KeyName::parse("X").expect("one letter is a key");
                item(inner, key.unwrap_or(placeholder))
            });
            (items, None)
        };
        let on_conflict = on_conflict(members);
        let dry_run = members.optional("dryRun", boolean).unwrap_or(false);
        Ok(Self { items, dotenv, on_conflict, dry_run })
    }
}

/// Parses the entries of a `.env` file. A problem names a line or a key of it.
fn dotenv_entries(members: &mut BodyMembers<'_>, list: &str, limit: usize) -> DotenvEntries {
    if members.has(list) {
        members.problem("dotenv", format!("cannot be combined with {list}"));
        return Vec::new();
    }
    let read = |raw: &_| {
        let text = Zeroizing::new(text(raw)?.into_owned());
        let entries = read_dotenv(&text)
            .map_err(|problem| Rule::Owned(format!("cannot be read: {problem}")))?;
        let (count, max) = (entries.len(), MAX_ITEMS);
        if !(1..=max).contains(&count) {
            return Err(Rule::Owned(format!("must have 1 to {max} keys, but has {count}")));
        }
        match entries.iter().find(|(_, value)| !(1..=limit).contains(&value.len())) {
            None => Ok(entries),
            Some((key, _)) => Err(Rule::Owned(format!(
                "cannot be imported: the value of {key} must be 1 to {limit} bytes of UTF-8"
            ))),
        }
    };
    members.optional("dotenv", read).unwrap_or_default()
}

fn keys_of(dotenv: Option<&DotenvEntries>) -> Option<Vec<KeyName>> {
    dotenv.map(|entries| entries.iter().map(|(key, _)| key.clone()).collect())
}

/// Adds that exactly one of the list and `dotenv` is required, and what excludes `neverReveal`.
fn constrain_import(schema: &mut Value, list: &str, without_never_reveal: &str) {
    schema["oneOf"] = json!([{ "required": [list] }, { "required": ["dotenv"] }]);
    schema["not"] = json!({ "required": [without_never_reveal, "neverReveal"] });
}

impl RequestBody for ImportSecrets {
    fn constrain(schema: &mut Value) {
        // It applies to a whole file; in a list each item has its own.
        constrain_import(schema, "secrets", "secrets");
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = BodyMembers::parse(body)?;
        members.refuse_misspelled("neverReveal")?;
        if members.has("neverReveal") && !members.has("dotenv") {
            // Ignoring it would store a list of write-only secrets as revealable ones.
            members.problem("neverReveal", "is only for dotenv; in a list, set it on each item");
        }
        let never_reveal = members.optional("neverReveal", boolean);
        let item = |members: &mut BodyMembers<'_>, key| {
            if members.refuse_misspelled("neverReveal").is_err() {
                members.problem("neverReveal", "must be spelled neverReveal");
            }
            let value = members.required("value", |raw| secrets::plaintext(raw, limit));
            let description = members.optional("description", nullable(Description::parse));
            let never_reveal = members.optional("neverReveal", boolean);
            value.map(|value| SecretToImport { key, value, description, never_reveal })
        };
        let parsed = ImportMembers::parse(&mut members, "secrets", limit, item)?;
        let ImportMembers { items, dotenv, on_conflict, dry_run } = parsed;
        members.finish(Some(Self { secrets: items, dotenv, never_reveal, on_conflict, dry_run }))
    }
}

impl RequestBody for ImportVars {
    fn constrain(schema: &mut Value) {
        // A file of secrets must not be imported as vars; in a list, each item shows its kind.
        constrain_import(schema, "vars", "dotenv");
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = BodyMembers::parse(body)?;
        if members.has("dotenv") {
            members.refuse_misspelled("neverReveal")?;
            if members.has("neverReveal") {
                // A file of secrets that was sent to the wrong route would become readable.
                members.problem("neverReveal", "is only for secrets; vars can always be read");
            }
        }
        let item = |members: &mut BodyMembers<'_>, key| {
            let value = members.required("value", |raw| vars::value(raw, limit));
            let description = members.optional("description", nullable(Description::parse));
            value.map(|value| VarToImport { key, value, description })
        };
        let parsed = ImportMembers::parse(&mut members, "vars", limit, item)?;
        let ImportMembers { items, dotenv, on_conflict, dry_run } = parsed;
        members.finish(Some(Self { vars: items, dotenv, on_conflict, dry_run }))
    }
}

impl From<SecretToImport> for ImportedSecret {
    fn from(item: SecretToImport) -> Self {
        let SecretToImport { key, value, description, never_reveal } = item;
        Self { key, value, description, never_reveal }
    }
}

impl From<ImportSecrets> for Import<ImportedSecret> {
    fn from(body: ImportSecrets) -> Self {
        let ImportSecrets { secrets, dotenv, never_reveal, on_conflict, dry_run } = body;
        let of_entry = |(key, value): (KeyName, Zeroizing<String>)| ImportedSecret {
            key,
            value: value.into(),
            description: None,
            never_reveal,
        };
        let items = match dotenv {
            Some(entries) => entries.into_iter().map(of_entry).collect(),
            None => secrets.into_iter().map(Into::into).collect(),
        };
        Self { items, on_conflict, dry_run }
    }
}

/// A var to import, and whether it comes with a description.
type VarImport = (NewVar, bool);

impl From<ImportVars> for Import<VarImport> {
    fn from(body: ImportVars) -> Self {
        let ImportVars { vars, dotenv, on_conflict, dry_run } = body;
        let of_entry = |(key, mut value): (KeyName, Zeroizing<String>)| {
            let value = std::mem::take(&mut *value);
            (NewVar { key, value, description: Description::default() }, false)
        };
        let of_item = |VarToImport { key, value, description }: VarToImport| {
            let has_description = description.is_some();
            let description = description.unwrap_or_default();
            (NewVar { key, value, description }, has_description)
        };
        let items = match dotenv {
            Some(entries) => entries.into_iter().map(of_entry).collect(),
            None => vars.into_iter().map(of_item).collect(),
        };
        Self { items, on_conflict, dry_run }
    }
}

fn outcome_words() -> ObjectBuilder {
    words(ImportOutcome::ALL.map(ImportOutcome::as_str)).description(Some(
        "`conflict` occurs only in a dry run. Without it, nothing would have been imported.",
    ))
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
pub(in crate::http) struct ImportReportItem {
    /// Whether nothing was written.
    dry_run: bool,
    created: usize,
    replaced: usize,
    skipped: usize,
    conflicts: usize,
    /// One result per item, in the order of the import.
    results: Vec<ImportResult>,
}

/// The result for one item.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportResult {
    #[schema(value_type = String, example = "DATABASE_URL")]
    key: KeyName,
    #[schema(schema_with = outcome_words)]
    outcome: &'static str,
    /// The current version after the import.
    #[schema(value_type = u32, minimum = 1)]
    version: Version,
}

/// The result of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportAnswer {
    pub import: ImportReportItem,
}

impl From<&ImportReport> for ImportReportItem {
    fn from(report: &ImportReport) -> Self {
        let count = |outcome| report.items.iter().filter(|item| item.outcome == outcome).count();
        let result = |item: &Imported| ImportResult {
            key: item.key.clone(),
            outcome: item.outcome.as_str(),
            version: item.version,
        };
        Self {
            dry_run: report.dry_run,
            created: count(ImportOutcome::Created),
            replaced: count(ImportOutcome::Replaced),
            skipped: count(ImportOutcome::Skipped),
            conflicts: count(ImportOutcome::Conflict),
            results: report.items.iter().map(result).collect(),
        }
    }
}

/// Makes an error refer to what the caller sent. The vault names an item by its index in a list; an
/// item of a `.env` file has no index, so it is named by its key.
fn import_error(dotenv_keys: Option<&[KeyName]>, error: Error) -> ApiError {
    let Some(keys) = dotenv_keys else { return error.into() };
    match error {
        Error::OfItem { index, error, .. } => {
            let error = ApiError::from(*error);
            // neverReveal is a member next to dotenv; everything else is inside it.
            let field = error.field.filter(|field| field == "neverReveal");
            let field = Some(field.unwrap_or_else(|| "dotenv".to_owned()));
            let message = format!("{}: {}", keys[index], error.message);
            ApiError { field, message, ..error }
        }
        Error::Conflicts { ref indices, .. } => {
            let problem = |index: &usize| Problem {
                field: "dotenv".to_owned(),
                message: format!("dotenv has {}, which already exists", keys[*index]),
            };
            let problems = indices.iter().map(problem).collect();
            let hint = ApiError::from(error).hint;
            ApiError { hint, ..ApiError::problems(Code::Conflict, problems) }
        }
        error => error.into(),
    }
}

pub(in crate::http) async fn secrets(call: Call<Write, ImportSecrets>) -> Result<Answer, ApiError> {
    let Call { state, permit, body, .. } = call;
    let keys = keys_of(body.dotenv.as_ref());
    let report = state.vault.import_secrets(&permit, body.into()).await;
    let report = report.map_err(|error| import_error(keys.as_deref(), error))?;
    Ok(Answer::json(&ImportAnswer { import: (&report).into() }))
}

pub(in crate::http) async fn vars(call: Call<Write, ImportVars>) -> Result<Answer, ApiError> {
    let Call { state, permit, body, .. } = call;
    let keys = keys_of(body.dotenv.as_ref());
    let report = state.vault.import_vars(&permit, body.into()).await;
    let report = report.map_err(|error| import_error(keys.as_deref(), error))?;
    Ok(Answer::json(&ImportAnswer { import: (&report).into() }))
}
