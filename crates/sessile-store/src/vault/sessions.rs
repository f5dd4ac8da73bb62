//! Sessions through the vault.

use sessile_core::revocation::{Phase, Reason, Scope};
use sessile_core::rotation::{Generation, RotationState, SessionKey, SessionToken, Stored};
use sessile_core::session::{Facts, NewSession, Session};
use sessile_core::{Secret, SessionId, Subject, Timestamp};
use std::time::Duration;
use zeroize::Zeroizing;

use super::{Op, Vault};
use crate::contract::{Confirmation, Insertion, Revoked, RotateOutcome};
use crate::error::StoreError;
use crate::record::{MAX_MILLIS, SealedBlob, SealedSession};
use crate::seal::Purpose;

/// A session's record, opened: the session and the key its tokens are derived from.
#[derive(Clone, Debug)]
pub struct Kept {
    session: Session,
    key: SessionKey,
}

impl Kept {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

/// What became of a new session.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Taken apart where it is made; a box would buy nothing.
pub enum InsertOutcome {
    /// It is stored.
    Inserted {
        /// Its first session token.
        token: Stored<SessionToken>,
        /// The session as stored.
        session: Session,
        /// Sessions of the subject that had to make room.
        evicted: Vec<SessionId>,
    },
    /// Its id is in use; nothing was changed. Mint again.
    IdTaken,
}

/// What became of a rotation.
#[derive(Debug)]
pub enum Rotation {
    /// It happened.
    Rotated {
        /// The session after it.
        session: Session,
        /// The token of the new generation.
        token: Stored<SessionToken>,
    },
    /// Somebody else rotated first, or the session is over: judge what was presented again, against this.
    Superseded(Kept),
    /// The session has ended.
    Gone,
}

/// Part of a listing.
#[derive(Clone, Debug)]
pub struct SessionPage {
    /// Sessions in order of id, over or not.
    pub sessions: Vec<Session>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<SessionId>,
}

impl Vault {
    /// Stores a new session, ending the oldest ones of its subject beyond `cap`.
    pub async fn insert(&self, new: NewSession, cap: u32) -> Result<InsertOutcome, StoreError> {
        let session = storable(new.session);
        let sealed = self.seal_session(&session, &new.key)?;
        self.counters.note(Op::Insert);
        Ok(match self.backend()?.insert(sealed, cap).await? {
            Insertion::Inserted { evicted } => {
                let token = new.key.token(&*self.crypto, session.id, session.rotation.generation);
                InsertOutcome::Inserted { token: Stored::after_acknowledged_write(token), session, evicted }
            }
            Insertion::IdTaken => InsertOutcome::IdTaken,
        })
    }

    /// The record of a session.
    pub async fn load(&self, id: SessionId) -> Result<Option<Kept>, StoreError> {
        self.counters.note(Op::Load);
        self.backend()?.load(id).await?.map(|sealed| self.open_session(sealed)).transpose()
    }

    /// Whether `token` is genuine: derived from this session's key, for this session.
    pub fn is_genuine(&self, kept: &Kept, token: &SessionToken) -> bool {
        token.id() == kept.session.id && kept.key.made(&*self.crypto, token)
    }

    /// Advances the session by one generation from where `kept` saw it.
    pub async fn rotate(&self, kept: &Kept, now: Timestamp) -> Result<Rotation, StoreError> {
        self.counters.note(Op::Rotate);
        let before = &kept.session;
        Ok(match self.backend()?.rotate(before.id, before.rotation.generation, now).await? {
            RotateOutcome::Rotated(sealed) => {
                let Kept { session, key } = self.open_session(sealed)?;
                let token = key.token(&*self.crypto, session.id, session.rotation.generation);
                Rotation::Rotated { session, token: Stored::after_acknowledged_write(token) }
            }
            RotateOutcome::Superseded(sealed) => Rotation::Superseded(self.open_session(sealed)?),
            RotateOutcome::Gone => Rotation::Gone,
        })
    }

    /// The token of the generation `kept` was read with, once more: the answer to a token that may be kept or is
    /// within its grace. It was acknowledged before it could be read.
    pub fn resend(&self, kept: &Kept) -> Stored<SessionToken> {
        let token = kept.key.token(&*self.crypto, kept.session.id, kept.session.rotation.generation);
        Stored::after_acknowledged_write(token)
    }

    /// Proves that the session's record is there and not over by its own limits, and notes receipt of
    /// `generation`; `None` if it is gone. See [`Sessions::confirm`](crate::Sessions::confirm).
    ///
    /// A store that is being left notes nothing any more. There a receipt that was noted before is proof enough: nothing
    /// ends meanwhile.
    pub async fn confirm(
        &self,
        id: SessionId,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        self.counters.note(Op::Confirm);
        match self.backend()?.confirm(id, generation, now).await {
            Ok(Confirmation::Live(sealed)) => Ok(Some(self.open_session(sealed)?.session)),
            Ok(Confirmation::Gone) => Ok(None),
            Err(StoreError::NotServing(Phase::Moving)) => {
                let Some(record) = self.backend()?.load(id).await?.filter(|record| !record.is_over(now)) else {
                    return Ok(None);
                };
                if record.rotation.confirmed(generation, now) != record.rotation {
                    return Err(StoreError::NotServing(Phase::Moving));
                }
                Ok(Some(self.open_session(record)?.session))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Ends sessions. On return their ends are durable and in the feed.
    pub async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        self.counters.note(Op::Revoke);
        self.backend()?.revoke(scope, reason, now).await
    }

    /// Sessions of `subject`, or of everybody, after `after`. A record that does not open is left out and logged:
    /// it opens no door either, and must not hide the others.
    pub async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionPage, StoreError> {
        self.counters.note(Op::List);
        let records = self.backend()?.list(subject, after, limit).await?;
        let full = records.len() as u64 >= u64::from(limit);
        let next = records.last().map(|record| record.id).filter(|_| full);
        let open = |sealed: SealedSession| {
            let id = sealed.id;
            match self.open_session(sealed) {
                Ok(kept) => Some(kept.session),
                Err(fault) => {
                    tracing::error!(session = %id, %fault, "a session record does not open");
                    None
                }
            }
        };
        Ok(SessionPage { sessions: records.into_iter().filter_map(open).collect(), next })
    }

    /// Drops sessions that are over; see [`Sessions::sweep`](crate::Sessions::sweep) for what `now` to pass.
    pub async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.counters.note(Op::Sweep);
        self.backend()?.sweep(now, limit).await
    }

    /// How many session records there are.
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.counters.note(Op::Count);
        self.backend()?.count().await
    }

    fn seal_session(&self, session: &Session, key: &SessionKey) -> Result<SealedSession, StoreError> {
        let mut plaintext = Zeroizing::new(key.expose().to_vec());
        serde_json::to_writer(&mut *plaintext, &session.facts)
            .map_err(|fault| StoreError::Internal(format!("facts of a session: {fault}")))?;
        let mut record = SealedSession {
            id: session.id,
            subject: session.subject.clone(),
            storage: session.storage,
            remember: session.remember,
            created_at: session.created_at,
            authenticated_at: session.authenticated_at,
            last_seen_at: session.last_seen_at,
            absolute_end: session.absolute_end,
            idle: session.idle,
            rotation: session.rotation,
            client: session.client.clone(),
            sealed: SealedBlob::from_bytes(Vec::new()),
        };
        record.sealed = with_context(&record, |context| self.sealer.seal(Purpose::Session, context, &plaintext))?;
        Ok(record)
    }

    pub(super) fn open_session(&self, record: SealedSession) -> Result<Kept, StoreError> {
        let plaintext = with_context(&record, |context| self.sealer.open(Purpose::Session, context, &record.sealed))?;
        let unreadable =
            || StoreError::Corrupt(format!("session {} opens to something else than a session", record.id));
        let (key, facts) = plaintext.expose().split_first_chunk::<32>().ok_or_else(unreadable)?;
        let facts: Facts = serde_json::from_slice(facts).map_err(|_| unreadable())?;
        let session = Session {
            id: record.id,
            subject: record.subject,
            storage: record.storage,
            remember: record.remember,
            created_at: record.created_at,
            authenticated_at: record.authenticated_at,
            last_seen_at: record.last_seen_at,
            absolute_end: record.absolute_end,
            idle: record.idle,
            rotation: record.rotation,
            client: record.client,
            facts,
        };
        Ok(Kept { session, key: SessionKey::new(Secret::new(*key)) })
    }
}

// Every column that no verb changes: none of them can be edited, and the blob moved to no other record, without
// the seal breaking. What rotation moves is left out.
fn with_context<T>(record: &SealedSession, use_it: impl FnOnce(&[&[u8]]) -> T) -> T {
    let number = |at: u64| at.to_be_bytes();
    let client = &record.client;
    use_it(&[
        record.id.as_bytes(),
        record.subject.as_str().as_bytes(),
        record.storage.name().as_bytes(),
        &[u8::from(record.remember)],
        &number(record.created_at.as_millis()),
        &number(record.authenticated_at.as_millis()),
        &number(record.absolute_end.as_millis()),
        &number(whole_millis(record.idle)),
        client.browser.as_bytes(),
        client.platform.as_bytes(),
        client.language.as_bytes(),
        client.network.as_bytes(),
    ])
}

// What a backend's columns can hold (T4); later and longer are the same as never.
fn storable(session: Session) -> Session {
    let at = |moment: Timestamp| moment.min(Timestamp::from_millis(MAX_MILLIS));
    Session {
        created_at: at(session.created_at),
        authenticated_at: at(session.authenticated_at),
        last_seen_at: at(session.last_seen_at),
        absolute_end: at(session.absolute_end),
        idle: Duration::from_millis(whole_millis(session.idle)),
        rotation: RotationState {
            rotated_at: at(session.rotation.rotated_at),
            confirmed_at: session.rotation.confirmed_at.map(at),
            ..session.rotation
        },
        ..session
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(MAX_MILLIS).min(MAX_MILLIS)
}
