//! PostgreSQL when it is full, cut off, read-only, slow, or in its own way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::servers::Postgres;
use sessile_store::postgres::{PostgresOptions, PostgresStore, PostgresUrl};
use sessile_store::{Backend, Durability, InsertOutcome, Sessions, StoreError, Vault, WriteOutcome};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::postgres_world::{fresh_schema, open, own_server, patient, shared, url};
use crate::world::{START, after, new_session, sign_in, vault};

async fn try_sign_in(vault: &Vault, of: &str) -> Result<(), StoreError> {
    match vault.insert(new_session(of, START), 50).await? {
        InsertOutcome::Inserted { .. } => Ok(()),
        InsertOutcome::IdTaken => panic!("128 random bits were taken"),
    }
}

/// Tries until it succeeds: what a store promises is that this needs nobody's help.
async fn recovers<T>(mut attempt: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(fault) => assert!(begun.elapsed() < Duration::from_secs(30) && fault.is_retryable(), "{fault}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Who is neither its superuser, for whom places are kept, nor anybody else.
async fn app_url(server: &Postgres) -> PostgresUrl {
    server.sql("CREATE ROLE app LOGIN").await;
    server.sql("CREATE DATABASE app OWNER app").await;
    format!("postgres://app@{}/app", server.socket()).parse().unwrap()
}

/// S12: somebody else took every place the server has; sign-ins are refused quickly, and sessions can still be ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_server_still_revokes() {
    let server = own_server(&["max_connections=9", "superuser_reserved_connections=3"]).await;
    let url = app_url(&server).await;
    let store = PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap();
    let vault = Arc::new(vault(Arc::new(store)).await);
    let (session, _) = sign_in(&vault, "anna", START).await;
    // The idle ones of the store go too: only the one held back, and the one that listens, are left to it.
    let idle = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND query = 'COMMIT'
        AND pid <> (SELECT min(pid) FROM pg_stat_activity WHERE usename = 'app')";
    server.client().await.execute(idle, &[]).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..20 {
        taken.extend(server.client_of("app", "app").await.ok());
    }
    assert!(taken.len() >= 3, "only {} places were taken", taken.len());
    let mut flood = JoinSet::new();
    for number in 0..500 {
        let vault = vault.clone();
        flood.spawn(async move {
            let begun = Instant::now();
            (try_sign_in(&vault, &format!("subject-{number}")).await, begun.elapsed())
        });
    }
    let begun = Instant::now();
    let revoked = vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(5)).await.unwrap();
    assert_eq!(revoked.ended, [session.id]);
    assert!(begun.elapsed() < Duration::from_secs(2), "the revocation took {:?}", begun.elapsed());
    while let Some(ended) = flood.join_next().await {
        // Negative control: what is not held back for does not get through.
        let (refused, took) = ended.unwrap();
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
        assert!(took < Duration::from_secs(4), "a refusal took {took:?}");
    }
    drop(taken);
    recovers(async || try_sign_in(&vault, "boris").await).await;
}

/// L3, S4: sign-ins that hang take every connection for requests; a revocation does not stand behind them, and those
/// that do hear in time that they were late.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_does_not_stand_before_a_revocation() {
    let schema = fresh_schema();
    let options = PostgresOptions { schema: schema.clone(), connections: 3, ..PostgresOptions::default() };
    let vault = Arc::new(vault(Arc::new(open(shared(), options).await.unwrap())).await);
    let (session, _) = sign_in(&vault, "boris", START).await;
    let holder = shared().client().await;
    let turn = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('sessile subject {schema}.anna', 0))");
    holder.batch_execute(&turn).await.unwrap();
    let mut flood = JoinSet::new();
    for _ in 0..30 {
        let vault = vault.clone();
        flood.spawn(async move { try_sign_in(&vault, "anna").await });
    }
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(5)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "the revocation took {:?}", begun.elapsed());
    let mut unknown = 0;
    while let Some(ended) = flood.join_next().await {
        match ended.unwrap().unwrap_err() {
            StoreError::Unavailable { outcome: WriteOutcome::Unknown, .. } => unknown += 1,
            StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. } => {}
            other => panic!("{other}"),
        }
    }
    assert!(unknown >= 1, "no sign-in that was sent was called unknown");
    // The server gave up with us: nothing of the flood is left waiting, and nothing of it happens later.
    sleep(Duration::from_millis(500)).await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%sessile subject%'
        AND application_name = 'sessile'";
    let waiting: i64 = holder.query_one(waiting, &[]).await.unwrap().get(0);
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!((waiting, vault.count().await.unwrap()), (0, 0));
    recovers(async || try_sign_in(&vault, "anna").await).await;
}

/// S13: told to stand still, the server takes no write and none is acknowledged; afterwards nothing needs a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_turns_read_only() {
    let server = own_server(&[]).await;
    let vault = vault(Arc::new(open(&server, PostgresOptions::default()).await.unwrap())).await;
    let (session, _) = sign_in(&vault, "anna", START).await;
    server.set("default_transaction_read_only = on").await;
    let begun = Instant::now();
    let refused = loop {
        match vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(5)).await {
            // The settings are read again a moment after it was asked for.
            Ok(_) if begun.elapsed() < Duration::from_secs(5) => sleep(Duration::from_millis(50)).await,
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(refused, StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. }), "{refused}");
    // The others are as unavailable; what is not there is not reported as gone.
    let refused = try_sign_in(&vault, "boris").await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. }), "{refused}");
    server.set("default_transaction_read_only = off").await;
    recovers(async || try_sign_in(&vault, "boris").await).await;
    recovers(async || vault.revoke(&Scope::Subject("boris".parse().unwrap()), Reason::SignOut, after(6)).await).await;
}

/// S13: while connections are cut again and again, no answer is wrong, and when it stops all is well by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_connections_are_opened_again() {
    let server = own_server(&[]).await;
    let vault = Arc::new(vault(Arc::new(open(&server, patient(&fresh_schema())).await.unwrap())).await);
    let cutter = server.client().await;
    let mut load = JoinSet::new();
    for worker in 0..6 {
        let vault = vault.clone();
        load.spawn(async move {
            let mut faults = 0;
            for round in 0..60 {
                let of = format!("subject-{worker}");
                let session = match vault.insert(new_session(&of, after(round)), u32::MAX).await {
                    Ok(InsertOutcome::Inserted { session, .. }) => session,
                    Ok(InsertOutcome::IdTaken) => panic!("128 random bits were taken"),
                    Err(fault) => {
                        assert!(fault.is_retryable(), "{fault}");
                        faults += 1;
                        continue;
                    }
                };
                match vault.load(session.id).await {
                    Ok(kept) => assert!(kept.is_some(), "an acknowledged session is gone"),
                    Err(fault) => {
                        assert!(fault.is_retryable(), "{fault}");
                        faults += 1;
                    }
                }
            }
            faults
        });
    }
    let mut cut = 0;
    for _ in 0..12 {
        sleep(Duration::from_millis(40)).await;
        let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sessile'";
        cut += cutter.execute(all, &[]).await.unwrap();
    }
    let mut faults = 0;
    while let Some(ended) = load.join_next().await {
        faults += ended.unwrap();
    }
    // Negative control: the cuts were felt.
    assert!(cut > 12 && faults > 0, "{cut} connections cut, {faults} faults");
    recovers(async || try_sign_in(&vault, "anna").await).await;
    recovers(async || vault.revoke(&Scope::All, Reason::SignOut, after(99)).await).await;
    assert_eq!(vault.count().await.unwrap(), 0);
}

/// S11: of two transactions that wait for each other one is told to give in; it is ours, and tries again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_is_tried_again() {
    let server = own_server(&["deadlock_timeout=200ms"]).await;
    let schema = fresh_schema();
    let vault = Arc::new(vault(Arc::new(open(&server, patient(&schema)).await.unwrap())).await);
    let mut ids = [sign_in(&vault, "anna", START).await.0.id, sign_in(&vault, "anna", START).await.0.id];
    ids.sort_unstable();
    let other = server.client().await;
    let lock = format!("SELECT FROM {schema}.sessions WHERE id = $1 FOR UPDATE");
    other.batch_execute("BEGIN; SET LOCAL deadlock_timeout = '60s'").await.unwrap();
    other.query(&lock, &[&&ids[1].as_bytes()[..]]).await.unwrap();
    let revoking = tokio::spawn({
        let vault = vault.clone();
        async move { vault.revoke(&Scope::Subject("anna".parse().unwrap()), Reason::SignOut, after(5)).await }
    });
    sleep(Duration::from_millis(50)).await;
    // It holds the first and waits for the second; now we wait for the first.
    other.query(&lock, &[&&ids[0].as_bytes()[..]]).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(revoking.await.unwrap().unwrap().ended, ids);
    // Negative control: there was a deadlock. The count is reported a moment later.
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'";
    let begun = Instant::now();
    while other.query_one(deadlocks, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody waited for anybody");
        sleep(Duration::from_millis(100)).await;
    }
}

/// S13: of several hosts the one that takes writes is used, and a standby alone is refused. When the primary dies and the
/// standby is promoted, the store finds it by itself, and what was replicated is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_is_followed() {
    let primary = Arc::new(own_server(&[]).await);
    let copied = primary.clone();
    let standby = tokio::task::spawn_blocking(move || copied.start_standby()).await.unwrap();
    let both: PostgresUrl =
        format!("postgres://postgres@{},{}/postgres", standby.socket(), primary.socket()).parse().unwrap();
    let store = PostgresStore::connect(&both, PostgresOptions::default()).await.unwrap();
    let vault = vault(Arc::new(store)).await;
    let (session, _) = sign_in(&vault, "anna", START).await;
    let refused = open(&standby, PostgresOptions::default()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    let begun = Instant::now();
    let (here, there) = (primary.client().await, standby.client().await);
    let written: String = here.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let replayed = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    while !there.query_one(replayed, &[&written]).await.unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the standby does not follow");
        sleep(Duration::from_millis(50)).await;
    }
    let killed = primary.clone();
    tokio::task::spawn_blocking(move || killed.kill()).await.unwrap();
    // Before the promotion nobody tells the truth, and nobody is told that the session is gone.
    let away = vault.load(session.id).await.unwrap_err();
    assert!(away.is_retryable(), "{away}");
    there.query("SELECT pg_promote()", &[]).await.unwrap();
    assert!(recovers(async || vault.load(session.id).await).await.is_some());
    let revoked = recovers(async || vault.revoke(&Scope::All, Reason::SignOut, after(5)).await).await;
    assert_eq!(revoked.ended, [session.id]);
}

/// S14: what the store advertises follows the server's settings, while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_follows_the_server() {
    let server = own_server(&[]).await;
    let store = open(&server, PostgresOptions::default()).await.unwrap();
    let becomes = async |right: Durability| {
        let begun = Instant::now();
        while store.durability() != right {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?} instead of {right:?}", store.durability());
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(store.durability(), Durability::HostCrashSafe);
    server.set("synchronous_commit = off").await;
    becomes(Durability::ProcessCrashSafe).await;
    server.set("synchronous_commit = on").await;
    becomes(Durability::HostCrashSafe).await;
}

/// A commit that was told not to wait for its replicas is acknowledged by the server; the store says that it does not
/// know. Negative control: without a replica to wait for, the same write succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_stopped_waiting_is_unknown() {
    let server = own_server(&[]).await;
    let store = Arc::new(open(&server, patient(&fresh_schema())).await.unwrap());
    let vault = Arc::new(vault(store.clone()).await);
    try_sign_in(&vault, "anna").await.unwrap();
    server.set("synchronous_standby_names = 'nobody'").await;
    let begun = Instant::now();
    while store.durability() != Durability::Replicated {
        assert!(begun.elapsed() < Duration::from_secs(10), "the setting was not seen");
        sleep(Duration::from_millis(50)).await;
    }
    let signing_in = tokio::spawn({
        let vault = vault.clone();
        async move { try_sign_in(&vault, "boris").await }
    });
    let other = server.client().await;
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while !signing_in.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the commit was never cancelled");
        other.execute(cancel, &[]).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    let doubt = signing_in.await.unwrap().unwrap_err();
    assert!(matches!(doubt, StoreError::Unavailable { outcome: WriteOutcome::Unknown, .. }), "{doubt}");
    server.set("synchronous_standby_names = ''").await;
    recovers(async || try_sign_in(&vault, "carla").await).await;
}

/// five nodes that start at once on an empty database agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_start_at_once() {
    let schema = fresh_schema();
    let mut starting = JoinSet::new();
    for _ in 0..5 {
        let schema = schema.clone();
        starting.spawn(async move { vault(Arc::new(open(shared(), patient(&schema)).await.unwrap())).await });
    }
    let vaults = starting.join_all().await;
    let (session, _) = sign_in(&vaults[0], "anna", START).await;
    for vault in &vaults {
        assert_eq!(vault.lost_history(), None);
        assert!(vault.load(session.id).await.unwrap().is_some());
    }
}

/// S1: a server that is not there is told as that, soon, and a later attempt succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away() {
    let server = Arc::new(own_server(&[]).await);
    let (killed, url) = (server.clone(), url(&server));
    tokio::task::spawn_blocking(move || killed.kill()).await.unwrap();
    let begun = Instant::now();
    let away = PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert!(away.is_retryable() && away.to_string().contains("no connection to"), "{away}");
    let begun_again = server.clone();
    tokio::task::spawn_blocking(move || begun_again.restart()).await.unwrap();
    assert_eq!(open(&server, PostgresOptions::default()).await.unwrap().count().await.unwrap(), 0);
}
