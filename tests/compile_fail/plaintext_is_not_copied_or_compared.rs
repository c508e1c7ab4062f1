//! A value cannot be copied, and two cannot be compared: equality is an oracle.
fn main() {}

fn copy(plaintext: &coffer::vault::Plaintext) -> coffer::vault::Plaintext {
    plaintext.clone()
}

fn compare(a: &coffer::vault::Plaintext, b: &coffer::vault::Plaintext) -> bool {
    a == b
}
