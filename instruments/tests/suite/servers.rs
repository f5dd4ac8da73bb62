//! Servers leave nothing behind, and are as away as a test wants them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sessile_instruments::servers::{Postgres, Redis};

const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come true");
        sleep(Duration::from_millis(50));
    }
}

/// A process that has ended but that nobody has waited for has no `exe`.
fn runs(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
}

fn start(instrument: &str) -> (Child, serde_json::Value) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_sessile-instruments"))
        .arg(instrument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, serde_json::from_str(&line).unwrap())
}

/// Whether the orders end or the process is killed: its server and its files go. Before, they are there (the control).
#[test]
fn nothing_is_left_behind() {
    for instrument in ["redis", "postgres"] {
        for killed in [false, true] {
            let (mut process, ready) = start(instrument);
            let server = &ready["servers"][instrument];
            let (pid, directory) = (server["pid"].as_u64().unwrap(), server["directory"].as_str().unwrap());
            assert!(runs(pid) && Path::new(directory).exists(), "{instrument} was never there");
            if killed {
                process.kill().unwrap();
            }
            drop(process.stdin.take());
            assert_eq!(process.wait().unwrap().success(), !killed);
            eventually("the end of the server", || !runs(pid));
            eventually("the end of its files", || !Path::new(directory).exists());
        }
    }
}

/// A frozen server takes connections and answers nothing; let go, it answers what was asked meanwhile.
#[test]
fn a_frozen_redis_is_silent() {
    let redis = Redis::start(Redis::FORGETFUL);
    redis.freeze();
    let port = redis.port();
    let asking = std::thread::spawn(move || {
        let mut connection = redis::Client::open(("127.0.0.1", port)).unwrap().get_connection().unwrap();
        redis::cmd("PING").query::<String>(&mut connection).unwrap()
    });
    sleep(Duration::from_millis(500));
    assert!(!asking.is_finished(), "a frozen server answered");
    redis.thaw();
    assert_eq!(asking.join().unwrap(), "PONG");
}

/// The same of PostgreSQL, on a connection that was open before; and what it was told survives its killing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgres_is_silent() {
    let postgres = tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap();
    let client = postgres.client().await;
    client.batch_execute("CREATE TABLE kept AS SELECT 41 AS it").await.unwrap();
    postgres.freeze();
    let asking = tokio::spawn(async move { client.query_one("SELECT it FROM kept", &[]).await.unwrap().get(0) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!asking.is_finished(), "a frozen server answered");
    postgres.thaw();
    let answer: i32 = asking.await.unwrap();
    assert_eq!(answer, 41);
    tokio::task::block_in_place(|| {
        postgres.kill();
        assert_eq!(postgres.pid(), None);
        postgres.restart();
    });
    assert_eq!(postgres.rows("SELECT it, NULL FROM kept").await.unwrap(), [[Some("41".to_owned()), None]]);
}
