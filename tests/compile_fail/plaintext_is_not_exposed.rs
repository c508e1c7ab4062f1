//! `expose` is the vault's own.
fn main() {}

fn expose(plaintext: coffer::vault::Plaintext) -> usize {
    plaintext.expose().len()
}
