//! Access tokens: minting, strict verification, and the ring of keys behind both.
//!
//! An access token is a JWT of the RFC 9068 profile (`typ: at+jwt`), minutes long, that names its session
//! (`sid`) and the session token's generation (`gen`). [`KeyRing::mint`] and [`KeyRing::verify`] are the
//! only makers of [`VerifiedToken`]. Verification proceeds in one order, and stops at the first refusal:
//!
//! 1. size, alphabet, three segments ([`jws::parse`]);
//! 2. header: strict JSON with exactly `alg`, `typ`, `kid`; `typ` is `at+jwt`;
//! 3. key: in the ring under that `kid`, of that `alg`, published, not revoked, not retired;
//! 4. signature;
//! 5. claims: strict JSON, types, issuer, audience, times; expiry last.
//!
//! Nothing a token says is used before step 4 holds, except to choose among keys the ring already has
//! . Outside every refusal looks the same; [`TokenRefused::code`] is for the log.

mod claims;
pub mod jws;
mod key;
mod mint;
mod ring;
mod timeline;
mod verify;

use core::time::Duration;

pub use crate::id::TokenId;
pub use claims::AccessClaims;
pub use key::{KeyId, KeyRecord, thumbprint};
pub use mint::{MintFailure, NewAccessToken};
pub use ring::{KeyRing, KeyRingRefused, KeySchedule, KeyState, KeyStatus, RotationDue};
pub use verify::{Expected, TokenRefused, VerifiedToken};

/// The media type of our access tokens (RFC 9068 section 2.1), as written in `typ`.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// How far the clocks of two nodes may differ (T1): a token, or a key, may seem to come from this far in the
/// future. Expiry here gets no such allowance; but other verifiers may give as much, so a key is published
/// for this long after its last token expired.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
