//! A revealed value goes into a response and nowhere else.
fn main() {}

fn debug(revealed: coffer::vault::Revealed) -> String {
    format!("{revealed:?}")
}

fn copy(revealed: &coffer::vault::Revealed) -> coffer::vault::Revealed {
    revealed.clone()
}
