//! JSON, YAML, a Kubernetes Secret.
//!
//! YAML keys and values are double-quoted: unquoted, `NO` is a boolean and `1_0`
//! a number to readers of YAML 1.1. Only escapes are used that YAML 1.1 and 1.2
//! have in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::formats::{Format, Sink, Why};

/// What stands before the first pair.
pub(in crate::formats) fn begin(format: Format, name: &str, empty: bool, out: &mut dyn Sink) {
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

/// What stands behind the last pair.
pub(in crate::formats) fn end(format: Format, empty: bool, out: &mut dyn Sink) {
    match format {
        Format::Json | Format::Yaml if empty => out.put("{}\n"),
        Format::Json => out.put("}\n"),
        _ => {}
    }
}

pub(in crate::formats) fn json(
    key: &str,
    value: &str,
    last: bool,
    out: &mut dyn Sink,
) -> Result<(), Why> {
    out.put("  ");
    json_text(key, out);
    out.put(": ");
    json_text(value, out);
    out.put(if last { "\n" } else { ",\n" });
    Ok(())
}

pub(in crate::formats) fn yaml(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    yaml_text(key, out);
    out.put(": ");
    yaml_text(value, out);
    out.put("\n");
    Ok(())
}

/// `data`, not `stringData`: the bytes themselves, with nothing left to a reader
/// of YAML, and it is what the cluster keeps, so that applying it again changes
/// nothing.
pub(in crate::formats) fn k8s(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    out.put("  ");
    yaml_text(key, out);
    out.put(": \"");
    // Whole groups of three bytes, so that the pieces join without padding.
    let mut room = Zeroizing::new([0; 64]);
    for piece in value.as_bytes().chunks(48) {
        let length =
            STANDARD.encode_slice(piece, &mut *room).expect("48 bytes are 64 characters of base64");
        out.put(std::str::from_utf8(&room[..length]).expect("base64 is ASCII"));
    }
    out.put("\"\n");
    Ok(())
}

/// A string of RFC 8259.
fn json_text(text: &str, out: &mut dyn Sink) {
    out.put("\"");
    for c in text.chars() {
        match c {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            c if c.is_control() => escaped("\\u", 4, c, out),
            c => out.put_char(c),
        }
    }
    out.put("\"");
}

/// A double-quoted scalar.
fn yaml_text(text: &str, out: &mut dyn Sink) {
    out.put("\"");
    for c in text.chars() {
        match c {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            c if c.is_control() => escaped("\\x", 2, c, out),
            // Line breaks to YAML 1.1, a byte order mark, and what is not
            // printable to either.
            '\u{2028}' | '\u{2029}' | '\u{feff}' => escaped("\\u", 4, c, out),
            c if u32::from(c) & 0xfffe == 0xfffe => escaped("\\U", 8, c, out),
            c => out.put_char(c),
        }
    }
    out.put("\"");
}

fn escaped(prefix: &str, digits: u32, c: char, out: &mut dyn Sink) {
    out.put(prefix);
    for place in (0..digits).rev() {
        let digit = (u32::from(c) >> (4 * place)) & 15;
        out.put_char(char::from_digit(digit, 16).expect("four bits are one digit"));
    }
}
