//! Sessions: logging in, logging out, listing and ending.

use serde_json::json;

use crate::audit::{Action, Actor, Draft, RefusalCode, ResourceType};
use crate::domain::{
    Email, Origin, OwnerId, Role, SessionId, SessionInfo, Timestamp, UserId, folded_email,
};
use crate::store::{
    LastUses, PasswordRow, ReadError, SessionHashes, SessionRow, Sessions, Tx, Used, UserEmails,
    UserRow, UserSessions, Users, View,
};
use crate::vault::{self, Own, Permit, Random, Read};

use crate::access::Access;
use crate::access::error::Error;
use crate::access::password::Password;
use crate::access::password::Verified;
use crate::access::revocation::{end_session, end_sessions, sessions_of};
use crate::access::token::Token;
use crate::access::token::TokenKind;

/// Most sessions of one user; a further login ends the oldest.
const MOST_SESSIONS: usize = 100;
/// How many outlived sessions one login takes with it.
const SWEEP: usize = 8;
/// How much of what a client says it is is kept, in characters.
const USER_AGENT_CHARS: usize = 200;

/// Where a login comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// The request and its address.
    pub origin: Origin,
    /// What the client says it is.
    pub user_agent: Option<String>,
}

/// A session that has just begun.
#[allow(missing_debug_implementations)]
pub struct NewSession {
    /// Its token, shown this once.
    pub token: Token,
    /// Its user.
    pub user: UserId,
    /// The user's address.
    pub email: Email,
    /// The user's name.
    pub name: Option<String>,
    /// The user's role.
    pub role: Role,
    /// How long it lasts at the most, in seconds.
    pub seconds: i64,
}

/// A session on its way into the database.
pub(super) struct Opening {
    pub id: SessionId,
    pub token: Token,
    hash: [u8; 32],
    created_at: Timestamp,
    expires_at: Timestamp,
    ip: Option<String>,
    user_agent: Option<String>,
}

impl Opening {
    /// Writes its rows, and ends sessions that there is no room for.
    pub fn put(&self, tx: &mut Tx<'_>, user: UserId) -> Result<(), ReadError> {
        sweep(tx, self.created_at)?;
        let present = sessions_of(tx, user)?;
        let too_many = (present.len() + 1).saturating_sub(MOST_SESSIONS);
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

    /// What the client is told.
    pub fn told(self, user: UserId, row: &UserRow) -> NewSession {
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

/// Removes a few sessions that have outlived their time, the oldest first.
fn sweep(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), ReadError> {
    let mut outlived = Vec::new();
    for found in tx.scan::<Sessions>(&[], None).take(8 * SWEEP) {
        match found {
            Ok((id, row)) if row.expires_at <= now && outlived.len() < SWEEP => {
                outlived.push((row.user, id));
            }
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    outlived.into_iter().try_for_each(|(user, id)| end_session(tx, user, id))
}

impl Access {
    pub(super) fn opening(&self, client: &Client, now: Timestamp) -> Result<Opening, Error> {
        let token = Token::generate_as(TokenKind::Session, Random)?;
        let user_agent = client.user_agent.as_deref();
        Ok(Opening {
            id: SessionId::new(now, Random.bytes()?),
            hash: self.hasher.token(&token),
            token,
            created_at: now,
            expires_at: Timestamp::from_millis(now.millis() + self.settings.session_millis),
            ip: client.origin.ip.map(|ip| ip.to_string()),
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS).collect()),
        })
    }

    /// Begins a session. An unknown address costs what a wrong password costs
    /// and gets the same answer, and both leave a row in the audit log; the
    /// address that was typed is not in it unless there is such a user, because
    /// people type passwords into the wrong field.
    pub async fn login(
        &self,
        email: &str,
        password: Password,
        client: &Client,
    ) -> Result<NewSession, Error> {
        let folded = folded_email(email);
        let account = self.hasher.account(&folded);
        let ip = client.origin.ip;
        let allowed = || self.failures.check(&account, ip, self.clock.now());
        allowed().map_err(Error::Limited)?;
        let turn = self.passwords.turn().await?;
        // Others may have failed while this one waited.
        allowed().map_err(Error::Limited)?;
        let found = self.user_by_email(&folded)?;
        let enabled = found.as_ref().filter(|(_, row)| !row.disabled);
        let stored = enabled.map(|(_, row)| row.password.clone());
        let wrong = self.wrong_password(account, ip);
        let (verified, turn) = self.passwords.verify(password, stored, turn, wrong).await?;
        let now = self.clock.now();
        drop(turn);
        let label = found.as_ref().map(|(id, row)| vault::label(*id, row));
        let draft = |actor| Draft::by(actor, Action::AuthLogin, &client.origin, now);
        let opened = match (enabled, verified) {
            (Some((id, row)), Verified::Right(renewed)) => {
                let passwords = (row.password.clone(), renewed);
                self.open_session(*id, passwords, client, now, draft).await
            }
            _ => Err(Error::WrongLogin),
        };
        match opened {
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
        client: &Client,
        now: Timestamp,
        draft: impl FnOnce(Actor) -> Draft,
    ) -> Result<NewSession, Error> {
        let opening = self.opening(client, now)?;
        let draft = draft(Actor::anonymous());
        let change = move |tx: &mut Tx<'_>| {
            // The password may have been changed since it was checked.
            let row = tx.get::<Users>(&user)?;
            let row = row.filter(|row| !row.disabled && row.password == verified);
            let mut row = row.ok_or(Error::WrongLogin)?;
            if let Some(renewed) = renewed {
                row.password = renewed;
                tx.put::<Users>(&user, &row);
            }
            opening.put(tx, user)?;
            let mut draft = draft.on(opening.id, Some(row.email.as_str()));
            draft.actor = Actor::user(vault::label(user, &row));
            Ok::<_, Error>((opening.told(user, &row), draft))
        };
        self.store.change(change).commit().await.map_err(Error::from)
    }

    pub(super) fn user_by_email(&self, folded: &str) -> Result<Option<(UserId, UserRow)>, Error> {
        // Nothing that long is an address; it is not looked for.
        if folded.len() > 4 * Email::MAX_BYTES {
            return Ok(None);
        }
        let Some(id) = self.store.get::<UserEmails>(&folded.to_owned())? else { return Ok(None) };
        match self.store.get::<Users>(&id) {
            // To whoever asks, it is nobody's.
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

    /// A user's sessions, newest first, without those that have ended by
    /// themselves; and whether one is the caller's own.
    pub fn list_sessions(
        &self,
        permit: &Permit<Own>,
        user: &str,
    ) -> Result<Vec<(SessionInfo, bool)>, Error> {
        let (user, _) = self.user(user)?;
        let now = self.clock.now();
        let mut listed = Vec::new();
        for id in sessions_of(&*self.store, user)?.into_iter().rev() {
            let row = match self.store.get::<Sessions>(&id) {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let seen = self.uses.last(&self.store, Used::Session(id))?.unwrap_or(row.created_at);
            let idle = now.millis().saturating_sub(seen.millis());
            if row.expires_at <= now || idle >= self.settings.session_idle_millis {
                continue;
            }
            let info = SessionInfo {
                id,
                created_at: row.created_at,
                last_used_at: seen,
                expires_at: row.expires_at,
                ip: row.ip,
                user_agent: row.user_agent,
            };
            listed.push((info, permit.principal().session_id() == Some(id)));
        }
        Ok(listed)
    }

    /// Ends one session of a user, or all of them.
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

    /// Ends every credential of a user; how many sessions and tokens.
    pub(super) fn end_all(tx: &mut Tx<'_>, user: UserId) -> Result<(usize, usize), ReadError> {
        let sessions = end_sessions(tx, user)?;
        let tokens = crate::access::revocation::end_tokens(tx, OwnerId::User(user), None)?;
        Ok((sessions, tokens))
    }
}
