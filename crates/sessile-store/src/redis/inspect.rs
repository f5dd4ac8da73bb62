//! What the server is, looked at with each new connection: whether it may be trusted with sessions, and how far.

use std::collections::BTreeMap;

use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

use super::RedisOptions;
use super::link::Connection;
use crate::contract::Durability;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Drawn by the server at each of its starts.
    pub(super) run: String,
    pub(super) durability: Durability,
}

/// The server must not hold sessions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It throws data away when memory runs short: sessions end, and nobody is told.
    #[error(
        "the Redis server evicts data when its memory is full (maxmemory-policy {0}). Set `maxmemory-policy noeviction` in its configuration"
    )]
    Evicts(String),
    /// It lacks commands that this store needs.
    #[error("the Redis server is of version {0}; this store needs Redis 7.0 or newer, or Valkey")]
    TooOld(String),
    /// It does not tell its configuration.
    #[error(
        "the Redis server does not tell its configuration ({0}). If you know that it never evicts data, say so with `danger_assume_noeviction`, and say with `assume_durability` what its acknowledgements survive"
    )]
    Silent(String),
}

pub(super) async fn inspect(
    connection: &mut Connection,
    options: &RedisOptions,
    before: Option<&Server>,
) -> RedisResult<Result<Server, Unfit>> {
    let info = info(connection).await?;
    let version = info.get("redis_version").map_or("", String::as_str);
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 7 {
        return Ok(Err(Unfit::TooOld(version.to_owned())));
    }
    let durability = match configuration(connection).await? {
        Ok(settings) => {
            let policy = settings.get("maxmemory-policy").map_or("unknown", String::as_str);
            if policy != "noeviction" {
                if !options.danger_allow_eviction {
                    return Ok(Err(Unfit::Evicts(policy.to_owned())));
                }
                if before.is_none() {
                    tracing::warn!(policy, "the Redis server may evict sessions and the feed of revocations");
                }
            }
            durability(&settings, options)
        }
        Err(why) => match options.assume_durability {
            Some(durability) if options.danger_assume_noeviction => durability,
            Some(_) | None => return Ok(Err(Unfit::Silent(why))),
        },
    };
    let server = Server { run: info.get("run_id").cloned().unwrap_or_default(), durability };
    report(&server, before);
    Ok(Ok(server))
}

fn durability(settings: &BTreeMap<String, String>, options: &RedisOptions) -> Durability {
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    if options.replicas > 0 {
        return Durability::Replicated;
    }
    match (setting("appendonly"), setting("appendfsync")) {
        ("yes", "always") => Durability::HostCrashSafe,
        ("yes", _) => Durability::ProcessCrashSafe,
        _ => Durability::Memory,
    }
}

fn report(server: &Server, before: Option<&Server>) {
    match before {
        None if server.durability == Durability::Memory => tracing::warn!(
            "the Redis server keeps no append-only file (appendonly no): when it restarts, sessions are as old as its last snapshot, or gone"
        ),
        Some(before) if before.run != server.run => tracing::warn!(
            durability = server.durability.name(),
            "the Redis server restarted, or another one took its place"
        ),
        None | Some(_) => {}
    }
}

async fn info(connection: &mut Connection) -> RedisResult<BTreeMap<String, String>> {
    let text: String = redis::from_redis_value(connection.send(redis::cmd("INFO").arg("server")).await?)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

// Managed services forbid CONFIG, or do not know it.
async fn configuration(connection: &mut Connection) -> RedisResult<Result<BTreeMap<String, String>, String>> {
    let mut command = Cmd::new();
    command.arg("CONFIG").arg("GET").arg("maxmemory-policy").arg("appendonly").arg("appendfsync");
    match connection.send(&command).await {
        Ok(Value::Nil) => Ok(Err("CONFIG GET answered nothing".to_owned())),
        Ok(value) => {
            let settings: BTreeMap<String, String> = redis::from_redis_value(value)?;
            Ok(if settings.contains_key("maxmemory-policy") {
                Ok(settings)
            } else {
                Err("CONFIG GET does not know maxmemory-policy".to_owned())
            })
        }
        Err(error) => match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError) => Ok(Err(error.to_string())),
            _ => Err(error),
        },
    }
}
