//! The thief: another machine with whatever was taken from the browser, speaking plain HTTP. It sends whatever headers
//! help it, since nothing but a browser is bound to tell the truth in `Origin` and `Sec-Fetch-Site`.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Method, Request, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::accounts::Accounts;
use crate::net;
use crate::places::Places;
use crate::storage::Site;
use crate::text::shortened;

/// What was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loot {
    /// Name and value.
    pub(crate) cookies: Vec<(String, String)>,
    /// Tokens that scripts held.
    pub(crate) bearers: Vec<String>,
}

impl Loot {
    /// The loot as it may be shown.
    pub(crate) fn shown(&self) -> Value {
        let cookies: HashMap<&str, String> =
            self.cookies.iter().map(|(name, value)| (name.as_str(), shortened(value))).collect();
        let bearers: Vec<String> = self.bearers.iter().map(|token| shortened(token)).collect();
        json!({ "cookies": cookies, "tokens": bearers })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.bearers.is_empty()
    }

    /// The same with what an answer replaced and added.
    fn renewed_by(&self, answer: &Response<Bytes>) -> Self {
        let mut next = self.clone();
        for field in answer.headers().get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok()) {
            let Some((name, rest)) = field.split_once('=') else { continue };
            let value = rest.split(';').next().unwrap_or_default();
            next.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                next.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        if let Some(token) = member(answer, "access_token") {
            next.bearers = vec![token];
        }
        next
    }
}

fn member(answer: &Response<Bytes>, name: &str) -> Option<String> {
    serde_json::from_slice::<Value>(answer.body()).ok()?.get(name)?.as_str().map(str::to_owned)
}

/// What one use of a credential got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Use {
    /// What was presented, shortened.
    pub(crate) with: String,
    pub(crate) status: u16,
    /// Whom the app took the thief for.
    pub(crate) subject: Option<String>,
}

impl Use {
    pub(crate) fn opened(&self) -> bool {
        self.subject.is_some()
    }
}

/// Another machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thief<'a> {
    pub(crate) places: &'a Places,
    pub(crate) site: Site,
}

impl Thief<'_> {
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> io::Result<Response<Bytes>> {
        let host = self.places.site_host(self.site);
        let origin = format!("http://{host}");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &host)
            .header("origin", &origin)
            .header("sec-fetch-site", "same-origin")
            .header("user-agent", "another machine")
            .header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        net::send(self.places.sites, request.body(body.into()).map_err(io::Error::other)?).await
    }

    /// Asks the app who it thinks is asking.
    async fn who(&self, with: String, name: &str, value: &str) -> io::Result<Use> {
        let answer = self.send(Method::GET, "/api/whoami", &[(name, value)], "").await?;
        let subject = answer.status().is_success().then(|| member(&answer, "subject")).flatten();
        Ok(Use { with, status: answer.status().as_u16(), subject })
    }

    pub(crate) async fn with_bearer(&self, token: &str) -> io::Result<Use> {
        self.who(format!("bearer {}", shortened(token)), "authorization", &format!("Bearer {token}")).await
    }

    pub(crate) async fn with_cookies(&self, cookies: &[(String, String)]) -> io::Result<Use> {
        let shown: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={}", shortened(value))).collect();
        self.who(format!("cookies {}", shown.join(", ")), "cookie", &cookie_field(cookies)).await
    }

    /// Uses the loot as the browser would have: all cookies together, and each bearer.
    pub(crate) async fn as_the_browser(&self, loot: &Loot) -> io::Result<Vec<Use>> {
        let mut uses = Vec::new();
        if !loot.cookies.is_empty() {
            uses.push(self.with_cookies(&loot.cookies).await?);
        }
        for token in &loot.bearers {
            uses.push(self.with_bearer(token).await?);
        }
        Ok(uses)
    }

    /// Uses it in every way there is: also each cookie alone, which may renew, and the refresh endpoint.
    pub(crate) async fn every_way(&self, loot: &Loot) -> io::Result<Vec<Use>> {
        let mut uses = self.as_the_browser(loot).await?;
        if loot.cookies.len() > 1 {
            for cookie in &loot.cookies {
                uses.push(self.with_cookies(std::slice::from_ref(cookie)).await?);
            }
        }
        let (refreshed, renewed) = self.refresh(loot).await?;
        uses.push(refreshed);
        if renewed != *loot {
            uses.extend(self.as_the_browser(&renewed).await?);
        }
        Ok(uses)
    }

    /// Asks for a new token with the stolen ones, and says what the thief has afterwards.
    pub(crate) async fn refresh(&self, loot: &Loot) -> io::Result<(Use, Loot)> {
        let cookies = cookie_field(&loot.cookies);
        let bearer = loot.bearers.first().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        if !cookies.is_empty() {
            headers.push(("cookie", cookies.as_str()));
        }
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let answer = self.send(Method::POST, "/auth/refresh", &headers, "{}").await?;
        let renewed = loot.renewed_by(&answer);
        let subject = answer.status().is_success().then(|| "a new token".to_owned()).filter(|_| renewed != *loot);
        Ok((Use { with: "POST /auth/refresh".to_owned(), status: answer.status().as_u16(), subject }, renewed))
    }

    /// Makes a request with those cookies alone and takes what comes back.
    pub(crate) async fn renew_by_request(&self, cookies: &[(String, String)]) -> io::Result<(Use, Loot)> {
        let answer = self.send(Method::GET, "/api/whoami", &[("cookie", &cookie_field(cookies))], "").await?;
        let before = Loot { cookies: cookies.to_vec(), bearers: Vec::new() };
        let subject = answer.status().is_success().then(|| member(&answer, "subject")).flatten();
        let with = "the session token alone".to_owned();
        Ok((Use { with, status: answer.status().as_u16(), subject }, before.renewed_by(&answer)))
    }

    /// Signs in with a password, as anybody may who has one.
    ///
    /// # Errors
    ///
    /// When the site does not answer, or not with a session.
    pub(crate) async fn sign_in(&self, accounts: &Accounts, name: &str) -> io::Result<Loot> {
        let body = json!({ "username": name, "password": accounts.password(name) }).to_string();
        let answer = self.send(Method::POST, "/auth/sign-in", &[("content-type", "application/json")], body).await?;
        if !answer.status().is_success() {
            return Err(io::Error::other(format!("sign-in was answered with {}", answer.status())));
        }
        Ok(Loot::default().renewed_by(&answer))
    }

    /// The public keys of the site, if it publishes some.
    pub(crate) async fn keys(&self) -> io::Result<Vec<Value>> {
        let answer = self.send(Method::GET, "/.well-known/jwks.json", &[], "").await?;
        let document: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        Ok(document["keys"].as_array().cloned().unwrap_or_default())
    }
}

fn cookie_field(cookies: &[(String, String)]) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// Cookies that browsers brought to the thief's door, by the visit they belong to.
#[derive(Debug, Default)]
pub(crate) struct Door(Mutex<HashMap<String, Vec<(String, String)>>>);

impl Door {
    pub(crate) fn put(&self, visit: &str, cookies: Vec<(String, String)>) {
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() >= 256 {
            kept.clear();
        }
        kept.insert(visit.to_owned(), cookies);
    }

    pub(crate) fn take(&self, visit: &str) -> Option<Vec<(String, String)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(visit)
    }
}
