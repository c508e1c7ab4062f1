//! Query strings, and the parameters that every paged list takes.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::vault::Page;

use crate::http::request::parameter::Parameter;
use crate::http::response::error::ApiError;
use crate::http::response::schema;

/// How many rows one page of a list may have.
pub(in crate::http) const PAGE_ROWS: RangeInclusive<usize> = 1..=1000;
/// The range of numbers that count rows. The maximum is 2^53 - 1, which every JSON reader can
/// represent exactly.
pub(in crate::http) const ROW_NUMBERS: RangeInclusive<usize> = 0..=(1 << 53) - 1;

/// The parameters of a list of secrets or vars.
pub(in crate::http) const PAGE: &[Parameter] = &[LIMIT, AFTER, PREFIX];
const LIMIT: Parameter =
    Parameter::number("limit", PAGE_ROWS, "Maximum number of rows. Default: all.");
const AFTER: Parameter =
    Parameter::query("after", schema::text, "Only rows whose key sorts after this one, by bytes.");
const PREFIX: Parameter =
    Parameter::query("prefix", schema::text, "Only rows whose key starts with this.");

/// The query parameters of a request, percent-decoded. Unknown ones are ignored, as unknown
/// members of a body are.
#[derive(Debug)]
pub(in crate::http) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(text)
            .map_err(|_| ApiError::invalid("The query string is malformed."))?
            .into_inner();
        Ok(Self(pairs))
    }

    /// Returns a parameter, refusing one that is given twice.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut found =
            self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            _ => Err(refuse(name, "must not be given twice")),
        }
    }

    /// Parses a parameter; `rule` is the message if `parse` returns `None`.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        rule: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        match self.get(name)?.map(parse) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(refuse(name, rule)),
        }
    }

    /// Parses a switch, which is off if it is not given.
    pub fn boolean(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(refuse(name, "must be true or false")),
        }
    }

    /// Parses a whole number. It has one spelling: neither "+5" nor "05" is accepted.
    pub fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &usize| number.to_string() == text);
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (min, max) = range.into_inner();
                Err(refuse(name, format!("must be a whole number from {min} to {max}")))
            }
        }
    }

    /// Parses the parameters of [`PAGE`].
    pub fn page(&self) -> Result<Page, ApiError> {
        Ok(Page {
            limit: self.number(LIMIT.name, PAGE_ROWS)?,
            after: self.get(AFTER.name)?.filter(|text| !text.is_empty()).map(str::to_owned),
            prefix: self.get(PREFIX.name)?.unwrap_or_default().to_owned(),
        })
    }
}

fn refuse(name: &'static str, rule: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::invalid(format!("{name} {}", rule.into())).field(name)
}
