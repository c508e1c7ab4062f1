//! What may be told about a secret has no room for a value.
fn main() {}

fn value(info: coffer::domain::SecretInfo) -> String {
    info.value
}
