//! Query strings.

use std::borrow::Cow;

use crate::vault::Page;

use super::error::ApiError;

/// Most rows that one page of a list holds.
pub(super) const MAX_LIMIT: usize = 1000;

/// The parameters of a request, percent-decoded. Unknown ones are ignored, as
/// unknown members of a body are.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

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

    pub fn number(&self, name: &'static str, most: usize) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        // One spelling: neither "+5" nor "05".
        let number = text.parse().ok().filter(|number: &usize| number.to_string() == text);
        let number = number.filter(|number| (1..=most).contains(number));
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(refuse(name, format!("must be a whole number from 1 to {most}"))),
        }
    }

    /// `limit`, `after`, `prefix`.
    pub fn page(&self) -> Result<Page, ApiError> {
        Ok(Page {
            limit: self.number("limit", MAX_LIMIT)?,
            after: self.get("after")?.filter(|text| !text.is_empty()).map(str::to_owned),
            prefix: self.get("prefix")?.unwrap_or_default().to_owned(),
        })
    }
}

fn refuse(name: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::invalid(format!("{name} {}", message.into())).field(name)
}
