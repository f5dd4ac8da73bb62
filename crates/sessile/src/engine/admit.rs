//! From what a request presents to whether it may pass: token, view, record, renewal, in that order.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::cookie::{self, CookieProblem, SetCookie};
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Lineage, Reason, Scope, Standing};
use sessile_core::rotation::{Presentation, SessionToken, Stored, present};
use sessile_core::session::{Admitted, Decision, Life, Refusal, Session, evaluate};
use sessile_core::storage::{AccessTokenPlace, Renewal};
use sessile_core::token::{TokenRefused, VerifiedToken};
use sessile_core::{SecretText, SessionId, Storage};
use sessile_store::{Kept, Rotation, StoreError, WriteOutcome};

use super::warm::Warm;
use super::{Actor, Engine};
use crate::arrival::{Arrival, Bearer};
use crate::metrics::{Family, Metrics};

/// The verdict on what a request presents.
#[derive(Debug)]
pub enum Admission {
    /// A live session's request.
    Admitted(Pass),
    /// Nobody's, as far as we are concerned.
    Anonymous(Anonymous),
    /// The store must be asked and does not answer. Never 401, never a deleted cookie (P3).
    Unavailable(StoreError),
}

/// A live session's request, and the cookies it may be answered with.
#[derive(Debug)]
pub struct Pass {
    /// Proof that it may be forwarded.
    pub admitted: Admitted,
    renewed: Option<Box<Renewed>>,
}

impl Pass {
    /// The session.
    pub fn session(&self) -> SessionId {
        self.admitted.session()
    }

    /// Whether this request was given a fresh access token.
    pub fn is_renewed(&self) -> bool {
        self.renewed.is_some()
    }
}

#[derive(Debug)]
struct Renewed {
    session: Session,
    token: Stored<SessionToken>,
    access: Arc<VerifiedToken>,
    /// Whether the browser may lack the session token: after a rotation and in a grace, not for a young token
    /// that it has just presented.
    resend: bool,
}

/// A request without a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// Why.
    pub why: WhyAnonymous,
}

/// Why a request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyAnonymous {
    /// It carries nothing of ours.
    NoCredentials,
    /// The session has passed its idle or absolute timeout.
    Expired,
    /// The session has ended.
    Ended,
    /// What it carries is not ours, or not intact.
    Forged,
    /// Two cookies under one of our names.
    CookieTossing,
    /// A token of another storage than the route's.
    WrongPlace,
}

impl WhyAnonymous {
    /// The reason code in logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Forged => "forged",
            Self::CookieTossing => "cookie_duplicate",
            Self::WrongPlace => "wrong_place",
        }
    }

    /// Whether the browser is told to drop its cookies. Only where keeping them locks the user out: the answer
    /// to an old request must not delete the cookies of a sign-in that happened meanwhile.
    pub const fn clears_cookies(self) -> bool {
        match self {
            Self::NoCredentials | Self::WrongPlace | Self::Expired | Self::Ended | Self::Forged => false,
            Self::CookieTossing => true,
        }
    }
}

fn anonymous(why: WhyAnonymous) -> Admission {
    Admission::Anonymous(Anonymous { why })
}

enum ByToken {
    Pass(Admitted),
    PassAndRenew(Admitted),
    No(WhyAnonymous),
    Unavailable(StoreError),
}

/// Clock skew between nodes that the view's coverage allows for.
const SKEW: Duration = Duration::from_secs(60);
/// Lost rotation races in a row before giving up; each means that another request made progress.
const ROTATION_TRIES: usize = 8;

impl Engine {
    /// Judges what a request presents to a route of `storage`, renewing the session where that is due and the
    /// storage renews by itself. Touches the store only for a token's first sight on this node, for renewal,
    /// or when the view is stale.
    pub async fn admit(&self, arrival: &Arrival<'_>, storage: Storage) -> Admission {
        self.judge(arrival, storage, true).await
    }

    /// As [`admit`](Self::admit), but changes nothing: for status questions, which never extend a session.
    pub async fn peek(&self, arrival: &Arrival<'_>, storage: Storage) -> Admission {
        self.judge(arrival, storage, false).await
    }

    async fn judge(&self, arrival: &Arrival<'_>, storage: Storage, renew: bool) -> Admission {
        let shape = storage.shape();
        let presented = arrival.presented();
        match presented.problem {
            None => {}
            Some(CookieProblem::Duplicate) => {
                self.note(EventName::CookieTossing, WhyAnonymous::CookieTossing.code(), arrival, None);
                return anonymous(WhyAnonymous::CookieTossing);
            }
            // That token is absent; the other one counts.
            Some(CookieProblem::Malformed) => self.note(EventName::TokenForged, "cookie_malformed", arrival, None),
        }
        let access = match shape.access_token {
            AccessTokenPlace::Cookie => {
                if let Bearer::One(token) = arrival.bearer()
                    && presented.access_token.is_none()
                    && presented.session_token.is_none()
                    && self.verify_token(token.expose()).is_ok()
                {
                    self.note(EventName::AuthzFail, WhyAnonymous::WrongPlace.code(), arrival, None);
                    return anonymous(WhyAnonymous::WrongPlace);
                }
                presented.access_token.clone()
            }
            AccessTokenPlace::Body => match arrival.bearer() {
                Bearer::One(token) => Some(token),
                Bearer::None | Bearer::Ambiguous => None,
            },
            AccessTokenPlace::Server => None,
        };
        let session_token = presented.session_token.as_ref();
        let of_another = |admitted: &Admitted| session_token.is_some_and(|token| token.id() != admitted.session());
        let may_renew = renew && shape.renewal == Renewal::Transparent;

        let mut why = if presented.any { WhyAnonymous::Forged } else { WhyAnonymous::NoCredentials };
        if let Some(access) = access {
            match self.admit_by_access_token(&access, storage, arrival).await {
                // Two sessions' cookies in one request were not set by us together.
                ByToken::Pass(admitted) | ByToken::PassAndRenew(admitted) if of_another(&admitted) => {
                    self.note(EventName::TokenForged, "mixed_sessions", arrival, None);
                    return anonymous(WhyAnonymous::Forged);
                }
                ByToken::Pass(admitted) => return Admission::Admitted(Pass { admitted, renewed: None }),
                ByToken::PassAndRenew(admitted) => {
                    // The token still opens the door: a store that is away only postpones the renewal.
                    return match session_token.filter(|_| may_renew) {
                        Some(token) => match self.renew(token, storage, arrival).await {
                            Admission::Unavailable(_) => Admission::Admitted(Pass { admitted, renewed: None }),
                            renewed @ (Admission::Admitted(_) | Admission::Anonymous(_)) => renewed,
                        },
                        None => Admission::Admitted(Pass { admitted, renewed: None }),
                    };
                }
                ByToken::No(reason) => why = reason,
                ByToken::Unavailable(error) => {
                    Metrics::add(&self.metrics().unavailable);
                    return Admission::Unavailable(error);
                }
            }
        }
        match session_token {
            Some(token) if may_renew => self.renew(token, storage, arrival).await,
            Some(token) if shape.access_token == AccessTokenPlace::Cookie => {
                self.recognise(token, storage, arrival).await
            }
            _ => anonymous(why),
        }
    }

    async fn admit_by_access_token(&self, compact: &SecretText, storage: Storage, arrival: &Arrival<'_>) -> ByToken {
        let now = self.now();
        let digest = self.0.crypto.sha256(compact.expose().as_bytes());
        let ring = self.0.ring.load();
        let (warm, was_warm) = match self.0.warm.get(&digest, ring.version, now.mono) {
            Some(warm) => (warm, true),
            None => match ring.ring.verify(compact.expose(), &self.0.expected, now.wall) {
                Ok(token) => (self.0.warm.insert(digest, Arc::new(token), ring.version, now), false),
                Err(refused) => return ByToken::No(self.note_refused(&refused, arrival)),
            },
        };
        drop(ring);
        if warm.token.claims().storage != storage {
            self.note(EventName::AuthzFail, WhyAnonymous::WrongPlace.code(), arrival, Some(&warm.token));
            return ByToken::No(WhyAnonymous::WrongPlace);
        }
        let verdict = self.judge_warm(&warm).await;
        if matches!(verdict, ByToken::Pass(_) | ByToken::PassAndRenew(_)) {
            Metrics::add(if was_warm { &self.metrics().admitted_warm } else { &self.metrics().admitted_cold });
        }
        verdict
    }

    async fn judge_warm(&self, warm: &Arc<Warm>) -> ByToken {
        let now = self.now();
        let claims = warm.token.claims();
        let (standing, lineage) = {
            let view = self.view();
            (view.standing(claims.session, warm.seen(), self.limits().staleness, now.mono), view.lineage())
        };
        match evaluate(warm.token.clone(), standing, self.limits().renew_ahead(), now.wall) {
            Decision::Refuse(refusal) => return ByToken::No(refusal.into()),
            Decision::Admit(admitted) if warm.is_confirmed() => return ByToken::Pass(admitted),
            Decision::AdmitAndRenew(admitted) if warm.is_confirmed() => return ByToken::PassAndRenew(admitted),
            // Receipt unconfirmed, or the record not yet seen: one conditional write tells both.
            Decision::Admit(_) | Decision::AdmitAndRenew(_) | Decision::AskStore => {}
        }
        let confirmed = self.0.vault.confirm(claims.session, claims.generation, now.wall).await;
        // The store may have taken its time: everything else is judged as of now.
        let now = self.now();
        let standing = match confirmed {
            Ok(Some(session)) => match session.life(self.limits(), now.wall) {
                Life::LiveUntil(_) => {
                    warm.set_confirmed();
                    warm.saw_record(lineage);
                    // A revocation may have reached the view while the store answered.
                    if self.view().has_ended(claims.session) { Standing::Ended } else { Standing::Live }
                }
                Life::IdleTimeout | Life::AbsoluteTimeout => return ByToken::No(WhyAnonymous::Expired),
            },
            Ok(None) => Standing::Ended,
            Err(error) => {
                let view = self.view();
                let staleness = self.limits().staleness;
                match view.standing(claims.session, warm.seen(), staleness, now.mono) {
                    Standing::Ended => Standing::Ended,
                    Standing::Live => Standing::Live,
                    Standing::Unknown if view.covers(claims.issued_at, SKEW, staleness, now.mono) => Standing::Live,
                    Standing::Unknown => return ByToken::Unavailable(error),
                }
            }
        };
        match evaluate(warm.token.clone(), standing, self.limits().renew_ahead(), now.wall) {
            Decision::Admit(admitted) => ByToken::Pass(admitted),
            Decision::AdmitAndRenew(admitted) => ByToken::PassAndRenew(admitted),
            Decision::Refuse(refusal) => ByToken::No(refusal.into()),
            Decision::AskStore => ByToken::No(WhyAnonymous::Ended),
        }
    }

    /// Renews a session: rules 1 to 4 of product.md section 3.
    pub(crate) async fn renew(&self, token: &SessionToken, storage: Storage, arrival: &Arrival<'_>) -> Admission {
        match self.try_renew(token, storage, arrival).await {
            Ok(admission) => admission,
            Err(error) => {
                Metrics::add(&self.metrics().unavailable);
                Admission::Unavailable(error)
            }
        }
    }

    async fn try_renew(
        &self,
        token: &SessionToken,
        storage: Storage,
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
        if kept.session().storage != storage {
            return Ok(anonymous(WhyAnonymous::WrongPlace));
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
            match present(&kept.session().rotation, token.generation(), self.limits().grace, arrived) {
                Presentation::Rotate => match self.0.vault.rotate(&kept, self.now().wall).await? {
                    Rotation::Rotated { session, token } => {
                        Metrics::add(&self.metrics().rotations);
                        self.note_session(EventName::SessionRenewed, "rotated", &session, arrival);
                        return self.admit_renewed(session, token, true, lineage);
                    }
                    Rotation::Superseded(current) => kept = current,
                    Rotation::Gone => return Ok(anonymous(WhyAnonymous::Ended)),
                },
                Presentation::Keep => {
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
                    return self.admit_renewed(session, token, false, lineage);
                }
                Presentation::Grace => {
                    Metrics::add(&self.metrics().resends);
                    let token = self.0.vault.resend(&kept);
                    return self.admit_renewed(kept.session().clone(), token, true, lineage);
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

    async fn end_stolen(
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

    fn admit_renewed(
        &self,
        session: Session,
        token: Stored<SessionToken>,
        resend: bool,
        lineage: Lineage,
    ) -> Result<Admission, StoreError> {
        let Some(access) = self.mint_again(&session)? else {
            return Ok(anonymous(WhyAnonymous::Expired));
        };
        let warm = self.remember(access.clone(), lineage);
        let now = self.now();
        let standing = if self.view().has_ended(session.id) { Standing::Ended } else { Standing::Live };
        Ok(match evaluate(warm.token.clone(), standing, Duration::ZERO, now.wall) {
            Decision::Admit(admitted) | Decision::AdmitAndRenew(admitted) => Admission::Admitted(Pass {
                admitted,
                renewed: Some(Box::new(Renewed { session, token, access, resend })),
            }),
            Decision::Refuse(refusal) => anonymous(refusal.into()),
            Decision::AskStore => anonymous(WhyAnonymous::Ended),
        })
    }

    /// Keeps a token this node has just signed. `lineage` is the view's from before the store acknowledged the
    /// session, so that a revocation in between is not missed.
    pub(crate) fn remember(&self, token: Arc<VerifiedToken>, lineage: Lineage) -> Arc<Warm> {
        let digest = self.0.crypto.sha256(token.compact().expose().as_bytes());
        let (ring, now) = (self.0.ring.load(), self.now());
        // A key revoked since it signed this leaves the token cold: no ring has the number zero.
        let version = if ring.ring.still_verifies(token.key_id(), now.wall) { ring.version } else { 0 };
        let warm = self.0.warm.insert(digest, token, version, now);
        warm.saw_record(lineage);
        warm
    }

    // Whose session a session token proves, without renewing it.
    async fn recognise(&self, token: &SessionToken, storage: Storage, arrival: &Arrival<'_>) -> Admission {
        let lineage = self.view().lineage();
        let now = self.now();
        let kept = match self.0.vault.load(token.id()).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return anonymous(WhyAnonymous::Ended),
            Err(error) => return Admission::Unavailable(error),
        };
        if !self.0.vault.is_genuine(&kept, token) {
            self.note(EventName::TokenForged, "session_token", arrival, None);
            return anonymous(WhyAnonymous::Forged);
        }
        if kept.session().storage != storage {
            return anonymous(WhyAnonymous::WrongPlace);
        }
        match kept.session().life(self.limits(), now.wall) {
            Life::LiveUntil(_) => {}
            Life::IdleTimeout | Life::AbsoluteTimeout => return anonymous(WhyAnonymous::Expired),
        }
        match present(&kept.session().rotation, token.generation(), self.limits().grace, now.wall) {
            Presentation::Rotate | Presentation::Keep | Presentation::Grace => {}
            Presentation::Reuse => {
                return self
                    .end_stolen(&kept, Reason::Reuse, EventName::TokenReuse, arrival)
                    .await
                    .unwrap_or_else(Admission::Unavailable);
            }
            Presentation::FromTheFuture => return anonymous(WhyAnonymous::Ended),
        }
        // The token minted here serves this decision alone: it is not sent.
        match self.mint_again(kept.session()) {
            Ok(None) => anonymous(WhyAnonymous::Expired),
            Ok(Some(access)) => {
                let warm = self.remember(access, lineage);
                match evaluate(warm.token.clone(), Standing::Live, Duration::ZERO, now.wall) {
                    Decision::Admit(admitted) | Decision::AdmitAndRenew(admitted) => {
                        Admission::Admitted(Pass { admitted, renewed: None })
                    }
                    Decision::Refuse(_) | Decision::AskStore => anonymous(WhyAnonymous::Expired),
                }
            }
            Err(error) => Admission::Unavailable(error),
        }
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
        if renewed.resend {
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

    fn note_refused(&self, refused: &TokenRefused, arrival: &Arrival<'_>) -> WhyAnonymous {
        self.metrics().count(Family::TokenRefused, refused.code());
        if matches!(refused, TokenRefused::Expired { .. }) {
            return WhyAnonymous::Expired;
        }
        self.note(EventName::TokenForged, refused.code(), arrival, None);
        WhyAnonymous::Forged
    }

    pub(crate) fn note(
        &self,
        name: EventName,
        reason: &'static str,
        arrival: &Arrival<'_>,
        token: Option<&VerifiedToken>,
    ) {
        let mut event =
            Event::new(name, reason, self.now().wall).client(arrival.client().clone()).request(arrival.request_id());
        if let Some(token) = token {
            event = event.session(token.claims().session).subject(token.claims().subject.clone());
        }
        self.record(event);
    }

    pub(crate) fn note_session(&self, name: EventName, reason: &'static str, session: &Session, arrival: &Arrival<'_>) {
        self.record(
            Event::new(name, reason, self.now().wall)
                .session(session.id)
                .subject(session.subject.clone())
                .client(arrival.client().clone())
                .request(arrival.request_id()),
        );
    }

    /// Ends a session on behalf of the rules.
    pub(crate) async fn end_by_rule(&self, id: SessionId, reason: Reason) -> Result<(), super::EngineError> {
        self.revoke(&Scope::Session(id), reason, &Actor::Rules).await.map(drop)
    }
}

fn waited_too_long() -> StoreError {
    StoreError::Unavailable { why: "a renewal took longer than the grace".to_owned(), outcome: WriteOutcome::NotDone }
}

impl From<Refusal> for WhyAnonymous {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired => Self::Expired,
            Refusal::SessionEnded => Self::Ended,
        }
    }
}
