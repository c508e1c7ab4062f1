//! A value cannot be printed: it implements neither Debug nor Display.
fn main() {}

fn debug(plaintext: coffer::vault::Plaintext) -> String {
    format!("{plaintext:?}")
}

fn display(plaintext: coffer::vault::Plaintext) -> String {
    format!("{plaintext}")
}
