//! The browser behind a session, as far as the server can see it.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv6Addr};
use serde::{Deserialize, Serialize};

/// What is shown to users beside "my devices", and what CSRF tokens are bound to. Never a proof of identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Browser family, such as `Firefox`; empty if unknown.
    pub browser: String,
    /// Platform, such as `Windows`; empty if unknown.
    pub platform: String,
    /// First accepted language, such as `en-GB`; empty if none.
    pub language: String,
    /// Network address: an IPv4 address or an IPv6 /64, as text; empty if unknown.
    pub network: String,
}

/// What a request shows of its browser.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traces<'a> {
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Sec-CH-UA`: names browsers that hide behind another's `User-Agent`.
    pub brands: Option<&'a [u8]>,
    /// `Accept-Language`.
    pub accept_language: Option<&'a [u8]>,
    /// The client's address, by the rules for trusted proxies.
    pub peer: Option<IpAddr>,
}

/// Marks in `Sec-CH-UA`, the first that is found wins.
const BRANDS: [(&str, &str); 3] =
    [("\"Brave\"", "Brave"), ("\"Vivaldi\"", "Vivaldi"), ("\"DuckDuckGo\"", "DuckDuckGo")];

/// Marks in `User-Agent`, the first that is found wins: most browsers also name those they descend from.
const BROWSERS: [(&str, &str); 24] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("Go-http-client/", "Go"),
    ("okhttp/", "OkHttp"),
    ("Lynx/", "Lynx"),
    ("w3m/", "w3m"),
];

const PLATFORMS: [(&str, &str); 10] = [
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("iPod", "iOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("FreeBSD", "FreeBSD"),
];

impl Client {
    /// What the server sees of a browser. Names come from fixed lists and the language from a narrow alphabet,
    /// so that nothing a client writes reaches a page or a log. Versions are left out: an update does
    /// not make another client.
    pub fn observe(traces: &Traces<'_>) -> Self {
        let agent = traces.user_agent.unwrap_or_default();
        let named = |list: &[(&str, &str)], field: &[u8]| {
            list.iter().find(|(mark, _)| contains(field, mark.as_bytes())).map(|(_, name)| String::from(*name))
        };
        let browser = named(&BRANDS, traces.brands.unwrap_or_default()).or_else(|| named(&BROWSERS, agent));
        Self {
            browser: browser.unwrap_or_default(),
            platform: named(&PLATFORMS, agent).unwrap_or_default(),
            language: first_language(traces.accept_language.unwrap_or_default()),
            network: traces.peer.map(network).unwrap_or_default(),
        }
    }
}

/// The network an address counts as: itself for IPv4, its /64 for IPv6, where one subscriber has at least that
/// many. Throttles count by it.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            format!("{}/64", Ipv6Addr::from(prefix))
        }
    }
}

fn contains(field: &[u8], mark: &[u8]) -> bool {
    field.windows(mark.len()).any(|part| part == mark)
}

/// The first language range (RFC 9110 section 12.5.4), if it looks like one.
fn first_language(field: &[u8]) -> String {
    let first = field.split(|b| matches!(b, b',' | b';')).next().unwrap_or_default().trim_ascii();
    let plain = (1..=35).contains(&first.len()) && first.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { first.iter().copied().map(char::from).collect() } else { String::new() }
}
