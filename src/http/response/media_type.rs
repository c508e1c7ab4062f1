//! The media types of responses.

use actix_web::http::header::HeaderValue;

pub(in crate::http) const JSON: HeaderValue =
    HeaderValue::from_static("application/json; charset=utf-8");

pub(in crate::http) const OCTETS: &str = "application/octet-stream";

/// The type of an age file. It is not registered with IANA; the wire contract defines it.
pub(in crate::http) const AGE: &str = "application/age-encryption";
