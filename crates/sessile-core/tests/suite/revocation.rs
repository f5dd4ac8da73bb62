//! What a node knows about revocations, and when it says that it does not.

use std::time::Duration;

use proptest::prelude::*;
use sessile_core::revocation::{
    Applied, Epoch, FeedEntry, FeedItem, FeedPage, Phase, Reason, Restart, Seq, Standing, View,
};
use sessile_core::{Moment, Monotonic, SessionId, Timestamp};

const T: Duration = Duration::from_secs(5);
const KEEP: Duration = Duration::from_secs(400);
const E1: Epoch = Epoch([1; 16]);

fn moment(millis: u64) -> Moment {
    Moment { wall: Timestamp::from_millis(1_000_000 + millis), mono: Monotonic::from_millis(millis) }
}

fn id(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

fn ended(seq: u64, n: u8) -> FeedEntry {
    FeedEntry { seq: Seq(seq), item: FeedItem::Ended(id(n), Reason::SignOut) }
}

fn page(head: u64, entries: Vec<FeedEntry>) -> FeedPage {
    FeedPage { epoch: E1, oldest: Seq(1), head: Seq(head), entries, phase: Phase::Serving }
}

fn listening(head: u64) -> View {
    let mut view = View::new();
    assert_eq!(view.apply(&page(head, vec![]), KEEP, moment(0)), Applied::Restarted(Restart::FirstPage));
    view
}

/// I15, I18, T5: a view trusts itself for T after it was last complete, counted from when it *asked*, and not a
/// millisecond longer; a node that was stopped for longer finds out on its first request.
#[test]
fn staleness_bound() {
    let view = listening(7);
    let lineage = Some(view.lineage());
    let standing = |millis| view.standing(id(1), lineage, T, Monotonic::from_millis(millis));
    assert_eq!(standing(4_999), Standing::Live);
    assert_eq!(standing(5_000), Standing::Live);
    assert_eq!(standing(5_001), Standing::Unknown);
    assert_eq!(
        View::new().standing(id(1), None, T, Monotonic::from_millis(0)),
        Standing::Unknown,
        "a new view knows nothing"
    );
}

/// P1: a session whose record was not seen in this lineage is not known to live.
#[test]
fn unseen_is_unknown() {
    let view = listening(7);
    assert_eq!(view.standing(id(1), None, T, Monotonic::from_millis(1)), Standing::Unknown);
}

/// I7: an ended session is refused from the page that says so, also by a view that has gone stale.
#[test]
fn ended_is_ended() {
    let mut view = listening(7);
    let lineage = Some(view.lineage());
    let applied = view.apply(&page(8, vec![ended(8, 1)]), KEEP, moment(100));
    assert_eq!(
        applied,
        Applied::Continued { ended: vec![(id(1), Reason::SignOut)], keys_changed: false, complete: true }
    );
    assert_eq!(view.standing(id(1), lineage, T, Monotonic::from_millis(200)), Standing::Ended);
    assert_eq!(view.standing(id(1), lineage, T, Monotonic::from_millis(90_000)), Standing::Ended);
    assert_eq!(view.standing(id(2), lineage, T, Monotonic::from_millis(200)), Standing::Live, "others live");
}

/// A page that stops short of the head does not make the view complete.
#[test]
fn a_short_page_is_not_fresh() {
    let mut view = listening(0);
    let Applied::Continued { complete, .. } = view.apply(&page(3, vec![ended(1, 1)]), KEEP, moment(9_000)) else {
        panic!("continued")
    };
    assert!(!complete);
    assert!(!view.is_fresh(T, Monotonic::from_millis(9_000)));
    view.apply(&page(3, vec![ended(2, 2), ended(3, 3)]), KEEP, moment(9_000));
    assert!(view.is_fresh(T, Monotonic::from_millis(9_000)));
    assert_eq!(view.position(), Seq(3));
}

/// S7, S10, N4, I16: a gap, a lost history, and the end of all sessions each begin a new lineage, under which
/// nothing verified before counts.
#[test]
fn what_begins_a_new_lineage() {
    let gap = FeedPage { oldest: Seq(20), ..page(25, vec![ended(20, 1)]) };
    let other = FeedPage { epoch: Epoch([2; 16]), ..page(30, vec![]) };
    let shrunk = page(3, vec![]);
    let all = page(8, vec![FeedEntry { seq: Seq(8), item: FeedItem::AllEnded(Reason::EndedByAdministrator) }]);
    for (page, why) in [
        (gap, Restart::Gap),
        (other, Restart::HistoryLost),
        (shrunk, Restart::HistoryLost),
        (all, Restart::AllEnded(Reason::EndedByAdministrator)),
    ] {
        let mut view = listening(7);
        let before = Some(view.lineage());
        assert_eq!(view.apply(&page, KEEP, moment(50)), Applied::Restarted(why));
        assert_eq!(view.standing(id(9), before, T, Monotonic::from_millis(60)), Standing::Unknown, "{why:?}");
        assert_eq!(view.standing(id(9), Some(view.lineage()), T, Monotonic::from_millis(60)), Standing::Live);
    }
    // Negative control: a page without a hole goes on.
    let mut view = listening(7);
    assert!(matches!(view.apply(&page(8, vec![ended(8, 1)]), KEEP, moment(50)), Applied::Continued { .. }));
}

/// T2, T3: what has ended is remembered by monotonic time for longer than any access token lives; the wall clock
/// has no say.
#[test]
fn memory_outlives_tokens_whatever_the_wall_clock_says() {
    let mut view = listening(0);
    view.apply(&page(1, vec![ended(1, 1)]), KEEP, moment(0));
    let leap = Moment { wall: Timestamp::from_secs(40_000_000_000), mono: Monotonic::from_millis(399_999) };
    view.apply(&page(1, vec![]), KEEP, leap);
    assert!(view.has_ended(id(1)));
    view.apply(&page(1, vec![]), KEEP, moment(400_001));
    assert!(!view.has_ended(id(1)), "and forgotten afterwards, so that memory is bounded");
    assert!(view.is_empty());
}

/// A node that cannot reach the store may speak for a token it has not seen only if it has listened since before
/// the token was issued.
#[test]
fn coverage() {
    let view = listening(0);
    let skew = Duration::from_secs(60);
    let since = moment(0).wall;
    assert!(view.covers(since.plus(skew), skew, T, Monotonic::from_millis(10)));
    assert!(!view.covers(since.plus(skew).minus(Duration::from_millis(1)), skew, T, Monotonic::from_millis(10)));
    assert!(!view.covers(since.plus(skew), skew, T, Monotonic::from_millis(5_001)), "a stale view speaks for nobody");
}

proptest! {
    /// N6: pages may repeat and overlap in any way; the view ends up knowing every entry up to its position.
    #[test]
    fn repeated_and_overlapping_pages(cuts in proptest::collection::vec((0_u64..12, 1_u64..6), 1..12)) {
        let mut view = listening(0);
        for (behind, len) in cuts {
            let from = view.position().0.saturating_sub(behind);
            let to = (from + len).min(40);
            let entries = (from + 1..=to).map(|n| ended(n, u8::try_from(n).unwrap_or(0))).collect();
            view.apply(&page(40, entries), KEEP, moment(1));
            for n in 1..=view.position().0 {
                prop_assert!(view.has_ended(id(u8::try_from(n).unwrap_or(0))));
            }
        }
    }
}
