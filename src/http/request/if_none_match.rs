//! `If-None-Match`: whether a client already has the content that it asks for.

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};

/// Tells whether `If-None-Match` names `tag` (RFC 9110, section 13.1.2). `*` is not accepted: it
/// would match any content, which no client of these routes can mean.
pub(in crate::http) fn names(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(','));
    tags.any(|one| one.trim().trim_start_matches("W/").trim_matches('"') == tag)
}
