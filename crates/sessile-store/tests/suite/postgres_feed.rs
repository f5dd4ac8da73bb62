//! The feed in PostgreSQL skips nothing, whatever order transactions commit in (I7), and wakes whoever waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_core::revocation::{FeedItem, Reason, Scope, Seq};
use sessile_store::{Continuity, Feed, Sessions, Vault};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::postgres_world::{fresh_schema, open, own_server, patient, shared, store};
use crate::world::{START, after, crypto, entropy, master, sign_in, vault};

/// Reads whatever is after the last number it saw.
async fn follow(client: &Client, table: &str, seen: &mut Vec<i64>) {
    let last = seen.last().copied().unwrap_or(0);
    let rows = client.query(&format!("SELECT seq FROM {table} WHERE seq > $1 ORDER BY seq"), &[&last]).await.unwrap();
    seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
}

/// A transaction that has its number and takes its time to commit, while another node revokes: the other one's number
/// does not come to be seen first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_become_visible_in_their_order() {
    let schema = fresh_schema();
    let store = Arc::new(open(shared(), patient(&schema)).await.unwrap());
    let vault = vault(store.clone()).await;
    let (slow, fast) = (sign_in(&vault, "anna", START).await.0.id, sign_in(&vault, "boris", START).await.0.id);
    let table = format!("{schema}.feed");
    let (reader, other) = (shared().client().await, shared().client().await);
    let mut seen = Vec::new();

    // What a revocation of `slow` does, up to its commit.
    other.batch_execute(&format!("BEGIN; SET LOCAL search_path = {schema}")).await.unwrap();
    let id = &slow.as_bytes()[..];
    other.execute("DELETE FROM sessions WHERE id = $1", &[&id]).await.unwrap();
    let head = other.query_one("UPDATE feed_head SET seq = seq + 1 RETURNING seq", &[]).await.unwrap();
    let seq: i64 = head.get(0);
    let append = "INSERT INTO feed (seq, at, kind, session, reason) VALUES ($1, 0, 1, $2, 'sign_out')";
    other.execute(append, &[&seq, &id]).await.unwrap();

    let revoking = tokio::spawn(async move { vault.revoke(&Scope::Session(fast), Reason::SignOut, after(5)).await });
    sleep(Duration::from_millis(300)).await;
    assert!(!revoking.is_finished(), "a revocation did not wait for the number before its own");
    follow(&reader, &table, &mut seen).await;
    assert!(seen.is_empty(), "what is not committed was seen: {seen:?}");
    other.batch_execute("COMMIT").await.unwrap();
    let revoked = revoking.await.unwrap().unwrap();
    follow(&reader, &table, &mut seen).await;
    assert_eq!((seen, revoked.seq), (vec![seq, seq + 1], Seq(seq as u64 + 1)));
    let page = store.feed(Seq(0), 10).await.unwrap();
    let items: Vec<_> = page.entries.into_iter().map(|entry| entry.item).collect();
    assert_eq!(items, [slow, fast].map(|id| FeedItem::Ended(id, Reason::SignOut)));
}

/// Negative control: numbers from a sequence, and the same follower misses the one that commits late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_from_a_sequence_do_not() {
    let schema = fresh_schema();
    let table = format!("{schema}.naive");
    shared().sql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {table} (seq bigserial PRIMARY KEY)")).await;
    let (reader, slow, fast) = (shared().client().await, shared().client().await, shared().client().await);
    let append = format!("INSERT INTO {table} DEFAULT VALUES");
    let mut seen = Vec::new();
    slow.batch_execute(&format!("BEGIN; {append}")).await.unwrap();
    fast.batch_execute(&append).await.unwrap();
    follow(&reader, &table, &mut seen).await;
    slow.batch_execute("COMMIT").await.unwrap();
    follow(&reader, &table, &mut seen).await;
    assert_eq!(seen, [2], "the follower was to miss number 1");
}

/// What one node writes wakes another at once, and again after the connection that listens was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_nodes_news_wakes() {
    let server = own_server(&[]).await;
    let schema = fresh_schema();
    let writer = vault(Arc::new(open(&server, patient(&schema)).await.unwrap())).await;
    let listener = open(&server, patient(&schema)).await.unwrap();
    let wakes = async || {
        let (session, _) = sign_in(&writer, "anna", START).await;
        let before = listener.feed(Seq(0), 0).await.unwrap().head;
        let begun = Instant::now();
        let revoke = async {
            sleep(Duration::from_millis(30)).await;
            writer.revoke(&Scope::Session(session.id), Reason::SignOut, after(5)).await.unwrap();
        };
        tokio::join!(listener.changed(before), revoke);
        begun.elapsed() < Duration::from_millis(700)
    };
    // Either may be slow once on a busy machine; that it is fast at all shows that it does not only ask each second.
    let mut fast = 0;
    for _ in 0..4 {
        fast += usize::from(wakes().await);
    }
    assert!(fast >= 2, "{fast} of 4 waits ended soon");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sessile'";
    server.client().await.execute(cut, &[]).await.unwrap();
    // What the cut itself hit may fail; the next one does not.
    while writer.count().await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let recovered = async {
        while !wakes().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), recovered).await.expect("the store never listened again");
}

/// S7: tables that were carried to another cluster have lost what was revoked since; every session ends. Negative
/// control: opened again where they were, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_is_another_history() {
    let schema = fresh_schema();
    let open = async || {
        let store = Arc::new(open(shared(), patient(&schema)).await.unwrap());
        Vault::open(store, master(), crypto(), entropy(), START).await.unwrap()
    };
    let before = open().await;
    sign_in(&before, "anna", START).await;
    let epoch = before.feed(Seq(0), 1).await.unwrap().epoch;
    let again = open().await;
    assert_eq!((again.lost_history(), again.count().await.unwrap()), (None, 1));
    shared().sql(&format!("UPDATE {schema}.feed_head SET cluster = cluster + 1")).await;
    let carried = open().await;
    assert!(carried.lost_history().unwrap().contains("another PostgreSQL cluster"), "{:?}", carried.lost_history());
    let page = carried.feed(Seq(0), 10).await.unwrap();
    assert_eq!(carried.count().await.unwrap(), 0);
    assert_ne!(page.epoch, epoch);
    assert_eq!(page.entries.last().unwrap().item, FeedItem::AllEnded(Reason::StoreRegressed));
    assert_eq!(open().await.lost_history(), None, "the loss was told twice");
}

/// A head that went back, as in an older copy put back while nodes run, is told to whoever waits and reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_went_back_is_told() {
    let schema = fresh_schema();
    let store = open(shared(), patient(&schema)).await.unwrap();
    assert_eq!(store.continuity().await.unwrap(), Continuity::Unbroken);
    store.revoke(&Scope::All, Reason::SignOut, START).await.unwrap();
    let before = store.feed(Seq(0), 1).await.unwrap();
    shared().sql(&format!("DELETE FROM {schema}.feed; UPDATE {schema}.feed_head SET seq = 0")).await;
    timeout(Duration::from_secs(5), store.changed(before.head)).await.unwrap();
    let now = store.feed(before.head, 1).await.unwrap();
    assert!(now.head < before.head && now.epoch == before.epoch, "{now:?}");
}

/// The record and the store's own `Debug` say nothing that is secret, and a store can be dropped anywhere.
#[tokio::test]
async fn a_store_may_be_dropped_within_a_runtime() {
    let store = store().await;
    assert!(format!("{store:?}").contains("PostgresStore"));
    drop(store);
}
