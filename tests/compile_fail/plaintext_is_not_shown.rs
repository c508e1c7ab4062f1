//! A value cannot be printed: neither Debug nor Display.
fn main() {}

fn debug(plaintext: coffer::vault::Plaintext) -> String {
    format!("{plaintext:?}")
}

fn display(plaintext: coffer::vault::Plaintext) -> String {
    format!("{plaintext}")
}
