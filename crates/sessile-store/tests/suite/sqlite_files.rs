//! The files of the embedded store: who may hold them, and what is made of them when they are not as they were left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sessile_core::SessionId;
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{FeedItem, Reason, Scope, Seq};
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Continuity, EventQuery, Events, Feed, Sessions, StoreError, Vault};

use crate::world::{START, after, server, sign_in, vault, visitor};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// S20: one server; the command line beside it. Negative control: visitors do not keep each other out.
#[tokio::test]
async fn one_server_holds_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let first = server(directory.path()).unwrap();
    let refused = server(directory.path()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("sessile.lock") && text.contains(&format!("process {}", std::process::id())), "{text}");
    let (one, other) = (visitor(directory.path()).unwrap(), visitor(directory.path()).unwrap());
    assert_eq!((one.count().await.unwrap(), other.count().await.unwrap()), (0, 0));
    drop(first);
    server(directory.path()).unwrap();
}

/// The directory holds what product.md says, readable by its owner alone.
#[tokio::test]
async fn the_files_are_the_owners() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("deep/sessile-data");
    let store = server(&directory).unwrap();
    store.append_events(&[Event::new(EventName::Startup, "started", START)]).await.unwrap();
    assert_eq!(names(&directory), ["ballast", "sessile.db", "sessile.db-shm", "sessile.db-wal", "sessile.lock"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for name in names(&directory) {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    assert_eq!(fs::metadata(directory.join("ballast")).unwrap().len(), SqliteOptions::SERVER.ballast_bytes);
    drop(store);
    // A visitor takes no space for a ballast.
    let visited = root.path().join("visited");
    let beside = visitor(&visited).unwrap();
    beside.append_events(&[Event::new(EventName::Startup, "started", START)]).await.unwrap();
    assert_eq!(names(&visited), ["sessile.db", "sessile.db-shm", "sessile.db-wal", "sessile.lock"]);
    // A file of any name, with its companions called after it.
    let location = Location::file(root.path().join("my.sqlite"));
    drop(SqliteStore::open(&location, SqliteOptions::SERVER).unwrap());
    let mut found = names(root.path());
    found.retain(|name| name.starts_with("my"));
    assert_eq!(found, ["my.sqlite", "my.sqlite-ballast", "my.sqlite-lock"]);
}

/// A restart loses nothing and is no loss: sessions, events, the feed and its epoch.
#[tokio::test]
async fn a_restart_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (lives, epoch) = {
        let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
        let (lives, _) = sign_in(&vault, "anna", START).await;
        let (ends, _) = sign_in(&vault, "anna", START).await;
        vault.revoke(&Scope::Session(ends.id), Reason::SignOut, after(5)).await.unwrap();
        vault
            .append_events(&[Event::new(EventName::SessionEnded, "sign_out", after(5)).session(ends.id)])
            .await
            .unwrap();
        (lives.id, vault.feed(Seq(0), 10).await.unwrap().epoch)
    };
    let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
    assert_eq!(vault.lost_history(), None);
    assert_eq!(vault.count().await.unwrap(), 1);
    assert!(vault.load(lives).await.unwrap().is_some());
    let page = vault.feed(Seq(0), 10).await.unwrap();
    assert_eq!((page.epoch, page.head, page.entries.len()), (epoch, Seq(1), 1));
    assert_eq!(vault.events(&EventQuery { limit: 9, ..EventQuery::default() }).await.unwrap().len(), 1);
}

struct Backup {
    database: Vec<u8>,
    lock: Vec<u8>,
}

/// A store with a session that was revoked, and a backup from before the revocation.
async fn revoked_after_backup(directory: &Path) -> (SessionId, Backup) {
    let id = {
        let vault = vault(Arc::new(server(directory).unwrap())).await;
        sign_in(&vault, "anna", START).await.0.id
    };
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let backup = Backup { database: read("sessile.db"), lock: read("sessile.lock") };
    let vault = vault(Arc::new(server(directory).unwrap())).await;
    vault.revoke(&Scope::Session(id), Reason::SignOut, after(5)).await.unwrap();
    (id, backup)
}

async fn lives(vault: &Vault, id: SessionId) -> bool {
    vault.load(id).await.unwrap().is_some()
}

/// S7, I16, I8: an older database put in the place of the newer one is noticed, and every session is ended before
/// anything is served. Negative control: with the older witness beside it, as without a witness, the revoked session
/// lives again.
#[tokio::test]
async fn a_backdated_database_is_noticed() {
    for with_its_witness in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (id, backup) = revoked_after_backup(directory.path()).await;
        fs::write(directory.path().join("sessile.db"), &backup.database).unwrap();
        if with_its_witness {
            fs::write(directory.path().join("sessile.lock"), &backup.lock).unwrap();
        }
        let store = Arc::new(server(directory.path()).unwrap());
        let before = store.feed(Seq(0), 10).await.unwrap();
        assert_eq!(store.continuity().await.unwrap() == Continuity::Unbroken, with_its_witness);
        let reopened = vault(store.clone()).await;
        assert_eq!(lives(&reopened, id).await, with_its_witness);
        if with_its_witness {
            continue;
        }
        assert!(reopened.lost_history().unwrap().contains("entry 1 was acknowledged"), "{:?}", reopened.lost_history());
        let page = reopened.feed(Seq(0), 10).await.unwrap();
        assert_ne!(page.epoch, before.epoch);
        assert_eq!(page.entries.last().unwrap().item, FeedItem::AllEnded(Reason::StoreRegressed));
        // The new history goes on: the next start finds nothing amiss.
        drop((reopened, store));
        let store = Arc::new(server(directory.path()).unwrap());
        assert_eq!(store.continuity().await.unwrap(), Continuity::Unbroken);
    }
}

/// A loss stands until a new history begins, whatever is written meanwhile, and is noticed at each start.
#[tokio::test]
async fn a_loss_stands_until_a_new_history_begins() {
    let directory = tempfile::tempdir().unwrap();
    let (_, backup) = revoked_after_backup(directory.path()).await;
    fs::write(directory.path().join("sessile.db"), &backup.database).unwrap();
    for _ in 0..3 {
        let store = server(directory.path()).unwrap();
        assert_ne!(store.continuity().await.unwrap(), Continuity::Unbroken);
        // Up to where the witness stood, and past it.
        store.revoke(&Scope::All, Reason::EndedByAdministrator, after(9)).await.unwrap();
    }
    let store = server(directory.path()).unwrap();
    store.restart_history(Reason::StoreRegressed, after(10)).await.unwrap();
    assert_eq!(store.continuity().await.unwrap(), Continuity::Unbroken);
    drop(store);
    assert_eq!(server(directory.path()).unwrap().continuity().await.unwrap(), Continuity::Unbroken);
}

/// S7: the database alone, brought from elsewhere; a witness that is garbage; the database gone; its log gone.
#[tokio::test]
async fn every_other_loss_is_noticed_too() {
    let path = |directory: &Path, name: &str| directory.join(name);
    type Damage = fn(&Path, &Backup);
    let damages: [(&str, Damage); 4] = [
        ("the witness is gone", |directory, _| fs::remove_file(directory.join("sessile.lock")).unwrap()),
        ("the witness is garbage", |directory, _| fs::write(directory.join("sessile.lock"), [7; 32]).unwrap()),
        ("the database is gone", |directory, _| fs::remove_file(directory.join("sessile.db")).unwrap()),
        ("the witness is of another store", |directory, backup| {
            let mut lock = backup.lock.clone();
            let other = tempfile::tempdir().unwrap();
            drop(server(other.path()).unwrap());
            lock.clone_from(&fs::read(other.path().join("sessile.lock")).unwrap());
            fs::write(directory.join("sessile.lock"), lock).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let (id, backup) = revoked_after_backup(directory.path()).await;
        damage(directory.path(), &backup);
        let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
        assert!(vault.lost_history().is_some(), "{what}");
        assert!(!lives(&vault, id).await, "{what}");
        assert_eq!(vault.count().await.unwrap(), 0, "{what}");
    }
    // The log: what a copy of the running store without its -wal is.
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let running = vault(Arc::new(server(directory.path()).unwrap())).await;
    let (session, _) = sign_in(&running, "anna", START).await;
    Connection::open(path(directory.path(), "sessile.db"))
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    running.revoke(&Scope::Session(session.id), Reason::SignOut, after(5)).await.unwrap();
    for name in ["sessile.db", "sessile.lock"] {
        fs::copy(path(directory.path(), name), path(copy.path(), name)).unwrap();
    }
    let vault = vault(Arc::new(server(copy.path()).unwrap())).await;
    assert!(vault.lost_history().is_some());
    assert!(!lives(&vault, session.id).await);
}

/// S18: what is damaged is refused, said, and left as it is; nothing empty takes its place.
#[tokio::test]
async fn a_damaged_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    revoked_after_backup(directory.path()).await;
    let path = directory.path().join("sessile.db");
    let sound = fs::read(&path).unwrap();
    let mut halved = sound.clone();
    halved.truncate(sound.len() / 2);
    let mut torn = sound.clone();
    torn[4096..4096 + 512].fill(0xaa);
    let foreign = {
        let path = directory.path().join("foreign");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
        fs::read(path).unwrap()
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("half of it", halved),
        ("a torn page", torn),
        ("no database", b"this is no database, but quite some text".repeat(200)),
        ("another program's database", foreign),
        ("an empty file", Vec::new()),
        ("one byte", vec![b'S']),
    ];
    for (what, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let refused = server(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{what}: {refused}");
        assert!(
            refused.to_string().contains("sessile.db") && refused.to_string().contains("backup"),
            "{what}: {refused}"
        );
        assert!(!refused.is_retryable());
        assert!(fs::read(&path).unwrap() == bytes, "{what}: the file was changed");
    }
    // Negative control: the sound file is taken.
    fs::write(&path, &sound).unwrap();
    server(directory.path()).unwrap();
}

/// S18, in a loop over the file: a flipped bit is refused at the start, or what is read is right, or it is a fault.
/// Nothing is ever read as something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_never_misread() {
    let directory = tempfile::tempdir().unwrap();
    let mut right = Vec::new();
    {
        let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
        for number in 0..8 {
            right.push(sign_in(&vault, "anna", after(number)).await.0);
        }
    }
    let path = directory.path().join("sessile.db");
    let sound = fs::read(&path).unwrap();
    let mut met = [0; 3];
    for position in (0..sound.len()).step_by(509) {
        let mut bytes = sound.clone();
        bytes[position] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(directory.path().join("sessile.db-wal"));
        let opened = server(directory.path());
        match opened {
            Err(StoreError::Corrupt(_) | StoreError::NewerSchema { .. }) => met[0] += 1,
            Err(other) => panic!("byte {position}: {other}"),
            Ok(store) => {
                match crate::world::try_vault(Arc::new(store), crate::world::master()).await {
                    Err(_) => met[1] += 1,
                    Ok(vault) => {
                        for session in &right {
                            match vault.load(session.id).await {
                                Ok(Some(kept)) => {
                                    let mut found = kept.session().clone();
                                    // What rotation moves is not sealed: a flip there signs out early or late by that much,
                                    // never beyond the absolute end.
                                    found.rotation = session.rotation;
                                    found.last_seen_at = session.last_seen_at;
                                    assert_eq!(&found, session, "byte {position}");
                                    met[2] += 1;
                                }
                                Ok(None) | Err(_) => met[1] += 1,
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(met.iter().all(|times| *times > 0), "refused, fault, right: {met:?}");
}

/// S22: a newer schema is refused, with the way out, and left alone.
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(server(directory.path()).unwrap());
    let path = directory.path().join("sessile.db");
    let set = |version: i64| Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
    set(99);
    for opened in [server(directory.path()), visitor(directory.path())] {
        let refused = opened.unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: 3 }), "{refused}");
        assert!(refused.to_string().contains("newer program"), "{refused}");
    }
    let version: i64 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
    set(3);
    server(directory.path()).unwrap();
}

/// S22: many processes on nothing at all; one makes the database, the others find it made.
#[test]
fn many_open_a_new_store_at_once() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(6);
        let opened = std::thread::scope(|scope| {
            let open = |who: usize| {
                let (directory, barrier) = (directory.path(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    if who == 0 { server(directory) } else { visitor(directory) }
                })
            };
            let threads: Vec<_> = (0..6).map(open).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let epochs: Vec<_> =
            opened.iter().map(|store| runtime.block_on(store.feed(Seq(0), 1)).unwrap().epoch).collect();
        assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "{epochs:?}");
        for store in &opened {
            assert_eq!(runtime.block_on(store.continuity()).unwrap(), Continuity::Unbroken);
        }
    }
}

/// I7: what the command line ends beside the server reaches the server's feed at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(server(directory.path()).unwrap());
    let vault = vault(store.clone()).await;
    let beside = visitor(directory.path()).unwrap();
    for number in 1..=5 {
        let (session, _) = sign_in(&vault, "anna", after(number)).await;
        let before = store.feed(Seq(0), 0).await.unwrap().head;
        let begun = Instant::now();
        let scope = Scope::Session(session.id);
        let ending = beside.revoke(&scope, Reason::EndedByAdministrator, after(50));
        let (revoked, ()) = tokio::join!(ending, store.changed(before));
        assert!(begun.elapsed() < Duration::from_millis(500), "it took {:?}", begun.elapsed());
        let page = store.feed(before, 10).await.unwrap();
        assert_eq!(page.head, revoked.unwrap().seq);
        assert_eq!(page.entries.last().unwrap().item, FeedItem::Ended(session.id, Reason::EndedByAdministrator));
    }
    // Both kept the witness: neither start finds a loss.
    drop((vault, store, beside));
    assert_eq!(server(directory.path()).unwrap().continuity().await.unwrap(), Continuity::Unbroken);
}
