//! Query parameters and headers, as the OpenAPI document describes them.
//!
//! Each one is declared as a constant beside the code that reads it, so that the description and
//! the check have the same name and the same limits.

use std::ops::RangeInclusive;

use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};

use crate::http::response::schema;

/// A query parameter or header of a route.
#[derive(Debug, Clone)]
pub(in crate::http) struct Parameter {
    pub name: &'static str,
    location: ParameterLocation,
    is_required: bool,
    description: &'static str,
    schema: ParameterSchema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParameterLocation {
    Query,
    Header,
}

#[derive(Debug, Clone)]
enum ParameterSchema {
    Number(RangeInclusive<usize>),
    Other(fn() -> ObjectBuilder),
}

impl Parameter {
    const fn new(
        location: ParameterLocation,
        name: &'static str,
        schema: ParameterSchema,
        description: &'static str,
    ) -> Self {
        Self { name, location, is_required: false, description, schema }
    }

    /// A query parameter with this schema.
    pub const fn query(
        name: &'static str,
        schema: fn() -> ObjectBuilder,
        description: &'static str,
    ) -> Self {
        Self::new(ParameterLocation::Query, name, ParameterSchema::Other(schema), description)
    }

    /// A query parameter that is a whole number in this range.
    pub const fn number(
        name: &'static str,
        range: RangeInclusive<usize>,
        description: &'static str,
    ) -> Self {
        Self::new(ParameterLocation::Query, name, ParameterSchema::Number(range), description)
    }

    /// A header with this schema.
    pub const fn header(
        name: &'static str,
        schema: fn() -> ObjectBuilder,
        description: &'static str,
    ) -> Self {
        Self::new(ParameterLocation::Header, name, ParameterSchema::Other(schema), description)
    }

    /// Makes the parameter required; without this it is optional.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Describes the parameter for the OpenAPI document.
    pub fn describe(&self) -> ParameterBuilder {
        let schema = match &self.schema {
            ParameterSchema::Number(range) => schema::number(*range.start(), Some(*range.end())),
            ParameterSchema::Other(schema) => schema(),
        };
        ParameterBuilder::new()
            .name(self.name)
            .parameter_in(match self.location {
                ParameterLocation::Query => ParameterIn::Query,
                ParameterLocation::Header => ParameterIn::Header,
            })
            .required(if self.is_required { Required::True } else { Required::False })
            .description(Some(self.description))
            .schema(Some(schema.build()))
    }
}
