//! The login file: sessions of the current user, each with the server that it is for.
//!
//! ```text
//! $XDG_CONFIG_HOME/coffer/login.json, else ~/.config/coffer/login.json
//! {"logins":[{"url":…,"email":…,"token":…},…]}      the newest login first
//! ```
//!
//! The file is replaced atomically and only its owner can read it (0600, in a directory of 0700).
//! Must never: give a session to a server other than its own; read a file that other users can
//! read or may have placed there.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::cli::terminal::error::Failure;
use crate::store::PrivateFile;

const MAX_FILE_BYTES: u64 = 1 << 20;

/// A session and the server that it is for.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct Login {
    /// The server's address, in the canonical spelling of `ServerUrl`.
    pub url: String,
    /// The user's email address.
    pub email: String,
    /// The session's token.
    pub token: String,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

#[derive(Default, Serialize, Deserialize)]
struct LoginFileContent {
    logins: Vec<Login>,
}

/// The content of the login file, and its path.
pub(in crate::cli) struct LoginFile {
    path: PathBuf,
    content: LoginFileContent,
}

impl LoginFile {
    /// Reads the file; a missing one has no logins. Returns `None` without a path.
    pub fn load(path: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let content = read(&path)?;
        Ok(Some(Self { path, content }))
    }

    /// Reads the current user's file, and fails if the user has no home directory for one.
    pub fn load_own() -> Result<Self, Failure> {
        Self::load(path_of_process())?.ok_or_else(|| {
            Failure::wrong("nowhere to save a login: neither HOME nor XDG_CONFIG_HOME is set")
                .hint("Set one of them, or set COFFER_TOKEN to a token.")
        })
    }

    /// The most recent login.
    pub fn newest(&self) -> Option<&Login> {
        self.content.logins.first()
    }

    /// The login for this server.
    pub fn get(&self, url: &str) -> Option<&Login> {
        self.content.logins.iter().find(|login| login.url == url)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a login as the newest, and returns the one that it replaces.
    pub fn put(&mut self, login: Login) -> Result<Option<Login>, Failure> {
        let replaced = self.take(&login.url);
        self.content.logins.insert(0, login);
        self.write()?;
        Ok(replaced)
    }

    /// Removes the login for a server.
    pub fn remove(&mut self, url: &str) -> Result<(), Failure> {
        self.take(url);
        self.write()
    }

    fn take(&mut self, url: &str) -> Option<Login> {
        let at = self.content.logins.iter().position(|login| login.url == url)?;
        Some(self.content.logins.remove(at))
    }

    fn write(&self) -> Result<(), Failure> {
        let write = || {
            if let Some(directory) = self.path.parent() {
                create_private_directory(directory)?;
            }
            let text = Zeroizing::new(serde_json::to_vec(&self.content)?);
            let mut file = PrivateFile::create(&self.path)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.finish()
        };
        write().map(drop).map_err(|error: io::Error| {
            Failure::failed(format!("cannot write {}: {error}", self.path.display()))
                .hint("Check the directory and its permissions.")
        })
    }
}

/// The path of the login file. Relative paths are ignored (XDG Base Directory Specification).
fn file_path(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let base =
        config_home.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(".config")))?;
    Some(base.join("coffer").join("login.json"))
}

/// The path of the login file, by the variables of this process.
pub(super) fn path_of_process() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    file_path(path("XDG_CONFIG_HOME"), path("HOME"))
}

fn read(path: &Path) -> Result<LoginFileContent, Failure> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Failure::wrong(format!("cannot read {shown}: {error}"))
            .hint("Fix its permissions, or set COFFER_TOKEN to a token.")
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(LoginFileContent::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    // Of the open file, because the path may lead to another one by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if let Some(why) = not_private(&metadata) {
        return Err(Failure::wrong(format!("ignoring {shown}: {why}")).hint(format!(
            "Remove it (rm {shown}) and log in again: coffer login. Anyone who read it may have used its sessions."
        )));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(64 << 10));
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    // serde's message may quote the file, so it is not shown.
    serde_json::from_slice(&text).map_err(|_| {
        Failure::wrong(format!("{shown} is not a valid login file"))
            .hint("Remove it and log in again: coffer login")
    })
}

/// Why the file cannot be trusted, if it is not accessible to its owner only.
#[cfg(unix)]
fn not_private(metadata: &std::fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;

    if !metadata.is_file() {
        Some("it is not a regular file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Some("it belongs to another user")
    } else if metadata.mode() & 0o077 != 0 {
        Some("other users can read or write it")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn not_private(metadata: &std::fs::Metadata) -> Option<&'static str> {
    (!metadata.is_file()).then_some("it is not a regular file")
}

/// Creates the directory, or restricts an existing one to its owner.
fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

        builder.mode(0o700).create(directory)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
    }
    #[cfg(not(unix))]
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_the_users_configuration_directory() {
        let at = |config: Option<&str>, home: Option<&str>| {
            file_path(config.map(Into::into), home.map(Into::into))
                .map(|path| path.display().to_string())
        };
        assert_eq!(at(Some("/c"), Some("/h")).as_deref(), Some("/c/coffer/login.json"));
        assert_eq!(at(None, Some("/h")).as_deref(), Some("/h/.config/coffer/login.json"));
        // A relative path would depend on the current directory.
        assert_eq!(at(Some("c"), Some("/h")).as_deref(), Some("/h/.config/coffer/login.json"));
        assert_eq!(at(Some(""), Some("")), None);
        assert_eq!(at(None, None), None);
    }
}
