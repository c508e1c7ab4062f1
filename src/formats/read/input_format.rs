//! The formats that are read.
//!
//! Owns: their names.
//! Must never: read a text (`detect` adds that).
//! Called by: `detect`, `json`, and commands and requests that choose a format.

use std::str::FromStr;

use crate::domain::Violation;

/// A format from which pairs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputFormat {
    /// A `.env` file.
    Dotenv,
    /// One JSON object of strings, numbers and booleans.
    Json,
    /// One YAML mapping of the same.
    Yaml,
    /// A Kubernetes Secret manifest, in YAML or JSON.
    K8sSecret,
    /// The output of `doppler secrets --json` or `doppler secrets download --format json`.
    Doppler,
    /// Infisical's JSON: a list of secrets.
    Infisical,
    /// The output of `vault kv get -format=json`, for version 1 or 2 of the engine.
    Vault,
}

impl InputFormat {
    /// Every format.
    pub const ALL: [InputFormat; 7] = [
        Self::Dotenv,
        Self::Json,
        Self::Yaml,
        Self::K8sSecret,
        Self::Doppler,
        Self::Infisical,
        Self::Vault,
    ];

    /// Returns the name used in options and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::K8sSecret => "k8s-secret",
            Self::Doppler => "doppler",
            Self::Infisical => "infisical",
            Self::Vault => "vault",
        }
    }
}

impl FromStr for InputFormat {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(Violation("must be dotenv, json, yaml, k8s-secret, doppler, infisical or vault"))
    }
}
