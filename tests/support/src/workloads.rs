//! Workloads as the host's configuration would declare them, and the bundles that they open.

use coffer::delivery::Catalog;
use coffer::domain::{EnvironmentName, KeyPattern};
use coffer::vault::{Enrolment, Recipient, ToRecipients, generate_identity};
use serde_json::Value;

use super::TestApp;

/// A workload and the identity that opens its bundles.
pub struct Workload {
    pub name: String,
    pub identity: String,
    pub recipient: Recipient,
}

impl Workload {
    pub fn new(name: &str) -> Self {
        let (identity, recipient) = generate_identity();
        Self { name: name.to_owned(), identity: identity.to_string(), recipient }
    }

    pub fn declared(&self, environments: &[&str], keys: &[&str]) -> Enrolment<ToRecipients> {
        let environments =
            environments.iter().map(|name| EnvironmentName::parse(name).unwrap()).collect();
        let keys = keys.iter().map(|key| KeyPattern::parse(key).unwrap()).collect();
        Enrolment::workload(self.name.clone(), environments, keys, vec![self.recipient.clone()])
    }

    /// The content of a bundle.
    #[track_caller]
    pub fn open(&self, sealed: &[u8]) -> Value {
        let identity: age::x25519::Identity = self.identity.trim().parse().unwrap();
        serde_json::from_slice(&age::decrypt(&identity, sealed).unwrap()).unwrap()
    }
}

/// Reloads a configuration that declares these workloads, as SIGHUP would.
pub fn declare(app: &TestApp, workloads: Vec<Enrolment<ToRecipients>>) {
    app.state.declared.replace(Catalog::new(workloads, Vec::new()));
}
