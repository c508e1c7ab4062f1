//! Files on this host: their content is resolved, rendered, and written into an open file.
//!
//! Must never: hand out the text in any other way. [`FileContent::write_to`] takes a
//! `std::fs::File` and not any writer, so that the text cannot be written into memory.
//! Called by: `delivery`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{EnvironmentName, KeyName, KeyPattern, Origin, Principal, Version};
use crate::formats::{self, Format, Heading, Template};
use crate::store::{CommitError, Decision, Tx};

use crate::vault::crypto::keyring::Keyring;
use crate::vault::deliver::enrolment::Enrolment;
use crate::vault::deliver::resolve::{
    Resolved, content_tag, delivery_row, matched_rows, open, resolve,
};
use crate::vault::error::Error;
use crate::vault::lookup::{environment_row, find_environment};
use crate::vault::policy;
use crate::vault::service::Vault;

/// The outlet of a file on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToFile(FileForm);

/// How the text of a file is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileForm {
    /// From all keys that the enrolment takes, in a format.
    Format(Format),
    /// From a template, with the keys that it names.
    Template(Template),
}

impl Enrolment<ToFile> {
    /// Builds the enrolment of a file, as `config.toml` declares it. Its name is its path.
    pub fn file(
        path: String,
        environment: EnvironmentName,
        keys: Vec<KeyPattern>,
        form: FileForm,
    ) -> Self {
        Self { name: path, environments: vec![environment], keys, outlet: ToFile(form) }
    }

    /// Returns how the text of the file is made.
    pub fn form(&self) -> &FileForm {
        &self.outlet.0
    }

    /// Returns the environment that the values come from.
    pub fn environment(&self) -> &EnvironmentName {
        self.environments.first().expect("`Enrolment::file` sets one environment")
    }

    /// Returns whether the file uses a key.
    pub fn holds(&self, key: &KeyName) -> bool {
        match self.form() {
            FileForm::Format(_) => self.takes(key),
            // A template names its keys, so variables that control programs need no exception.
            FileForm::Template(template) => {
                template.keys().contains(&key) && self.keys.iter().any(|one| one.matches(key))
            }
        }
    }

    /// Returns the required keys that do not exist: in a template, keys without a default; in a
    /// format, keys that are named without a `*`.
    fn missing(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let needed: BTreeSet<&str> = match self.form() {
            FileForm::Format(_) => {
                self.keys.iter().map(KeyPattern::as_str).filter(|key| !key.contains('*')).collect()
            }
            FileForm::Template(template) => template.needed().map(KeyName::as_str).collect(),
        };
        needed.into_iter().filter(|key| !is_there(key)).map(str::to_owned).collect()
    }
}

/// Why a file was not filled. Its previous content stays.
#[derive(Debug, thiserror::Error)]
pub enum NotFilled {
    /// Required keys do not exist.
    #[error("no value for {}", .0.join(", "))]
    Missing(Vec<String>),
    /// The format cannot express a value.
    #[error("{0}")]
    Unfit(#[from] formats::UnsupportedValue),
    /// The environment does not exist, a value does not open, or the database takes no writes.
    #[error("{0}")]
    Vault(#[from] Error),
}

impl From<CommitError<NotFilled>> for NotFilled {
    fn from(error: CommitError<NotFilled>) -> Self {
        match error {
            CommitError::Refused(error) => error,
            CommitError::Unavailable(why) => Error::from(why).into(),
            CommitError::Panicked => Error::Panicked.into(),
        }
    }
}

/// The text of one file. Erased when dropped.
#[allow(missing_debug_implementations)]
pub struct FileContent {
    text: Zeroizing<String>,
    /// The versions of the values, by key.
    pub versions: BTreeMap<String, Version>,
}

impl FileContent {
    /// Writes the text into an open, empty file.
    pub fn write_to(&self, file: &mut File) -> io::Result<()> {
        file.write_all(self.text.as_bytes())
    }

    /// Returns whether an open file contains exactly this text.
    pub fn is_in(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() != self.text.len() as u64 {
            return Ok(false);
        }
        let mut present = Zeroizing::new(Vec::with_capacity(self.text.len() + 1));
        file.take(self.text.len() as u64 + 1).read_to_end(&mut present)?;
        Ok(present.as_slice() == self.text.as_bytes())
    }
}

/// The content of a file that is resolved, but not opened.
struct ResolvedFile {
    values: Vec<Resolved>,
    /// The keyring that the tickets open with. A later one may no longer have the wrapping key.
    keyring: Arc<Keyring>,
}

/// Resolves the content of a file inside the writer.
fn resolve_file(
    tx: &mut Tx<'_>,
    keyring: Arc<Keyring>,
    enrolment: &Enrolment<ToFile>,
    draft: Draft,
) -> Result<Decision<ResolvedFile, NotFilled>, NotFilled> {
    let missing = Error::NotFound(ResourceType::Environment);
    let environment = find_environment(tx, enrolment.environment().as_str())
        .map_err(Error::from)?
        .ok_or(missing)?;
    let row = environment_row(tx, environment)?;
    let draft = policy::label(draft, environment, &row);
    let holds = |key: &KeyName| enrolment.holds(key);
    let matched = matched_rows(tx, environment, holds);
    let existing: BTreeSet<String> =
        matched.iter().flatten().map(|(key, _)| key.as_str().to_owned()).collect();
    let missing = enrolment.missing(|key| existing.contains(key));
    if matched.is_ok() && !missing.is_empty() {
        let row = draft.refused(RefusalCode::MissingKeys);
        return Ok(Decision::refused(NotFilled::Missing(missing), row));
    }
    match matched.and_then(|matched| resolve(tx, &keyring, environment, matched, holds)) {
        Ok(values) => {
            let row_of = |versions| json!({ "versions": versions });
            let draft = delivery_row(tx, draft, &values, row_of);
            Ok(Decision::Applied(ResolvedFile { values, keyring }, vec![draft]))
        }
        Err(unreadable @ (Error::Undeliverable { .. } | Error::Damaged(_))) => {
            let row = draft.refused(RefusalCode::SecretUnreadable);
            Ok(Decision::refused(unreadable.into(), row))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the values of a file and renders its text.
fn render(enrolment: &Enrolment<ToFile>, resolved: ResolvedFile) -> Result<FileContent, NotFilled> {
    let ResolvedFile { values, keyring } = resolved;
    let versions = values
        .iter()
        .map(|one| (one.key.as_str().to_owned(), one.version))
        .collect::<BTreeMap<_, _>>();
    let values = open(&keyring, values)?;
    let pairs: Vec<_> = values.iter().map(|one| (one.key.as_str(), one.value.as_str())).collect();
    let text = match enrolment.form() {
        FileForm::Format(format) => {
            let name = enrolment.environment().folded();
            let heading = Heading { comment: Vec::new(), name: &name };
            formats::write(*format, &pairs, &heading)?
        }
        FileForm::Template(template) => {
            let values: BTreeMap<_, _> = pairs.into_iter().collect();
            let lookup = |key: &KeyName| values.get(key.as_str()).copied();
            template.render(lookup).map_err(|missing| {
                let names = missing.into_iter().map(|key| key.as_str().to_owned());
                NotFilled::Missing(names.collect())
            })?
        }
    };
    Ok(FileContent { text, versions })
}

impl Vault {
    /// Returns a tag that changes whenever the content of a file does; `None` while its environment
    /// does not exist. May block on the disk.
    pub fn file_tag(&self, enrolment: &Enrolment<ToFile>) -> Result<Option<String>, Error> {
        let Some(environment) = find_environment(&*self.store, enrolment.environment().as_str())?
        else {
            return Ok(None);
        };
        let matched = matched_rows(&*self.store, environment, |key| enrolment.holds(key))?;
        let texts = vec!["coffer file v1".to_owned(), environment.to_string()];
        Ok(Some(content_tag(texts, &matched)))
    }

    /// Renders the content of a file. Its keys and versions are durable in the audit log before
    /// this returns.
    pub async fn fill_file(
        &self,
        enrolment: Arc<Enrolment<ToFile>>,
    ) -> Result<FileContent, NotFilled> {
        let now = self.now();
        let draft = Draft::new(Action::DeliveryWrite, &Principal::host(), &Origin::host(), now);
        let draft = draft.named(enrolment.name());
        let (shared, enrolled) = (Arc::clone(&self.keyring), Arc::clone(&enrolment));
        let resolved = self
            .store
            .change(move |tx| resolve_file(tx, shared.current(), &enrolled, draft))
            .from_reserve()
            .commit();
        let resolved = resolved.await?;
        tokio::task::spawn_blocking(move || render(&enrolment, resolved))
            .await
            .map_err(|_| Error::Panicked)?
    }

    /// Records that the content of a file could not be put in place.
    pub async fn record_not_delivered(&self, path: &str) -> Result<(), Error> {
        let now = self.now();
        let draft = Draft::new(Action::DeliveryWrite, &Principal::host(), &Origin::host(), now);
        let draft = draft.named(path).refused(RefusalCode::DeliveryFailed);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }
}
