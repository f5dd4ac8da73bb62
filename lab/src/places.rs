//! Where everything is. Names under `localhost` are this machine for every browser but Safari, and trustworthy without
//! https; `a.lab.localhost` and `b.lab.localhost` are one site, `127.0.0.1` is another.

use crate::storage::{SECOND_NAME, Site};

/// The ports of a lab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// The page people look at, and the API.
    pub(crate) control: u16,
    /// The apps: Sessile's and the twins.
    pub(crate) sites: u16,
    /// The attacker, on two hosts.
    pub(crate) attacker: u16,
}

impl Places {
    pub(crate) fn control(&self) -> String {
        format!("http://localhost:{}", self.control)
    }

    pub(crate) fn site(&self, site: Site) -> String {
        format!("http://{}", self.site_host(site))
    }

    /// Host and port, as the `Host` header says them.
    pub(crate) fn site_host(&self, site: Site) -> String {
        format!("{}.lab.localhost:{}", site.label(), self.sites)
    }

    /// The same site under its second name.
    pub(crate) fn second(&self, site: Site) -> String {
        format!("http://{}", self.second_host(site))
    }

    pub(crate) fn second_host(&self, site: Site) -> String {
        format!("{}{SECOND_NAME}.lab.localhost:{}", site.label(), self.sites)
    }

    /// An attacker on another site.
    pub(crate) fn cross_site(&self) -> String {
        format!("http://127.0.0.1:{}", self.attacker)
    }

    /// An attacker on a sibling host of the same site.
    pub(crate) fn sibling(&self) -> String {
        format!("http://evil.lab.localhost:{}", self.attacker)
    }

    /// Where the browser takes its own cookies to, for the thief: cookies belong to a host, whatever its port.
    pub(crate) fn steal(&self, site: Site) -> String {
        format!("http://{}.lab.localhost:{}/steal", site.label(), self.control)
    }

    /// Whether pages of that origin are the lab's, so that they may report.
    pub(crate) fn is_ours(&self, origin: &str) -> bool {
        let Some((host, port)) = origin.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':')) else {
            return false;
        };
        let ports = [self.control, self.sites, self.attacker];
        let known_port = port.parse().is_ok_and(|port: u16| ports.contains(&port));
        known_port && (host == "localhost" || host == "127.0.0.1" || host.ends_with(".lab.localhost"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Negative control: the same names at other ports, and look-alikes, are strangers.
    #[test]
    fn only_the_lab_s_own_pages_may_report() {
        let places = Places { control: 7070, sites: 7071, attacker: 7072 };
        for ours in ["http://localhost:7070", "http://hybrid.lab.localhost:7071", "http://127.0.0.1:7072"] {
            assert!(places.is_ours(ours), "{ours}");
        }
        for foreign in [
            "http://localhost:7073",
            "http://evil.example:7071",
            "https://localhost:7070",
            "null",
            "http://hybrid.lab.localhost.evil.example:7071",
            "http://lab.localhost:7071x",
        ] {
            assert!(!places.is_ours(foreign), "{foreign}");
        }
    }
}
