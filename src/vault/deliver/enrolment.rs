//! Enrolments: what the configuration of the host says that a workload or a file receives.
//!
//! Owns: which keys an enrolment takes, and the variables that have to be named one by one.
//! Must never: be made from a request. Only the reader of the configuration makes one, which
//! `tests/architecture.rs` checks.
//! Called by: the rest of `deliver`; `server`, which declares enrolments.

use crate::domain::{EnvironmentName, KeyName, KeyPattern};

use crate::vault::crypto::recipients::Recipient;

/// A declaration of the host that the values of some keys go to outlet `O`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment<O> {
    pub(super) name: String,
    pub(super) environments: Vec<EnvironmentName>,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) outlet: O,
}

/// The outlet of a workload: a bundle that is sealed to these age recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRecipients(Vec<Recipient>);

impl<O> Enrolment<O> {
    /// Returns the name: of a workload, or the path of a file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the patterns of the keys that it takes.
    pub fn keys(&self) -> &[KeyPattern] {
        &self.keys
    }

    /// Returns whether it takes values from an environment.
    pub fn is_for(&self, environment: &EnvironmentName) -> bool {
        let folded = environment.folded();
        self.environments.iter().any(|one| one.folded() == folded)
    }

    /// Returns whether it takes a key. A variable that controls the program that receives it has to
    /// be named without a wildcard: otherwise anyone who may write vars could run code on the host.
    pub fn takes(&self, key: &KeyName) -> bool {
        if controls_programs(key.as_str()) {
            self.keys.iter().any(|pattern| pattern.as_str() == key.as_str())
        } else {
            self.keys.iter().any(|pattern| pattern.matches(key))
        }
    }
}

impl Enrolment<ToRecipients> {
    /// Builds the enrolment of a workload, as `config.toml` declares it.
    pub fn workload(
        name: String,
        environments: Vec<EnvironmentName>,
        keys: Vec<KeyPattern>,
        recipients: Vec<Recipient>,
    ) -> Self {
        Self { name, environments, keys, outlet: ToRecipients(recipients) }
    }

    /// Returns the recipients that its bundles are sealed to.
    pub fn recipients(&self) -> &[Recipient] {
        &self.outlet.0
    }
}

/// Returns whether a variable can make loaders, shells or interpreters run foreign code, or trust
/// or contact someone else: see ld.so(8), dyld(1), bash(1), curl(1), openssl(1), and the manuals of
/// node, python, perl, ruby, java, .NET and git. The list cannot be complete.
fn controls_programs(key: &str) -> bool {
    const FAMILIES: [&str; 7] = ["LD_", "DYLD_", "GIT_", "OPENSSL_", "COFFER_", "GEM_", "BUNDLE_"];
    const NAMES: [&str; 46] = [
        "PATH",
        "HOME",
        "IFS",
        "ENV",
        "BASH_ENV",
        "SHELL",
        "SHELLOPTS",
        "PROMPT_COMMAND",
        "PS4",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "LOCPATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "NODE_EXTRA_CA_CERTS",
        "NODE_USE_ENV_PROXY",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "PYTHONBREAKPOINT",
        "PERL5LIB",
        "PERL5OPT",
        "PERL5DB",
        "PERLLIB",
        "RUBYLIB",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "JAVA_OPTS",
        "MAVEN_OPTS",
        "CLASSPATH",
        "DOTNET_STARTUP_HOOKS",
        "PHPRC",
        "PHP_INI_SCAN_DIR",
        "EDITOR",
        "PAGER",
    ];
    FAMILIES.iter().any(|family| key.starts_with(family)) || NAMES.contains(&key)
}
