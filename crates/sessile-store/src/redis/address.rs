//! Where the servers are: the text of the configuration, and how it is dialled.

use std::fmt;
use std::str::FromStr;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates, TlsMode};
use sessile_core::SecretText;

/// The address of a store.
///
/// | Text | What it names |
/// |---|---|
/// | `redis://[user:password@]host[:6379][/database]` | one server |
/// | `redis+sentinel://[user:password@]host[:26379],.../name` | the master that Sentinels know by this name |
/// | `redis+cluster://[user:password@]host[:6379],...` | a cluster, by some of its nodes |
///
/// With `rediss` instead of `redis` the connection is TLS, and the server's certificate is verified; `valkey` and
/// `valkeys` say the same. User and password are percent-encoded and never printed. They are those of the
/// servers that hold the data. A Sentinel that asks for a password cannot be used, nor a server that asks for a certificate.
#[derive(Clone)]
pub struct Address {
    nodes: Vec<ConnectionInfo>,
    kind: Kind,
    tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Single,
    Sentinel { master: String },
    Cluster,
}

/// What a connection is made with.
pub(super) enum Dialler {
    Single(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    Cluster(Box<redis::cluster::ClusterClient>),
}

/// The text is not an address. The text itself is not told: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a Redis store: {0}. Write redis://host:port, redis+sentinel://host:port,.../name or redis+cluster://host:port,..., with rediss for TLS"
)]
pub struct InvalidAddress(String);

impl Address {
    /// Whether the store is a cluster.
    pub fn is_cluster(&self) -> bool {
        self.kind == Kind::Cluster
    }

    /// Whether the connection is encrypted, and the server's certificate verified.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the text named a password.
    pub fn has_password(&self) -> bool {
        self.nodes.iter().any(|node| node.redis_settings().password().is_some())
    }

    /// The same servers, signed in to with this password.
    #[must_use]
    pub fn with_password(mut self, password: &SecretText) -> Self {
        for node in &mut self.nodes {
            let login = node.redis_settings().clone().set_password(password.expose());
            *node = node.clone().set_redis_settings(login);
        }
        self
    }

    /// What to make connections with. `root_certificate`, PEM, takes the place of the system's trust.
    pub(super) fn dialler(&self, root_certificate: Option<&[u8]>) -> RedisResult<Dialler> {
        let certificates =
            self.tls.then(|| TlsCertificates { client_tls: None, root_cert: root_certificate.map(<[u8]>::to_vec) });
        match &self.kind {
            Kind::Single => {
                let node = self.nodes[0].clone();
                Ok(Dialler::Single(Box::new(match certificates {
                    Some(certificates) => Client::build_with_tls(node, certificates)?,
                    None => Client::open(node)?,
                })))
            }
            Kind::Sentinel { master } => self.sentinel(master, certificates),
            Kind::Cluster => {
                let mut builder = redis::cluster::ClusterClientBuilder::new(self.nodes.clone())
                    .retries(RETRIES)
                    .min_retry_wait(10)
                    .max_retry_wait(200);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                Ok(Dialler::Cluster(Box::new(builder.build()?)))
            }
        }
    }

    fn sentinel(&self, master: &str, certificates: Option<TlsCertificates>) -> RedisResult<Dialler> {
        let sentinels = self.nodes.iter().map(|node| node.addr().clone());
        let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?;
        let login = self.nodes[0].redis_settings();
        builder = builder.set_client_to_redis_db(login.db());
        if let Some(username) = login.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        Ok(Dialler::Sentinel(Box::new(tokio::sync::Mutex::new(builder.build()?))))
    }
}

// How often the driver follows MOVED and ASK for one call, or tries it again, before it gives up. It also repeats a call whose
// connection broke, which every verb bears (P6): at worst an insertion is told that its id is taken, and draws another.
const RETRIES: u32 = 4;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why: &str| InvalidAddress(why.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        // A fragment is how the driver is told to verify nothing, a query how it is told other things.
        if rest.contains(['#', '?']) {
            return Err(invalid("# and ? have no meaning in it; write them percent-encoded in a password"));
        }
        let (protocol, topology) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match protocol {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(invalid("its scheme is none of redis, rediss, valkey and valkeys")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let (kind, port, database) = match topology {
            "" => (Kind::Single, 6379, path),
            "cluster" if path.is_empty() => (Kind::Cluster, 6379, ""),
            "cluster" => return Err(invalid("a cluster has one database, so nothing follows its nodes")),
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(invalid("the name that the Sentinels know the master by is missing after the /"));
                }
                (Kind::Sentinel { master: master.to_owned() }, 26379, database)
            }
            _ => return Err(invalid("after the + belongs sentinel or cluster")),
        };
        let node = |host: &str| {
            let port = if has_port(host) { String::new() } else { format!(":{port}") };
            let login = if login.is_empty() { String::new() } else { format!("{login}@") };
            let scheme = if tls { "rediss" } else { "redis" };
            let url = format!("{scheme}://{login}{host}{port}/{database}");
            url.into_connection_info().map_err(|_| invalid("a host, port, login or database cannot be read"))
        };
        let nodes = hosts.split(',').map(node).collect::<Result<Vec<_>, _>>()?;
        if kind == Kind::Single && nodes.len() > 1 {
            return Err(invalid("several hosts belong to redis+sentinel or redis+cluster"));
        }
        Ok(Self { nodes, kind, tls })
    }
}

// An IPv6 host stands in brackets, with colons of its own.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        match &self.kind {
            Kind::Single => f.write_str(&nodes.join(",")),
            Kind::Sentinel { master } => write!(f, "{master} of the Sentinels {}", nodes.join(",")),
            Kind::Cluster => write!(f, "the cluster at {}", nodes.join(",")),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Dialler::Single",
            Self::Sentinel(_) => "Dialler::Sentinel",
            Self::Cluster(_) => "Dialler::Cluster",
        })
    }
}
