//! Listens to the log of this test process.

use std::sync::Mutex;

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static EXPECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Ear;

impl log::Log for Ear {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}: {}", record.level(), record.target(), record.args());
            HEARD.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

pub fn listen() {
    if log::set_logger(&Ear).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

pub fn expect(text: &str) {
    EXPECTED.lock().unwrap().push(text.to_owned());
}

pub fn nothing_unexpected() {
    // In this order: a test that runs beside this one expects a line before it
    // causes it.
    let heard = HEARD.lock().unwrap().clone();
    let expected = EXPECTED.lock().unwrap().clone();
    let odd: Vec<_> =
        heard.iter().filter(|line| !expected.iter().any(|text| line.contains(text))).collect();
    assert!(odd.is_empty(), "unexpected lines in the log: {odd:#?}");
}
