//! What the tests share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::crypto::{Crypto, Entropy, EntropyFailure};
use sessile_core::policy::Limits;
use sessile_core::rotation::{SessionToken, Stored};
use sessile_core::session::{Claims, Method, NewSession, Session, VerifiedIdentity, mint};
use sessile_core::{Storage, Subject, Timestamp};
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Backend, InsertOutcome, MasterKey, StoreError, Vault};

/// When the sessions of these tests begin: far ahead of the clock of any server that drops what is long over by
/// itself.
pub(crate) const START: Timestamp = Timestamp::from_secs(4_000_000_000);

pub(crate) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(crate) fn crypto() -> Arc<dyn Crypto> {
    sessile_aws_lc::provider()
}

pub(crate) fn entropy() -> Arc<dyn Entropy> {
    sessile_aws_lc::entropy()
}

pub(crate) fn master() -> MasterKey {
    MasterKey::parse("c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgTzR6A=").unwrap()
}

pub(crate) fn subject(name: &str) -> Subject {
    name.parse().unwrap()
}

pub(crate) async fn vault(backend: Arc<dyn Backend>) -> Vault {
    try_vault(backend, master()).await.unwrap()
}

pub(crate) async fn try_vault(backend: Arc<dyn Backend>, key: MasterKey) -> Result<Vault, StoreError> {
    Vault::open(backend, key, crypto(), entropy(), START).await
}

/// A server's store that waits long: a busy machine is no fault of the store.
pub(crate) fn server(directory: &Path) -> Result<SqliteStore, StoreError> {
    let patience = Duration::from_secs(20);
    let options = SqliteOptions { write_deadline: patience, read_deadline: patience, ..SqliteOptions::SERVER };
    SqliteStore::open(&Location::directory(directory), options)
}

pub(crate) fn visitor(directory: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&Location::directory(directory), SqliteOptions::VISITOR)
}

pub(crate) fn claims(text: &str) -> Claims {
    Claims::new([("team".to_owned(), text.into())].into_iter().collect()).unwrap()
}

pub(crate) fn new_session(of: &str, now: Timestamp) -> NewSession {
    new_session_from(of, &*entropy(), now).unwrap()
}

pub(crate) fn new_session_from(of: &str, entropy: &dyn Entropy, now: Timestamp) -> Result<NewSession, EntropyFailure> {
    let identity = VerifiedIdentity::vouched(Method::Password, subject(of), now).with_claims(claims("red"));
    let client = Client { browser: "Firefox".to_owned(), ..Client::default() };
    mint(identity, client, Storage::Hybrid, &Limits::default(), entropy, now)
}

pub(crate) async fn sign_in(vault: &Vault, of: &str, now: Timestamp) -> (Session, Stored<SessionToken>) {
    match vault.insert(new_session(of, now), 50).await.unwrap() {
        InsertOutcome::Inserted { token, session, .. } => (session, token),
        InsertOutcome::IdTaken => panic!("128 random bits were taken"),
    }
}

/// Gives the same bytes again and again.
pub(crate) struct StuckEntropy(pub(crate) u8);

impl Entropy for StuckEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailure> {
        out.fill(self.0);
        Ok(())
    }
}

/// Gives nothing.
pub(crate) struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}
