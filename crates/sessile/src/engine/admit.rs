//! From what a request presents to whether it may pass: token, view, record, renewal, in that order.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::cookie::CookieProblem;
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Reason, Scope, Standing};
use sessile_core::rotation::{Presentation, SessionToken, present};
use sessile_core::session::{Admitted, Decision, Life, Refusal, Session, evaluate};
use sessile_core::storage::{AccessTokenPlace, Liveness, Offer, Renewal};
use sessile_core::token::{AccessClaims, TokenRefused, VerifiedToken};
use sessile_core::{Moment, SecretStr, SessionId, Storage};
use sessile_store::StoreError;

use super::renew::{Purpose, Renewed};
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
    by: Proof,
    pub(super) renewed: Option<Box<Renewed>>,
}

impl Pass {
    pub(super) fn new(admitted: Admitted, by: Proof) -> Self {
        Self { admitted, by, renewed: None }
    }

    pub(super) fn renewed(admitted: Admitted, renewed: Renewed) -> Self {
        Self { admitted, by: Proof::SessionToken, renewed: Some(Box::new(renewed)) }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.admitted.session()
    }

    /// What of the request proved it.
    pub fn by(&self) -> Proof {
        self.by
    }

    /// Whether this request was given a fresh access token.
    pub fn is_renewed(&self) -> bool {
        self.renewed.is_some()
    }
}

/// What of a request proved its session. A browser attaches cookies to whatever any site makes it send; a bearer token
/// only the page's own script attaches, so it alone needs no proof against cross-site requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The access token, as a bearer token.
    Bearer,
    /// The access token, in its cookie.
    AccessCookie,
    /// The session token, in its cookie.
    SessionToken,
}

impl Proof {
    /// Where a storage must put its access token for this to be the proof.
    const fn place(self) -> AccessTokenPlace {
        match self {
            Self::Bearer => AccessTokenPlace::Body,
            Self::AccessCookie => AccessTokenPlace::Cookie,
            Self::SessionToken => AccessTokenPlace::Server,
        }
    }
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
    /// It carries nothing of ours that opens anything here.
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

pub(super) fn anonymous(why: WhyAnonymous) -> Admission {
    Admission::Anonymous(Anonymous { why })
}

enum ByToken {
    Pass(Admitted),
    PassAndRenew(Admitted),
    /// Its session keeps its token elsewhere on this route. Whether it lives is not judged yet.
    Convert(Arc<Warm>),
    No(WhyAnonymous),
    Unavailable(StoreError),
}

enum NotVerified {
    Refused(TokenRefused),
    CannotTell(StoreError),
}

/// Why a request is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// It is to pass: activity of its session.
    ToPass,
    /// To know whose it is: a status question, which extends nothing.
    ToKnow,
}

/// Clock skew between nodes that the view's coverage allows for.
const SKEW: Duration = Duration::from_secs(60);

impl Engine {
    /// Judges what a request presents to a route that offers `offer`. Renews the session where that is due and its
    /// storage renews by itself, and converts it where the route keeps its token elsewhere. Touches the store only for
    /// a token's first sight on this node, for renewal, when the view is stale, and for storage `database`.
    pub async fn admit(&self, arrival: &Arrival<'_>, offer: Offer) -> Admission {
        match self.odd_cookies(arrival) {
            Some(why) => anonymous(why),
            None => match self.elsewhere(arrival) {
                Some(error) => self.cannot_tell(error),
                None => self.judge(arrival, offer).await,
            },
        }
    }

    /// What [`PastStaleness::DangerServeUntilTokenExpiry`](crate::PastStaleness) lets through when the store was asked in
    /// vain: a verified, short-lived access token in its place, whose session is not known to have ended. Whether it has
    /// ended since, nobody here can tell.
    pub(crate) fn admit_unproven(&self, arrival: &Arrival<'_>, offer: Offer) -> Option<Pass> {
        if self.elsewhere(arrival).is_some() {
            return None;
        }
        let now = self.now();
        let presented = access_tokens(arrival, offer).filter_map(|(compact, proof)| {
            let token = self.verify_token(compact.expose()).ok()?;
            Some((Arc::new(token), proof))
        });
        let remembered = arrival.presented().session_token.as_ref().and_then(|token| self.remembered(token));
        let kept = remembered.map(|warm| (warm.token.clone(), Proof::SessionToken));
        let mut tokens = presented.chain(kept);
        tokens.find_map(|(token, proof)| {
            let claims = token.claims();
            let shape = claims.storage.shape();
            let in_place =
                offer.place_of(claims.storage) == Some(claims.storage) && shape.access_token == proof.place();
            if !in_place || shape.renewal == Renewal::Never || self.view().has_ended(claims.session) {
                return None;
            }
            match evaluate(token, Standing::Live, Duration::ZERO, now.wall) {
                Decision::Admit(admitted) | Decision::AdmitAndRenew(admitted) => {
                    match self.unmixed(admitted, proof, arrival) {
                        Admission::Admitted(pass) => Some(pass),
                        Admission::Anonymous(_) | Admission::Unavailable(_) => None,
                    }
                }
                Decision::Refuse(_) | Decision::AskStore => None,
            }
        })
    }

    /// As [`admit`](Self::admit), but changes nothing and takes a session token for a proof by itself: for questions
    /// about the session, which never extend it.
    pub async fn peek(&self, arrival: &Arrival<'_>, offer: Offer) -> Admission {
        if let Some(why) = self.odd_cookies(arrival) {
            return anonymous(why);
        }
        if let Some(error) = self.elsewhere(arrival) {
            return self.cannot_tell(error);
        }
        let mut why = without_tokens(arrival);
        for (access, proof) in access_tokens(arrival, offer) {
            let verdict = match self.by_access_token(access, proof, offer, Asking::ToKnow, arrival).await {
                ByToken::Convert(warm) => self.judge_warm(&warm).await,
                verdict => verdict,
            };
            match verdict {
                ByToken::Pass(admitted) | ByToken::PassAndRenew(admitted) => {
                    return self.unmixed(admitted, proof, arrival);
                }
                ByToken::No(reason) => why = reason,
                ByToken::Convert(_) => why = WhyAnonymous::WrongPlace,
                ByToken::Unavailable(error) => return self.cannot_tell(error),
            }
        }
        match &arrival.presented().session_token {
            Some(token) => self.recognise(token, offer, arrival).await,
            None => anonymous(why),
        }
    }

    // Past a move of the sessions, or before its end, another store knows who is signed in, whatever this node remembers.
    fn elsewhere(&self, arrival: &Arrival<'_>) -> Option<StoreError> {
        let phase = self.0.vault.phase();
        let presents = arrival.presented().any || !matches!(arrival.bearer(), Bearer::None);
        (presents && !phase.answers()).then_some(StoreError::NotServing(phase))
    }

    // Two values under one name are refused; a value we cannot have written is absent, and the other one counts.
    fn odd_cookies(&self, arrival: &Arrival<'_>) -> Option<WhyAnonymous> {
        match arrival.presented().problem {
            None => None,
            Some(CookieProblem::Duplicate) => {
                self.note(EventName::CookieTossing, WhyAnonymous::CookieTossing.code(), arrival, None);
                Some(WhyAnonymous::CookieTossing)
            }
            Some(CookieProblem::Malformed) => {
                self.note(EventName::TokenForged, "cookie_malformed", arrival, None);
                None
            }
        }
    }

    async fn judge(&self, arrival: &Arrival<'_>, offer: Offer) -> Admission {
        let session_token = arrival.presented().session_token.as_ref();
        if self.is_misplaced_bearer(arrival, offer) {
            self.note(EventName::AuthzFail, WhyAnonymous::WrongPlace.code(), arrival, None);
            return anonymous(WhyAnonymous::WrongPlace);
        }
        let mut why = without_tokens(arrival);
        for (access, proof) in access_tokens(arrival, offer) {
            match self.by_access_token(access, proof, offer, Asking::ToPass, arrival).await {
                ByToken::Pass(admitted) => return self.unmixed(admitted, proof, arrival),
                ByToken::PassAndRenew(admitted) => {
                    let pass = match self.unmixed(admitted, proof, arrival) {
                        Admission::Admitted(pass) => pass,
                        mixed => return mixed,
                    };
                    let renews = pass.admitted.claims().storage.shape().renewal == Renewal::Transparent;
                    // The token still opens the door: a store that is away only postpones the renewal.
                    return match session_token.filter(|_| renews) {
                        Some(token) => match self.renew(token, offer, Purpose::Pass, arrival).await {
                            Admission::Unavailable(_) => Admission::Admitted(pass),
                            renewed @ (Admission::Admitted(_) | Admission::Anonymous(_)) => renewed,
                        },
                        None => Admission::Admitted(pass),
                    };
                }
                ByToken::Convert(warm) => match session_token {
                    // Such a token lives as long as its session: whoever holds it gains nothing by the conversion.
                    None if warm.token.claims().storage.shape().renewal == Renewal::Never => {
                        return self.convert(&warm, offer).await;
                    }
                    None => why = WhyAnonymous::WrongPlace,
                    Some(token) if token.id() != warm.token.claims().session => return self.mixed(arrival),
                    Some(_) => break,
                },
                // Somebody else's bearer token: the cookies decide.
                ByToken::No(WhyAnonymous::Forged) if proof == Proof::Bearer => why = WhyAnonymous::Forged,
                // Ours, and dead: whoever attached it is to learn that, whatever cookies came along.
                ByToken::No(reason) if proof == Proof::Bearer => return anonymous(reason),
                ByToken::No(reason) => why = reason,
                ByToken::Unavailable(error) => return self.cannot_tell(error),
            }
        }
        match session_token {
            Some(token) if offer.takes_session_tokens() => self.by_session_token(token, offer, arrival).await,
            Some(_) | None => anonymous(why),
        }
    }

    // A token that belongs into a cookie, in the hands of a script. Beside cookies of ours a bearer is simply not ours
    // to read where no storage puts it.
    fn is_misplaced_bearer(&self, arrival: &Arrival<'_>, offer: Offer) -> bool {
        let presented = arrival.presented();
        let bare = presented.access_token.is_none() && presented.session_token.is_none();
        match arrival.bearer() {
            Bearer::One(token) if bare && !offer.takes_bearers() => self.verify_token(token.expose()).is_ok(),
            Bearer::One(_) | Bearer::None | Bearer::Ambiguous => false,
        }
    }

    // Two sessions' credentials in one request were not set by us together.
    fn unmixed(&self, admitted: Admitted, proof: Proof, arrival: &Arrival<'_>) -> Admission {
        let session_token = arrival.presented().session_token.as_ref();
        if session_token.is_some_and(|token| token.id() != admitted.session()) {
            return self.mixed(arrival);
        }
        Admission::Admitted(Pass::new(admitted, proof))
    }

    fn mixed(&self, arrival: &Arrival<'_>) -> Admission {
        self.note(EventName::TokenForged, "mixed_sessions", arrival, None);
        anonymous(WhyAnonymous::Forged)
    }

    pub(super) fn cannot_tell(&self, error: StoreError) -> Admission {
        Metrics::add(&self.metrics().unavailable);
        Admission::Unavailable(error)
    }

    async fn by_access_token(
        &self,
        compact: SecretStr<'_>,
        proof: Proof,
        offer: Offer,
        asking: Asking,
        arrival: &Arrival<'_>,
    ) -> ByToken {
        let now = self.now();
        let digest = self.0.crypto.sha256(compact.expose().as_bytes());
        let known = self.0.warm.get(&digest, self.0.ring.load().version, now.mono);
        let was_warm = known.is_some();
        let warm = match known {
            Some(warm) => warm,
            None => match self.verify_at_first_sight(compact, digest, now).await {
                Ok(warm) => warm,
                Err(NotVerified::Refused(refused)) => return ByToken::No(self.note_refused(&refused, arrival)),
                Err(NotVerified::CannotTell(error)) => return ByToken::Unavailable(error),
            },
        };
        let claimed = warm.token.claims().storage;
        // A token counts only where its storage puts it.
        let place = offer.place_of(claimed).filter(|_| claimed.shape().access_token == proof.place());
        match place {
            None => {
                self.note(EventName::AuthzFail, WhyAnonymous::WrongPlace.code(), arrival, Some(&warm.token));
                return ByToken::No(WhyAnonymous::WrongPlace);
            }
            Some(place) if place != claimed => return ByToken::Convert(warm),
            Some(_) => {}
        }
        let verdict = self.judge_warm(&warm).await;
        if matches!(verdict, ByToken::Pass(_) | ByToken::PassAndRenew(_)) {
            Metrics::add(if was_warm { &self.metrics().admitted_warm } else { &self.metrics().admitted_cold });
            if asking == Asking::ToPass {
                self.note_use(&warm);
            }
        }
        verdict
    }

    async fn verify_at_first_sight(
        &self,
        compact: SecretStr<'_>,
        digest: [u8; 32],
        now: Moment,
    ) -> Result<Arc<Warm>, NotVerified> {
        let mut looked = false;
        loop {
            let ring = self.0.ring.load_full();
            match ring.ring.verify(compact.expose(), &self.0.expected, now.wall) {
                Ok(token) => return Ok(self.0.warm.insert(digest, Arc::new(token), ring.version, now)),
                Err(TokenRefused::KeyUnknown) if !looked => {
                    looked = true;
                    match self.look_for_keys().await {
                        Ok(()) => {}
                        // A key begins to sign long after it is published, or in an emergency: within T a node that knows
                        // its keys knows this one, or it is somebody else's token beside a cookie of ours.
                        Err(_) if self.knows_the_keys() => {}
                        Err(error) => return Err(NotVerified::CannotTell(error)),
                    }
                }
                Err(refused) => return Err(NotVerified::Refused(refused)),
            }
        }
    }

    async fn by_session_token(&self, token: &SessionToken, offer: Offer, arrival: &Arrival<'_>) -> Admission {
        if offer.takes(Storage::ServerSession)
            && let Some(warm) = self.remembered(token)
        {
            match self.judge_warm(&warm).await {
                ByToken::Pass(admitted) => {
                    Metrics::add(&self.metrics().admitted_warm);
                    return Admission::Admitted(Pass::new(admitted, Proof::SessionToken));
                }
                ByToken::PassAndRenew(admitted) => {
                    return match self.renew(token, offer, Purpose::Pass, arrival).await {
                        Admission::Unavailable(_) => Admission::Admitted(Pass::new(admitted, Proof::SessionToken)),
                        renewed @ (Admission::Admitted(_) | Admission::Anonymous(_)) => renewed,
                    };
                }
                ByToken::No(WhyAnonymous::Expired) | ByToken::Convert(_) => {}
                ByToken::No(reason) => return anonymous(reason),
                ByToken::Unavailable(error) => return self.cannot_tell(error),
            }
        }
        self.renew(token, offer, Purpose::Pass, arrival).await
    }

    async fn judge_warm(&self, warm: &Arc<Warm>) -> ByToken {
        match warm.token.claims().storage.shape().liveness {
            Liveness::View | Liveness::Record => self.judge_by_view(warm).await,
            Liveness::TokenRow => self.judge_by_row(warm).await,
        }
    }

    async fn judge_by_view(&self, warm: &Arc<Warm>) -> ByToken {
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
            // Receipt unconfirmed, or the record not yet seen: one operation tells both.
            Decision::Admit(_) | Decision::AdmitAndRenew(_) | Decision::AskStore => {}
        }
        let proved = self.prove(claims, now).await;
        // The store may have taken its time: everything else is judged as of now.
        let now = self.now();
        let standing = match proved {
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
                let standing = self.view().standing(claims.session, warm.seen(), self.limits().staleness, now.mono);
                match standing {
                    Standing::Ended | Standing::Live => standing,
                    Standing::Unknown if self.view_covers(claims, now) => Standing::Live,
                    Standing::Unknown => return ByToken::Unavailable(error),
                }
            }
        };
        self.verdict(warm, standing, now)
    }

    // That the session's record is there. A session that renews is told by it that its newest generation has arrived.
    async fn prove(&self, claims: &AccessClaims, now: Moment) -> Result<Option<Session>, StoreError> {
        match claims.storage.shape().renewal {
            Renewal::Transparent | Renewal::ByClient => {
                self.0.vault.confirm(claims.session, claims.generation, now.wall).await
            }
            Renewal::Never => {
                let kept = self.0.vault.load(claims.session).await?;
                Ok(kept.map(|kept| kept.session().clone()))
            }
        }
    }

    // The view forgets that a session ended once no token of its time can be warm any more; of older tokens it knows
    // nothing.
    fn view_covers(&self, claims: &AccessClaims, now: Moment) -> bool {
        let young = now.wall.since(claims.issued_at) <= self.limits().access;
        young && self.view().covers(claims.issued_at, SKEW, self.limits().staleness, now.mono)
    }

    // Storage `database`: the row is read each time, and its absence is the revocation.
    async fn judge_by_row(&self, warm: &Arc<Warm>) -> ByToken {
        let claims = warm.token.claims();
        let standing = match self.0.vault.find_token(claims.token_id).await {
            Ok(Some((row, kept))) if row.session == claims.session => {
                match kept.session().life(self.limits(), self.now().wall) {
                    Life::LiveUntil(_) => Standing::Live,
                    Life::IdleTimeout | Life::AbsoluteTimeout => return ByToken::No(WhyAnonymous::Expired),
                }
            }
            Ok(Some(_) | None) => Standing::Ended,
            Err(error) => return ByToken::Unavailable(error),
        };
        self.verdict(warm, standing, self.now())
    }

    /// Notes that a request passed, for a session that never renews: nothing else tells that it is in use. Once for each
    /// time its record is seen, or with each request where its token's row is read with each.
    pub(super) fn note_use(&self, warm: &Warm) {
        let claims = warm.token.claims();
        let shape = claims.storage.shape();
        let (due, token) = match (shape.renewal, shape.liveness) {
            (Renewal::Transparent | Renewal::ByClient, _) => (false, None),
            (Renewal::Never, Liveness::TokenRow) => (true, Some(claims.token_id)),
            (Renewal::Never, Liveness::View | Liveness::Record) => (warm.is_first_use(), None),
        };
        if due {
            self.0.uses.note(claims.session, token, self.now().wall);
        }
    }

    fn verdict(&self, warm: &Arc<Warm>, standing: Standing, now: Moment) -> ByToken {
        match evaluate(warm.token.clone(), standing, self.limits().renew_ahead(), now.wall) {
            Decision::Admit(admitted) => ByToken::Pass(admitted),
            Decision::AdmitAndRenew(admitted) => ByToken::PassAndRenew(admitted),
            Decision::Refuse(refusal) => ByToken::No(refusal.into()),
            Decision::AskStore => ByToken::No(WhyAnonymous::Ended),
        }
    }

    // Whose session a session token proves, without renewing it.
    async fn recognise(&self, token: &SessionToken, offer: Offer, arrival: &Arrival<'_>) -> Admission {
        let now = self.now();
        let kept = match self.0.vault.load(token.id()).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return anonymous(WhyAnonymous::Ended),
            Err(error) => return self.cannot_tell(error),
        };
        if !self.0.vault.is_genuine(&kept, token) {
            self.note(EventName::TokenForged, "session_token", arrival, None);
            return anonymous(WhyAnonymous::Forged);
        }
        if offer.place_of(kept.session().storage).is_none() {
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
                    .unwrap_or_else(|error| self.cannot_tell(error));
            }
            Presentation::FromTheFuture => return anonymous(WhyAnonymous::Ended),
        }
        // The token minted here serves this decision alone: it is not sent.
        match self.mint_again(kept.session()) {
            Ok(None) => anonymous(WhyAnonymous::Expired),
            Ok(Some(access)) => match evaluate(access, Standing::Live, Duration::ZERO, now.wall) {
                Decision::Admit(admitted) | Decision::AdmitAndRenew(admitted) => {
                    Admission::Admitted(Pass::new(admitted, Proof::SessionToken))
                }
                Decision::Refuse(_) | Decision::AskStore => anonymous(WhyAnonymous::Expired),
            },
            Err(error) => Admission::Unavailable(error),
        }
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

impl From<Refusal> for WhyAnonymous {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired => Self::Expired,
            Refusal::SessionEnded => Self::Ended,
        }
    }
}

/// Why a request is nobody's if none of its tokens opens anything: something came under our names that is no token, or
/// nothing that is good here.
fn without_tokens(arrival: &Arrival<'_>) -> WhyAnonymous {
    let presented = arrival.presented();
    let unreadable = presented.any && presented.session_token.is_none() && presented.access_token.is_none();
    if unreadable { WhyAnonymous::Forged } else { WhyAnonymous::NoCredentials }
}

/// The access tokens a request presents, the one that counts first. A bearer token goes before the cookie: the client
/// attached it on purpose.
fn access_tokens<'a>(arrival: &Arrival<'a>, offer: Offer) -> impl Iterator<Item = (SecretStr<'a>, Proof)> {
    let bearer = match arrival.bearer() {
        Bearer::One(token) if offer.takes_bearers() => Some((token, Proof::Bearer)),
        Bearer::One(_) | Bearer::None | Bearer::Ambiguous => None,
    };
    let cookie = arrival.presented().access_token.map(|token| (token, Proof::AccessCookie));
    bearer.into_iter().chain(cookie)
}
