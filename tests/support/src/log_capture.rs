//! Listens to the log of this test process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of WARN and ERROR.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static EXPECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Whether every line is kept, of every library and from TRACE up.
static KEEPS_ALL: AtomicBool = AtomicBool::new(false);
static ALL: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Ear;

impl log::Log for Ear {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        KEEPS_ALL.load(Ordering::Relaxed) || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        if record.level() <= log::Level::Warn {
            HEARD.lock().unwrap().push(line.clone());
        }
        // What the program's own log never shows, whatever is asked for.
        let is_hidden = record.target().starts_with("sled") && record.level() > log::Level::Warn;
        if KEEPS_ALL.load(Ordering::Relaxed) && !is_hidden {
            ALL.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

pub fn listen() {
    if log::set_logger(&Ear).is_ok() && !KEEPS_ALL.load(Ordering::Relaxed) {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

pub fn keep_all() {
    KEEPS_ALL.store(true, Ordering::Relaxed);
    listen();
    log::set_max_level(log::LevelFilter::Trace);
}

pub fn all() -> Vec<String> {
    ALL.lock().unwrap().clone()
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
