//! A backup file, together with the keys that open it.

use std::fs::File;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::commands::backup::failure::{failure, io_failure};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::progress::Progress;
use crate::cli::terminal::prompt;
use crate::config::{Config, Variables};
use crate::server::root_key::{self, SealedObject};
use crate::vault::RootKey;
use crate::vault::backup::{self, Examined, Identities, Opening, Summary};

/// A backup file and the keys for it.
pub(super) struct BackupFile {
    path: PathBuf,
    root_key: RootKey,
    /// A backup made during a change of the root key may have records under both keys.
    previous: Option<RootKey>,
    identities: Option<Identities>,
}

impl BackupFile {
    /// Finds the keys that the backup needs. `identity` is for one that is sealed to recipients.
    pub fn find(
        path: PathBuf,
        identity: Option<&Path>,
        config: &Config,
        variables: &Variables,
    ) -> Result<Self, Failure> {
        let identities = identity.map(read_identities).transpose()?;
        let input = File::open(&path).map_err(io_failure(&path))?;
        let wanted = backup::wanted_root_key(input, identities.as_ref())
            .map_err(|error| failure(&path, error, false))?;
        let sealed = Some(SealedObject::backup(wanted));
        let (root_key, _) = root_key::resolve(config, variables, sealed, prompt::passphrase)
            .map_err(|error| {
                Failure::wrong(error).hint("A backup does not include the root key it needs.")
            })?;
        let previous =
            root_key::previous(config, variables, prompt::passphrase).map_err(Failure::wrong)?;
        Ok(Self { path, root_key, previous, identities })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys, for the vault.
    pub fn keys(&self) -> Opening<'_> {
        Opening {
            root: &self.root_key,
            previous: self.previous.as_ref(),
            identities: self.identities.as_ref(),
        }
    }

    /// Opens the file, and returns its length as well.
    pub fn open(&self) -> Result<(File, u64), Failure> {
        let file = File::open(&self.path).map_err(io_failure(&self.path))?;
        let bytes = file.metadata().map_err(io_failure(&self.path))?.len();
        Ok((file, bytes))
    }

    /// Decrypts and examines every record, writing nothing.
    pub fn verify(&self) -> Result<(Summary, Examined), Failure> {
        let (file, bytes) = self.open()?;
        let progress = Progress::exact("verify", bytes);
        backup::verify(progress.reading(file), self.keys())
            .map_err(|error| failure(&self.path, error, false))
    }
}

fn read_identities(path: &Path) -> Result<Identities, Failure> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(io_failure(path))?;
    Identities::parse(&text).map_err(|bad| Failure::wrong(format!("{}: {bad}", path.display())))
}
