//! What `verify` and `restore` print about a backup.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, print};
use crate::cli::terminal::sanitize::clean;
use crate::vault::backup::{Examined, Summary};

/// What was done with the backup.
pub(super) enum Action<'a> {
    Verified,
    Restored { into: &'a Path, dry_run: bool },
}

/// Prints the result on stdout and each finding on stderr.
pub(super) fn print_report(
    format: OutputFormat,
    action: &Action<'_>,
    file: &Path,
    summary: &Summary,
    examined: &Examined,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Json => print(&as_json(action, file, summary, examined).to_string())?,
        OutputFormat::Table => print(&as_text(action, summary, examined))?,
    }
    for finding in &examined.findings {
        let _ = writeln!(std::io::stderr(), "coffer: {}", clean(finding));
    }
    Ok(())
}

/// Adds the members of the summary to an object.
pub(super) fn merge(object: &mut Value, summary: &Summary) {
    let members = serde_json::to_value(summary).expect("a summary is strings and numbers");
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
}

fn as_json(action: &Action<'_>, file: &Path, summary: &Summary, examined: &Examined) -> Value {
    let Examined { opened, vars, revealable, findings, audit } = examined;
    let mut backup = json!({
        "path": file, "versionsOpened": opened, "varsRead": vars, "revealable": revealable,
        "auditRows": audit.rows, "findings": findings,
    });
    if let Action::Restored { into, dry_run } = action {
        backup["dataDir"] = json!(into);
        backup["dryRun"] = json!(dry_run);
    }
    merge(&mut backup, summary);
    json!({ "backup": backup })
}

fn as_text(action: &Action<'_>, summary: &Summary, examined: &Examined) -> String {
    let Examined { opened, vars, revealable, audit, .. } = examined;
    let count = |name: &str| summary.counts.get(name).copied().unwrap_or(0);
    let keys: Vec<_> = summary
        .wrapping_keys
        .iter()
        .map(|key| format!("{} (root key {})", key.id, key.root_key))
        .collect();
    let title = match action {
        Action::Verified => "the backup is valid".to_owned(),
        Action::Restored { into, dry_run: true } => {
            format!("dry run: would restore into {}; nothing was written", into.display())
        }
        Action::Restored { into, dry_run: false } => format!("restored into {}", into.display()),
    };
    let mut lines = vec![
        title,
        format!("created        {} by coffer {}", summary.created_at, summary.program),
        format!("root key       {}", summary.root_key),
        format!("wrapping keys  {}", keys.join(", ")),
        format!(
            "rows           {}: {} environments, {} secrets, {} vars, {} users, {} tokens",
            summary.rows,
            count("environments"),
            count("secrets"),
            count("vars"),
            count("users"),
            count("tokens"),
        ),
        format!("versions       {opened} of {} decrypted", count("versions")),
        format!("vars           {vars} of {} read", count("vars")),
        format!(
            "revealable     {revealable} secrets, including those made neverReveal after the backup"
        ),
        format!("audit log      {} events, the last is {}", audit.rows, summary.audit_head_seq),
    ];
    match action {
        Action::Verified => {}
        Action::Restored { dry_run: true, .. } => lines.push(
            "after restore  all sessions end; API tokens are as they were at the time of the backup"
                .to_owned(),
        ),
        Action::Restored { dry_run: false, .. } => lines.push(
            "note           all sessions have ended; API tokens are as they were at the time of the backup"
                .to_owned(),
        ),
    }
    lines.join("\n")
}
