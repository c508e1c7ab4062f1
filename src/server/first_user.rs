//! The first user, which the operator may give to the first start in `COFFER_ADMIN_EMAIL` and
//! `COFFER_ADMIN_PASSWORD` or `COFFER_ADMIN_PASSWORD_FILE`.
//!
//! Must never: change an existing database; a restart must not bring back a deleted user.
//! Called by: `serve`.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::access::{FirstUser, NewPassword, Password};
use crate::config::Variables;
use crate::domain::{Email, Violation};

const EMAIL: &str = "COFFER_ADMIN_EMAIL";
const PASSWORD: &str = "COFFER_ADMIN_PASSWORD";
const PASSWORD_FILE: &str = "COFFER_ADMIN_PASSWORD_FILE";

/// Why the variables do not give a valid user.
#[derive(Debug, thiserror::Error)]
pub enum FirstUserError {
    /// The email address or the password is not valid.
    #[error("{name} {rule}")]
    Rule {
        /// The variable.
        name: &'static str,
        /// The rule.
        rule: Violation,
    },
    /// One of the two is missing.
    #[error("{EMAIL} and {PASSWORD} (or {PASSWORD_FILE}) belong together: set both or neither")]
    Half,
    /// The password is given twice.
    #[error("{PASSWORD} and {PASSWORD_FILE} are both set: set only one of them")]
    Twice,
    /// The password's file cannot be read.
    #[error("{PASSWORD_FILE}: {path}: {cause}. Check the path and its permissions.")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
}

/// Reads the user from the variables; `None` if they give none.
pub(super) fn given(variables: &Variables) -> Result<Option<FirstUser>, FirstUserError> {
    let password = match (variables.get(PASSWORD), variables.get(PASSWORD_FILE)) {
        (None, None) => None,
        (Some(text), None) => Some((PASSWORD, Zeroizing::new(text.to_owned()))),
        (None, Some(path)) => Some((PASSWORD_FILE, read(Path::new(path))?)),
        (Some(_), Some(_)) => return Err(FirstUserError::Twice),
    };
    let (email, (name, password)) = match (variables.get(EMAIL), password) {
        (None, None) => return Ok(None),
        (Some(email), Some(password)) => (email, password),
        _ => return Err(FirstUserError::Half),
    };
    let email = Email::parse(email).map_err(|rule| FirstUserError::Rule { name: EMAIL, rule })?;
    let password = NewPassword::parse(Password::new(password));
    let password = password.map_err(|rule| FirstUserError::Rule { name, rule })?;
    Ok(Some(FirstUser { email, password }))
}

/// Reads the first line of the file: most editors end it with a line break, which is not part of
/// the password.
fn read(path: &Path) -> Result<Zeroizing<String>, FirstUserError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| FirstUserError::File { path: path.to_owned(), cause })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
