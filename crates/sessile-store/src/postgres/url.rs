//! Where the store is: a URL, checked before anything is sent anywhere.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// `postgres://user@host:5432/database?sslmode=verify-full&sslrootcert=/path/ca.pem`, checked.
///
/// Several hosts may be given, separated by commas: the first that takes writes is used. A unix socket is a directory
/// in percent-encoding: `postgres://user@%2Frun%2Fpostgresql/database`. Neither `Debug` nor any error shows the URL: it may
/// hold a password.
///
/// `sslmode` is `verify-full` or `disable`; the latter is for unix sockets and loopback addresses alone, where it is
/// what is meant if nothing is said. The modes in between (`prefer`, `require`, `verify-ca`) encrypt without knowing for
/// whom, and are refused. `sslrootcert` names a PEM file with the authorities to trust instead of the system's.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all: it does not leave the machine.
    Disable,
    /// The certificate must be right, and for this host.
    VerifyFull {
        /// Authorities of one's own.
        roots: Option<PathBuf>,
    },
}

/// The text is not a URL to find a store by; says what to change, and never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL of the PostgreSQL store: {0}")]
pub struct UrlRefused(String);

impl FromStr for PostgresUrl {
    type Err = UrlRefused;

    fn from_str(text: &str) -> Result<Self, UrlRefused> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or_else(|| refused("must begin with postgres://"))?;
        let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
        // What follows would be taken for a host or a database, and turn up in errors and logs.
        if authority.matches('@').count() > 1 || rest[authority.len()..].contains('@') {
            return Err(refused(
                "has an @ where none belongs; write @ / ? # : % in a password as %40 %2F %3F %23 %3A %25",
            ));
        }
        let (plain, asked) = take_ssl(text)?;
        let mut config: Config =
            plain.parse().map_err(|fault: tokio_postgres::Error| refused(super::fault::describe(&fault)))?;
        if config.get_hosts().is_empty() {
            return Err(refused("names no host"));
        }
        if config.get_user().is_none() {
            return Err(refused("names no user"));
        }
        if config.get_dbname().is_none() {
            return Err(refused("names no database"));
        }
        let tls = tls(&config, asked)?;
        config
            .ssl_mode(if tls == Tls::Disable { SslMode::Disable } else { SslMode::Require })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("sessile");
        Ok(Self { config, tls })
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({}, {:?})", self.place(), self.tls)
    }
}

/// Without user and password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl PostgresUrl {
    /// Whether the text named a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The same, with TLS verified by the authorities in a PEM file in place of the system's.
    pub fn trusting(mut self, roots: PathBuf) -> Result<Self, UrlRefused> {
        if !self.config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_))) {
            return Err(refused("names a unix socket, on which there is no TLS"));
        }
        self.tls = Tls::VerifyFull { roots: Some(roots) };
        self.config.ssl_mode(SslMode::Require);
        Ok(self)
    }

    /// Host and database, for messages.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host_name).collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

#[derive(Default)]
struct Asked {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

/// The URL without the parameters that the driver does not know or would take differently, and those.
fn take_ssl(text: &str) -> Result<(String, Asked), UrlRefused> {
    let mut asked = Asked::default();
    let Some((before, query)) = text.split_once('?') else {
        return Ok((text.to_owned(), asked));
    };
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("sslmode", mode) => asked.mode = Some(mode.to_owned()),
            ("sslrootcert", path) => asked.roots = Some(PathBuf::from(decoded(path)?)),
            ("password" | "passfile", _) => {
                return Err(refused(
                    "takes the password before the @, or from a file or PGPASSWORD, not as a parameter",
                ));
            }
            _ => kept.push(pair),
        }
    }
    let question = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{before}{question}{}", kept.join("&")), asked))
}

fn tls(config: &Config, asked: Asked) -> Result<Tls, UrlRefused> {
    let local = config.get_hosts().iter().all(is_local) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    match asked.mode.as_deref() {
        None if local && asked.roots.is_none() => Ok(Tls::Disable),
        Some("disable") if local => Ok(Tls::Disable),
        Some("disable") => Err(refused(
            "has sslmode=disable for another machine: passwords and sessions would cross the network in the open. Leave it out, or \
             write sslmode=verify-full; an authority of your own is named by sslrootcert=/path/ca.pem",
        )),
        None | Some("verify-full") => {
            let named = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
            if named {
                Ok(Tls::VerifyFull { roots: asked.roots })
            } else {
                Err(refused("asks for TLS on a unix socket"))
            }
        }
        Some(other) => Err(refused(format!(
            "has sslmode={other:?}; write sslmode=verify-full, or sslmode=disable for a unix socket or a loopback address"
        ))),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Undoes percent-encoding; only what is not text is refused.
fn decoded(text: &str) -> Result<String, UrlRefused> {
    let wrong = || refused("has a parameter whose percent-encoding is wrong");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16)).ok_or_else(wrong);
        match byte {
            b'%' => bytes.push(u8::try_from(digit()? * 16 + digit()?).map_err(|_| wrong())?),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn refused(why: impl Into<String>) -> UrlRefused {
    UrlRefused(why.into())
}
