//! The terminal: what is printed, asked and logged there.
//!
//! Owns: tables, prompts, colors, progress bars, error reports.
//! Must never: print control characters that came from a server.
//! Called by: `commands`.

pub(super) mod error;
pub(super) mod logging;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod prompt;
pub(super) mod style;
