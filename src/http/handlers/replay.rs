//! The answers that are kept for repeated requests with the same `Idempotency-Key`.
//!
//! Owns: rendering what a change returned exactly as the handler of its route does.

use crate::vault::VerbResult;

use crate::http::handlers::copy::CopyAnswer;
use crate::http::handlers::imports::ImportAnswer;
use crate::http::handlers::keys::RotationAnswer;
use crate::http::request::state::State;
use crate::http::response::account_items::{ServiceAccountAnswer, UserAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::items::{
    Done, EnvironmentAnswer, SecretAnswer, SettingsAnswer, VarAnswer,
};

/// Renders the answer to a change; empty if it contained a credential and must not be kept.
pub(in crate::http) fn render(state: &State, outcome: VerbResult<'_>) -> Vec<u8> {
    let answer = match outcome {
        VerbResult::Secret(info) => {
            Answer::json(&SecretAnswer { secret: state.secret_item(info.clone()) })
        }
        VerbResult::Var(info) => Answer::json(&VarAnswer { var: state.var_item(info.clone()) }),
        VerbResult::Environment(info) => {
            Answer::json(&EnvironmentAnswer { environment: info.clone().into() })
        }
        VerbResult::Settings(settings) => {
            Answer::json(&SettingsAnswer { settings: (*settings).into() })
        }
        VerbResult::User(info) => Answer::json(&UserAnswer { user: info.clone().into() }),
        VerbResult::ServiceAccount(info) => {
            Answer::json(&ServiceAccountAnswer { service_account: info.clone().into() })
        }
        VerbResult::Import(report) => Answer::json(&ImportAnswer { import: report.into() }),
        VerbResult::Rotation(started) => {
            Answer::json(&RotationAnswer { rotation: started.clone().into() })
        }
        VerbResult::Copied(copied) => Answer::json(&CopyAnswer::new(state, copied)),
        VerbResult::Done => Answer::json(&Done { success: true }),
        VerbResult::Credential => Answer::rendered(Vec::new()),
    };
    answer.body.to_vec()
}
