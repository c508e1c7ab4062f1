//! Reading JSON: flat objects, and the output of Doppler, Infisical and Vault.
//!
//! A string is taken literally, a number or a boolean as it is written (`1.10` stays `1.10`).
//! `null`, lists and objects are refused as values.
//!
//! Owns: the shape of each tool's JSON.
//! Must never: pass on a message of serde's, which may quote the text.
//! Called by: `detect`; `yaml` uses the base64 decoder.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::formats::read::entries::InputEntries;
use crate::formats::read::input_format::InputFormat;
use crate::formats::read::position::{BadInput, InputPosition};

/// The members of an object, raw and in order; a name may occur more than once.
struct RawMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = RawMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<MemberName<'de>, &'de RawValue>()? {
                    members.push((name.0, raw));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(serde::Deserialize)]
struct MemberName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> RawMembers<'a> {
    fn parse(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Returns the member with this name, the last one if there are several.
    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, raw)| *raw)
    }

    fn find_object(&self, name: &str) -> Option<RawMembers<'a>> {
        self.find(name).and_then(RawMembers::parse)
    }
}

/// Detects which tool wrote a JSON object; `None` if the text is not an object.
pub(super) fn detect(text: &str) -> Option<InputFormat> {
    let members: RawMembers<'_> = serde_json::from_str(text).ok()?;
    let doppler = |raw: &&RawValue| {
        RawMembers::parse(raw)
            .is_some_and(|inner| inner.find("computed").or(inner.find("raw")).is_some())
    };
    Some(if members.find("kind").is_some_and(|kind| kind.get() == "\"Secret\"") {
        InputFormat::K8sSecret
    } else if members.find("secrets").is_some_and(|raw| raw.get().starts_with('[')) {
        InputFormat::Infisical
    } else if members.find_object("data").is_some() {
        InputFormat::Vault
    } else if members.0.first().is_some_and(|(_, raw)| doppler(raw)) {
        InputFormat::Doppler
    } else {
        InputFormat::Json
    })
}

/// Reads the entries of a JSON text in the given format.
pub(super) fn read(format: InputFormat, text: &str) -> Result<InputEntries, BadInput> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        // Only the position: serde's message may quote the text.
        InputPosition::Line(error.line()).bad(format!("invalid JSON at column {}", error.column()))
    })?;
    let object = || {
        RawMembers::parse(whole).ok_or_else(|| InputPosition::Whole.bad("must be a JSON object"))
    };
    match format {
        InputFormat::Infisical => infisical(whole),
        InputFormat::Doppler => doppler(&object()?),
        InputFormat::Vault => vault(&object()?),
        InputFormat::K8sSecret => k8s_secret(&object()?),
        _ => flat(&object()?),
    }
}

fn flat(members: &RawMembers<'_>) -> Result<InputEntries, BadInput> {
    let mut entries = InputEntries::default();
    for (index, (name, raw)) in members.0.iter().enumerate() {
        let position = InputPosition::member(index, name);
        let value = scalar(raw, &position)?;
        entries.add(position, name, value)?;
    }
    Ok(entries)
}

/// Returns the text of a string, number or boolean.
fn scalar(raw: &RawValue, position: &InputPosition) -> Result<Zeroizing<String>, BadInput> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)
            .map(|text: String| Zeroizing::new(text))
            .map_err(|_| position.clone().bad("contains half of a surrogate pair")),
        Some(b'{' | b'[') => Err(position.clone().bad("must be a string, not a list or an object")),
        Some(b'n') => Err(position.clone().bad("must be a string, not null")),
        _ => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// Reads `{"KEY":{"computed":"…","raw":"…"}}`, where `computed` has its references resolved, or the
/// flat object of `doppler secrets download`.
fn doppler(members: &RawMembers<'_>) -> Result<InputEntries, BadInput> {
    let mut entries = InputEntries::default();
    for (index, (name, raw)) in members.0.iter().enumerate() {
        let position = InputPosition::member(index, name);
        let value = match RawMembers::parse(raw) {
            Some(inner) => {
                let computed = inner.find("computed").filter(|raw| raw.get() != "null");
                // Doppler's "restricted" secrets have neither member.
                let raw = computed.ok_or_else(|| {
                    position
                        .clone()
                        .bad("has no computed value; check that the Doppler token can read it")
                })?;
                scalar(raw, &position)?
            }
            None => scalar(raw, &position)?,
        };
        entries.add(position, name, value)?;
    }
    Ok(entries)
}

/// Reads `[{"key","value"}]` of an export, or `{"secrets":[{"secretKey","secretValue"}]}` of the API.
fn infisical(whole: &RawValue) -> Result<InputEntries, BadInput> {
    let list = match RawMembers::parse(whole) {
        Some(members) => members.find("secrets"),
        None => Some(whole),
    };
    let list: Option<Vec<&RawValue>> = list.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let list = list.ok_or_else(|| InputPosition::Whole.bad("must be a list of secrets"))?;
    let mut entries = InputEntries::default();
    for (index, raw) in list.into_iter().enumerate() {
        let position = InputPosition::Member(index + 1);
        let found = RawMembers::parse(raw).and_then(|inner| {
            let key = inner.find("key").or_else(|| inner.find("secretKey"))?;
            let value = inner.find("value").or_else(|| inner.find("secretValue"))?;
            Some((key, value))
        });
        let (key, value) =
            found.ok_or_else(|| position.clone().bad("must have a key and a value"))?;
        let key = scalar(key, &position)?;
        let value = scalar(value, &InputPosition::member(index, &key))?;
        entries.add(position, &key, value)?;
    }
    Ok(entries)
}

/// Reads `{"data":{"data":{…},"metadata":{…}}}` of version 2, or `{"data":{…}}` of version 1. Only
/// version 2 nests objects.
fn vault(members: &RawMembers<'_>) -> Result<InputEntries, BadInput> {
    let outer = members.find_object("data").ok_or_else(|| {
        InputPosition::Whole
            .bad("must have the member \"data\", as in the output of vault kv get -format=json")
    })?;
    match (outer.find_object("data"), outer.find_object("metadata")) {
        (Some(inner), Some(_)) => flat(&inner),
        // A deleted version has "data": null.
        _ if outer.find_object("metadata").is_some() => {
            Err(InputPosition::Whole.bad("this version of the secret was deleted"))
        }
        _ => flat(&outer),
    }
}

/// Reads a Secret manifest. `stringData` takes precedence over `data`, as it does in the cluster.
fn k8s_secret(members: &RawMembers<'_>) -> Result<InputEntries, BadInput> {
    let mut entries = InputEntries::default();
    let plain = members.find_object("stringData").unwrap_or(RawMembers(Vec::new()));
    for (index, (name, raw)) in plain.0.iter().enumerate() {
        let position = InputPosition::member(index, name);
        let value = scalar(raw, &position)?;
        entries.add(position, name, value)?;
    }
    let encoded = members.find_object("data").unwrap_or(RawMembers(Vec::new()));
    for (index, (name, raw)) in encoded.0.iter().enumerate() {
        if plain.find(name).is_none() {
            let position = InputPosition::member(index, name);
            let value = decoded(&scalar(raw, &position)?, &position)?;
            entries.add(position, name, value)?;
        }
    }
    Ok(entries)
}

/// Decodes base64 that contains UTF-8 text.
pub(super) fn decoded(text: &str, position: &InputPosition) -> Result<Zeroizing<String>, BadInput> {
    let mut bytes = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = STANDARD
        .decode_slice(text.trim_ascii(), &mut bytes)
        .map_err(|_| position.clone().bad("invalid base64"))?;
    let text =
        std::str::from_utf8(&bytes[..length]).map_err(|_| position.clone().bad("invalid UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: InputFormat, text: &str) -> String {
        read(format, text).map_or_else(|bad| format!("! {bad}"), |entries| entries.to_line())
    }

    #[test]
    fn flat_objects() {
        let text = r#"{"A":"x\n\"é\u00e9","N":1.10,"E":-1e5,"T":true,"Z":""}"#;
        assert_eq!(shown(InputFormat::Json, text), "A=x\n\"éé N=1.10 E=-1e5 T=true Z=");
        assert_eq!(shown(InputFormat::Json, "{}"), "");
        let bad = [
            (r#"{"A":null}"#, "! A: must be a string, not null"),
            (r#"{"A":["canary"]}"#, "! A: must be a string, not a list"),
            (r#"{"A":"1","canary":{}}"#, "! member 2: must be a string"),
            (r#"{"canary":"1"}"#, "! member 1: the key must be"),
            (r#"{"A":"1","A":"canary"}"#, "! A: duplicate key"),
            (r#"{"A":"\ud800"}"#, "! A: contains half"),
            ("{\n\"A\": canary}", "! line 2: invalid JSON at column"),
            ("\"canary\"", "! must be a JSON object"),
        ];
        for (text, begins) in bad {
            let said = shown(InputFormat::Json, text);
            assert!(said.starts_with(begins) && !said.contains("canary"), "{text}: {said}");
        }
    }

    #[test]
    fn output_of_other_tools() {
        let doppler = r#"{"A":{"computed":"c","raw":"${B}","note":""},"B":"flat"}"#;
        assert_eq!(shown(InputFormat::Doppler, doppler), "A=c B=flat");
        let hidden = r#"{"A":{"computed":null,"raw":null}}"#;
        assert!(shown(InputFormat::Doppler, hidden).starts_with("! A: has no computed value"));
        let export =
            r#"[{"key":"A","value":"x","type":"shared"},{"secretKey":"B","secretValue":"y"}]"#;
        assert_eq!(shown(InputFormat::Infisical, export), "A=x B=y");
        let api = format!(r#"{{"secrets":{export},"imports":[]}}"#);
        assert_eq!(shown(InputFormat::Infisical, &api), "A=x B=y");
        assert_eq!(
            shown(InputFormat::Infisical, r#"[{"key":"A"}]"#),
            "! member 1: must have a key and a value"
        );
        let second =
            r#"{"request_id":"1","data":{"data":{"A":"x","B":2},"metadata":{"version":1}}}"#;
        assert_eq!(shown(InputFormat::Vault, second), "A=x B=2");
        assert_eq!(shown(InputFormat::Vault, r#"{"data":{"A":"x"}}"#), "A=x");
        let deleted = r#"{"data":{"data":null,"metadata":{"destroyed":false}}}"#;
        assert_eq!(shown(InputFormat::Vault, deleted), "! this version of the secret was deleted");
        let k8s = r#"{"kind":"Secret","data":{"A":"eA==","B":"eQ=="},"stringData":{"B":"z"}}"#;
        assert_eq!(shown(InputFormat::K8sSecret, k8s), "B=z A=x");
        assert_eq!(shown(InputFormat::K8sSecret, r#"{"data":{"A":"?"}}"#), "! A: invalid base64");
    }
}
