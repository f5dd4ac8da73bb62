//! What a store in Redis does when its server fails it (S1 to S10).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_core::revocation::{FeedItem, Reason, Scope, Seq};
use sessile_instruments::servers::Redis;
use sessile_store::redis::{ConnectError, RedisOptions, Unfit};
use sessile_store::{Backend, Durability, Feed, RotateOutcome, Sessions, StoreError, WriteOutcome};

use crate::redis_world::{connect, options, store};
use crate::world::{after, new_session, sign_in, vault};

/// S9: a server that evicts is refused, unless danger is spelled; one that does not is taken (the control).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_evicts() {
    let server = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    match connect(&server, options()).await {
        Err(ConnectError::Unfit { unfit: Unfit::Evicts(policy), .. }) => assert_eq!(policy, "allkeys-lru"),
        other => panic!("{other:?}"),
    }
    connect(&server, RedisOptions { danger_allow_eviction: true, ..options() }).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    let store = store(&server).await;
    store.count().await.unwrap();
    // It is looked at again while it is in use.
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).unwrap();
    let refused = async {
        loop {
            match store.count().await {
                Err(StoreError::Unavailable { why, .. }) if why.contains("volatile-lru") => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("a server that evicts was taken back");
}

/// S4: a server that hangs is given up in time, with what is known; once it answers, the same store goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs() {
    let server = Redis::start(Redis::SYNCED);
    let deadlines = RedisOptions {
        read_deadline: Duration::from_millis(200),
        write_deadline: Duration::from_millis(400),
        connect_deadline: Duration::from_secs(5),
        ..options()
    };
    let store = Arc::new(connect(&server, deadlines).await.unwrap());
    store.count().await.unwrap();
    server.ask(&["CLIENT", "PAUSE", "3000", "ALL"]).unwrap();
    let id = new_session("anna", after(0)).session.id;
    let begun = Instant::now();
    let read = store.load(id).await;
    assert!(matches!(read, Err(StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. })), "{read:?}");
    let write = store.revoke(&Scope::Session(id), Reason::SignOut, after(0)).await;
    assert!(matches!(write, Err(StoreError::Unavailable { .. })), "{write:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    wait_for(&store).await;
    assert_eq!(store.load(id).await.unwrap(), None);
}

/// P2: what is promised is what the server is configured for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_is_read_from_the_server() {
    let server = Redis::start(Redis::FORGETFUL);
    assert_eq!(store(&server).await.durability(), Durability::Memory);
    server.ask(&["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    assert_eq!(store(&server).await.durability(), Durability::ProcessCrashSafe);
    server.ask(&["CONFIG", "SET", "appendfsync", "always"]).unwrap();
    assert_eq!(store(&server).await.durability(), Durability::HostCrashSafe);
}

/// Managed services forbid CONFIG: then somebody must vouch for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_tells_nothing() {
    let server = Redis::start(Redis::SYNCED);
    server.ask(&["ACL", "SETUSER", "default", "-config"]).unwrap();
    let refused = connect(&server, options()).await;
    assert!(matches!(refused, Err(ConnectError::Unfit { unfit: Unfit::Silent(_), .. })), "{refused:?}");
    let half = RedisOptions { assume_durability: Some(Durability::HostCrashSafe), ..options() };
    assert!(connect(&server, half.clone()).await.is_err(), "nobody vouched for no eviction");
    let vouched = RedisOptions { danger_assume_noeviction: true, ..half };
    let store = connect(&server, vouched).await.unwrap();
    assert_eq!(store.durability(), Durability::HostCrashSafe);
    store.count().await.unwrap();
}

/// S2, S6: without a server nothing is reported gone; with it back, the same store goes on, and has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts() {
    let server = Redis::start(Redis::SYNCED);
    let store = Arc::new(
        connect(&server, RedisOptions { connect_deadline: Duration::from_secs(2), ..options() }).await.unwrap(),
    );
    let vault = vault(store.clone()).await;
    let (kept, _) = sign_in(&vault, "anna", after(0)).await;
    let (ended, _) = sign_in(&vault, "anna", after(1)).await;
    let epoch = store.feed(Seq(0), 1).await.unwrap().epoch;
    vault.revoke(&Scope::Session(ended.id), Reason::SignOut, after(2)).await.unwrap();
    server.kill();
    for _ in 0..5 {
        assert!(
            matches!(store.load(kept.id).await, Err(StoreError::Unavailable { .. })),
            "gone, or there, without a server"
        );
    }
    server.restart();
    wait_for(&store).await;
    assert!(store.load(kept.id).await.unwrap().is_some());
    assert!(store.load(ended.id).await.unwrap().is_none());
    let page = store.feed(Seq(0), 10).await.unwrap();
    assert_eq!((page.epoch, page.entries.len()), (epoch, 1), "a restart was taken for a loss");
}

/// S7: FLUSHALL, and a restart without persistence: everything is gone, and every node can tell by the epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_everything() {
    let server = Redis::start(Redis::FORGETFUL);
    let store = Arc::new(store(&server).await);
    let vault = vault(store.clone()).await;
    for loss in ["FLUSHALL", "restart"] {
        let (session, _) = sign_in(&vault, "anna", after(0)).await;
        let before = store.feed(Seq(0), 1).await.unwrap();
        if loss == "FLUSHALL" {
            server.ask(&["FLUSHALL"]).unwrap();
        } else {
            server.kill();
            server.restart();
            wait_for(&store).await;
        }
        // Ending what is gone is no fault, before anybody has noticed.
        assert!(vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(1)).await.unwrap().ended.is_empty());
        assert!(store.load(session.id).await.unwrap().is_none(), "{loss}");
        let page = store.feed(before.head, 10).await.unwrap();
        assert_ne!(page.epoch, before.epoch, "{loss} went unnoticed");
        assert_eq!(store.feed(before.head, 10).await.unwrap().epoch, page.epoch, "the new history does not last");
    }
}

/// S7: an older backup under the same epoch. A node that knew more ends every session, even if the feed has come as far
/// again meanwhile; the ended session that the backup brought back is gone. The control: a node that knows nothing of
/// what was lost cannot tell, and meets that session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup() {
    for overtaken_by in ["nobody", "another", "itself"] {
        let server = Redis::start(Redis::SYNCED);
        let prefix = options().prefix;
        let same = || RedisOptions { prefix: prefix.clone(), ..options() };
        let knowing = Arc::new(connect(&server, same()).await.unwrap());
        let vault = vault(knowing.clone()).await;
        let (ended, _) = sign_in(&vault, "anna", after(0)).await;
        let (other, _) = sign_in(&vault, "boris", after(0)).await;
        vault
            .revoke(&Scope::Session(sign_in(&vault, "carla", after(0)).await.0.id), Reason::SignOut, after(1))
            .await
            .unwrap();
        let before = knowing.feed(Seq(0), 10).await.unwrap();

        let log = server.directory().join("appendonlydir");
        let backup = tempfile::tempdir().unwrap();
        server.kill();
        copy(&log, backup.path());
        server.restart();
        wait_for(&knowing).await;
        vault.revoke(&Scope::Session(ended.id), Reason::SignOut, after(2)).await.unwrap();
        server.kill();
        std::fs::remove_dir_all(&log).unwrap();
        std::fs::create_dir(&log).unwrap();
        copy(backup.path(), &log);
        server.restart();
        wait_for(&knowing).await;

        let ignorant = connect(&server, same()).await.unwrap();
        assert!(ignorant.load(ended.id).await.unwrap().is_some(), "the backup did not bring the session back");
        let page = ignorant.feed(before.head, 10).await.unwrap();
        assert_eq!((page.epoch, page.head), (before.epoch, before.head), "a node without knowledge noticed");
        if overtaken_by != "nobody" {
            let who = if overtaken_by == "another" { &ignorant } else { &*knowing };
            for _ in 0..3 {
                who.revoke(&Scope::Session(other.id), Reason::SignOut, after(3)).await.unwrap();
                who.insert(ignorant_session(other.id), 9).await.unwrap();
            }
        }
        let page = knowing.feed(before.head, 10).await.unwrap();
        assert_ne!(page.epoch, before.epoch, "overtaken by {overtaken_by}: the loss went unnoticed");
        let all = knowing.feed(Seq(0), 10).await.unwrap().entries;
        assert!(
            all.iter().any(|entry| entry.item == FeedItem::AllEnded(Reason::StoreRegressed)),
            "{overtaken_by}: {all:?}"
        );
        assert!(knowing.load(ended.id).await.unwrap().is_none(), "a lost revocation un-revoked its session");
        // What was signed in after the end lives.
        assert_eq!(knowing.count().await.unwrap(), u64::from(overtaken_by == "itself"));
    }
}

fn ignorant_session(id: sessile_core::SessionId) -> sessile_store::record::SealedSession {
    let new = new_session("boris", after(0)).session;
    sessile_store::record::SealedSession {
        id,
        subject: new.subject,
        storage: new.storage,
        remember: new.remember,
        created_at: new.created_at,
        authenticated_at: new.authenticated_at,
        last_seen_at: new.last_seen_at,
        absolute_end: new.absolute_end,
        idle: new.idle,
        rotation: new.rotation,
        client: new.client,
        sealed: sessile_store::SealedBlob::from_bytes(vec![1]),
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// S7: a part of the keys lost. The next start ends everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_parts() {
    for (lost, noticed) in [("feed", true), ("store", true), ("events", false)] {
        let server = Redis::start(Redis::FORGETFUL);
        let options = options();
        let first = Arc::new(connect(&server, options.clone()).await.unwrap());
        let vault = vault(first).await;
        let (session, _) = sign_in(&vault, "anna", after(0)).await;
        let (ended, _) = sign_in(&vault, "anna", after(0)).await;
        vault.revoke(&Scope::Session(ended.id), Reason::SignOut, after(1)).await.unwrap();
        server.ask(&["DEL", &format!("{{{}}}:{lost}", options.prefix)]).unwrap();
        let second = Arc::new(connect(&server, options).await.unwrap());
        let opened = crate::world::vault(second.clone()).await;
        assert_eq!(opened.lost_history().is_some(), noticed, "{lost}: {:?}", opened.lost_history());
        assert_eq!(second.load(session.id).await.unwrap().is_none(), noticed, "{lost}");
        // And the history that began can be gone on with.
        sign_in(&opened, "anna", after(2)).await;
        opened.revoke(&Scope::All, Reason::SignOut, after(3)).await.unwrap();
    }
}

/// S22: a store that a newer program has changed is not touched by an older one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema() {
    let server = Redis::start(Redis::FORGETFUL);
    let options = options();
    connect(&server, options.clone()).await.unwrap();
    server.ask(&["HSET", &format!("{{{}}}:store", options.prefix), "schema", "3"]).unwrap();
    match connect(&server, options).await {
        Err(ConnectError::Store { fault: StoreError::NewerSchema { found: 3, known: 2 }, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Everybody's sessions end in one step; what is left of them is cleared by sweeping, and does not come back, not even when
/// the store loses the note of where its sessions are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_ended_is_cleared() {
    let server = Redis::start(Redis::FORGETFUL);
    let options = options();
    let store = Arc::new(connect(&server, options.clone()).await.unwrap());
    let vault = vault(store.clone()).await;
    let mut first = None;
    for number in 0..600 {
        let (session, _) = sign_in(&vault, &format!("subject-{}", number % 100), after(number)).await;
        first.get_or_insert(session.id);
    }
    let size = || redis::from_redis_value::<u64>(server.ask(&["DBSIZE"]).unwrap()).unwrap();
    let full = size();
    let revoked = vault.revoke(&Scope::All, Reason::EndedByAdministrator, after(700)).await.unwrap();
    assert_eq!((revoked.ended.len(), store.count().await.unwrap()), (600, 0));
    let (after_it, _) = sign_in(&vault, "anna", after(701)).await;
    assert!(size() > full, "the records went at once: nothing was left to clear");
    server.ask(&["DEL", &format!("{{{}}}:store", options.prefix)]).unwrap();
    assert!(store.load(first.unwrap()).await.unwrap().is_none(), "an ended session came back");
    assert!(store.load(after_it.id).await.unwrap().is_none(), "a store without its note found a session");
    assert_eq!(store.sweep(after(702), 100).await.unwrap(), 0);
    assert!(size() < 20, "{} of {full} keys are left", size());
    sign_in(&vault, "anna", after(703)).await;
}

/// S6: at `maxmemory` sign-ins are refused as such; sessions go on and, above all, end, and nodes hear of it. The control:
/// the same server refuses the same commands when they come on their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory() {
    let server = Redis::start(Redis::SYNCED);
    let options = options();
    let store = Arc::new(connect(&server, options.clone()).await.unwrap());
    let vault = vault(store.clone()).await;
    let mut sessions = Vec::new();
    for number in 0..20 {
        sessions.push(sign_in(&vault, "anna", after(number)).await.0);
    }
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    let feed = format!("{{{}}}:feed", options.prefix);
    for refused in [&["XADD", feed.as_str(), "*", "a", "b"][..], &["HSET", "other", "a", "b"], &["SET", "other", "a"]] {
        let error = server.ask(refused).unwrap_err();
        assert_eq!(error.code(), Some("OOM"), "{refused:?}: {error}");
    }
    let full = vault.insert(new_session("boris", after(30)), 50).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "a sign-in at the limit: {full:?}");
    for (number, session) in sessions.iter().enumerate() {
        let rotated = store.rotate(session.id, 0, after(40)).await.unwrap();
        assert!(matches!(rotated, RotateOutcome::Rotated(_)), "session {number}");
        let revoked = vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(41)).await.unwrap();
        assert_eq!(revoked.ended, [session.id]);
        assert!(store.load(session.id).await.unwrap().is_none());
    }
    assert_eq!(store.feed(Seq(0), 100).await.unwrap().entries.len(), 20, "ends without their entries");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    sign_in(&vault, "boris", after(50)).await;
}

/// S8: too few replicas: not acknowledged, and said to be possible. With the replica there, acknowledged and of that class.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_confirm() {
    let server = Redis::start(Redis::SYNCED);
    let waiting = RedisOptions { replicas: 1, ..options() };
    let impatient = RedisOptions { write_deadline: Duration::from_secs(1), ..waiting.clone() };
    match connect(&server, impatient).await {
        Err(ConnectError::Store { fault: StoreError::Unavailable { outcome: WriteOutcome::Unknown, why }, .. }) => {
            assert!(why.contains("0 of 1 replicas"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let replica = server.start_replica(&[]);
    let store = Arc::new(connect(&server, waiting).await.unwrap());
    assert_eq!(store.durability(), Durability::Replicated);
    let vault = vault(store.clone()).await;
    let (session, _) = sign_in(&vault, "anna", after(0)).await;
    vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(1)).await.unwrap();
    drop(replica);
}

/// S6, S13: a replica's answers are of yesterday; it is asked for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_none_any_more() {
    let server = Redis::start(Redis::SYNCED);
    let store = Arc::new(store(&server).await);
    let vault = vault(store.clone()).await;
    let (session, _) = sign_in(&vault, "anna", after(0)).await;
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        let answer = store.load(session.id).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "a replica was asked: {answer:?}");
    }
    server.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    wait_for(&store).await;
    assert!(store.load(session.id).await.unwrap().is_some());
}

/// S10, N2: another node's revocation is heard at once; with its stream cut, within the second; and at once again after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_heard() {
    let server = Redis::start(Redis::SYNCED);
    let shared = options();
    let here = Arc::new(connect(&server, shared.clone()).await.unwrap());
    let there = connect(&server, shared).await.unwrap();
    let vault = vault(here.clone()).await;
    for round in 0..6 {
        let (session, _) = sign_in(&vault, "anna", after(round)).await;
        let head = there.feed(Seq(0), 0).await.unwrap().head;
        if round % 2 == 1 {
            server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
            wait_for(&here).await;
            wait_for(&there).await;
        }
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let here = here.clone();
            async move {
                here.revoke(&Scope::Session(session.id), Reason::SignOut, after(9)).await.unwrap();
            }
        });
        there.changed(head).await;
        waiting.await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(1800), "round {round}: {:?}", begun.elapsed());
        assert_eq!(there.feed(head, 9).await.unwrap().entries.len(), 1, "round {round}");
        if round % 2 == 0 {
            assert!(begun.elapsed() < Duration::from_millis(900), "round {round} was polled: {:?}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Until the store answers again.
async fn wait_for(store: &sessile_store::redis::RedisStore) {
    let begun = Instant::now();
    while store.count().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the store does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
