//! Records to work with.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::crypto::Algorithm;
use sessile_core::revocation::{FeedEntry, FeedItem, Seq};
use sessile_core::rotation::RotationState;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Storage, Subject, Timestamp};

use super::Violation;
use crate::contract::{Backend, Insertion};
use crate::record::{SealedAccount, SealedBlob, SealedKey, SealedSession};

pub(super) type Store = Arc<dyn Backend>;
pub(super) type Verdict = Result<(), Violation>;

/// When the sessions of these checks begin: far ahead of the clock of any server that drops what is long over by
/// itself.
pub(super) const START: Timestamp = Timestamp::from_secs(4_000_000_000);
pub(super) const IDLE: Duration = Duration::from_secs(3600);
pub(super) const ABSOLUTE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(super) fn id(number: u64) -> SessionId {
    let mut bytes = [0x5e; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Violation> {
    text.parse().map_err(|_| Violation(format!("{text:?} was to be valid")))
}

pub(super) fn subject(name: &str) -> Result<Subject, Violation> {
    parsed(name)
}

/// A session that begins `number` seconds after [`START`].
pub(super) fn session(number: u64, of: &str) -> Result<SealedSession, Violation> {
    let begun = after(number);
    Ok(SealedSession {
        id: id(number),
        subject: subject(of)?,
        storage: Storage::Hybrid,
        remember: number % 2 == 1,
        created_at: begun,
        authenticated_at: begun.minus(Duration::from_millis(1)),
        last_seen_at: begun,
        absolute_end: begun.plus(ABSOLUTE),
        idle: IDLE,
        rotation: RotationState::first(begun),
        client: Client { browser: "Firefox".to_owned(), language: "en-GB".to_owned(), ..Client::default() },
        sealed: SealedBlob::from_bytes(number.to_be_bytes().repeat(9)),
    })
}

/// Stores a session with plenty of room.
pub(super) async fn insert(store: &Store, number: u64, of: &str) -> Result<SealedSession, Violation> {
    let new = session(number, of)?;
    match store.insert(new.clone(), 1000).await? {
        Insertion::Inserted { evicted } if evicted.is_empty() => Ok(new),
        other => Err(Violation(format!("a plain insertion came to {other:?}"))),
    }
}

pub(super) async fn head(store: &Store) -> Result<Seq, Violation> {
    Ok(store.feed(Seq(0), 0).await?.head)
}

/// What the feed got after `seq`.
pub(super) async fn items_after(store: &Store, seq: Seq) -> Result<Vec<FeedItem>, Violation> {
    Ok(entries_after(store, seq).await?.into_iter().map(|entry| entry.item).collect())
}

pub(super) async fn entries_after(store: &Store, seq: Seq) -> Result<Vec<FeedEntry>, Violation> {
    Ok(store.feed(seq, 10_000).await?.entries)
}

pub(super) fn key(name: &str, made: u64) -> Result<SealedKey, Violation> {
    Ok(SealedKey {
        id: parsed::<KeyId>(name)?,
        algorithm: Algorithm::Es256,
        created_at: after(made),
        active_from: after(made + 300),
        revoked_at: None,
        sealed: SealedBlob::from_bytes(name.as_bytes().repeat(8)),
    })
}

pub(super) fn account(name: &str, of: &str) -> Result<SealedAccount, Violation> {
    Ok(SealedAccount {
        name: parsed(name)?,
        subject: subject(of)?,
        created_at: START,
        password_set_at: START,
        disabled_at: None,
        sealed: SealedBlob::from_bytes(of.as_bytes().repeat(8)),
    })
}
