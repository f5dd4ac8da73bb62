//! Values that must not print, compare or serialise by accident.
//!
//! None of these types has `Display`, `PartialEq` or `Serialize`; `Debug` shows the type alone; memory is
//! wiped on drop. To read one, call `expose`, which a reviewer can search for.

use alloc::{string::String, vec::Vec};
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secret bytes of a fixed length: a key, a MAC.
#[derive(Clone)]
pub struct Secret<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes custody of `bytes`.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Compares in time that depends on the lengths alone.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

/// Secret bytes of any length: an opened record, a private key.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes custody of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A secret that is text: a session token, a compact JWT, a password.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes custody of `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Text of somebody else's that grants something, looked at where it lies: a token in a request's header. Does not print,
/// compare or serialise.
#[derive(Clone, Copy)]
pub struct SecretStr<'a>(&'a str);

impl<'a> SecretStr<'a> {
    /// Looks at `text`.
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text itself.
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

macro_rules! debug_as_type_name {
    ($($name:literal for [$($generics:tt)*] $type:ty),+ $(,)?) => {$(
        impl<$($generics)*> fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($name)
            }
        }
    )+};
}
debug_as_type_name! {
    "Secret(..)" for [const N: usize] Secret<N>,
    "SecretBytes(..)" for [] SecretBytes,
    "SecretText(..)" for [] SecretText,
    "SecretStr(..)" for ['a] SecretStr<'a>,
}
