//! The second door out of the cipher: to those whom the host has enrolled.
//!
//! Owns: enrolments, what they resolve to, and the two ways in which that leaves
//! this room: sealed to recipients, or into an open file.
//! Must never: deliver by a permit alone (whoever asks learns nothing but
//! ciphertext), let a value's length show, or leave out in silence a value that
//! does not open.
//! Called by: `delivery`, `http` for bundles, `cli` to open one.
//!
//! What is resolved is of one moment: it is worked out in the writer, in the same
//! change as its audit row, and comes out only once that row is durable.

mod bundle;
mod file;
mod resolve;

pub use bundle::{Bundle, BundleError};
pub use file::{Filled, Form, NotFilled, ToFile};
pub use resolve::{SealedBundle, name_digest};

use crate::domain::{EnvironmentName, KeyName, KeyPattern};

use crate::vault::crypto::recipients::Recipient;

/// What the host's configuration says that somebody gets. Only who reads the
/// configuration makes one (`tests/layering.rs`), never a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment<O> {
    name: String,
    environments: Vec<EnvironmentName>,
    keys: Vec<KeyPattern>,
    outlet: O,
}

/// It goes to these recipients, as an age file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRecipients(Vec<Recipient>);

impl<O> Enrolment<O> {
    /// By what name it is known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The patterns of its keys.
    pub fn keys(&self) -> &[KeyPattern] {
        &self.keys
    }

    /// Whether it is for an environment.
    pub fn is_for(&self, environment: &EnvironmentName) -> bool {
        let folded = environment.folded();
        self.environments.iter().any(|one| one.folded() == folded)
    }

    /// Whether it takes a key. One that steers the program that gets it has to be
    /// named: who may write vars must not thereby run code where values are known.
    pub fn takes(&self, key: &KeyName) -> bool {
        if steers(key.as_str()) {
            self.keys.iter().any(|pattern| pattern.as_str() == key.as_str())
        } else {
            self.keys.iter().any(|pattern| pattern.matches(key))
        }
    }
}

/// Variables by which loaders, shells and interpreters can be made to run other
/// code than their own, or to trust and talk to somebody else: ld.so(8), dyld(1),
/// bash(1), curl(1), openssl(1), and the manuals of node, python, perl, ruby, java,
/// .NET, git. No such list is complete.
fn steers(key: &str) -> bool {
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

impl Enrolment<ToRecipients> {
    /// A workload, as `config.toml` declares it.
    pub fn workload(
        name: String,
        environments: Vec<EnvironmentName>,
        keys: Vec<KeyPattern>,
        recipients: Vec<Recipient>,
    ) -> Self {
        Self { name, environments, keys, outlet: ToRecipients(recipients) }
    }

    /// Whom its bundles are sealed to.
    pub fn recipients(&self) -> &[Recipient] {
        &self.outlet.0
    }
}
