//! Attacks by callers of the API.

mod escalation;
mod hidden;
mod in_flight;
mod races;
mod replay;
