//! Finds a planted text in any bytes, in every encoding that it may have passed through.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};

/// A planted text in one encoding.
#[derive(Debug, Clone)]
pub struct Needle {
    /// The name of the planted text, which can be printed.
    pub planted: String,
    pub encoding: &'static str,
    pub bytes: Vec<u8>,
}

/// Shorter needles would match by chance.
const FEWEST_BYTES: usize = 8;

/// The text in every encoding in which it might leak.
pub fn needles(planted: &str, text: &[u8]) -> Vec<Needle> {
    let mut found = bytewise(text);
    for (name, algorithm) in
        [("sha1", &SHA1_FOR_LEGACY_USE_ONLY), ("sha256", &SHA256), ("sha512", &SHA512)]
    {
        let hash = digest(algorithm, text);
        found.push((name, hash.as_ref().to_vec()));
        found.push((name, hex(hash.as_ref()).into_bytes()));
        found.push((name, STANDARD_NO_PAD.encode(hash.as_ref()).into_bytes()));
        found.push((name, URL_SAFE_NO_PAD.encode(hash.as_ref()).into_bytes()));
    }
    if let Ok(text) = std::str::from_utf8(text) {
        found.extend(textwise(text));
    }
    let needles = found.into_iter().map(|(encoding, bytes)| {
        assert!(bytes.len() >= FEWEST_BYTES, "{planted} as {encoding} is too short to search for");
        Needle { planted: planted.to_owned(), encoding, bytes }
    });
    needles.collect()
}

fn bytewise(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = vec![
        ("raw", text.to_vec()),
        ("reversed", text.iter().rev().copied().collect()),
        ("hex", hex(text).into_bytes()),
        ("hex", hex(text).to_uppercase().into_bytes()),
        ("decimal", decimal(text, ", ").into_bytes()),
        ("decimal", decimal(text, ",").into_bytes()),
    ];
    // Inside a longer text that is encoded as a whole, the planted text has one of three forms. The
    // characters at its ends also depend on the bytes next to it.
    for shift in 0..3 {
        for (name, engine) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
            let padded = [&[0; 2][..shift], text].concat();
            let encoded = engine.encode(&padded);
            let from = [0, 2, 3][shift];
            let until = encoded.len() - usize::from(padded.len() % 3 != 0);
            found.push((name, encoded.as_bytes()[from..until].to_vec()));
        }
    }
    found
}

fn decimal(text: &[u8], between: &str) -> String {
    text.iter().map(u8::to_string).collect::<Vec<_>>().join(between)
}

fn textwise(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let quoted = serde_json::to_string(text).unwrap();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let ascii: String = json.chars().map(ascii_escaped).collect();
    let slashes = json.replace('/', "\\/");
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
    let url: String = text.bytes().map(percent).collect();
    vec![
        ("json", json.into_bytes()),
        ("json", ascii.into_bytes()),
        ("json", slashes.into_bytes()),
        ("debug", format!("{text:?}").trim_matches('"').as_bytes().to_vec()),
        ("url", url.clone().into_bytes()),
        ("url", url.replace("%20", "+").into_bytes()),
        ("url", lower_percent(&url).into_bytes()),
        ("utf-16le", utf16(u16::to_le_bytes)),
        ("utf-16be", utf16(u16::to_be_bytes)),
    ]
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ascii_escaped(char: char) -> String {
    let mut units = [0; 2];
    match char.is_ascii() {
        true => char.to_string(),
        false => {
            char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
    }
}

fn percent(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

fn lower_percent(text: &str) -> String {
    let mut left_in_escape = 0;
    let lower = text.chars().map(|char| {
        if char == '%' {
            left_in_escape = 3;
        }
        left_in_escape = i32::max(left_in_escape - 1, -1);
        if left_in_escape >= 0 { char.to_ascii_lowercase() } else { char }
    });
    lower.collect()
}

/// Searches for many needles at once.
pub struct Searcher {
    needles: Vec<Needle>,
    /// Needles by their first two bytes, so that one table lookup is enough to skip most of a file.
    by_start: Vec<Vec<usize>>,
}

impl Searcher {
    pub fn new(needles: Vec<Needle>) -> Self {
        let mut by_start = vec![Vec::new(); 1 << 16];
        for (number, needle) in needles.iter().enumerate() {
            by_start[start(&needle.bytes)].push(number);
        }
        Self { needles, by_start }
    }

    /// The needles that the bytes contain.
    pub fn find(&self, haystack: &[u8]) -> Vec<&Needle> {
        let mut found = vec![false; self.needles.len()];
        for at in 0..haystack.len().saturating_sub(1) {
            for number in &self.by_start[start(&haystack[at..])] {
                let hit = haystack[at..].starts_with(&self.needles[*number].bytes);
                found[*number] |= hit;
            }
        }
        let all = self.needles.iter().zip(found);
        all.filter(|(_, found)| *found).map(|(needle, _)| needle).collect()
    }

    /// Fails if the bytes contain any needle.
    #[track_caller]
    pub fn assert_clean(&self, place: &str, haystack: &[u8]) {
        let found: Vec<_> = self
            .find(haystack)
            .iter()
            .map(|n| format!("{} as {}", n.planted, n.encoding))
            .collect();
        assert!(found.is_empty(), "{place} holds {found:?}");
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}
