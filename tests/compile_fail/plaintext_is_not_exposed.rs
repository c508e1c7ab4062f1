//! Only the vault can call `expose`.
fn main() {}

fn expose(plaintext: coffer::vault::Plaintext) -> usize {
    plaintext.expose().len()
}
