//! The instruments for tests in other languages: one process for each, driven by lines of JSON.
//!
//! When what was asked for is ready, one line on standard output says where it is. From then on each line on standard
//! input is an order, and is answered by one line. When standard input ends, everything is stopped and removed; so it is
//! when the process is killed.

mod orders;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use orders::{Bench, Server, say};
use serde_json::json;
use sessile_instruments::fault_proxy::{FaultProxy, Script, obey, serve_control};
use sessile_instruments::servers::{Postgres, Redis, RedisCluster, SENTINEL_MASTER};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(about = "What the tests break Sessile's surroundings with", after_help = ORDERS)]
struct Cli {
    #[command(subcommand)]
    instrument: Instrument,
}

const ORDERS: &str = r#"Orders to servers, one a line, each answered by one line:
  {"do":"kill"}                    at once, with all its processes
  {"do":"restart"}                 on what it left
  {"do":"stop"}, {"do":"continue"} freeze it where it is, and let it go on
  {"ask":["FLUSHALL"]}             send a command to Redis
  {"sql":"SELECT 1"}               run a statement in PostgreSQL
where there are several servers with "server":"NAME", by the names in the first line.
Orders to the proxy, on standard input and on its control port:
  {"set":"silence"}                a behaviour; the documentation of fault_proxy lists them
  {"script":[...]}                 several, one after the other
  {"counters":true}                what has passed"#;

#[derive(Subcommand)]
enum Instrument {
    /// A Redis server.
    Redis {
        #[command(flatten)]
        settings: RedisSettings,
    },
    /// A Redis master, its replica, and a Sentinel that decides alone.
    Sentinel {
        #[command(flatten)]
        settings: RedisSettings,
    },
    /// A Redis Cluster of three masters.
    RedisCluster {
        /// With a replica of each.
        #[arg(long)]
        replicas: bool,
    },
    /// A PostgreSQL server.
    Postgres {
        /// A setting, as in postgresql.conf.
        #[arg(long = "setting", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// With a standby that follows it.
        #[arg(long)]
        standby: bool,
    },
    /// A TCP proxy that does wrong as it is told.
    FaultProxy {
        /// Where it listens: a port of its own choice unless given.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// What it leads to.
        #[arg(long)]
        to: SocketAddr,
        /// Where it takes orders, beside standard input.
        #[arg(long)]
        control: Option<SocketAddr>,
        /// A file with a script to begin with.
        #[arg(long)]
        script: Option<PathBuf>,
    },
}

#[derive(Args)]
struct RedisSettings {
    /// A setting, as in redis.conf. Without any of `appendonly` each write is synced before it is acknowledged.
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl RedisSettings {
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = Redis::SYNCED.iter().map(ToString::to_string).collect();
        // The last one holds.
        for setting in &self.settings {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            arguments.extend([format!("--{name}"), value.to_owned()]);
        }
        arguments
    }
}

fn main() -> ExitCode {
    match Cli::parse().instrument {
        Instrument::Redis { settings } => {
            let redis = start_redis(&settings.arguments());
            let url = redis.url();
            Bench::new(url, vec![("redis".to_owned(), Server::Redis(redis))]).serve();
        }
        Instrument::Sentinel { settings } => {
            let arguments = settings.arguments();
            let master = start_redis(&arguments);
            let replica = master.start_replica(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let sentinel = master.start_sentinel();
            sentinel.wait_until(&["SENTINEL", "replicas", SENTINEL_MASTER], "127.0.0.1");
            let url = format!("redis+sentinel://127.0.0.1:{}/{SENTINEL_MASTER}", sentinel.port());
            let servers = [("master", master), ("replica", replica), ("sentinel", sentinel)];
            Bench::new(url, servers.map(|(name, one)| (name.to_owned(), Server::Redis(one))).into()).serve();
        }
        Instrument::RedisCluster { replicas } => {
            let cluster = if replicas { RedisCluster::start_with_replicas() } else { RedisCluster::start() };
            let url = format!("redis+cluster://{}", cluster.addresses());
            let (masters, replicas) = cluster.into_nodes();
            let named = |kind: &'static str, nodes: Vec<Redis>| {
                nodes.into_iter().enumerate().map(move |(n, node)| (format!("{kind}-{n}"), Server::Redis(node)))
            };
            Bench::new(url, named("master", masters).chain(named("replica", replicas)).collect()).serve();
        }
        Instrument::Postgres { settings, standby } => {
            let postgres = Postgres::start(&settings.iter().map(String::as_str).collect::<Vec<_>>());
            let url = postgres.url();
            let standby = standby.then(|| postgres.start_standby());
            let mut servers = vec![("postgres".to_owned(), Server::Postgres(postgres))];
            servers.extend(standby.map(|standby| ("standby".to_owned(), Server::Postgres(standby))));
            Bench::new(url, servers).serve();
        }
        Instrument::FaultProxy { listen, to, control, script } => return proxy(listen, to, control, script),
    }
    ExitCode::SUCCESS
}

fn start_redis(arguments: &[String]) -> Redis {
    Redis::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::main(flavor = "current_thread")]
async fn proxy(
    listen: Option<SocketAddr>,
    to: SocketAddr,
    control: Option<SocketAddr>,
    script: Option<PathBuf>,
) -> ExitCode {
    match run_proxy(listen, to, control, script).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&json!({ "error": fault.to_string() }));
            ExitCode::FAILURE
        }
    }
}

async fn run_proxy(
    listen: Option<SocketAddr>,
    to: SocketAddr,
    control: Option<SocketAddr>,
    script: Option<PathBuf>,
) -> io::Result<()> {
    let proxy = match listen {
        Some(address) => FaultProxy::start_at(address, to).await?,
        None => FaultProxy::start(to).await?,
    };
    if let Some(path) = script {
        let named = |fault| io::Error::other(format!("{}: {fault}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|fault| named(fault.to_string()))?;
        proxy.run(Script::parse(&text).map_err(named)?).await;
    }
    let proxy = Arc::new(proxy);
    let mut ready = json!({ "ready": true, "listen": proxy.address(), "port": proxy.address().port() });
    if let Some(address) = control {
        let listener = TcpListener::bind(address).await?;
        ready["control"] = json!(listener.local_addr()?);
        tokio::spawn(serve_control(proxy.clone(), listener));
    }
    say(&ready);
    let mut orders = BufReader::new(stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        say(&obey(&proxy, &order).await);
    }
    Ok(())
}
