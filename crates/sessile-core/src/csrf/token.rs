//! The signed CSRF token, for browsers that send neither Fetch Metadata nor `Origin`.

use alloc::{format, string::String};
use core::time::Duration;

use crate::client::Client;
use crate::crypto::{Crypto, Entropy, EntropyFailure, random};
use crate::encoding::{base64url, from_base64url_exact};
use crate::secret::Secret;
use crate::{SessionId, Timestamp};

/// Length of a token: 22 characters of random, a dot, 43 characters of MAC.
pub const TOKEN_CHARS: usize = 66;

/// A sign-in form's token is good for one to two of these. Long enough to find a password, short enough
/// that a token fetched by somebody else is of little use.
pub const SIGN_IN_WINDOW: Duration = Duration::from_secs(15 * 60);

/// For whom a token is issued, and by whom alone it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct CsrfBinding<'a> {
    /// The key of this purpose, derived from the master key.
    pub key: &'a Secret<32>,
    /// The session. `None`: a sign-in form, where there is none yet; the token is then bound to the browser's
    /// network and to the time instead, else anybody could fetch one and plant it.
    pub session: Option<SessionId>,
    /// The browser, as the server sees it.
    pub client: &'a Client,
    /// Now.
    pub now: Timestamp,
}

/// Issues a token: `random.mac`. Never the same twice, so a compressed page does not betray it (BREACH; I6 in
/// faults.md), and good as long as the session: rotation does not touch it.
pub fn issue_token(
    crypto: &dyn Crypto,
    entropy: &dyn Entropy,
    binding: &CsrfBinding<'_>,
) -> Result<String, EntropyFailure> {
    let salt = random(entropy)?;
    let mac = binding.mac(crypto, &salt, binding.window());
    Ok(format!("{}.{}", base64url(&salt), base64url(mac.expose())))
}

impl CsrfBinding<'_> {
    /// Whether `token` was issued for this binding. Compares in constant time.
    pub(super) fn accepts(&self, crypto: &dyn Crypto, token: &str) -> bool {
        let Some((salt, mac)) = token.split_once('.') else { return false };
        let (Some(salt), Some(mac)) = (from_base64url_exact(salt), from_base64url_exact::<32>(mac)) else {
            return false;
        };
        let window = self.window();
        // Both are computed always; which one fits is no secret.
        let current = self.mac(crypto, &salt, window).matches(&mac);
        let preceding = self.mac(crypto, &salt, window.saturating_sub(1)).matches(&mac);
        current | preceding
    }

    /// The stretch of time a sign-in token belongs to; sessions bound their own tokens.
    fn window(&self) -> u64 {
        match self.session {
            Some(_) => 0,
            None => self.now.as_secs() / SIGN_IN_WINDOW.as_secs(),
        }
    }

    fn mac(&self, crypto: &dyn Crypto, salt: &[u8; 16], window: u64) -> Secret<32> {
        let window = window.to_be_bytes();
        let (purpose, whose, network): (&[u8], &[u8], &str) = match &self.session {
            Some(id) => (b"session", id.as_bytes(), ""),
            None => (b"sign-in", &window, &self.client.network),
        };
        let parts: [&[u8]; 8] = [
            b"sessile csrf token 1",
            purpose,
            whose,
            salt,
            self.client.browser.as_bytes(),
            self.client.platform.as_bytes(),
            self.client.language.as_bytes(),
            network.as_bytes(),
        ];
        // Every part is preceded by its length, so that no two bindings share a message.
        let lengths = parts.map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        let mut framed: [&[u8]; 16] = [&[]; 16];
        for (slot, part) in framed.chunks_exact_mut(2).zip(lengths.iter().zip(parts)) {
            slot[0] = part.0;
            slot[1] = part.1;
        }
        crypto.mac(self.key, &framed)
    }
}
