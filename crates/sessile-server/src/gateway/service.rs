//! The path of a request through the gateway, top to bottom.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, LOCATION, SET_COOKIE, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use sessile::arrival::Forwarded;
use sessile::fields::carry_out;
use sessile::guard::append_cookies;
use sessile::respond::{self, Problem};
use sessile::{Access, Arrival, Engine, Forward, Guarded, Peer, RoutePolicy, sharing, surface};
use sessile_core::client::{self, Client};
use sessile_core::cookie::{self, SetCookie};
use sessile_core::cors::PreflightVerdict;
use sessile_core::event::{Event, EventName, RequestId};
use sessile_core::headers as policies;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::Instant;

use super::Gateway;
use super::body::{Owner, RequestBody, ResponseBody, UpstreamBody};
use super::connection::Activity;
use super::drain::Watch;
use super::forwarded::{self, Scheme};
use super::gate::{ALLOWED_METHODS, HeadViolation, Refusal, check_head};
use super::headers::{self, Asides, ForwardAs, NotForwarded, Provenance, X_REQUEST_ID};
use super::listener::Ticket;
use super::metrics::Place;
use super::request_id::RequestIds;
use super::routes::{Found, Route, Target, Upstream};
use super::settings::ForwardedField;
use super::sign_in::{self, Acted};
use super::static_files::{FileAnswer, Folder};
use super::upgrade::{self, Tunnel, Wish};
use super::upstream::{BodyKind, Outgoing, UpstreamFault, Upstreams};

/// One thread's part of the gateway.
#[derive(Debug)]
pub(super) struct Worker {
    gateway: Arc<Gateway>,
    upstreams: Upstreams,
    stop: Watch,
    request_ids: RequestIds,
    /// Read-locked by each exchange that goes on without its client.
    seen_through: Arc<RwLock<()>>,
}

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub(super) struct ClientSide {
    /// The socket's other end.
    pub(super) peer: IpAddr,
    /// The same, as upstreams are told it.
    peer_field: HeaderValue,
    /// Whether we ended its TLS.
    pub(super) tls: bool,
    /// What the connection is doing.
    pub(super) activity: Arc<Activity>,
    /// Its place under the limits, kept for as long as anything goes on for it.
    ticket: Arc<Ticket>,
    /// As many as it may have exchanges that go on without it: resetting a stream must not make room for another.
    seen_through: Arc<Semaphore>,
}

impl ClientSide {
    /// A connection that begins now, with at most `streams` exchanges at once.
    pub(super) fn new(peer: IpAddr, tls: bool, streams: u32, ticket: Arc<Ticket>) -> Arc<Self> {
        let seen_through = Arc::new(Semaphore::new(usize::try_from(streams).unwrap_or(1)));
        Arc::new(Self {
            peer,
            peer_field: headers::address_field(peer),
            tls,
            activity: Activity::new(),
            ticket,
            seen_through,
        })
    }
}

/// A request that has passed the gate, and what is known of it.
struct Passage<'a> {
    parts: &'a Parts,
    peer: &'a Peer,
    id: &'a RequestId,
    client: &'a ClientSide,
}

impl Passage<'_> {
    /// Where the request comes from, as the upstream is told it.
    fn address_field(&self) -> Option<HeaderValue> {
        let address = self.peer.address?;
        Some(if address == self.client.peer { self.client.peer_field.clone() } else { headers::address_field(address) })
    }
}

/// Cookies beyond this are somebody's mistake or attack (H12); applications take 8 to 16 KiB of header in all.
const MOST_COOKIES: usize = 16 * 1024;

impl Worker {
    pub(super) fn new(gateway: Arc<Gateway>, upstreams: Upstreams, stop: Watch) -> Self {
        Self { gateway, upstreams, stop, request_ids: RequestIds::new(), seen_through: Arc::default() }
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub(super) fn stop(&self) -> Watch {
        self.stop.clone()
    }

    /// Waits for the exchanges that go on without their clients. To be called when there are no connections left.
    pub(super) async fn seen_through(&self) {
        drop(self.seen_through.write().await);
    }

    fn engine(&self) -> &Engine {
        &self.gateway.engine
    }

    /// Writes down that the gate refused something.
    pub(super) fn note_violation(&self, code: &'static str, from: IpAddr, request: Option<RequestId>) {
        self.gateway.metrics.violation(code);
        let client = Client { network: client::network(from), ..Client::default() };
        let event = Event::new(EventName::BadRequest, code, self.engine().now().wall).client(client).request(request);
        self.engine().record(event);
    }

    /// Answers one request. Nothing that happens in it, a panic included, reaches another.
    pub(super) async fn answer(
        self: &Arc<Self>,
        client: &ClientSide,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let exchange = client.activity.begin(request.version() == Version::HTTP_2);
        let open = self.gateway.metrics.requests_open.count();
        let (method, is_http1) = (request.method().clone(), request.version() != Version::HTTP_2);
        let mut passing = std::pin::pin!(self.pass(client, request));
        let answered = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| passing.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        });
        let (place, mut response) = answered.await.unwrap_or_else(|| {
            self.gateway.metrics.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a request's handler panicked; it was answered 500");
            (Place::Nowhere, whole(respond::problem(self.engine(), &Problem::Internal, false, None)))
        });
        if !is_http1 {
            response.headers_mut().remove(CONNECTION);
        }
        self.gateway.metrics.answered(place, &method, response.status());
        response.map(|body| body.within(exchange, open))
    }

    async fn pass(
        self: &Arc<Self>,
        client: &ClientSide,
        request: Request<Incoming>,
    ) -> (Place, Response<ResponseBody>) {
        let (mut parts, body) = request.into_parts();
        let Ok(id) = self.request_ids.next(self.engine().entropy()) else {
            return (Place::Nowhere, whole(respond::problem(self.engine(), &Problem::Internal, false, None)));
        };
        parts.extensions.insert(id.clone());
        let (place, mut response) = self.pass_gate(client, &mut parts, body, &id).await;
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        tracing::debug!(target: "sessile::access", request = id.0, method = %parts.method, status = response.status().as_u16(), "answered");
        (place, response)
    }

    async fn pass_gate(
        self: &Arc<Self>,
        client: &ClientSide,
        parts: &mut Parts,
        body: Incoming,
        id: &RequestId,
    ) -> (Place, Response<ResponseBody>) {
        let refuse = |problem| (Place::Nowhere, whole(respond::problem(self.engine(), &problem, false, Some(id))));
        let served = match check_head(parts) {
            Ok(head) => self.gateway.hosts.serves(head.authority()),
            Err(violation) => {
                self.note_violation(violation.code(), client.peer, Some(id.clone()));
                return refuse(refusal(violation));
            }
        };
        if !served {
            self.note_violation("unknown_host", client.peer, Some(id.clone()));
            return refuse(Problem::UnknownHost);
        }
        let wish = upgrade::wish(parts);
        if wish == Wish::Other {
            // Ignored here, so that nothing further on believes in it.
            parts.headers.remove(UPGRADE);
        }
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let (peer, is_plain) = self.peer(client, parts);
        let passage = Passage { parts, peer: &peer, id, client };
        if is_plain && self.engine().config().public_origin.is_https() {
            return (Place::Nowhere, self.to_https(&passage));
        }
        if let Some(cookies) = too_many_cookies(&parts.headers) {
            self.note_violation("cookies_too_large", client.peer, Some(id.clone()));
            let mut response = self.problem(&passage, &Problem::HeadersTooLarge { cookies });
            append_cookies(response.headers_mut(), &self.engine().clearing_cookies());
            return (Place::Nowhere, whole(response));
        }
        let limits = &self.gateway.settings.limits;
        if surface::is_ours(self.engine(), parts.uri.path()) {
            let body = RequestBody::new(body, limits, None);
            return (Place::Surface, whole(surface::handle(self.engine(), parts, &peer, body).await));
        }
        let route = match self.gateway.routes.find(parts.uri.path()) {
            Found::Route(route) => route,
            Found::Nothing => return (Place::Nowhere, whole(self.problem(&passage, &Problem::NotFound))),
            Found::Ambiguous => {
                self.note_violation("path_ambiguous", client.peer, Some(id.clone()));
                return refuse(Problem::BadRequest {
                    code: "bad_request",
                    detail: "The path can be read in more than one way.",
                });
            }
        };
        let body = RequestBody::new(body, limits, route.max_body);
        let response = match &route.cors {
            None => self.pass_guard(&passage, route, wish, on_upgrade, body).await,
            Some(cors) => match sharing::preflight(cors, parts) {
                PreflightVerdict::NotAPreflight => {
                    let mut response = self.pass_guard(&passage, route, wish, on_upgrade, body).await;
                    sharing::share(cors, &parts.headers, response.headers_mut());
                    response
                }
                PreflightVerdict::Allow(edits) | PreflightVerdict::Refuse(_, edits) => {
                    let mut response = Response::new(ResponseBody::full(Bytes::new()));
                    *response.status_mut() = StatusCode::NO_CONTENT;
                    carry_out(edits, response.headers_mut());
                    response
                }
            },
        };
        (Place::Route(route.index), response)
    }

    /// Who is at the other end, and whether a trusted proxy says that its connection is not encrypted.
    fn peer(&self, client: &ClientSide, parts: &Parts) -> (Peer, bool) {
        let settings = &self.gateway.settings;
        let origin = forwarded::origin(client.peer, &parts.headers, settings.forwarded_field, |address| {
            settings.trusts(address)
        });
        let secure = match origin.scheme {
            _ if client.tls => true,
            Some(Scheme::Https) => true,
            Some(Scheme::Http) => false,
            // Nobody says: then it is what the public URL says, whose host was asked for.
            None => self.engine().config().public_origin.is_https(),
        };
        let forwarded =
            (settings.trusts(client.peer) && settings.forwarded_field == ForwardedField::XForwarded).then(|| {
                Forwarded {
                    method: one(&parts.headers, "x-forwarded-method")
                        .and_then(|method| Method::from_bytes(method.as_bytes()).ok()),
                    uri: one(&parts.headers, "x-forwarded-uri").and_then(|uri| uri.to_str().ok()).map(str::to_owned),
                }
            });
        let is_plain = !client.tls && origin.scheme == Some(Scheme::Http);
        (Peer { address: Some(origin.address), secure, forwarded }, is_plain)
    }

    /// Sends a navigation to https; refuses everything else, which would go on working unnoticed (P32).
    fn to_https(&self, passage: &Passage<'_>) -> Response<ResponseBody> {
        let arrival = Arrival::new(passage.parts, passage.peer, self.engine().config());
        let navigation = matches!(passage.parts.method, Method::GET | Method::HEAD) && arrival.wants_page();
        let target = passage.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let location = HeaderValue::from_str(&format!("{}{target}", self.engine().config().public_origin));
        if let (true, Ok(location)) = (navigation, location) {
            let mut response = Response::new(ResponseBody::full(Bytes::new()));
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
            return response;
        }
        let problem = Problem::BadRequest { code: "https_required", detail: "Use https." };
        whole(self.engine().problem(&arrival, &problem))
    }

    async fn pass_guard(
        self: &Arc<Self>,
        passage: &Passage<'_>,
        route: &Arc<Route>,
        wish: Wish,
        on_upgrade: Option<OnUpgrade>,
        body: RequestBody,
    ) -> Response<ResponseBody> {
        let parts = passage.parts;
        let is_upgrade = match wish {
            Wish::None | Wish::Other => false,
            Wish::WebSocket if route.upgrade && matches!(route.target, Target::Upstream(_)) => true,
            Wish::WebSocket => {
                let problem =
                    Problem::BadRequest { code: "upgrade_refused", detail: "There are no WebSockets at this address." };
                return whole(self.problem(passage, &problem));
            }
            Wish::Malformed => {
                self.note_violation("websocket_handshake", passage.client.peer, Some(passage.id.clone()));
                let problem =
                    Problem::BadRequest { code: "bad_request", detail: "The WebSocket handshake is not complete." };
                return whole(self.problem(passage, &problem));
            }
        };
        if body.is_announced_too_large() {
            return whole(self.problem(passage, &Problem::PayloadTooLarge));
        }
        let may_sign_in = self.gateway.routes.may_sign_in(&parts.method, parts.uri.path());
        let forward = match self.engine().guard(parts, passage.peer, policy(route, may_sign_in)).await {
            Guarded::Forward(forward) => forward,
            Guarded::Answer(answer) => return whole(answer),
        };
        if headers::spoofs_ours(&parts.headers) {
            self.note_spoof(passage);
        }
        let on_upgrade = is_upgrade.then_some(on_upgrade).flatten();
        if may_sign_in {
            self.see_through(passage, route, forward, on_upgrade, body).await
        } else {
            self.answer_from(passage, route, may_sign_in, forward, on_upgrade, body).await
        }
    }

    /// Answers in a task of its own, which goes on to the head of the application's answer if the client hangs up before: an
    /// application that has ended or begun a session, and said so, must not be left alone with it.
    async fn see_through(
        self: &Arc<Self>,
        passage: &Passage<'_>,
        route: &Arc<Route>,
        forward: Forward,
        on_upgrade: Option<OnUpgrade>,
        body: RequestBody,
    ) -> Response<ResponseBody> {
        let (worker, route) = (self.clone(), route.clone());
        let (parts, peer, id) = (passage.parts.clone(), passage.peer.clone(), passage.id.clone());
        let client = passage.client.clone();
        let room = client.seen_through.clone().acquire_owned().await;
        let under_way = self.seen_through.clone().read_owned().await;
        let task = tokio::spawn(async move {
            let passage = Passage { parts: &parts, peer: &peer, id: &id, client: &client };
            let response = worker.answer_from(&passage, &route, true, forward, on_upgrade, body).await;
            drop((room, under_way));
            response
        });
        match task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(response) => response,
            // Counted and answered where every panic is.
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => whole(self.problem(passage, &Problem::Internal)),
        }
    }

    async fn answer_from(
        self: &Arc<Self>,
        passage: &Passage<'_>,
        route: &Arc<Route>,
        may_sign_in: bool,
        forward: Forward,
        on_upgrade: Option<OnUpgrade>,
        body: RequestBody,
    ) -> Response<ResponseBody> {
        let policy = policy(route, may_sign_in);
        match &route.target {
            Target::Static(folder) => self.answer_file(passage, folder, policy, &forward).await,
            Target::Upstream(to) => {
                let trip = Trip { worker: self, passage, route, to, policy, may_sign_in };
                trip.run(forward, on_upgrade, body).await
            }
        }
    }

    fn note_spoof(&self, passage: &Passage<'_>) {
        let client =
            Client { network: passage.peer.address.map(client::network).unwrap_or_default(), ..Client::default() };
        let event = Event::new(EventName::HeaderSpoof, "own_header", self.engine().now().wall);
        self.engine().record(event.client(client).request(Some(passage.id.clone())));
    }

    async fn answer_file(
        &self,
        passage: &Passage<'_>,
        folder: &Folder,
        policy: &RoutePolicy,
        forward: &Forward,
    ) -> Response<ResponseBody> {
        let parts = passage.parts;
        let mut response = match folder.answer(&parts.method, parts.uri.path(), &parts.headers).await {
            FileAnswer::File(fields, body) => {
                let body = body.map_or_else(|| ResponseBody::full(Bytes::new()), ResponseBody::file);
                with_fields(Response::new(body), fields)
            }
            FileAnswer::NotModified(fields) => {
                let mut response = with_fields(Response::new(ResponseBody::full(Bytes::new())), fields);
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            FileAnswer::Elsewhere(path) => {
                let mut response = Response::new(ResponseBody::full(Bytes::new()));
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                if let Ok(location) = HeaderValue::from_str(&path) {
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
            FileAnswer::NotFound => whole(self.problem(passage, &Problem::NotFound)),
            FileAnswer::MethodNotAllowed => {
                whole(self.problem(passage, &Problem::MethodNotAllowed { allow: "GET, HEAD" }))
            }
            FileAnswer::Fault(error) => {
                tracing::error!(%error, request = passage.id.0, "a file could not be read");
                whole(self.problem(passage, &Problem::Internal))
            }
        };
        if policy.access == Access::Public && !response.headers().contains_key(CACHE_CONTROL) {
            // Kept, and asked about before each use: a new release shows at once.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        self.engine().finish(forward, policy, response.headers_mut()).await;
        // Only now: the headers of a page go out with its 304 too, or a browser would keep those of last time.
        if response.status() == StatusCode::NOT_MODIFIED {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        response
    }

    fn problem(&self, passage: &Passage<'_>, problem: &Problem) -> Response<Bytes> {
        let arrival = Arrival::new(passage.parts, passage.peer, self.engine().config());
        self.engine().problem(&arrival, problem)
    }
}

/// A request on its way to an application and back.
struct Trip<'a> {
    worker: &'a Arc<Worker>,
    passage: &'a Passage<'a>,
    route: &'a Arc<Route>,
    to: &'a Upstream,
    policy: &'a RoutePolicy,
    may_sign_in: bool,
}

impl Trip<'_> {
    fn gateway(&self) -> &Gateway {
        &self.worker.gateway
    }

    fn engine(&self) -> &Engine {
        &self.worker.gateway.engine
    }

    async fn run(&self, forward: Forward, on_upgrade: Option<OnUpgrade>, body: RequestBody) -> Response<ResponseBody> {
        let Passage { parts, id, .. } = *self.passage;
        let who = match (self.route.policy.access, forward.pass()) {
            (Access::Public, _) | (Access::Optional, None) => ForwardAs::Public,
            (Access::Optional | Access::Session, Some(pass)) => ForwardAs::User(&pass.admitted),
            // The guard lets none through; should it ever, it goes nowhere (I4).
            (Access::Session, None) => return self.give_up(&forward, &Problem::Internal).await,
        };
        let client = self.passage.address_field();
        let provenance = Provenance {
            host: &self.to.host,
            public_host: &self.gateway().public_host,
            public_scheme: self.gateway().public_scheme,
            client: client.as_ref(),
            request_id: id,
            via: &self.gateway().via,
            upgrade: on_upgrade.is_some(),
        };
        let fields = match headers::to_upstream(parts, who, &provenance) {
            Ok(fields) => fields,
            Err(NotForwarded::Loop) => {
                tracing::error!(
                    route = self.route.prefix,
                    request = id.0,
                    "a request came back to this gateway: the upstream leads here"
                );
                return self.give_up(&forward, &Problem::UpstreamInvalid).await;
            }
            Err(NotForwarded::LastHop) => return self.last_hop(),
        };
        let Some(target) = parts.uri.path_and_query().cloned() else {
            return self.give_up(&forward, &Problem::Internal).await;
        };
        // Registered before the handshake, so that a session that ends during it takes the tunnel along.
        let session =
            on_upgrade.is_some().then(|| forward.pass().map(|pass| self.engine().open_stream(pass))).flatten();
        let outgoing = Outgoing { method: parts.method.clone(), target, headers: fields, body };
        let again = || headers::to_upstream(parts, who, &provenance).ok();
        let sent = Instant::now();
        let answer = match self.worker.upstreams.send(self.to, outgoing, again, on_upgrade.is_some()).await {
            Ok(answer) => answer,
            Err(fault) => return self.failed(&forward, &fault).await,
        };
        self.gateway().metrics.upstream_answered(sent.elapsed());
        match on_upgrade {
            Some(on_upgrade) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.switch(&forward, answer, on_upgrade, session).await
            }
            _ => self.bring_back(forward, answer).await,
        }
    }

    async fn bring_back(&self, forward: Forward, answer: Response<Incoming>) -> Response<ResponseBody> {
        let (mut head, body) = answer.into_parts();
        let asides = headers::to_client(&mut head.headers);
        let acted = self.act(&forward, &asides, head.status).await;
        if let Acted::Refused(problem) = &acted {
            return self.give_up(&forward, problem).await;
        }
        self.engine().finish(&forward, self.policy, &mut head.headers).await;
        match &acted {
            Acted::Nothing | Acted::Refused(_) => {}
            Acted::SignedIn(cookies) => replace_our_cookies(&mut head.headers, cookies),
            Acted::SignedOut(cookies) => {
                replace_our_cookies(&mut head.headers, cookies);
                let clear = HeaderValue::from_static(policies::clear_site_data());
                head.headers.insert(HeaderName::from_static("clear-site-data"), clear);
            }
        }
        let is_event_stream = head.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
        let owner = match acted {
            Acted::Nothing if forward.pass().is_some() => Some(Owner { engine: self.engine().clone(), forward }),
            Acted::Nothing | Acted::SignedIn(_) | Acted::SignedOut(_) | Acted::Refused(_) => None,
        };
        let limits = &self.gateway().settings.limits;
        let body = UpstreamBody::new(body, limits, owner, is_event_stream, self.worker.stop());
        let mut response = Response::new(ResponseBody::upstream(body));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    async fn act(&self, forward: &Forward, asides: &Asides, status: StatusCode) -> Acted {
        if asides.is_empty() {
            return Acted::Nothing;
        }
        let arrival = Arrival::new(self.passage.parts, self.passage.peer, self.engine().config());
        sign_in::act(self.engine(), &arrival, forward, asides, status, self.policy.storage, self.may_sign_in).await
    }

    /// Joins the two connections once the client has its 101. No cookie travels on it: it is no final answer (P27), and a renewal that
    /// did not reach the browser is repeated at its next request.
    async fn switch(
        &self,
        forward: &Forward,
        answer: Response<Incoming>,
        client: OnUpgrade,
        session: Option<sessile::streams::StreamGuard>,
    ) -> Response<ResponseBody> {
        if !upgrade::accepts(answer.headers()) {
            return self.failed(forward, &UpstreamFault::Hostile("a 101 that is no WebSocket handshake")).await;
        }
        let (mut head, body) = answer.into_parts();
        let Some(upstream) = head.extensions.remove::<OnUpgrade>() else {
            return self.failed(forward, &UpstreamFault::Hostile("a 101 without a connection behind it")).await;
        };
        drop(body);
        drop(headers::to_client(&mut head.headers));
        head.headers.remove(SET_COOKIE);
        upgrade::mark_switched(&mut head.headers);
        let tunnel = Tunnel {
            client,
            upstream,
            session,
            idle: self.gateway().settings.limits.stream_idle,
            stop: self.worker.stop(),
            exchange: self.passage.client.activity.begin(false),
            counted: self.gateway().metrics.tunnels_open.count(),
            ticket: self.passage.client.ticket.clone(),
        };
        tokio::spawn(tunnel.run());
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = head.headers;
        response
    }

    async fn failed(&self, forward: &Forward, fault: &UpstreamFault) -> Response<ResponseBody> {
        let (problem, is_ours) = match fault {
            UpstreamFault::Unreachable(_) => (Problem::UpstreamUnreachable, false),
            UpstreamFault::Broken(_) | UpstreamFault::Hostile(_) => (Problem::UpstreamInvalid, false),
            UpstreamFault::Silent => (Problem::UpstreamTimeout, false),
            UpstreamFault::Body(BodyKind::TooLarge) => (Problem::PayloadTooLarge, true),
            UpstreamFault::Body(BodyKind::Stalled) => (Problem::BodyTimeout, true),
            UpstreamFault::Body(BodyKind::Malformed | BodyKind::Gone) => {
                (Problem::BadRequest { code: "bad_request", detail: "The request body is not well formed." }, true)
            }
        };
        if is_ours {
            tracing::debug!(route = self.route.prefix, request = self.passage.id.0, %fault, "the request body failed");
        } else {
            self.gateway().metrics.upstream_failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(route = self.route.prefix, request = self.passage.id.0, %fault, "no answer from the upstream");
        }
        let mut response = self.give_up(forward, &problem).await;
        if is_ours {
            // What is left of the body is not worth reading.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A problem in place of the application's answer, with the cookies that the answer would have carried.
    async fn give_up(&self, forward: &Forward, problem: &Problem) -> Response<ResponseBody> {
        let mut response = self.worker.problem(self.passage, problem);
        if let Some(pass) = forward.pass() {
            let cookies = self.engine().cookies_for_response(pass).await;
            append_cookies(response.headers_mut(), &cookies);
        }
        whole(response)
    }

    fn last_hop(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
        response
    }
}

/// What a route asks of a request.
fn policy(route: &Route, may_sign_in: bool) -> &RoutePolicy {
    if may_sign_in { &route.sign_in_policy } else { &route.policy }
}

/// A response whose body is here already.
fn whole(response: Response<Bytes>) -> Response<ResponseBody> {
    response.map(ResponseBody::full)
}

fn with_fields(mut response: Response<ResponseBody>, fields: HeaderMap) -> Response<ResponseBody> {
    *response.headers_mut() = fields;
    response
}

fn refusal(violation: HeadViolation) -> Problem {
    match violation.refusal() {
        Refusal::MethodNotAllowed => Problem::MethodNotAllowed { allow: ALLOWED_METHODS },
        Refusal::HeadTooLarge => Problem::HeadersTooLarge { cookies: Vec::new() },
        Refusal::BadRequest | Refusal::UriTooLong | Refusal::NotImplemented | Refusal::VersionNotSupported => {
            Problem::BadRequest { code: violation.refusal().code(), detail: "The request is malformed or ambiguous." }
        }
    }
}

/// The names of the largest cookies, if there is too much of them. Names only, and plain ones: values are secrets.
fn too_many_cookies(headers: &HeaderMap) -> Option<Vec<String>> {
    let fields = || headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if fields().map(<[u8]>::len).sum::<usize>() <= MOST_COOKIES {
        return None;
    }
    let mut cookies: Vec<&[u8]> =
        fields().flat_map(|field| field.split(|&b| b == b';')).map(<[u8]>::trim_ascii).collect();
    cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.len()));
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let name = |cookie: &[u8]| {
        let name = cookie.split(|&b| b == b'=').next()?;
        (!name.is_empty() && name.len() <= 64 && name.iter().all(plain))
            .then(|| String::from_utf8_lossy(name).into_owned())
    };
    Some(cookies.into_iter().filter_map(name).take(10).collect())
}

fn is_event_stream(kind: &HeaderValue) -> bool {
    kind.as_bytes().get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Takes our cookies out of a response and puts these in: a sign-in or sign-out overrules a renewal decided beside it.
fn replace_our_cookies(headers: &mut HeaderMap, cookies: &[SetCookie]) {
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| cookie::upstream_may_set(value.as_bytes()))
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
    append_cookies(headers, cookies);
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}
