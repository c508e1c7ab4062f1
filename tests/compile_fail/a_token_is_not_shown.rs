//! A token is shown once, on purpose, by `expose`.
fn main() {}

fn debug(token: coffer::access::Token) -> String {
    format!("{token:?}")
}

fn display(token: coffer::access::Token) -> String {
    format!("{token}")
}
