//! The login file: sessions of the person at the keyboard, each with the server
//! that it is for.
//!
//! ```text
//! $XDG_CONFIG_HOME/coffer/login.json, else ~/.config/coffer/login.json
//! {"logins":[{"url":…,"email":…,"token":…},…]}      the newest login first
//! ```
//!
//! The file is written whole or not at all, for its owner only (0600, in a
//! directory of 0700).
//! Must never: give a session to any server but the one that it was made for;
//! read a file that others can read or have put there.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::cli::terminal::error::Failure;
use crate::store::PrivateFile;

/// More than many logins need.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

/// A session and the server that it is for.
#[derive(Serialize, Deserialize)]
pub(in crate::cli) struct Login {
    /// The server's base address, as `Place` has it.
    pub url: String,
    /// Whose session it is.
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
struct Content {
    logins: Vec<Login>,
}

/// The login file as it is now.
pub(in crate::cli) struct Logins {
    path: PathBuf,
    content: Content,
}

impl Logins {
    /// Reads the file; one that is not there holds no login, and `None` is for a
    /// process that has no place for one.
    pub fn load(path: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let content = read(&path)?;
        Ok(Some(Self { path, content }))
    }

    /// The last login that is still there.
    pub fn newest(&self) -> Option<&Login> {
        self.content.logins.first()
    }

    /// The login for this server.
    pub fn of(&self, url: &str) -> Option<&Login> {
        self.content.logins.iter().find(|login| login.url == url)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a login as the newest; the one that it replaces.
    pub fn put(&mut self, login: Login) -> Result<Option<Login>, Failure> {
        let replaced = self.take(&login.url);
        self.content.logins.insert(0, login);
        self.write()?;
        Ok(replaced)
    }

    /// Forgets the login for a server.
    pub fn remove(&mut self, url: &str) -> Result<(), Failure> {
        self.take(url);
        self.write()
    }

    fn take(&mut self, url: &str) -> Option<Login> {
        let at = self.content.logins.iter().position(|login| login.url == url)?;
        Some(self.content.logins.remove(at))
    }

    fn write(&self) -> Result<(), Failure> {
        let written = || {
            if let Some(directory) = self.path.parent() {
                own_directory(directory)?;
            }
            let text = Zeroizing::new(serde_json::to_vec(&self.content)?);
            let mut file = PrivateFile::create(&self.path)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.finish()
        };
        written().map(drop).map_err(|error: io::Error| {
            Failure::failed(format!("cannot write {}: {error}", self.path.display()))
                .hint("Check the directory and its permissions.")
        })
    }
}

/// Where the login file is, by the variables of the process. A path that is not
/// absolute is none (XDG Base Directory Specification).
pub(in crate::cli) fn place(
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let base =
        config_home.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(".config")))?;
    Some(base.join("coffer").join("login.json"))
}

/// Likewise, of this process.
pub(in crate::cli) fn place_of_process() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    place(path("XDG_CONFIG_HOME"), path("HOME"))
}

fn read(path: &Path) -> Result<Content, Failure> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Failure::wrong(format!("cannot read {shown}: {error}"))
            .hint("Mend it, or give a token by COFFER_TOKEN.")
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(error) => return Err(unreadable(error)),
    };
    // Asked of the open file: what is at the path may be another one by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if let Some(why) = not_private(&metadata) {
        return Err(Failure::wrong(format!("{shown} is not used: {why}")).hint(format!(
            "Remove it and log in again: coffer login. Whoever read it may have used its sessions \
             (rm {shown})."
        )));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(64 << 10));
    file.take(LONGEST_FILE_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    // serde's message may quote the file, so it is not shown.
    serde_json::from_slice(&text).map_err(|_| {
        Failure::wrong(format!("{shown} is no login file"))
            .hint("Remove it and log in again: coffer login.")
    })
}

/// Why a file is not its owner's alone.
#[cfg(unix)]
fn not_private(metadata: &std::fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;

    if !metadata.is_file() {
        Some("it is no regular file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Some("it belongs to another user")
    } else if metadata.mode() & 0o077 != 0 {
        Some("others can read or write it")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn not_private(metadata: &std::fs::Metadata) -> Option<&'static str> {
    (!metadata.is_file()).then_some("it is no regular file")
}

/// Makes the directory, or takes from others what they may do in it.
fn own_directory(directory: &Path) -> io::Result<()> {
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
    fn the_file_is_in_the_configuration_directory_of_the_person() {
        let at = |config: Option<&str>, home: Option<&str>| {
            place(config.map(Into::into), home.map(Into::into))
                .map(|path| path.display().to_string())
        };
        assert_eq!(at(Some("/c"), Some("/h")).as_deref(), Some("/c/coffer/login.json"));
        assert_eq!(at(None, Some("/h")).as_deref(), Some("/h/.config/coffer/login.json"));
        // Not below whatever directory a command happens to be run in.
        assert_eq!(at(Some("c"), Some("/h")).as_deref(), Some("/h/.config/coffer/login.json"));
        assert_eq!(at(Some(""), Some("")), None);
        assert_eq!(at(None, None), None);
    }
}
