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

use tokio::time::{Instant, sleep_until};

use crate::domain::{EnvironmentName, Timestamp, Version};
use crate::vault::{Enrolment, NotFilled, ToFile, Vault};

use crate::delivery::hook::{self, Ended};
use crate::delivery::place::{self, Attributes, Placed};
use crate::delivery::{Catalogue, Declared};

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

/// Tells receipts apart: a path may be declared for another environment later,
/// whose readers are others.
type Place = (String, PathBuf);

/// The receipts. They begin anew with each start, which looks at every file.
#[derive(Debug, Default)]
pub struct Receipts(Mutex<BTreeMap<Place, (FileDelivery, Receipt)>>);

impl Receipts {
    /// That of a file, as it is declared now.
    pub fn of(&self, file: &FileDelivery) -> Option<Receipt> {
        let receipts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, receipt) = receipts.get(&file.place()).filter(|(of, _)| of == file)?;
        Some(receipt.clone())
    }

    fn put(&self, file: &FileDelivery, receipt: Receipt) {
        let mut receipts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.insert(file.place(), (file.clone(), receipt));
    }
}

/// What could not be written, or whose command has failed, is tried again after so
/// long.
const AGAIN: Duration = Duration::from_secs(60);

/// What was done about a file last.
#[derive(Debug, Default)]
struct Dealt {
    /// What was to be in it.
    tag: Option<String>,
    /// It is in it.
    is_there: bool,
    /// Its command has still to succeed.
    owes_command: bool,
    /// When it is tried again although nothing has changed.
    again: Option<Instant>,
}

/// Looks after all files: at the start, and when something changes.
pub async fn keep_delivering(
    vault: &Vault,
    declared: &Declared,
    receipts: &Receipts,
) -> Infallible {
    let (mut rows, mut catalogues) = (vault.changes(), declared.changes());
    let mut dealt: BTreeMap<Place, Dealt> = BTreeMap::new();
    let mut last: Arc<Catalogue> = Arc::default();
    loop {
        let catalogue = declared.now();
        if !Arc::ptr_eq(&last, &catalogue) {
            // Declared anew, it is looked at anew.
            dealt.clear();
            last = Arc::clone(&catalogue);
        }
        for file in catalogue.files() {
            // What was struck off meanwhile is not delivered any more.
            if !Arc::ptr_eq(&declared.now(), &catalogue) {
                break;
            }
            let tag = vault.file_tag(&file.enrolment).ok().flatten();
            let before = dealt.get(&file.place());
            let is_due = before.is_none_or(|before| {
                before.tag != tag || before.again.is_some_and(|again| again <= Instant::now())
            });
            if is_due {
                let is_news = before.is_none_or(|before| before.tag != tag);
                let (receipt, now) = deliver(vault, file, (before, tag), receipts.of(file)).await;
                tell(file, &receipt, is_news);
                receipts.put(file, receipt);
                dealt.insert(file.place(), now);
            }
        }
        let again = dealt.values().filter_map(|dealt| dealt.again).min();
        let pause = async {
            match again {
                Some(again) => sleep_until(again).await,
                None => std::future::pending().await,
            }
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
async fn deliver(
    vault: &Vault,
    file: &FileDelivery,
    (before, tag): (Option<&Dealt>, Option<String>),
    receipt: Option<Receipt>,
) -> (Receipt, Dealt) {
    let at = vault.now();
    let (versions, last_command) =
        receipt.map(|receipt| (receipt.versions, receipt.command)).unwrap_or_default();
    let again = Some(Instant::now() + AGAIN);
    let failed = |outcome: Outcome| {
        // A key that is missing comes with a change.
        let again = again.filter(|_| !matches!(outcome, Outcome::Missing(_)));
        let owes_command = before.is_some_and(|before| before.owes_command);
        let receipt = Receipt { at, outcome, versions, command: last_command.clone() };
        (receipt, Dealt { tag: tag.clone(), is_there: false, owes_command, again })
    };
    let filled = match vault.fill_file(Arc::clone(&file.enrolment)).await {
        Ok(filled) => filled,
        Err(NotFilled::Missing(keys)) => return failed(Outcome::Missing(keys)),
        Err(NotFilled::Unfit(unfit)) => {
            // Which value, and why, is for the host: it tells something of the value.
            log::error!("{}: {unfit}", file.path.display());
            record_failure(vault, file).await;
            return failed(Outcome::Failed(UNFIT.to_owned()));
        }
        Err(error) => return failed(Outcome::Failed(error.to_string())),
    };
    // Whether a new version has the value of an old one is for nobody to learn. So
    // what is there counts only when the server looks for the first time, or when it
    // has put the very same versions there.
    let may_be_there =
        before.is_none_or(|before| before.is_there && before.tag == tag && tag.is_some());
    let held = filled.versions.clone();
    let job = file.clone();
    let placed = tokio::task::spawn_blocking(move || {
        place::place(
            &job.path,
            &job.attributes,
            |open| if may_be_there { filled.is_in(open) } else { Ok(false) },
            |empty| filled.write_to(empty),
        )
    });
    let problem = match placed.await {
        Ok(Ok(placed)) => {
            let owes = placed == Placed::Written || before.is_some_and(|one| one.owes_command);
            let command = if owes { run_command(file).await } else { None };
            let outcome = match placed {
                Placed::Written => Outcome::Written,
                Placed::Unchanged => Outcome::Unchanged,
            };
            let owes_command = command.as_ref().is_some_and(|ended| !ended.is_good());
            let again = again.filter(|_| owes_command);
            let command = command.or(last_command);
            let receipt = Receipt { at, outcome, versions: held, command };
            return (receipt, Dealt { tag, is_there: true, owes_command, again });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the thread that wrote it ended".to_owned(),
    };
    record_failure(vault, file).await;
    failed(Outcome::Failed(problem))
}

const UNFIT: &str =
    "a value does not fit in the format; the server's log on the host says which, and why";

/// The row before says what was to be delivered; it was not.
async fn record_failure(vault: &Vault, file: &FileDelivery) {
    if let Err(error) = vault.record_not_delivered(file.enrolment.name()).await {
        log::error!("that {} was not written is not in the log: {error}", file.path.display());
    }
}

/// In a thread that nobody waits for when the server stops: a command may take long.
async fn run_command(file: &FileDelivery) -> Option<Ended> {
    let (words, limit) = (file.on_change.clone(), file.limit);
    let (tell, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = tell.send(hook::run(&words, limit));
    });
    ended.await.ok().flatten()
}

impl FileDelivery {
    fn place(&self) -> Place {
        (self.environment().folded(), self.path.clone())
    }

    /// The environment that it is from.
    pub fn environment(&self) -> &EnvironmentName {
        self.enrolment.environment()
    }
}
