//! From the acknowledgement of a revocation on one node to the refusal on another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use redis::aio::MultiplexedConnection;
use sessile_instruments::servers::{Postgres, Redis};
use sessile_store::Backend;
use sessile_store::postgres::{PostgresOptions, PostgresStore};
use sessile_store::redis::{RedisOptions, RedisStore};
use tempfile::TempDir;
use tokio::time::sleep;

use super::Bench;
use crate::client::{Client, Credentials};
use crate::gateway::{Gateway, Settings};
use crate::machine::on_core;
use crate::report::{Outcome, Rounds, Target, Unit, median};
use crate::store::{self, Filling, HOST, Visitor};

/// As `staleness` is by default: no node may take longer.
const BOUND: Duration = Duration::from_secs(5);
/// Round trips before each revocation.
const TRIPS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
const STORES: [(&str, &str); 2] = [("redis", "Redis"), ("postgres", "PostgreSQL")];

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let mut rounds = Rounds::default();
    for (name, _) in STORES {
        let server = Server::start(name);
        let master = store::new_master_key();
        let filling = Filling { visitors: size.rounds * size.revocations, others: 0, age: Duration::ZERO };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let visitors = runtime.block_on(async { store::fill(server.open().await, &master, filling).await });
        let nodes = [0, 1].map(|_| Node::start(bench, &server, &master));
        on_core(bench.cores.load, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut trip = server.trip().await;
                for round in visitors.chunks(size.revocations) {
                    one_round(name, &nodes, round, &mut trip, &mut rounds).await;
                }
            });
        });
    }
    report(bench, &rounds)
}

fn report(bench: &Bench, rounds: &Rounds) -> Outcome {
    let method = format!(
        "Two gateways on one core, and one store: Redis with appendfsync always, PostgreSQL as it comes. A client on the other core asks the \
         second gateway about a session (`/auth/verify`), again as soon as it has its answer, over one connection, while the \
         session is ended through the first one's administration API. The time is from the moment at which that answer has arrived to \
         the moment at which the first request was sent that is refused; it is below zero if that was before. The answer to \
         it is counted beside. Each figure is the median of {} revocations, {} to {} ms apart. A round trip is a PING or a prepared \
         SELECT 1 over a connection that stays open, from the same client, which asks nothing else meanwhile; the median of {TRIPS} before \
         each revocation.",
        bench.size.revocations, APART.start, APART.end
    );
    let (mut figures, mut comparisons) = (Vec::new(), Vec::new());
    for (name, title) in STORES {
        let figure = |what: &str, words: &str| {
            rounds.figure(&format!("{name}: {what}"), format!("{title}: {words}"), Unit::Micros)
        };
        figures.push(figure("trip", "one round trip"));
        figures.push(figure("refused", "from the acknowledgement to the first request that is refused"));
        figures.push(figure("answered", "from the acknowledgement to the answer to it"));
        figures.push(figure("acknowledged", "from the order to its acknowledgement"));
        comparisons.push(rounds.compare(
            &format!("{name}: refused"),
            &format!("{name}: trip"),
            format!("{title}: from acknowledged to refused on another node, beside a round trip"),
            Some(Target::Most(10.0)),
        ));
    }
    Outcome::of(method, figures, comparisons)
}

// Farther apart than two looks at the feed: what is typical is a revocation in a quiet moment.
const APART: std::ops::Range<u64> = 60..120;

async fn one_round(name: &str, nodes: &[Node; 2], visitors: &[Visitor], trip: &mut Trip, rounds: &mut Rounds) {
    let [first, second] = nodes;
    let mut ops = first.gateway.connect_to_ops().await;
    let mut client = Client::connect(second.gateway.address, HOST).await;
    let [mut trips, mut refused, mut answered, mut acknowledged] = [const { Vec::new() }; 4];
    for visitor in visitors {
        for _ in 0..TRIPS {
            let begun = Instant::now();
            trip.go().await;
            trips.push(micros(begun, Instant::now()));
        }
        let cookies = visitor.cookies();
        let ask = async |client: &mut Client| {
            let sent = Instant::now();
            let (status, _) = client.ask(Method::GET, "/auth/verify", Credentials::Cookies(&cookies)).await;
            assert!(matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED), "{status}: {}", second.gateway.said());
            (status == StatusCode::OK, sent)
        };
        assert!(ask(&mut client).await.0, "it is let in before");
        sleep(Duration::from_millis(fastrand::u64(APART))).await;
        let ordered = async {
            // Some questions first.
            sleep(Duration::from_millis(5)).await;
            let begun = Instant::now();
            first.gateway.revoke(&mut ops, &visitor.session.to_string()).await;
            (begun, Instant::now())
        };
        let asked = async {
            let begun = Instant::now();
            loop {
                let (passes, sent) = ask(&mut client).await;
                if !passes {
                    return (sent, Instant::now());
                }
                assert!(begun.elapsed() < BOUND, "it is let in for longer than any node may take");
            }
        };
        let ((begun, done), (sent, arrived)) = tokio::join!(ordered, asked);
        assert!(sent > begun, "it was refused before anybody had ordered so");
        acknowledged.push(micros(begun, done));
        refused.push(micros(done, sent));
        answered.push(micros(done, arrived));
    }
    for (what, values) in
        [("trip", trips), ("refused", refused), ("answered", answered), ("acknowledged", acknowledged)]
    {
        rounds.note(&format!("{name}: {what}"), median(values));
    }
}

// Below zero if `to` was earlier.
fn micros(from: Instant, to: Instant) -> f64 {
    let [after, before] = [to.saturating_duration_since(from), from.saturating_duration_since(to)];
    (after.as_secs_f64() - before.as_secs_f64()) * 1e6
}

struct Node {
    gateway: Gateway,
    // Goes after what has its files in it.
    _data: TempDir,
}

impl Node {
    fn start(bench: &Bench, server: &Server, master: &str) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let gateway = Gateway::start(&Settings {
            program: &bench.program,
            core: bench.cores.gateway,
            data: data.path(),
            master,
            app: None,
            further: vec![("SESSILE_STORE_URL", server.url())],
        });
        Self { gateway, _data: data }
    }
}

enum Server {
    Redis(Redis),
    Postgres(Postgres),
}

impl Server {
    fn start(name: &str) -> Self {
        match name {
            "redis" => Self::Redis(Redis::start(Redis::SYNCED)),
            _ => Self::Postgres(Postgres::start(&[])),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Postgres(server) => format!("{}?sslmode=disable", server.url()),
        }
    }

    async fn open(&self) -> Arc<dyn Backend> {
        match self {
            Self::Redis(_) => {
                let options =
                    RedisOptions { read_deadline: PATIENCE, write_deadline: PATIENCE, ..RedisOptions::default() };
                let address = self.url().parse().expect("an address");
                Arc::new(RedisStore::connect(&address, options).await.expect("Redis opens"))
            }
            Self::Postgres(_) => {
                let options =
                    PostgresOptions { read_deadline: PATIENCE, write_deadline: PATIENCE, ..PostgresOptions::default() };
                let url = self.url().parse().expect("an address");
                Arc::new(PostgresStore::connect(&url, options).await.expect("PostgreSQL opens"))
            }
        }
    }

    /// By the loopback, as a gateway goes.
    async fn trip(&self) -> Trip {
        match self {
            Self::Redis(server) => {
                let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
                let client = redis::Client::open(format!("redis://{address}")).expect("an address");
                Trip::Redis(client.get_multiplexed_async_connection().await.expect("it connects"))
            }
            Self::Postgres(server) => {
                let place = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", server.port());
                let (client, connection) =
                    tokio_postgres::connect(&place, tokio_postgres::NoTls).await.expect("it connects");
                tokio::spawn(connection);
                let statement = client.prepare("SELECT 1").await.expect("it is prepared");
                Trip::Postgres(client, statement)
            }
        }
    }
}

enum Trip {
    Redis(MultiplexedConnection),
    Postgres(tokio_postgres::Client, tokio_postgres::Statement),
}

impl Trip {
    async fn go(&mut self) {
        match self {
            Self::Redis(connection) => {
                let said: String = redis::cmd("PING").query_async(connection).await.expect("it answers");
                assert_eq!(said, "PONG");
            }
            Self::Postgres(client, statement) => {
                let row = client.query_one(statement, &[]).await.expect("it answers");
                assert_eq!(row.get::<_, i32>(0), 1);
            }
        }
    }
}
