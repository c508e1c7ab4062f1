//! `/api/environments/{environment}/secrets/import` and `…/vars/import`.

use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

use crate::domain::{Description, KeyName, OnConflict, Version};
use crate::vault::{
    Error, Import, ImportOutcome, ImportReport, Imported, ImportedSecret, NewVar, Plaintext, Write,
    read_dotenv,
};

use crate::http::State;
use crate::http::handlers::{secrets, vars};
use crate::http::openapi::document::words;
use crate::http::request::call::{Call, RequestBody};
use crate::http::request::json::{Members, Rule, boolean, named, nullable, text};
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code, Problem};

/// Most items of one import. Every one of them is a row of the audit log, in a
/// batch that others wait for.
const MOST_ITEMS: usize = 1000;

fn conflict_words() -> ObjectBuilder {
    words(OnConflict::ALL.map(OnConflict::as_str)).description(Some(
        "What becomes of items whose key is there: with `fail`, which it is if not given, \
         nothing at all is imported; `skip` leaves what is there; `replace` gives it a new version.",
    ))
}

/// A secret of an import.
#[derive(ToSchema)]
#[schema(as = ImportedSecret)]
#[allow(dead_code, missing_debug_implementations)]
pub(in crate::http) struct SecretItem {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, kept byte for byte.
    #[schema(value_type = String, min_length = 1)]
    value: Plaintext,
    /// Without it, one that is there keeps its description.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
    /// As when one secret is created or changed.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
}

/// Secrets to import, as a list or as the text of a `.env` file. No key stands in
/// it twice.
#[derive(ToSchema)]
#[schema(as = SecretImport)]
#[allow(dead_code, missing_debug_implementations)]
pub(in crate::http) struct ImportSecrets {
    #[schema(value_type = Vec<SecretItem>, min_items = 1, max_items = 1000, required = false)]
    secrets: Vec<SecretItem>,
    /// Instead of the list: a `.env` file, read as `coffer import` does.
    #[schema(nullable = false, min_length = 1, example = "SMTP_USER=mailer\nSMTP_PASSWORD='…'")]
    dotenv: Option<String>,
    /// What it is for all that stands in `dotenv`; an item of the list says so itself.
    #[schema(rename = "neverReveal", nullable = false)]
    never_reveal: Option<bool>,
    #[schema(rename = "onConflict", required = false, schema_with = conflict_words)]
    on_conflict: OnConflict,
    /// Only tell what would happen.
    #[schema(rename = "dryRun", required = false)]
    dry_run: bool,
}

/// A var of an import.
#[derive(Debug, ToSchema)]
#[schema(as = ImportedVar)]
#[allow(dead_code)]
pub(in crate::http) struct VarItem {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, kept byte for byte.
    #[schema(min_length = 1)]
    value: String,
    /// Without it, one that is there keeps its description.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
}

/// Vars to import, as a list or as the text of a `.env` file. No key stands in it
/// twice.
#[derive(Debug, ToSchema)]
#[schema(as = VarImport)]
#[allow(dead_code)]
pub(in crate::http) struct ImportVars {
    #[schema(value_type = Vec<VarItem>, min_items = 1, max_items = 1000, required = false)]
    vars: Vec<VarItem>,
    /// Instead of the list: a `.env` file, read as `coffer import` does.
    #[schema(nullable = false, min_length = 1, example = "LOG_LEVEL=info")]
    dotenv: Option<String>,
    #[schema(rename = "onConflict", required = false, schema_with = conflict_words)]
    on_conflict: OnConflict,
    /// Only tell what would happen.
    #[schema(rename = "dryRun", required = false)]
    dry_run: bool,
}

/// The schemas of what stands in the lists.
pub(in crate::http) fn item_schemas() -> [(String, RefOr<Schema>); 2] {
    [(SecretItem::name().into(), SecretItem::schema()), (VarItem::name().into(), VarItem::schema())]
}

/// A parsed import, described by `D`.
#[allow(missing_debug_implementations)]
pub(in crate::http) struct Body<D, T> {
    import: Import<T>,
    /// The keys of a text, in its order; `None` for a list.
    keys: Option<Vec<KeyName>>,
    described: std::marker::PhantomData<fn() -> D>,
}

fn on_conflict(members: &mut Members<'_>) -> OnConflict {
    let word = members.optional("onConflict", |raw| {
        OnConflict::from_word(&text(raw)?).ok_or(Rule::Borrowed("must be fail, skip or replace"))
    });
    word.unwrap_or(OnConflict::Fail)
}

/// What both kinds of body have in common: the items, from a list or from a text,
/// and two switches.
fn parse<D, T>(
    mut members: Members<'_>,
    (list, limit): (&'static str, usize),
    mut item: impl FnMut(&mut Members<'_>, KeyName) -> Option<T>,
    entry: impl FnMut(KeyName, Zeroizing<String>) -> T,
) -> Result<Body<D, T>, ApiError> {
    // Beside one that is known, an unknown one would be passed over: a whole file.
    for name in ["dryRun", "onConflict", "dotenv", list] {
        members.refuse_misspelt(name)?;
    }
    let (items, keys) = if members.has("dotenv") {
        from_dotenv(&mut members, list, limit, entry)
    } else {
        let mut seen = std::collections::HashSet::new();
        let items = members.objects(list, MOST_ITEMS, |inner| {
            let key = inner.required("key", named(KeyName::parse));
            if key.as_ref().is_some_and(|key| !seen.insert(key.clone())) {
                inner.problem("key", "stands in the list twice");
            }
            // Without a key it is refused, but what else is wrong is to be told.
            let nobody = KeyName::parse("X").expect("one letter is a key");
            item(inner, key.unwrap_or(nobody))
        });
        (items, None)
    };
    let on_conflict = on_conflict(&mut members);
    let dry_run = members.optional("dryRun", boolean).unwrap_or(false);
    let import = Import { items, on_conflict, dry_run };
    members.finish(Some(Body { import, keys, described: std::marker::PhantomData }))
}

/// The items of a `.env` file, and their keys. What is wrong names a line or a key
/// of it.
fn from_dotenv<T>(
    members: &mut Members<'_>,
    list: &str,
    limit: usize,
    mut entry: impl FnMut(KeyName, Zeroizing<String>) -> T,
) -> (Vec<T>, Option<Vec<KeyName>>) {
    if members.has(list) {
        members.problem("dotenv", format!("cannot stand beside {list}"));
        return (Vec::new(), None);
    }
    let read = |raw: &_| {
        let text = Zeroizing::new(text(raw)?.into_owned());
        let entries = read_dotenv(&text)
            .map_err(|problem| Rule::Owned(format!("cannot be read: {problem}")))?;
        let (count, most) = (entries.len(), MOST_ITEMS);
        if !(1..=most).contains(&count) {
            return Err(Rule::Owned(format!("must hold 1 to {most} keys, and holds {count}")));
        }
        match entries.iter().find(|(_, value)| !(1..=limit).contains(&value.len())) {
            None => Ok(entries),
            Some((key, _)) => Err(Rule::Owned(format!(
                "cannot be taken: the value of {key} must be 1 to {limit} bytes of UTF-8"
            ))),
        }
    };
    let entries = members.optional("dotenv", read).unwrap_or_default();
    let keys = entries.iter().map(|(key, _)| key.clone()).collect();
    (entries.into_iter().map(|(key, value)| entry(key, value)).collect(), Some(keys))
}

impl RequestBody for Body<ImportSecrets, ImportedSecret> {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((ImportSecrets::name().into(), <ImportSecrets as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = Members::parse(body)?;
        members.refuse_misspelt("neverReveal")?;
        if members.has("neverReveal") && !members.has("dotenv") {
            // Otherwise a list would be stored revealable that was not to be.
            members.problem("neverReveal", "goes with dotenv; in a list, each item says it");
        }
        let for_all = members.optional("neverReveal", boolean);
        let item = |members: &mut Members<'_>, key| {
            if members.refuse_misspelt("neverReveal").is_err() {
                members.problem("neverReveal", "is spelled neverReveal");
            }
            let value = members.required("value", |raw| secrets::plaintext(raw, limit));
            let description = members.optional("description", nullable(Description::parse));
            let never_reveal = members.optional("neverReveal", boolean);
            value.map(|value| ImportedSecret { key, value, description, never_reveal })
        };
        parse(members, ("secrets", limit), item, |key, value| ImportedSecret {
            key,
            value: value.into(),
            description: None,
            never_reveal: for_all,
        })
    }
}

impl RequestBody for Body<ImportVars, (NewVar, bool)> {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((ImportVars::name().into(), <ImportVars as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = Members::parse(body)?;
        if members.has("dotenv") {
            members.refuse_misspelt("neverReveal")?;
            if members.has("neverReveal") {
                // The same file, sent to the wrong list: everybody could read it.
                members.problem("neverReveal", "is for secrets; a var can always be read");
            }
        }
        let item = |members: &mut Members<'_>, key| {
            let value = members.required("value", |raw| vars::value(raw, limit));
            let description = members.optional("description", nullable(Description::parse));
            let described = description.is_some();
            let description = description.unwrap_or_default();
            value.map(|value| (NewVar { key, value, description }, described))
        };
        parse(members, ("vars", limit), item, |key, mut value| {
            let value = std::mem::take(&mut *value);
            (NewVar { key, value, description: Description::default() }, false)
        })
    }
}

fn outcome_words() -> ObjectBuilder {
    words(ImportOutcome::ALL.map(ImportOutcome::as_str)).description(Some(
        "`conflict` only in a dry run: without it, nothing would have been imported.",
    ))
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
pub(in crate::http) struct ImportItem {
    /// Nothing was written.
    dry_run: bool,
    created: usize,
    replaced: usize,
    skipped: usize,
    conflicts: usize,
    /// The items, in their order.
    results: Vec<ImportResult>,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportResult {
    #[schema(value_type = String, example = "DATABASE_URL")]
    key: KeyName,
    #[schema(schema_with = outcome_words)]
    outcome: &'static str,
    /// The version that is in force, or would be.
    #[schema(value_type = u32, minimum = 1)]
    version: Version,
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportAnswer {
    pub import: ImportItem,
}

impl From<&ImportReport> for ImportItem {
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

type SecretsBody = Body<ImportSecrets, ImportedSecret>;
type VarsBody = Body<ImportVars, (NewVar, bool)>;

/// What is refused of an item. The vault names its place in a list; in a text it has
/// none, but a key.
fn refused(keys: Option<&[KeyName]>, error: Error) -> ApiError {
    let Some(keys) = keys else { return error.into() };
    match error {
        Error::OfItem { index, error, .. } => {
            let error = ApiError::from(*error);
            // That one stands beside the text, everything else in it.
            let field = error.field.filter(|field| field == "neverReveal");
            let field = Some(field.unwrap_or_else(|| "dotenv".to_owned()));
            let message = format!("{}: {}", keys[index], error.message);
            ApiError { field, message, ..error }
        }
        Error::Conflicts { ref indices, .. } => {
            let problem = |index: &usize| Problem {
                field: "dotenv".to_owned(),
                message: format!("dotenv holds {}, which exists already", keys[*index]),
            };
            let problems = indices.iter().map(problem).collect();
            let hint = ApiError::from(error).hint;
            ApiError { hint, ..ApiError::problems(Code::Conflict, problems) }
        }
        error => error.into(),
    }
}

pub(in crate::http) async fn secrets(call: Call<Write, SecretsBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, body: Body { import, keys, .. }, .. } = call;
    let report = state.vault.import_secrets(&permit, import).await;
    let report = report.map_err(|error| refused(keys.as_deref(), error))?;
    Ok(Answer::json(&ImportAnswer { import: (&report).into() }))
}

pub(in crate::http) async fn vars(call: Call<Write, VarsBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, body: Body { import, keys, .. }, .. } = call;
    let report = state.vault.import_vars(&permit, import).await;
    let report = report.map_err(|error| refused(keys.as_deref(), error))?;
    Ok(Answer::json(&ImportAnswer { import: (&report).into() }))
}
