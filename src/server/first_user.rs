//! The first user, as the operator may give it to the first start:
//! `COFFER_ADMIN_EMAIL` with `COFFER_ADMIN_PASSWORD` or
//! `COFFER_ADMIN_PASSWORD_FILE`. A database that is there already is not
//! touched by them: a restart must not bring back a user who was deleted.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::access::{FirstUser, NewPassword, Password};
use crate::config::Variables;
use crate::domain::{Email, Violation};

const EMAIL: &str = "COFFER_ADMIN_EMAIL";
const PASSWORD: &str = "COFFER_ADMIN_PASSWORD";
const PASSWORD_FILE: &str = "COFFER_ADMIN_PASSWORD_FILE";

/// Why what the operator gave is not a user.
#[derive(Debug, thiserror::Error)]
pub enum FirstUserError {
    /// The address or the password breaks its rule.
    #[error("{name} {rule}")]
    Rule {
        /// The variable.
        name: &'static str,
        /// The rule.
        rule: Violation,
    },
    /// One is there without the other.
    #[error("{EMAIL} and {PASSWORD} (or {PASSWORD_FILE}) go together; give both or neither")]
    Half,
    /// The password is given twice.
    #[error("{PASSWORD} and {PASSWORD_FILE} are both set; give one of them")]
    Twice,
    /// The password's file cannot be read.
    #[error("{PASSWORD_FILE}: {path}: {cause}. Check the path and its permissions.")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// The user, if the variables give one.
pub(crate) fn given(variables: &Variables) -> Result<Option<FirstUser>, FirstUserError> {
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

/// The file's first line: most editors end it with a newline that is no part
/// of the password.
fn read(path: &Path) -> Result<Zeroizing<String>, FirstUserError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| FirstUserError::File { path: path.to_owned(), cause })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
