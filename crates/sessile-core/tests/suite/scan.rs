//! Looking through many bytes at once says what looking at each says.

use proptest::prelude::*;
use sessile_core::scan;

proptest! {
    /// Wherever the byte stands: within a piece, in the rest behind the last piece, or nowhere.
    #[test]
    fn pieces_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..70), wanted in any::<u8>()) {
        prop_assert_eq!(scan::find(&bytes, |b| b == wanted), bytes.iter().position(|&b| b == wanted));
        prop_assert_eq!(scan::all(&bytes, |b| b != wanted), bytes.iter().all(|&b| b != wanted));
    }

    /// The same with a byte that is rare, as a control byte in a head is.
    #[test]
    fn one_byte_is_found_where_it_is(length in 1_usize..70, at in 0_usize..70, byte in any::<u8>()) {
        let mut bytes = vec![b'a'; length];
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        prop_assert_eq!(scan::find(&bytes, scan::is_control), (at < length && (byte < 0x20 && byte != b'\t' || byte == 0x7f)).then_some(at));
    }
}
