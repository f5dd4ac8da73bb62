//! Sessions, one call at a time.

use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::revocation::{FeedItem, Reason, Scope};
use sessile_core::rotation::RotationState;
use sessile_core::{SessionId, Storage, Timestamp};

use super::world::{ABSOLUTE, IDLE, START, Store, Verdict, after, head, id, insert, items_after, session, subject};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{Confirmation, Insertion, RotateOutcome};
use crate::record::{MAX_MILLIS, SealedBlob, SealedSession};

pub(super) async fn inserted_is_loaded(store: Store) -> Verdict {
    ensure_eq!(store.load(id(1)).await?, None, "a session nobody inserted");
    let far = Timestamp::from_millis(MAX_MILLIS);
    let extreme = SealedSession {
        storage: Storage::LocalStorage,
        created_at: far,
        authenticated_at: Timestamp::default(),
        last_seen_at: far,
        absolute_end: far,
        idle: Duration::from_millis(MAX_MILLIS),
        rotation: RotationState { generation: 0, rotated_at: far, confirmed_at: Some(far) },
        client: Client::default(),
        sealed: SealedBlob::from_bytes(vec![0; SealedBlob::MAX_BYTES]),
        ..session(2, "grüße 日本")?
    };
    let other_id = SessionId::from_bytes([0; 16]);
    for new in [session(1, "anna")?, extreme, SealedSession { id: other_id, ..session(3, "%_'\"\\")? }] {
        ensure_eq!(store.insert(new.clone(), 10).await?, Insertion::Inserted { evicted: vec![] }, "insertion");
        ensure_eq!(store.load(new.id).await?.as_ref(), Some(&new), "what was inserted");
    }
    ensure_eq!(store.count().await?, 3, "the count");
    Ok(())
}

pub(super) async fn taken_id_is_refused(store: Store) -> Verdict {
    let first = insert(&store, 1, "anna").await?;
    insert(&store, 2, "boris").await?;
    let seq = head(&store).await?;
    // By another subject, and with a cap that would have to evict.
    let second = SealedSession { id: first.id, ..session(9, "boris")? };
    ensure_eq!(store.insert(second.clone(), 1).await?, Insertion::IdTaken, "a taken id");
    ensure_eq!(store.load(first.id).await?, Some(first.clone()), "the first record");
    ensure_eq!(store.count().await?, 2, "the count");
    ensure_eq!(items_after(&store, seq).await?, vec![], "the feed");
    // Over, but there: still taken.
    let late = SealedSession { created_at: first.absolute_end, last_seen_at: first.absolute_end, ..second };
    ensure_eq!(store.insert(late, 10).await?, Insertion::IdTaken, "the id of a session that is over");
    Ok(())
}

pub(super) async fn the_oldest_makes_room(store: Store) -> Verdict {
    insert(&store, 50, "boris").await?;
    for number in [3, 1, 2] {
        insert(&store, number, "anna").await?;
    }
    let seq = head(&store).await?;
    let outcome = store.insert(session(4, "anna")?, 2).await?;
    ensure_eq!(outcome, Insertion::Inserted { evicted: vec![id(1), id(2)] }, "the fourth of two");
    let ended: Vec<_> = [1, 2].map(|number| FeedItem::Ended(id(number), Reason::Evicted)).into();
    ensure_eq!(items_after(&store, seq).await?, ended, "the feed");
    let left: Vec<_> = store.list(Some(&subject("anna")?), None, 10).await?.iter().map(|s| s.id).collect();
    ensure_eq!(left, vec![id(3), id(4)], "who is left");
    ensure!(store.load(id(50)).await?.is_some(), "another subject's session was evicted");
    // Room for one: the new one, though it began before the others.
    let outcome = store.insert(session(0, "anna")?, 0).await?;
    ensure_eq!(outcome, Insertion::Inserted { evicted: vec![id(3), id(4)] }, "a cap of zero");
    ensure!(store.load(id(0)).await?.is_some(), "the new session made room for itself");
    Ok(())
}

pub(super) async fn over_sessions_do_not_count(store: Store) -> Verdict {
    for number in [1, 2] {
        insert(&store, number, "anna").await?;
    }
    let renewed = after(1800);
    store.rotate(id(1), 0, renewed).await?;
    let seq = head(&store).await?;
    // An hour after it began, the second is idle for too long; the first was renewed.
    let third = session(2 + 3600, "anna")?;
    ensure_eq!(store.insert(third, 2).await?, Insertion::Inserted { evicted: vec![] }, "one live, one over");
    ensure!(store.load(id(1)).await?.is_some(), "a live session was dropped");
    ensure_eq!(store.load(id(2)).await?, None, "the one that is over");
    ensure_eq!(items_after(&store, seq).await?, vec![], "the feed");
    Ok(())
}

pub(super) async fn rotation_moves_one_generation(store: Store) -> Verdict {
    let mut right = insert(&store, 1, "anna").await?;
    insert(&store, 2, "anna").await?;
    for round in 0..3 {
        store.confirm(right.id, round, after(100 + round)).await?;
        let now = after(200 + round);
        right.rotation = RotationState { generation: round + 1, rotated_at: now, confirmed_at: None };
        right.last_seen_at = now;
        ensure_eq!(
            store.rotate(right.id, round, now).await?,
            RotateOutcome::Rotated(right.clone()),
            "rotation {round}"
        );
        ensure_eq!(store.load(right.id).await?, Some(right.clone()), "the record after rotation {round}");
    }
    ensure_eq!(store.load(id(2)).await?, Some(session(2, "anna")?), "a session nobody rotated");
    Ok(())
}

pub(super) async fn rotation_expects_its_generation(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    store.rotate(id(1), 0, after(10)).await?;
    let current = store.load(id(1)).await?.ok_or(Violation("the record is gone".to_owned()))?;
    for wrong in [0, 2, u64::MAX] {
        let outcome = store.rotate(id(1), wrong, after(20)).await?;
        ensure_eq!(outcome, RotateOutcome::Superseded(current.clone()), "rotation from generation {wrong}");
    }
    ensure_eq!(store.load(id(1)).await?, Some(current), "the record");
    Ok(())
}

pub(super) async fn rotation_creates_nothing(store: Store) -> Verdict {
    ensure_eq!(store.rotate(id(1), 0, START).await?, RotateOutcome::Gone, "a session that never was");
    insert(&store, 2, "anna").await?;
    store.revoke(&Scope::Session(id(2)), Reason::SignOut, after(5)).await?;
    ensure_eq!(store.rotate(id(2), 0, after(6)).await?, RotateOutcome::Gone, "an ended session");
    ensure_eq!(store.count().await?, 0, "the count");
    Ok(())
}

pub(super) async fn over_sessions_do_not_rotate(store: Store) -> Verdict {
    let last = Duration::from_millis(1);
    // Idle for too long.
    let idle = insert(&store, 0, "anna").await?;
    let end = START.plus(IDLE);
    ensure_eq!(store.rotate(idle.id, 0, end).await?, RotateOutcome::Superseded(idle.clone()), "at the idle end");
    ensure!(matches!(store.rotate(idle.id, 0, end.minus(last)).await?, RotateOutcome::Rotated(_)), "just before it");
    // Active, but its absolute end has come.
    let mut begun = session(1, "anna")?;
    begun.idle = ABSOLUTE * 2;
    store.insert(begun.clone(), 10).await?;
    let end = begun.absolute_end;
    ensure_eq!(store.rotate(begun.id, 0, end).await?, RotateOutcome::Superseded(begun.clone()), "at the absolute end");
    let RotateOutcome::Rotated(rotated) = store.rotate(begun.id, 0, end.minus(last)).await? else {
        return Err(Violation("no rotation just before the absolute end".to_owned()));
    };
    ensure_eq!(rotated.absolute_end, end, "the absolute end after a rotation");
    Ok(())
}

pub(super) async fn time_does_not_go_back(store: Store) -> Verdict {
    let begun = insert(&store, 100, "anna").await?;
    let early = after(40);
    let RotateOutcome::Rotated(rotated) = store.rotate(begun.id, 0, early).await? else {
        return Err(Violation("a clock that went back stopped a rotation".to_owned()));
    };
    ensure_eq!(rotated.rotation.generation, 1, "the generation");
    ensure_eq!(rotated.rotation.rotated_at, begun.rotation.rotated_at, "when it was rotated");
    ensure_eq!(rotated.last_seen_at, begun.last_seen_at, "when it was last seen");
    Ok(())
}

pub(super) async fn confirmation_counts_once(store: Store) -> Verdict {
    let mut right = insert(&store, 1, "anna").await?;
    for wrong in [1, u64::MAX] {
        let outcome = store.confirm(right.id, wrong, after(5)).await?;
        ensure_eq!(outcome, Confirmation::Live(right.clone()), "confirmation of generation {wrong}");
    }
    right.rotation.confirmed_at = Some(after(6));
    for late in [6, 7] {
        let outcome = store.confirm(right.id, 0, after(late)).await?;
        ensure_eq!(outcome, Confirmation::Live(right.clone()), "confirmation after {late} s");
    }
    let RotateOutcome::Rotated(rotated) = store.rotate(right.id, 0, after(20)).await? else {
        return Err(Violation("no rotation".to_owned()));
    };
    ensure_eq!(store.confirm(right.id, 0, after(21)).await?, Confirmation::Live(rotated), "the generation before");
    ensure_eq!(
        store.load(right.id).await?.and_then(|s| s.rotation.confirmed_at),
        None,
        "receipt of the new generation"
    );
    Ok(())
}

pub(super) async fn confirmation_proves_presence(store: Store) -> Verdict {
    ensure_eq!(store.confirm(id(1), 0, START).await?, Confirmation::Gone, "a session that never was");
    let begun = insert(&store, 2, "anna").await?;
    let end = begun.created_at.plus(IDLE);
    ensure_eq!(store.confirm(id(2), 0, end).await?, Confirmation::Gone, "a session that is over");
    ensure_eq!(store.load(id(2)).await?, Some(begun), "its record");
    store.revoke(&Scope::Session(id(2)), Reason::SignOut, after(5)).await?;
    ensure_eq!(store.confirm(id(2), 0, after(6)).await?, Confirmation::Gone, "an ended session");
    ensure_eq!(store.count().await?, 0, "the count");
    Ok(())
}

pub(super) async fn revocation_ends_one(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    insert(&store, 2, "anna").await?;
    let seq = head(&store).await?;
    let revoked = store.revoke(&Scope::Session(id(1)), Reason::SignOut, after(5)).await?;
    ensure_eq!(revoked.ended, vec![id(1)], "what ended");
    ensure_eq!(revoked.seq, head(&store).await?, "the position");
    ensure_eq!(items_after(&store, seq).await?, vec![FeedItem::Ended(id(1), Reason::SignOut)], "the feed");
    ensure_eq!(store.load(id(1)).await?, None, "the record");
    // Again, as a client does whose reply was lost.
    let again = store.revoke(&Scope::Session(id(1)), Reason::SignOut, after(6)).await?;
    ensure_eq!((again.ended, again.seq), (vec![], revoked.seq), "the second time");
    ensure_eq!(head(&store).await?, revoked.seq, "the feed after the second time");
    ensure!(store.load(id(2)).await?.is_some(), "another session ended too");
    Ok(())
}

pub(super) async fn revocation_ends_a_subject(store: Store) -> Verdict {
    for (number, of) in [(3, "anna"), (1, "anna"), (2, "boris"), (4, "anna%"), (5, "Anna")] {
        insert(&store, number, of).await?;
    }
    let seq = head(&store).await?;
    let scope = Scope::Subject(subject("anna")?);
    let revoked = store.revoke(&scope, Reason::PasswordChanged, after(9)).await?;
    ensure_eq!(revoked.ended, vec![id(1), id(3)], "what ended");
    let ended: Vec<_> = [1, 3].map(|number| FeedItem::Ended(id(number), Reason::PasswordChanged)).into();
    ensure_eq!(items_after(&store, seq).await?, ended, "the feed");
    ensure_eq!(store.count().await?, 3, "who is left");
    // A sign-in after it lives.
    insert(&store, 10, "anna").await?;
    ensure!(store.load(id(10)).await?.is_some(), "a later sign-in did not live");
    Ok(())
}

pub(super) async fn revocation_ends_the_others(store: Store) -> Verdict {
    for (number, of) in [(1, "anna"), (2, "anna"), (3, "anna"), (4, "boris")] {
        insert(&store, number, of).await?;
    }
    let scope = Scope::SubjectExcept(subject("anna")?, id(2));
    let revoked = store.revoke(&scope, Reason::EndedByUser, after(9)).await?;
    ensure_eq!(revoked.ended, vec![id(1), id(3)], "what ended");
    ensure!(store.load(id(2)).await?.is_some(), "the one to be kept ended");
    // Keeping somebody else's session keeps nothing of one's own.
    let scope = Scope::SubjectExcept(subject("anna")?, id(4));
    let revoked = store.revoke(&scope, Reason::EndedByUser, after(9)).await?;
    ensure_eq!(revoked.ended, vec![id(2)], "what ended");
    ensure!(store.load(id(4)).await?.is_some(), "another subject's session ended");
    Ok(())
}

pub(super) async fn revocation_ends_all(store: Store) -> Verdict {
    for (number, of) in [(1, "anna"), (2, "boris")] {
        insert(&store, number, of).await?;
    }
    let seq = head(&store).await?;
    let revoked = store.revoke(&Scope::All, Reason::EndedByAdministrator, after(9)).await?;
    ensure_eq!(revoked.ended, vec![id(1), id(2)], "what ended");
    store.revoke(&Scope::All, Reason::EndedByAdministrator, after(9)).await?;
    // Once for each call: a view in doubt begins anew.
    let twice = vec![FeedItem::AllEnded(Reason::EndedByAdministrator); 2];
    ensure_eq!(items_after(&store, seq).await?, twice, "the feed");
    ensure_eq!(store.count().await?, 0, "the count");
    Ok(())
}

pub(super) async fn pages_list_everything_once(store: Store) -> Verdict {
    for number in 0..25 {
        insert(&store, number, if number % 5 == 0 { "boris" } else { "anna" }).await?;
    }
    for of in [None, Some(subject("anna")?)] {
        let mut found = Vec::new();
        let mut after_id = None;
        loop {
            let page = store.list(of.as_ref(), after_id, 7).await?;
            ensure!(page.len() <= 7, "a page of {} instead of 7", page.len());
            let Some(last) = page.last() else { break };
            after_id = Some(last.id);
            // What changes meanwhile must not upset the order.
            store.rotate(last.id, 0, after(100)).await?;
            found.extend(page.into_iter().map(|s| s.id));
        }
        let right: Vec<_> = (0..25).filter(|n| of.is_none() || n % 5 != 0).map(id).collect();
        ensure_eq!(found, right, "the pages of {of:?}");
    }
    ensure_eq!(store.list(Some(&subject("nobody")?), None, 7).await?.len(), 0, "nobody's sessions");
    Ok(())
}

pub(super) async fn sweeping_takes_what_is_over(store: Store) -> Verdict {
    // Every ten minutes one; the first five are idle for an hour when the last begins.
    for number in 0..12 {
        insert(&store, number * 600, &format!("subject-{number}")).await?;
    }
    let now = after(4 * 600).plus(IDLE);
    let seq = head(&store).await?;
    ensure_eq!(store.sweep(now, 2).await?, 2, "a sweep of two");
    ensure_eq!(store.sweep(now, 100).await?, 3, "the rest");
    ensure_eq!(store.sweep(now, 100).await?, 0, "a sweep of nothing");
    let left: Vec<_> = store.list(None, None, 100).await?.into_iter().map(|s| s.id).collect();
    let right: Vec<_> = (5..12).map(|number| id(number * 600)).collect();
    ensure_eq!(left, right, "who is left");
    ensure_eq!(items_after(&store, seq).await?, vec![], "the feed");
    // Activity moves the end: what was renewed is not swept, and what was not is.
    store.rotate(id(5 * 600), 0, now).await?;
    let later = after(5 * 600).plus(IDLE);
    ensure_eq!(store.sweep(later, 100).await?, 0, "a renewed session");
    ensure_eq!(store.sweep(now.plus(IDLE), 100).await?, 6, "all but the last");
    Ok(())
}
