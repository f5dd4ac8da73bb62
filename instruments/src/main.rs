//! The instruments for tests in other languages: one process for each, driven by lines of JSON.
//!
//! When what was asked for is ready, one line on standard output says where it is. From then on each line on standard
//! input is an order, and is answered by one line. When standard input ends, everything is stopped and removed; so it is
//! when the process is killed.

mod orders;

use clap::{Args, Parser, Subcommand};
use orders::{Bench, Server};
use sessile_instruments::servers::{Postgres, Redis, RedisCluster, SENTINEL_MASTER};

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
where there are several servers with "server":"NAME", by the names in the first line."#;

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

fn main() {
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
    }
}

fn start_redis(arguments: &[String]) -> Redis {
    Redis::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}
