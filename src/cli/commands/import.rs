//! `coffer import`: secrets or vars from a file, all of them or none.
//!
//! Must never: show a value, or a line of the file, which could hold one.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::api::{Answer, Client, ClientArguments};
use crate::cli::arguments::environment::name_or_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::table;
use crate::domain::Violation;
use crate::formats::{InputEntry, InputFormat};

/// Longest file. What a server takes at once is less.
const LARGEST_FILE_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArguments {
    /// What to read; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The environment (name or id)
    #[arg(long, value_name = "NAME", value_parser = name_or_id)]
    env: String,
    /// dotenv, json, yaml, k8s-secret, doppler, infisical or vault
    /// [default: what the file looks like]
    #[arg(long, value_parser = source)]
    format: Option<InputFormat>,
    /// Make them write-only, for good
    #[arg(long, conflicts_with = "vars")]
    never_reveal: bool,
    /// If a key is there already: import nothing, leave it, or give it a new version
    #[arg(long, value_name = "WHAT", default_value = "fail", value_parser = ["fail", "skip", "replace"])]
    on_conflict: String,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// As vars, not as secrets
    #[arg(long)]
    vars: bool,
    /// Leave out keys without a value
    #[arg(long)]
    skip_empty: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<Item<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vars: Option<Vec<Item<'a>>>,
    on_conflict: &'a str,
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    key: &'a str,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    never_reveal: Option<bool>,
}

#[derive(Deserialize)]
struct Imported {
    import: Report,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    created: u64,
    replaced: u64,
    skipped: u64,
    conflicts: u64,
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    key: String,
    outcome: String,
    version: u64,
}

impl ImportArguments {
    pub fn run(self) -> Result<(), Failure> {
        let entries = self.entries()?;
        let Self { env, never_reveal, on_conflict, dry_run, vars, client, .. } = self;
        let (client, form) = client.connect()?;
        let send = |client: &Client, dry_run: bool| {
            let item = |entry| item(entry, never_reveal);
            let items = Some(entries.iter().map(item).collect());
            let (list, secrets, vars) =
                if vars { ("vars", None, items) } else { ("secrets", items, None) };
            let body = Body { secrets, vars, on_conflict: &on_conflict, dry_run };
            client.post(&format!("/api/environments/{env}/{list}/import"), &body)
        };
        // The server would only refuse; this way there is a table to show.
        if on_conflict == "fail" {
            let answer = send(&client, true)?;
            let conflicts = answer.read::<Imported>()?.import.conflicts;
            if conflicts > 0 || dry_run {
                form.show(&answer, || shown(&answer))?;
                return refusal(conflicts);
            }
        }
        let answer = send(&client, dry_run)?;
        form.show(&answer, || shown(&answer))
    }

    /// What the file holds, checked as far as that can be done here.
    fn entries(&self) -> Result<Vec<InputEntry>, Failure> {
        let name =
            if is_stdin(&self.file) { "stdin".to_owned() } else { self.file.display().to_string() };
        let text = read(&self.file, &name)?;
        let source = match self.format {
            Some(source) => source,
            None => InputFormat::detect(&text).ok_or_else(|| {
                Failure::failed(format!("{name}: the format cannot be told from what it holds"))
                    .hint("Name it with --format.")
            })?,
        };
        let read = source.read(&text).map_err(|bad| {
            Failure::failed(format!("{name}: {bad}"))
                .hint(format!("Nothing was imported. It was read as {}.", source.as_str()))
        })?;
        let mut entries = read.into_list();
        let empty = |entry: &&InputEntry| entry.value.is_empty();
        let without: Vec<_> = entries.iter().filter(empty).map(|one| one.key.as_str()).collect();
        if !without.is_empty() && !self.skip_empty {
            let keys = without.join(", ");
            return Err(Failure::failed(format!("{name}: there is no value for {keys}"))
                .hint("Nothing was imported. Say --skip-empty to leave these out."));
        }
        entries.retain(|entry| !entry.value.is_empty());
        if entries.is_empty() {
            return Err(Failure::failed(format!("{name}: there is nothing in it to import")));
        }
        Ok(entries)
    }
}

fn item(entry: &InputEntry, never_reveal: bool) -> Item<'_> {
    Item {
        key: entry.key.as_str(),
        value: &entry.value,
        never_reveal: never_reveal.then_some(true),
    }
}

/// Nothing came of it, or would come of it.
fn refusal(conflicts: u64) -> Result<(), Failure> {
    if conflicts == 0 {
        return Ok(());
    }
    let keys = if conflicts == 1 { "key is" } else { "keys are" };
    Err(Failure::failed(format!("{conflicts} {keys} there already; nothing was imported"))
        .hint("Say --on-conflict skip to leave them, or --on-conflict replace."))
}

fn shown(answer: &Answer) -> Result<String, Failure> {
    let report = answer.read::<Imported>()?.import;
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
    let Report { created, replaced, skipped, conflicts, dry_run, .. } = report;
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

/// The file in a buffer that does not move, and is erased.
fn read(path: &Path, name: &str) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot read {name}: {error}"));
    let too_long = || {
        Failure::failed(format!("{name} is longer than {} MiB", LARGEST_FILE_BYTES >> 20))
            .hint("Import it in parts.")
    };
    let (mut source, bytes): (Box<dyn Read>, u64) = if is_stdin(path) {
        if std::io::stdin().is_terminal() {
            return Err(Failure::wrong("stdin is a terminal, which would show what is typed")
                .hint("Name a file, or lead another program's output here."));
        }
        (Box::new(std::io::stdin().lock()), LARGEST_FILE_BYTES)
    } else {
        let file = std::fs::File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        // A pipe does not tell how long it is.
        let bytes = if metadata.is_file() { metadata.len() } else { LARGEST_FILE_BYTES };
        (Box::new(file), bytes)
    };
    if bytes > LARGEST_FILE_BYTES {
        return Err(too_long());
    }
    let room = usize::try_from(bytes + 1).expect("4 MiB fit in any usize");
    let mut text = Zeroizing::new(vec![0; room]);
    let mut length = 0;
    // One byte more than there should be tells whether there is more.
    while length < room {
        match source.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    if length == room {
        return Err(too_long().hint("It may have grown while it was read."));
    }
    let text = std::str::from_utf8(&text[..length])
        .map_err(|_| Failure::failed(format!("{name} is not UTF-8")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn source(text: &str) -> Result<InputFormat, &'static str> {
    text.parse().map_err(|violation: Violation| violation.0)
}
