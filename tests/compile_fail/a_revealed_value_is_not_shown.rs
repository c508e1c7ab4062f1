//! A revealed value goes into an answer and nowhere else.
fn main() {}

fn debug(revealed: coffer::vault::Revealed) -> String {
    format!("{revealed:?}")
}

fn copy(revealed: &coffer::vault::Revealed) -> coffer::vault::Revealed {
    revealed.clone()
}
