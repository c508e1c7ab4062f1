//! Query strings.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::vault::Page;

use crate::http::response::error::ApiError;

/// Most rows that one page of a list holds.
pub(in crate::http) const MAX_LIMIT: usize = 1000;
/// Largest number that counts rows: what every client can hold exactly.
pub(in crate::http) const MAX_COUNT: usize = (1 << 53) - 1;

/// The parameters of a request, percent-decoded. Unknown ones are ignored, as
/// unknown members of a body are.
#[derive(Debug)]
pub(in crate::http) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(text)
            .map_err(|_| ApiError::invalid("The query string is malformed."))?
            .into_inner();
        Ok(Self(pairs))
    }

    /// A parameter, which must not stand twice.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut found =
            self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            _ => Err(refuse(name, "stands twice in the query")),
        }
    }

    /// A parameter through its rule.
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

    pub fn boolean(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(refuse(name, "must be true or false")),
        }
    }

    /// A whole number in one spelling: neither "+5" nor "05".
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
                let (least, most) = range.into_inner();
                Err(refuse(name, format!("must be a whole number from {least} to {most}")))
            }
        }
    }

    /// `limit`, `after`, `prefix`.
    pub fn page(&self) -> Result<Page, ApiError> {
        Ok(Page {
            limit: self.number("limit", 1..=MAX_LIMIT)?,
            after: self.get("after")?.filter(|text| !text.is_empty()).map(str::to_owned),
            prefix: self.get("prefix")?.unwrap_or_default().to_owned(),
        })
    }
}

fn refuse(name: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::invalid(format!("{name} {}", message.into())).field(name)
}
