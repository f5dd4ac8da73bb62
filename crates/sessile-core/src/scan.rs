//! Looking through many bytes for one that is rarely there.
//!
//! A head is searched several times on its way: for control bytes, for the end of a cookie, for what a token cannot
//! contain. Byte by byte that is most of what a warm request costs. Sixteen bytes are judged at a time without a branch
//! among them, which the compiler turns into vector instructions (counted as "arrival" by `ci/exact.mjs`).

const AT_A_TIME: usize = 16;

/// Whether `is_good` holds of every byte.
#[inline]
pub fn all(bytes: &[u8], is_good: impl Fn(u8) -> bool) -> bool {
    let (pieces, rest) = bytes.as_chunks::<AT_A_TIME>();
    pieces.iter().all(|piece| piece.iter().fold(true, |good, &b| good & is_good(b))) && rest.iter().all(|&b| is_good(b))
}

/// Where the first byte stands of which `is_it` holds.
#[inline]
pub fn find(bytes: &[u8], is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (pieces, _) = bytes.as_chunks::<AT_A_TIME>();
    let without = pieces.iter().take_while(|piece| !piece.iter().fold(false, |found, &b| found | is_it(b))).count();
    let start = without * AT_A_TIME;
    bytes[start..].iter().position(|&b| is_it(b)).map(|at| start + at)
}

/// Whether a byte is a control byte other than TAB: what no field value may contain (RFC 9110 section 5.5).
#[inline]
pub const fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') | (byte == 0x7f)
}
