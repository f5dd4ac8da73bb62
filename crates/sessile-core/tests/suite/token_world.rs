//! What the token tests share: a deployment with one key, a forge that signs anything with it, and a second
//! verifier, written apart from ours, from which one rule at a time can be taken away.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use serde_json::{Map, Value, json};

use sessile_aws_lc::{AwsLc, SystemEntropy};
use sessile_core::client::Client;
use sessile_core::crypto::{Algorithm, Crypto, PublicKey};
use sessile_core::encoding::{base64url, from_base64url};
use sessile_core::json::{self, Caps};
use sessile_core::policy::Limits;
use sessile_core::session::{Claims, Method, Session, VerifiedIdentity, mint};
use sessile_core::token::{
    Expected, KeyRecord, KeyRing, KeySchedule, MintFailure, NewAccessToken, TokenId, TokenRefused, VerifiedToken,
};
use sessile_core::{SessionId, Storage, Subject, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const LIFE: Duration = Duration::from_secs(300);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const ISSUER: &str = "https://app.example";
pub(crate) const AUDIENCE: [&str; 2] = ["https://app.example", "https://api.example"];
pub(crate) const CLIENT: &str = "sessile";
pub(crate) const SCHEDULE: KeySchedule = KeySchedule {
    rotate_every: Duration::from_secs(30 * 86_400),
    publish_ahead: Duration::from_secs(3_600),
    longest_token: LIFE,
};

pub(crate) struct World {
    pub(crate) records: Vec<KeyRecord>,
    pub(crate) ring: KeyRing,
    pub(crate) session: Session,
    pub(crate) expected: Expected,
}

pub(crate) fn world(algorithm: Algorithm) -> World {
    let record = KeyRing::new_key(&AwsLc, algorithm, NOW.minus(DAY), NOW.minus(DAY)).unwrap();
    world_with(vec![record])
}

pub(crate) fn world_with(records: Vec<KeyRecord>) -> World {
    World {
        ring: KeyRing::load(&AwsLc, records.clone(), SCHEDULE).unwrap(),
        records,
        session: session(NOW),
        expected: Expected {
            issuer: ISSUER.into(),
            audience: AUDIENCE.map(String::from).to_vec(),
            leeway: Duration::ZERO,
            longest_token: LIFE,
            longest_unrenewed: LIFE,
        },
    }
}

pub(crate) fn session(now: Timestamp) -> Session {
    let claims = Claims::new(serde_json::from_value(json!({"role": "editor", "admin": false})).unwrap()).unwrap();
    let identity = VerifiedIdentity::vouched(Method::Password, "user-42".parse().unwrap(), now)
        .with_acr(Some("urn:example:low".into()))
        .with_claims(claims);
    mint(identity, Client::default(), Storage::Hybrid, &Limits::default(), &SystemEntropy, now).unwrap().session
}

impl World {
    pub(crate) fn mint(&self) -> VerifiedToken {
        self.mint_at(NOW).unwrap()
    }

    pub(crate) fn mint_at(&self, now: Timestamp) -> Result<VerifiedToken, MintFailure> {
        self.mint_for(&self.session, LIFE, now)
    }

    pub(crate) fn mint_for(
        &self,
        session: &Session,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<VerifiedToken, MintFailure> {
        let audience = AUDIENCE.map(String::from);
        let not_after = session.end(&Limits::default());
        let new =
            NewAccessToken { session, issuer: ISSUER, audience: &audience, client_id: CLIENT, lifetime, not_after };
        self.ring.mint(&SystemEntropy, &new, now)
    }

    pub(crate) fn verify(&self, compact: &str) -> Result<VerifiedToken, TokenRefused> {
        self.ring.verify(compact, &self.expected, NOW)
    }

    /// The code of the refusal; "accepted" if there is none.
    pub(crate) fn code(&self, compact: &str) -> &'static str {
        self.verify(compact).map_or_else(|why| why.code(), |_| "accepted")
    }

    pub(crate) fn key(&self) -> &KeyRecord {
        &self.records[0]
    }

    pub(crate) fn header(&self) -> Map<String, Value> {
        let key = self.key();
        object(json!({"alg": key.algorithm.name(), "typ": "at+jwt", "kid": key.id.as_str()}))
    }

    pub(crate) fn claims(&self) -> Map<String, Value> {
        object(json!({
            "iss": ISSUER,
            "sub": "user-42",
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "iat": NOW.as_secs(),
            "exp": NOW.as_secs() + LIFE.as_secs(),
            "auth_time": NOW.as_secs(),
            "jti": TokenId::from_bytes([1; 16]).to_string(),
            "sid": SessionId::from_bytes([2; 16]).to_string(),
            "gen": 0,
            "storage": "hybrid",
            "amr": ["pwd"],
            "role": "editor",
        }))
    }

    /// Signs any two segments with our own key.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let key = AwsLc.signing_key(self.key().algorithm, &self.key().private).unwrap();
        format!("{input}.{}", base64url(&key.sign(input.as_bytes()).unwrap()))
    }

    pub(crate) fn forge(&self, header: &[u8], payload: &[u8]) -> String {
        self.sign(&base64url(header), &base64url(payload))
    }

    /// A token of ours but for the header.
    pub(crate) fn with_header(&self, header: &Value) -> String {
        self.forge(header.to_string().as_bytes(), Value::Object(self.claims()).to_string().as_bytes())
    }

    /// A token of ours but for one member of the header; `None` removes it.
    pub(crate) fn with_member(&self, name: &str, value: Option<Value>) -> String {
        self.with_header(&changed(self.header(), name, value))
    }

    /// A token of ours but for the claims set, given as text.
    pub(crate) fn with_payload(&self, payload: &[u8]) -> String {
        self.forge(Value::Object(self.header()).to_string().as_bytes(), payload)
    }

    /// A token of ours but for one claim; `None` removes it.
    pub(crate) fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        self.with_payload(changed(self.claims(), name, value).to_string().as_bytes())
    }

    pub(crate) fn good(&self) -> String {
        self.with_payload(Value::Object(self.claims()).to_string().as_bytes())
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => panic!("an object"),
    }
}

fn changed(mut members: Map<String, Value>, name: &str, value: Option<Value>) -> Value {
    match value {
        Some(value) => members.insert(name.into(), value),
        None => members.remove(name),
    };
    Value::Object(members)
}

/// A rule the second verifier can be made to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Size,
    HeaderSize,
    Segments,
    Encoding,
    HeaderJson,
    Members,
    Type,
    Algorithm,
    KeyId,
    Signature,
    PayloadJson,
    Types,
    Issuer,
    Audience,
    Times,
}

/// The attack would work against a verifier that...
#[derive(Debug)]
pub(crate) enum Control {
    /// ...forgot this rule.
    Without(Rule),
    /// No twin can be fooled with it; this is the nearest harmless token, which must pass.
    Repaired(String),
}

/// One attack: its rows in the catalogue, the token, the code it must be refused with.
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) token: String,
    pub(crate) code: &'static str,
    pub(crate) control: Control,
}

pub(crate) fn case(what: impl Into<String>, token: String, code: &'static str, without: Rule) -> Case {
    Case { what: what.into(), token, code, control: Control::Without(without) }
}

/// Each attack is refused for the reason given, and only that one rule stands between it and success.
pub(crate) fn check(world: &World, cases: impl IntoIterator<Item = Case>) {
    assert_eq!(world.code(&world.good()), "accepted", "the token before any change");
    assert!(twin_accepts(world, &world.good(), None));
    for Case { what, token, code, control } in cases {
        assert_eq!(world.code(&token), code, "{what}");
        match control {
            Control::Without(rule) => {
                assert!(!twin_accepts(world, &token, None), "{what}: the twin agrees");
                assert!(twin_accepts(world, &token, Some(rule)), "{what}: nothing but {rule:?} is wrong with it");
            }
            Control::Repaired(harmless) => {
                assert_eq!(world.code(&harmless), "accepted", "{what}: repaired")
            }
        }
    }
}

/// A verifier as another might write it, lenient wherever `forgotten` is concerned.
pub(crate) fn twin_accepts(world: &World, compact: &str, forgotten: Option<Rule>) -> bool {
    twin(world, compact, forgotten).is_some()
}

fn twin(world: &World, compact: &str, forgotten: Option<Rule>) -> Option<()> {
    let on = |rule| forgotten != Some(rule);
    let holds = |ok: bool| ok.then_some(());
    holds(!on(Rule::Size) || compact.len() <= 8192)?;
    let parts: Vec<&str> = compact.split('.').collect();
    holds(!on(Rule::Segments) || (parts.len() == 3 && parts.iter().all(|part| !part.is_empty())))?;
    let (header_part, payload_part, signature_part) = (*parts.first()?, *parts.get(1)?, *parts.get(2)?);
    holds(!on(Rule::HeaderSize) || header_part.len() <= 4096)?;
    let decode = |part: &str| {
        if on(Rule::Encoding) { from_base64url(part) } else { lenient_base64(part) }
    };

    let header = read_json(&decode(header_part)?, on(Rule::HeaderJson))?;
    let known = ["alg", "typ", "kid"];
    holds(!on(Rule::Members) || header.keys().all(|name| known.contains(&name.as_str())))?;
    let typ = header.get("typ").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    holds(!on(Rule::Type) || typ.strip_prefix("application/").unwrap_or(&typ) == "at+jwt")?;
    let key = match header.get("kid").and_then(Value::as_str) {
        _ if !on(Rule::KeyId) => world.key(),
        Some(id) => world.records.iter().find(|record| record.id.as_str() == id)?,
        None => return None,
    };
    holds(!on(Rule::Algorithm) || header.get("alg").and_then(Value::as_str) == Some(key.algorithm.name()))?;

    let input = [header_part, ".", payload_part].concat();
    let signature = decode(signature_part);
    let claimed = header.get("alg").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let own = AwsLc.verifying_key(key.algorithm, &key.private).unwrap();
    if !on(Rule::Algorithm) && claimed.trim().trim_end_matches('\0') == "none" {
        // Believes the header: nothing to check.
    } else if !on(Rule::Algorithm) && claimed == "hs256" {
        // Believes the header: the key it has must be the secret.
        let public = AwsLc.signing_key(key.algorithm, &key.private).unwrap().public()?;
        let tags = secrets_of(&public).into_iter().map(|secret| hmac(&secret, input.as_bytes()));
        holds(tags.into_iter().any(|tag| Some(tag.as_slice()) == signature.as_deref()))?;
    } else if let (false, Some(jwk)) = (on(Rule::Members), header.get("jwk")) {
        // Believes the header: the key comes with the token.
        let number = |name: &str| from_base64url(jwk[name].as_str()?)?.try_into().ok();
        let embedded = PublicKey::P256 { x: number("x")?, y: number("y")? };
        holds(AwsLc.public_key(Algorithm::Es256, &embedded).ok()?.verifies(input.as_bytes(), &signature?))?;
    } else if on(Rule::Signature) {
        holds(own.verifies(input.as_bytes(), &signature?))?;
    }

    let claims = read_json(&decode(payload_part)?, on(Rule::PayloadJson))?;
    if on(Rule::Types) {
        twin_types(&claims)?;
    }
    if on(Rule::Issuer) {
        holds(claims.get("iss").and_then(Value::as_str) == Some(ISSUER))?;
    }
    if on(Rule::Audience) {
        let ours = |name: &Value| name.as_str().is_some_and(|name| AUDIENCE.contains(&name));
        holds(match claims.get("aud")? {
            Value::Array(names) => !names.is_empty() && names.iter().all(ours),
            one => ours(one),
        })?;
    }
    if on(Rule::Times) {
        twin_times(&claims)?;
    }
    Some(())
}

fn twin_types(claims: &Map<String, Value>) -> Option<()> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    text("sub")?.parse::<Subject>().ok().filter(|subject| subject.as_str() != CLIENT)?;
    text("client_id").filter(|id| !id.is_empty())?;
    text("jti")?.parse::<TokenId>().ok()?;
    text("sid")?.parse::<SessionId>().ok()?;
    text("storage")?.parse::<Storage>().ok()?;
    claims.get("gen")?.as_u64()?;
    if let Some(methods) = claims.get("amr") {
        methods.as_array()?.iter().all(|m| m.as_str().is_some_and(|m| !m.is_empty())).then_some(())?;
    }
    if let Some(class) = claims.get("acr") {
        class.as_str().filter(|class| !class.is_empty())?;
    }
    (!claims.contains_key("cnf") && !claims.contains_key("act")).then_some(())
}

fn twin_times(claims: &Map<String, Value>) -> Option<()> {
    let time = |name: &str| {
        claims
            .get(name)
            .and_then(Value::as_f64)
            .filter(|t| (0.0..253_402_300_800.0).contains(t) && !t.is_sign_negative())
    };
    let (iat, exp, auth) = (time("iat")?, time("exp")?, time("auth_time")?);
    let nbf = if claims.contains_key("nbf") { time("nbf")? } else { 0.0 };
    let now = NOW.as_secs() as f64;
    let future = [iat, auth, nbf].into_iter().any(|t| t > now + 60.0);
    (!future && exp > iat && exp - iat <= LIFE.as_secs_f64() && now < exp).then_some(())
}

fn read_json(bytes: &[u8], strictly: bool) -> Option<Map<String, Value>> {
    let value = if strictly {
        json::parse(bytes, Caps { bytes: 8192, depth: 10 }).ok()?
    } else {
        // The first value in it, the last of equal names, whatever follows, bad UTF-8 patched.
        let text = String::from_utf8_lossy(bytes).replace('\u{feff}', "");
        serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()?
    };
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Takes both alphabets, any padding, stray bits, white space.
fn lenient_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut text: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '=')
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        })
        .collect();
    if text.len() % 4 == 1 {
        text.pop();
    }
    LENIENT.decode(text).ok()
}

/// Every shape in which a confused verifier might hold a P-256 public key.
pub(crate) fn secrets_of(key: &PublicKey) -> Vec<Vec<u8>> {
    let PublicKey::P256 { x, y } = key else { panic!("a P-256 key") };
    let point = [&[4], x.as_slice(), y].concat();
    let spki_head = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let der = [spki_head.as_slice(), &point].concat();
    let body = base64::engine::general_purpose::STANDARD.encode(&der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
    let jwk = json!({"crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y)}).to_string();
    let pretty = format!("{pem}\n");
    let windows = pretty.replace('\n', "\r\n");
    vec![
        pem.into_bytes(),
        pretty.into_bytes(),
        windows.into_bytes(),
        der,
        point.clone(),
        point[1..].to_vec(),
        x.to_vec(),
        jwk.clone().into_bytes(),
        format!("{jwk}\n").into_bytes(),
        Vec::new(),
    ]
}

/// HMAC-SHA-256 (RFC 2104) with a key of any kind: the provider refuses such keys.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&AwsLc.sha256(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = AwsLc.sha256(&[&block.map(|b| b ^ 0x36), message].concat());
    AwsLc.sha256(&[block.map(|b| b ^ 0x5c).as_slice(), &inner].concat())
}
