//! Logging: to stderr, ours at the configured level, libraries' warnings only.
//!
//! Must never: write a line of sled's below WARN, whatever is asked for: it prints
//! the rows that it writes.

use env_logger::Logger;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Starts it. `RUST_LOG`, when set, decides alone, but for what nobody may see.
pub(in crate::cli) fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(filters) => builder.parse_filters(&filters),
        Err(_) => builder
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("coffer", level)
            // It writes an ERROR for every malformed request of anybody.
            .filter_module("actix_http", LevelFilter::Off),
    };
    let logger = builder.format_target(false).build();
    let most = logger.filter();
    // A second start in one process (tests) keeps the first logger.
    if log::set_boxed_logger(Box::new(Discreet(logger))).is_ok() {
        log::set_max_level(most);
    }
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: a panic's message can hold anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}");
    }));
}

/// A logger without the lines that hold rows.
struct Discreet(Logger);

impl Discreet {
    fn may_show(metadata: &Metadata<'_>) -> bool {
        let is_sled = metadata.target().split("::").next() == Some("sled");
        !is_sled || metadata.level() <= Level::Warn
    }
}

impl Log for Discreet {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::may_show(metadata) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if Self::may_show(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}
