//! A declared file and its identity.
//!
//! Owns: what the server needs to know to write a file.
//! Must never: hold a value.
//! Called by: `server`, which builds it; everything else in `delivery`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::atomic_file::FileAttributes;
use crate::domain::EnvironmentName;
use crate::vault::{Enrolment, ToFile};

/// A file declared in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDelivery {
    /// The keys in the file; the enrollment's name is the path.
    pub enrolment: Arc<Enrolment<ToFile>>,
    /// The path.
    pub path: PathBuf,
    /// The name of the format, or the path of the template.
    pub form: FormName,
    /// Mode, owner and group.
    pub attributes: FileAttributes,
    /// The program and arguments to run after the file has changed.
    pub on_change: Vec<String>,
    /// The time limit for that program.
    pub limit: Duration,
}

/// The name of a file's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormName {
    /// The name of a format.
    Format(&'static str),
    /// The path of a template.
    Template(String),
}

/// Identifies a file across reloads. The environment is part of it: a path may later be declared for
/// another environment, which other people may read.
pub(super) type FileKey = (String, PathBuf);

impl FileDelivery {
    pub(super) fn key(&self) -> FileKey {
        (self.environment().folded(), self.path.clone())
    }

    /// Returns the environment of the values.
    pub fn environment(&self) -> &EnvironmentName {
        self.enrolment.environment()
    }
}
