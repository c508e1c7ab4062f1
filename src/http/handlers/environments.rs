//! `/api/environments` and `/api/environments/{environment}`.

use utoipa::ToSchema;

use crate::domain::{DisplayName, EnvironmentName};
use crate::vault::{Administer, NewEnvironment, Read};

use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, named, nullable};
use crate::http::request::parameter::Parameter;
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{Done, EnvironmentAnswer, EnvironmentsAnswer};
use crate::http::response::schema;

/// An environment to create.
#[derive(Debug, ToSchema)]
#[schema(as = NewEnvironment)]
pub(in crate::http) struct CreateEnvironment {
    /// Unique, not case-sensitive, and not in the form of an environment id.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$")]
    name: EnvironmentName,
    /// The name that people see.
    #[schema(value_type = Option<String>, max_length = 100, rename = "displayName")]
    display_name: DisplayName,
}

impl RequestBody for CreateEnvironment {
    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        let name = members.required("name", named(EnvironmentName::parse));
        let display_name = members.optional("displayName", nullable(DisplayName::parse));
        let body = name.map(|name| Self { name, display_name: display_name.unwrap_or_default() });
        members.finish(body)
    }
}

/// The parameter of the deletion.
pub(in crate::http) const FORCE: Parameter = Parameter::query(
    "force",
    schema::boolean,
    "Delete the environment even if it holds secrets, and delete those too.",
);

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let listed = actix_web::web::block(move || state.vault.list_environments(&permit)).await??;
    let environments = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&EnvironmentsAnswer { environments }))
}

pub(in crate::http) async fn create(
    call: Call<Administer, CreateEnvironment>,
) -> Result<Answer, ApiError> {
    let CreateEnvironment { name, display_name } = call.body;
    let new = NewEnvironment { name, display_name };
    let environment = call.state.vault.create_environment(&call.permit, new).await?.into();
    Ok(Answer::json(&EnvironmentAnswer { environment }))
}

pub(in crate::http) async fn read(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let environment = call.state.vault.read_environment(&call.permit)?.into();
    Ok(Answer::json(&EnvironmentAnswer { environment }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let force = call.query.boolean(FORCE.name)?;
    call.state.vault.delete_environment(&call.permit, force).await?;
    Ok(Answer::json(&Done { success: true }))
}
