//! The ways to a server: the text of an address, TLS, and Sentinels.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_core::revocation::{Reason, Scope, Seq};
use sessile_instruments::servers::{Redis, SENTINEL_MASTER, free_port};
use sessile_store::redis::{Address, ConnectError, RedisOptions, RedisStore};
use sessile_store::{Feed, Sessions};

use crate::redis_world::options;
use crate::world::{after, sign_in, vault};

#[test]
fn addresses() {
    let good = [
        ("redis://localhost", "localhost:6379"),
        ("valkey://10.0.0.1:7000/3", "10.0.0.1:7000"),
        ("rediss://user:p%40ss@db.example:6380", "db.example:6380"),
        ("redis://[::1]", "::1:6379"),
        ("redis+cluster://a:1,b,c:3", "the cluster at a:1,b:6379,c:3"),
        ("rediss+sentinel://:secret@s1,s2:5000/main/2", "main of the Sentinels s1:26379,s2:5000"),
    ];
    for (text, shown) in good {
        let address: Address = text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(address.to_string(), shown, "{text}");
        assert!(!format!("{address:?}").contains("secret") && !format!("{address:?}").contains("p@ss"));
    }
    let bad = [
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://a,b",
        "redis://a:99999",
        "redis://a/not-a-number",
        "redis+cluster://a/1",
        "redis+sentinel://a",
        "redis+ring://a",
        "rediss://secret@localhost#insecure",
        "redis://:secret@localhost?protocol=resp3",
    ];
    for text in bad {
        let fault = text.parse::<Address>().expect_err(text).to_string();
        assert!(!fault.contains("secret"), "{fault}");
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let output = output.unwrap_or_else(|fault| panic!("openssl: {fault}; run scripts/setup-tests"));
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// TLS with verification: an authority that is trusted, one that is not, and a certificate for another name (the controls).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified() {
    let files = tempfile::tempdir().unwrap();
    for authority in ["ours", "others"] {
        openssl(
            files.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    openssl(
        files.path(),
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -addext subjectAltName=IP:127.0.0.1 -keyout redis.key -out redis.csr",
    );
    openssl(
        files.path(),
        "x509 -req -in redis.csr -CA ours.pem -CAkey ours.key -days 2 -copy_extensions copyall -out redis.pem",
    );
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let port = free_port();
    let _server = Redis::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("redis.pem"),
        "--tls-key-file",
        &path("redis.key"),
        "--tls-ca-cert-file",
        &path("ours.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let read = |name: &str| Some(std::fs::read(files.path().join(name)).unwrap());
    let to = |host: &str, root_certificate: Option<Vec<u8>>| {
        let address: Address = format!("rediss://{host}:{port}").parse().unwrap();
        let options = RedisOptions { root_certificate, connect_deadline: Duration::from_secs(10), ..options() };
        async move { RedisStore::connect(&address, options).await }
    };
    let store = to("127.0.0.1", read("ours.pem")).await.unwrap();
    store.count().await.unwrap();
    for (what, refused) in [
        ("another authority", to("127.0.0.1", read("others.pem")).await),
        ("the system's authorities", to("127.0.0.1", None).await),
        ("another name", to("localhost", read("ours.pem")).await),
    ] {
        let Err(ConnectError::Store { fault, .. }) = refused else { panic!("{what} was taken: {refused:?}") };
        assert!(fault.to_string().to_lowercase().contains("certificate"), "{what}: {fault}");
    }
}

/// S8: a master dies, a replica is promoted, and the same store goes on there: what replicas confirmed holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sentinels_fail_over() {
    let master = Redis::start(Redis::SYNCED);
    let replica = master.start_replica(&["--appendonly", "yes"]);
    let sentinel = master.start_sentinel();
    let address: Address = format!("redis+sentinel://127.0.0.1:{}/{SENTINEL_MASTER}", sentinel.port()).parse().unwrap();
    tokio::task::block_in_place(|| sentinel.wait_until(&["SENTINEL", "replicas", SENTINEL_MASTER], "127.0.0.1"));

    let confirmed = RedisOptions { replicas: 1, ..options() };
    let store = Arc::new(RedisStore::connect(&address, confirmed.clone()).await.unwrap());
    let vault = vault(store.clone()).await;
    let (kept, _) = sign_in(&vault, "anna", after(0)).await;
    let (ended, _) = sign_in(&vault, "anna", after(1)).await;
    vault.revoke(&Scope::Session(ended.id), Reason::SignOut, after(2)).await.unwrap();
    let before = store.feed(Seq(0), 10).await.unwrap();

    master.kill();
    let begun = Instant::now();
    let found = loop {
        match store.load(kept.id).await {
            Ok(found) => break found,
            Err(_) if begun.elapsed() < Duration::from_secs(60) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(fault) => panic!("no failover: {fault}"),
        }
    };
    assert!(found.is_some(), "a confirmed sign-in was lost");
    assert!(store.load(ended.id).await.unwrap().is_none(), "a confirmed revocation was lost");
    assert_eq!(store.feed(Seq(0), 10).await.unwrap(), before, "the feed");
    let role: Vec<redis::Value> = redis::from_redis_value(replica.ask(&["ROLE"]).unwrap()).unwrap();
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()), "nothing failed over");
    // Alone now, the promoted one has no replica that could confirm.
    let alone =
        RedisStore::connect(&address, RedisOptions { write_deadline: Duration::from_secs(2), ..confirmed }).await;
    assert!(matches!(alone, Err(ConnectError::Store { .. })), "{alone:?}");
}
