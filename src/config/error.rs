//! The refusal of a configuration.
//!
//! Owns: the shape of its message, and the suggestions for a mistyped name.
//! Must never: contain the value of a variable, which may be a secret.
//! Called by: everything in `config`.

/// The reason why the configuration cannot be used: one line that names the file or the variable,
/// the key, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {problem}")]
pub struct ConfigError {
    /// The file and key, or the variable.
    pub location: String,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn new(location: impl ToString, problem: impl ToString) -> Self {
        // A key or a variable may be named anything, but the message stays one line.
        let shown = |c: char| {
            if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
        };
        let location = location.to_string().chars().map(shown).collect();
        Self { location, problem: problem.to_string() }
    }
}

/// Describes an unknown name, with the known name that was probably meant.
pub(super) fn unknown_name(name: &str, known: &[&str]) -> String {
    match known.iter().find(|candidate| is_near(name, candidate)) {
        Some(near) => format!("unknown name. Did you mean \"{near}\"?"),
        None => format!("unknown name. Remove it; known names: {}.", known.join(", ")),
    }
}

/// Reports whether one typing mistake turns one word into the other: a letter added, dropped or
/// replaced, or two letters swapped.
pub(super) fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same_head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a[same_head..], &b[same_head..]);
    let skip = |rest: &'_ [u8], n: usize| rest.get(n..).map(<[u8]>::to_vec);
    let swapped =
        rest_a.len() > 1 && rest_b.len() > 1 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0];
    skip(rest_a, 1).is_some_and(|rest| rest == rest_b)
        || skip(rest_b, 1).is_some_and(|rest| rest == rest_a)
        || (skip(rest_a, 1).is_some() && skip(rest_a, 1) == skip(rest_b, 1))
        || (swapped && rest_a[2..] == rest_b[2..])
}
