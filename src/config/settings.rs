//! Every setting, with its name, rule and default.
//!
//! Owns: the table of settings. `config.toml` in the root of the repository documents them for
//! people; a test in `load` compares the two.
//! Must never: read a file or a variable.
//! Called by: `load`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::{EnvironmentName, Network};

use crate::config::declared::{DeliveryConfig, WorkloadConfig};
use crate::config::raw::Raw;

/// The resolved configuration.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Config {
    pub server: ServerConfig,
    pub keys: KeysConfig,
    pub bootstrap: BootstrapConfig,
    pub limits: LimitsConfig,
    pub rate_limit: RateLimitConfig,
    pub auth: AuthConfig,
    pub audit: AuditConfig,
    pub backup: BackupConfig,
    /// `[[workload]]`: programs that may fetch bundles.
    pub workloads: Vec<WorkloadConfig>,
    /// `[[deliver]]`: files that the server keeps up to date.
    pub deliveries: Vec<DeliveryConfig>,
    /// `[log] level`: the least severe messages written to stderr.
    pub log_level: log::LevelFilter,
    /// The sections that were set and are accepted, but that this version does not use.
    pub unsupported: Vec<String>,
}

/// `[server]`: the listener and the data directory.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The directory that contains all data.
    pub data_dir: PathBuf,
    /// The peers whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<Network>,
}

/// `[keys]`: the files with the root keys.
#[derive(Debug, Clone, Default)]
pub struct KeysConfig {
    /// The file with the root key.
    pub root_key_file: Option<PathBuf>,
    /// The file with the previous root key, while the root key is being replaced.
    pub previous_root_key_file: Option<PathBuf>,
}

/// `[bootstrap]`: what the first start creates.
#[derive(Debug, Clone)]
pub struct BootstrapConfig {
    /// The environments to create.
    pub environments: Vec<EnvironmentName>,
}

/// `[limits]`: the sizes of values and requests.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// The longest value of a secret or variable, in bytes of UTF-8.
    pub value_bytes: usize,
    /// The number of versions kept of each secret.
    pub versions_kept: u32,
    /// The longest request body, in bytes.
    pub body_bytes: usize,
}

/// `[rate_limit]`: the rate limits; 0 disables one.
#[derive(Debug, Clone, Copy)]
pub struct RateLimitConfig {
    /// The requests per minute of one principal.
    pub authenticated_per_minute: u32,
    /// The requests per minute of one address without a valid credential.
    pub anonymous_per_minute: u32,
    /// The failed logins after which further attempts are delayed.
    pub login_failures: u32,
}

/// `[auth]`: password hashes and sessions.
#[derive(Debug, Clone, Copy)]
pub struct AuthConfig {
    /// The memory for one password hash, in KiB.
    pub argon2_memory_kib: u32,
    /// The passes of one password hash.
    pub argon2_passes: u32,
    /// The minutes without a request after which a session ends.
    pub session_idle_minutes: u32,
    /// The hours after which a session ends.
    pub session_hours: u32,
}

/// `[audit]`: retention of the audit log.
#[derive(Debug, Clone, Copy)]
pub struct AuditConfig {
    /// The age in days at which rows of the audit log are dropped; 0 keeps them forever.
    pub keep_days: u32,
}

/// `[backup]`: scheduled backups.
#[derive(Debug, Clone)]
pub struct BackupConfig {
    /// The directory for scheduled backups; without it, none are created.
    pub directory: Option<PathBuf>,
    /// The interval, in minutes.
    pub every_minutes: u32,
    /// The number of backups kept.
    pub keep: u32,
    /// The recipients that backups are sealed to, as text; if empty, they are sealed under the root
    /// key.
    pub recipients: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let development =
            EnvironmentName::parse("development").expect("the default name follows the rule");
        Self {
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
                data_dir: PathBuf::from("./data"),
                trusted_proxies: Vec::new(),
            },
            keys: KeysConfig::default(),
            bootstrap: BootstrapConfig { environments: vec![development] },
            limits: LimitsConfig { value_bytes: 64 << 10, versions_kept: 10, body_bytes: 1 << 20 },
            rate_limit: RateLimitConfig {
                authenticated_per_minute: 6000,
                anonymous_per_minute: 120,
                login_failures: 5,
            },
            auth: AuthConfig {
                argon2_memory_kib: 19_456,
                argon2_passes: 2,
                session_idle_minutes: 60,
                session_hours: 24,
            },
            audit: AuditConfig { keep_days: 0 },
            backup: BackupConfig {
                directory: None,
                every_minutes: 24 * 60,
                keep: 7,
                recipients: Vec::new(),
            },
            workloads: Vec::new(),
            deliveries: Vec::new(),
            log_level: log::LevelFilter::Info,
            unsupported: Vec::new(),
        }
    }
}

impl Config {
    /// Checks the rules between settings. Fails with the name of a setting and the problem.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.limits.body_bytes < self.limits.value_bytes {
            return Err((
                "[limits] body_bytes",
                format!(
                    "must be at least value_bytes ({}), or the longest value could not be sent.",
                    self.limits.value_bytes
                ),
            ));
        }
        Ok(())
    }
}

/// Sections whose names are reserved for future features.
pub(super) const LATER_SECTIONS: [&str; 2] = ["tls", "metrics"];

/// Sections that are lists of tables and cannot be set by variables.
pub(super) const LISTS: [&str; 2] = ["workload", "deliver"];

/// A setting: its name, and the function that checks and stores its value.
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
                return Err("contains a duplicate name (case is ignored).".to_owned());
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

/// Parses a period such as `30m`, `24h` or `7d`, and returns it in minutes.
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
