//! Spellings: strict base64url without padding (RFC 4648 section 5; R-047), and text in header values.

use alloc::borrow::Cow;
use alloc::{format, string::String, vec::Vec};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};

const STRICT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// Encodes without padding.
pub fn base64url(bytes: &[u8]) -> String {
    STRICT.encode(bytes)
}

/// Decodes; `None` for padding, another alphabet, white space, or a last character with stray bits.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    STRICT.decode(text).ok()
}

/// Decodes into exactly `N` bytes.
pub fn from_base64url_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_base64url(text)?.try_into().ok()
}

/// Text as a header value: percent-encoded where it is not visible ASCII, so that two texts never look alike.
pub fn header_text(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| matches!(b, 0x21..=0x7e) && b != b'%';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}
