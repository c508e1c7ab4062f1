//! Logging to stderr: coffer at the configured level, libraries from WARN up.
//!
//! Must never: print lines of sled below WARN, whatever the configuration says, because they
//! contain the rows that sled writes.

use env_logger::Logger;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Installs the logger. `RUST_LOG` overrides the level, except for lines of sled that hold rows.
pub(in crate::cli) fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(filters) => builder.parse_filters(&filters),
        Err(_) => builder
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("coffer", level)
            // It logs an ERROR for every malformed request, which anyone can send.
            .filter_module("actix_http", LevelFilter::Off),
    };
    let logger = builder.format_target(false).build();
    let max_level = logger.filter();
    // Fails if a logger is installed already, as in tests; then that one stays.
    if log::set_boxed_logger(Box::new(RowFilter(logger))).is_ok() {
        log::set_max_level(max_level);
    }
    std::panic::set_hook(Box::new(|panic| {
        // Only the location: the message may contain anything, including a value.
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {location}");
    }));
}

/// A logger that drops the lines that hold rows.
struct RowFilter(Logger);

impl RowFilter {
    fn may_show(metadata: &Metadata<'_>) -> bool {
        let is_sled = metadata.target().split("::").next() == Some("sled");
        !is_sled || metadata.level() <= Level::Warn
    }
}

impl Log for RowFilter {
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
