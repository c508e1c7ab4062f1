//! Writing JSON, YAML and Kubernetes Secrets.
//!
//! YAML keys and values are double-quoted: to a YAML 1.1 reader, unquoted `NO` is a boolean and
//! `1_0` a number. Only escapes that YAML 1.1 and 1.2 share are used.
//!
//! Owns: the escapes, and the text before and after the pairs.
//! Must never: write a scalar whose type depends on its reader.
//! Called by: `document`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::formats::write::format::Format;
use crate::formats::write::sink::Sink;
use crate::formats::write::unsupported::Reason;

/// Writes the text before the first pair.
pub(super) fn begin(format: Format, name: &str, empty: bool, out: &mut dyn Sink) {
    match format {
        Format::Json if !empty => out.put("{\n"),
        Format::K8sSecret => {
            out.put("apiVersion: v1\nkind: Secret\nmetadata:\n  name: ");
            yaml_text(name, out);
            out.put(if empty { "\ntype: Opaque\ndata: {}\n" } else { "\ntype: Opaque\ndata:\n" });
        }
        _ => {}
    }
}

/// Writes the text after the last pair.
pub(super) fn end(format: Format, empty: bool, out: &mut dyn Sink) {
    match format {
        Format::Json | Format::Yaml if empty => out.put("{}\n"),
        Format::Json => out.put("}\n"),
        _ => {}
    }
}

/// Writes one member of the JSON object.
pub(super) fn json(key: &str, value: &str, last: bool, out: &mut dyn Sink) -> Result<(), Reason> {
    out.put("  ");
    json_text(key, out);
    out.put(": ");
    json_text(value, out);
    out.put(if last { "\n" } else { ",\n" });
    Ok(())
}

/// Writes one entry of the YAML mapping.
pub(super) fn yaml(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    yaml_text(key, out);
    out.put(": ");
    yaml_text(value, out);
    out.put("\n");
    Ok(())
}

/// Writes one entry of `data`. Not `stringData`, because base64 leaves nothing for a YAML reader to
/// interpret, and because the cluster stores `data`, so that applying the manifest again changes
/// nothing.
pub(super) fn k8s(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    out.put("  ");
    yaml_text(key, out);
    out.put(": \"");
    // Encodes whole groups of three bytes, so that the pieces join without padding.
    let mut buffer = Zeroizing::new([0; 64]);
    for piece in value.as_bytes().chunks(48) {
        let length = STANDARD
            .encode_slice(piece, &mut *buffer)
            .expect("48 bytes are 64 characters of base64");
        out.put(std::str::from_utf8(&buffer[..length]).expect("base64 is ASCII"));
    }
    out.put("\"\n");
    Ok(())
}

/// Writes a JSON string (RFC 8259).
fn json_text(text: &str, out: &mut dyn Sink) {
    out.put("\"");
    for c in text.chars() {
        match c {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            c if c.is_control() => put_escaped("\\u", 4, c, out),
            c => out.put_char(c),
        }
    }
    out.put("\"");
}

/// Writes a double-quoted YAML scalar.
fn yaml_text(text: &str, out: &mut dyn Sink) {
    out.put("\"");
    for c in text.chars() {
        match c {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            c if c.is_control() => put_escaped("\\x", 2, c, out),
            // Line breaks in YAML 1.1, the byte order mark, and noncharacters.
            '\u{2028}' | '\u{2029}' | '\u{feff}' => put_escaped("\\u", 4, c, out),
            c if u32::from(c) & 0xfffe == 0xfffe => put_escaped("\\U", 8, c, out),
            c => out.put_char(c),
        }
    }
    out.put("\"");
}

/// Writes a character as an escape of this many hex digits.
fn put_escaped(prefix: &str, digits: u32, c: char, out: &mut dyn Sink) {
    out.put(prefix);
    for nibble in (0..digits).rev() {
        let digit = (u32::from(c) >> (4 * nibble)) & 15;
        out.put_char(char::from_digit(digit, 16).expect("four bits are one digit"));
    }
}
