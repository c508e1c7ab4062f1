//! Files on this host that the server keeps up to date.
//!
//! Owns: when a file is written, its receipt.
//! Must never: keep anything of a value or of a command's output; write while
//! the one before is still being written.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::{EnvironmentName, Timestamp, Version};
use crate::vault::{Enrolment, NotFilled, ToFile, Vault};

use super::hook::{self, Ended};
use super::place::{self, Attributes, NotPlaced, Placed};
use super::{Catalogue, Declared};

/// A file that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDelivery {
    /// What goes into it; its name is the path.
    pub enrolment: Arc<Enrolment<ToFile>>,
    /// Where it is.
    pub path: PathBuf,
    /// Its format, or the path of its template, in words.
    pub form: FormName,
    /// Mode and owners.
    pub attributes: Attributes,
    /// What is run after it has changed.
    pub on_change: Vec<String>,
    /// How long that may take.
    pub limit: Duration,
}

/// What a form is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormName {
    /// A format.
    Format(&'static str),
    /// A template, by its path.
    Template(String),
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A new file is there.
    Written,
    /// The same was there already.
    Unchanged,
    /// Keys have no value; the old file stays.
    Missing(Vec<String>),
    /// It could not be written; the old file stays.
    Failed(String),
}

/// What is known about a file: never what is in it, or what its command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// When it was last looked after.
    pub at: Timestamp,
    /// What came of that.
    pub outcome: Outcome,
    /// The versions that are in it, by key; of the last time that worked.
    pub versions: BTreeMap<String, Version>,
    /// How its command ended, if one was run then.
    pub command: Option<Ended>,
}

/// The receipts, by path. They begin anew with each start, which looks at every
/// file.
#[derive(Debug, Default)]
pub struct Receipts(Mutex<BTreeMap<PathBuf, Receipt>>);

impl Receipts {
    /// That of a file.
    pub fn of(&self, path: &std::path::Path) -> Option<Receipt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn put(&self, path: PathBuf, receipt: Receipt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, receipt);
    }
}

/// A file that could not be written is tried again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// Looks after all files: at the start, and when something changes.
pub async fn keep_delivering(
    vault: &Vault,
    declared: &Declared,
    receipts: &Receipts,
) -> Infallible {
    let (mut rows, mut catalogues) = (vault.changes(), declared.changes());
    // By path: what was seen when it was last dealt with.
    let mut seen: BTreeMap<PathBuf, Option<String>> = BTreeMap::new();
    let mut last: Arc<Catalogue> = Arc::default();
    loop {
        let catalogue = declared.now();
        if !Arc::ptr_eq(&last, &catalogue) {
            // Declared anew, it is looked at anew.
            seen.clear();
            last = Arc::clone(&catalogue);
        }
        let mut again = false;
        for file in catalogue.files() {
            let tag = vault.file_tag(&file.enrolment).ok().flatten();
            if tag.is_some() && seen.get(&file.path) == Some(&tag) {
                continue;
            }
            let before = receipts.of(&file.path);
            let receipt = deliver(vault, file, before).await;
            let is_done = !matches!(receipt.outcome, Outcome::Failed(_));
            again |= !is_done;
            let is_news = seen.get(&file.path).is_none_or(|old| *old != tag);
            tell(file, &receipt, is_news);
            receipts.put(file.path.clone(), receipt);
            // What has failed is tried again although nothing has changed.
            seen.insert(file.path.clone(), if is_done { tag } else { None });
        }
        let pause = async {
            if again { tokio::time::sleep(AGAIN).await } else { std::future::pending().await }
        };
        tokio::select! {
            _ = rows.changed() => {}
            _ = catalogues.changed() => {}
            () = pause => {}
        }
    }
}

fn tell(file: &FileDelivery, receipt: &Receipt, is_news: bool) {
    let path = file.path.display();
    match &receipt.outcome {
        Outcome::Written => log::info!("{path} was written"),
        Outcome::Unchanged => {}
        _ if !is_news => {}
        Outcome::Missing(keys) => {
            log::error!("{path} stays as it is: there is no value for {}", keys.join(", "));
        }
        Outcome::Failed(problem) => log::error!("{path} stays as it is: {problem}"),
    }
    match &receipt.command {
        Some(ended) if !ended.is_good() => log::error!("the command of {path}: {ended:?}"),
        _ => {}
    }
}

/// Writes one file and runs its command, if need be.
async fn deliver(vault: &Vault, file: &FileDelivery, before: Option<Receipt>) -> Receipt {
    let at = vault.now();
    let versions = before.map(|before| before.versions).unwrap_or_default();
    let kept = |outcome| Receipt { at, outcome, versions, command: None };
    let filled = match vault.fill_file(Arc::clone(&file.enrolment)).await {
        Ok(filled) => filled,
        Err(NotFilled::Missing(keys)) => return kept(Outcome::Missing(keys)),
        Err(error) => return kept(Outcome::Failed(error.to_string())),
    };
    let versions = filled.versions.clone();
    let job = file.clone();
    let placed = tokio::task::spawn_blocking(move || {
        let placed = place::place(
            &job.path,
            &job.attributes,
            |open| filled.is_in(open),
            |empty| filled.write_to(empty),
        )?;
        // Before the command runs, which may take a while.
        drop(filled);
        let command = match placed {
            Placed::Written => hook::run(&job.on_change, job.limit),
            Placed::Unchanged => None,
        };
        Ok::<_, NotPlaced>((placed, command))
    });
    let problem = match placed.await {
        Ok(Ok((placed, command))) => {
            let outcome = match placed {
                Placed::Written => Outcome::Written,
                Placed::Unchanged => Outcome::Unchanged,
            };
            return Receipt { at, outcome, versions, command };
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the thread that wrote it ended".to_owned(),
    };
    if let Err(error) = vault.record_not_delivered(file.enrolment.name()).await {
        log::error!("that {} was not written is not in the log: {error}", file.path.display());
    }
    kept(Outcome::Failed(problem))
}

impl FileDelivery {
    /// The environment that it is from.
    pub fn environment(&self) -> &EnvironmentName {
        self.enrolment.environment()
    }
}
