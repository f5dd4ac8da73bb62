//! Session tokens and what presenting one means, by table. The interleavings are in `rotation_model`.

use std::time::Duration;

use sessile_core::rotation::{Presentation, RotationState, SessionKey, SessionToken, present};
use sessile_core::{Secret, SessionId, Timestamp};

const G: Duration = Duration::from_secs(10);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn state(generation: u64, rotated: u64, confirmed: Option<u64>) -> RotationState {
    RotationState { generation, rotated_at: at(rotated), confirmed_at: confirmed.map(at) }
}

/// I5, I6: every cell of the rules, at each limit -1/0/+1 ms.
#[test]
fn presentation_table() {
    use Presentation::{FromTheFuture, Grace, Keep, Reuse, Rotate};
    let ms = |secs: u64, millis: i64| Timestamp::from_millis(at(secs).as_millis().saturating_add_signed(millis));
    let table = [
        // state, presented, now, verdict
        (state(0, 0, None), 0, ms(0, 0), Keep),
        (state(5, 0, Some(0)), 5, ms(10, -1), Keep),
        (state(5, 0, Some(0)), 5, ms(10, 0), Rotate),
        (state(5, 0, None), 5, ms(10, 1), Rotate),
        (state(5, 0, None), 4, ms(86_400, 0), Grace),
        (state(5, 0, Some(3)), 4, ms(13, -1), Grace),
        (state(5, 0, Some(3)), 4, ms(13, 0), Reuse),
        (state(5, 0, Some(3)), 4, ms(13, 1), Reuse),
        (state(5, 0, None), 3, ms(1, 0), Reuse),
        (state(5, 0, Some(0)), 0, ms(1, 0), Reuse),
        (state(5, 0, Some(0)), 6, ms(1, 0), FromTheFuture),
        // A clock that went back: generations decide, and no arithmetic wraps (T3).
        (state(5, 100, Some(100)), 3, ms(0, 0), Reuse),
        (state(5, 100, Some(100)), 5, ms(0, 0), Keep),
        (state(u64::MAX, 0, Some(0)), u64::MAX - 1, ms(100, 0), Reuse),
    ];
    for (state, presented, now, expected) in table {
        assert_eq!(present(&state, presented, G, now), expected, "{state:?} presented {presented} at {now:?}");
    }
}

/// receipt counts once, and only for the current generation.
#[test]
fn confirmation_counts_once() {
    let fresh = state(3, 0, None);
    assert_eq!(fresh.confirmed(2, at(1)), fresh, "an older generation confirms nothing");
    let confirmed = fresh.confirmed(3, at(1));
    assert_eq!(confirmed.confirmed_at, Some(at(1)));
    assert_eq!(confirmed.confirmed(3, at(9)), confirmed, "a later presentation must not lengthen the grace");
    assert_eq!(confirmed.next(at(20)).confirmed_at, None);
}

/// I1: for a session and a generation there is one token; other keys, ids and generations give others.
#[test]
fn tokens_are_derived() {
    let crypto = sessile_aws_lc::provider();
    let key = SessionKey::new(Secret::new([7; 32]));
    let id = SessionId::from_bytes([1; 16]);
    let text = |key: &SessionKey, id, n| key.token(&*crypto, id, n).to_text().expose().to_owned();
    assert_eq!(text(&key, id, 4), text(&key, id, 4));
    let others = [
        text(&key, id, 5),
        text(&key, SessionId::from_bytes([2; 16]), 4),
        text(&SessionKey::new(Secret::new([8; 32])), id, 4),
    ];
    assert!(others.iter().all(|other| *other != text(&key, id, 4)));

    let token = SessionToken::parse(&text(&key, id, 4)).expect("our own spelling parses");
    assert!(key.made(&*crypto, &token));
    let stolen_name = text(&SessionKey::new(Secret::new([8; 32])), id, 4);
    assert!(!key.made(&*crypto, &SessionToken::parse(&stolen_name).expect("well formed")), "a forged MAC is noticed");
}

/// E12, R-020: one spelling per token; anything else is not a token, and no store is asked.
#[test]
fn only_the_exact_spelling_parses() {
    let crypto = sessile_aws_lc::provider();
    let good = SessionKey::new(Secret::new([7; 32])).token(&*crypto, SessionId::from_bytes([9; 16]), 12).to_text();
    let good = good.expose();
    assert!(SessionToken::parse(good).is_some(), "positive control");
    let (id, rest) = good.split_once('.').expect("three parts");
    let (_, mac) = rest.split_once('.').expect("three parts");
    let bad = [
        String::new(),
        format!("{good}."),
        format!(" {good}"),
        format!("{good}="),
        good[..good.len() - 1].to_owned(),
        format!("{id}.012.{mac}"),
        format!("{id}.+12.{mac}"),
        format!("{id}.-1.{mac}"),
        format!("{id}..{mac}"),
        format!("{id}.99999999999999999999.{mac}"),
        format!("{id}.12.{mac}A"),
        format!("{}.12.{mac}", &id[1..]),
        good.replace('.', "%2e"),
        good.to_uppercase(),
    ];
    for text in bad {
        let same = SessionToken::parse(&text).is_some_and(|token| token.to_text().expose() == good);
        assert!(!same && (text == good.to_uppercase() || SessionToken::parse(&text).is_none()), "accepted {text:?}");
    }
}
