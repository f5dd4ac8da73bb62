//! The types of settings that mean something to Sessile: addresses of apps and stores, networks, routes.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sessile::Access;
use sessile_core::Storage;
use sessile_core::cookie::SameSite;
use sessile_core::cors::AllowedOrigins;
use sessile_core::crypto::Algorithm;
use sessile_core::csrf::CsrfMode;
use sessile_core::headers::{Hsts, Managed, Rule};
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_store::Durability;
use sessile_store::postgres::{PostgresUrl, SchemaName};
use sessile_store::redis::Address;

use super::document::Raw;
use super::mistake::Fault;
use super::setting::{Setting, not, wrong_type};
use super::suggest::nearest;
use super::table::choice;

/// The origin people see in their address bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub Origin);

impl Setting for PublicUrl {
    const FORM: &'static str = "the address people see, such as \"https://app.example\": no path, no default port";

    fn from_text(text: &str) -> Result<Self, Fault> {
        Origin::parse(text.strip_suffix('/').unwrap_or(text)).map(Self).map_err(not::<Self>)
    }
}

/// Where an app listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl(pub Origin);

impl Setting for UpstreamUrl {
    const FORM: &'static str = "the app's address, such as \"http://127.0.0.1:3000\": paths are forwarded as they are";

    fn from_text(text: &str) -> Result<Self, Fault> {
        Origin::parse(text.strip_suffix('/').unwrap_or(text)).map(Self).map_err(not::<Self>)
    }
}

/// An origin that may read answers, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(pub String);

impl Setting for CorsOrigin {
    const FORM: &'static str = "origins such as \"https://app.example\", or \"*\" alone";

    fn from_text(text: &str) -> Result<Self, Fault> {
        AllowedOrigins::parse(&[text]).map(|_| Self(text.to_owned())).map_err(not::<Self>)
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Setting for Network {
    const FORM: &'static str = "networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| not::<Self>("not a network"))?,
        };
        if network.prefix_len() == 0 {
            return Err(not::<Self>("this is everybody: whoever connects could say who they are"));
        }
        if network.trunc() != network {
            return Err(Fault::new("bits are set behind the prefix", format!("write \"{}\"", network.trunc())));
        }
        Ok(Self(network))
    }
}

/// A host, with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub String);

impl Setting for HostName {
    const FORM: &'static str = "hosts such as \"app.internal\" or \"app.internal:8443\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        // The grammar of an origin's authority; a port of 80 is as good as any other here.
        let spelled = |scheme: &str| Origin::parse(&format!("{scheme}://{text}"));
        spelled("http").or_else(|_| spelled("https")).map(|_| Self(text.to_owned())).map_err(not::<Self>)
    }
}

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// In this process.
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// In PostgreSQL, shared by all nodes.
    Postgres(Box<PostgresUrl>),
    /// In Redis or Valkey, shared by all nodes.
    Redis(Address),
}

impl StoreUrl {
    /// Whether several nodes can use it at a time.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory | Self::Sqlite(_) => false,
            Self::Postgres(_) | Self::Redis(_) => true,
        }
    }

    /// Whether the connection is encrypted, or can be made so by naming authorities.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Memory | Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
            Self::Redis(address) => address.is_tls(),
        }
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        match self {
            Self::Memory | Self::Sqlite(_) => false,
            Self::Postgres(url) => url.has_password(),
            Self::Redis(address) => address.has_password(),
        }
    }
}

impl Setting for StoreUrl {
    const FORM: &'static str = "\"memory:\", \"sqlite:PATH\", \"postgres://USER@HOST/DATABASE\", \"redis://HOST\", \"rediss://HOST\", \"redis+sentinel://HOST,.../NAME\" or \"redis+cluster://HOST,...\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        match scheme.split('+').next().unwrap_or(scheme) {
            "memory" if text == "memory:" => Ok(Self::Memory),
            "sqlite" => {
                let path = text.strip_prefix("sqlite:").unwrap_or_default();
                PathBuf::from_text(path).map(Self::Sqlite).map_err(|_| not::<Self>("no path after \"sqlite:\""))
            }
            "postgres" | "postgresql" => text.parse().map(|url| Self::Postgres(Box::new(url))).map_err(not::<Self>),
            "redis" | "rediss" | "valkey" | "valkeys" => text.parse().map(Self::Redis).map_err(not::<Self>),
            _ => Err(not::<Self>("no kind of store is known by this")),
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        let Raw::Text(text) = raw else { return Err(wrong_type::<Self>(raw)) };
        let url = Self::from_text(text)?;
        if url.has_password() {
            return Err(Fault::new(
                "a password in the configuration file",
                "put it into a file of its own (mode 0600) and name that in store.password_file, or give the whole url in SESSILE_STORE_URL; then change the password",
            ));
        }
        Ok(url)
    }
}

/// What tells deployments on one server apart. Both kinds of shared store take such a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreName(pub SchemaName);

impl Setting for StoreName {
    const FORM: &'static str = "1 to 48 characters out of a-z, 0-9 and _, no digit first, such as \"sessile_shop\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.parse().map(Self).map_err(|_| not::<Self>("not a name for a schema or for keys"))
    }
}

choice! {
    /// What the acknowledgements of a server that does not tell survive.
    AssumedDurability: "\"memory\", \"process-crash-safe\", \"host-crash-safe\" or \"replicated\"" {
        /// Nothing.
        Memory = "memory",
        /// The death of its process.
        ProcessCrashSafe = "process-crash-safe",
        /// Loss of power.
        HostCrashSafe = "host-crash-safe",
        /// Loss of a machine.
        Replicated = "replicated",
    }
}

impl From<AssumedDurability> for Durability {
    fn from(assumed: AssumedDurability) -> Self {
        match assumed {
            AssumedDurability::Memory => Self::Memory,
            AssumedDurability::ProcessCrashSafe => Self::ProcessCrashSafe,
            AssumedDurability::HostCrashSafe => Self::HostCrashSafe,
            AssumedDurability::Replicated => Self::Replicated,
        }
    }
}

impl Setting for Storage {
    const FORM: &'static str = "\"hybrid\", \"server-session\", \"database\", \"cookie\", \"memory\", \"session-storage\" or \"local-storage\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            let meant = nearest(text, Self::ALL.map(Self::name));
            let hint = meant.map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"));
            not::<Self>(format!("no storage has this name{hint}"))
        })
    }
}

/// A storage that may be a client's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientStorage(pub Storage);

impl Setting for ClientStorage {
    const FORM: &'static str = "\"memory\", \"session-storage\" or \"local-storage\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match Storage::from_text(text)? {
            storage if storage.is_body_delivered() => Ok(Self(storage)),
            _ => Err(not::<Self>("this storage is a site's choice, not a client's: its token travels in a cookie")),
        }
    }
}

impl fmt::Display for ClientStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for Algorithm {
    const FORM: &'static str = "\"ES256\", \"EdDSA\", \"ES384\", \"PS256\" or \"HS256\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if matches!(text, "RS256" | "RS384" | "RS512") {
            return Err(not::<Self>("RSA with PKCS #1 padding is never issued"));
        }
        Self::from_name(text).ok_or_else(|| {
            let meant = nearest(text, Self::ALL.map(Self::name));
            not::<Self>(format!(
                "not an algorithm of ours{}",
                meant.map_or_else(String::new, |m| format!("; did you mean \"{m}\"?"))
            ))
        })
    }
}

impl Setting for SameSite {
    const FORM: &'static str = "\"strict\", \"lax\" or, with embed, \"none\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "strict" => Ok(Self::Strict),
            "lax" => Ok(Self::Lax),
            "none" => Ok(Self::None),
            _ => Err(not::<Self>("not one of the choices")),
        }
    }
}

impl Setting for CsrfMode {
    const FORM: &'static str = "\"enforce\", \"report\" or \"danger_off\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "report" => Ok(Self::Report),
            "danger_off" => Ok(Self::DangerOff),
            "off" => Err(Fault::new(
                "protection is switched off by its full name only",
                "write \"enforce\", or \"danger_off\"",
            )),
            _ => Err(not::<Self>("not one of the choices")),
        }
    }
}

impl Setting for Access {
    const FORM: &'static str = "\"public\", \"optional\" or \"session\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "public" => Ok(Self::Public),
            "optional" => Ok(Self::Optional),
            "session" => Ok(Self::Session),
            _ => {
                let meant = nearest(text, ["public", "optional", "session"]);
                let hint = meant.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
                Err(not::<Self>(format!("not one of the choices{hint}")))
            }
        }
    }
}

choice! {
    /// Ready sets of session limits (NIST SP 800-63B-4).
    Profile: "\"aal1\", \"aal2\" or \"aal3\"" {
        /// 30 days.
        Aal1 = "aal1",
        /// 24 hours, 1 hour idle.
        Aal2 = "aal2",
        /// 12 hours, 15 minutes idle.
        Aal3 = "aal3",
    }
}

impl Profile {
    /// Its numbers.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Aal1 => Limits::AAL1,
            Self::Aal2 => Limits::AAL2,
            Self::Aal3 => Limits::AAL3,
        }
    }
}

/// How long "remember me" lasts; zero if it is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remember(pub Duration);

impl Setting for Remember {
    const FORM: &'static str = "\"off\", \"on\" (30 days) or a duration such as \"14d\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "off" => Ok(Self(Duration::ZERO)),
            "on" => Ok(Self(Limits::REMEMBER)),
            _ => Duration::from_text(text).map(Self).map_err(|fault| not::<Self>(fault.problem)),
        }
    }
}

choice! {
    /// Which field trusted proxies speak through.
    ForwardedBy: "\"x-forwarded\" or \"forwarded\"" {
        /// `X-Forwarded-For` and `X-Forwarded-Proto`.
        XForwarded = "x-forwarded",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

choice! {
    /// What an app sees as `Host`.
    HostSeen: "\"upstream\" or \"public\"" {
        /// Its own address.
        Upstream = "upstream",
        /// The public URL's host.
        Public = "public",
    }
}

choice! {
    /// How much is logged.
    LogLevel: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"" {
        /// What stops something.
        Error = "error",
        /// What somebody should look at.
        Warn = "warn",
        /// What happens.
        Info = "info",
        /// How it happens.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

choice! {
    /// What log lines look like.
    LogFormat: "\"auto\", \"json\" or \"text\"" {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

/// A path prefix of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub String);

impl Prefix {
    /// Whether requests for `path` fall under it.
    pub fn covers(&self, path: &str) -> bool {
        self.0 == "/" || path.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Setting for Prefix {
    const FORM: &'static str = "a path such as \"/\" or \"/api\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text == "/" {
            return Ok(Self(text.to_owned()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(Fault::new("does not begin with a slash", format!("write \"/{text}\"")));
        };
        if text.ends_with('/') {
            return Err(Fault::new(
                "ends with a slash; a prefix covers what lies below it anyway",
                format!("write \"{}\"", text.trim_end_matches('/')),
            ));
        }
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let good =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(unreserved);
        if !rest.split('/').all(good) {
            return Err(not::<Self>(
                "segments are made of letters, digits, '-', '.', '_' and '~', and are not empty, \".\" or \"..\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A method and an exact path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodAndPath {
    /// The method, in capitals.
    pub method: String,
    /// The path.
    pub path: Prefix,
}

impl Setting for MethodAndPath {
    const FORM: &'static str = "a method and a path, such as \"POST /api/login\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let Some((method, path)) = text.split_once(' ') else {
            return Err(not::<Self>("a method, a blank and a path are needed"));
        };
        if !matches!(method, "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err(not::<Self>("the method is one of POST, PUT, PATCH and DELETE: a sign-in changes something"));
        }
        let path = Prefix::from_text(path).map_err(|fault| not::<Self>(fault.problem))?;
        Ok(Self { method: method.to_owned(), path })
    }
}

impl fmt::Display for MethodAndPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path.0)
    }
}

/// The name of an API client in HTTP Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientId(pub String);

impl Setting for ClientId {
    const FORM: &'static str = "a name of 1 to 64 letters, digits, '-', '.' and '_'";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(not::<Self>("not a client name"))
        }
    }
}

/// How one security header is set: a rule, and a value if it is not the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSetting {
    /// How our value and the app's meet.
    pub rule: Rule,
    /// The value.
    pub value: Option<String>,
}

const RULES: [(&str, Rule); 4] = [
    ("override", Rule::Override),
    ("add-if-missing", Rule::AddIfMissing),
    ("keep-stricter", Rule::KeepStricter),
    ("off", Rule::Off),
];

impl Setting for HeaderSetting {
    const FORM: &'static str =
        "\"RULE: VALUE\" or \"RULE\", the rule being override, add-if-missing, keep-stricter or off";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let (word, value) = match text.split_once(':') {
            Some((word, value)) => (word.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        let Some((_, rule)) = RULES.into_iter().find(|(name, _)| *name == word) else {
            let hint = nearest(word, RULES.map(|(name, _)| name))
                .map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
            return Err(not::<Self>(format!("no rule of this name{hint}")));
        };
        match (rule, value) {
            (Rule::Off, Some(_)) => Err(Fault::new("a header that is off has no value", "write \"off\"")),
            (_, Some("")) => Err(not::<Self>("no value after the rule")),
            (_, Some(value)) if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                Err(not::<Self>("a header's value is one line of visible ASCII"))
            }
            (rule, value) => Ok(Self { rule, value: value.map(str::to_owned) }),
        }
    }
}

impl HeaderSetting {
    /// This setting over the default it leaves open.
    pub fn over(&self, default: &Managed) -> Managed {
        match self.rule {
            Rule::Off => Managed::off(),
            rule => Managed::new(rule, self.value.clone().unwrap_or_else(|| default.value.clone())),
        }
    }
}

/// `Strict-Transport-Security`, as a rule and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HstsSetting(pub Hsts);

impl Setting for HstsSetting {
    const FORM: &'static str = "such as \"keep-stricter: max-age=31536000; includeSubDomains\", or \"off\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let setting = HeaderSetting::from_text(text)?;
        let mut hsts = Hsts {
            rule: setting.rule,
            max_age: Duration::from_secs(31_536_000),
            include_sub_domains: true,
            preload: false,
        };
        let Some(value) = setting.value else { return Ok(Self(hsts)) };
        let mut max_age = None;
        (hsts.include_sub_domains, hsts.preload) = (false, false);
        for directive in value.split(';').map(str::trim) {
            match directive.split_once('=') {
                Some(("max-age", seconds)) if max_age.is_none() => max_age = seconds.parse().ok(),
                None if directive == "includeSubDomains" => hsts.include_sub_domains = true,
                None if directive == "preload" => hsts.preload = true,
                _ => return Err(not::<Self>(format!("{directive:?} is no directive of this header"))),
            }
        }
        hsts.max_age =
            max_age.map(Duration::from_secs).ok_or_else(|| not::<Self>("max-age is missing or no number"))?;
        Ok(Self(hsts))
    }
}
