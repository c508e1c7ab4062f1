//! A value cannot be copied, and two values cannot be compared: equality is an oracle.
fn main() {}

fn copy(plaintext: &coffer::vault::Plaintext) -> coffer::vault::Plaintext {
    plaintext.clone()
}

fn compare(a: &coffer::vault::Plaintext, b: &coffer::vault::Plaintext) -> bool {
    a == b
}
