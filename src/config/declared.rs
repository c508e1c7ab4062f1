//! `[[workload]]` and `[[deliver]]`: who gets values, declared on the host.
//!
//! Owns: the names in these sections and their rules, as far as a text can be
//! judged by itself; `cli` makes enrolments of them.

use std::path::PathBuf;

use crate::domain::{EnvironmentName, KeyPattern, Violation, WorkloadName};

use super::raw::Raw;
use super::{ConfigError, unknown};

/// `[[workload]]`: a program that may fetch a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// By what name it asks.
    pub name: WorkloadName,
    /// In which environments.
    pub environments: Vec<EnvironmentName>,
    /// Whom its bundles are sealed to, as text.
    pub recipients: Vec<String>,
    /// Which keys it gets.
    pub keys: Vec<KeyPattern>,
}

/// `[[deliver]]`: a file that the server keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// From which environment.
    pub environment: EnvironmentName,
    /// Which keys.
    pub keys: Vec<KeyPattern>,
    /// Where it is; absolute.
    pub path: PathBuf,
    /// How it is written.
    pub form: Form,
    /// Its mode, as for `chmod`.
    pub mode: u32,
    /// Its owner, a name or a number; the server's user if it is not given.
    pub owner: Option<String>,
    /// Its group, likewise.
    pub group: Option<String>,
    /// What is run after it has changed: a program and its arguments, no shell.
    pub on_change: Vec<String>,
    /// How long that may take, in seconds.
    pub timeout_seconds: u32,
}

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// In a format, by its name.
    Format(String),
    /// From a template, which is in this file; absolute.
    Template(PathBuf),
}

/// One of the tables in such a section.
struct Entry {
    table: toml::Table,
    place: String,
}

impl Entry {
    fn error(&self, key: &str, problem: impl ToString) -> ConfigError {
        ConfigError::new(format!("{} {key}", self.place), problem)
    }

    fn take(&mut self, key: &str) -> Option<Raw> {
        self.table.remove(key).map(Raw::Toml)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        match raw.text().filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text)),
            None => Err(self.error(key, "must be a text that is not empty.")),
        }
    }

    fn needed<T>(&self, key: &str, found: Option<T>) -> Result<T, ConfigError> {
        found.ok_or_else(|| self.error(key, "is missing. Add it."))
    }

    fn list(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        match raw.list() {
            Ok(items) if items.is_empty() => Err(self.error(key, "must not be empty.")),
            Ok(items) => Ok(Some(items)),
            Err(problem) => Err(self.error(key, problem)),
        }
    }

    fn parsed<T>(
        &self,
        key: &str,
        items: &[String],
        parse: impl Fn(&str) -> Result<T, Violation>,
    ) -> Result<Vec<T>, ConfigError> {
        let parsed: Result<Vec<_>, _> = items.iter().map(|text| parse(text)).collect();
        parsed.map_err(|violation| self.error(key, format!("each one {violation}.")))
    }

    fn keys(&mut self) -> Result<Vec<KeyPattern>, ConfigError> {
        match self.list("keys")? {
            Some(items) => self.parsed("keys", &items, KeyPattern::parse),
            None => Ok(vec![KeyPattern::any()]),
        }
    }

    fn path(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(path) = self.text(key)?.map(PathBuf::from) else { return Ok(None) };
        let plain = path.is_absolute()
            && !path.components().any(|part| part == std::path::Component::ParentDir);
        if plain && path.file_name().is_some() {
            Ok(Some(path))
        } else {
            Err(self.error(key, "must be an absolute path of a file, without \"..\"."))
        }
    }

    /// Nothing is left over.
    fn finish(self, known: &[&'static str]) -> Result<(), ConfigError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.error(key, unknown(key, known.to_vec()))),
        }
    }
}

/// The tables of a section.
fn entries(
    file: &str,
    section: &str,
    content: toml::Value,
) -> Result<impl Iterator<Item = Result<Entry, ConfigError>>, ConfigError> {
    let place = format!("{file}: [[{section}]]");
    let wrong = || {
        ConfigError::new(
            &place,
            format!("must be written as [[{section}]], once for each, with two brackets."),
        )
    };
    let toml::Value::Array(items) = content else { return Err(wrong()) };
    let entry = |(number, item)| match item {
        toml::Value::Table(table) => Ok(Entry { place: format!("{place} {}", number + 1), table }),
        _ => Err(wrong()),
    };
    Ok(items.into_iter().enumerate().map(entry).collect::<Vec<_>>().into_iter())
}

/// Reads `[[workload]]`.
pub(super) fn workloads(file: &str, content: toml::Value) -> Result<Vec<Workload>, ConfigError> {
    const KNOWN: [&str; 4] = ["name", "environments", "recipients", "keys"];
    let mut workloads: Vec<Workload> = Vec::new();
    for entry in entries(file, "workload", content)? {
        let mut entry = entry?;
        let name = entry.text("name")?;
        let name = entry.needed("name", name)?;
        let name = WorkloadName::parse(&name)
            .map_err(|violation| entry.error("name", format!("{violation}.")))?;
        if workloads.iter().any(|other| other.name == name) {
            return Err(entry.error("name", "is taken by another workload."));
        }
        let environments = entry.list("environments")?;
        let environments = entry.needed("environments", environments)?;
        let environments = entry.parsed("environments", &environments, EnvironmentName::parse)?;
        let recipients = entry.list("recipients")?;
        let recipients = entry.needed("recipients", recipients)?;
        let keys = entry.keys()?;
        entry.finish(&KNOWN)?;
        workloads.push(Workload { name, environments, recipients, keys });
    }
    Ok(workloads)
}

/// How long a command may take, unless something else is said, in seconds.
const DEFAULT_TIMEOUT: u32 = 30;
const MOST_TIMEOUT: u64 = 3600;

/// Reads `[[deliver]]`.
pub(super) fn deliveries(file: &str, content: toml::Value) -> Result<Vec<Deliver>, ConfigError> {
    const KNOWN: [&str; 10] = [
        "environment",
        "keys",
        "path",
        "format",
        "template",
        "mode",
        "owner",
        "group",
        "on_change",
        "timeout_seconds",
    ];
    let mut deliveries: Vec<Deliver> = Vec::new();
    for entry in entries(file, "deliver", content)? {
        let mut entry = entry?;
        let environment = entry.text("environment")?;
        let environment = entry.needed("environment", environment)?;
        let environment = EnvironmentName::parse(&environment)
            .map_err(|violation| entry.error("environment", format!("{violation}.")))?;
        let keys = entry.keys()?;
        let path = entry.path("path")?;
        let path = entry.needed("path", path)?;
        if deliveries.iter().any(|other| other.path == path) {
            return Err(entry.error("path", "is written by another [[deliver]], too."));
        }
        let form = match (entry.text("format")?, entry.path("template")?) {
            (Some(format), None) => Form::Format(format),
            (None, Some(template)) => Form::Template(template),
            _ => return Err(entry.error("format", "or template: give one of them, not both.")),
        };
        let mode = match entry.text("mode")? {
            None => 0o600,
            Some(text) => u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777 && mode & 0o002 == 0)
                .ok_or_else(|| {
                    entry.error(
                        "mode",
                        "must be an octal text such as \"0640\", not writable by others.",
                    )
                })?,
        };
        let (owner, group) = (entry.text("owner")?, entry.text("group")?);
        let on_change = entry.list("on_change")?.unwrap_or_default();
        let timeout_seconds =
            match entry.take("timeout_seconds").map(|raw| raw.number(1..=MOST_TIMEOUT)) {
                None => DEFAULT_TIMEOUT,
                Some(seconds) => {
                    let seconds =
                        seconds.map_err(|problem| entry.error("timeout_seconds", problem))?;
                    seconds.try_into().expect("the range fits the type")
                }
            };
        entry.finish(&KNOWN)?;
        deliveries.push(Deliver {
            environment,
            keys,
            path,
            form,
            mode,
            owner,
            group,
            on_change,
            timeout_seconds,
        });
    }
    Ok(deliveries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str, section: &str) -> toml::Value {
        text.parse::<toml::Table>().unwrap().remove(section).unwrap()
    }

    fn workload_complaint(text: &str) -> String {
        workloads("config.toml", content(text, "workload")).unwrap_err().to_string()
    }

    fn deliver_complaint(text: &str) -> String {
        deliveries("config.toml", content(text, "deliver")).unwrap_err().to_string()
    }

    #[test]
    fn a_workload_is_read() {
        let text = "[[workload]]\nname = 'api'\nenvironments = ['production']\nrecipients = ['age1x']\nkeys = ['DATABASE_*', 'STRIPE_KEY']\n[[workload]]\nname = 'b'\nenvironments = ['x']\nrecipients = ['age1y']";
        let read = workloads("config.toml", content(text, "workload")).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].keys.len(), 2);
        assert_eq!(read[1].keys, [KeyPattern::any()]);
    }

    #[test]
    fn complaints_say_which_one_and_what_to_do() {
        let good = "name = 'api'\nenvironments = ['p']\nrecipients = ['age1x']\n";
        for (text, words) in [
            ("[workload]\nname = 'x'".to_owned(), "[[workload]]: must be written as [[workload]]"),
            ("[[workload]]\nname = 'x'".to_owned(), "[[workload]] 1 environments: is missing"),
            (format!("[[workload]]\n{good}[[workload]]\n{good}"), "[[workload]] 2 name: is taken"),
            (format!("[[workload]]\n{good}key = ['A']"), "unknown name. Did you mean \"keys\"?"),
            (format!("[[workload]]\n{good}keys = ['a']"), "keys: each one must be a key"),
            (format!("[[workload]]\n{good}keys = []"), "keys: must not be empty"),
        ] {
            let complaint = workload_complaint(&text);
            assert!(complaint.contains(words) && !complaint.contains('\n'), "{complaint}");
        }
        let good = "environment = 'p'\npath = '/run/app.env'\n";
        for (more, words) in [
            ("", "format: or template"),
            ("format = 'json'\ntemplate = '/t'", "format: or template"),
            ("format = 'json'\nmode = '0666'", "mode: must be an octal text"),
            ("format = 'json'\nmode = 640", "mode: must be a text"),
            ("template = 't'", "template: must be an absolute path"),
            ("template = '/a/../t'", "template: must be an absolute path"),
            ("format = 'json'\ntimeout_seconds = 0", "timeout_seconds: must be a whole number"),
        ] {
            let complaint = deliver_complaint(&format!("[[deliver]]\n{good}{more}"));
            assert!(complaint.contains(words) && !complaint.contains('\n'), "{complaint}");
        }
    }
}
