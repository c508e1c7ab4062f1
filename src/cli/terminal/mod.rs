//! The terminal: what is printed, asked and logged there.
//!
//! Owns: tables, prompts, colors, progress bars, error reports, the log format.
//! Must never: print control characters that came from a server.
//! Called by: the rest of `cli`.

pub(super) mod error;
pub(super) mod logging;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod prompt;
pub(super) mod sanitize;
pub(super) mod style;
