//! Which route a path belongs to.
//!
//! The path that decides is the one that is forwarded, byte for byte (R-114, P17). Applications read paths more loosely than
//! that: some ignore case, some cut off `;parameters`, some drop a dot at the end of a segment. So the path is looked up twice,
//! as it stands and as the loosest reader would have it, and if the two routes differ the request goes nowhere (attacks B3 to B5).
//!
//! A false refusal costs somebody an odd URL. A false match puts a request under another route's rule.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::uri::{Authority, Scheme, Uri};
use http::{HeaderValue, Method};
use sessile::{Access, RoutePolicy};
use sessile_core::cors::CorsConfig;

use super::gate::check_path;
use super::settings::{GatewaySettings, HostField, RouteSettings, StaticSettings, TargetSettings, UpstreamSettings};
use super::static_files::Folder;

/// A route, checked.
#[derive(Debug)]
pub struct Route {
    /// Its number, for metrics.
    pub index: usize,
    /// Its prefix, as configured.
    pub prefix: String,
    /// The same, as the loosest reader has it.
    loose_prefix: String,
    /// Who may pass.
    pub policy: RoutePolicy,
    /// The same for its requests that may begin or end a session: there the session is known even if the route is public, and a
    /// forged sign-in is refused.
    pub sign_in_policy: RoutePolicy,
    /// Which other origins may read its answers.
    pub cors: Option<CorsConfig>,
    /// Where requests go.
    pub target: Target,
    /// Whether WebSocket handshakes pass.
    pub upgrade: bool,
    /// Largest request body.
    pub max_body: Option<u64>,
}

/// Where requests of a route go.
#[derive(Debug)]
pub enum Target {
    /// To an application.
    Upstream(Upstream),
    /// To files.
    Static(Folder),
}

/// An application's address. Fixed when the gateway starts: no part of it ever comes from a request (R-116, P19).
#[derive(Debug)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    /// What it sees as `Host`.
    pub host: HeaderValue,
    /// Whether to speak HTTP/2.
    pub http2: bool,
}

/// The routes of a gateway.
#[derive(Debug)]
pub struct RouteTable {
    /// Longest prefix first.
    routes: Vec<Arc<Route>>,
    sign_in: Vec<(Method, String)>,
}

/// Where a path leads.
#[derive(Debug)]
pub enum Found<'a> {
    /// To this route, however it is read.
    Route(&'a Arc<Route>),
    /// To different routes, depending on who reads it.
    Ambiguous,
    /// Nowhere.
    Nothing,
}

/// One thing wrong with the settings of the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFault {
    /// Which route, as the setting names it.
    pub place: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for RouteFault {}

impl RouteTable {
    /// Checks and orders the routes.
    ///
    /// `public_host` is the host of the public URL, for upstreams that are to see it.
    ///
    /// # Errors
    ///
    /// Every fault at once.
    pub fn build(settings: &GatewaySettings, public_host: &HeaderValue) -> Result<Self, Vec<RouteFault>> {
        let mut faults = Vec::new();
        let mut routes = Vec::new();
        for (index, route) in settings.routes.iter().enumerate() {
            let place = format!("route {} ({})", index + 1, route.prefix);
            if settings.routes[..index].iter().any(|earlier| trimmed(&earlier.prefix) == trimmed(&route.prefix)) {
                faults.push(RouteFault {
                    place: place.clone(),
                    problem: "an earlier route has the same prefix".to_owned(),
                });
            }
            match Route::new(index, route, public_host) {
                Ok(route) => routes.push(Arc::new(route)),
                Err(problems) => {
                    faults.extend(problems.into_iter().map(|problem| RouteFault { place: place.clone(), problem }));
                }
            }
        }
        let mut sign_in = Vec::new();
        for text in &settings.sign_in_routes {
            match sign_in_route(text) {
                Some(route) => sign_in.push(route),
                None => faults.push(RouteFault {
                    place: format!("sign-in route {text:?}"),
                    problem: "write a method and an exact path, such as \"POST /api/login\"".to_owned(),
                }),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        routes.sort_by_key(|route| std::cmp::Reverse(trimmed(&route.prefix).len()));
        Ok(Self { routes, sign_in })
    }

    /// The route of a path that has passed [`check_path`].
    pub fn find(&self, path: &str) -> Found<'_> {
        let strict = self.routes.iter().find(|route| covers(&route.prefix, path));
        let loose_path = loosened(path);
        let loose = self.routes.iter().find(|route| covers(&route.loose_prefix, &loose_path));
        match (strict, loose) {
            (Some(strict), Some(loose)) if Arc::ptr_eq(strict, loose) => Found::Route(strict),
            (None, None) => Found::Nothing,
            _ => Found::Ambiguous,
        }
    }

    /// Whether the answer to this request may sign a user in or out.
    pub fn may_sign_in(&self, method: &Method, path: &str) -> bool {
        self.sign_in.iter().any(|(of, at)| of == method && at == path)
    }

    /// All routes, in the order they were configured.
    pub fn routes(&self) -> Vec<Arc<Route>> {
        let mut routes = self.routes.clone();
        routes.sort_by_key(|route| route.index);
        routes
    }
}

impl Route {
    fn new(index: usize, settings: &RouteSettings, public_host: &HeaderValue) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let plain = settings.prefix.bytes().all(|b| b == b'/' || b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if !plain || check_path(settings.prefix.as_bytes()).is_err() {
            problems.push(
                "the prefix must begin with / and consist of letters, digits, - . _ ~ and single slashes".to_owned(),
            );
        }
        let target = match &settings.target {
            TargetSettings::Upstream(upstream) => Upstream::new(upstream, public_host).map(Target::Upstream),
            TargetSettings::Static(StaticSettings { root, spa }) => Folder::open(root, *spa).map(Target::Static),
        };
        let target = match target {
            Ok(target) => target,
            Err(problem) => {
                problems.push(problem);
                return Err(problems);
            }
        };
        let policy = RoutePolicy {
            access: settings.access,
            storage: settings.storage,
            max_auth_age: settings.max_auth_age,
            begins_sessions: false,
            headers: settings.headers.clone().into(),
            past_staleness: settings.past_staleness,
        };
        let sign_in_policy = RoutePolicy {
            access: match settings.access {
                Access::Public => Access::Optional,
                access @ (Access::Optional | Access::Session) => access,
            },
            begins_sessions: true,
            ..policy.clone()
        };
        let upgrade = settings.upgrade.unwrap_or(settings.access == Access::Session);
        let prefix = settings.prefix.clone();
        let loose_prefix = loosened(&prefix).into_owned();
        if !problems.is_empty() {
            return Err(problems);
        }
        let cors = settings.cors.clone();
        Ok(Self {
            index,
            prefix,
            loose_prefix,
            policy,
            sign_in_policy,
            cors,
            target,
            upgrade,
            max_body: settings.max_body,
        })
    }
}

impl Upstream {
    fn new(settings: &UpstreamSettings, public_host: &HeaderValue) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("the upstream {:?} {why}; write http://host:port or https://host", settings.url);
        let uri: Uri = settings.url.parse().map_err(|_| wrong("is not a URL"))?;
        let scheme = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => scheme.clone(),
            _ => return Err(wrong("is neither http nor https")),
        };
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user name in it"));
        }
        if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
            return Err(wrong("has a path: paths are forwarded as they are"));
        }
        let host = match settings.host {
            HostField::Upstream => {
                HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("has a strange host"))?
            }
            HostField::Public => public_host.clone(),
        };
        Ok(Self { scheme, authority: authority.clone(), host, http2: settings.http2 })
    }
}

fn sign_in_route(text: &str) -> Option<(Method, String)> {
    let (method, path) = text.split_once(' ')?;
    let capital = method.bytes().all(|b| b.is_ascii_uppercase());
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| capital)?;
    check_path(path.as_bytes()).ok()?;
    Some((method, path.to_owned()))
}

fn trimmed(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// Whether `path` is at or below `prefix`, on a segment boundary.
fn covers(prefix: &str, path: &str) -> bool {
    let prefix = trimmed(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as the loosest reader has it: lower case, segments without parameters and without dots or blanks at their ends.
fn loosened(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|b| b.is_ascii_uppercase() || matches!(b, b';' | b'%' | b'.')) {
        return Cow::Borrowed(path);
    }
    let lower = path.to_ascii_lowercase();
    let mut loose = String::with_capacity(lower.len());
    for (at, segment) in lower.split('/').enumerate() {
        if at > 0 {
            loose.push('/');
        }
        let end = [segment.find(';'), segment.find("%3b")].into_iter().flatten().min().unwrap_or(segment.len());
        let mut stem = &segment[..end];
        while let Some(shorter) = stem.strip_suffix('.').or_else(|| stem.strip_suffix("%20")) {
            stem = shorter;
        }
        loose.push_str(stem);
    }
    Cow::Owned(loose)
}

#[cfg(test)]
mod tests;
