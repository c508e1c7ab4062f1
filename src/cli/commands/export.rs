//! `coffer export`: the values of an environment in another program's format.
//!
//! Must never: write an incomplete export; overwrite a file or show values on a terminal unless
//! asked to; leave a file that other users can read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::{ApiClient, ServerArguments, path_id};
use crate::cli::arguments::environment::name_or_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::check_written;
use crate::domain::{KeyName, Violation};
use crate::formats::{self, Format, Heading};
use crate::store::PrivateFile;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    /// Environment name or id
    #[arg(long, value_name = "NAME", value_parser = name_or_id)]
    env: String,
    /// Output format: dotenv, docker-env, systemd, shell, json, yaml or k8s-secret
    #[arg(long, value_parser = format)]
    format: Format,
    /// Output file, readable by its owner only [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "output")]
    force: bool,
    /// Print the values even if stdout is a terminal
    #[arg(long, conflicts_with = "output")]
    stdout: bool,
    /// Export only these keys
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = key)]
    only: Vec<KeyName>,
    /// Leave out variables
    #[arg(long)]
    no_vars: bool,
    /// metadata.name of a k8s-secret [default: derived from the environment's name]
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    name: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct ExportedSecretList {
    secrets: Vec<ExportedSecret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportedSecret {
    id: String,
    key: String,
    never_reveal: bool,
}

#[derive(Deserialize)]
struct ExportedVarList {
    vars: Vec<ExportedVar>,
}

#[derive(Deserialize)]
struct ExportedVar {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct RevealResponse {
    value: String,
}

/// What to export, by key in byte order.
struct ExportContent {
    values: BTreeMap<String, Zeroizing<String>>,
    /// Keys of secrets that cannot be revealed.
    write_only: Vec<String>,
}

impl ExportArguments {
    pub fn run(self) -> Result<(), Failure> {
        if self.output.is_none() && !self.stdout && io::stdout().is_terminal() {
            return Err(Failure::wrong("stdout is a terminal, which would show the values")
                .hint("Write to a file with --output FILE, or pass --stdout to see them."));
        }
        if let Some(path) = self.output.as_deref().filter(|_| !self.force) {
            refuse_existing(path)?;
        }
        let (config, variables) = self.server.load()?;
        let client = self.server.client(&config, &variables)?;
        let content = self.fetch(&client)?;
        let text = self.format(&content)?;
        match &self.output {
            Some(path) => write_file(path, &text, self.force)?,
            None => {
                let mut out = io::stdout().lock();
                check_written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
            }
        }
        // Last, so that these lines also say that the rest was written.
        if !self.format.has_comments() {
            for key in &content.write_only {
                let _ = writeln!(io::stderr(), "coffer: {}", write_only_line(key));
            }
        }
        Ok(())
    }

    /// Fetches the values. A secret hides a var of the same key, even if it is write-only, because
    /// a workload would not get the var either.
    fn fetch(&self, client: &ApiClient) -> Result<ExportContent, Failure> {
        let wanted =
            |key: &str| self.only.is_empty() || self.only.iter().any(|only| only.as_str() == key);
        let base = format!("/api/environments/{}", self.env);
        let response = client
            .get(&format!("{base}/secrets"))
            .map_err(|error| error.naming_environment(&self.env))?;
        let listed = response.read::<ExportedSecretList>()?.secrets;
        let secrets: Vec<_> = listed.into_iter().filter(|one| wanted(&one.key)).collect();
        let mut values = BTreeMap::new();
        if !self.no_vars {
            let response = client.get(&format!("{base}/vars"))?;
            for ExportedVar { key, value } in response.read::<ExportedVarList>()?.vars {
                let value = Zeroizing::new(value);
                if wanted(&key) {
                    values.insert(key, value);
                }
            }
        }
        let existing = secrets.iter().map(|one| one.key.as_str());
        self.check_only(&existing.chain(values.keys().map(String::as_str)).collect())?;
        let mut write_only = Vec::new();
        for ExportedSecret { id, key, never_reveal } in secrets {
            if never_reveal {
                values.remove(&key);
                write_only.push(key);
            } else {
                let response = client.get(&format!("/api/secrets/{}/value", path_id(id)?))?;
                values.insert(key, Zeroizing::new(response.read::<RevealResponse>()?.value));
            }
        }
        Ok(ExportContent { values, write_only })
    }

    /// Fails if --only names a key that does not exist.
    fn check_only(&self, existing: &BTreeSet<&str>) -> Result<(), Failure> {
        let missing = self.only.iter().map(KeyName::as_str).filter(|key| !existing.contains(key));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!("not found in {}: {}", self.env, missing.join(", ")))
            .hint("Nothing was exported. Remove these keys from --only."))
    }

    fn format(&self, content: &ExportContent) -> Result<Zeroizing<String>, Failure> {
        let pairs: Vec<_> =
            content.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let name = self.name.clone().unwrap_or_else(|| default_name(&self.env));
        let comment = content.write_only.iter().map(|key| write_only_line(key)).collect();
        formats::write(self.format, &pairs, &Heading { comment, name: &name }).map_err(|unfit| {
            Failure::failed(format!("format {} cannot represent this: {unfit}", self.format.as_str())).hint(
                "Nothing was exported. Choose another --format (json and yaml can represent any value), or other keys with --only.",
            )
        })
    }
}

fn write_only_line(key: &str) -> String {
    format!("{key} is write-only (neverReveal): its value cannot be exported")
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(path, &error)),
        Ok(_) => Err(Failure::failed(format!("{} already exists", path.display()))
            .hint("Pass --force to overwrite it, or choose another --output.")),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

fn write_file(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let done = if force {
        // Replaced atomically: an incomplete export never has the file's name.
        PrivateFile::create(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.finish().map(|_| ())
        })
    } else {
        write_new(path, text)
    };
    done.map_err(|error| cannot_write(path, &error))
}

/// Creates the file, failing if it exists. Leaves no incomplete file behind.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if done.is_err() {
        // Safe to remove, because it was created just above.
        let _ = fs::remove_file(path);
    }
    done
}

fn format(text: &str) -> Result<Format, &'static str> {
    text.parse().map_err(|violation: Violation| violation.0)
}

fn key(text: &str) -> Result<KeyName, &'static str> {
    KeyName::parse(text).map_err(|violation| violation.0)
}

/// Parses the name of a Kubernetes object, which is a DNS subdomain (RFC 1123).
fn object_name(text: &str) -> Result<String, &'static str> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| {
        let (first, last) = (label.bytes().next(), label.bytes().next_back());
        first.is_some_and(word)
            && last.is_some_and(word)
            && label.bytes().all(|b| word(b) || b == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends")
    }
}

/// Derives an object name from an environment name.
fn default_name(environment: &str) -> String {
    let lower = environment.to_ascii_lowercase();
    let labels = lower.split(['.', '_']).map(|label| label.trim_matches('-'));
    labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_follow_the_rule_of_kubernetes() {
        for good in ["a", "my-app.prod", "9"] {
            assert!(object_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", "a\nb", &"x".repeat(254)] {
            assert!(object_name(bad).is_err(), "{bad}");
        }
        for environment in ["Production", "eu_west.1-", "a", "x._-y"] {
            assert!(object_name(&default_name(environment)).is_ok(), "{environment}");
        }
    }
}
