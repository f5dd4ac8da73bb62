//! The rules of Sessile: sessions, rotation, revocation, access tokens, cookies and CSRF, as decisions.
//!
//! Nothing here performs I/O, reads a clock or draws entropy: time ([`Moment`]), entropy
//! ([`crypto::Entropy`]) and primitives ([`crypto::Crypto`]) are arguments. The crate is `no_std`, so the
//! compiler holds that promise, and it builds for `wasm32-unknown-unknown`.
//!
//! Read [`session`] for when a session counts as valid, [`rotation`] for what a presented session token
//! means, [`revocation`] for what a node may know, [`token`] for access tokens.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod client;
pub mod cookie;
pub mod cors;
pub mod crypto;
pub mod csrf;
pub mod encoding;
pub mod event;
pub mod fault;
pub mod headers;
pub mod id;
pub mod json;
pub mod origin;
pub mod policy;
pub mod return_to;
pub mod revocation;
pub mod rotation;
pub mod scan;
pub mod secret;
pub mod session;
pub mod storage;
pub mod time;
pub mod token;

pub use id::{InvalidId, SessionId, Subject};
pub use secret::{Secret, SecretBytes, SecretStr, SecretText};
pub use storage::Storage;
pub use time::{Moment, Monotonic, Timestamp};
