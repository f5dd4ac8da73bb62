//! Many at once: each transition is one atomic conditional write, or one of these fails.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::revocation::{Reason, Scope};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::world::{IDLE, START, Store, Verdict, account, after, id, insert, key, parsed, session, subject};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{AccountCreation, Confirmation, Insertion, KeyAddition, RotateOutcome};
use crate::error::StoreError;
use crate::record::{SealedBlob, SealedSession, ThrottleKey};

/// Runs `many` calls that all begin at one moment.
async fn at_once<T, Fut>(many: u64, call: impl Fn(u64) -> Fut) -> Result<Vec<T>, Violation>
where
    T: Send + 'static,
    Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(usize::try_from(many).unwrap_or(usize::MAX)));
    let mut tasks = JoinSet::new();
    for number in 0..many {
        let (barrier, call) = (barrier.clone(), call(number));
        tasks.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    let mut answers = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        answers.push(ended.map_err(|fault| Violation(format!("a call panicked: {fault}")))??);
    }
    Ok(answers)
}

macro_rules! calling {
    ($store:expr, |$store_name:ident, $number:pat_param| $call:expr) => {{
        let store = $store.clone();
        move |$number| {
            let $store_name = store.clone();
            async move { $call }
        }
    }};
}

pub(super) async fn one_of_many_rotations_wins(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    for generation in 0..10 {
        let now = after(100 + generation);
        let answers = at_once(100, calling!(store, |store, _| store.rotate(id(1), generation, now).await)).await?;
        let won = answers.iter().filter(|answer| matches!(answer, RotateOutcome::Rotated(_))).count();
        ensure_eq!(won, 1, "rotations of generation {generation} by one hundred at once");
        for answer in answers {
            let (RotateOutcome::Rotated(record) | RotateOutcome::Superseded(record)) = answer else {
                return Err(Violation("a live session was reported gone".to_owned()));
            };
            ensure_eq!(record.rotation.generation, generation + 1, "the generation each of them was shown");
        }
    }
    Ok(())
}

pub(super) async fn as_many_survive_as_may(store: Store) -> Verdict {
    const CAP: u32 = 7;
    for (round, of) in ["anna", "boris", "carla"].into_iter().enumerate() {
        let base = round as u64 * 1000;
        let new = |number| session(base + number, of);
        let sessions: Vec<SealedSession> = (0..50).map(new).collect::<Result<_, _>>()?;
        let sessions = Arc::new(sessions);
        let answers = at_once(50, |number| {
            let (store, sessions) = (store.clone(), sessions.clone());
            async move { store.insert(sessions[usize::try_from(number).unwrap_or(0)].clone(), CAP).await }
        })
        .await?;
        let mut evicted = Vec::new();
        for answer in answers {
            let Insertion::Inserted { evicted: by_this } = answer else {
                return Err(Violation("a free id was called taken".to_owned()));
            };
            evicted.extend(by_this);
        }
        let left = store.list(Some(&subject(of)?), None, 100).await?;
        ensure_eq!(left.len(), 7, "survivors of fifty sign-ins at once");
        ensure_eq!(evicted.len(), 43, "evictions, each counted once");
        ensure!(left.iter().all(|s| !evicted.contains(&s.id)), "a session was evicted and is there");
    }
    Ok(())
}

pub(super) async fn one_of_many_insertions_wins(store: Store) -> Verdict {
    for round in 0..20 {
        let new = session(round, "anna")?;
        let answers = at_once(16, |number| {
            let (store, mut new) = (store.clone(), new.clone());
            new.sealed = SealedBlob::from_bytes(vec![u8::try_from(number).unwrap_or(0)]);
            async move { store.insert(new.clone(), 100).await.map(|answer| (answer, new)) }
        })
        .await?;
        let mut winners = answers.into_iter().filter(|(answer, _)| *answer != Insertion::IdTaken);
        let (Some((_, winner)), None) = (winners.next(), winners.next()) else {
            return Err(Violation("not exactly one of sixteen insertions of one id succeeded".to_owned()));
        };
        ensure_eq!(store.load(winner.id).await?, Some(winner), "the record");
    }
    Ok(())
}

pub(super) async fn nothing_outlives_its_revocation(store: Store) -> Verdict {
    for round in 0..40 {
        let number = round * 10;
        insert(&store, number, "anna").await?;
        let now = after(number + 5);
        let scope = match round % 3 {
            0 => Scope::Session(id(number)),
            1 => Scope::Subject(subject("anna")?),
            _ => Scope::All,
        };
        let answers = at_once(24, |who| {
            let (store, scope) = (store.clone(), scope.clone());
            async move {
                match who {
                    11 => {
                        store.revoke(&scope, Reason::SignOut, now).await?;
                        // Acknowledged: from here on nobody may find it.
                        let found = store.load(id(number)).await?.is_some();
                        let confirmed = store.confirm(id(number), 0, now).await? != Confirmation::Gone;
                        Ok(found || confirmed)
                    }
                    who if who % 2 == 0 => store.rotate(id(number), who / 8, now).await.map(|_| false),
                    who => store.confirm(id(number), who / 8, now).await.map(|_| false),
                }
            }
        })
        .await?;
        ensure!(!answers.contains(&true), "a session was found right after its acknowledged revocation");
        ensure_eq!(store.load(id(number)).await?, None, "the record, when all was quiet");
        ensure_eq!(store.count().await?, 0, "the count");
    }
    Ok(())
}

pub(super) async fn a_subject_is_ended_whole(store: Store) -> Verdict {
    for round in 0..20 {
        let base = round * 1000;
        let scope = Scope::Subject(subject("anna")?);
        for number in 0..8 {
            insert(&store, base + number, "anna").await?;
        }
        let late: Vec<_> = (0..8).map(|number| session(base + 100 + number, "anna")).collect::<Result<_, _>>()?;
        let late = Arc::new(late);
        let now = after(base + 200);
        let answers = at_once(17, |who| {
            let (store, scope, late) = (store.clone(), scope.clone(), late.clone());
            async move {
                match usize::try_from(who).unwrap_or(16) {
                    who @ 0..8 => store.insert(late[who].clone(), 100).await.map(|_| Vec::new()),
                    who @ 8..16 => store.rotate(id(base + who as u64 - 8), 0, now).await.map(|_| Vec::new()),
                    _ => store.revoke(&scope, Reason::PasswordChanged, now).await.map(|revoked| revoked.ended),
                }
            }
        })
        .await?;
        let ended: Vec<_> = answers.into_iter().flatten().collect();
        for number in 0..8 {
            ensure!(ended.contains(&id(base + number)), "a session that was there before was not ended");
            ensure_eq!(store.load(id(base + number)).await?, None, "a session that was there before");
        }
        // Those that were being inserted are either ended or live, never both.
        for new in late.iter() {
            let lives = store.load(new.id).await?.is_some();
            ensure!(lives != ended.contains(&new.id), "a session inserted meanwhile: lives {lives}");
        }
        store.revoke(&scope, Reason::SignOut, now).await?;
    }
    Ok(())
}

pub(super) async fn a_renewed_session_is_not_swept(store: Store) -> Verdict {
    for round in 0..10 {
        let base = round * 100_000;
        for number in 0..16 {
            insert(&store, base + number, "anna").await?;
        }
        // One millisecond before the first is idle for too long, all are renewed, while the sweeper is ahead.
        let last_chance = after(base).plus(IDLE).minus(Duration::from_millis(1));
        let sweepers_clock = last_chance.plus(Duration::from_secs(60));
        let answers = at_once(17, |who| {
            let store = store.clone();
            async move {
                if who == 16 {
                    store.sweep(sweepers_clock, 100).await.map(|_| None)
                } else {
                    store.rotate(id(base + who), 0, last_chance).await.map(|answer| Some((who, answer)))
                }
            }
        })
        .await?;
        for (who, answer) in answers.into_iter().flatten() {
            let there = store.load(id(base + who)).await?.is_some();
            let renewed = matches!(answer, RotateOutcome::Rotated(_));
            ensure_eq!(there, renewed, "whether session {who} is there, by whether it was renewed");
        }
        store.revoke(&Scope::All, Reason::SignOut, sweepers_clock).await?;
    }
    Ok(())
}

pub(super) async fn one_of_many_keys_wins(store: Store) -> Verdict {
    let mut newest = None;
    for round in 0..10 {
        let keys: Vec<_> = (0..8).map(|n| key(&format!("key-{round}-{n}"), round)).collect::<Result<_, _>>()?;
        let keys = Arc::new(keys);
        let answers = at_once(8, |number| {
            let (store, newest, keys) = (store.clone(), newest.clone(), keys.clone());
            async move {
                let key = keys[usize::try_from(number).unwrap_or(0)].clone();
                store.add_key(key.clone(), newest.as_ref()).await.map(|answer| (answer, key.id))
            }
        })
        .await?;
        let won: Vec<_> =
            answers.into_iter().filter(|(answer, _)| *answer == KeyAddition::Added).map(|(_, id)| id).collect();
        let [winner] = &won[..] else {
            return Err(Violation(format!("{} of eight nodes won the race to rotate", won.len())));
        };
        newest = Some(winner.clone());
        let stored: Vec<_> = store.load_keys().await?.into_iter().map(|key| key.id).collect();
        ensure_eq!((stored.len() as u64, stored.last()), (round + 1, newest.as_ref()), "the keys after round {round}");
    }
    Ok(())
}

pub(super) async fn one_of_many_accounts_wins(store: Store) -> Verdict {
    let by_name: Vec<_> = (0..8).map(|n| account("anna", &format!("s{n}"))).collect::<Result<_, _>>()?;
    let by_subject: Vec<_> = (0..8).map(|n| account(&format!("name{n}"), "one")).collect::<Result<_, _>>()?;
    for (accounts, loser) in [(by_name, AccountCreation::NameTaken), (by_subject, AccountCreation::SubjectTaken)] {
        let accounts = Arc::new(accounts);
        let answers = at_once(8, |number| {
            let (store, accounts) = (store.clone(), accounts.clone());
            async move { store.create_account(accounts[usize::try_from(number).unwrap_or(0)].clone()).await }
        })
        .await?;
        let won = answers.iter().filter(|answer| **answer == AccountCreation::Created).count();
        let lost = answers.iter().filter(|answer| **answer == loser).count();
        ensure_eq!((won, lost), (1, 7), "winners and losers");
    }
    ensure_eq!(store.list_accounts(None, 100).await?.len(), 2, "accounts");
    Ok(())
}

pub(super) async fn every_failure_counts(store: Store) -> Verdict {
    let key = ThrottleKey::from_bytes([7; 32]);
    let answers = at_once(100, calling!(store, |store, _| store.note_failure(&key, START).await)).await?;
    let mut counts: Vec<u32> = answers.into_iter().map(|failures| failures.count).collect();
    counts.sort_unstable();
    ensure!(counts.iter().copied().eq(1..=100), "one hundred failures at once were told {counts:?}");
    ensure_eq!(store.failures(&key).await?.count, 100, "the count");
    Ok(())
}

pub(super) async fn one_witness_is_kept(store: Store) -> Verdict {
    let answers = at_once(8, |number| {
        let store = store.clone();
        let mine = SealedBlob::from_bytes(vec![u8::try_from(number).unwrap_or(0); 8]);
        async move { store.master_witness(mine).await }
    })
    .await?;
    ensure!(answers.windows(2).all(|pair| pair[0] == pair[1]), "nodes were told different witnesses");
    let later = store.master_witness(SealedBlob::from_bytes(parsed::<String>("later")?.into_bytes())).await?;
    ensure_eq!(Some(&later), answers.first(), "the witness told to a later node");
    Ok(())
}
