//! Which hosts this gateway answers for (R-113, P10).
//!
//! The host of the public URL and those configured beside it, nothing else: the host of a request decides neither a link nor a
//! cookie, but a page under a foreign name is a page an attacker chose the name of (DNS rebinding).

use sessile_core::origin::Origin;

/// The hosts, in lower case, without the default port of the public URL's scheme.
#[derive(Clone, Debug)]
pub struct Hosts {
    exact: Vec<String>,
    default_port: &'static str,
    /// For a public URL on this machine, every name of this machine will do, at any port.
    loopback: bool,
}

impl Hosts {
    /// The hosts of a public URL, and more.
    pub fn new(public: &Origin, more: &[String]) -> Self {
        let default_port = if public.is_https() { ":443" } else { ":80" };
        let mut exact = vec![public.authority().to_owned()];
        exact.extend(more.iter().map(|host| plain(host, default_port)));
        Self { exact, default_port, loopback: public.is_loopback() }
    }

    /// Whether a request for this authority is ours. `authority` has passed the gate.
    pub fn serves(&self, authority: &str) -> bool {
        let authority = authority.strip_suffix(self.default_port).unwrap_or(authority);
        let is_exact = self.exact.iter().any(|host| host.eq_ignore_ascii_case(authority));
        is_exact || (self.loopback && is_loopback(&authority.to_ascii_lowercase()))
    }
}

fn plain(authority: &str, default_port: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    lower.strip_suffix(default_port).map_or_else(|| lower.clone(), str::to_owned)
}

fn is_loopback(authority: &str) -> bool {
    // The port was checked by the gate; without it this is an origin's spelling of a host.
    let host = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    };
    Origin::parse(&format!("http://{host}")).is_ok_and(|origin| origin.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(public: &str, more: &[&str]) -> Hosts {
        let more: Vec<String> = more.iter().map(|host| (*host).to_owned()).collect();
        Hosts::new(&Origin::parse(public).unwrap(), &more)
    }

    /// R-113, B5, D8: case and the default port do not matter; anything else does.
    #[test]
    fn r113_only_configured_hosts_are_served() {
        let hosts = hosts("https://app.example", &["Other.example:8443"]);
        for good in ["app.example", "APP.example", "app.example:443", "other.example:8443"] {
            assert!(hosts.serves(good), "{good}");
        }
        for bad in [
            "app.example.",
            "app.example:80",
            "evil-app.example",
            "app.example.evil",
            "www.app.example",
            "localhost",
            "127.0.0.1",
        ] {
            assert!(!hosts.serves(bad), "{bad}");
        }
    }

    /// On one machine, its names; a foreign name that resolves to it is not one of them.
    #[test]
    fn a_loopback_site_answers_to_loopback_names() {
        let hosts = hosts("http://localhost:8080", &[]);
        for good in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost", "a.localhost:1", "127.8.8.8"] {
            assert!(hosts.serves(good), "{good}");
        }
        for bad in ["rebound.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.example", "[::2]:8080"]
        {
            assert!(!hosts.serves(bad), "{bad}");
        }
    }
}
