//! The formats that are written.
//!
//! Owns: their names.
//! Must never: write anything.
//! Called by: everything in `write`, and commands and settings that choose a format.

use std::str::FromStr;

use crate::domain::Violation;

/// A format in which pairs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `KEY='value'`, read alike by node's dotenv and python-dotenv.
    Dotenv,
    /// `KEY=value`, for `docker run --env-file`.
    DockerEnv,
    /// `KEY="value"`, for `EnvironmentFile=` (systemd.exec(5)).
    Systemd,
    /// `export KEY='value'`, for a POSIX shell to source.
    Shell,
    /// One JSON object of strings.
    Json,
    /// One YAML mapping of strings.
    Yaml,
    /// A Kubernetes Secret manifest for `kubectl apply -f`.
    K8sSecret,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 7] = [
        Self::Dotenv,
        Self::DockerEnv,
        Self::Systemd,
        Self::Shell,
        Self::Json,
        Self::Yaml,
        Self::K8sSecret,
    ];

    /// Returns the name used in options and in `config.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::DockerEnv => "docker-env",
            Self::Systemd => "systemd",
            Self::Shell => "shell",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::K8sSecret => "k8s-secret",
        }
    }

    /// Reports whether the format has comments.
    pub fn has_comments(self) -> bool {
        self != Self::Json
    }
}

impl FromStr for Format {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(Violation(
            "must be dotenv, docker-env, systemd, shell, json, yaml or k8s-secret",
        ))
    }
}
