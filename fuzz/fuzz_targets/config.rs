//! `config.toml` and the variables that override it. An error is one line with a place and a
//! problem. An accepted file is understood completely.
#![no_main]

use coffer::config::{Variables, load_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, [(&str, &str); 2])| {
    let (text, pairs) = input;
    let variables = Variables::from_pairs(pairs);
    let error = match load_text(text, &variables) {
        Err(error) => error,
        Ok(config) => {
            // An unknown section is reported wherever it is.
            let more = load_text(&format!("{text}\n[zz]\nzz = 1\n"), &variables);
            let place = more.err().map(|error| error.location);
            assert_eq!(place.as_deref(), Some("config.toml: [zz]"));
            // Loading is deterministic: an earlier load does not affect a later one.
            let again = load_text(text, &variables).expect("the file loads again");
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
            return;
        }
    };
    let line = error.to_string();
    assert!(!line.contains('\n'), "the message has more than one line: {line:?}");
    let names_a_key = error.location.contains(['[', ':', '.']) && error.location != "config.toml";
    let names_a_line = error.problem.split_once(" is not valid TOML: ").is_some_and(|(place, _)| {
        let number = place.strip_prefix("line ").and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| (1..=1 + text.matches('\n').count()).contains(&number))
    });
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    let names_a_variable =
        pairs.iter().any(|(name, _)| name.chars().map(shown).collect::<String>() == error.location);
    assert!(names_a_key || names_a_line || names_a_variable, "it names no place: {line:?}");
    assert!(error.problem.ends_with(['.', '?']) && error.problem.len() > 10, "{line:?}");
});
