//! The weakened twin: the same app as it is commonly written, with every protection left out that an attack is about.
//! Each attack must succeed here; one that does not has not been measured.
//!
//! What is wrong with it, on purpose:
//!
//! * the token lives for a day, and neither signing out nor an operator ends it sooner;
//! * the header of a token says how to verify it ([`token`]);
//! * the token is also set as a cookie that scripts may read, every host of the domain may set and other sites' pages
//!   send along, and that cookie counts before the `Authorization` field;
//! * nothing looks at where a request comes from, signing in included;
//! * `/auth/refresh` hands a token to whoever asks with one, and takes the same one again tomorrow;
//! * other origins may read every answer (CORS repeats the origin), and every page may be put into a frame.

pub(crate) mod token;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, SET_COOKIE,
};
use http::{Method, StatusCode};
use serde_json::json;

use self::token::Tokens;
use crate::accounts::Accounts;
use crate::app;
use crate::app::journal::Journal;
use crate::net::{self, Answer, Asked};
use crate::places::Places;
use crate::storage::{Site, Storage, is_second_name};

/// The server of all seven twins.
#[derive(Debug)]
pub(crate) struct Twin {
    tokens: Tokens,
}

/// What the twin calls its cookie under that host name. The names differ because the cookies are set for the whole
/// domain.
pub(crate) fn cookie_name(storage: Storage, host: &str) -> String {
    let name = format!("token_{}", storage.name().replace('-', "_"));
    if is_second_name(host) { format!("remembered_{name}") } else { name }
}

/// Whether a cookie of that name is some twin's.
pub(crate) fn is_cookie(name: &str) -> bool {
    name.strip_prefix("remembered_").unwrap_or(name).starts_with("token_")
}

impl Twin {
    pub(crate) fn new() -> Self {
        Self { tokens: Tokens::new() }
    }

    pub(crate) fn answer(
        &self,
        places: &Places,
        journal: &Journal,
        accounts: &Accounts,
        site: Site,
        asked: &Asked,
    ) -> Answer {
        let subject = self.subject(site, asked);
        let mut answer = match (&asked.parts.method, asked.path()) {
            (&Method::OPTIONS, _) => net::answer(StatusCode::NO_CONTENT, "text/plain", ""),
            (&Method::POST, "/auth/sign-in") => self.sign_in(site, accounts, asked),
            (&Method::POST, "/auth/refresh") => self.refresh(site, asked),
            (&Method::POST, "/auth/sign-out") => Self::sign_out(site, asked),
            _ => app::answer(places, journal, site, subject.as_deref(), asked),
        };
        if let Some(origin) = asked.header("origin") {
            net::set(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            net::set(&mut answer, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
            net::set(&mut answer, ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type");
            net::set(&mut answer, ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
        }
        answer
    }

    fn subject(&self, site: Site, asked: &Asked) -> Option<String> {
        let name = cookie_name(site.storage, asked.host());
        let in_cookie = asked.cookies().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let bearer = || asked.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned);
        in_cookie.or_else(bearer).and_then(|token| self.tokens.subject(&token))
    }

    fn sign_in(&self, site: Site, accounts: &Accounts, asked: &Asked) -> Answer {
        let (Some(username), Some(password)) = (asked.field("username"), asked.field("password")) else {
            return net::problem(StatusCode::BAD_REQUEST, "send username and password");
        };
        if !accounts.is_right(&username, &password) {
            return net::problem(StatusCode::UNAUTHORIZED, "wrong name or password");
        }
        let remember = asked.field("remember").is_some_and(|flag| flag == "true");
        let (access, refresh) = (self.tokens.mint(&username, "access"), self.tokens.mint(&username, "refresh"));
        let mut answer = net::json(
            StatusCode::OK,
            &json!({ "session": { "subject": username }, "access_token": access, "refresh_token": refresh }),
        );
        let life = if remember { "; Max-Age=86400" } else { "" };
        let name = cookie_name(site.storage, asked.host());
        let mut put = |name: &str, value: &str| {
            let cookie = format!("{name}={value}; Domain=lab.localhost; Path=/; SameSite=None; Secure{life}");
            net::set(&mut answer, SET_COOKIE, &cookie);
        };
        put(&name, &access);
        if site.storage.facts().renews && !site.storage.facts().bearer {
            put(&format!("{name}_refresh"), &refresh);
        }
        answer
    }

    /// A new token for whoever has one. The old one stays good, and nobody notices two who use it.
    fn refresh(&self, site: Site, asked: &Asked) -> Answer {
        let Some(subject) = self.subject(site, asked).or_else(|| self.tokens.subject(&asked.field("refresh_token")?))
        else {
            return net::problem(StatusCode::UNAUTHORIZED, "no token");
        };
        net::json(StatusCode::OK, &json!({ "access_token": self.tokens.mint(&subject, "access") }))
    }

    /// Asks the browser to forget the cookies. The tokens stay good.
    fn sign_out(site: Site, asked: &Asked) -> Answer {
        let mut answer = net::json(StatusCode::OK, &json!({}));
        let name = cookie_name(site.storage, asked.host());
        for name in [name.clone(), format!("{name}_refresh")] {
            let cookie = format!("{name}=; Domain=lab.localhost; Path=/; SameSite=None; Secure; Max-Age=0");
            net::set(&mut answer, SET_COOKIE, &cookie);
        }
        answer
    }
}
