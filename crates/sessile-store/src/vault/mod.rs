//! The vault: a backend with its secrets opened, and the only way to use one.

mod accounts;
mod keys;
mod ops;
mod sessions;
mod tokens;
mod upkeep;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sessile_core::crypto::{Crypto, Entropy};
use sessile_core::encoding::{base64url, from_base64url};
use sessile_core::revocation::{FeedPage, Phase, Reason, Seq};
use sessile_core::{Secret, Timestamp};

pub use accounts::Account;
pub use ops::{Op, OpCounts};
pub use sessions::{InsertOutcome, Kept, Rotation, SessionPage};

use crate::contract::{Backend, Continuity, Durability};
use crate::error::StoreError;
use crate::master_key::MasterKey;
use crate::record::SealedBlob;
use crate::seal::{Purpose, Sealer};
use ops::Counters;

/// A store as the engine uses it: seals on the way in, opens and checks on the way out, counts operations.
///
/// A record that was altered or moved to another session, subject or end does not open, and is a fault, never a
/// session. What the seal cannot show is a whole record put back as it once was; that is what generations, the
/// feed's head and the epoch are for.
///
/// The store may be out of reach when a node starts: the vault is there all the same, and every verb answers
/// [`Unavailable`](StoreError::Unavailable) until [`adopt`](Self::adopt) has taken the store in (S1).
#[derive(Debug)]
pub struct Vault {
    adopted: OnceLock<Adopted>,
    sealer: Sealer,
    crypto: Arc<dyn Crypto>,
    counters: Counters,
    /// The place in [`Phase::ALL`] of what the store last told.
    phase: AtomicU8,
}

#[derive(Debug)]
struct Adopted {
    backend: Arc<dyn Backend>,
    lost: Option<String>,
}

impl Vault {
    /// A vault around a store that can be reached; see [`adopt`](Self::adopt).
    pub async fn open(
        backend: Arc<dyn Backend>,
        master: MasterKey,
        crypto: Arc<dyn Crypto>,
        entropy: Arc<dyn Entropy>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let vault = Self::awaiting(master, crypto, entropy);
        vault.adopt(backend, now).await?;
        Ok(vault)
    }

    /// A vault whose store is still to come.
    pub fn awaiting(master: MasterKey, crypto: Arc<dyn Crypto>, entropy: Arc<dyn Entropy>) -> Self {
        let sealer = Sealer::new(master, crypto.clone(), entropy);
        Self { adopted: OnceLock::new(), sealer, crypto, counters: Counters::default(), phase: AtomicU8::default() }
    }

    /// Takes a store in: refuses one that was sealed with another master key (X5), and ends every session first if
    /// the store is older than what it acknowledged (S7, I16). A vault keeps the first store it adopts.
    pub async fn adopt(&self, backend: Arc<dyn Backend>, now: Timestamp) -> Result<(), StoreError> {
        let witness = backend.master_witness(self.sealer.seal(Purpose::Witness, &[], b"sessile")?).await?;
        self.sealer.open(Purpose::Witness, &[], &witness)?;
        self.note_phase(backend.stage().await?.phase);
        let lost = match backend.continuity().await? {
            Continuity::Unbroken => None,
            Continuity::Lost { what } => {
                // Said first: afterwards the store looks unbroken, whoever asks.
                tracing::error!(what, "the store lost acknowledged writes; every session is ended");
                backend.restart_history(Reason::StoreRegressed, now).await?;
                Some(what)
            }
        };
        self.adopted.set(Adopted { backend, lost }).map_err(|_| StoreError::Internal("two stores for one vault".into()))
    }

    /// Whether there is a store.
    pub fn is_open(&self) -> bool {
        self.adopted.get().is_some()
    }

    /// The store's phase as it was last heard of: at the opening, and with each page of the feed. The store itself refuses
    /// what its phase rules out; this is for what is answered without asking it.
    pub fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    fn note_phase(&self, phase: Phase) {
        let place = Phase::ALL.iter().position(|known| *known == phase).unwrap_or_default();
        self.phase.store(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(crate) fn backend(&self) -> Result<&dyn Backend, StoreError> {
        match self.adopted.get() {
            Some(adopted) => Ok(&*adopted.backend),
            None => Err(StoreError::not_done("it could not be reached since this node started")),
        }
    }

    /// What was noticed when the store was opened, if it had lost writes and every session was ended for it.
    pub fn lost_history(&self) -> Option<&str> {
        self.adopted.get()?.lost.as_deref()
    }

    /// The backend's name.
    pub fn name(&self) -> &'static str {
        self.backend().map_or("none", Backend::name)
    }

    /// What an acknowledgement survives; nothing while there is no store.
    pub fn durability(&self) -> Durability {
        self.backend().map_or(Durability::Memory, Backend::durability)
    }

    /// How often each operation was asked of the backend since this vault was opened.
    pub fn ops(&self) -> OpCounts {
        self.counters.snapshot()
    }

    /// A page of the feed; see [`Feed::feed`](crate::Feed::feed).
    pub async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        self.counters.note(Op::Feed);
        let page = self.backend()?.feed(after, limit).await?;
        self.note_phase(page.phase);
        Ok(page)
    }

    /// Resolves when the feed may have moved past `after`; see [`Feed::changed`](crate::Feed::changed).
    pub async fn changed(&self, after: Seq) {
        match self.backend() {
            Ok(backend) => backend.changed(after).await,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }

    /// Ends every session and begins a new history: for a node that noticed, while running, that the store went
    /// back in time.
    pub async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.counters.note(Op::RestartHistory);
        self.backend()?.restart_history(reason, now).await
    }

    /// A key derived from the master key for a use of its own, the same on every node: `csrf`, for one.
    pub fn derive(&self, purpose: &str) -> Secret<32> {
        self.sealer.derive(purpose)
    }

    /// Makes a position in a listing into text that a client can hold but neither read nor make up (K2).
    /// `listing` names the listing and whose it is, so that a cursor is good nowhere else.
    pub fn seal_cursor(&self, listing: &str, position: &[u8]) -> Result<String, StoreError> {
        let sealed = self.sealer.seal(Purpose::Cursor, &[listing.as_bytes()], position)?;
        Ok(base64url(sealed.as_bytes()))
    }

    /// Reads a cursor back; `None` if it is not one of ours for this listing.
    pub fn open_cursor(&self, listing: &str, cursor: &str) -> Option<Vec<u8>> {
        let blob = SealedBlob::from_bytes(from_base64url(cursor)?);
        let position = self.sealer.open(Purpose::Cursor, &[listing.as_bytes()], &blob).ok()?;
        Some(position.expose().to_vec())
    }
}
