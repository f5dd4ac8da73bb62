//! When a session counts as valid.

use std::time::Duration;

use proptest::prelude::*;
use sessile_core::client::Client;
use sessile_core::crypto::{Entropy, EntropyFailure};
use sessile_core::policy::Limits;
use sessile_core::session::{ClaimRefused, Claims, Life, Method, Session, VerifiedIdentity, mint};
use sessile_core::{Storage, Timestamp};

struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailure> {
        out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Ok(())
    }
}

struct Broken;

impl Entropy for Broken {
    fn fill(&self, _out: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}

fn t(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000_000 + secs)
}

fn identity() -> VerifiedIdentity {
    VerifiedIdentity::vouched(Method::Password, "ada".parse().expect("a subject"), t(0))
}

fn session(limits: &Limits, remember: bool) -> Session {
    let identity = identity().remembered(remember);
    mint(identity, Client::default(), Storage::Hybrid, limits, &Counting(0.into()), t(0)).expect("entropy").session
}

/// R-022, R-023: over *at* the limit; -1 ms lives, 0 and +1 do not.
#[test]
fn limits_to_the_millisecond() {
    let limits = Limits::default();
    let s = session(&limits, false);
    let ms = |secs: u64, millis: i64| Timestamp::from_millis(t(secs).as_millis().saturating_add_signed(millis));
    assert_eq!(s.life(&limits, ms(3600, -1)), Life::LiveUntil(t(3600)));
    assert_eq!(s.life(&limits, ms(3600, 0)), Life::IdleTimeout);
    assert_eq!(s.life(&limits, ms(3600, 1)), Life::IdleTimeout);

    let busy = Session { last_seen_at: t(86_399), ..s };
    assert_eq!(busy.life(&limits, ms(86_400, -1)), Life::LiveUntil(t(86_400)));
    assert_eq!(busy.life(&limits, ms(86_400, 0)), Life::AbsoluteTimeout);
    assert_eq!(busy.life(&limits, ms(86_400, 1)), Life::AbsoluteTimeout);
}

/// R-008, section 11: "remember me" counts only where it is offered, and has an end of its own.
#[test]
fn remembered_sessions() {
    let offered = Limits { remember: Limits::REMEMBER, idle: Limits::REMEMBER, ..Limits::default() };
    assert_eq!(session(&offered, true).absolute_end, t(30 * 86_400));
    assert!(session(&offered, true).remember);
    assert_eq!(session(&offered, false).absolute_end, t(86_400));
    assert!(!session(&Limits::default(), true).remember, "not offered, not granted");
}

/// E22: a limit shortened later applies to live sessions; a lengthened one does not stretch them.
#[test]
fn limits_in_force() {
    let agreed = Limits::default();
    let s = session(&agreed, false);
    let shorter = Limits { absolute: Duration::from_secs(600), ..agreed };
    assert_eq!(s.life(&shorter, t(600)), Life::AbsoluteTimeout);
    let longer = Limits { absolute: Duration::from_secs(1 << 30), idle: Duration::from_secs(1 << 30), ..agreed };
    assert_eq!(s.life(&longer, t(3600)), Life::IdleTimeout);
    assert_eq!(Session { last_seen_at: t(86_000), ..s }.life(&longer, t(86_400)), Life::AbsoluteTimeout);
}

/// R-024: the profiles of NIST SP 800-63B-4.
#[test]
fn profiles() {
    let days = |n: u64| Duration::from_secs(n * 86_400);
    assert_eq!(Limits::AAL1.absolute, days(30));
    assert_eq!((Limits::AAL2.absolute, Limits::AAL2.idle), (days(1), Duration::from_secs(3600)));
    assert_eq!((Limits::AAL3.absolute, Limits::AAL3.idle), (days(1) / 2, Duration::from_secs(900)));
    assert_eq!(Limits::default(), Limits::AAL2);
}

/// R-017, E13: without entropy there is no session, and no weaker fallback.
#[test]
fn no_entropy_no_session() {
    let limits = Limits::default();
    assert!(mint(identity(), Client::default(), Storage::Hybrid, &limits, &Broken, t(0)).is_err());
    assert!(
        mint(identity(), Client::default(), Storage::Hybrid, &limits, &Counting(0.into()), t(0)).is_ok(),
        "positive control"
    );
}

/// JA-76: an application cannot set a claim that has a meaning of its own.
#[test]
fn reserved_claims_are_refused() {
    let claims = |json: &str| Claims::new(serde_json::from_str(json).expect("JSON"));
    for name in ["sub", "exp", "iss", "aud", "sid", "gen", "auth_time", "amr", "acr", "jti", "client_id", "storage"] {
        assert_eq!(claims(&format!("{{\"{name}\":1}}")), Err(ClaimRefused::Reserved(name.into())));
    }
    assert!(claims(r#"{"role":"editor","Sub":"x"}"#).is_ok(), "names are compared exactly");
    let deep = format!("{}1{}", "[".repeat(9), "]".repeat(9));
    assert_eq!(claims(&format!("{{\"d\":{deep}}}")), Err(ClaimRefused::TooDeep));
    assert_eq!(claims(&format!("{{\"d\":\"{}\"}}", "x".repeat(17_000))), Err(ClaimRefused::TooLarge));
}

proptest! {
    /// I10, I11, T4: no activity, whenever it happens and whatever the clock does, moves the absolute end, and no
    /// arithmetic panics at the edges of time.
    #[test]
    fn nothing_stretches_a_session(seen in any::<u64>(), now in any::<u64>(), idle in 1_u64..1_000_000) {
        let limits = Limits { idle: Duration::from_secs(idle), ..Limits::default() };
        let s = Session { last_seen_at: Timestamp::from_millis(seen), ..session(&limits, false) };
        let now = Timestamp::from_millis(now);
        match s.life(&limits, now) {
            Life::LiveUntil(end) => {
                prop_assert!(now < end && end <= s.absolute_end);
                prop_assert!(now < s.last_seen_at.plus(s.idle));
            }
            Life::IdleTimeout => prop_assert!(now >= s.last_seen_at.plus(s.idle)),
            Life::AbsoluteTimeout => prop_assert!(now >= s.absolute_end),
        }
    }

    /// The same property catches a rule that lets activity extend the end (negative control).
    #[test]
    fn a_sliding_end_would_be_noticed(activity in 1_u64..86_400) {
        let limits = Limits::default();
        let s = session(&limits, false);
        let sliding_end = t(activity).plus(limits.absolute);
        prop_assert!(sliding_end > s.absolute_end(&limits));
    }
}
