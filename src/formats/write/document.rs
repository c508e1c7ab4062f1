//! Writes a whole text: comment, opening, pairs, closing.
//!
//! Owns: the two passes (measure, then write) and the comment at the top.
//! Must never: return part of a text.
//! Called by: `vault` for deliveries and `cli` for exports.

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::domain::KeyName;
use crate::formats::write::format::Format;
use crate::formats::write::sink::{ByteCounter, Sink};
use crate::formats::write::unsupported::UnsupportedValue;
use crate::formats::write::{dotenv, lines, structured};

/// The parts of a text other than its pairs.
#[derive(Debug, Clone, Default)]
pub struct Heading<'a> {
    /// Comment lines above the pairs, in formats that have comments. Characters that could end a
    /// comment or control a terminal are replaced by `?`.
    pub comment: Vec<String>,
    /// `metadata.name` of a Kubernetes Secret; unused otherwise.
    pub name: &'a str,
}

/// Writes every pair in the given format, or fails without output.
pub fn write(
    format: Format,
    pairs: &[(&str, &str)],
    heading: &Heading<'_>,
) -> Result<Zeroizing<String>, UnsupportedValue> {
    let mut seen = HashSet::with_capacity(pairs.len());
    for (key, _) in pairs {
        let refuse = |why| UnsupportedValue { key: (*key).to_owned(), why };
        KeyName::parse(key).map_err(|_| refuse("is not a valid key"))?;
        if !seen.insert(*key) {
            return Err(refuse("is a duplicate key"));
        }
    }
    let mut length = ByteCounter(0);
    emit(format, pairs, heading, &mut length)?;
    let mut text = Zeroizing::new(String::with_capacity(length.0));
    emit(format, pairs, heading, &mut *text)?;
    debug_assert_eq!(text.len(), length.0, "both passes write the same");
    Ok(text)
}

fn emit(
    format: Format,
    pairs: &[(&str, &str)],
    heading: &Heading<'_>,
    out: &mut dyn Sink,
) -> Result<(), UnsupportedValue> {
    if format.has_comments() {
        for line in &heading.comment {
            out.put("# ");
            line.chars().for_each(|c| out.put_char(comment_char(c)));
            out.put("\n");
        }
    }
    structured::begin(format, heading.name, pairs.is_empty(), out);
    for (index, (key, value)) in pairs.iter().enumerate() {
        let written = match format {
            Format::Dotenv => dotenv::pair(key, value, out),
            Format::DockerEnv => lines::docker(key, value, out),
            Format::Systemd => lines::systemd(key, value, out),
            Format::Shell => lines::shell(key, value, out),
            Format::Json => structured::json(key, value, index + 1 == pairs.len(), out),
            Format::Yaml => structured::yaml(key, value, out),
            Format::K8sSecret => structured::k8s(key, value, out),
        };
        written.map_err(|why| UnsupportedValue { key: (*key).to_owned(), why })?;
    }
    structured::end(format, pairs.is_empty(), out);
    Ok(())
}

/// Replaces characters that are unsafe in a comment: any line break would end it, and systemd
/// continues a comment after a trailing backslash.
fn comment_char(c: char) -> char {
    if matches!(c, ' '..='~') && c != '\\' { c } else { '?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, pairs: &[(&str, &str)]) -> String {
        let heading = Heading { comment: vec!["a\nb\\".to_owned()], name: "app" };
        write(format, pairs, &heading)
            .map_or_else(|unsupported| unsupported.to_string(), |text| text.to_string())
    }

    #[test]
    fn every_format_has_its_own_name() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("Dotenv".parse::<Format>().is_err());
    }

    #[test]
    fn each_format_writes_its_own_syntax() {
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
    fn an_empty_list_has_a_form_in_every_format() {
        assert_eq!(written(Format::Json, &[]), "{}\n");
        assert_eq!(written(Format::Yaml, &[]), "# a?b?\n{}\n");
        assert!(written(Format::K8sSecret, &[]).ends_with("data: {}\n"));
        assert_eq!(written(Format::Shell, &[]), "# a?b?\n");
    }

    #[test]
    fn an_unsupported_value_is_named_by_its_key() {
        for format in [Format::Dotenv, Format::DockerEnv, Format::Systemd, Format::Shell] {
            let said = written(format, &[("FINE", "a"), ("BAD", "canary\0")]);
            assert!(said.starts_with("BAD contains a NUL") && !said.contains("canary"), "{said}");
        }
        assert!(written(Format::DockerEnv, &[("A", "a\nb")]).contains("line break"));
        assert!(written(Format::Shell, &[("UID", "0")]).starts_with("UID is a variable"));
        assert_eq!(written(Format::Json, &[("A", "1"), ("A", "2")]), "A is a duplicate key");
        assert_eq!(written(Format::Yaml, &[("a: b\nC", "1")]), "a: b\nC is not a valid key");
    }
}
