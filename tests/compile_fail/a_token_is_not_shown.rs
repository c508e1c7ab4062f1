//! A token is shown only by an explicit call of `expose`.
fn main() {}

fn debug(token: coffer::access::Token) -> String {
    format!("{token:?}")
}

fn display(token: coffer::access::Token) -> String {
    format!("{token}")
}
