//! What is sealed stays sealed, and in its place.

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile_core::crypto::{Algorithm, Crypto, CryptoFault, KeyRefused, PublicKey, SigningKey, VerifyingKey};
use sessile_core::encoding::base64url;
use sessile_core::token::KeyRing;
use sessile_core::{Secret, SecretBytes, SecretText, SessionId, Storage};
use sessile_store::memory::MemoryStore;
use sessile_store::record::SealedSession;
use sessile_store::{Account, Accounts, Backend, Keys, Purpose, SealError, SealedBlob, Sealer, Sessions, StoreError};

use crate::world::{
    START, StuckEntropy, after, crypto, entropy, master, new_session, server, sign_in, subject, try_vault, vault,
};

fn account(name: &str, of: &str) -> Account {
    Account {
        name: name.parse().unwrap(),
        subject: subject(of),
        created_at: START,
        password_set_at: START,
        disabled_at: None,
    }
}

/// a copy of the store alone gives nothing usable. The negative control finds what was not sealed.
#[tokio::test]
async fn a_copy_of_the_store_gives_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Backend> = Arc::new(server(directory.path()).unwrap());
    let vault = vault(store.clone()).await;
    let new = new_session("anna", START);
    let id = new.session.id;
    let mut secrets = vec![new.key.expose().to_vec(), master().to_text().expose().as_bytes().to_vec()];
    vault.insert(new, 50).await.unwrap();
    let kept = vault.load(id).await.unwrap().unwrap();
    vault.rotate(&kept, after(20)).await.unwrap();
    let kept = vault.load(id).await.unwrap().unwrap();
    let token = vault.resend(&kept).get().to_text();
    secrets.push(token.expose().rsplit('.').next().unwrap().as_bytes().to_vec());
    // The claim's value, of which `world` knows.
    secrets.push(b"\"red\"".to_vec());
    let key = KeyRing::new_key(&*crypto(), Algorithm::Es256, START, START).unwrap();
    secrets.push(key.private.expose().to_vec());
    secrets.push(key.private.expose()[40..72].to_vec());
    vault.add_key(&key, None).await.unwrap();
    let hash = SecretText::new("$argon2id$canary-hash".to_owned());
    secrets.push(hash.expose().as_bytes().to_vec());
    vault.create_account(account("anna", "anna"), &hash).await.unwrap();
    let typed_into_the_name_field = "canary-hunter2";
    secrets.push(typed_into_the_name_field.as_bytes().to_vec());
    vault.note_failure(&vault.throttle_key("name", typed_into_the_name_field), START).await.unwrap();

    let found =
        |needle: &[u8]| in_files(directory.path(), needle) || in_files(directory.path(), base64url(needle).as_bytes());
    for secret in &secrets {
        assert!(!found(secret), "a secret of {} bytes is in the files", secret.len());
    }
    // The search does find what is there.
    assert!(found(b"anna") && found(id.as_bytes()) && found(key.id.as_str().as_bytes()));
    let unsealed =
        SealedSession { sealed: SealedBlob::from_bytes(secrets[0].clone()), ..sealed_session("boris").await };
    store.insert(unsealed, 50).await.unwrap();
    assert!(found(&secrets[0]));
}

fn in_files(directory: &Path, needle: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

async fn sealed_session(of: &str) -> SealedSession {
    let store = Arc::new(MemoryStore::new());
    let vault = vault(store.clone()).await;
    let (session, _) = sign_in(&vault, of, START).await;
    store.load(session.id).await.unwrap().unwrap()
}

async fn opened(record: SealedSession) -> Result<Option<sessile_core::session::Session>, StoreError> {
    let store = Arc::new(MemoryStore::new());
    let vault = vault(store.clone()).await;
    let id = record.id;
    store.insert(record, 50).await.unwrap();
    Ok(vault.load(id).await?.map(|kept| kept.session().clone()))
}

/// somebody who can write the database cannot give a session to another user, stretch its end, freshen its
/// sign-in, or move its key to another record.
#[tokio::test]
async fn a_record_opens_as_it_was_sealed_or_not_at_all() {
    let anna = sealed_session("anna").await;
    let boris = sealed_session("boris").await;
    let second = Duration::from_secs(1);
    let edited = |edit: &dyn Fn(&mut SealedSession)| {
        let mut record = anna.clone();
        edit(&mut record);
        record
    };
    let forged = [
        ("subject", edited(&|r| r.subject = subject("boris"))),
        ("id", edited(&|r| r.id = SessionId::from_bytes([7; 16]))),
        ("storage", edited(&|r| r.storage = Storage::Cookie)),
        ("remember", edited(&|r| r.remember = true)),
        ("created_at", edited(&|r| r.created_at = r.created_at.plus(second))),
        ("authenticated_at", edited(&|r| r.authenticated_at = r.authenticated_at.plus(second))),
        ("absolute_end", edited(&|r| r.absolute_end = r.absolute_end.plus(second))),
        ("idle", edited(&|r| r.idle += second)),
        ("client", edited(&|r| r.client.platform = "Firefox".to_owned())),
        ("client moved", edited(&|r| std::mem::swap(&mut r.client.browser, &mut r.client.platform))),
        ("blob of another", edited(&|r| r.sealed = boris.sealed.clone())),
    ];
    for (what, record) in forged {
        match opened(record).await {
            Err(StoreError::Sealed(SealError::Altered("session"))) => {}
            other => panic!("edited {what}: {other:?}"),
        }
    }
    // Every bit of the blob counts.
    for position in 0..anna.sealed.as_bytes().len() {
        let flipped = edited(&|r| {
            let mut bytes = r.sealed.as_bytes().to_vec();
            bytes[position] ^= 1;
            r.sealed = SealedBlob::from_bytes(bytes);
        });
        assert!(matches!(opened(flipped).await, Err(StoreError::Sealed(_))), "bit flipped in byte {position}");
    }
    for length in 0..anna.sealed.as_bytes().len() {
        let cut = edited(&|r| r.sealed = SealedBlob::from_bytes(r.sealed.as_bytes()[..length].to_vec()));
        assert!(matches!(opened(cut).await, Err(StoreError::Sealed(_))), "cut to {length} bytes");
    }
    // Negative control: untouched, or with what rotation moves, it opens.
    assert!(opened(anna.clone()).await.unwrap().is_some());
    let rotated = edited(&|r| {
        r.rotation = r.rotation.next(after(30));
        r.last_seen_at = after(30);
    });
    assert!(opened(rotated).await.unwrap().is_some());
}

/// R-175 for signing keys and password hashes: nobody signs in with a password of their own as somebody else.
#[tokio::test]
async fn keys_and_hashes_stay_in_their_records() {
    let (honest, forged) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let vault = vault(honest.clone()).await;
    let thief = try_vault(forged.clone(), master()).await.unwrap();
    for (name, hash) in [("anna", "$hash-of-anna"), ("mallory", "$hash-of-mallory")] {
        vault.create_account(account(name, name), &SecretText::new(hash.to_owned())).await.unwrap();
    }
    let mallory = honest.find_account(&"mallory".parse().unwrap()).await.unwrap().unwrap();
    let mut anna = honest.find_account(&"anna".parse().unwrap()).await.unwrap().unwrap();
    let name = anna.name.clone();
    let (_, hash) = vault.find_account(&name).await.unwrap().unwrap();
    assert_eq!(hash.expose(), "$hash-of-anna");
    anna.sealed = mallory.sealed;
    forged.create_account(anna).await.unwrap();
    let opened = thief.find_account(&name).await;
    assert!(matches!(opened, Err(StoreError::Sealed(SealError::Altered("password")))), "{opened:?}");

    let one = KeyRing::new_key(&*crypto(), Algorithm::Es256, START, START).unwrap();
    let two = KeyRing::new_key(&*crypto(), Algorithm::Es256, START, START).unwrap();
    vault.add_key(&one, None).await.unwrap();
    vault.add_key(&two, Some(&one.id)).await.unwrap();
    let opened = vault.keys().await.unwrap();
    assert_eq!(opened[0].private.expose(), one.private.expose());
    assert_eq!(opened[1].private.expose(), two.private.expose());
    let mut records = honest.load_keys().await.unwrap();
    records[0].sealed = records[1].sealed.clone();
    forged.add_key(records[0].clone(), None).await.unwrap();
    let opened = thief.keys().await;
    assert!(matches!(opened, Err(StoreError::Sealed(SealError::Altered("signing key")))));
}

/// E18: a blob of one purpose is no blob of another, though context and key are the same.
#[test]
fn purposes_do_not_mix() {
    let sealer = Sealer::new(master(), crypto(), entropy());
    let purposes = [Purpose::Session, Purpose::SigningKey, Purpose::Password, Purpose::Witness, Purpose::Cursor];
    for sealed_as in purposes {
        let blob = sealer.seal(sealed_as, &[b"one"], b"text").unwrap();
        for opened_as in purposes {
            assert_eq!(sealer.open(opened_as, &[b"one"], &blob).is_ok(), opened_as == sealed_as);
        }
        // Nor do parts of the context run into each other.
        let blob = sealer.seal(sealed_as, &[b"ab", b"c"], b"text").unwrap();
        assert!(sealer.open(sealed_as, &[b"a", b"bc"], &blob).is_err());
        assert!(sealer.open(sealed_as, &[b"abc"], &blob).is_err());
        assert!(sealer.open(sealed_as, &[b"ab", b"c", b""], &blob).is_err());
    }
}

/// no two seals share key and nonce. Negative control: entropy that repeats is caught by the same count.
#[test]
fn a_key_and_nonce_seal_once() {
    let repeats = |entropy| {
        let watching = Arc::new(Watching::default());
        let sealer = Sealer::new(master(), watching.clone(), entropy);
        for number in 0_u32..2000 {
            let purpose = if number % 2 == 0 { Purpose::Session } else { Purpose::Cursor };
            sealer.seal(purpose, &[&number.to_be_bytes()], b"text").unwrap();
        }
        2000 - watching.used.lock().unwrap().len()
    };
    assert_eq!(repeats(entropy()), 0);
    assert_ne!(repeats(Arc::new(StuckEntropy(7))), 0);
}

/// X5: with another master key the store does not open, says why, and is not changed.
#[tokio::test]
async fn another_master_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let id = {
        let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
        sign_in(&vault, "anna", START).await.0.id
    };
    let other = sessile_store::MasterKey::generate(&*entropy()).unwrap();
    let refused = try_vault(Arc::new(server(directory.path()).unwrap()), other).await.unwrap_err();
    assert!(matches!(refused, StoreError::Sealed(SealError::WrongMasterKey { .. })), "{refused}");
    assert!(!refused.is_retryable());
    let text = refused.to_string();
    assert!(text.contains("Supply the old key") && text.contains("empty one"), "{text}");
    // The right key still opens everything.
    let vault = vault(Arc::new(server(directory.path()).unwrap())).await;
    assert!(vault.load(id).await.unwrap().is_some());
}

/// K2: a cursor is good for its own listing, and cannot be made up.
#[tokio::test]
async fn cursors_are_sealed() {
    let vault = vault(Arc::new(MemoryStore::new())).await;
    let cursor = vault.seal_cursor("sessions of anna", b"position").unwrap();
    assert_eq!(vault.open_cursor("sessions of anna", &cursor).as_deref(), Some(&b"position"[..]));
    assert_eq!(vault.open_cursor("sessions of boris", &cursor), None);
    for forged in ["", "AAAA", "' OR 1=1 --", &cursor[1..], &format!("{cursor}A"), &base64url(b"position")] {
        assert_eq!(vault.open_cursor("sessions of anna", forged), None, "{forged}");
    }
}

/// K5: none of these prints what it keeps.
#[tokio::test]
async fn debug_prints_no_secret() {
    let store = Arc::new(MemoryStore::new());
    let vault = vault(store.clone()).await;
    let (session, token) = sign_in(&vault, "anna", START).await;
    let kept = vault.load(session.id).await.unwrap().unwrap();
    let mac = token.get().to_text();
    let mac = mac.expose().rsplit('.').next().unwrap().to_owned();
    let record = store.load(session.id).await.unwrap().unwrap();
    let things: [&dyn Debug; 5] = [&vault, &kept, &token, &record, &master()];
    for thing in things {
        let text = format!("{thing:?}");
        assert!(!text.contains(&mac) && !text.contains(master().to_text().expose()), "{text}");
    }
    assert!(format!("{record:?}").contains("SealedBlob("));
}

/// The primitives, with a note of each (key, nonce) that sealed.
#[derive(Default)]
struct Watching {
    used: Mutex<HashSet<([u8; 32], [u8; 12])>>,
}

impl Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}

impl Crypto for Watching {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        crypto().sha256(data)
    }
    fn mac(&self, key: &Secret<32>, parts: &[&[u8]]) -> Secret<32> {
        crypto().mac(key, parts)
    }
    fn seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFault> {
        self.used.lock().unwrap().insert((*key.expose(), *nonce));
        crypto().seal(key, nonce, aad, plaintext)
    }
    fn open(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        crypto().open(key, nonce, aad, sealed)
    }
    fn generate_key(&self, algorithm: Algorithm) -> Result<SecretBytes, CryptoFault> {
        crypto().generate_key(algorithm)
    }
    fn signing_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn SigningKey>, KeyRefused> {
        crypto().signing_key(algorithm, private)
    }
    fn verifying_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        crypto().verifying_key(algorithm, private)
    }
    fn public_key(&self, algorithm: Algorithm, public: &PublicKey) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        crypto().public_key(algorithm, public)
    }
}
