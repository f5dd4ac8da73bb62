//! The tower layer: Sessile in front of a Rust service, no gateway.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower_layer::Layer;
use tower_service::Service;

use crate::arrival::Peer;
use crate::engine::Engine;
use crate::extract::Session;
use crate::guard::{Access, Guarded, RoutePolicy};
use crate::surface;

/// The body of a guarded response.
pub type GuardedBody<E> = UnsyncBoxBody<Bytes, E>;

/// Guards every request to the services inside it, and answers the HTTP surface (`/auth/...`) itself.
///
/// The inner service finds [`Session`] among the request's extensions (see [`crate::extract`]). Put a [`Peer`]
/// there yourself, outside this layer, if you know the client's address and whether it came over https;
/// without it the address is unknown and https is taken from the configured public origin.
#[derive(Clone, Debug)]
pub struct SessileLayer {
    engine: Engine,
    // Shared: a router clones its services for every request.
    policy: Arc<RoutePolicy>,
}

impl SessileLayer {
    /// Lets signed-in users through and tells the service who they are; others get 401 or the sign-in page.
    pub fn required(engine: Engine) -> Self {
        Self::with_policy(RoutePolicy::new(&engine, Access::Session), engine)
    }

    /// Lets everybody through and tells the service who is signed in.
    pub fn optional(engine: Engine) -> Self {
        Self::with_policy(RoutePolicy::new(&engine, Access::Optional), engine)
    }

    /// With a policy of your own.
    pub fn with_policy(policy: RoutePolicy, engine: Engine) -> Self {
        Self { engine, policy: Arc::new(policy) }
    }
}

impl<S> Layer<S> for SessileLayer {
    type Service = Sessile<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Sessile { inner, engine: self.engine.clone(), policy: self.policy.clone() }
    }
}

/// The service [`SessileLayer`] makes.
#[derive(Clone)]
pub struct Sessile<S> {
    inner: S,
    engine: Engine,
    policy: Arc<RoutePolicy>,
}

impl<S> fmt::Debug for Sessile<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessile").finish_non_exhaustive()
    }
}

impl<S, Req, Res> Service<Request<Req>> for Sessile<S>
where
    S: Service<Request<Req>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Infallible>,
    Req: Body + Send + 'static,
    Req::Data: Send,
    Res: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<GuardedBody<Res::Error>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        // The clone that was made ready is the one to call.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let (engine, policy) = (self.engine.clone(), self.policy.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_else(|| Peer {
                address: None,
                secure: engine.config().public_origin.is_https(),
                ..Peer::default()
            });
            if surface::is_ours(&engine, parts.uri.path()) {
                return Ok(surface::handle(&engine, &parts, &peer, body).await.map(full));
            }
            let forward = match engine.guard(&parts, &peer, &policy).await {
                Guarded::Forward(forward) => forward,
                Guarded::Answer(answer) => return Ok(answer.map(full)),
            };
            parts.extensions.remove::<Session>();
            if let Some(pass) = forward.pass() {
                parts.extensions.insert(Session::new(pass.admitted.clone(), &engine));
            }
            let response = match inner.call(Request::from_parts(parts, body)).await {
                Ok(response) => response,
                Err(never) => match never.into() {},
            };
            let (mut head, body) = response.into_parts();
            engine.finish(&forward, &policy, &mut head.headers).await;
            Ok(Response::from_parts(head, body.boxed_unsync()))
        })
    }
}

fn full<E: 'static>(body: Bytes) -> GuardedBody<E> {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
