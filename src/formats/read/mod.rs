//! Reading key-value pairs from another program's format.
//!
//! Owns: the detection of a format, and how each format is parsed.
//! Must never: accept anything that the format's readers interpret differently, or quote a value in a
//! refusal: it names a line, a key or a position.
//! Called by: `vault` for imports and `cli` for `coffer import`.

mod detect;
mod dotenv;
mod entries;
mod input_format;
mod json;
mod position;
mod yaml;

pub use entries::{InputEntries, InputEntry};
pub use input_format::InputFormat;
pub use position::{BadInput, InputPosition};
