//! What goes into files on this host: resolved, rendered, and written into a file
//! that is open.
//!
//! Must never: hand the text on in any other way. `Filled` takes a
//! `std::fs::File` and not any writer, so that a buffer in memory cannot be one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{EnvironmentName, KeyName, KeyPattern, Origin, Principal, Version};
use crate::formats::{self, Format, Heading, Template};
use crate::store::{CommitError, Decision};

use crate::vault::deliver::resolve::{Resolved, found, keys_and_versions, open, resolve};
use crate::vault::deliver::{Enrolment, name_digest};
use crate::vault::error::Error;
use crate::vault::lookup::{environment_row, find_environment};
use crate::vault::{Vault, policy};

/// It goes into a file on this host, in this form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToFile(Form);

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// All its keys, in a format.
    Format(Format),
    /// The keys that a template names.
    Template(Template),
}

impl Enrolment<ToFile> {
    /// A file, as `config.toml` declares it; known by its path.
    pub fn file(
        path: String,
        environment: EnvironmentName,
        keys: Vec<KeyPattern>,
        form: Form,
    ) -> Self {
        Self { name: path, environments: vec![environment], keys, outlet: ToFile(form) }
    }

    /// How it is written.
    pub fn form(&self) -> &Form {
        &self.outlet.0
    }

    /// The environment that it is from.
    pub fn environment(&self) -> &EnvironmentName {
        self.environments.first().expect("a file has one environment")
    }

    /// Whether the file would hold a key.
    pub fn holds(&self, key: &KeyName) -> bool {
        match self.form() {
            Form::Format(_) => self.takes(key),
            // Who wrote the template has named it.
            Form::Template(template) => {
                template.keys().contains(&key) && self.keys.iter().any(|one| one.matches(key))
            }
        }
    }

    /// The keys that must be there and are not: in a template those without a
    /// default, in a format those that are named without a `*`.
    fn missing(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let needed: BTreeSet<&str> = match self.form() {
            Form::Format(_) => {
                self.keys.iter().map(KeyPattern::as_str).filter(|key| !key.contains('*')).collect()
            }
            Form::Template(template) => template.needed().map(KeyName::as_str).collect(),
        };
        needed.into_iter().filter(|key| !is_there(key)).map(str::to_owned).collect()
    }
}

/// Why a file was not filled. What was there before stays.
#[derive(Debug, thiserror::Error)]
pub enum NotFilled {
    /// Keys that it needs have no value.
    #[error("no value for {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A value does not fit in the format.
    #[error("{0}")]
    Unfit(#[from] formats::UnsupportedValue),
    /// The environment is not there, a value does not open, nothing can be written.
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

/// A text for one file. Erased when dropped.
#[allow(missing_debug_implementations)]
pub struct Filled {
    text: Zeroizing<String>,
    /// Of which versions its values are.
    pub versions: BTreeMap<String, Version>,
}

impl Filled {
    /// Writes it into an open, empty file.
    pub fn write_to(&self, file: &mut File) -> io::Result<()> {
        file.write_all(self.text.as_bytes())
    }

    /// Whether an open file holds just this.
    pub fn is_in(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() != self.text.len() as u64 {
            return Ok(false);
        }
        let mut held = Zeroizing::new(Vec::with_capacity(self.text.len() + 1));
        file.take(self.text.len() as u64 + 1).read_to_end(&mut held)?;
        Ok(held.as_slice() == self.text.as_bytes())
    }
}

/// What a file would be filled with, before anything is opened.
struct Found {
    resolved: Vec<Resolved>,
    keyring: Arc<crate::vault::crypto::keyring::Keyring>,
}

impl Vault {
    /// Tells whether a file has to be filled anew: changes with what is in it.
    /// `None` while its environment is not there. May block on the disk.
    pub fn file_tag(&self, enrolment: &Enrolment<ToFile>) -> Result<Option<String>, Error> {
        let Some(environment) = find_environment(&*self.store, enrolment.environment().as_str())?
        else {
            return Ok(None);
        };
        let found = found(&*self.store, environment, |key| enrolment.holds(key))?;
        let mut texts = vec!["coffer file v1".to_owned(), environment.to_string()];
        for (key, found) in &found {
            let (id, version) = found.id_and_version();
            texts.extend([key.as_str().to_owned(), id, version.to_string()]);
        }
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let digest = name_digest(&texts);
        Ok(Some(digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// What is to go into a file. It is in the audit log, with keys and versions,
    /// before this returns.
    pub async fn fill_file(&self, enrolment: Arc<Enrolment<ToFile>>) -> Result<Filled, NotFilled> {
        let now = self.now();
        let draft = Draft::new(Action::DeliveryWrite, &Principal::host(), &Origin::host(), now);
        let draft = draft.named(enrolment.name());
        let keychain = self.keyring.clone();
        let wanted = Arc::clone(&enrolment);
        let found = self
            .store
            .change(move |tx| {
                let missing = Error::NotFound(ResourceType::Environment);
                let environment = find_environment(tx, wanted.environment().as_str())
                    .map_err(Error::from)?
                    .ok_or(missing)?;
                let row = environment_row(tx, environment)?;
                let draft = policy::label(draft, environment, &row);
                let holds = |key: &KeyName| wanted.holds(key);
                let keyring = keychain.now();
                let found = found(tx, environment, holds);
                let there: BTreeSet<String> =
                    found.iter().flatten().map(|(key, _)| key.as_str().to_owned()).collect();
                let missing = wanted.missing(|key| there.contains(key));
                if found.is_ok() && !missing.is_empty() {
                    let row = draft.refused(RefusalCode::MissingKeys);
                    return Ok(Decision::refused(NotFilled::Missing(missing), row));
                }
                let resolved =
                    found.and_then(|found| resolve(tx, &keyring, environment, found, holds));
                Ok(match resolved {
                    Ok(resolved) => {
                        let mut pieces = keys_and_versions(&resolved).into_iter();
                        let first = pieces.next().unwrap_or_default();
                        for piece in pieces {
                            tx.also(draft.clone().details(&json!({ "versions": piece })));
                        }
                        let draft = draft.details(&json!({ "versions": first }));
                        Decision::Applied(Found { resolved, keyring }, vec![draft])
                    }
                    Err(unreadable @ (Error::Undeliverable { .. } | Error::Damaged(_))) => {
                        Decision::refused(
                            unreadable.into(),
                            draft.refused(RefusalCode::SecretUnreadable),
                        )
                    }
                    Err(error) => return Err(error.into()),
                })
            })
            .from_reserve()
            .commit();
        let Found { resolved, keyring } = found.await?;
        let fill = move || -> Result<Filled, NotFilled> {
            let versions = resolved
                .iter()
                .map(|one| (one.key.as_str().to_owned(), one.version))
                .collect::<BTreeMap<_, _>>();
            let entries = open(&keyring, resolved)?;
            let pairs: Vec<_> =
                entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
            let text = match enrolment.form() {
                Form::Format(format) => {
                    let name = enrolment.environment().folded();
                    let heading = Heading { comment: Vec::new(), name: &name };
                    formats::write(*format, &pairs, &heading)?
                }
                Form::Template(template) => {
                    let values: BTreeMap<_, _> = pairs.into_iter().collect();
                    let lookup = |key: &KeyName| values.get(key.as_str()).copied();
                    template.render(lookup).map_err(|missing| {
                        NotFilled::Missing(
                            missing.into_iter().map(|key| key.as_str().to_owned()).collect(),
                        )
                    })?
                }
            };
            Ok(Filled { text, versions })
        };
        tokio::task::spawn_blocking(fill).await.map_err(|_| Error::Panicked)?
    }

    /// Records that a file was filled, and could not be put in place.
    pub async fn record_not_delivered(&self, path: &str) -> Result<(), Error> {
        let now = self.now();
        let draft = Draft::new(Action::DeliveryWrite, &Principal::host(), &Origin::host(), now);
        let draft = draft.named(path).refused(RefusalCode::DeliveryFailed);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }
}
