//! The only asynchronous orchestration: what core decides, the store does, in this order.

mod admit;
mod keys;
mod renew;
mod sign_in;
mod tokens;
mod uses;
mod warm;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use sessile_core::cookie::{self, SetCookie};
use sessile_core::cors::CorsConfig;
use sessile_core::crypto::{Crypto, Entropy};
use sessile_core::csrf::{self, CsrfBinding, CsrfMode, CsrfVerdict};
use sessile_core::event::{Event, EventName};
use sessile_core::fault::Weight;
use sessile_core::policy::Limits;
use sessile_core::revocation::{Phase, Reason, Scope, View};
use sessile_core::rotation::Stored;
use sessile_core::session::{Life, Session};
use sessile_core::token::{Expected, KeyRing};
use sessile_core::{Moment, Secret, SessionId, Subject};
use sessile_store::{StoreError, Vault};
use thiserror::Error;
use tokio::sync::mpsc;

pub use admit::{Admission, Anonymous, Pass, Proof, WhyAnonymous};
pub use keys::{JwksDocument, KeyChange};
pub use sign_in::{SignInError, SignedIn, Which};
pub use tokens::Introspection;

pub(crate) use renew::Purpose;

use crate::arrival::Arrival;
use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::fields::FieldPolicy;
use crate::metrics::{Family, Metrics};
use crate::password::HashingPool;
use crate::sharing;
use crate::streams::{StreamEnd, StreamGuard, Streams};
use crate::surface::ReportGate;
use uses::Uses;
use warm::WarmTokens;

/// Sessile's engine: one per process, cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) crypto: Arc<dyn Crypto>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) view: RwLock<View>,
    pub(crate) ring: ArcSwap<keys::Ring>,
    pub(crate) warm: WarmTokens,
    pub(crate) uses: Uses,
    pub(crate) streams: Streams,
    pub(crate) metrics: Metrics,
    pub(crate) hashing: HashingPool,
    pub(crate) report_gate: ReportGate,
    pub(crate) expected: Expected,
    /// Who may read what the surface answers.
    pub(crate) surface_cors: Option<CorsConfig>,
    pub(crate) own_headers: FieldPolicy,
    csrf_key: Secret<32>,
    /// Pages are applied in the order they were asked for.
    pub(crate) feed: tokio::sync::Mutex<()>,
    pub(crate) key_turn: tokio::sync::Mutex<()>,
    /// When the keys were last read for a token whose key this node does not know.
    pub(crate) keys_asked: std::sync::Mutex<Option<sessile_core::Monotonic>>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) event_queue: std::sync::Mutex<Option<mpsc::Receiver<Event>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("origin", &self.config.public_origin).finish_non_exhaustive()
    }
}

/// The engine could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store failed.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A signing key could not be made or loaded.
    #[error("the signing keys cannot be used: {0}")]
    Keys(String),
    /// The configuration contradicts itself.
    #[error("the engine's configuration is unusable: {0}")]
    Config(String),
}

/// An order could not be carried out.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The store failed; nothing was acknowledged.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A signing key could not be made or loaded.
    #[error("the signing keys cannot be used: {0}")]
    Keys(String),
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error,
            EngineError::Keys(why) => Self::not_done(why),
        }
    }
}

/// Who gave an order, for the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The signed-in user.
    User(Subject),
    /// The application, by header or API.
    App,
    /// An administrator, by API or command line.
    Administrator,
    /// Sessile itself, by its rules.
    Rules,
}

/// Whether this node may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// How long ago the view was complete.
    pub feed_age: Option<std::time::Duration>,
    /// The view is within the staleness bound.
    pub feed_fresh: bool,
    /// There is a key to sign with.
    pub keys: bool,
    /// Whether the store answers for its sessions, or they are elsewhere.
    pub phase: Phase,
}

impl Readiness {
    /// Whether every part is in order.
    pub fn is_ready(&self) -> bool {
        self.feed_fresh && self.keys && self.phase.answers()
    }
}

const EVENT_QUEUE: usize = 4096;
/// Far above the cap of sessions per subject.
const SESSIONS_PER_PAGE: u32 = 10_000;

impl Engine {
    /// Prepares an engine on a vault. [`run`](Self::run) must run beside it. If the vault still waits for its store, call
    /// [`take_up_store`](Self::take_up_store) once that is adopted; until then what needs the store is answered with 503.
    pub async fn start(vault: Arc<Vault>, config: EngineConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let mut faults = config.cookie.validate();
        faults.extend(config.csrf.validate());
        if let Some(fault) = faults.iter().find(|fault| fault.weight == Weight::Stop) {
            return Err(StartError::Config(fault.to_string()));
        }
        if config.keys.publish_ahead <= keys::published_late(&config.limits) {
            return Err(StartError::Config(
                "keys.publish_ahead must be longer than session.staleness by more than a second: raise the first or lower the second".into(),
            ));
        }
        let crypto = sessile_aws_lc::provider();
        let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
        let engine = Self(Arc::new(Inner {
            expected: Expected {
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
                leeway: std::time::Duration::ZERO,
                longest_token: config.longest_renewed(),
                // Not what is configured now: a shortened limit ends a session by its record, and calls no token forged.
                longest_unrenewed: cookie::MAX_LIFETIME,
            },
            surface_cors: sharing::of_surface(&config),
            own_headers: config.own_headers.clone().into(),
            csrf_key: vault.derive("csrf"),
            ring: ArcSwap::from_pointee(keys::Ring::empty(&*crypto, &config)?),
            warm: WarmTokens::new(
                config.cache_tokens,
                config.limits.access.saturating_sub(config.limits.renew_ahead()),
            ),
            uses: Uses::default(),
            hashing: HashingPool::new(&config.passwords),
            report_gate: ReportGate::default(),
            entropy: sessile_aws_lc::entropy(),
            view: RwLock::new(View::new()),
            streams: Streams::default(),
            metrics: Metrics::default(),
            event_queue: std::sync::Mutex::new(Some(event_queue)),
            crypto,
            feed: tokio::sync::Mutex::new(()),
            key_turn: tokio::sync::Mutex::new(()),
            keys_asked: std::sync::Mutex::new(None),
            events,
            vault,
            clock,
            config,
        }));
        if engine.0.vault.is_open() {
            engine.take_up_store().await.map_err(|e| match e {
                EngineError::Store(e) => StartError::Store(e),
                EngineError::Keys(why) => StartError::Keys(why),
            })?;
        }
        Ok(engine)
    }

    /// Begins to use a store that was adopted: sees to the signing keys, and says so if it had lost acknowledged writes.
    /// An error may be met by calling again.
    pub async fn take_up_store(&self) -> Result<(), EngineError> {
        self.ensure_keys().await?;
        if self.0.vault.lost_history().is_some() {
            self.record(Event::new(EventName::StoreRegressed, Reason::StoreRegressed.name(), self.now().wall));
        }
        Ok(())
    }

    /// What it was told at start.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    /// The store, opened.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The open streams.
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// The primitives in use.
    pub fn crypto(&self) -> &dyn Crypto {
        &*self.0.crypto
    }

    /// The entropy in use.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    /// The pool that hashes passwords.
    pub fn hashing(&self) -> &HashingPool {
        &self.0.hashing
    }

    /// Whether this node may serve.
    pub fn ready(&self) -> Readiness {
        let now = self.now().mono;
        let view = self.view();
        Readiness {
            feed_age: view.age(now),
            feed_fresh: view.is_fresh(self.limits().staleness, now),
            keys: self.0.ring.load().can_sign(),
            phase: self.0.vault.phase(),
        }
    }

    /// Registers a stream of an admitted session. It is told to close when the session ends, also when that
    /// happened since the session was admitted.
    pub fn open_stream(&self, pass: &Pass) -> StreamGuard {
        let guard = self.0.streams.open(pass.session());
        if self.view().has_ended(pass.session()) {
            self.0.streams.end(pass.session(), StreamEnd::Ended(Reason::SignOut));
        }
        guard
    }

    /// Ends what `scope` names. When this returns `Ok`, the store has acknowledged it in its durability
    /// class and this node refuses the sessions already; every other node does within T.
    pub async fn revoke(&self, scope: &Scope, reason: Reason, by: &Actor) -> Result<Vec<SessionId>, EngineError> {
        let now = self.now();
        let revoked = self.0.vault.revoke(scope, reason, now.wall).await?;
        self.note_ended(&revoked.ended, reason);
        // What an earlier, unacknowledged try has already ended is in the feed alone.
        if self.view().position() < revoked.seq
            && let Err(error) = self.catch_up().await
        {
            tracing::warn!(%error, "a revocation is stored; this node learns of it within the staleness bound");
        }
        if *scope == Scope::All {
            self.0.streams.end_all(StreamEnd::Ended(reason));
            self.view_mut().forget_everything();
        }
        for id in &revoked.ended {
            let event = Event::new(EventName::SessionEnded, reason.name(), now.wall).session(*id);
            self.record(match by {
                Actor::User(subject) => event.subject(subject.clone()),
                Actor::App | Actor::Administrator | Actor::Rules => event,
            });
        }
        if *by == Actor::Administrator {
            let event = Event::new(EventName::AuthzAdmin, "sessions_revoked", now.wall);
            self.record(match scope {
                Scope::Session(id) => event.session(*id),
                Scope::Subject(subject) | Scope::SubjectExcept(subject, _) => event.subject(subject.clone()),
                Scope::All => event,
            });
        }
        Ok(revoked.ended)
    }

    pub(crate) fn note_ended(&self, ended: &[SessionId], reason: Reason) {
        let now = self.now().mono;
        let keep = self.0.config.longest_trust();
        {
            let mut view = self.view_mut();
            for id in ended {
                view.end(*id, keep, now);
            }
        }
        for id in ended {
            self.0.streams.end(*id, StreamEnd::Ended(reason));
        }
        self.metrics().count_by(Family::SessionsEnded, reason.name(), ended.len() as u64);
    }

    /// Begins a new history. The next page tells this node, like every other, that the old one is lost.
    pub(crate) async fn store_regressed(&self) -> Result<(), StoreError> {
        let now = self.now().wall;
        self.0.vault.restart_history(Reason::StoreRegressed, now).await?;
        self.view_mut().forget_everything();
        Ok(())
    }

    /// The live sessions of a subject, oldest first. Sessions past their timeout are left out.
    pub async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, EngineError> {
        let now = self.now().wall;
        let page = self.0.vault.list(Some(subject), None, SESSIONS_PER_PAGE).await?;
        Ok(page.sessions.into_iter().filter(|s| matches!(s.life(self.limits(), now), Life::LiveUntil(_))).collect())
    }

    /// One live session.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, EngineError> {
        let now = self.now().wall;
        let kept = self.0.vault.load(id).await?;
        Ok(kept.map(|kept| kept.session().clone()).filter(|s| matches!(s.life(self.limits(), now), Life::LiveUntil(_))))
    }

    /// Decides whether a request may change state, and writes a refusal down. In report mode a refusal is
    /// written and the request passes.
    pub fn check_csrf(&self, arrival: &Arrival<'_>, pass: Option<&Pass>, form_token: Option<&str>) -> CsrfVerdict {
        let mut facts = arrival.csrf_facts(form_token);
        // A sign-in, without a session yet, is judged as it came: a form from nowhere is refused; JSON
        // without our cookies, which no page can send unasked, is a native client's.
        facts.bearer = pass.is_some_and(|pass| pass.by() == Proof::Bearer);
        let binding = facts.token.map(|_| self.csrf_binding(arrival, pass));
        let verdict = csrf::check(&self.0.config.csrf, &facts, binding.as_ref(), &*self.0.crypto);
        let CsrfVerdict::Refuse(refusal) = verdict else { return verdict };
        self.metrics().count(Family::CsrfRejected, refusal.code());
        let mut event = Event::new(EventName::Csrf, refusal.code(), self.now().wall)
            .client(arrival.client().clone())
            .request(arrival.request_id());
        if let Some(pass) = pass {
            event = event.session(pass.session()).subject(pass.admitted.subject().clone());
        }
        self.record(event);
        match self.0.config.csrf.mode {
            CsrfMode::Enforce => verdict,
            CsrfMode::Report | CsrfMode::DangerOff => CsrfVerdict::Pass(csrf::PassReason::DangerOff),
        }
    }

    /// A signed CSRF token for this browser, bound to its session if it has one.
    pub fn csrf_token(
        &self,
        arrival: &Arrival<'_>,
        pass: Option<&Pass>,
    ) -> Result<String, sessile_core::crypto::EntropyFailure> {
        csrf::issue_token(&*self.0.crypto, &*self.0.entropy, &self.csrf_binding(arrival, pass))
    }

    fn csrf_binding<'a>(&'a self, arrival: &'a Arrival<'_>, pass: Option<&Pass>) -> CsrfBinding<'a> {
        CsrfBinding {
            key: &self.0.csrf_key,
            session: pass.map(Pass::session),
            client: arrival.client(),
            now: self.now().wall,
        }
    }

    /// Writes an event to the log and, as far as the queue goes, to the store; counts it.
    pub fn record(&self, event: Event) {
        self.metrics().count(Family::Events, event.name.name());
        crate::log::event(&event);
        if self.0.events.try_send(event).is_err() {
            Metrics::add(&self.metrics().events_dropped);
        }
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.0.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.0.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        self.0.ring.load().ring.clone()
    }

    pub(crate) fn session_cookie(
        &self,
        session: &Session,
        token: &Stored<sessile_core::rotation::SessionToken>,
    ) -> SetCookie {
        let lifetime = session.remember.then(|| session.absolute_end(self.limits()).since(self.now().wall));
        cookie::issue_session(&self.0.config.cookie, token, lifetime)
    }
}
