//! The feed.

use std::time::{Duration, Instant};

use sessile_core::revocation::{FeedItem, Reason, Scope, Seq};

use tokio::task::JoinSet;

use super::world::{Store, Verdict, after, entries_after, head, id, insert, items_after, key};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{Continuity, FEED_KEEP_FOR};

pub(super) async fn an_empty_feed_says_so(store: Store) -> Verdict {
    let page = store.feed(Seq(0), 10).await?;
    ensure_eq!(page.entries, vec![], "entries");
    ensure_eq!(page.oldest, Seq(page.head.0 + 1), "the oldest of none");
    ensure_eq!(store.continuity().await?, Continuity::Unbroken, "a new store's history");
    ensure_eq!(store.feed(page.head, 10).await?.epoch, page.epoch, "the epoch, asked twice");
    // Neither insertions nor renewals are anybody's news.
    insert(&store, 1, "anna").await?;
    store.rotate(id(1), 0, after(20)).await?;
    store.confirm(id(1), 1, after(30)).await?;
    ensure_eq!(head(&store).await?, page.head, "the head after a sign-in and a renewal");
    Ok(())
}

pub(super) async fn entries_come_in_order_without_holes(store: Store) -> Verdict {
    let start = head(&store).await?;
    for number in 0..9 {
        insert(&store, number, "anna").await?;
    }
    let mut right = Vec::new();
    for number in 0..4 {
        store.revoke(&Scope::Session(id(number)), Reason::SignOut, after(20)).await?;
        right.push(FeedItem::Ended(id(number), Reason::SignOut));
    }
    store.add_key(key("one", 0)?, None).await?;
    right.push(FeedItem::KeysChanged);
    store.revoke(&Scope::All, Reason::EndedByAdministrator, after(21)).await?;
    right.push(FeedItem::AllEnded(Reason::EndedByAdministrator));
    let whole = entries_after(&store, start).await?;
    let items: Vec<_> = whole.iter().map(|entry| entry.item.clone()).collect();
    ensure_eq!(items, right, "the items");
    let numbers: Vec<_> = whole.iter().map(|entry| entry.seq.0).collect();
    ensure!(numbers.iter().copied().eq(start.0 + 1..=start.0 + 6), "the numbers after {start:?}: {numbers:?}");
    // In pages, from anywhere, it is the same.
    for begin in 0..=6 {
        let page = store.feed(Seq(start.0 + begin), 2).await?;
        let from = usize::try_from(begin).unwrap_or(0);
        ensure_eq!(page.entries, whole[from..whole.len().min(from + 2)], "the page after {begin}");
        ensure_eq!((page.oldest, page.head), (Seq(start.0 + 1), Seq(start.0 + 6)), "where the feed stands");
    }
    ensure_eq!(store.feed(Seq(start.0 + 99), 2).await?.entries, vec![], "entries from beyond the head");
    Ok(())
}

pub(super) async fn a_follower_misses_nothing(store: Store) -> Verdict {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let start = head(&store).await?;
    for number in 0..WRITERS * EACH {
        insert(&store, number, "anna").await?;
    }
    // A set, so that the first violation stops the others too.
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(store.clone(), start, WRITERS * EACH));
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in writer * EACH..(writer + 1) * EACH {
                let scope = Scope::Session(id(number));
                let revoked = store.revoke(&scope, Reason::SignOut, after(500)).await?;
                // Acknowledged: a reader who asks now finds it.
                let mine = FeedItem::Ended(id(number), Reason::SignOut);
                let page = store.feed(start, 1000).await?;
                ensure!(page.head >= revoked.seq, "the feed is behind an acknowledged revocation");
                ensure!(page.entries.iter().any(|entry| entry.item == mine), "an acknowledged end is not in the feed");
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|fault| Violation(fault.to_string()))??;
    }
    Ok(())
}

// Sees each of the `many` ends once, in the order of their numbers.
async fn follow(store: Store, start: Seq, many: u64) -> Verdict {
    let mut seen = Vec::new();
    let mut at = start;
    while (seen.len() as u64) < many {
        store.changed(at).await;
        for entry in store.feed(at, 7).await?.entries {
            ensure_eq!(entry.seq, Seq(at.0 + 1), "the number after {at:?}");
            at = entry.seq;
            seen.push(entry.item);
        }
    }
    for number in 0..many {
        let times = seen.iter().filter(|item| **item == FeedItem::Ended(id(number), Reason::SignOut)).count();
        ensure_eq!(times, 1, "how often the follower saw the end of {number}");
    }
    Ok(())
}

pub(super) async fn the_end_and_its_entry_are_one(store: Store) -> Verdict {
    for number in 0..60 {
        insert(&store, number, "anna").await?;
        let start = head(&store).await?;
        let revoking = tokio::spawn({
            let store = store.clone();
            async move { store.revoke(&Scope::Session(id(number)), Reason::SignOut, after(500)).await }
        });
        // Whoever finds the record gone finds the entry: a node that looks it up and one that follows agree.
        while store.load(id(number)).await?.is_some() {
            tokio::task::yield_now().await;
        }
        let items = items_after(&store, start).await?;
        ensure_eq!(items, vec![FeedItem::Ended(id(number), Reason::SignOut)], "the feed when the record was gone");
        revoking.await.map_err(|fault| Violation(fault.to_string()))??;
    }
    Ok(())
}

pub(super) async fn waiting_ends_with_a_change(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    insert(&store, 2, "anna").await?;
    let start = head(&store).await?;
    let soon = Duration::from_millis(700);
    // While it waits.
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.changed(start).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.revoke(&Scope::Session(id(1)), Reason::SignOut, after(5)).await?;
    waiting.await.map_err(|fault| Violation(fault.to_string()))?;
    ensure!(begun.elapsed() < soon, "a change woke nobody for {:?}", begun.elapsed());
    // Before it waited.
    let begun = Instant::now();
    store.changed(start).await;
    ensure!(begun.elapsed() < soon, "a change before the wait was slept through: {:?}", begun.elapsed());
    // Never.
    let now = head(&store).await?;
    let begun = Instant::now();
    store.changed(now).await;
    ensure!(begun.elapsed() < Duration::from_secs(5), "a wait without news took {:?}", begun.elapsed());
    Ok(())
}

pub(super) async fn a_gap_is_told(store: Store) -> Verdict {
    let start = head(&store).await?;
    for number in 0..6 {
        insert(&store, number, "anna").await?;
        store.revoke(&Scope::Session(id(number)), Reason::SignOut, after(number * 300)).await?;
    }
    // A backend may keep more than it must, but has to tell truly what it keeps.
    store.sweep(after(3 * 300).plus(FEED_KEEP_FOR), 100).await?;
    let page = store.feed(start, 100).await?;
    ensure_eq!(page.head, Seq(start.0 + 6), "the head");
    ensure!(page.oldest.0 <= start.0 + 4, "an entry was forgotten before its time: the oldest is {:?}", page.oldest);
    let kept: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
    ensure!(kept.iter().copied().eq(page.oldest.0..=page.head.0), "kept from {:?} on: {kept:?}", page.oldest);
    // When all is forgotten, the feed still knows how far it had come.
    store.sweep(after(1_000_000), 100).await?;
    let page = store.feed(start, 100).await?;
    ensure_eq!(page.head, Seq(start.0 + 6), "the head of a forgotten feed");
    let kept: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
    ensure!(kept.iter().copied().eq(page.oldest.0..=page.head.0), "kept from {:?} on: {kept:?}", page.oldest);
    Ok(())
}

pub(super) async fn a_new_history_ends_everything(store: Store) -> Verdict {
    for number in 0..3 {
        insert(&store, number, "anna").await?;
    }
    let before = store.feed(Seq(0), 10).await?;
    store.restart_history(Reason::StoreRegressed, after(9)).await?;
    let page = store.feed(Seq(0), 10).await?;
    ensure!(page.epoch != before.epoch, "the epoch did not change");
    ensure!(page.head > before.head, "the head went back");
    let last = page.entries.last().map(|entry| entry.item.clone());
    ensure_eq!(last, Some(FeedItem::AllEnded(Reason::StoreRegressed)), "the last entry");
    ensure_eq!(store.count().await?, 0, "the count");
    ensure_eq!(store.continuity().await?, Continuity::Unbroken, "the new history");
    Ok(())
}
