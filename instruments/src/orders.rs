//! Orders to servers, and the answers.

use std::io::{BufRead, Write};

use serde::Deserialize;
use serde_json::{Value, json};
use sessile_instruments::servers::{Postgres, Redis};
use tokio::runtime::Runtime;

/// One server of the bench.
pub(crate) enum Server {
    Redis(Redis),
    Postgres(Postgres),
}

/// The servers of this process, by their names.
pub(crate) struct Bench {
    url: String,
    servers: Vec<(String, Server)>,
    runtime: Runtime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    server: Option<String>,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Do(Deed),
    Ask(Vec<String>),
    Sql(String),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deed {
    Kill,
    Restart,
    Stop,
    Continue,
}

impl Bench {
    pub(crate) fn new(url: String, servers: Vec<(String, Server)>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { url, servers, runtime }
    }

    /// Says what there is and obeys until there are no more orders.
    pub(crate) fn serve(self) {
        let servers: Value = self.servers.iter().map(|(name, server)| (name.clone(), server.shown())).collect();
        say(&json!({ "ready": true, "url": self.url, "servers": servers }));
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            say(&self.obey(&line).unwrap_or_else(|fault| json!({ "error": fault })));
        }
    }

    fn obey(&self, line: &str) -> Result<Value, String> {
        let order: Order = serde_json::from_str(line).map_err(|fault| format!("not an order: {fault}"))?;
        let server = self.named(order.server.as_deref())?;
        match (order.what, server) {
            (What::Do(deed), server) => {
                server.carry_out(deed);
                Ok(server.shown())
            }
            (What::Ask(command), Server::Redis(redis)) if !command.is_empty() => {
                let command: Vec<&str> = command.iter().map(String::as_str).collect();
                Ok(json!({ "answer": plain(&redis.ask(&command).map_err(|fault| fault.to_string())?) }))
            }
            (What::Sql(sql), Server::Postgres(postgres)) => {
                let rows = self.runtime.block_on(postgres.rows(&sql));
                Ok(json!({ "rows": rows.map_err(|fault| format!("{fault:?}"))? }))
            }
            (What::Ask(_) | What::Sql(_), _) => Err("this server does not speak that language".to_owned()),
        }
    }

    fn named(&self, name: Option<&str>) -> Result<&Server, String> {
        let found = match (name, &self.servers[..]) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (Some(name), all) => all.iter().find(|(known, _)| known == name).map(|(_, server)| server),
        };
        let names = || self.servers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("name a \"server\", one of {}", names()))
    }
}

impl Server {
    fn shown(&self) -> Value {
        match self {
            Self::Redis(redis) => json!({
                "port": redis.port(), "pid": redis.pid(), "url": redis.url(), "directory": redis.directory(),
            }),
            Self::Postgres(postgres) => json!({
                "port": postgres.port(), "pid": postgres.pid(), "url": postgres.url(), "directory": postgres.directory(),
            }),
        }
    }

    fn carry_out(&self, deed: Deed) {
        match (self, deed) {
            (Self::Redis(redis), Deed::Kill) => redis.kill(),
            (Self::Redis(redis), Deed::Restart) => redis.restart(),
            (Self::Redis(redis), Deed::Stop) => redis.freeze(),
            (Self::Redis(redis), Deed::Continue) => redis.thaw(),
            (Self::Postgres(postgres), Deed::Kill) => postgres.kill(),
            (Self::Postgres(postgres), Deed::Restart) => postgres.restart(),
            (Self::Postgres(postgres), Deed::Stop) => postgres.freeze(),
            (Self::Postgres(postgres), Deed::Continue) => postgres.thaw(),
        }
    }
}

/// One line on standard output. Nobody left to read it is no fault of this process.
pub(crate) fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn plain(value: &redis::Value) -> Value {
    match value {
        redis::Value::Nil => Value::Null,
        redis::Value::Int(number) => json!(number),
        redis::Value::BulkString(bytes) => json!(String::from_utf8_lossy(bytes)),
        redis::Value::SimpleString(text) => json!(text),
        redis::Value::Okay => json!("OK"),
        redis::Value::Array(values) => values.iter().map(plain).collect(),
        other => json!(format!("{other:?}")),
    }
}
