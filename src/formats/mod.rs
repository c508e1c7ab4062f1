//! Text forms of pairs of key and value: files that programs read their
//! environment from, and templates.
//!
//! Owns: what each format can hold, how it is written, how it is read.
//! Must never: touch a file; keep a value; know where values come from or who
//! may have them; put a value, or a line that could hold one, into an error.
//! Called by: `vault` and `cli`.
//!
//! A writer refuses what its format cannot hold, or what its readers do not
//! agree on, and names the key. A text is written twice: once to learn how long
//! it is, then into a buffer of exactly that length, so that no growth leaves a
//! copy of a value behind. The buffer is erased when it is dropped. What cannot be
//! erased: the scratch space in which serde_json and the YAML parser unescape what
//! they read.

mod read;
mod template;
mod write;

pub use read::{BadInput, Entries, Entry, Place, Source};
pub use template::{BadTemplate, Template};

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::domain::{KeyName, Violation};

/// A form in which pairs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `KEY='value'`, as node's dotenv and python-dotenv both read it.
    Dotenv,
    /// `KEY=value`, for `docker run --env-file`.
    DockerEnv,
    /// `KEY="value"`, for `EnvironmentFile=` (systemd.exec(5)).
    Systemd,
    /// `export KEY='value'`, for a POSIX shell to source.
    Shell,
    /// One JSON object of strings.
    Json,
    /// One YAML mapping of strings.
    Yaml,
    /// A Kubernetes Secret, as `kubectl apply -f` takes it.
    K8sSecret,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 7] = [
        Self::Dotenv,
        Self::DockerEnv,
        Self::Systemd,
        Self::Shell,
        Self::Json,
        Self::Yaml,
        Self::K8sSecret,
    ];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::DockerEnv => "docker-env",
            Self::Systemd => "systemd",
            Self::Shell => "shell",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::K8sSecret => "k8s-secret",
        }
    }

    /// Whether a comment can stand in it.
    pub fn has_comments(self) -> bool {
        self != Self::Json
    }
}

impl FromStr for Format {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or(Violation(
            "must be dotenv, docker-env, systemd, shell, json, yaml or k8s-secret",
        ))
    }
}

/// What stands in a text besides its pairs.
#[derive(Debug, Clone, Default)]
pub struct Heading<'a> {
    /// Lines of comment above the pairs, where the format has comments. What
    /// could end a comment, or steer whoever reads it, is replaced by `?`.
    pub comment: Vec<String>,
    /// `metadata.name` of a Kubernetes Secret; not used otherwise.
    pub name: &'a str,
}

/// A value that does not fit in a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The key that it belongs to.
    pub key: String,
    /// Why, without the value.
    pub why: &'static str,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.why)
    }
}

impl std::error::Error for Unfit {}

/// Why a value cannot be written, as in "holds a line break".
type Why = &'static str;

/// Writes pairs of key and value in a format. All of them, or nothing.
pub fn write(
    format: Format,
    pairs: &[(&str, &str)],
    heading: &Heading<'_>,
) -> Result<Zeroizing<String>, Unfit> {
    let mut seen = HashSet::with_capacity(pairs.len());
    for (key, _) in pairs {
        let unfit = |why| Unfit { key: (*key).to_owned(), why };
        KeyName::parse(key).map_err(|_| unfit("is no key"))?;
        if !seen.insert(*key) {
            return Err(unfit("stands twice"));
        }
    }
    let mut length = Length(0);
    emit(format, pairs, heading, &mut length)?;
    let mut text = Zeroizing::new(String::with_capacity(length.0));
    emit(format, pairs, heading, &mut *text)?;
    debug_assert_eq!(text.len(), length.0, "both passes write the same");
    Ok(text)
}

/// Where a writer's pieces go.
trait Sink {
    fn put(&mut self, piece: &str);

    fn put_char(&mut self, c: char) {
        self.put(c.encode_utf8(&mut [0; 4]));
    }
}

/// How long a text will be.
struct Length(usize);

impl Sink for Length {
    fn put(&mut self, piece: &str) {
        self.0 += piece.len();
    }
}

impl Sink for String {
    fn put(&mut self, piece: &str) {
        self.push_str(piece);
    }
}

fn emit(
    format: Format,
    pairs: &[(&str, &str)],
    heading: &Heading<'_>,
    out: &mut dyn Sink,
) -> Result<(), Unfit> {
    if format.has_comments() {
        for line in &heading.comment {
            out.put("# ");
            line.chars().for_each(|c| out.put_char(in_comment(c)));
            out.put("\n");
        }
    }
    write::structured::begin(format, heading.name, pairs.is_empty(), out);
    for (index, (key, value)) in pairs.iter().enumerate() {
        let written = match format {
            Format::Dotenv => write::dotenv::pair(key, value, out),
            Format::DockerEnv => write::lines::docker(key, value, out),
            Format::Systemd => write::lines::systemd(key, value, out),
            Format::Shell => write::lines::shell(key, value, out),
            Format::Json => write::structured::json(key, value, index + 1 == pairs.len(), out),
            Format::Yaml => write::structured::yaml(key, value, out),
            Format::K8sSecret => write::structured::k8s(key, value, out),
        };
        written.map_err(|why| Unfit { key: (*key).to_owned(), why })?;
    }
    write::structured::end(format, pairs.is_empty(), out);
    Ok(())
}

/// A character of a comment. A backslash at the end of one would go on with it
/// on the next line (systemd); a line break of any alphabet would end it.
fn in_comment(c: char) -> char {
    if matches!(c, ' '..='~') && c != '\\' { c } else { '?' }
}

/// What no environment variable can hold (environ(7)): it ends the text.
fn no_nul(value: &str) -> Result<(), Why> {
    if value.contains('\0') {
        Err("holds a NUL character, which no environment variable can")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, pairs: &[(&str, &str)]) -> String {
        let heading = Heading { comment: vec!["a\nb\\".to_owned()], name: "app" };
        write(format, pairs, &heading)
            .map_or_else(|unfit| unfit.to_string(), |text| text.to_string())
    }

    #[test]
    fn every_format_has_a_name_of_its_own() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("Dotenv".parse::<Format>().is_err());
    }

    #[test]
    fn what_each_format_looks_like() {
        let pairs = [("A", "it's $x"), ("N", "y")];
        let text = |format| written(format, &pairs);
        assert_eq!(text(Format::Dotenv), "# a?b?\nA=\"it's $x\"\nN='y'\n");
        assert_eq!(text(Format::DockerEnv), "# a?b?\nA=it's $x\nN=y\n");
        assert_eq!(text(Format::Systemd), "# a?b?\nA=\"it's \\$x\"\nN=\"y\"\n");
        assert_eq!(text(Format::Shell), "# a?b?\nexport A='it'\\''s $x'\nexport N='y'\n");
        assert_eq!(text(Format::Json), "{\n  \"A\": \"it's $x\",\n  \"N\": \"y\"\n}\n");
        assert_eq!(text(Format::Yaml), "# a?b?\n\"A\": \"it's $x\"\n\"N\": \"y\"\n");
        assert_eq!(
            text(Format::K8sSecret),
            "# a?b?\napiVersion: v1\nkind: Secret\nmetadata:\n  name: \"app\"\ntype: Opaque\n\
             data:\n  \"A\": \"aXQncyAkeA==\"\n  \"N\": \"eQ==\"\n"
        );
    }

    #[test]
    fn nothing_is_written_in_its_own_form_too() {
        assert_eq!(written(Format::Json, &[]), "{}\n");
        assert_eq!(written(Format::Yaml, &[]), "# a?b?\n{}\n");
        assert!(written(Format::K8sSecret, &[]).ends_with("data: {}\n"));
        assert_eq!(written(Format::Shell, &[]), "# a?b?\n");
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_key() {
        for format in [Format::Dotenv, Format::DockerEnv, Format::Systemd, Format::Shell] {
            let said = written(format, &[("FINE", "a"), ("BAD", "canary\0")]);
            assert!(said.starts_with("BAD holds a NUL") && !said.contains("canary"), "{said}");
        }
        assert!(written(Format::DockerEnv, &[("A", "a\nb")]).contains("line break"));
        assert!(written(Format::Shell, &[("UID", "0")]).starts_with("UID is a variable"));
        assert_eq!(written(Format::Json, &[("A", "1"), ("A", "2")]), "A stands twice");
        assert_eq!(written(Format::Yaml, &[("a: b\nC", "1")]), "a: b\nC is no key");
    }
}
