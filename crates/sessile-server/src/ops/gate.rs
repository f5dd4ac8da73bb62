//! What every request passes before an endpoint sees it. Holds on loopback too: a browser on the same machine
//! runs other people's pages (I7).

use std::net::{IpAddr, SocketAddr};

use axum::extract::Query as AxumQuery;
use http::header::{AUTHORIZATION, HOST, HeaderMap};
use http::uri::Uri;
use sessile::Engine;
use sessile_core::Secret;
use sessile_core::event::{Event, EventName};

use super::answer::Problem;
use crate::config::runtime::OpsSettings;

/// Who may ask at all, and who may administer.
pub(super) struct Gate {
    listen: SocketAddr,
    hosts: Vec<String>,
    /// Digest of the admin token.
    token: Option<Secret<32>>,
}

impl Gate {
    pub(super) fn new(settings: &OpsSettings) -> Self {
        let digest = |text: &str| Secret::new(sessile_aws_lc::provider().sha256(text.as_bytes()));
        Self {
            listen: settings.listen,
            hosts: settings.hosts.clone(),
            token: settings.admin_token.as_ref().map(|token| digest(token.expose())),
        }
    }

    /// Whether the request is addressed to this listener and not made by another site's page.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().map_err(|_| Problem::WrongHost)?,
            _ => return Err(Problem::WrongHost),
        };
        let same = uri.authority().is_none_or(|authority| authority.as_str() == host);
        if !same || !self.is_ours(host) {
            return Err(Problem::WrongHost);
        }
        // `none`: typed by a person. Absent: not a browser. Nothing of ours makes `same-origin` requests, and they do no harm.
        let from_a_page = |value: &http::HeaderValue| !matches!(value.as_bytes(), b"none" | b"same-origin");
        if headers.get_all("sec-fetch-site").iter().any(from_a_page) || headers.contains_key(http::header::ORIGIN) {
            return Err(Problem::CrossSite);
        }
        Ok(())
    }

    /// An address cannot be rebound, so the listener's own address is ours by any port; names are those configured.
    fn is_ours(&self, host: &str) -> bool {
        let name = host_without_port(host);
        let listed = self.hosts.iter().any(|known| known == host || known == name);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here = |address: IpAddr| {
            let own = self.listen.ip();
            address.to_canonical().is_loopback() || own.is_unspecified() || address.to_canonical() == own.to_canonical()
        };
        listed || name == "localhost" || address.is_ok_and(here)
    }

    /// Whether the request carries the admin token. Any other credential counts for nothing here (K3).
    pub(super) fn check_administrator(&self, headers: &HeaderMap, engine: &Engine) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Err(Problem::AdminOff) };
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let presented = match (fields.next(), fields.next()) {
            (Some(field), None) => field.as_bytes().split_first_chunk::<7>(),
            _ => None,
        };
        let matches = presented.is_some_and(|(scheme, presented)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && token.matches(&engine.crypto().sha256(presented))
        });
        if matches {
            return Ok(());
        }
        engine.record(Event::new(EventName::AuthzFail, "admin_token", engine.now().wall));
        Err(Problem::Unauthorized)
    }
}

fn host_without_port(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    }
}

/// Query parameters, each known and at most once.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(uri: &Uri, known: &'static [&'static str]) -> Result<Self, Problem> {
        let AxumQuery(pairs) =
            AxumQuery::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Problem::BadParameter("query"))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            let Some(known) = known.iter().find(|known| *known == name) else {
                return Err(Problem::BadParameter("unknown"));
            };
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::BadParameter(known));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter in the form it must have.
    pub(super) fn parse<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        self.get(name).map(|text| text.parse().map_err(|_| Problem::BadParameter(name))).transpose()
    }
}
