//! The public information about a secret has no field for its value.
fn main() {}

fn value(info: coffer::domain::SecretInfo) -> String {
    info.value
}
