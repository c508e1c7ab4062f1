//! Conditional requests: whether a client has already what it asks for.
//!
//! Owns: how `If-None-Match` is read, for whatever has an entity tag.

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};

/// Whether `If-None-Match` names a tag (RFC 9110, section 13.1.2). A `*` does not:
/// it would match whatever there is, and nobody could mean that here.
pub(in crate::http) fn names(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(','));
    tags.any(|one| one.trim().trim_start_matches("W/").trim_matches('"') == tag)
}
