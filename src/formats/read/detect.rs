//! Detects the format of a text, and hands the text to the reader of a format.
//!
//! Owns: the rules of detection, and the treatment of a byte order mark.
//! Must never: guess when the beginning of a text does not decide.
//! Called by: `vault` and `cli`, through [`InputFormat`].

use crate::formats::read::entries::InputEntries;
use crate::formats::read::input_format::InputFormat;
use crate::formats::read::position::BadInput;
use crate::formats::read::{dotenv, json, yaml};

impl InputFormat {
    /// Detects the format of a text from its beginning; `None` if that does not decide.
    pub fn detect(text: &str) -> Option<Self> {
        let text = without_bom(text);
        match text.trim_start().chars().next()? {
            '{' => json::detect(text),
            '[' => Some(Self::Infisical),
            _ => {
                let first = text
                    .lines()
                    .map(str::trim)
                    .find(|line| !line.is_empty() && !line.starts_with('#'))?;
                if is_yaml_line(first) {
                    let kind = |line: &str| line.trim_end() == "kind: Secret";
                    Some(if text.lines().any(kind) { Self::K8sSecret } else { Self::Yaml })
                } else {
                    first.contains('=').then_some(Self::Dotenv)
                }
            }
        }
    }

    /// Reads the entries of a text in this format, in order.
    pub fn read(self, text: &str) -> Result<InputEntries, BadInput> {
        let text = without_bom(text);
        let is_json = text.trim_start().starts_with('{');
        match self {
            Self::Dotenv => dotenv::read(text),
            Self::Yaml => yaml::mapping(text),
            Self::K8sSecret if !is_json => yaml::k8s_secret(text),
            json => json::read(json, text),
        }
    }
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn is_yaml_line(line: &str) -> bool {
    line == "---" || line.starts_with("%YAML") || {
        let (key, rest) = line.split_once(':').unwrap_or((" ", ""));
        let key = key.trim_matches(['"', '\'']);
        !key.contains([' ', '=', '"']) && (rest.is_empty() || rest.starts_with([' ', '\t']))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::formats::read::InputFormat;

    proptest! {
        /// Reading terminates for any text, and no refusal quotes the text.
        #[test]
        fn no_refusal_quotes_the_text(
            head in "[\\[{\",:a=#&*!|>~'`$\n\\\\ -]{0,10}",
            tail in "[\\]}\",:=#'`$\n\\\\ -]{0,10}",
        ) {
            let text = format!("{head}cAnArY{tail}");
            let _ = InputFormat::detect(&text);
            for format in InputFormat::ALL {
                if let Err(bad) = format.read(&text) {
                    prop_assert!(!bad.to_string().contains("cAnArY"), "{}", bad);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            for format in InputFormat::ALL {
                let _ = format.read(&text);
            }
        }
    }

    #[test]
    fn detects_the_format_from_the_beginning() {
        let forms = [
            ("# c\n\nexport A=1", Some(InputFormat::Dotenv)),
            ("A=b: c", Some(InputFormat::Dotenv)),
            ("\u{feff}A = 'x'", Some(InputFormat::Dotenv)),
            ("---\nA: 1", Some(InputFormat::Yaml)),
            ("# c\n\"A\": x=y", Some(InputFormat::Yaml)),
            ("A:\n  long", Some(InputFormat::Yaml)),
            ("apiVersion: v1\nkind: Secret\n", Some(InputFormat::K8sSecret)),
            (r#"{"apiVersion":"v1","kind":"Secret","data":{}}"#, Some(InputFormat::K8sSecret)),
            (r#" {"A":"x"}"#, Some(InputFormat::Json)),
            (r#"{"A":{"computed":"x","raw":"x"}}"#, Some(InputFormat::Doppler)),
            ("[]", Some(InputFormat::Infisical)),
            (r#"{"secrets":[]}"#, Some(InputFormat::Infisical)),
            (r#"{"request_id":"r","data":{"A":"x"}}"#, Some(InputFormat::Vault)),
            ("", None),
            ("what is this", None),
            ("{", None),
        ];
        for (text, form) in forms {
            assert_eq!(InputFormat::detect(text), form, "{text}");
        }
    }
}
