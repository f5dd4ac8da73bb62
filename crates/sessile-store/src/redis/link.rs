//! The connection: made when it is needed, given up when it is in doubt.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::timeout;

use super::RedisOptions;
use super::address::Dialler;
use super::fault::{Class, class, fault};
use super::inspect::{Server, Unfit, inspect};
use super::script::{Call, Verb};
use crate::contract::PATIENCE_FOR_ALL;
use crate::error::{StoreError, WriteOutcome};

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection, Route),
}

impl Connection {
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Node(node) => command.query_async(node).await,
            // Not by the command's own key: what is asked of the server is asked of the one that holds the store.
            Self::Cluster(cluster, route) => {
                cluster.route_command(command.clone(), specific(route)).await?.extract_error()
            }
        }
    }

    async fn send_both(&mut self, first: Cmd, second: Cmd) -> RedisResult<[Value; 2]> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(first).add_command(second);
        let answers = match self {
            Self::Node(node) => node.send_packed_commands(&pipeline, 0, 2).await?,
            Self::Cluster(cluster, route) => {
                let node = SingleNodeRoutingInfo::SpecificNode(*route);
                cluster.route_pipeline(pipeline, 0, 2, node).await?
            }
        };
        answers.try_into().map_err(|_| RedisError::from((ErrorKind::Parse, "not two answers to two commands")))
    }
}

fn specific(route: &Route) -> RoutingInfo {
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(*route))
}

/// How calls reach the server.
#[derive(Debug)]
pub(super) struct Link {
    dialler: Dialler,
    options: RedisOptions,
    state: Mutex<State>,
    dialling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<(u64, Connection)>,
    // Counts connections, so that whoever met a broken one does not give up its successor.
    made: u64,
    server: Option<Server>,
    refused: Option<(Instant, Duration, String)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State(connection {}, {:?})", self.made, self.server)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    Unfit(Unfit),
    Unavailable(String),
}

impl Link {
    pub(super) fn new(dialler: Dialler, options: RedisOptions) -> Self {
        Self { dialler, options, state: Mutex::default(), dialling: tokio::sync::Mutex::new(()) }
    }

    pub(super) fn call(&self) -> Call {
        Call::new(self.key("store"), self.key("nothing"))
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.options.prefix)
    }

    /// What the server was when it was last looked at.
    pub(super) fn server(&self) -> Option<Server> {
        self.lock().server.clone()
    }

    /// Runs a verb that changes nothing that somebody relies on.
    pub(super) async fn read(&self, verb: &Verb, call: Call) -> Result<Value, StoreError> {
        let patience = self.options.read_deadline;
        let (answer, _) = self.run(verb, call, patience, None, WriteOutcome::NotDone).await?;
        Ok(answer)
    }

    /// Runs a verb whose answer is a promise.
    pub(super) async fn write(&self, verb: &Verb, call: Call) -> Result<Value, StoreError> {
        self.write_within(self.options.write_deadline, verb, call).await
    }

    /// The same, for what may touch every record.
    pub(super) async fn write_all(&self, verb: &Verb, call: Call) -> Result<Value, StoreError> {
        self.write_within(self.options.write_deadline * PATIENCE_FOR_ALL, verb, call).await
    }

    async fn write_within(&self, patience: Duration, verb: &Verb, call: Call) -> Result<Value, StoreError> {
        let needed = self.options.replicas;
        let wait = (needed > 0).then(|| {
            // A third: a script that the server does not have yet is sent twice, and waited for twice.
            let millis = u64::try_from(patience.as_millis() / 3).unwrap_or(u64::MAX).max(1);
            let mut wait = redis::cmd("WAIT");
            wait.arg(needed).arg(millis);
            wait
        });
        let (answer, confirmed) = self.run(verb, call, patience, wait, WriteOutcome::Unknown).await?;
        match confirmed {
            Some(Value::Int(confirmed)) if confirmed < i64::from(needed) => Err(StoreError::Unavailable {
                why: format!("{}: {confirmed} of {needed} replicas confirmed the write in time", verb.name),
                outcome: WriteOutcome::Unknown,
            }),
            _ => Ok(answer),
        }
    }

    async fn run(
        &self,
        verb: &Verb,
        call: Call,
        patience: Duration,
        wait: Option<Cmd>,
        outcome: WriteOutcome,
    ) -> Result<(Value, Option<Value>), StoreError> {
        let begun = Instant::now();
        let (number, mut connection) = match timeout(patience, self.connection()).await {
            Ok(Ok(found)) => found,
            Ok(Err(NoConnection::Unavailable(why))) => return Err(StoreError::not_done(why)),
            Ok(Err(NoConnection::Unfit(unfit))) => return Err(StoreError::not_done(unfit.to_string())),
            Err(_) => return Err(StoreError::not_done(format!("no connection within {patience:?}"))),
        };
        let left = patience.saturating_sub(begun.elapsed());
        let answer = match timeout(left, ask(&mut connection, verb, &call, wait)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                self.give_up(number);
                let why = format!("{}: no answer within {patience:?}", verb.name);
                return Err(StoreError::Unavailable { why, outcome });
            }
        };
        match class(&answer) {
            Class::Broken | Class::WrongServer => self.give_up(number),
            Class::Full | Class::Refused | Class::Script => {}
        }
        Err(fault(verb.name, &answer, outcome))
    }

    /// The connection, or a new one. Attempts that fail are spaced, and callers do not queue up for them.
    pub(super) async fn connection(&self) -> Result<(u64, Connection), NoConnection> {
        if let Some(answer) = self.known() {
            return answer;
        }
        let _turn = self.dialling.lock().await;
        if let Some(answer) = self.known() {
            return answer;
        }
        let before = self.server();
        let dialled = timeout(self.options.connect_deadline, self.dial_and_inspect(before.as_ref())).await;
        let late = || NoConnection::Unavailable(format!("no connection within {:?}", self.options.connect_deadline));
        match dialled.unwrap_or_else(|_| Err(late())) {
            Ok((connection, server)) => {
                let mut state = self.lock();
                state.made += 1;
                state.connection = Some((state.made, connection.clone()));
                state.server = Some(server);
                state.refused = None;
                Ok((state.made, connection))
            }
            Err(refused) => {
                let why = match &refused {
                    NoConnection::Unfit(unfit) => unfit.to_string(),
                    NoConnection::Unavailable(why) => why.clone(),
                };
                let mut state = self.lock();
                let pause = state.refused.as_ref().map_or(FIRST_PAUSE, |(_, pause, _)| (*pause * 2).min(LONGEST_PAUSE));
                state.refused = Some((Instant::now(), pause, why));
                Err(refused)
            }
        }
    }

    fn known(&self) -> Option<Result<(u64, Connection), NoConnection>> {
        let state = self.lock();
        if let Some((number, connection)) = &state.connection {
            return Some(Ok((*number, connection.clone())));
        }
        match &state.refused {
            Some((at, pause, why)) if at.elapsed() < *pause => Some(Err(NoConnection::Unavailable(why.clone()))),
            Some(_) | None => None,
        }
    }

    async fn dial_and_inspect(&self, before: Option<&Server>) -> Result<(Connection, Server), NoConnection> {
        let unavailable = |error: RedisError| NoConnection::Unavailable(format!("no connection to Redis: {error}"));
        let mut connection = self.dial().await.map_err(unavailable)?;
        match inspect(&mut connection, &self.options, before).await.map_err(unavailable)? {
            Ok(server) => Ok((connection, server)),
            Err(unfit) => Err(NoConnection::Unfit(unfit)),
        }
    }

    /// Looks at the server again over another connection: it may have been configured anew, and in a cluster the store may
    /// have moved to another master. One that has become unfit is given up, and refused when it is dialled.
    pub(super) async fn look_again(&self, connection: &mut Connection) -> RedisResult<()> {
        let before = self.server();
        let found = inspect(connection, &self.options, before.as_ref()).await?;
        let mut state = self.lock();
        match found {
            Ok(server) => state.server = Some(server),
            Err(unfit) => {
                tracing::error!(%unfit, "the store is given up");
                state.connection = None;
            }
        }
        Ok(())
    }

    /// A connection of its own, for one who waits on it.
    pub(super) async fn dial(&self) -> RedisResult<Connection> {
        // Deadlines are the callers'; the driver has none but for dialling.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(self.options.connect_deadline));
        Ok(match &self.dialler {
            Dialler::Single(client) => {
                Connection::Node(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Dialler::Sentinel(client) => {
                let mut client = client.lock().await;
                Connection::Node(client.get_async_connection_with_config(&config).await?)
            }
            Dialler::Cluster(client) => {
                let config = redis::cluster::ClusterConfig::new()
                    .set_connection_timeout(self.options.connect_deadline)
                    .set_response_timeout(self.options.write_deadline * PATIENCE_FOR_ALL);
                let cluster = client.get_async_connection_with_config(config).await?;
                Connection::Cluster(cluster, Route::new(slot(&self.options.prefix), SlotAddr::Master))
            }
        })
    }

    fn give_up(&self, number: u64) {
        let mut state = self.lock();
        if state.connection.as_ref().is_some_and(|(held, _)| *held == number) {
            state.connection = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing is done under it that could leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

// The slot of a hash tag, as the cluster specification has it: CRC-16 with the polynomial 0x1021, modulo 16384.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    });
    crc % 16384
}

async fn ask(
    connection: &mut Connection,
    verb: &Verb,
    call: &Call,
    wait: Option<Cmd>,
) -> RedisResult<(Value, Option<Value>)> {
    match ask_with(connection, verb.by_digest(call), wait.clone()).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            ask_with(connection, verb.whole(call), wait).await
        }
        answer => answer,
    }
}

// WAIT counts the writes of its own connection, so it goes right behind the write.
async fn ask_with(connection: &mut Connection, command: Cmd, wait: Option<Cmd>) -> RedisResult<(Value, Option<Value>)> {
    let Some(wait) = wait else { return Ok((connection.send(&command).await?, None)) };
    let [answer, confirmed] = connection.send_both(command, wait).await?;
    Ok((answer.extract_error()?, Some(confirmed.extract_error()?)))
}
