//! Loads the configuration from its sources, in order.
//!
//! Owns: which source overrides which, and the check that every name is known.
//! Must never: read the process's environment itself; it is an argument.
//! Called by: `server` and `cli`.

use std::path::{Path, PathBuf};

use crate::config::declared::{self, WorkloadConfig};
use crate::config::error::{ConfigError, is_near, unknown_name};
use crate::config::raw::Raw;
use crate::config::settings::{Config, LATER_SECTIONS, LISTS, SETTINGS, Setting};
use crate::config::variables::Variables;

/// Variables of coffer that are not settings.
const OTHER_VARIABLES: [&str; 14] = [
    "COFFER_ROOT_KEY",
    "COFFER_ROOT_KEY_FILE",
    "COFFER_ROOT_KEY_PASSPHRASE_FILE",
    "COFFER_PREVIOUS_ROOT_KEY",
    "COFFER_PREVIOUS_ROOT_KEY_FILE",
    "COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE",
    "COFFER_BOOTSTRAP_TOKEN",
    "COFFER_ADMIN_EMAIL",
    "COFFER_ADMIN_PASSWORD",
    "COFFER_ADMIN_PASSWORD_FILE",
    "COFFER_CONFIG",
    "COFFER_URL",
    "COFFER_TOKEN",
    "COFFER_ENV",
];

/// The file that is read if none is named and this one exists.
pub const DEFAULT_FILE: &str = "config.toml";

/// Loads the configuration. `file` was named by the user and must exist; without it, `COFFER_CONFIG`
/// or [`DEFAULT_FILE`] is read.
pub fn load(file: Option<&Path>, variables: &Variables) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let named =
        file.map(Path::to_owned).or_else(|| variables.get("COFFER_CONFIG").map(PathBuf::from));
    let text = match &named {
        Some(path) => Some((path.clone(), read_file(path)?)),
        None => {
            let path = PathBuf::from(DEFAULT_FILE);
            let exists = path.try_exists().map_err(|error| unreadable(&path, &error))?;
            if exists { Some((path.clone(), read_file(&path)?)) } else { None }
        }
    };
    let mut prefix = String::new();
    if let Some((path, text)) = text {
        apply_file(&mut config, &path, &text)?;
        prefix = format!("{}: ", path.display());
    }
    apply_variables(&mut config, variables)?;
    config.check().map_err(|(key, problem)| ConfigError::new(format!("{prefix}{key}"), problem))?;
    Ok(config)
}

/// Reads the workloads declared in a separate file; none if the file does not exist.
pub fn workloads_in(path: &Path) -> Result<Vec<WorkloadConfig>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| unreadable(path, &error))?,
    };
    let mut config = Config::default();
    apply_file(&mut config, path, &text)?;
    Ok(config.workloads)
}

/// Reads the text of a file as [`load`] does; for the fuzz targets.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn load_text(text: &str, variables: &Variables) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    apply_file(&mut config, Path::new(DEFAULT_FILE), text)?;
    apply_variables(&mut config, variables)?;
    config.check().map_err(|(key, problem)| ConfigError::new(key.to_owned(), problem))?;
    Ok(config)
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let problem = format!("cannot be read: {error}. Check the path and its permissions.");
    ConfigError::new(path.display(), problem)
}

fn apply_file(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let file = path.display();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let message = error.message().replace('\n', " ");
        ConfigError::new(
            &file,
            format!("line {line} is not valid TOML: {message}. Fix or remove that line."),
        )
    })?;
    for (section, content) in table {
        if LATER_SECTIONS.contains(&section.as_str()) {
            config.unsupported.push(format!("[{section}]"));
            continue;
        }
        match section.as_str() {
            "workload" => {
                config.workloads = declared::workloads(&file.to_string(), content)?;
                continue;
            }
            "deliver" => {
                config.deliveries = declared::deliveries(&file.to_string(), content)?;
                continue;
            }
            _ => {}
        }
        let known = SETTINGS.iter().any(|setting| setting.section == section);
        let toml::Value::Table(keys) = content else {
            let location = format!("{file}: {section}");
            let problem = if known {
                format!("must be a section. Write it as [{section}].")
            } else {
                unknown_name(&section, &section_names())
            };
            return Err(ConfigError::new(location, problem));
        };
        if !known {
            return Err(ConfigError::new(
                format!("{file}: [{section}]"),
                unknown_name(&section, &section_names()),
            ));
        }
        for (key, value) in keys {
            let location = format!("{file}: [{section}] {key}");
            set(config, &section, &key, Raw::Toml(value), &location)?;
        }
    }
    Ok(())
}

fn apply_variables(config: &mut Config, variables: &Variables) -> Result<(), ConfigError> {
    for name in variables.others().filter(|name| !OTHER_VARIABLES.contains(name)) {
        // Of all names these matter most: without the key that was meant, a new one would be
        // created beside the data.
        let joined = |text: &str| text.replace('_', "");
        let mistyped = |known: &&&str| {
            name != **known && (is_near(name, known) || joined(name) == joined(known))
        };
        if let Some(meant) = OTHER_VARIABLES.iter().find(mistyped) {
            return Err(ConfigError::new(name, format!("unknown name. Did you mean {meant}?")));
        }
        let meant = |setting: &&Setting| {
            let (section, key) = (setting.section, setting.key);
            name.eq_ignore_ascii_case(&format!("COFFER_{section}_{key}"))
                || name.eq_ignore_ascii_case(&format!("COFFER_{key}"))
        };
        if let Some(setting) = SETTINGS.iter().find(meant) {
            let (section, key) = (setting.section.to_uppercase(), setting.key.to_uppercase());
            let problem = format!(
                "unknown name. Did you mean COFFER_{section}__{key}, with two underscores?"
            );
            return Err(ConfigError::new(name, problem));
        }
    }
    for (name, value) in variables.settings() {
        let Some((section, key)) = name["COFFER_".len()..].split_once("__") else { continue };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        if LATER_SECTIONS.contains(&section.as_str()) {
            config.unsupported.push(format!("[{section}]"));
            continue;
        }
        if LISTS.contains(&section.as_str()) {
            let problem = format!("[[{section}]] can only be given in the configuration file.");
            return Err(ConfigError::new(name, problem));
        }
        set(config, &section, &key, Raw::Text(value.to_owned()), name)?;
    }
    Ok(())
}

fn set(
    config: &mut Config,
    section: &str,
    key: &str,
    raw: Raw,
    location: &str,
) -> Result<(), ConfigError> {
    let setting = SETTINGS.iter().find(|setting| setting.section == section && setting.key == key);
    let Some(setting) = setting else {
        let known = SETTINGS.iter().filter(|setting| setting.section == section);
        let names: Vec<_> = known.map(|setting| setting.key).collect();
        let names = if names.is_empty() { section_names() } else { names };
        return Err(ConfigError::new(location, unknown_name(key, &names)));
    };
    (setting.set)(config, raw).map_err(|problem| ConfigError::new(location, problem))
}

fn section_names() -> Vec<&'static str> {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.section).collect();
    names.extend(LATER_SECTIONS);
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        apply_file(&mut config, Path::new("config.toml"), text)?;
        config.check().map_err(|(key, problem)| ConfigError::new(key, problem))?;
        Ok(config)
    }

    fn message(text: &str) -> String {
        let line = with_file(text).unwrap_err().to_string();
        assert!(!line.contains('\n'), "one line: {line}");
        line
    }

    #[test]
    fn defaults_apply_without_a_file() {
        let config = Config::default();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8420");
        assert_eq!(config.server.data_dir, Path::new("./data"));
        assert_eq!(config.limits.value_bytes, 65_536);
        assert_eq!(config.audit.keep_days, 0, "audit rows are kept unless configured otherwise");
        assert_eq!(config.bootstrap.environments[0].as_str(), "development");
    }

    #[test]
    fn every_name_of_the_contract_is_accepted() {
        let config = with_file(
            r#"
            [server]
            listen = "127.0.0.1:1"
            data_dir = "d"
            trusted_proxies = ["10.0.0.0/8", "::1"]
            [keys]
            root_key_file = "k"
            [bootstrap]
            environments = ["a", "b"]
            [limits]
            value_bytes = 100
            versions_kept = 3
            body_bytes = 100000
            [rate_limit]
            authenticated_per_minute = 0
            anonymous_per_minute = 1
            login_failures = 2
            [auth]
            argon2_memory_kib = 19456
            argon2_passes = 2
            session_idle_minutes = 30
            session_hours = 12
            [audit]
            keep_days = 400
            [[workload]]
            name = "api"
            environments = ["a"]
            recipients = ["age1x"]
            [[deliver]]
            environment = "a"
            path = "/x"
            format = "json"
            [backup]
            directory = "b"
            every = "2d"
            keep = 3
            recipients = ["age1x"]
            [tls]
            certificate = "c"
            [log]
            level = "warn"
            [metrics]
            enabled = true
            "#,
        )
        .unwrap();
        assert_eq!(config.limits.versions_kept, 3);
        assert_eq!(config.audit.keep_days, 400);
        assert_eq!((config.backup.every_minutes, config.backup.keep), (2880, 3));
        for name in ["[metrics]", "[tls]"] {
            assert!(config.unsupported.iter().any(|found| found == name), "{name}");
        }
    }

    #[test]
    fn messages_name_file_key_and_remedy() {
        assert_eq!(
            message("[server]\nlisten = 5"),
            "config.toml: [server] listen: must be an address and port such as \"127.0.0.1:8420\"."
        );
        assert_eq!(
            message("[server]\nlisen = 'x'"),
            "config.toml: [server] lisen: unknown name. Did you mean \"listen\"?"
        );
        assert!(message("[sever]\n").contains("Did you mean \"server\"?"));
        assert!(message("server = 1").contains("Write it as [server]."));
        assert!(message("[limits]\nvalue_bytes = -1").contains("must be a whole number from 1 to"));
        assert!(
            message("[limits]\nvalue_bytes = 100000\nbody_bytes = 5000").contains("body_bytes")
        );
        for days in ["-1", "36501", "1.5", "'a year'"] {
            let line = message(&format!("[audit]\nkeep_days = {days}"));
            assert_eq!(
                line,
                "config.toml: [audit] keep_days: must be a whole number from 0 to 36500."
            );
        }
        for every in ["1", "''", "'h'", "'-1h'", "'0m'", "'1w'", "'367d'", "'99999999999d'", "'1ä'"]
        {
            let line = message(&format!("[backup]\nevery = {every}"));
            assert!(line.contains("such as \"30m\""), "{line}");
        }
        assert!(message("a = ").contains("line 1 is not valid TOML"));
        assert!(
            message("[bootstrap]\nenvironments = ['a b']").contains("must be 1 to 50 characters")
        );
    }

    #[test]
    fn variables_win_and_lists_are_comma_separated() {
        let mut config = with_file("[bootstrap]\nenvironments = ['x']").unwrap();
        let variables = Variables::from_pairs([
            ("COFFER_BOOTSTRAP__ENVIRONMENTS", "a, b"),
            ("COFFER_SERVER__LISTEN", "[::1]:9"),
            ("COFFER_AUDIT__KEEP_DAYS", "90"),
            ("COFFER_PORT_8420_TCP", "set by a container runtime"),
        ]);
        apply_variables(&mut config, &variables).unwrap();
        let names: Vec<_> =
            config.bootstrap.environments.iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(config.server.listen.to_string(), "[::1]:9");
        assert_eq!(config.audit.keep_days, 90);
        let typo = Variables::from_pairs([("COFFER_SERVER__LISEN", "x")]);
        let error = apply_variables(&mut config, &typo).unwrap_err().to_string();
        assert_eq!(error, "COFFER_SERVER__LISEN: unknown name. Did you mean \"listen\"?");
        let two_lines = ConfigError::new("COFFER_\nX", "unknown name.").to_string();
        assert_eq!(two_lines, "COFFER_\\nX: unknown name.");
        let typo = Variables::from_pairs([("COFFER_SERVER_LISTEN", "x")]);
        let error = apply_variables(&mut config, &typo).unwrap_err().to_string();
        assert!(error.contains("Did you mean COFFER_SERVER__LISTEN"), "{error}");
    }

    /// `config.toml` in the root of the repository lists every setting with its default.
    #[test]
    fn the_commented_file_matches_the_defaults() {
        let file = include_str!("../../config.toml");
        let is_setting = |line: &&str| {
            line.strip_prefix('#')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
        };
        let uncommented: Vec<_> =
            file.lines().map(|line| if is_setting(&line) { &line[1..] } else { line }).collect();
        let table: toml::Table = uncommented.join("\n").parse().unwrap();
        for setting in SETTINGS {
            let section =
                table.get(setting.section).unwrap_or_else(|| panic!("[{}]", setting.section));
            assert!(section.get(setting.key).is_some(), "[{}] {}", setting.section, setting.key);
        }
        let mut read = with_file(&uncommented.join("\n")).unwrap();
        read.unsupported.clear();
        assert!(read.keys.root_key_file.take().is_some());
        assert!(read.keys.previous_root_key_file.take().is_some());
        assert!(read.backup.directory.take().is_some());
        assert_eq!((read.workloads.len(), read.deliveries.len()), (1, 1));
        read.workloads.clear();
        read.deliveries.clear();
        assert_eq!(format!("{read:?}"), format!("{:?}", Config::default()));
        let unchanged = with_file(file).unwrap();
        assert_eq!(format!("{unchanged:?}"), format!("{:?}", Config::default()));
    }
}
