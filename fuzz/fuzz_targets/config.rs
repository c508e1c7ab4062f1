//! `config.toml` and the variables that win over it. An error is one line.
#![no_main]

use coffer::config::{Variables, load_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, [(&str, &str); 2])| {
    let (text, pairs) = input;
    let variables = Variables::from_pairs(pairs);
    if let Err(error) = load_text(text, &variables) {
        assert!(!error.to_string().is_empty());
    }
});
