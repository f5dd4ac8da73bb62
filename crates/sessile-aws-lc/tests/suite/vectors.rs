//! Vectors printed in the standards; one computed here would prove nothing about others. RFC 7520 has none
//! for the algorithms we speak, except an HMAC key that is refused for being printed there.

use crate::{bytes, exact, hex, public};
use sessile_aws_lc::AwsLc;
use sessile_core::crypto::{Algorithm, Crypto, PublicKey};
use sessile_core::encoding::base64url;
use sessile_core::token::thumbprint;
use sessile_core::{Secret, SecretBytes};

/// RFC 7515 appendix A.3: ES256.
#[test]
fn rfc7515_a3_es256() {
    let key = PublicKey::P256 {
        x: exact("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        y: exact("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    };
    let input = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = bytes("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    let key = public(Algorithm::Es256, &key);
    assert!(key.verifies(input, &signature));
    assert!(!key.verifies(&input[1..], &signature));
}

/// RFC 8037 appendix A.4 and A.5: Ed25519 is deterministic, so the signature itself is compared.
#[test]
fn rfc8037_a4_ed25519() {
    let seed = bytes("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let pkcs8 = SecretBytes::new([hex("302e020100300506032b657004220420"), seed].concat());
    let key = AwsLc.signing_key(Algorithm::EdDsa, &pkcs8).unwrap();
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(base64url(&key.sign(input).unwrap()), expected);
    assert_eq!(key.public(), Some(PublicKey::Ed25519 { x: exact("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") }));
    let verifying = AwsLc.verifying_key(Algorithm::EdDsa, &pkcs8).unwrap();
    assert!(verifying.verifies(input, &bytes(expected)));
    assert!(!verifying.verifies(b"something else", &bytes(expected)));
}

/// RFC 8037 appendix A.3 and RFC 7638 section 3.1: thumbprints.
#[test]
fn thumbprints() {
    let ed25519 = PublicKey::Ed25519 { x: exact("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") };
    assert_eq!(base64url(&thumbprint(&AwsLc, &ed25519)), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let rsa = PublicKey::Rsa {
        n: bytes(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
             oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
             ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-\
             kEgU8awapJzKnqDKgw",
        ),
        e: bytes("AQAB"),
    };
    assert_eq!(base64url(&thumbprint(&AwsLc, &rsa)), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let mut other = rsa.clone();
    if let PublicKey::Rsa { e, .. } = &mut other {
        *e = bytes("Aw");
    }
    assert_ne!(thumbprint(&AwsLc, &rsa), thumbprint(&AwsLc, &other));
}

/// FIPS 180-4, RFC 4231 test case 1 (its key of 20 octets is the same as with zeros up to 32).
#[test]
fn digest_and_mac() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(AwsLc.sha256(b"abc").to_vec(), hex(digest));
    let mut key = [0; 32];
    key[..20].fill(0x0b);
    let expected = hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert!(AwsLc.mac(&Secret::new(key), &[b"Hi ", b"There"]).matches(&expected));
    key[31] = 1;
    assert!(!AwsLc.mac(&Secret::new(key), &[b"Hi There"]).matches(&expected));
}

/// GCM specification (McGrew, Viega), test case 14: AES-256.
#[test]
fn aead() {
    let sealed = AwsLc.seal(&Secret::new([0; 32]), &[0; 12], b"", &[0; 16]).unwrap();
    assert_eq!(sealed, hex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"));
    let other = AwsLc.seal(&Secret::new([1; 32]), &[0; 12], b"", &[0; 16]).unwrap();
    assert_ne!(sealed, other);
}
