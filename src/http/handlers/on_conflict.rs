//! `onConflict`: what to do about keys that already exist. Imports and copies take it.

use utoipa::openapi::ObjectBuilder;

use crate::domain::OnConflict;

use crate::http::request::json::{BodyMembers, Rule, text};
use crate::http::response::schema::words;

pub(in crate::http) const MEMBER: &str = "onConflict";

/// Parses the member; without it, existing keys make the request fail.
pub(in crate::http) fn on_conflict(members: &mut BodyMembers<'_>) -> OnConflict {
    let word = members.optional(MEMBER, |raw| {
        OnConflict::from_word(&text(raw)?).ok_or(Rule::Borrowed("must be fail, skip or replace"))
    });
    word.unwrap_or(OnConflict::Fail)
}

/// Describes the member.
pub(in crate::http) fn on_conflict_schema() -> ObjectBuilder {
    words(OnConflict::ALL.map(OnConflict::as_str)).description(Some(
        "What to do if a key already exists. `fail` (the default) changes nothing at all, `skip` \
         keeps the existing value, `replace` adds a new version.",
    ))
}
