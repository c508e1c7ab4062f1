//! The catalog of declared workloads and files.
//!
//! Owns: the current catalog, and the notification when it is replaced.
//! Must never: change a catalog; a reload replaces it.
//! Called by: `server`, which builds and replaces it; `http` and `keep_delivering`, which read it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::delivery::file_delivery::{FileDelivery, FormName};
use crate::domain::{EnvironmentName, KeyName};
use crate::vault::{Enrolment, ToRecipients};

/// The declared workloads and files. Immutable; a reload replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    workloads: Vec<Arc<Enrolment<ToRecipients>>>,
    files: Vec<FileDelivery>,
}

/// The workloads and files that receive a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// The names of workloads and the paths of files.
    pub services: Vec<String>,
    /// The paths of templates that name the key.
    pub config_files: Vec<String>,
}

impl Catalog {
    /// Creates a catalog. Workload names and file paths must be unique.
    pub fn new(workloads: Vec<Enrolment<ToRecipients>>, files: Vec<FileDelivery>) -> Self {
        let mut workloads: Vec<_> = workloads.into_iter().map(Arc::new).collect();
        workloads.sort_by(|a, b| a.name().cmp(b.name()));
        Self { workloads, files }
    }

    /// Reports whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.files.is_empty()
    }

    /// Returns the files in the order of their declaration.
    pub fn files(&self) -> &[FileDelivery] {
        &self.files
    }

    /// Returns the files of an environment.
    pub fn files_of(&self, environment: &EnvironmentName) -> impl Iterator<Item = &FileDelivery> {
        self.files.iter().filter(|file| file.enrolment.is_for(environment))
    }

    /// Returns the names of the workloads, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().map(|workload| workload.name())
    }

    /// Returns the workload with this name.
    pub fn workload(&self, name: &str) -> Option<Arc<Enrolment<ToRecipients>>> {
        self.workloads.iter().find(|workload| workload.name() == name).map(Arc::clone)
    }

    /// Returns the workloads of an environment, sorted by name.
    pub fn workloads_of(
        &self,
        environment: &EnvironmentName,
    ) -> impl Iterator<Item = &Enrolment<ToRecipients>> {
        self.workloads
            .iter()
            .map(|workload| &**workload)
            .filter(|workload| workload.is_for(environment))
    }

    /// Returns the workloads and files that receive a key of an environment.
    pub fn uses(&self, environment: &EnvironmentName, key: &KeyName) -> KeyUsage {
        let workloads = self.workloads_of(environment).filter(|workload| workload.takes(key));
        let mut services: Vec<_> = workloads.map(|workload| workload.name().to_owned()).collect();
        let mut config_files = Vec::new();
        for file in self.files_of(environment).filter(|file| file.enrolment.holds(key)) {
            services.push(file.enrolment.name().to_owned());
            if let FormName::Template(path) = &file.form {
                config_files.push(path.clone());
            }
        }
        KeyUsage { services, config_files }
    }
}

/// The current catalog, with the number of its replacements.
#[derive(Debug)]
pub struct Declared(watch::Sender<(u64, Arc<Catalog>)>);

impl Declared {
    /// Starts with this catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self(watch::Sender::new((0, Arc::new(catalog))))
    }

    /// Returns the current catalog.
    pub fn now(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.borrow().1)
    }

    /// Returns the number of replacements so far.
    pub fn revision(&self) -> u64 {
        self.0.borrow().0
    }

    /// Replaces the catalog. Returns whether the new one differs.
    pub fn replace(&self, catalog: Catalog) -> bool {
        self.0.send_if_modified(|(revision, present)| {
            let is_new = **present != catalog;
            if is_new {
                *revision += 1;
                *present = Arc::new(catalog);
            }
            is_new
        })
    }

    /// Returns the number of subscribers: requests, and the server itself.
    pub fn watchers(&self) -> usize {
        self.0.receiver_count()
    }

    /// Subscribes to replacements.
    pub fn changes(&self) -> watch::Receiver<(u64, Arc<Catalog>)> {
        self.0.subscribe()
    }
}
