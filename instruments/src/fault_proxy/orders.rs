//! Orders as lines of JSON.

use std::io;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Behaviour, FaultProxy, Script, Step};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Set(Behaviour),
    Script(Vec<Step>),
    Counters(bool),
}

/// Carries out one order, and gives the answer to it: how the proxy behaves now and what has passed.
pub async fn obey(proxy: &FaultProxy, line: &str) -> Value {
    match carry_out(proxy, line).await {
        Ok(()) => json!({
            "behaviour": proxy.behaviour(), "steps_left": proxy.steps_left(), "counters": proxy.counters(),
        }),
        Err(fault) => json!({ "error": fault }),
    }
}

async fn carry_out(proxy: &FaultProxy, line: &str) -> Result<(), String> {
    match serde_json::from_str(line).map_err(|fault| format!("not an order: {fault}"))? {
        Order::Set(behaviour) => proxy.set(behaviour).await,
        Order::Script(steps) => proxy.run(Script::new(steps)?).await,
        // The answer to any order tells them.
        Order::Counters(true) => {}
        Order::Counters(false) => return Err("the counters do not stop: ask with true".to_owned()),
    }
    Ok(())
}

/// Takes orders from whoever connects, one a line, and answers each by a line. Ends when it is dropped.
pub async fn serve_control(proxy: Arc<FaultProxy>, listener: TcpListener) -> io::Result<()> {
    let mut clients = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        clients.spawn(serve(proxy.clone(), client));
        while clients.try_join_next().is_some() {}
    }
}

async fn serve(proxy: Arc<FaultProxy>, mut client: TcpStream) -> io::Result<()> {
    let (from, mut to) = client.split();
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await? {
        to.write_all(format!("{}\n", obey(&proxy, &line).await).as_bytes()).await?;
    }
    Ok(())
}
