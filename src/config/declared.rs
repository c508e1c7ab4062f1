//! `[[workload]]` and `[[deliver]]`: the receivers of values, declared on the host.
//!
//! Owns: the names in these sections, and the rules that can be checked without looking elsewhere.
//! Must never: open a file or resolve a user name; `server` turns declarations into enrollments.
//! Called by: `load`.

use std::path::PathBuf;

use crate::config::error::{ConfigError, unknown_name};
use crate::config::raw::Raw;
use crate::domain::{EnvironmentName, KeyPattern, Violation, WorkloadName};

/// `[[workload]]`: a program that may fetch its values as a sealed bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// The name by which the program identifies itself.
    pub name: WorkloadName,
    /// The environments whose values it may fetch.
    pub environments: Vec<EnvironmentName>,
    /// The recipients that its bundles are sealed to, as text.
    pub recipients: Vec<String>,
    /// The keys it receives.
    pub keys: Vec<KeyPattern>,
}

/// `[[deliver]]`: a file that the server keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// The environment of the values.
    pub environment: EnvironmentName,
    /// The keys in the file.
    pub keys: Vec<KeyPattern>,
    /// The absolute path of the file.
    pub path: PathBuf,
    /// The format or the template.
    pub form: FileFormConfig,
    /// The mode, as for `chmod`.
    pub mode: u32,
    /// The owner, by name or number; by default the server's user.
    pub owner: Option<String>,
    /// The group, by name or number; by default the server's group.
    pub group: Option<String>,
    /// The program and arguments to run after the file has changed; not a shell command.
    pub on_change: Vec<String>,
    /// The time limit for that program, in seconds.
    pub timeout_seconds: u32,
}

/// The form of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormConfig {
    /// The name of a format.
    Format(String),
    /// The absolute path of a template.
    Template(PathBuf),
}

/// A table of a `[[workload]]` or `[[deliver]]` section, from which keys are taken one by one.
struct DeclaredTable {
    table: toml::Table,
    location: String,
}

impl DeclaredTable {
    fn error(&self, key: &str, problem: impl ToString) -> ConfigError {
        ConfigError::new(format!("{} {key}", self.location), problem)
    }

    fn take(&mut self, key: &str) -> Option<Raw> {
        self.table.remove(key).map(Raw::Toml)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        match raw.text().filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text)),
            None => Err(self.error(key, "must be a non-empty string.")),
        }
    }

    /// Returns what was found, or the message that the key is required.
    fn required<T>(&self, key: &str, found: Option<T>) -> Result<T, ConfigError> {
        found.ok_or_else(|| self.error(key, "is required. Add it."))
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
        parsed.map_err(|violation| self.error(key, format!("each item {violation}.")))
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
            Err(self.error(key, "must be the absolute path of a file, without \"..\"."))
        }
    }

    /// Fails if a key is left over, which is one that coffer does not know.
    fn finish(self, known: &[&str]) -> Result<(), ConfigError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.error(key, unknown_name(key, known))),
        }
    }
}

/// Returns the tables of a section.
fn tables(
    file: &str,
    section: &str,
    content: toml::Value,
) -> Result<impl Iterator<Item = Result<DeclaredTable, ConfigError>>, ConfigError> {
    let location = format!("{file}: [[{section}]]");
    let wrong = || {
        ConfigError::new(
            &location,
            format!("must be written as [[{section}]], with two brackets, once per entry."),
        )
    };
    let toml::Value::Array(items) = content else { return Err(wrong()) };
    let table = |(number, item)| match item {
        toml::Value::Table(table) => {
            Ok(DeclaredTable { location: format!("{location} {}", number + 1), table })
        }
        _ => Err(wrong()),
    };
    Ok(items.into_iter().enumerate().map(table).collect::<Vec<_>>().into_iter())
}

/// Reads `[[workload]]`.
pub(super) fn workloads(
    file: &str,
    content: toml::Value,
) -> Result<Vec<WorkloadConfig>, ConfigError> {
    const KNOWN: [&str; 4] = ["name", "environments", "recipients", "keys"];
    let mut workloads: Vec<WorkloadConfig> = Vec::new();
    for entry in tables(file, "workload", content)? {
        let mut entry = entry?;
        let name = entry.text("name")?;
        let name = entry.required("name", name)?;
        let name = WorkloadName::parse(&name)
            .map_err(|violation| entry.error("name", format!("{violation}.")))?;
        if workloads.iter().any(|other| other.name == name) {
            return Err(
                entry.error("name", "is used by another workload. Choose a different name.")
            );
        }
        let environments = entry.list("environments")?;
        let environments = entry.required("environments", environments)?;
        let environments = entry.parsed("environments", &environments, EnvironmentName::parse)?;
        let recipients = entry.list("recipients")?;
        let recipients = entry.required("recipients", recipients)?;
        let keys = entry.keys()?;
        entry.finish(&KNOWN)?;
        workloads.push(WorkloadConfig { name, environments, recipients, keys });
    }
    Ok(workloads)
}

/// The default time limit for a command, in seconds.
const DEFAULT_TIMEOUT_SECONDS: u32 = 30;
const MAX_TIMEOUT_SECONDS: u64 = 3600;

/// Reads `[[deliver]]`.
pub(super) fn deliveries(
    file: &str,
    content: toml::Value,
) -> Result<Vec<DeliveryConfig>, ConfigError> {
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
    let mut deliveries: Vec<DeliveryConfig> = Vec::new();
    for entry in tables(file, "deliver", content)? {
        let mut entry = entry?;
        let environment = entry.text("environment")?;
        let environment = entry.required("environment", environment)?;
        let environment = EnvironmentName::parse(&environment)
            .map_err(|violation| entry.error("environment", format!("{violation}.")))?;
        let keys = entry.keys()?;
        let path = entry.path("path")?;
        let path = entry.required("path", path)?;
        if deliveries.iter().any(|other| other.path == path) {
            return Err(entry.error(
                "path",
                "is also written by another [[deliver]]. Choose a different path.",
            ));
        }
        let form = match (entry.text("format")?, entry.path("template")?) {
            (Some(format), None) => FileFormConfig::Format(format),
            (None, Some(template)) => FileFormConfig::Template(template),
            _ => return Err(entry.error("format", "or template: set exactly one of them.")),
        };
        let mode = match entry.text("mode")? {
            None => 0o600,
            Some(text) => u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777 && mode & 0o002 == 0)
                .ok_or_else(|| {
                    entry.error(
                        "mode",
                        "must be an octal string such as \"0640\", not writable by others.",
                    )
                })?,
        };
        let (owner, group) = (entry.text("owner")?, entry.text("group")?);
        let on_change = entry.list("on_change")?.unwrap_or_default();
        let timeout_seconds =
            match entry.take("timeout_seconds").map(|raw| raw.number(1..=MAX_TIMEOUT_SECONDS)) {
                None => DEFAULT_TIMEOUT_SECONDS,
                Some(seconds) => {
                    let seconds =
                        seconds.map_err(|problem| entry.error("timeout_seconds", problem))?;
                    seconds.try_into().expect("the range fits the type")
                }
            };
        entry.finish(&KNOWN)?;
        deliveries.push(DeliveryConfig {
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

    fn workload_message(text: &str) -> String {
        workloads("config.toml", content(text, "workload")).unwrap_err().to_string()
    }

    fn deliver_message(text: &str) -> String {
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
    fn messages_name_the_table_and_what_to_do() {
        let good = "name = 'api'\nenvironments = ['p']\nrecipients = ['age1x']\n";
        for (text, words) in [
            ("[workload]\nname = 'x'".to_owned(), "[[workload]]: must be written as [[workload]]"),
            ("[[workload]]\nname = 'x'".to_owned(), "[[workload]] 1 environments: is required"),
            (format!("[[workload]]\n{good}[[workload]]\n{good}"), "[[workload]] 2 name: is used"),
            (format!("[[workload]]\n{good}key = ['A']"), "unknown name. Did you mean \"keys\"?"),
            (format!("[[workload]]\n{good}keys = ['a']"), "keys: each item must be a key"),
            (format!("[[workload]]\n{good}keys = []"), "keys: must not be empty"),
        ] {
            let message = workload_message(&text);
            assert!(message.contains(words) && !message.contains('\n'), "{message}");
        }
        let good = "environment = 'p'\npath = '/run/app.env'\n";
        for (more, words) in [
            ("", "format: or template"),
            ("format = 'json'\ntemplate = '/t'", "format: or template"),
            ("format = 'json'\nmode = '0666'", "mode: must be an octal string"),
            ("format = 'json'\nmode = 640", "mode: must be a non-empty string"),
            ("template = 't'", "template: must be the absolute path"),
            ("template = '/a/../t'", "template: must be the absolute path"),
            ("format = 'json'\ntimeout_seconds = 0", "timeout_seconds: must be a whole number"),
        ] {
            let message = deliver_message(&format!("[[deliver]]\n{good}{more}"));
            assert!(message.contains(words) && !message.contains('\n'), "{message}");
        }
    }
}
