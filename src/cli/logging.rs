//! Logging: to stderr, ours at the configured level, libraries' warnings only.

use log::LevelFilter;

/// Starts it. `RUST_LOG`, when set, decides alone.
pub(super) fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    match std::env::var("RUST_LOG") {
        Ok(filters) => builder.parse_filters(&filters),
        Err(_) => builder
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("coffer", level)
            // It writes an ERROR for every malformed request of anybody.
            .filter_module("actix_http", LevelFilter::Off),
    };
    builder.format_target(false);
    // A second start in one process (tests) keeps the first logger.
    let _ = builder.try_init();
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: a panic's message can hold anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}");
    }));
}
