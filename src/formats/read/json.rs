//! Reading JSON: flat objects, and what Doppler, Infisical and Vault give out.
//!
//! A text is taken as it is, a number and a boolean as they are written (`1.10`
//! stays `1.10`). `null`, lists and objects are no values.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::formats::read::{BadInput, Entries, Place, Source};

/// An object's members, raw and in their order; one can stand twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, raw));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(V)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The member of this name, the last one if there are several.
    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, raw)| *raw)
    }

    fn find_object(&self, name: &str) -> Option<Members<'a>> {
        self.find(name).and_then(Members::of)
    }
}

/// Which kind of JSON it is, if it is an object.
pub(in crate::formats) fn detect(text: &str) -> Option<Source> {
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    let doppler = |raw: &&RawValue| {
        Members::of(raw).is_some_and(|inner| inner.find("computed").or(inner.find("raw")).is_some())
    };
    Some(if members.find("kind").is_some_and(|kind| kind.get() == "\"Secret\"") {
        Source::K8sSecret
    } else if members.find("secrets").is_some_and(|raw| raw.get().starts_with('[')) {
        Source::Infisical
    } else if members.find_object("data").is_some() {
        Source::Vault
    } else if members.0.first().is_some_and(|(_, raw)| doppler(raw)) {
        Source::Doppler
    } else {
        Source::Json
    })
}

pub(in crate::formats) fn read(source: Source, text: &str) -> Result<Entries, BadInput> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        // Only the position: serde's words may quote what stands there.
        Place::Line(error.line()).bad(format!("is no JSON from column {} on", error.column()))
    })?;
    let object = || Members::of(whole).ok_or_else(|| Place::Whole.bad("must be a JSON object"));
    match source {
        Source::Infisical => infisical(whole),
        Source::Doppler => doppler(&object()?),
        Source::Vault => vault(&object()?),
        Source::K8sSecret => k8s_secret(&object()?),
        _ => flat(&object()?),
    }
}

fn flat(members: &Members<'_>) -> Result<Entries, BadInput> {
    let mut entries = Entries::default();
    for (index, (name, raw)) in members.0.iter().enumerate() {
        let place = Place::member(index, name);
        let value = scalar(raw, &place)?;
        entries.add(place, name, value)?;
    }
    Ok(entries)
}

/// The text of a text, number or boolean.
fn scalar(raw: &RawValue, place: &Place) -> Result<Zeroizing<String>, BadInput> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)
            .map(|text: String| Zeroizing::new(text))
            .map_err(|_| place.clone().bad("holds half of a surrogate pair, which is no text")),
        Some(b'{' | b'[') => Err(place.clone().bad("must be a text, not a list or an object")),
        Some(b'n') => Err(place.clone().bad("must be a text, not null")),
        _ => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// `{"KEY":{"computed":"…","raw":"…"}}`, where `computed` has its references
/// resolved; or flat, as `doppler secrets download` has it.
fn doppler(members: &Members<'_>) -> Result<Entries, BadInput> {
    let mut entries = Entries::default();
    for (index, (name, raw)) in members.0.iter().enumerate() {
        let place = Place::member(index, name);
        let value = match Members::of(raw) {
            Some(inner) => {
                let computed = inner.find("computed").filter(|raw| raw.get() != "null");
                // Doppler's own "restricted" secrets show neither.
                let raw = computed.ok_or_else(|| {
                    place.clone().bad("has no computed value; may this token see it?")
                })?;
                scalar(raw, &place)?
            }
            None => scalar(raw, &place)?,
        };
        entries.add(place, name, value)?;
    }
    Ok(entries)
}

/// `[{"key","value"}]` of an export, or `{"secrets":[{"secretKey","secretValue"}]}`
/// of the API.
fn infisical(whole: &RawValue) -> Result<Entries, BadInput> {
    let list = match Members::of(whole) {
        Some(members) => members.find("secrets"),
        None => Some(whole),
    };
    let list: Option<Vec<&RawValue>> = list.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let list = list.ok_or_else(|| Place::Whole.bad("must be a list of secrets"))?;
    let mut entries = Entries::default();
    for (index, raw) in list.into_iter().enumerate() {
        let place = Place::Member(index + 1);
        let found = Members::of(raw).and_then(|inner| {
            let key = inner.find("key").or_else(|| inner.find("secretKey"))?;
            let value = inner.find("value").or_else(|| inner.find("secretValue"))?;
            Some((key, value))
        });
        let (key, value) = found.ok_or_else(|| place.clone().bad("must have key and value"))?;
        let key = scalar(key, &place)?;
        let value = scalar(value, &Place::member(index, &key))?;
        entries.add(place, &key, value)?;
    }
    Ok(entries)
}

/// `{"data":{"data":{…},"metadata":{…}}}` of version 2, `{"data":{…}}` of
/// version 1. Only version 2 has objects in there.
fn vault(members: &Members<'_>) -> Result<Entries, BadInput> {
    let outer = members.find_object("data").ok_or_else(|| {
        Place::Whole.bad("must have the member data, as vault kv get -format=json has it")
    })?;
    match (outer.find_object("data"), outer.find_object("metadata")) {
        (Some(inner), Some(_)) => flat(&inner),
        // A version that was deleted has "data": null.
        _ if outer.find_object("metadata").is_some() => {
            Err(Place::Whole.bad("this version of the secret was deleted"))
        }
        _ => flat(&outer),
    }
}

/// `stringData` wins over `data`, as it does in the cluster.
fn k8s_secret(members: &Members<'_>) -> Result<Entries, BadInput> {
    let mut entries = Entries::default();
    let plain = members.find_object("stringData").unwrap_or(Members(Vec::new()));
    for (index, (name, raw)) in plain.0.iter().enumerate() {
        let place = Place::member(index, name);
        let value = scalar(raw, &place)?;
        entries.add(place, name, value)?;
    }
    let encoded = members.find_object("data").unwrap_or(Members(Vec::new()));
    for (index, (name, raw)) in encoded.0.iter().enumerate() {
        if plain.find(name).is_none() {
            let place = Place::member(index, name);
            let value = decoded(&scalar(raw, &place)?, &place)?;
            entries.add(place, name, value)?;
        }
    }
    Ok(entries)
}

/// The text that stands in base64.
pub(in crate::formats) fn decoded(
    text: &str,
    place: &Place,
) -> Result<Zeroizing<String>, BadInput> {
    let mut bytes = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = STANDARD
        .decode_slice(text.trim_ascii(), &mut bytes)
        .map_err(|_| place.clone().bad("is no base64"))?;
    let text =
        std::str::from_utf8(&bytes[..length]).map_err(|_| place.clone().bad("is no UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: Source, text: &str) -> String {
        match read(source, text) {
            Ok(entries) => {
                let list = entries.into_list();
                let pair =
                    |entry: &crate::formats::read::Entry| format!("{}={}", entry.key, *entry.value);
                list.iter().map(pair).collect::<Vec<_>>().join(" ")
            }
            Err(bad) => format!("! {bad}"),
        }
    }

    #[test]
    fn flat_objects() {
        let text = r#"{"A":"x\n\"é\u00e9","N":1.10,"E":-1e5,"T":true,"Z":""}"#;
        assert_eq!(shown(Source::Json, text), "A=x\n\"éé N=1.10 E=-1e5 T=true Z=");
        assert_eq!(shown(Source::Json, "{}"), "");
        let bad = [
            (r#"{"A":null}"#, "! A: must be a text, not null"),
            (r#"{"A":["canary"]}"#, "! A: must be a text, not a list"),
            (r#"{"A":"1","canary":{}}"#, "! member 2: must be a text"),
            (r#"{"canary":"1"}"#, "! member 1: the key must be"),
            (r#"{"A":"1","A":"canary"}"#, "! A: the key stands twice"),
            (r#"{"A":"\ud800"}"#, "! A: holds half"),
            ("{\n\"A\": canary}", "! line 2: is no JSON from column"),
            ("\"canary\"", "! must be a JSON object"),
        ];
        for (text, begins) in bad {
            let said = shown(Source::Json, text);
            assert!(said.starts_with(begins) && !said.contains("canary"), "{text}: {said}");
        }
    }

    #[test]
    fn what_others_give_out() {
        let doppler = r#"{"A":{"computed":"c","raw":"${B}","note":""},"B":"flat"}"#;
        assert_eq!(shown(Source::Doppler, doppler), "A=c B=flat");
        let hidden = r#"{"A":{"computed":null,"raw":null}}"#;
        assert!(shown(Source::Doppler, hidden).starts_with("! A: has no computed value"));
        let export =
            r#"[{"key":"A","value":"x","type":"shared"},{"secretKey":"B","secretValue":"y"}]"#;
        assert_eq!(shown(Source::Infisical, export), "A=x B=y");
        let api = format!(r#"{{"secrets":{export},"imports":[]}}"#);
        assert_eq!(shown(Source::Infisical, &api), "A=x B=y");
        assert_eq!(
            shown(Source::Infisical, r#"[{"key":"A"}]"#),
            "! member 1: must have key and value"
        );
        let second =
            r#"{"request_id":"1","data":{"data":{"A":"x","B":2},"metadata":{"version":1}}}"#;
        assert_eq!(shown(Source::Vault, second), "A=x B=2");
        assert_eq!(shown(Source::Vault, r#"{"data":{"A":"x"}}"#), "A=x");
        let deleted = r#"{"data":{"data":null,"metadata":{"destroyed":false}}}"#;
        assert_eq!(shown(Source::Vault, deleted), "! this version of the secret was deleted");
        let k8s = r#"{"kind":"Secret","data":{"A":"eA==","B":"eQ=="},"stringData":{"B":"z"}}"#;
        assert_eq!(shown(Source::K8sSecret, k8s), "B=z A=x");
        assert_eq!(shown(Source::K8sSecret, r#"{"data":{"A":"?"}}"#), "! A: is no base64");
    }
}
