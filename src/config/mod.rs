//! The configuration: defaults, then `config.toml`, then `COFFER_*` variables.
//!
//! Owns: the name, the rule and the default of every setting.
//! Must never: hold a secret (keys and tokens have their own sources), or skip an unknown name: a
//! typo must not become a default.
//! Called by: `server` and `cli`, once at a start and at each reload.

mod declared;
mod error;
mod load;
mod raw;
mod settings;
mod variables;

pub use declared::{DeliveryConfig, FileFormConfig, WorkloadConfig};
pub use error::ConfigError;
#[cfg(fuzzing)]
pub use load::load_text;
pub use load::{DEFAULT_FILE, load, workloads_in};
pub use settings::{
    AuditConfig, AuthConfig, BackupConfig, BootstrapConfig, Config, KeysConfig, LimitsConfig,
    RateLimitConfig, ServerConfig, minutes,
};
pub use variables::Variables;
