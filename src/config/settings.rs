//! Every setting: name, rule, default. `config.toml` in the project's root
//! describes them for people; a test keeps the two together.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::{EnvironmentName, Network};

use super::declared::{Deliver, Workload};
use super::raw::Raw;

/// The resolved configuration.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Config {
    pub server: Server,
    pub keys: Keys,
    pub bootstrap: Bootstrap,
    pub limits: Limits,
    pub rate_limit: RateLimit,
    pub auth: Auth,
    pub audit: Audit,
    pub backup: Backup,
    /// `[[workload]]`: programs that may fetch bundles.
    pub workloads: Vec<Workload>,
    /// `[[deliver]]`: files that the server keeps up to date.
    pub deliveries: Vec<Deliver>,
    /// `[log] level`: what goes to stderr.
    pub log_level: log::LevelFilter,
    /// What was set and is accepted, but that this version does nothing with.
    pub not_in_force: Vec<String>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Peers whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<Network>,
}

/// `[keys]`
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// A file with the root key.
    pub root_key_file: Option<PathBuf>,
    /// A file with the root key before it, while the root key changes.
    pub previous_root_key_file: Option<PathBuf>,
}

/// `[bootstrap]`
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The environments that the first start makes.
    pub environments: Vec<EnvironmentName>,
}

/// `[limits]`
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest value of a secret or var, in bytes of UTF-8.
    pub value_bytes: usize,
    /// Versions of a secret that are kept.
    pub versions_kept: u32,
    /// Longest request body, in bytes.
    pub body_bytes: usize,
}

/// `[rate_limit]`; 0 switches a limit off.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests a minute of one principal.
    pub authenticated_per_minute: u32,
    /// Requests a minute of one address without a valid credential.
    pub anonymous_per_minute: u32,
    /// Failed logins before they are slowed down.
    pub login_failures: u32,
}

/// `[auth]`
#[derive(Debug, Clone, Copy)]
pub struct Auth {
    /// Memory of one password hash, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of one password hash.
    pub argon2_passes: u32,
    /// A session ends after so many minutes without a request.
    pub session_idle_minutes: u32,
    /// A session ends after so many hours.
    pub session_hours: u32,
}

/// `[audit]`
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    /// Rows of the audit log that are older than so many days are dropped; 0
    /// keeps them for ever.
    pub keep_days: u32,
}

/// `[backup]`
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where the server puts backups by itself; none are made without it.
    pub directory: Option<PathBuf>,
    /// How often, in minutes.
    pub every_minutes: u32,
    /// How many are kept.
    pub keep: u32,
    /// Whom they are sealed to, as text; under the root key if it is empty.
    pub recipients: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let development =
            EnvironmentName::parse("development").expect("the default name follows the rule");
        Self {
            server: Server {
                listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
                data_dir: PathBuf::from("./data"),
                trusted_proxies: Vec::new(),
            },
            keys: Keys::default(),
            bootstrap: Bootstrap { environments: vec![development] },
            limits: Limits { value_bytes: 64 << 10, versions_kept: 10, body_bytes: 1 << 20 },
            rate_limit: RateLimit {
                authenticated_per_minute: 6000,
                anonymous_per_minute: 120,
                login_failures: 5,
            },
            auth: Auth {
                argon2_memory_kib: 19_456,
                argon2_passes: 2,
                session_idle_minutes: 60,
                session_hours: 24,
            },
            audit: Audit { keep_days: 0 },
            backup: Backup {
                directory: None,
                every_minutes: 24 * 60,
                keep: 7,
                recipients: Vec::new(),
            },
            workloads: Vec::new(),
            deliveries: Vec::new(),
            log_level: log::LevelFilter::Info,
            not_in_force: Vec::new(),
        }
    }
}

impl Config {
    /// Rules between settings: the name and the problem.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.limits.body_bytes < self.limits.value_bytes {
            return Err((
                "[limits] body_bytes",
                format!(
                    "must be at least value_bytes ({}), or no such value could be sent.",
                    self.limits.value_bytes
                ),
            ));
        }
        Ok(())
    }
}

/// Sections whose names are reserved for features to come.
pub(super) const LATER_SECTIONS: [&str; 2] = ["tls", "metrics"];

/// Sections that are lists, and cannot be given as variables.
pub(super) const LISTS: [&str; 2] = ["workload", "deliver"];

pub(super) struct Setting {
    pub section: &'static str,
    pub key: &'static str,
    pub set: fn(&mut Config, Raw) -> Result<(), String>,
}

macro_rules! settings {
    ($([$section:ident] { $($key:ident: $set:expr,)* })*) => {
        &[$($(Setting { section: stringify!($section), key: stringify!($key), set: $set },)*)*]
    };
}

macro_rules! number {
    ($section:ident.$key:ident, $range:expr) => {
        |config, raw| {
            let number = raw.number($range)?;
            config.$section.$key = number.try_into().expect("the range fits the type");
            Ok(())
        }
    };
}

pub(super) const SETTINGS: &[Setting] = settings! {
    [server] {
        listen: |config, raw| {
            let address = raw.text().and_then(|text| text.parse().ok());
            config.server.listen =
                address.ok_or("must be an address and port such as \"127.0.0.1:8420\".")?;
            Ok(())
        },
        data_dir: |config, raw| {
            config.server.data_dir = path(raw)?;
            Ok(())
        },
        trusted_proxies: |config, raw| {
            let networks = raw.list()?.iter().map(|text| Network::parse(text)).collect::<Option<_>>();
            config.server.trusted_proxies =
                networks.ok_or("must be addresses or ranges such as \"10.0.0.0/8\".")?;
            Ok(())
        },
    }
    [keys] {
        root_key_file: |config, raw| {
            config.keys.root_key_file = Some(path(raw)?);
            Ok(())
        },
        previous_root_key_file: |config, raw| {
            config.keys.previous_root_key_file = Some(path(raw)?);
            Ok(())
        },
    }
    [bootstrap] {
        environments: |config, raw| {
            let names = raw.list()?.iter().map(|text| EnvironmentName::parse(text)).collect::<Result<Vec<_>, _>>();
            let names = names.map_err(|violation| format!("each name {violation}."))?;
            let mut folded: Vec<_> = names.iter().map(EnvironmentName::folded).collect();
            folded.sort_unstable();
            if folded.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err("names one environment twice (case does not count).".to_owned());
            }
            config.bootstrap.environments = names;
            Ok(())
        },
    }
    [limits] {
        value_bytes: number!(limits.value_bytes, 1..=1 << 20),
        versions_kept: number!(limits.versions_kept, 1..=1000),
        body_bytes: number!(limits.body_bytes, 4096..=16 << 20),
    }
    [rate_limit] {
        authenticated_per_minute: number!(rate_limit.authenticated_per_minute, 0..=10_000_000),
        anonymous_per_minute: number!(rate_limit.anonymous_per_minute, 0..=10_000_000),
        login_failures: number!(rate_limit.login_failures, 0..=1000),
    }
    [auth] {
        argon2_memory_kib: number!(auth.argon2_memory_kib, 8192..=1 << 21),
        argon2_passes: number!(auth.argon2_passes, 1..=16),
        session_idle_minutes: number!(auth.session_idle_minutes, 1..=525_600),
        session_hours: number!(auth.session_hours, 1..=8760),
    }
    [audit] {
        keep_days: number!(audit.keep_days, 0..=36_500),
    }
    [backup] {
        directory: |config, raw| {
            config.backup.directory = Some(path(raw)?);
            Ok(())
        },
        every: |config, raw| {
            let minutes = raw.text().and_then(|text| minutes(&text));
            config.backup.every_minutes = minutes
                .filter(|minutes| (1..=366 * 24 * 60).contains(minutes))
                .ok_or("must be minutes, hours or days, such as \"30m\", \"24h\" or \"7d\".")?;
            Ok(())
        },
        keep: number!(backup.keep, 1..=10_000),
        recipients: |config, raw| {
            config.backup.recipients = raw.list()?;
            Ok(())
        },
    }
    [log] {
        level: |config, raw| {
            let level = raw.text().and_then(|text| text.parse().ok());
            config.log_level = level.ok_or("must be off, error, warn, info, debug or trace.")?;
            Ok(())
        },
    }
};

/// A period of minutes, hours or days in minutes: `30m`, `24h`, `7d`.
pub fn minutes(text: &str) -> Option<u32> {
    let text = text.trim();
    let unit = match text.chars().last()? {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u32>().ok()?.checked_mul(unit)
}

fn path(raw: Raw) -> Result<PathBuf, String> {
    match raw.text().filter(|text| !text.is_empty()) {
        Some(text) => Ok(PathBuf::from(text)),
        None => Err("must be a path.".to_owned()),
    }
}
