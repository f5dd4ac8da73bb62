//! The master key is 256 random bits, or it is refused (X5).

use sessile_store::{MasterKey, MasterKeyRefused};

use crate::world::entropy;

const BYTES: [u8; 32] = [
    0x73, 0x86, 0x75, 0x5f, 0x49, 0xbc, 0x71, 0x0d, 0xad, 0xee, 0x7a, 0xb6, 0xb0, 0x4a, 0x34, 0x97, 0x5b, 0xfd, 0x40,
    0x9e, 0x6e, 0xdd, 0xb6, 0x07, 0xf1, 0xd2, 0x9f, 0x5a, 0x04, 0xf3, 0x47, 0xa0,
];

#[test]
fn every_spelling_is_one_key() {
    let base64url = "c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgTzR6A";
    let hex: String = BYTES.iter().map(|byte| format!("{byte:02x}")).collect();
    let spellings =
        [base64url.to_owned(), format!("{base64url}="), format!("  {base64url}=\n"), hex.to_uppercase(), hex];
    for text in spellings {
        let key = MasterKey::parse(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(key.to_text().expose(), base64url, "{text}");
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
    }
    let with_both = "+/+/c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgQ=";
    assert_eq!(MasterKey::parse(with_both).unwrap().to_text().expose(), "-_-_c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgQ");
}

#[test]
fn a_generated_key_is_taken_back() {
    for _ in 0..1000 {
        let key = MasterKey::generate(&*entropy()).unwrap();
        assert!(MasterKey::parse(key.to_text().expose()).is_ok());
    }
}

#[test]
fn placeholders_are_refused() {
    let hex = |byte: &dyn Fn(usize) -> u8| -> String { (0..32).map(|n| format!("{:02x}", byte(n))).collect() };
    let weak = [
        hex(&|_| 0),
        hex(&|_| 0xff),
        hex(&|_| 0x41),
        // Counting, either way, as test vectors do.
        hex(&|n| n as u8),
        hex(&|n| 255 - n as u8),
        hex(&|n| (n * 8) as u8),
        // A pattern of few bytes.
        hex(&|n| [0xde, 0xad, 0xbe, 0xef][n % 4]),
        hex(&|n| (n as u8 % 15) * 17),
        // A passphrase, and its base64.
        hex(&|n| b"correct horse battery staple ab."[n]),
        "Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtbm8=".to_owned(),
    ];
    for text in weak {
        assert!(matches!(MasterKey::parse(&text), Err(MasterKeyRefused::Weak(_))), "{text}");
    }
    for text in ["", " \n"] {
        assert_eq!(MasterKey::parse(text).unwrap_err(), MasterKeyRefused::Empty);
    }
    let not_keys = [
        "changeme",
        "secret",
        // 31 and 33 bytes.
        "c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgTzRw==",
        "c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgTzR6AB",
        // Stray bits in the last character, white space within, hexadecimal one short.
        "c4Z1X0m8cQ2t7nq2sEo0l1v9QJ5u3bYH8dKfWgTzR6B",
        "c4Z1X0m8cQ2t7nq2sEo0 l1v9QJ5u3bYH8dKfWgTzR6A",
        &"7a".repeat(32)[1..],
    ];
    for text in not_keys {
        assert_eq!(MasterKey::parse(text).unwrap_err(), MasterKeyRefused::NotAKey, "{text}");
    }
}
