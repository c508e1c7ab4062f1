//! The verbs on sessions: log in, log out, list, end.
//!
//! Owns: the limits on sessions, and what a login costs.
//! Must never: reveal whether an address belongs to a user, or store the address that was typed.
//! Called by: `http`; `registration` for the session of the first user.

use serde_json::json;

use crate::access::damaged_rows::{only_readable, skip_damaged};
use crate::access::error::Error;
use crate::access::password::{Password, PasswordCheck};
use crate::access::revocation::{end_session, end_sessions, end_tokens, sessions_of};
use crate::access::state::Access;
use crate::access::token::{Token, TokenKind};
use crate::audit::{Action, Actor, Draft, RefusalCode, ResourceType};
use crate::domain::{
    Email, Origin, OwnerId, Role, SessionId, SessionInfo, Timestamp, UserId, folded_email,
};
use crate::store::{
    LastUses, PasswordRow, ReadError, SessionHashes, SessionRow, Sessions, Tx, Used, UserEmails,
    UserRow, UserSessions, Users, View,
};
use crate::vault::{self, Own, Permit, Random, Read};

/// The most sessions of a user; a further login ends the oldest.
const MAX_SESSIONS: usize = 100;
/// The most expired sessions that a login removes.
const MAX_SWEPT: usize = 8;
/// The number of characters kept of a user agent.
const USER_AGENT_CHARS: usize = 200;

/// The client of a login.
#[derive(Debug, Clone)]
pub struct LoginClient {
    /// The request id and the address.
    pub origin: Origin,
    /// The user agent.
    pub user_agent: Option<String>,
}

/// A new session.
#[allow(missing_debug_implementations)]
pub struct NewSession {
    /// The token, which is shown only once.
    pub token: Token,
    /// The user.
    pub user: UserId,
    /// The user's email address.
    pub email: Email,
    /// The user's name.
    pub name: Option<String>,
    /// The user's role.
    pub role: Role,
    /// The longest duration of the session, in seconds.
    pub seconds: i64,
}

/// A session that is not stored yet.
pub(super) struct PendingSession {
    pub id: SessionId,
    pub token: Token,
    hash: [u8; 32],
    created_at: Timestamp,
    expires_at: Timestamp,
    ip: Option<String>,
    user_agent: Option<String>,
}

impl PendingSession {
    /// Writes the rows of the session, and ends the oldest sessions above the limit.
    pub fn put(&self, tx: &mut Tx<'_>, user: UserId) -> Result<(), ReadError> {
        remove_expired(tx, self.created_at)?;
        let present = sessions_of(tx, user)?;
        let too_many = (present.len() + 1).saturating_sub(MAX_SESSIONS);
        for oldest in &present[..too_many] {
            end_session(tx, user, *oldest)?;
        }
        let row = SessionRow {
            user,
            hash: self.hash,
            created_at: self.created_at,
            expires_at: self.expires_at,
            ip: self.ip.clone(),
            user_agent: self.user_agent.clone(),
        };
        tx.put::<Sessions>(&self.id, &row);
        tx.put::<SessionHashes>(&self.hash, &self.id);
        tx.put::<UserSessions>(&(user, self.id), &());
        tx.put::<LastUses>(&Used::User(user), &self.created_at);
        Ok(())
    }

    /// Returns what the client receives.
    pub fn into_new_session(self, user: UserId, row: &UserRow) -> NewSession {
        NewSession {
            token: self.token,
            user,
            email: row.email.clone(),
            name: row.name.as_deref().map(str::to_owned),
            role: row.role,
            seconds: (self.expires_at.millis() - self.created_at.millis()) / 1000,
        }
    }
}

/// Removes a few expired sessions, oldest first.
fn remove_expired(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), ReadError> {
    let mut expired = Vec::new();
    let oldest = tx.scan::<Sessions>(&[], None).take(8 * MAX_SWEPT);
    for found in oldest.filter_map(only_readable) {
        let (id, row) = found?;
        if row.expires_at <= now && expired.len() < MAX_SWEPT {
            expired.push((row.user, id));
        }
    }
    expired.into_iter().try_for_each(|(user, id)| end_session(tx, user, id))
}

impl Access {
    /// Prepares a session for a client.
    pub(super) fn pending_session(
        &self,
        client: &LoginClient,
        now: Timestamp,
    ) -> Result<PendingSession, Error> {
        let token = Token::generate_as(TokenKind::Session, Random)?;
        let user_agent = client.user_agent.as_deref();
        Ok(PendingSession {
            id: SessionId::new(now, Random.bytes()?),
            hash: self.hasher.token(&token),
            token,
            created_at: now,
            expires_at: Timestamp::from_millis(now.millis() + self.settings.session_millis),
            ip: client.origin.ip.map(|ip| ip.to_string()),
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS).collect()),
        })
    }

    /// Starts a session. An unknown address costs the same as a wrong password and gets the same
    /// answer, and both leave a row in the audit log. The row contains the address only if it belongs
    /// to a user, because people type passwords into the wrong field.
    pub async fn login(
        &self,
        email: &str,
        password: Password,
        client: &LoginClient,
    ) -> Result<NewSession, Error> {
        let folded = folded_email(email);
        let account = self.hasher.account(&folded);
        let ip = client.origin.ip;
        let allowed = || self.failures.check(&account, ip, self.clock.now());
        allowed().map_err(Error::Limited)?;
        let slot = self.passwords.slot().await?;
        // Other attempts may have failed while this one waited.
        allowed().map_err(Error::Limited)?;
        let found = self.user_by_email(&folded)?;
        let enabled = found.as_ref().filter(|(_, row)| !row.disabled);
        let stored = enabled.map(|(_, row)| row.password.clone());
        let wrong = self.wrong_password(account, ip);
        let (check, slot) = self.passwords.verify(password, stored, slot, wrong).await?;
        let now = self.clock.now();
        drop(slot);
        let label = found.as_ref().map(|(id, row)| vault::user_label(*id, row));
        let draft = |actor| Draft::by(actor, Action::AuthLogin, &client.origin, now);
        let session = match (enabled, check) {
            (Some((id, row)), PasswordCheck::Right(renewed)) => {
                let passwords = (row.password.clone(), renewed);
                self.open_session(*id, passwords, client, now, draft).await
            }
            _ => Err(Error::WrongLogin),
        };
        match session {
            Ok(session) => {
                self.failures.forget(&account);
                Ok(session)
            }
            Err(Error::WrongLogin) => {
                let mut draft = draft(Actor::anonymous()).refused(RefusalCode::Unauthorized);
                if let Some(label) = label {
                    draft = draft.on(label.id, Some(&label.email));
                }
                self.record_refused(draft).await?;
                Err(Error::WrongLogin)
            }
            Err(error) => Err(error),
        }
    }

    async fn open_session(
        &self,
        user: UserId,
        (verified, renewed): (PasswordRow, Option<PasswordRow>),
        client: &LoginClient,
        now: Timestamp,
        draft: impl FnOnce(Actor) -> Draft,
    ) -> Result<NewSession, Error> {
        let pending = self.pending_session(client, now)?;
        let draft = draft(Actor::anonymous());
        let change = move |tx: &mut Tx<'_>| {
            // The password may have changed since it was checked.
            let row = tx.get::<Users>(&user)?;
            let row = row.filter(|row| !row.disabled && row.password == verified);
            let mut row = row.ok_or(Error::WrongLogin)?;
            if let Some(renewed) = renewed {
                row.password = renewed;
                tx.put::<Users>(&user, &row);
            }
            pending.put(tx, user)?;
            let mut draft = draft.on(pending.id, Some(row.email.as_str()));
            draft.actor = Actor::user(vault::user_label(user, &row));
            Ok::<_, Error>((pending.into_new_session(user, &row), draft))
        };
        self.store.change(change).commit().await.map_err(Error::from)
    }

    /// Looks up a user by the folded email address.
    pub(super) fn user_by_email(&self, folded: &str) -> Result<Option<(UserId, UserRow)>, Error> {
        // A text this long is not an address, so it is not looked up.
        if folded.len() > 4 * Email::MAX_BYTES {
            return Ok(None);
        }
        let Some(id) = self.store.get::<UserEmails>(&folded.to_owned())? else { return Ok(None) };
        match self.store.get::<Users>(&id) {
            // To the caller, the address does not belong to anybody.
            Err(damaged @ ReadError::Damaged { .. }) => {
                log::error!("{id}: {damaged}");
                Ok(None)
            }
            found => Ok(found?.map(|row| (id, row))),
        }
    }

    /// Ends the caller's own session.
    pub async fn logout(&self, permit: &Permit<Read>) -> Result<(), Error> {
        let principal = permit.principal();
        let (Some(id), Some(user)) = (principal.session_id(), principal.user_id()) else {
            return Err(Error::NotASession);
        };
        let draft = permit.draft(Action::AuthLogout, self.clock.now()).on(id, None);
        self.change(permit, move |tx| {
            end_session(tx, user, id)?;
            Ok(((), draft))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Lists a user's active sessions, newest first, each with whether it is the caller's own.
    pub fn list_sessions(
        &self,
        permit: &Permit<Own>,
        user: &str,
    ) -> Result<Vec<(SessionInfo, bool)>, Error> {
        let (user, _) = self.user(user)?;
        let now = self.clock.now();
        let mut listed = Vec::new();
        for id in sessions_of(&*self.store, user)?.into_iter().rev() {
            let Some(found) = skip_damaged(self.store.get::<Sessions>(&id)) else { continue };
            let Some(row) = found? else { continue };
            let last_used_at = self.last_used_at(id, &row)?;
            if row.expires_at <= now || self.is_idle(last_used_at, now) {
                continue;
            }
            let info = SessionInfo {
                id,
                created_at: row.created_at,
                last_used_at,
                expires_at: row.expires_at,
                ip: row.ip,
                user_agent: row.user_agent,
            };
            listed.push((info, permit.principal().session_id() == Some(id)));
        }
        Ok(listed)
    }

    /// Ends one session of a user, or all of them if `session` is `None`.
    pub async fn delete_sessions(
        &self,
        permit: &Permit<Own>,
        user: &str,
        session: Option<&str>,
    ) -> Result<(), Error> {
        let (user, row) = self.user(user)?;
        let missing = || vault::Error::NotFound(ResourceType::Session);
        let session: Option<SessionId> =
            session.map(|text| text.parse().map_err(|_| missing())).transpose()?;
        let draft = permit.draft(Action::SessionDelete, self.clock.now());
        let draft = match session {
            Some(id) => draft.on(id, Some(row.email.as_str())),
            None => draft.on(user, Some(row.email.as_str())),
        };
        self.change(permit, move |tx| {
            let ended = match session {
                None => end_sessions(tx, user)?,
                Some(id) if tx.has::<UserSessions>(&(user, id))? => {
                    end_session(tx, user, id)?;
                    1
                }
                Some(_) => return Err(missing().into()),
            };
            Ok(((), draft.details(&json!({ "endedSessions": ended, "userId": user }))))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Ends every credential of a user, and returns the numbers of sessions and tokens.
    pub(super) fn end_all(tx: &mut Tx<'_>, user: UserId) -> Result<(usize, usize), ReadError> {
        let sessions = end_sessions(tx, user)?;
        let tokens = end_tokens(tx, OwnerId::User(user), None)?;
        Ok((sessions, tokens))
    }
}
