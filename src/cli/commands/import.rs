//! `coffer import`: secrets or vars from a file; either all of them are imported or none.
//!
//! Must never: show a value, or a line of the file, which may contain one.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::api::{ApiClient, ApiResponse, ClientArguments};
use crate::cli::arguments::environment::name_or_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::table;
use crate::domain::Violation;
use crate::formats::{InputEntry, InputFormat};

/// The longest file. A server accepts less than this in one request.
const MAX_FILE_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArguments {
    /// File to import; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Environment name or id
    #[arg(long, value_name = "NAME", value_parser = name_or_id)]
    env: String,
    /// File format: dotenv, json, yaml, k8s-secret, doppler, infisical or vault
    /// [default: detect it]
    #[arg(long, value_parser = source)]
    format: Option<InputFormat>,
    /// Make the secrets write-only; cannot be undone
    #[arg(long, conflicts_with = "vars")]
    never_reveal: bool,
    /// What to do if a key already exists: import nothing, keep it, or add a new version
    #[arg(long, value_name = "WHAT", default_value = "fail", value_parser = ["fail", "skip", "replace"])]
    on_conflict: String,
    /// Show what would happen without importing
    #[arg(long)]
    dry_run: bool,
    /// Import as variables instead of secrets
    #[arg(long)]
    vars: bool,
    /// Skip keys without a value
    #[arg(long)]
    skip_empty: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<ImportItem<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vars: Option<Vec<ImportItem<'a>>>,
    on_conflict: &'a str,
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportItem<'a> {
    key: &'a str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    never_reveal: Option<bool>,
}

#[derive(Deserialize)]
struct ImportResponse {
    import: ImportSummary,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportSummary {
    dry_run: bool,
    created: u64,
    replaced: u64,
    skipped: u64,
    conflicts: u64,
    results: Vec<ImportedKey>,
}

#[derive(Deserialize)]
struct ImportedKey {
    key: String,
    outcome: String,
    version: u64,
}

impl ImportArguments {
    pub fn run(self) -> Result<(), Failure> {
        let entries = self.entries()?;
        let Self { env, never_reveal, on_conflict, dry_run, vars, client, .. } = self;
        let (client, format) = client.connect()?;
        let send = |client: &ApiClient, dry_run: bool| {
            let item = |entry| item(entry, never_reveal);
            let items = Some(entries.iter().map(item).collect());
            let (list, secrets, vars) =
                if vars { ("vars", None, items) } else { ("secrets", items, None) };
            let body = ImportRequest { secrets, vars, on_conflict: &on_conflict, dry_run };
            client
                .post(&format!("/api/environments/{env}/{list}/import"), &body)
                .map_err(|error| error.naming_environment(&env))
        };
        // A dry run first, because it lists the conflicts; the import would only be refused.
        if on_conflict == "fail" {
            let response = send(&client, true)?;
            let conflicts = response.read::<ImportResponse>()?.import.conflicts;
            if conflicts > 0 || dry_run {
                format.show(response.text(), || report(&response))?;
                return refuse_conflicts(conflicts);
            }
        }
        let response = send(&client, dry_run)?;
        format.show(response.text(), || report(&response))
    }

    /// Reads the entries of the file, checked as far as the client can.
    fn entries(&self) -> Result<Vec<InputEntry>, Failure> {
        let name =
            if is_stdin(&self.file) { "stdin".to_owned() } else { self.file.display().to_string() };
        let text = read(&self.file, &name)?;
        let source = match self.format {
            Some(source) => source,
            None => InputFormat::detect(&text).ok_or_else(|| {
                Failure::failed(format!("{name}: unknown format"))
                    .hint("Pass the format with --format.")
            })?,
        };
        let read = source.read(&text).map_err(|bad| {
            Failure::failed(format!("{name}: {bad}")).hint(format!(
                "Nothing was imported. The file was read as {}; pass another format with --format.",
                source.as_str()
            ))
        })?;
        let mut entries = read.into_list();
        let empty = |entry: &&InputEntry| entry.value.is_empty();
        let valueless: Vec<_> = entries.iter().filter(empty).map(|one| one.key.as_str()).collect();
        if !valueless.is_empty() && !self.skip_empty {
            let keys = valueless.join(", ");
            return Err(Failure::failed(format!("{name}: no value for {keys}"))
                .hint("Nothing was imported. Pass --skip-empty to skip these keys."));
        }
        entries.retain(|entry| !entry.value.is_empty());
        if entries.is_empty() {
            return Err(Failure::failed(format!("{name}: nothing to import")));
        }
        Ok(entries)
    }
}

fn item(entry: &InputEntry, never_reveal: bool) -> ImportItem<'_> {
    ImportItem {
        key: entry.key.as_str(),
        value: &entry.value,
        never_reveal: never_reveal.then_some(true),
    }
}

/// Fails if there are conflicts.
fn refuse_conflicts(conflicts: u64) -> Result<(), Failure> {
    if conflicts == 0 {
        return Ok(());
    }
    let keys = if conflicts == 1 { "key already exists" } else { "keys already exist" };
    Err(Failure::failed(format!("{conflicts} {keys}, nothing was imported"))
        .hint("Pass --on-conflict skip to keep them, or --on-conflict replace."))
}

fn report(response: &ApiResponse) -> Result<String, Failure> {
    let report = response.read::<ImportResponse>()?.import;
    let would = |word: &str| {
        if report.dry_run && word != "conflict" {
            format!("would be {word}")
        } else {
            word.to_owned()
        }
    };
    let rows = report
        .results
        .iter()
        .map(|one| [one.key.clone(), would(&one.outcome), one.version.to_string()]);
    let mut text = table(["KEY", "RESULT", "VERSION"], rows);
    let ImportSummary { created, replaced, skipped, conflicts, dry_run, .. } = report;
    text += &format!("\n{created} created, {replaced} replaced, {skipped} skipped");
    if conflicts > 0 {
        text += &format!(", {conflicts} in conflict");
    }
    if dry_run {
        text += "; nothing was written";
    }
    Ok(text)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads the file into a buffer that is allocated once and erased.
fn read(path: &Path, name: &str) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot read {name}: {error}"));
    let too_long = || {
        Failure::failed(format!("{name} is longer than {} MiB", MAX_FILE_BYTES >> 20))
            .hint("Split it and import the parts.")
    };
    let (mut source, bytes): (Box<dyn Read>, u64) = if is_stdin(path) {
        if std::io::stdin().is_terminal() {
            return Err(Failure::wrong("stdin is a terminal, which would show what is typed")
                .hint("Pass a file, or pipe in the output of another program."));
        }
        (Box::new(std::io::stdin().lock()), MAX_FILE_BYTES)
    } else {
        let file = std::fs::File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        // The length of a pipe is unknown.
        let bytes = if metadata.is_file() { metadata.len() } else { MAX_FILE_BYTES };
        (Box::new(file), bytes)
    };
    if bytes > MAX_FILE_BYTES {
        return Err(too_long());
    }
    let capacity = usize::try_from(bytes + 1).expect("4 MiB fits in any usize");
    let mut text = Zeroizing::new(vec![0; capacity]);
    let mut length = 0;
    // The one additional byte shows whether the file is longer than expected.
    while length < capacity {
        match source.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    if length == capacity {
        return Err(too_long().hint("It may have grown while it was being read."));
    }
    let text = std::str::from_utf8(&text[..length])
        .map_err(|_| Failure::failed(format!("{name} is not valid UTF-8")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn source(text: &str) -> Result<InputFormat, &'static str> {
    text.parse().map_err(|violation: Violation| violation.0)
}
