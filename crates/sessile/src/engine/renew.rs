//! Renewal and conversion: a fresh access token for a live session, where this route keeps it.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::cookie::{self, SetCookie};
use sessile_core::crypto::EntropyFailure;
use sessile_core::event::EventName;
use sessile_core::revocation::{Lineage, Reason, Scope, Standing};
use sessile_core::rotation::{Presentation, SessionToken, Stored, present};
use sessile_core::session::{Decision, Life, Session, evaluate};
use sessile_core::storage::{AccessTokenPlace, Liveness, Offer, Renewal};
use sessile_core::token::VerifiedToken;
use sessile_core::{Storage, Timestamp};
use sessile_store::{Kept, Rotation, StoreError, TokenAddition, WriteOutcome};

use super::Engine;
use super::admit::{Admission, Pass, WhyAnonymous, anonymous};
use super::warm::Warm;
use crate::arrival::Arrival;
use crate::metrics::Metrics;

/// What a session token is presented for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To pass with a request.
    Pass,
    /// To have a new access token.
    Refresh,
}

/// A session that was just given an access token.
#[derive(Debug)]
pub(super) struct Renewed {
    /// The session, with the storage it has on this route.
    session: Session,
    token: Stored<SessionToken>,
    access: Arc<VerifiedToken>,
    resend: Resend,
    /// Whether it began in another storage, whose cookies the browser may still hold.
    moved: bool,
}

/// Whether the browser may lack the session token: after a rotation, in a grace and after a conversion, not for a
/// token that it has just presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resend {
    Yes,
    No,
}

/// Lost rotation races in a row before giving up; each means that another request made progress.
const ROTATION_TRIES: usize = 8;

impl Engine {
    /// Renews a session: rules 1 to 4 of product.md section 3.
    pub(crate) async fn renew(
        &self,
        token: &SessionToken,
        offer: Offer,
        purpose: Purpose,
        arrival: &Arrival<'_>,
    ) -> Admission {
        self.try_renew(token, offer, purpose, arrival).await.unwrap_or_else(|error| self.cannot_tell(error))
    }

    async fn try_renew(
        &self,
        token: &SessionToken,
        offer: Offer,
        purpose: Purpose,
        arrival: &Arrival<'_>,
    ) -> Result<Admission, StoreError> {
        // What the token means is judged as of its arrival, however often the race for the write is lost, but not
        // at all once it has waited for long: two rotations may have passed meanwhile, and an honest request would
        // look like a thief's (the model checker found this). Half of G leaves the other half for a slow write.
        let arrival_moment = arrival.at().unwrap_or_else(|| self.now());
        let arrived = arrival_moment.wall;
        let lineage = {
            let view = self.view();
            if view.has_ended(token.id()) {
                return Ok(anonymous(WhyAnonymous::Ended));
            }
            view.lineage()
        };
        let Some(mut kept) = self.0.vault.load(token.id()).await? else {
            return Ok(anonymous(WhyAnonymous::Ended));
        };
        if !self.0.vault.is_genuine(&kept, token) {
            self.note(EventName::TokenForged, "session_token", arrival, None);
            return Ok(anonymous(WhyAnonymous::Forged));
        }
        let Some(place) = offer.place_of(kept.session().storage) else {
            return Ok(anonymous(WhyAnonymous::WrongPlace));
        };
        match (place.shape().renewal, purpose) {
            // A cookie that any site can make the browser send must not open what a bearer token is for.
            (Renewal::ByClient, Purpose::Pass) => return Ok(anonymous(WhyAnonymous::NoCredentials)),
            (Renewal::ByClient, Purpose::Refresh) | (Renewal::Transparent | Renewal::Never, _) => {}
        }
        for _ in 0..ROTATION_TRIES {
            if self.now().mono.since(arrival_moment.mono) >= self.limits().grace / 2 {
                return Err(waited_too_long());
            }
            match kept.session().life(self.limits(), self.now().wall) {
                Life::LiveUntil(_) => {}
                Life::IdleTimeout | Life::AbsoluteTimeout => {
                    self.note_session(EventName::SessionExpired, "timeout", kept.session(), arrival);
                    return Ok(anonymous(WhyAnonymous::Expired));
                }
            }
            let presentation = present(&kept.session().rotation, token.generation(), self.limits().grace, arrived);
            match presentation {
                Presentation::Rotate if self.rotates(place, kept.session(), arrived) => {
                    match self.0.vault.rotate(&kept, self.now().wall).await? {
                        Rotation::Rotated { session, token: next } => {
                            Metrics::add(&self.metrics().rotations);
                            self.note_session(EventName::SessionRenewed, "rotated", &session, arrival);
                            self.forget(token);
                            return self.admit_renewed(session, place, next, Resend::Yes, lineage).await;
                        }
                        Rotation::Superseded(current) => kept = current,
                        Rotation::Gone => return Ok(anonymous(WhyAnonymous::Ended)),
                    }
                }
                Presentation::Rotate | Presentation::Keep => {
                    let Some(session) = self.0.vault.confirm(token.id(), token.generation(), arrived).await? else {
                        return Ok(anonymous(WhyAnonymous::Ended));
                    };
                    if session.rotation.generation != token.generation() {
                        // Rotated since it was read: judge again, by what it is now.
                        let Some(current) = self.0.vault.load(token.id()).await? else {
                            return Ok(anonymous(WhyAnonymous::Ended));
                        };
                        kept = current;
                        continue;
                    }
                    Metrics::add(&self.metrics().resends);
                    let token = self.0.vault.resend(&kept);
                    return self.admit_renewed(session, place, token, Resend::No, lineage).await;
                }
                Presentation::Grace => {
                    Metrics::add(&self.metrics().resends);
                    let token = self.0.vault.resend(&kept);
                    return self.admit_renewed(kept.session().clone(), place, token, Resend::Yes, lineage).await;
                }
                Presentation::Reuse => {
                    Metrics::add(&self.metrics().reuse_detected);
                    return self.end_stolen(&kept, Reason::Reuse, EventName::TokenReuse, arrival).await;
                }
                Presentation::FromTheFuture => {
                    return self.end_stolen(&kept, Reason::StoreRegressed, EventName::StoreRegressed, arrival).await;
                }
            }
        }
        Err(waited_too_long())
    }

    pub(super) async fn end_stolen(
        &self,
        kept: &Kept,
        reason: Reason,
        name: EventName,
        arrival: &Arrival<'_>,
    ) -> Result<Admission, StoreError> {
        let now = self.now();
        // Dead before the reply (I5).
        let revoked = self.0.vault.revoke(&Scope::Session(kept.session().id), reason, now.wall).await?;
        self.note_ended(&revoked.ended, reason);
        self.note_session(name, reason.name(), kept.session(), arrival);
        Ok(anonymous(WhyAnonymous::Ended))
    }

    // Storages without renewal keep their generation; a session that is looked up on each node it comes to, without an
    // access token in the browser, rotates when its access token would have ended.
    fn rotates(&self, place: Storage, session: &Session, now: Timestamp) -> bool {
        let shape = place.shape();
        match shape.renewal {
            Renewal::Never => false,
            Renewal::ByClient => true,
            Renewal::Transparent => match shape.access_token {
                AccessTokenPlace::Server => {
                    let shortest = self.limits().shortest_access().saturating_sub(self.limits().renew_ahead());
                    now >= session.rotation.rotated_at.plus(shortest)
                }
                AccessTokenPlace::Cookie | AccessTokenPlace::Body => true,
            },
        }
    }

    /// Moves a session whose long-lived access token proves it to where this route keeps its token: a deployment was
    /// switched to another storage, and nobody is signed out for it.
    pub(super) async fn convert(&self, warm: &Warm, offer: Offer) -> Admission {
        self.try_convert(warm, offer).await.unwrap_or_else(|error| self.cannot_tell(error))
    }

    async fn try_convert(&self, warm: &Warm, offer: Offer) -> Result<Admission, StoreError> {
        let claims = warm.token.claims();
        let lineage = {
            let view = self.view();
            if view.has_ended(claims.session) {
                return Ok(anonymous(WhyAnonymous::Ended));
            }
            view.lineage()
        };
        let kept = match claims.storage.shape().liveness {
            Liveness::TokenRow => {
                let found = self.0.vault.find_token(claims.token_id).await?;
                found.filter(|(row, _)| row.session == claims.session).map(|(_, kept)| kept)
            }
            Liveness::View | Liveness::Record => self.0.vault.load(claims.session).await?,
        };
        let (Some(kept), Some(place)) = (kept, offer.place_of(claims.storage)) else {
            return Ok(anonymous(WhyAnonymous::Ended));
        };
        match kept.session().life(self.limits(), self.now().wall) {
            Life::LiveUntil(_) => {}
            Life::IdleTimeout | Life::AbsoluteTimeout => return Ok(anonymous(WhyAnonymous::Expired)),
        }
        let token = self.0.vault.resend(&kept);
        self.admit_renewed(kept.session().clone(), place, token, Resend::Yes, lineage).await
    }

    /// Admits with a fresh access token of the storage `place`.
    async fn admit_renewed(
        &self,
        session: Session,
        place: Storage,
        token: Stored<SessionToken>,
        resend: Resend,
        lineage: Lineage,
    ) -> Result<Admission, StoreError> {
        // The session as it is here: its record says where it began.
        let moved = session.storage != place;
        let session = Session { storage: place, ..session };
        let Some(access) = self.mint_again(&session)? else {
            return Ok(anonymous(WhyAnonymous::Expired));
        };
        if let Some(why) = self.register(&access).await? {
            return Ok(anonymous(why));
        }
        let warm = match place.shape().access_token {
            AccessTokenPlace::Server => self.remember_for(token.get(), access.clone(), lineage),
            AccessTokenPlace::Cookie | AccessTokenPlace::Body => self.remember(access.clone(), lineage),
        };
        // Its generation was just presented, and the store told so.
        if resend == Resend::No {
            warm.set_confirmed();
        }
        self.note_use(&warm);
        let now = self.now();
        let standing = if self.view().has_ended(session.id) { Standing::Ended } else { Standing::Live };
        Ok(match evaluate(warm.token.clone(), standing, Duration::ZERO, now.wall) {
            Decision::Admit(admitted) | Decision::AdmitAndRenew(admitted) => {
                Admission::Admitted(Pass::renewed(admitted, Renewed { session, token, access, resend, moved }))
            }
            Decision::Refuse(refusal) => anonymous(refusal.into()),
            Decision::AskStore => anonymous(WhyAnonymous::Ended),
        })
    }

    /// Gives the token a row, where its storage keeps one. The answer is why it opens nothing, if it does not.
    pub(super) async fn register(&self, access: &VerifiedToken) -> Result<Option<WhyAnonymous>, StoreError> {
        match access.claims().storage.shape().liveness {
            Liveness::View | Liveness::Record => return Ok(None),
            Liveness::TokenRow => {}
        }
        match self.0.vault.add_token(access.claims()).await? {
            TokenAddition::Added => Ok(None),
            TokenAddition::Gone => Ok(Some(WhyAnonymous::Ended)),
            // 128 random bits met an existing id: the generator is broken.
            TokenAddition::IdTaken => Err(EntropyFailure.into()),
        }
    }

    /// Keeps a token this node has just signed. `lineage` is the view's from before the store acknowledged the
    /// session, so that a revocation in between is not missed.
    pub(crate) fn remember(&self, token: Arc<VerifiedToken>, lineage: Lineage) -> Arc<Warm> {
        let digest = self.0.crypto.sha256(token.compact().expose().as_bytes());
        self.remember_under(digest, token, lineage)
    }

    /// As [`remember`](Self::remember), for an access token that stays on the server: it is found by the session token
    /// that proved its session.
    pub(crate) fn remember_for(&self, proof: &SessionToken, token: Arc<VerifiedToken>, lineage: Lineage) -> Arc<Warm> {
        self.remember_under(self.digest_of(proof), token, lineage)
    }

    fn remember_under(&self, digest: [u8; 32], token: Arc<VerifiedToken>, lineage: Lineage) -> Arc<Warm> {
        let (ring, now) = (self.0.ring.load(), self.now());
        // A key revoked since it signed this leaves the token cold: no ring has the number zero.
        let version = if ring.ring.still_verifies(token.key_id(), now.wall) { ring.version } else { 0 };
        let warm = self.0.warm.insert(digest, token, version, now);
        warm.saw_record(lineage);
        warm
    }

    /// The access token that this node keeps for a session token.
    pub(super) fn remembered(&self, proof: &SessionToken) -> Option<Arc<Warm>> {
        self.0.warm.get(&self.digest_of(proof), self.0.ring.load().version, self.now().mono)
    }

    // What a superseded session token proves is asked of the store again.
    fn forget(&self, proof: &SessionToken) {
        self.0.warm.remove(&self.digest_of(proof));
    }

    fn digest_of(&self, proof: &SessionToken) -> [u8; 32] {
        self.0.crypto.sha256(proof.to_text().expose().as_bytes())
    }

    /// The cookies for a response, decided now, when it leaves (rule 4): none if the session has ended since,
    /// none if a newer generation may be on its way to the browser.
    pub async fn cookies_for_response(&self, pass: &Pass) -> Vec<SetCookie> {
        let Some(renewed) = &pass.renewed else { return Vec::new() };
        let id = renewed.session.id;
        if self.view().has_ended(id) {
            return Vec::new();
        }
        // At most one rotation happens per G, so a young generation is still the newest anywhere.
        let now = self.now();
        let alone = now.wall < renewed.session.rotation.alone_until(self.limits());
        if !alone || !self.view().is_fresh(self.limits().staleness, now.mono) {
            let newest = match self.0.vault.load(id).await {
                Ok(kept) => kept.map(|kept| kept.session().rotation.generation),
                Err(_) => None,
            };
            if newest != Some(renewed.session.rotation.generation) {
                Metrics::add(&self.metrics().cookies_withheld);
                return Vec::new();
            }
        }
        // The session token first: nginx before 1.23 hands on the first of several cookies in forward-auth.
        let mut cookies = Vec::with_capacity(2);
        if renewed.moved {
            cookies.extend(cookie::clear_unused(&self.0.config.cookie, renewed.session.storage));
        }
        if renewed.session.storage.shape().session_token && renewed.resend == Resend::Yes {
            cookies.push(self.session_cookie(&renewed.session, &renewed.token));
        }
        if renewed.session.storage.shape().access_token == AccessTokenPlace::Cookie
            && let Ok(cookie) = self.access_cookie(&renewed.session, &renewed.access, &renewed.token)
        {
            cookies.push(cookie);
        }
        cookies
    }

    pub(crate) fn access_cookie(
        &self,
        session: &Session,
        access: &Arc<VerifiedToken>,
        proof: &Stored<SessionToken>,
    ) -> Result<SetCookie, cookie::TooLarge> {
        let lifetime = session.remember.then(|| session.absolute_end(self.limits()).since(self.now().wall));
        debug_assert_eq!(proof.get().id(), access.claims().session, "an access token follows its session's token");
        cookie::issue_access(&self.0.config.cookie, access, lifetime)
    }
}

fn waited_too_long() -> StoreError {
    StoreError::Unavailable { why: "a renewal took longer than the grace".to_owned(), outcome: WriteOutcome::NotDone }
}
