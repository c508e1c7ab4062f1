//! Only the policy can create a permit or an environment in scope.
fn main() {}

fn permit(caller: coffer::vault::Caller) -> coffer::vault::Permit<coffer::vault::Reveal> {
    coffer::vault::Permit { caller, environment: None, idempotency: None, level: std::marker::PhantomData }
}

fn in_scope(id: coffer::domain::EnvironmentId) -> coffer::vault::InScope {
    coffer::vault::InScope { id }
}
