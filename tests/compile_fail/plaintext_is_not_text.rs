//! No standard conversion turns a value into text or bytes.
fn main() {}

fn into_text(plaintext: coffer::vault::Plaintext) -> String {
    plaintext.into()
}

fn into_bytes(plaintext: coffer::vault::Plaintext) -> Vec<u8> {
    plaintext.into()
}

fn as_text(plaintext: &coffer::vault::Plaintext) -> &str {
    plaintext.as_ref()
}

fn deref(plaintext: &coffer::vault::Plaintext) -> usize {
    plaintext.len()
}
