//! `/api/auth/…`: logging in and out, creating the first user, and who the caller is.

use actix_web::http::header::USER_AGENT;
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;

use crate::access::{LoginClient, NewPassword, NewSession, Password, Registrant, Registration};
use crate::domain::{Email, PersonName};
use crate::vault::Read;

use crate::http::request::anonymous::AnonymousCall;
use crate::http::request::call::Call;
use crate::http::request::caller::authenticated;
use crate::http::request::context::state;
use crate::http::request::credential;
use crate::http::request::json::{BodyMembers, Rule, named, nullable, text, typed};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::state::State;
use crate::http::response::account_items::{
    LoginAnswer, MeAnswer, RegistrationAnswer, RegistrationItem,
};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// An email address and a password to log in with.
#[derive(ToSchema)]
#[schema(as = Login)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct LoginBody {
    /// Not case-sensitive.
    email: String,
    #[schema(value_type = String, format = Password)]
    password: Password,
}

/// The first user to create.
#[derive(ToSchema)]
#[schema(as = Register)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct RegisterBody {
    #[schema(value_type = String, min_length = 3, max_length = 254, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$", example = "ada@example.org")]
    email: Email,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    password: NewPassword,
    #[schema(value_type = Option<String>, max_length = 100)]
    name: PersonName,
}

/// Parses a new password.
pub(in crate::http) fn new_password(
    raw: &serde_json::value::RawValue,
) -> Result<NewPassword, Rule> {
    let password = typed(raw, "must be a string")?;
    NewPassword::parse(password).map_err(|violation| Rule::Borrowed(violation.0))
}

impl RequestBody for LoginBody {
    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        let email = members.required("email", |raw| Ok(text(raw)?.into_owned()));
        let password = members.required("password", |raw| typed(raw, "must be a string"));
        let body = email.zip(password).map(|(email, password)| Self { email, password });
        members.finish(body)
    }
}

impl RequestBody for RegisterBody {
    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        let email = members.required("email", named(Email::parse));
        let password = members.required("password", new_password);
        let name = members.optional("name", nullable(PersonName::parse)).unwrap_or_default();
        let body = email.zip(password).map(|(email, password)| Self { email, password, name });
        members.finish(body)
    }
}

pub(in crate::http) async fn login(call: AnonymousCall<LoginBody>) -> Result<Answer, ApiError> {
    let client = client(&call);
    let AnonymousCall { state, body, request, .. } = call;
    let session = state.access.login(&body.email, body.password, &client).await?;
    Ok(session_answer(&request, &session))
}

/// Tells the web console whether to offer the setup page or the login page. Anyone who tries
/// `register` learns as much.
pub(in crate::http) async fn registration(request: HttpRequest) -> HttpResponse {
    let open = state(&request).access.registration_is_open();
    Answer::json(&RegistrationAnswer { registration: RegistrationItem { open } }).into_response()
}

pub(in crate::http) async fn register(
    call: AnonymousCall<RegisterBody>,
) -> Result<Answer, ApiError> {
    let client = client(&call);
    let AnonymousCall { state, body, request, .. } = call;
    let by = match authenticated(&request)? {
        Some(principal) => Registrant::Principal(Box::new(principal)),
        None if credential::is_present(&request) => Registrant::Stranger,
        None if credential::is_local(&request) => Registrant::Local,
        None => Registrant::Stranger,
    };
    let RegisterBody { email, password, name } = body;
    let new = Registration { email, password, name };
    let session = state.access.register(by, new, &client).await?;
    Ok(session_answer(&request, &session))
}

fn client<B>(call: &AnonymousCall<B>) -> LoginClient {
    let agent = call.request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    LoginClient { origin: call.origin.clone(), user_agent: agent.map(str::to_owned) }
}

/// Renders the answer to a login. The web console gets the token only as a cookie, which its
/// scripts cannot read. Other clients get it only in the body, because they would not protect a
/// cookie.
fn session_answer(request: &HttpRequest, session: &NewSession) -> Answer {
    let token = session.token.expose();
    if !credential::is_console(request.headers()) {
        return Answer::json(&LoginAnswer::new(session, Some(token)));
    }
    let cookie = Some(credential::set_cookie(request, token, session.seconds));
    Answer { cookie, ..Answer::json(&LoginAnswer::new(session, None)) }
}

pub(in crate::http) async fn logout(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.logout(&call.permit).await?;
    let cookie = Some(credential::set_cookie(&call.request, "", 0));
    Ok(Answer { cookie, ..Answer::json(&Done { success: true }) })
}

pub(in crate::http) async fn me(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let me = call.state.access.me(&call.permit)?;
    let Call { state, permit, .. } = call;
    let listed = actix_web::web::block(move || {
        let listed = state.vault.environment_ids(&permit)?;
        Ok::<_, crate::vault::Error>((permit, listed))
    });
    let (permit, reached) = listed.await??;
    Ok(Answer::json(&MeAnswer::new(me, permit.principal(), reached)))
}
