//! Sealing: AEAD under keys derived from the master key, bound to one record.
//!
//! A blob is `version (1) . key id (8) . salt (24) . ciphertext and tag`. Its key is
//! `HMAC(master, label, purpose, salt)`: each blob has a key of its own, used once, so no (key, nonce) pair ever
//! comes twice however many records are sealed. The associated data names the purpose and the columns of
//! the record that no verb changes, so a blob opens only in its own record.

use std::fmt;
use std::sync::Arc;

use sessile_core::crypto::{Crypto, Entropy, random};
use sessile_core::{Secret, SecretBytes};

use crate::error::{SealError, StoreError};
use crate::master_key::MasterKey;
use crate::record::SealedBlob;

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const SALT: usize = 24;
const HEADER: usize = 1 + KEY_ID + SALT;
// The key is used for this one message.
const NONCE: [u8; 12] = [0; 12];

/// What a sealed value is. A blob of one purpose never opens as another (E18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session's key and facts.
    Session,
    /// A private signing key.
    SigningKey,
    /// A password hash.
    Password,
    /// The value that tells whether the master key is the right one.
    Witness,
    /// Where a client is in a listing.
    Cursor,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::SigningKey => "signing key",
            Self::Password => "password",
            Self::Witness => "master key witness",
            Self::Cursor => "cursor",
        }
    }
}

/// Seals and opens under one master key.
#[derive(Clone)]
pub struct Sealer {
    crypto: Arc<dyn Crypto>,
    entropy: Arc<dyn Entropy>,
    master: MasterKey,
    id: [u8; KEY_ID],
}

impl Sealer {
    /// A sealer under `master`.
    pub fn new(master: MasterKey, crypto: Arc<dyn Crypto>, entropy: Arc<dyn Entropy>) -> Self {
        let digest = crypto.mac(master.secret(), &[b"sessile master key id 1"]);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest.expose()[..KEY_ID]);
        Self { crypto, entropy, master, id }
    }

    /// Seals `plaintext` for the record that `context` names: every part of it must be given again to open.
    pub fn seal(&self, purpose: Purpose, context: &[&[u8]], plaintext: &[u8]) -> Result<SealedBlob, StoreError> {
        let salt: [u8; SALT] = random(&*self.entropy)?;
        let sealed = self.crypto.seal(&self.key(purpose, &salt), &NONCE, &framed(purpose, context), plaintext)?;
        let mut blob = Vec::with_capacity(HEADER + sealed.len());
        blob.push(VERSION);
        blob.extend_from_slice(&self.id);
        blob.extend_from_slice(&salt);
        blob.extend_from_slice(&sealed);
        if blob.len() > SealedBlob::MAX_BYTES {
            return Err(StoreError::Internal(format!(
                "a sealed {} of {} bytes is too large",
                purpose.name(),
                blob.len()
            )));
        }
        Ok(SealedBlob::from_bytes(blob))
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and context under the same master key.
    pub fn open(&self, purpose: Purpose, context: &[&[u8]], blob: &SealedBlob) -> Result<SecretBytes, SealError> {
        let unknown = SealError::UnknownFormat(purpose.name());
        let (version, rest) = blob.as_bytes().split_first().ok_or(unknown.clone())?;
        let (id, rest) = rest.split_at_checked(KEY_ID).ok_or(unknown.clone())?;
        let (salt, sealed) = rest.split_at_checked(SALT).ok_or(unknown.clone())?;
        if *version != VERSION {
            return Err(unknown);
        }
        if id != self.id {
            return Err(SealError::WrongMasterKey { given: hex(&self.id), sealed: hex(id) });
        }
        self.crypto
            .open(&self.key(purpose, salt), &NONCE, &framed(purpose, context), sealed)
            .ok_or(SealError::Altered(purpose.name()))
    }

    /// A key for a use outside the store, such as CSRF tokens. The same on every node with this master key;
    /// different for each `purpose`, and unlike any sealing key.
    pub fn derive(&self, purpose: &str) -> Secret<32> {
        self.crypto.mac(self.master.secret(), &[b"sessile derived key 1", purpose.as_bytes()])
    }

    /// A keyed digest of `text`, under which something can be looked up without storing the text.
    pub fn digest(&self, purpose: &str, text: &str) -> [u8; 32] {
        *self.crypto.mac(&self.derive(purpose), &[text.as_bytes()]).expose()
    }

    fn key(&self, purpose: Purpose, salt: &[u8]) -> Secret<32> {
        self.crypto.mac(self.master.secret(), &[b"sessile sealing key 1", &framed(purpose, &[salt])])
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", hex(&self.id))
    }
}

// Length before each part: no two lists of parts read the same.
fn framed(purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [purpose.name().as_bytes()].iter().chain(parts) {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
