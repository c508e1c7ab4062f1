//! Who gets values without a person seeing them.
//!
//! Owns: the catalogue of what the host's configuration declares, and its
//! replacement while the server runs.
//! Must never: see a value or keep one; take a declaration from anywhere but the
//! host (`cli` reads the configuration and hands it on).
//! Called by: `http`, for what is declared; `cli`, at the start and on SIGHUP.

mod files;
mod hook;
mod place;

pub use files::{FileDelivery, FormName, Outcome, Receipt, Receipts, keep_delivering};
pub use hook::Ended;
pub use place::Attributes;

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::{EnvironmentName, KeyName};
use crate::vault::{Enrolment, ToRecipients};

/// What is declared. It never changes; another one takes its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    workloads: Vec<Arc<Enrolment<ToRecipients>>>,
    files: Vec<FileDelivery>,
}

/// Who would get a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// The names of workloads, and the paths of files.
    pub services: Vec<String>,
    /// The paths of templates that name it.
    pub config_files: Vec<String>,
}

impl Catalogue {
    /// Of these workloads, whose names are unique, and files, whose paths are.
    pub fn new(workloads: Vec<Enrolment<ToRecipients>>, files: Vec<FileDelivery>) -> Self {
        let mut workloads: Vec<_> = workloads.into_iter().map(Arc::new).collect();
        workloads.sort_by(|a, b| a.name().cmp(b.name()));
        Self { workloads, files }
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.files.is_empty()
    }

    /// The files, as they are declared.
    pub fn files(&self) -> &[FileDelivery] {
        &self.files
    }

    /// Those of an environment.
    pub fn files_of(&self, environment: &EnvironmentName) -> impl Iterator<Item = &FileDelivery> {
        self.files.iter().filter(|one| one.enrolment.is_for(environment))
    }

    /// The names of the workloads, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|one| one.name())
    }

    /// The workload of this name.
    pub fn workload(&self, name: &str) -> Option<Arc<Enrolment<ToRecipients>>> {
        self.workloads.iter().find(|one| one.name() == name).map(Arc::clone)
    }

    /// The workloads of an environment, by name.
    pub fn workloads_of(
        &self,
        environment: &EnvironmentName,
    ) -> impl Iterator<Item = &Enrolment<ToRecipients>> {
        self.workloads.iter().map(|one| &**one).filter(|one| one.is_for(environment))
    }

    /// Who would get a key of an environment.
    pub fn uses(&self, environment: &EnvironmentName, key: &KeyName) -> Uses {
        let workloads = self.workloads_of(environment).filter(|one| one.takes(key));
        let mut services: Vec<_> = workloads.map(|one| one.name().to_owned()).collect();
        let mut config_files = Vec::new();
        for file in self.files_of(environment).filter(|one| one.enrolment.holds(key)) {
            services.push(file.enrolment.name().to_owned());
            if let FormName::Template(path) = &file.form {
                config_files.push(path.clone());
            }
        }
        Uses { services, config_files }
    }
}

/// What is declared now.
#[derive(Debug)]
pub struct Declared(watch::Sender<(u64, Arc<Catalogue>)>);

impl Declared {
    /// Begins with this.
    pub fn new(catalogue: Catalogue) -> Self {
        Self(watch::Sender::new((0, Arc::new(catalogue))))
    }

    /// What is declared now.
    pub fn now(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.borrow().1)
    }

    /// Counts the replacements.
    pub fn revision(&self) -> u64 {
        self.0.borrow().0
    }

    /// From now on, this is declared; whether that is anything new.
    pub fn replace(&self, catalogue: Catalogue) -> bool {
        self.0.send_if_modified(|(revision, present)| {
            let is_new = **present != catalogue;
            if is_new {
                *revision += 1;
                *present = Arc::new(catalogue);
            }
            is_new
        })
    }

    /// How many wait for a change: requests, and the server itself.
    pub fn watchers(&self) -> usize {
        self.0.receiver_count()
    }

    /// Marks itself changed when something else is declared.
    pub fn changes(&self) -> watch::Receiver<(u64, Arc<Catalogue>)> {
        self.0.subscribe()
    }
}
