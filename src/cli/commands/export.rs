//! `coffer export`: the values of an environment in another program's format.
//!
//! Must never: write a part; write over a file unasked; show values on a terminal
//! unasked; leave a file that others can read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::{Client, PlaceArguments, path_id};
use crate::cli::arguments::environment::name_or_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::written;
use crate::domain::KeyName;
use crate::formats::{self, Format, Heading};
use crate::store::PrivateFile;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    /// The environment (name or id)
    #[arg(long, value_name = "NAME", value_parser = name_or_id)]
    env: String,
    /// dotenv, docker-env, systemd, shell, json, yaml or k8s-secret
    #[arg(long, value_parser = format)]
    format: Format,
    /// Where to write it, for its owner only [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over the file
    #[arg(long, requires = "output")]
    force: bool,
    /// Show the values even on a terminal
    #[arg(long, conflicts_with = "output")]
    stdout: bool,
    /// Only these keys
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = key)]
    only: Vec<KeyName>,
    /// Without the vars
    #[arg(long)]
    no_vars: bool,
    /// metadata.name of a k8s-secret [default: made from the environment's]
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    name: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    id: String,
    key: String,
    never_reveal: bool,
}

#[derive(Deserialize)]
struct Vars {
    vars: Vec<Var>,
}

#[derive(Deserialize)]
struct Var {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Revealed {
    value: String,
}

/// What is to be written, by key in byte order.
struct Found {
    values: BTreeMap<String, Zeroizing<String>>,
    sealed: Vec<String>,
}

impl ExportArguments {
    pub fn run(self) -> Result<(), Failure> {
        if self.output.is_none() && !self.stdout && io::stdout().is_terminal() {
            return Err(Failure::wrong("stdout is a terminal, which would show the values")
                .hint("Name a file with --output, or say --stdout to see them."));
        }
        if let Some(path) = self.output.as_deref().filter(|_| !self.force) {
            refuse_existing(path)?;
        }
        let (config, variables) = self.place.load()?;
        let client = self.place.client(&config, &variables)?;
        let found = self.find(&client)?;
        let text = self.text(&found)?;
        match &self.output {
            Some(path) => write_file(path, &text, self.force)?,
            None => {
                let mut out = io::stdout().lock();
                written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
            }
        }
        // Last, so that whoever reads them knows that the rest is there.
        if !self.format.has_comments() {
            for key in &found.sealed {
                let _ = writeln!(io::stderr(), "coffer: {}", sealed_line(key));
            }
        }
        Ok(())
    }

    /// A secret wins over a var of the same key, even a sealed one: the var is
    /// not what a workload would get.
    fn find(&self, client: &Client) -> Result<Found, Failure> {
        let wanted =
            |key: &str| self.only.is_empty() || self.only.iter().any(|only| only.as_str() == key);
        let below = format!("/api/environments/{}", self.env);
        let listed = client.get(&format!("{below}/secrets"))?.read::<Secrets>()?.secrets;
        let secrets: Vec<_> = listed.into_iter().filter(|one| wanted(&one.key)).collect();
        let mut values = BTreeMap::new();
        if !self.no_vars {
            let answer = client.get(&format!("{below}/vars"))?;
            for Var { key, value } in answer.read::<Vars>()?.vars {
                let value = Zeroizing::new(value);
                if wanted(&key) {
                    values.insert(key, value);
                }
            }
        }
        let there = secrets.iter().map(|one| one.key.as_str());
        self.check_only(&there.chain(values.keys().map(String::as_str)).collect())?;
        let mut sealed = Vec::new();
        for Secret { id, key, never_reveal } in secrets {
            if never_reveal {
                values.remove(&key);
                sealed.push(key);
            } else {
                let answer = client.get(&format!("/api/secrets/{}/value", path_id(id)?))?;
                values.insert(key, Zeroizing::new(answer.read::<Revealed>()?.value));
            }
        }
        Ok(Found { values, sealed })
    }

    fn check_only(&self, there: &BTreeSet<&str>) -> Result<(), Failure> {
        let missing = self.only.iter().map(KeyName::as_str).filter(|key| !there.contains(key));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!("{} has no {}", self.env, missing.join(", ")))
            .hint("Nothing was exported. Take them out of --only."))
    }

    fn text(&self, found: &Found) -> Result<Zeroizing<String>, Failure> {
        let pairs: Vec<_> =
            found.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let name = self.name.clone().unwrap_or_else(|| default_name(&self.env));
        let comment = found.sealed.iter().map(|key| sealed_line(key)).collect();
        formats::write(self.format, &pairs, &Heading { comment, name: &name }).map_err(|unfit| {
            Failure::failed(format!("{} cannot hold this: {unfit}", self.format.as_str())).hint(
                "Nothing was exported. Choose another --format (json and yaml hold any value), or other keys with --only.",
            )
        })
    }
}

fn sealed_line(key: &str) -> String {
    format!("{key} is sealed (neverReveal): its value cannot be exported")
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(path, &error)),
        Ok(_) => Err(Failure::failed(format!("{} exists already", path.display()))
            .hint("Say --force to write over it, or choose another --output.")),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

fn write_file(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let done = if force {
        // A half of it never has the file's name.
        PrivateFile::create(path).and_then(|mut half| {
            half.write_all(text.as_bytes())?;
            half.finish().map(|_| ())
        })
    } else {
        write_new(path, text)
    };
    done.map_err(|error| cannot_write(path, &error))
}

/// A file that was not there before, or none.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if done.is_err() {
        // Ours: it was made a moment ago.
        let _ = fs::remove_file(path);
    }
    done
}

fn format(text: &str) -> Result<Format, &'static str> {
    text.parse().map_err(|violation: crate::domain::Violation| violation.0)
}

fn key(text: &str) -> Result<KeyName, &'static str> {
    KeyName::parse(text).map_err(|violation| violation.0)
}

/// A DNS subdomain (RFC 1123), as Kubernetes wants objects to be named.
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

/// The environment's name as an object's.
fn default_name(environment: &str) -> String {
    let lower = environment.to_ascii_lowercase();
    let labels = lower.split(['.', '_']).map(|label| label.trim_matches('-'));
    labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects() {
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
