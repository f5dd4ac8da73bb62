//! What the engine's costs are held against, and one part of it by itself.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Lineage, Phase, Reason, Seq, Standing, View};
use sessile_core::{Moment, Monotonic, SessionId, Timestamp};

/// A P-256 key of the library that Sessile signs with, nothing of Sessile around it, and a message as long as a token.
pub(crate) struct BareKey {
    private: EcdsaKeyPair,
    public: ParsedPublicKey,
    random: SystemRandom,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl BareKey {
    /// A new key, used once: what is done once for each process is done.
    pub(crate) fn used() -> Self {
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, private.public_key().as_ref()).expect("its half");
        let mut key = Self { private, public, random, message: vec![b'e'; TOKEN_BYTES], signature: Vec::new() };
        key.signature = key.sign();
        assert!(key.verifies());
        key
    }

    /// ES256 over the message.
    pub(crate) fn sign(&self) -> Vec<u8> {
        self.private.sign(&self.random, &self.message).expect("signed").as_ref().to_vec()
    }

    /// Whether the signature is this key's.
    pub(crate) fn verifies(&self) -> bool {
        self.public.verify_sig(&self.message, &self.signature).is_ok()
    }
}

/// About what an access token has before its last dot.
const TOKEN_BYTES: usize = 480;

/// A view that knows a live session and remembers ended ones.
pub(crate) struct KnownView {
    view: View,
    live: (SessionId, Lineage),
    ended: SessionId,
}

impl KnownView {
    /// With so many ended ones.
    pub(crate) fn new(count: u64) -> Self {
        let page = |head, entries| FeedPage {
            epoch: Epoch([7; 16]),
            oldest: Seq(1),
            head: Seq(head),
            entries,
            phase: Phase::Serving,
        };
        let ended = |number| FeedEntry { seq: Seq(number), item: FeedItem::Ended(id(number), Reason::SignOut) };
        let mut view = View::new();
        view.apply(&page(0, Vec::new()), KEEP, NOW);
        view.apply(&page(count, (1..=count).map(ended).collect()), KEEP, NOW);
        let live = (id(count + 1), view.lineage());
        Self { view, live, ended: id(count / 2) }
    }

    /// What it knows of the live one.
    pub(crate) fn of_live(&self) -> Standing {
        let (id, seen) = self.live;
        self.view.standing(black_box(id), Some(seen), STALENESS, NOW.mono)
    }

    /// And of one that has ended.
    pub(crate) fn of_ended(&self) -> Standing {
        self.view.standing(black_box(self.ended), Some(self.live.1), STALENESS, NOW.mono)
    }
}

const KEEP: Duration = Duration::from_secs(300);
const STALENESS: Duration = Duration::from_secs(5);
const NOW: Moment = Moment { wall: Timestamp::from_secs(1_800_000_000), mono: Monotonic::from_millis(1) };

// Spread as random ones are, and the same in each run.
fn id(number: u64) -> SessionId {
    let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    SessionId::from_bytes(spread.to_be_bytes())
}
