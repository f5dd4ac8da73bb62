//! The vault: tokens only of what the store accepted, faults as faults.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::policy::Limits;
use sessile_core::revocation::{Reason, Scope};
use sessile_core::session::{Method, VerifiedIdentity, mint};
use sessile_core::{Storage, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::{Backend, InsertOutcome, Op, Rotation, SealedBlob, Sessions, StoreError, Vault};

use crate::world::{
    NoEntropy, START, StuckEntropy, after, crypto, entropy, master, new_session_from, sign_in, subject, vault,
};

/// I1, I4: the token of a generation is one value, wherever and however often it is asked for.
#[tokio::test]
async fn a_generation_has_one_token() {
    let store: Arc<dyn Backend> = Arc::new(MemoryStore::new());
    let (here, there) = (vault(store.clone()).await, vault(store.clone()).await);
    let (session, first) = sign_in(&here, "anna", START).await;
    let before = there.load(session.id).await.unwrap().unwrap();
    assert_eq!(before.session(), &session);
    assert!(there.is_genuine(&before, first.get()));
    assert_eq!(there.resend(&before).get().to_text().expose(), first.get().to_text().expose());

    let Rotation::Rotated { session: rotated, token } = here.rotate(&before, after(20)).await.unwrap() else {
        panic!("the only rotation did not win");
    };
    assert_eq!((rotated.rotation.generation, token.get().generation()), (1, 1));
    // The other node comes late, and is shown what to resend: the same bytes.
    let Rotation::Superseded(kept) = there.rotate(&before, after(21)).await.unwrap() else {
        panic!("the second rotation from one generation won");
    };
    assert_eq!(there.resend(&kept).get().to_text().expose(), token.get().to_text().expose());
    // Negative control: another generation, another session, are other values.
    assert_ne!(token.get().to_text().expose(), first.get().to_text().expose());
    let (other, foreign) = sign_in(&here, "anna", START).await;
    assert!(!here.is_genuine(&kept, foreign.get()));
    assert!(!here.is_genuine(&here.load(other.id).await.unwrap().unwrap(), token.get()));
}

/// I8: no verb of the vault brings an ended session back.
#[tokio::test]
async fn ended_is_ended() {
    let vault = vault(Arc::new(MemoryStore::new())).await;
    let (session, _) = sign_in(&vault, "anna", START).await;
    let stale = vault.load(session.id).await.unwrap().unwrap();
    assert!(vault.confirm(session.id, 0, after(1)).await.unwrap().is_some());
    let revoked = vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(2)).await.unwrap();
    assert_eq!(revoked.ended, [session.id]);
    assert!(matches!(vault.rotate(&stale, after(3)).await.unwrap(), Rotation::Gone));
    assert!(vault.confirm(session.id, 0, after(3)).await.unwrap().is_none());
    assert!(vault.load(session.id).await.unwrap().is_none());
    assert_eq!(vault.count().await.unwrap(), 0);
}

/// E6, I12: a random number generator that repeats itself makes a second sign-in fail, never overwrite the first.
#[tokio::test]
async fn a_repeated_id_is_not_overwritten() {
    let vault = vault(Arc::new(MemoryStore::new())).await;
    let stuck = StuckEntropy(9);
    let first = new_session_from("anna", &stuck, START).unwrap();
    let id = first.session.id;
    vault.insert(first, 50).await.unwrap();
    let second = new_session_from("mallory", &stuck, START).unwrap();
    assert_eq!(second.session.id, id);
    assert!(matches!(vault.insert(second, 50).await.unwrap(), InsertOutcome::IdTaken));
    assert_eq!(vault.load(id).await.unwrap().unwrap().session().subject, subject("anna"));
}

/// without entropy nothing is sealed and nothing is written.
#[tokio::test]
async fn no_entropy_no_session() {
    let store = Arc::new(MemoryStore::new());
    vault(store.clone()).await;
    let refused = Vault::open(store.clone(), master(), crypto(), Arc::new(NoEntropy), START).await;
    assert!(matches!(refused, Err(StoreError::Entropy(_))));
    assert!(new_session_from("anna", &NoEntropy, START).is_err());
    assert_eq!(store.count().await.unwrap(), 0);
}

/// T4: limits beyond all time are kept as the end of time, and read back as they were written.
#[tokio::test]
async fn the_ends_of_time_are_kept() {
    let endless = Limits { idle: Duration::MAX, absolute: Duration::MAX, remember: Duration::MAX, ..Limits::AAL2 };
    for now in [START, Timestamp::default(), Timestamp::from_millis(u64::MAX)] {
        let directory = tempfile::tempdir().unwrap();
        let stores: [Arc<dyn Backend>; 2] =
            [Arc::new(MemoryStore::new()), Arc::new(crate::world::server(directory.path()).unwrap())];
        for store in stores {
            let vault = vault(store).await;
            let identity = VerifiedIdentity::vouched(Method::Password, subject("anna"), now).remembered(true);
            let new = mint(identity, Default::default(), Storage::Hybrid, &endless, &*entropy(), now).unwrap();
            let InsertOutcome::Inserted { session, .. } = vault.insert(new, 50).await.unwrap() else {
                panic!("a free id was taken");
            };
            let kept = vault.load(session.id).await.unwrap().expect("the session");
            assert_eq!(kept.session(), &session);
            let over = session.absolute_end <= now;
            assert_eq!(matches!(vault.rotate(&kept, now).await.unwrap(), Rotation::Rotated { .. }), !over, "{now:?}");
        }
    }
}

/// A record that does not open hides no other, and opens no door.
#[tokio::test]
async fn one_bad_record_does_not_hide_the_rest() {
    let store = Arc::new(MemoryStore::new());
    let vault = vault(store.clone()).await;
    let mut good = Vec::new();
    for number in 0..6 {
        good.push(sign_in(&vault, "anna", after(number)).await.0.id);
    }
    good.sort();
    let bad = good.remove(2);
    let mut record = store.load(bad).await.unwrap().unwrap();
    record.sealed = SealedBlob::from_bytes(vec![1; 80]);
    store.revoke(&Scope::Session(bad), Reason::SignOut, after(10)).await.unwrap();
    store.insert(record, 50).await.unwrap();

    let mut found = Vec::new();
    let mut next = None;
    loop {
        let page = vault.list(Some(&subject("anna")), next, 2).await.unwrap();
        found.extend(page.sessions.into_iter().map(|session| session.id));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, good);
    assert!(matches!(vault.load(bad).await, Err(StoreError::Sealed(_))));
    assert!(matches!(vault.confirm(bad, 0, after(10)).await, Err(StoreError::Sealed(_))));
    // It can be ended all the same.
    assert_eq!(vault.revoke(&Scope::Session(bad), Reason::SignOut, after(11)).await.unwrap().ended, [bad]);
}

/// The counter behind "a warm request asks the store nothing": it moves with each verb, and with nothing else.
#[tokio::test]
async fn operations_are_counted() {
    let vault = vault(Arc::new(MemoryStore::new())).await;
    assert_eq!(vault.ops().foreground(), 0);
    let (session, _) = sign_in(&vault, "anna", START).await;
    vault.confirm(session.id, 0, START).await.unwrap();
    vault.confirm(session.id, 0, START).await.unwrap();
    let kept = vault.load(session.id).await.unwrap().unwrap();
    vault.feed(Default::default(), 10).await.unwrap();
    let before = vault.ops();
    assert_eq!(
        before.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
        [("insert", 1), ("load", 1), ("confirm", 2), ("feed", 1)]
    );
    assert_eq!((before.foreground(), before.of(Op::Confirm)), (4, 2));
    // No operation: what needs no store.
    vault.resend(&kept);
    vault.derive("csrf");
    vault.throttle_key("name", "anna");
    vault.seal_cursor("list", b"1").unwrap();
    assert_eq!(vault.ops(), before);
}

/// Keys derived for other uses are the same on every node, and differ by use.
#[tokio::test]
async fn derived_keys_are_shared_and_apart() {
    let (here, there) = (vault(Arc::new(MemoryStore::new())).await, vault(Arc::new(MemoryStore::new())).await);
    assert!(here.derive("csrf").matches(there.derive("csrf").expose()));
    assert!(!here.derive("csrf").matches(here.derive("cursor").expose()));
    assert_eq!(here.throttle_key("name", "anna"), there.throttle_key("name", "anna"));
    assert_ne!(here.throttle_key("name", "anna"), here.throttle_key("network", "anna"));
}
