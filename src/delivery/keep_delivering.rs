//! Keeps the declared files up to date.
//!
//! Owns: when a file is written, and when a failed one is retried.
//! Must never: keep a value or the output of a command, or write a file while the previous write is
//! still running.
//! Called by: `server`, as one task for the life of the process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::delivery::atomic_file::{self, WriteOutcome};
use crate::delivery::catalog::{Catalog, Declared};
use crate::delivery::file_delivery::{FileDelivery, FileKey};
use crate::delivery::hook::{self, CommandExit};
use crate::delivery::status::{DeliveryOutcome, DeliveryStatus, DeliveryStatuses};
use crate::vault::{NotFilled, Vault};

/// The delay before a failed write or command is retried.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// The state of a file after its last delivery.
#[derive(Debug, Default)]
struct FileState {
    /// Identifies the versions of that delivery.
    tag: Option<String>,
    /// Whether the file contains them.
    is_there: bool,
    /// Whether the command has yet to succeed.
    owes_command: bool,
    /// When to retry even if nothing changes.
    retry_at: Option<Instant>,
}

/// Delivers all files at the start and whenever something changes.
pub async fn keep_delivering(
    vault: &Vault,
    declared: &Declared,
    statuses: &DeliveryStatuses,
) -> Infallible {
    let (mut rows, mut catalogs) = (vault.changes(), declared.changes());
    let mut states: BTreeMap<FileKey, FileState> = BTreeMap::new();
    let mut last: Arc<Catalog> = Arc::default();
    loop {
        let catalog = declared.now();
        if !Arc::ptr_eq(&last, &catalog) {
            // A reload delivers every file again.
            states.clear();
            last = Arc::clone(&catalog);
        }
        for file in catalog.files() {
            // A file that a reload removed in the meantime must not be delivered.
            if !Arc::ptr_eq(&declared.now(), &catalog) {
                break;
            }
            let tag = vault.file_tag(&file.enrolment).ok().flatten();
            let before = states.get(&file.key());
            let is_due = before.is_none_or(|before| {
                before.tag != tag
                    || before.retry_at.is_some_and(|retry_at| retry_at <= Instant::now())
            });
            if is_due {
                let is_news = before.is_none_or(|before| before.tag != tag);
                let (status, state) = deliver(vault, file, (before, tag), statuses.of(file)).await;
                log_outcome(file, &status, is_news);
                statuses.put(file, status);
                states.insert(file.key(), state);
            }
        }
        let retry_at = states.values().filter_map(|state| state.retry_at).min();
        let pause = async {
            match retry_at {
                Some(retry_at) => sleep_until(retry_at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = rows.changed() => {}
            _ = catalogs.changed() => {}
            () = pause => {}
        }
    }
}

/// Logs an outcome; a failure only once, not at every retry.
fn log_outcome(file: &FileDelivery, status: &DeliveryStatus, is_news: bool) {
    let path = file.path.display();
    match &status.outcome {
        DeliveryOutcome::Written => log::info!("wrote {path}"),
        DeliveryOutcome::Unchanged => {}
        _ if !is_news => {}
        DeliveryOutcome::Missing(keys) => {
            log::error!("did not update {path}: no value for {}", keys.join(", "));
        }
        DeliveryOutcome::Failed(problem) => log::error!("did not update {path}: {problem}"),
    }
    match &status.command {
        Some(exit) if !exit.is_success() => {
            log::error!("the on_change command of {path} failed: {exit}");
        }
        _ => {}
    }
}

/// Writes a file if its content changes, and runs its command if it has to.
async fn deliver(
    vault: &Vault,
    file: &FileDelivery,
    (before, tag): (Option<&FileState>, Option<String>),
    status: Option<DeliveryStatus>,
) -> (DeliveryStatus, FileState) {
    let at = vault.now();
    let (versions, last_command) =
        status.map(|status| (status.versions, status.command)).unwrap_or_default();
    let retry_at = Some(Instant::now() + RETRY_DELAY);
    let failed = |outcome: DeliveryOutcome| {
        // A missing key can only appear with a change, which delivers the file anyway.
        let retry_at = retry_at.filter(|_| !matches!(outcome, DeliveryOutcome::Missing(_)));
        let owes_command = before.is_some_and(|before| before.owes_command);
        let status = DeliveryStatus { at, outcome, versions, command: last_command.clone() };
        (status, FileState { tag: tag.clone(), is_there: false, owes_command, retry_at })
    };
    let filled = match vault.fill_file(Arc::clone(&file.enrolment)).await {
        Ok(filled) => filled,
        Err(NotFilled::Missing(keys)) => return failed(DeliveryOutcome::Missing(keys)),
        Err(NotFilled::Unfit(unfit)) => {
            // The key and the reason go to the host's log only: they reveal something about the
            // value.
            log::error!("{}: {unfit}", file.path.display());
            record_failure(vault, file).await;
            return failed(DeliveryOutcome::Failed(UNSUPPORTED_VALUE.to_owned()));
        }
        Err(error) => return failed(DeliveryOutcome::Failed(error.to_string())),
    };
    // Nobody may learn whether a new version has the same value as an old one. So the present
    // content counts only at the first delivery, or if the server wrote the same versions before.
    let may_be_there =
        before.is_none_or(|before| before.is_there && before.tag == tag && tag.is_some());
    let delivered = filled.versions.clone();
    let job = file.clone();
    let written = tokio::task::spawn_blocking(move || {
        atomic_file::replace(
            &job.path,
            &job.attributes,
            |open| if may_be_there { filled.is_in(open) } else { Ok(false) },
            |empty| filled.write_to(empty),
        )
    });
    let problem = match written.await {
        Ok(Ok(written)) => {
            let owes =
                written == WriteOutcome::Written || before.is_some_and(|state| state.owes_command);
            let command = if owes { run_command(file).await } else { None };
            let outcome = match written {
                WriteOutcome::Written => DeliveryOutcome::Written,
                WriteOutcome::Unchanged => DeliveryOutcome::Unchanged,
            };
            let owes_command = command.as_ref().is_some_and(|exit| !exit.is_success());
            let retry_at = retry_at.filter(|_| owes_command);
            let command = command.or(last_command);
            let status = DeliveryStatus { at, outcome, versions: delivered, command };
            return (status, FileState { tag, is_there: true, owes_command, retry_at });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the writing thread panicked".to_owned(),
    };
    record_failure(vault, file).await;
    failed(DeliveryOutcome::Failed(problem))
}

const UNSUPPORTED_VALUE: &str =
    "a value cannot be written in this format; see the server's log for the key and the reason";

/// Records that a delivery failed, after the row that announced it.
async fn record_failure(vault: &Vault, file: &FileDelivery) {
    if let Err(error) = vault.record_not_delivered(file.enrolment.name()).await {
        log::error!(
            "cannot record in the audit log that {} was not written: {error}",
            file.path.display()
        );
    }
}

/// Runs the command in a thread that a stopping server does not wait for: a command may take long.
async fn run_command(file: &FileDelivery) -> Option<CommandExit> {
    let (words, limit) = (file.on_change.clone(), file.limit);
    let (sender, exit) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = sender.send(hook::run(&words, limit));
    });
    exit.await.ok().flatten()
}
