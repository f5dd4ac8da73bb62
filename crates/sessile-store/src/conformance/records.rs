//! Keys, accounts, throttles and events.

use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::event::{Event, EventName, RequestId};
use sessile_core::revocation::FeedItem;

use super::world::{START, Store, Verdict, account, after, head, id, items_after, key, parsed, subject};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{AccountChange, AccountCreation, EventQuery, EventsFrom, KeyAddition, KeyRevocation};
use crate::record::{FailureCount, SealedBlob, StoredEvent, ThrottleKey};

pub(super) async fn keys_keep_their_order(store: Store) -> Verdict {
    let start = head(&store).await?;
    ensure_eq!(store.load_keys().await?, vec![], "the keys of a new store");
    // Not the order of their names, nor of their times.
    let keys = [key("b", 50)?, key("c", 10)?, key("a", 30)?];
    let mut newest = None;
    for new in &keys {
        ensure_eq!(store.add_key(new.clone(), newest).await?, KeyAddition::Added, "the next key");
        newest = Some(&new.id);
    }
    ensure_eq!(store.load_keys().await?, keys.to_vec(), "the keys");
    for wrong in [None, Some(&keys[0].id), Some(&keys[1].id)] {
        ensure_eq!(store.add_key(key("d", 60)?, wrong).await?, KeyAddition::Lost, "a key after {wrong:?}");
    }
    let twice = key("b", 70)?;
    ensure_eq!(store.add_key(twice, newest).await?, KeyAddition::Lost, "a key whose id is in use");
    ensure_eq!(store.load_keys().await?, keys.to_vec(), "the keys after the losers");
    ensure_eq!(items_after(&store, start).await?, vec![FeedItem::KeysChanged; 3], "the feed");
    Ok(())
}

pub(super) async fn keys_are_revoked_for_good(store: Store) -> Verdict {
    let (one, two) = (key("one", 1)?, key("two", 2)?);
    store.add_key(one.clone(), None).await?;
    store.add_key(two.clone(), Some(&one.id)).await?;
    let start = head(&store).await?;
    ensure_eq!(store.revoke_key(&one.id, after(10)).await?, KeyRevocation::Revoked, "the first time");
    ensure_eq!(store.revoke_key(&one.id, after(20)).await?, KeyRevocation::AlreadyRevoked, "the second time");
    ensure_eq!(store.revoke_key(&parsed("none")?, after(20)).await?, KeyRevocation::NoSuchKey, "no such key");
    let states: Vec<_> = store.load_keys().await?.into_iter().map(|key| key.revoked_at).collect();
    ensure_eq!(states, vec![Some(after(10)), None], "when they were revoked");
    ensure_eq!(items_after(&store, start).await?, vec![FeedItem::KeysChanged], "the feed");
    Ok(())
}

pub(super) async fn the_newest_key_is_kept(store: Store) -> Verdict {
    let keys = [key("one", 1)?, key("two", 2)?, key("three", 3)?];
    let mut newest = None;
    for new in &keys {
        store.add_key(new.clone(), newest).await?;
        newest = Some(&new.id);
    }
    let start = head(&store).await?;
    let all = [keys[0].id.clone(), parsed("none")?, keys[2].id.clone()];
    ensure_eq!(store.forget_keys(&all, after(50)).await?, 1, "keys forgotten");
    let left: Vec<_> = store.load_keys().await?.into_iter().map(|key| key.id).collect();
    ensure_eq!(left, vec![keys[1].id.clone(), keys[2].id.clone()], "keys left");
    ensure_eq!(store.forget_keys(&all, after(50)).await?, 0, "keys forgotten again");
    ensure_eq!(items_after(&store, start).await?, vec![FeedItem::KeysChanged], "the feed");
    Ok(())
}

pub(super) async fn accounts_are_found_and_changed(store: Store) -> Verdict {
    let mut anna = account("anna", "s-1")?;
    ensure_eq!(store.find_account(&anna.name).await?, None, "an account nobody made");
    ensure_eq!(store.set_disabled(&anna.name, Some(START)).await?, AccountChange::NoSuchAccount, "disabling nobody");
    let none = store.set_password(&anna.name, anna.sealed.clone(), START, START).await?;
    ensure_eq!(none, AccountChange::NoSuchAccount, "a password for nobody");
    ensure_eq!(store.find_account(&anna.name).await?, None, "an account that a change made");
    ensure_eq!(store.create_account(anna.clone()).await?, AccountCreation::Created, "a new account");
    ensure_eq!(store.create_account(account("anna", "s-2")?).await?, AccountCreation::NameTaken, "its name again");
    ensure_eq!(
        store.create_account(account("boris", "s-1")?).await?,
        AccountCreation::SubjectTaken,
        "its subject again"
    );
    ensure_eq!(store.find_account(&anna.name).await?, Some(anna.clone()), "the account");

    anna.sealed = SealedBlob::from_bytes(vec![9; 99]);
    let before = anna.password_set_at;
    anna.password_set_at = after(5);
    let changed = store.set_password(&anna.name, anna.sealed.clone(), before, after(5)).await?;
    ensure_eq!(changed, AccountChange::Changed, "a new password");
    let late = store.set_password(&anna.name, SealedBlob::from_bytes(vec![8; 99]), before, after(5)).await?;
    ensure_eq!(late, AccountChange::SetMeanwhile, "a password set on an older one");
    ensure_eq!(store.find_account(&anna.name).await?, Some(anna.clone()), "the account after a late change");
    for disabled_at in [Some(after(6)), None] {
        anna.disabled_at = disabled_at;
        ensure_eq!(store.set_disabled(&anna.name, disabled_at).await?, AccountChange::Changed, "disabling");
        ensure_eq!(store.find_account(&anna.name).await?, Some(anna.clone()), "the account after it");
    }
    Ok(())
}

pub(super) async fn accounts_are_listed_in_pages(store: Store) -> Verdict {
    for number in [3, 1, 4, 2, 5] {
        store.create_account(account(&format!("name{number}"), &format!("s{number}"))?).await?;
    }
    let mut names = Vec::new();
    let mut last = None;
    loop {
        let page = store.list_accounts(last.as_ref(), 2).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.name.clone());
        names.extend(page.into_iter().map(|account| account.name.as_str().to_owned()));
    }
    ensure_eq!(names, vec!["name1", "name2", "name3", "name4", "name5"], "the pages");
    Ok(())
}

pub(super) async fn failures_are_counted_and_cleared(store: Store) -> Verdict {
    let (one, other) = (ThrottleKey::from_bytes([1; 32]), ThrottleKey::from_bytes([2; 32]));
    ensure_eq!(store.failures(&one).await?, FailureCount::default(), "before any failure");
    for (number, at) in [(1, 10), (2, 30), (3, 20)] {
        let count = store.note_failure(&one, after(at)).await?;
        let right = FailureCount { count: number, first: after(10), last: after(at.max(30 * u64::from(number / 2))) };
        ensure_eq!(count, right, "failure {number}");
        ensure_eq!(store.failures(&one).await?, right, "the count after failure {number}");
    }
    ensure_eq!(store.failures(&other).await?.count, 0, "another key");
    store.note_failure(&other, after(10)).await?;
    store.clear_failures(&one).await?;
    store.clear_failures(&one).await?;
    ensure_eq!(store.failures(&one).await?, FailureCount::default(), "after a success");
    ensure_eq!(store.failures(&other).await?.count, 1, "another key after it");
    Ok(())
}

pub(super) async fn a_flood_does_not_wash_locks_away(store: Store) -> Verdict {
    let locked = ThrottleKey::from_bytes([0; 32]);
    for at in 0..5 {
        store.note_failure(&locked, after(at)).await?;
    }
    for number in 1..=40 {
        store.note_failure(&ThrottleKey::from_bytes([number; 32]), after(10 + u64::from(number))).await?;
    }
    ensure_eq!(store.sweep_failures(START, 11).await?, 30, "what a sweep to eleven drops");
    ensure_eq!(store.failures(&locked).await?.count, 5, "the lock, older than the flood");
    ensure_eq!(store.failures(&ThrottleKey::from_bytes([30; 32])).await?.count, 0, "an older one of the flood");
    ensure_eq!(store.failures(&ThrottleKey::from_bytes([31; 32])).await?.count, 1, "a newer one of the flood");
    ensure_eq!(store.sweep_failures(after(45), 100).await?, 5, "what is old: the lock and four of the flood");
    ensure_eq!(store.failures(&locked).await?.count, 0, "the lock, when its time is over");
    Ok(())
}

pub(super) async fn events_are_read_both_ways(store: Store) -> Verdict {
    let full = Event::new(EventName::TokenReuse, "reuse", after(1))
        .subject(subject("anna")?)
        .session(id(7))
        .client(Client { browser: "Firefox".to_owned(), ..Client::default() })
        .request(Some(RequestId("r-1".to_owned())));
    let bare = Event::new(EventName::Startup, "started", after(2));
    store.append_events(&[full.clone(), bare.clone()]).await?;
    store.append_events(&[]).await?;
    for at in 3..10 {
        store.append_events(&[Event { at: after(at), ..full.clone() }]).await?;
    }
    let ask = |query: EventQuery| {
        let store = store.clone();
        async move { Ok::<Vec<StoredEvent>, Violation>(store.events(&query).await?) }
    };
    let times = |events: &[StoredEvent]| -> Vec<u64> { events.iter().map(|e| e.at.since(START).as_secs()).collect() };

    let all = ask(EventQuery { limit: 100, ..EventQuery::default() }).await?;
    ensure_eq!(times(&all), (1..10).collect::<Vec<_>>(), "all events");
    ensure!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq), "places do not grow");
    let [first, second, ..] = &all[..] else {
        return Err(Violation("events are missing".to_owned()));
    };
    ensure_eq!((first.name.as_str(), first.reason.as_str()), ("authn_token_reuse", "reuse"), "name and reason");
    ensure_eq!((first.subject.clone(), first.session), (full.subject.clone(), full.session), "about whom");
    ensure_eq!((first.client.clone(), first.request.as_deref()), (full.client.clone(), Some("r-1")), "from where");
    ensure_eq!(
        (&second.subject, second.session, &second.client, &second.request),
        (&None, None, &None, &None),
        "a bare one"
    );

    let newest = ask(EventQuery { limit: 3, ..EventQuery::default() }).await?;
    ensure_eq!(times(&newest), vec![7, 8, 9], "the newest three");
    let before = EventsFrom::Before(newest[0].seq);
    ensure_eq!(
        times(&ask(EventQuery { from: before, limit: 3, ..EventQuery::default() }).await?),
        vec![4, 5, 6],
        "the page before"
    );
    let follow = EventsFrom::After(first.seq);
    ensure_eq!(
        times(&ask(EventQuery { from: follow, limit: 3, ..EventQuery::default() }).await?),
        vec![2, 3, 4],
        "what follows"
    );
    let name = Some("sys_startup".to_owned());
    ensure_eq!(times(&ask(EventQuery { name, limit: 9, ..EventQuery::default() }).await?), vec![2], "by name");
    let of = Some(subject("anna")?);
    ensure_eq!(ask(EventQuery { subject: of, limit: 99, ..EventQuery::default() }).await?.len(), 8, "by subject");
    let of = Some(id(8));
    ensure_eq!(
        ask(EventQuery { session: of, limit: 99, ..EventQuery::default() }).await?.len(),
        0,
        "by another session"
    );
    Ok(())
}

pub(super) async fn events_are_forgotten(store: Store) -> Verdict {
    for at in 0..10 {
        store.append_events(&[Event::new(EventName::LoginFail, "wrong_password", after(at))]).await?;
    }
    ensure_eq!(store.sweep_events(after(3), 100).await?, 3, "what is old");
    ensure_eq!(store.sweep_events(START, 5).await?, 2, "what is beyond five");
    let left = store.events(&EventQuery { limit: 100, ..EventQuery::default() }).await?;
    let times: Vec<_> = left.iter().map(|event| event.at).collect();
    ensure_eq!(times, (5..10).map(after).collect::<Vec<_>>(), "what is left");
    ensure_eq!(store.sweep_events(START.plus(Duration::from_secs(99)), 0).await?, 5, "all of it");
    // Places are not used twice: whoever follows does not take a new event for an old one.
    let last = left.last().map(|event| event.seq);
    store.append_events(&[Event::new(EventName::LoginFail, "wrong_password", after(20))]).await?;
    let new = store.events(&EventQuery { limit: 100, ..EventQuery::default() }).await?;
    ensure!(new.first().map(|event| event.seq) > last, "a place was used twice");
    Ok(())
}
