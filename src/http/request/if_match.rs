//! Preconditions on the version of a row: `If-Match` or `?version=`.

use std::ops::RangeInclusive;

use actix_web::http::header::{HeaderMap, IF_MATCH};
use serde_json::json;
use utoipa::openapi::ObjectBuilder;

use crate::http::request::parameter::Parameter;
use crate::http::request::query::Query;
use crate::http::response::error::ApiError;
use crate::http::response::schema;

/// The numbers that versions have.
const VERSIONS: RangeInclusive<usize> = 1..=u32::MAX as usize;

/// The parameters of a route that takes a precondition.
pub(in crate::http) const PRECONDITION: &[Parameter] = &[HEADER, VERSION];
const HEADER: Parameter = Parameter::header(
    "If-Match",
    header_schema,
    "Proceed only if this is the current version, as in `\"3\"`; otherwise 409. Cannot be combined \
     with `version`.",
);
const VERSION: Parameter = Parameter::number(
    "version",
    VERSIONS,
    "Proceed only if this is the current version; otherwise 409. Cannot be combined with \
     `If-Match`.",
);

/// `*` or a list of tags (RFC 9110, section 13.1.1), limited to ASCII.
fn header_schema() -> ObjectBuilder {
    let tag = r#"(W/)?"[!#-~]*""#;
    let tags = format!(r"^(\*|{tag}([ \t]*,[ \t]*{tag})*)$");
    schema::text().min_length(Some(1)).pattern(Some(tags)).examples([json!("\"3\"")])
}

/// Returns the versions that the caller accepts as the current one; `None` for any.
pub(in crate::http) fn expected_versions(
    headers: &HeaderMap,
    query: &Query,
) -> Result<Option<Vec<u32>>, ApiError> {
    let by_header = if_match(headers)?;
    let by_query = query.number(VERSION.name, VERSIONS)?;
    let by_query = by_query.map(|number| vec![u32::try_from(number).unwrap_or(0)]);
    match (by_header, by_query) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid("If-Match and version cannot be combined.").field(VERSION.name))
        }
        (header, query) => Ok(header.or(query)),
    }
}

/// Parses `If-Match` (RFC 9110, section 13.1.1): `*`, or a list of `"version"`. Returns `None` if
/// any version is accepted. A weak tag never matches, so it names no version.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u32>>, ApiError> {
    let malformed = || {
        ApiError::invalid("If-Match must be \"*\" or a version in double quotes").field("If-Match")
    };
    let mut values = headers.get_all(IF_MATCH).peekable();
    let Some(first) = values.peek() else { return Ok(None) };
    if first.as_bytes() == b"*" && headers.get_all(IF_MATCH).count() == 1 {
        return Ok(None);
    }
    let mut versions = Vec::new();
    for value in values {
        let mut rest = value.to_str().map_err(|_| malformed())?.trim();
        loop {
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            // A tag may contain a comma, so the closing quote is what ends it.
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (inner, after) = inner.ok_or_else(malformed)?;
            if !inner.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(malformed());
            }
            // A tag of another form is not one that this server sends, so it names no version.
            let version = inner.parse::<u32>().ok().filter(|number| number.to_string() == inner);
            versions.extend(version.filter(|_| !weak));
            match after.trim_start() {
                "" => break,
                more => rest = more.strip_prefix(',').ok_or_else(malformed)?.trim_start(),
            }
        }
    }
    Ok(Some(versions))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn if_match_headers() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(text));
            if_match(&headers)
        };
        assert_eq!(parse("*").unwrap(), None);
        assert_eq!(parse("\"3\"").unwrap(), Some(vec![3]));
        assert_eq!(parse("\"3\", \"4\"").unwrap(), Some(vec![3, 4]));
        assert_eq!(parse("W/\"3\"").unwrap(), Some(vec![]));
        assert_eq!(parse("\"abc\"").unwrap(), Some(vec![]));
        assert_eq!(parse("\"a,b\",\t\"3\" , W/\",\"").unwrap(), Some(vec![3]));
        for bad in ["3", "", "\"3\",", "\"3\" \"4\"", "\"3", "\"a b\"", "*, \"3\"", "\"3\", *"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
