//! The first sight of an access token on a node, beside a bare check of its signature.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use sessile::{Admission, Arrival, Clock, Engine, Peer, SystemClock};
use sessile_core::Storage;
use sessile_core::crypto::{Algorithm, Crypto, PublicKey, VerifyingKey};
use sessile_store::Backend;
use sessile_store::memory::MemoryStore;

use super::Bench;
use crate::machine::on_core;
use crate::report::{Outcome, Rounds, Target, Unit, count};
use crate::store::{self, Visitor};

/// Tokens that are seen, or checked, in one go.
const GO: usize = 100;

struct Token {
    parts: Parts,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let rounds = on_core(bench.cores.gateway, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(all_rounds(size.rounds * 2, size.tokens))
    });
    let method = format!(
        "One engine signs {} users in; another one on the same store, which is in memory, is shown their access tokens, each for \
         the first time: reading the cookies, the signature, the claims, the look into the store and the decision. In turns of \
         {GO} tokens, the same ones are only verified: their ES256 signatures, already decoded, with the key already parsed. \
         Everything runs on one thread, on one core. Second sight is the same engine shown the same tokens once more.",
        count(size.tokens)
    );
    let figures = vec![
        rounds.figure("bare", "A bare ES256 verification", Unit::Micros),
        rounds.figure("first", "First sight of an access token", Unit::Micros),
        rounds.figure("second", "Second sight of it", Unit::Micros),
    ];
    let comparisons = vec![rounds.compare(
        "first",
        "bare",
        "First sight of an access token beside a bare verification",
        Some(Target::Most(1.3)),
    )];
    Outcome::of(method, figures, comparisons)
}

async fn all_rounds(rounds: usize, count: usize) -> Rounds {
    let backend: Arc<dyn Backend> = Arc::new(MemoryStore::new());
    let master = store::new_master_key();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = store::config();
    config.cache_tokens = count * 2;
    let first = store::engine(backend.clone(), &master, clock.clone(), config.clone()).await;
    let crypto = sessile_aws_lc::provider();
    let key = public_key(&first, &*crypto);
    let mut tokens = Vec::new();
    for number in 0..count {
        tokens.push(token(&store::sign_in(&first, number as u32).await));
    }
    let mut out = Rounds::default();
    for round in 0..rounds {
        // It has seen none of them.
        let node = store::engine(backend.clone(), &master, clock.clone(), config.clone()).await;
        let (mut bare, mut seen) = (Duration::ZERO, Duration::ZERO);
        for go in tokens.chunks(GO) {
            let checked = |go: &[Token]| {
                let begun = Instant::now();
                assert!(go.iter().all(|token| key.verifies(&token.signed, &token.signature)), "they are genuine");
                begun.elapsed()
            };
            if round % 2 == 0 {
                bare += checked(go);
                seen += show(&node, go).await;
            } else {
                seen += show(&node, go).await;
                bare += checked(go);
            }
        }
        let again = show(&node, &tokens).await;
        let [cold, warm] = [&node.metrics().admitted_cold, &node.metrics().admitted_warm]
            .map(|counter| counter.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!([cold, warm], [count as u64; 2], "each was new once, and known once");
        for (name, took) in [("bare", bare), ("first", seen), ("second", again)] {
            out.note(name, took.as_secs_f64() * 1e6 / count as f64);
        }
    }
    out
}

async fn show(node: &Engine, tokens: &[Token]) -> Duration {
    let peer = Peer { secure: true, ..Peer::default() };
    let begun = Instant::now();
    for token in tokens {
        let arrival = Arrival::new(&token.parts, &peer, node.config());
        let admission = node.admit(&arrival, node.config().offer(Storage::Hybrid)).await;
        assert!(matches!(&admission, Admission::Admitted(pass) if !pass.is_renewed()), "{admission:?}");
    }
    begun.elapsed()
}

fn token(visitor: &Visitor) -> Token {
    let (_, compact) = visitor.access_cookie.split_once('=').expect("a cookie");
    let (signed, signature) = compact.rsplit_once('.').expect("a JWS");
    Token {
        parts: store::request(Some(&visitor.cookies())),
        signed: signed.as_bytes().to_vec(),
        signature: URL_SAFE_NO_PAD.decode(signature).expect("base64url"),
    }
}

// As anybody would load it: from the set that is published.
fn public_key(engine: &Engine, crypto: &dyn Crypto) -> Box<dyn VerifyingKey> {
    let set: serde_json::Value = serde_json::from_slice(&engine.jwks().body).expect("JSON");
    let coordinate = |name: &str| {
        let text = set["keys"][0][name].as_str().expect("a coordinate");
        URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).expect("32 octets")
    };
    let key = PublicKey::P256 { x: coordinate("x"), y: coordinate("y") };
    crypto.public_key(Algorithm::Es256, &key).expect("our own key")
}
