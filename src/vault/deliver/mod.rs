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

use super::Recipient;

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
/// code than their own: ld.so(8), dyld(1), bash(1), and the manuals of node,
/// python, perl, ruby, java, git. No such list is complete.
fn steers(key: &str) -> bool {
    const FAMILIES: [&str; 3] = ["LD_", "DYLD_", "GIT_"];
    const NAMES: [&str; 24] = [
        "PATH",
        "HOME",
        "IFS",
        "ENV",
        "BASH_ENV",
        "SHELL",
        "PROMPT_COMMAND",
        "PS4",
        "GCONV_PATH",
        "LOCPATH",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PERL5LIB",
        "PERL5OPT",
        "PERLLIB",
        "RUBYLIB",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "CLASSPATH",
        "EDITOR",
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
