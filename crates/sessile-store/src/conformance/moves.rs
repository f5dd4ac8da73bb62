//! Phases, and what a store that is being filled takes in.

use std::time::Duration;

use sessile_core::SessionId;
use sessile_core::id::TokenId;
use sessile_core::revocation::{Phase, Reason, Scope, Seq};
use sessile_core::rotation::RotationState;
use tokio::task::JoinSet;

use super::world::{Store, Verdict, account, after, head, id, insert, items_after, key, session, subject};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{
    AccountCreation, KeyAddition, MoveId, RotateOutcome, SessionCopy, Stage, StageChange, Taken, TakingIn,
};
use crate::error::StoreError;
use crate::record::{SealedAccount, SealedKey, SealedSession, ThrottleKey, TokenRow, Use};

const MOVE: MoveId = MoveId::from_bytes([0x6d; 16]);
const OTHER: MoveId = MoveId::from_bytes([0x6f; 16]);
const FAILURES: ThrottleKey = ThrottleKey::from_bytes([7; 32]);

fn row(number: u8, of: u64) -> Result<TokenRow, Violation> {
    Ok(TokenRow {
        id: TokenId::from_bytes([number; 16]),
        session: id(of),
        subject: subject("anna")?,
        issued_at: after(u64::from(number)),
        expires_at: after(9000),
        last_used_at: None,
    })
}

async fn go(store: &Store, from: Stage, to: Stage) -> Verdict {
    ensure_eq!(store.set_stage(from, to).await?, StageChange::Changed, "from {from:?} to {to:?}");
    ensure_eq!(store.stage().await?, to, "the stage");
    ensure_eq!(store.feed(Seq(0), 1).await?.phase, to.phase, "the phase a node is told");
    Ok(())
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>, phase: Phase, what: &str) -> Verdict {
    match answer {
        Err(StoreError::NotServing(told)) if told == phase => Ok(()),
        other => Err(Violation(format!("{what} in the phase {phase:?}: {other:?}"))),
    }
}

// Every verb that changes what is moved.
async fn refuses_changes(store: &Store, phase: Phase) -> Verdict {
    let (now, name) = (after(50), account("anna", "anna")?.name);
    refused(store.insert(session(9, "anna")?, 10).await, phase, "insert")?;
    refused(store.rotate(id(1), 0, now).await, phase, "rotate")?;
    refused(store.confirm(id(1), 0, now).await, phase, "confirm")?;
    for scope in [Scope::Session(id(1)), Scope::Subject(subject("anna")?), Scope::All] {
        refused(store.revoke(&scope, Reason::SignOut, now).await, phase, "revoke")?;
    }
    refused(store.add_token(row(8, 1)?).await, phase, "add_token")?;
    refused(store.remove_token(row(2, 1)?.id).await, phase, "remove_token")?;
    refused(store.note_uses(&[Use { session: id(1), token: None, at: now }]).await, phase, "note_uses")?;
    refused(store.add_key(key("two", 1)?, Some(&key("one", 0)?.id)).await, phase, "add_key")?;
    refused(store.revoke_key(&key("one", 0)?.id, now).await, phase, "revoke_key")?;
    refused(store.forget_keys(&[key("zero", 0)?.id], now).await, phase, "forget_keys")?;
    refused(store.create_account(account("boris", "boris")?).await, phase, "create_account")?;
    refused(store.set_disabled(&name, Some(now)).await, phase, "set_disabled")?;
    let hash = account("anna", "anna")?;
    refused(store.set_password(&name, hash.sealed, hash.password_set_at, now).await, phase, "set_password")?;
    refused(store.note_failure(&FAILURES, now).await, phase, "note_failure")?;
    refused(store.clear_failures(&FAILURES).await, phase, "clear_failures")?;
    refused(store.sweep(after(1_000_000), 10).await, phase, "sweep")?;
    Ok(())
}

// A store with one of everything.
async fn furnish(store: &Store) -> Result<SealedSession, Violation> {
    store.add_key(key("zero", 0)?, None).await?;
    store.add_key(key("one", 0)?, Some(&key("zero", 0)?.id)).await?;
    store.create_account(account("anna", "anna")?).await?;
    let record = insert(store, 1, "anna").await?;
    store.add_token(row(2, 1)?).await?;
    store.note_failure(&FAILURES, after(3)).await?;
    Ok(record)
}

pub(super) async fn a_store_that_is_left_changes_nothing(store: Store) -> Verdict {
    let record = furnish(&store).await?;
    let (plain, serving) = (Stage::default(), Stage::of(Phase::Serving, MOVE));
    let (moving, moved) = (Stage::of(Phase::Moving, MOVE), Stage::of(Phase::Moved, MOVE));
    go(&store, plain, serving).await?;
    go(&store, serving, moving).await?;
    let before = (store.feed(Seq(0), 100).await?, store.load_keys().await?, store.list_accounts(None, 9).await?);
    refuses_changes(&store, Phase::Moving).await?;
    // It answers all the same.
    ensure_eq!(store.load(id(1)).await?, Some(record.clone()), "a session of a store that is being left");
    ensure!(store.find_token(row(2, 1)?.id).await?.is_some(), "a token of a store that is being left");
    go(&store, moving, moved).await?;
    refuses_changes(&store, Phase::Moved).await?;
    refused(store.load(id(1)).await, Phase::Moved, "load")?;
    refused(store.find_token(row(2, 1)?.id).await, Phase::Moved, "find_token")?;
    // Given up: everything is as it was, and goes on.
    go(&store, moved, moving).await?;
    go(&store, moving, plain).await?;
    let now = (store.feed(Seq(0), 100).await?, store.load_keys().await?, store.list_accounts(None, 9).await?);
    ensure_eq!(
        (now.0.head, now.0.epoch, &now.1, &now.2),
        (before.0.head, before.0.epoch, &before.1, &before.2),
        "the rest"
    );
    ensure_eq!(store.failures(&FAILURES).await?.count, 1, "the failures");
    ensure_eq!(store.list_tokens(id(1)).await?, vec![row(2, 1)?], "the rows");
    match store.rotate(id(1), 0, after(60)).await? {
        RotateOutcome::Rotated(next) => ensure_eq!(next.rotation.generation, 1, "the generation"),
        other => return Err(Violation(format!("a rotation after the move was given up: {other:?}"))),
    }
    Ok(())
}

pub(super) async fn a_stage_follows_the_expected_one(store: Store) -> Verdict {
    let (plain, serving) = (Stage::default(), Stage::of(Phase::Serving, MOVE));
    ensure_eq!(store.stage().await?, plain, "a new store's stage");
    for wrong in [serving, Stage::of(Phase::Moving, MOVE), Stage::of(Phase::Filling, MOVE)] {
        let answer = store.set_stage(wrong, Stage::of(Phase::Moved, MOVE)).await?;
        ensure_eq!(answer, StageChange::Otherwise(plain), "from {wrong:?}, where it is not");
    }
    go(&store, plain, serving).await?;
    // Of another move.
    let answer = store.set_stage(Stage::of(Phase::Serving, OTHER), plain).await?;
    ensure_eq!(answer, StageChange::Otherwise(serving), "from another move");
    // Of many at once, one.
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let (store, next) = (store.clone(), Stage::of(Phase::Moving, MoveId::from_bytes([number; 16])));
        tasks.spawn(async move { store.set_stage(serving, next).await });
    }
    let mut changed = 0;
    while let Some(ended) = tasks.join_next().await {
        changed += usize::from(ended.map_err(|fault| Violation(fault.to_string()))?? == StageChange::Changed);
    }
    ensure_eq!(changed, 1, "how many of eight changed the stage");
    Ok(())
}

pub(super) async fn a_write_is_before_or_refused(store: Store) -> Verdict {
    const SESSIONS: u64 = 24;
    for number in 0..SESSIONS {
        insert(&store, number, &format!("subject-{number}")).await?;
    }
    let mut tasks = JoinSet::new();
    for number in 0..SESSIONS {
        let store = store.clone();
        tasks.spawn(async move {
            // How often this writer was told that it had rotated.
            let mut generation = 0;
            loop {
                // A store in memory never waits; the change of stage is to have its turn.
                tokio::task::yield_now().await;
                match store.rotate(id(number), generation, after(100)).await {
                    Ok(RotateOutcome::Rotated(_)) => generation += 1,
                    Err(StoreError::NotServing(Phase::Moving)) => return Ok((number, generation)),
                    other => return Err(Violation(format!("a rotation beside a change of stage: {other:?}"))),
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    go(&store, Stage::default(), Stage::of(Phase::Moving, MOVE)).await?;
    // What is read from here on is all that was ever acknowledged.
    let copies = store.copies(None, 100).await?;
    while let Some(ended) = tasks.join_next().await {
        let (number, generation) = ended.map_err(|fault| Violation(fault.to_string()))??;
        let copied = copies.iter().find(|copy| copy.session.id == id(number));
        let copied = copied.map(|copy| copy.session.rotation.generation);
        ensure_eq!(copied, Some(generation), "the generation of {number}, read after the store was closed");
    }
    Ok(())
}

pub(super) async fn copies_are_whole(store: Store) -> Verdict {
    let mut right = Vec::new();
    for number in 0..7 {
        let session = insert(&store, number, "anna").await?;
        let mut tokens = Vec::new();
        for token in 0..number % 3 {
            let new = row(u8::try_from(10 * number + token).unwrap_or(0), number)?;
            store.add_token(new.clone()).await?;
            tokens.push(new);
        }
        right.push(SessionCopy { session, tokens });
    }
    let mut found = Vec::new();
    let mut from: Option<SessionId> = None;
    loop {
        let page = store.copies(from, 3).await?;
        ensure!(page.len() <= 3, "a page of {} instead of 3", page.len());
        let Some(last) = page.last() else { break };
        from = Some(last.session.id);
        found.extend(page);
    }
    ensure_eq!(found, right, "the copies");
    Ok(())
}

pub(super) async fn a_store_is_filled_verbatim(store: Store) -> Verdict {
    let (plain, filling) = (Stage::default(), Stage::of(Phase::Filling, MOVE));
    let serving = Stage::of(Phase::Serving, MOVE);
    let taken = |items: Vec<Taken>| {
        let store = store.clone();
        async move { store.take_in(MOVE, &items).await.map_err(Violation::from) }
    };
    // Not before it is asked to, and by nobody else.
    let record = SealedSession {
        last_seen_at: after(77),
        rotation: RotationState { generation: 41, rotated_at: after(70), confirmed_at: Some(after(71)) },
        ..session(1, "anna")?
    };
    let copy =
        SessionCopy { session: record.clone(), tokens: vec![TokenRow { last_used_at: Some(after(76)), ..row(2, 1)? }] };
    ensure_eq!(taken(vec![Taken::Session(copy.clone())]).await?, TakingIn::Refused, "a store that serves");
    store.add_key(key("own", 0)?, None).await?;
    go(&store, plain, filling).await?;
    ensure_eq!(store.load_keys().await?, vec![], "the keys of a store that begins to be filled");
    let before = store.feed(Seq(0), 100).await?;
    let others = store.take_in(OTHER, &[Taken::Session(copy.clone())]).await?;
    ensure_eq!(others, TakingIn::Refused, "another move");
    ensure_eq!(store.count().await?, 0, "the count after what was refused");

    // As it is: over or not, with its rotation, more than a cap.
    let over = SealedSession { absolute_end: after(5), ..session(3, "anna")? };
    let old = SessionCopy { session: session(1, "boris")?, tokens: vec![row(4, 1)?, row(5, 1)?] };
    let revoked = SealedKey { revoked_at: Some(after(9)), ..key("one", 0)? };
    let disabled = SealedAccount { disabled_at: Some(after(8)), ..account("anna", "anna")? };
    let items = vec![
        Taken::Session(old),
        Taken::Session(SessionCopy { session: over.clone(), tokens: vec![] }),
        Taken::Session(SessionCopy { session: session(4, "anna")?, tokens: vec![row(6, 4)?] }),
        Taken::Account(account("anna", "anna")?),
        Taken::Account(account("boris", "boris")?),
        Taken::Keys(vec![key("zero", 0)?]),
    ];
    ensure_eq!(taken(items).await?, TakingIn::Taken, "what is taken in");
    let items = vec![
        Taken::Session(copy.clone()),
        Taken::NoSession(id(4)),
        Taken::NoSession(id(5)),
        Taken::NoAccount(account("boris", "boris")?.name),
        Taken::Account(disabled.clone()),
        Taken::Keys(vec![revoked.clone(), key("two", 1)?]),
    ];
    for _ in 0..2 {
        // A second time changes nothing: the answer to the first may have been lost.
        ensure_eq!(taken(items.clone()).await?, TakingIn::Taken, "what is taken in");
        let copies = vec![copy.clone(), SessionCopy { session: over.clone(), tokens: vec![] }];
        ensure_eq!(store.copies(None, 10).await?, copies, "the sessions");
        ensure_eq!(store.count().await?, 2, "the count");
        ensure_eq!(store.list_tokens(id(1)).await?, copy.tokens, "the rows of the first");
        ensure_eq!(store.list_accounts(None, 10).await?, vec![disabled.clone()], "the accounts");
        ensure_eq!(store.load_keys().await?, vec![revoked.clone(), key("two", 1)?], "the keys");
    }
    refuses_changes(&store, Phase::Filling).await?;
    refused(store.load(id(1)).await, Phase::Filling, "load")?;
    ensure_eq!(items_after(&store, before.head).await?, vec![], "the feed of a store that is filled");

    go(&store, filling, serving).await?;
    let page = store.feed(Seq(0), 100).await?;
    ensure!(page.epoch != before.epoch, "nodes are not told to read everything anew");
    ensure!(page.head >= before.head, "the head went back");
    ensure_eq!(taken(vec![Taken::NoSession(id(1))]).await?, TakingIn::Refused, "a store that serves");
    // It goes on where the other one was: by subject, by token, by key, by account, and to its end.
    ensure_eq!(store.list(Some(&subject("anna")?), None, 9).await?.len(), 2, "the sessions of the subject");
    ensure_eq!(store.list(Some(&subject("boris")?), None, 9).await?.len(), 0, "the sessions of the one it replaced");
    ensure!(store.find_token(row(2, 1)?.id).await?.is_some(), "the token");
    ensure_eq!(store.find_token(row(4, 1)?.id).await?, None, "a replaced row's token");
    ensure_eq!(store.find_token(row(6, 4)?.id).await?, None, "a token of a session that is not there");
    match store.rotate(id(1), 41, after(80)).await? {
        RotateOutcome::Rotated(next) => ensure_eq!(next.rotation.generation, 42, "the generation"),
        other => return Err(Violation(format!("the first rotation here: {other:?}"))),
    }
    let newest = key("two", 1)?.id;
    let added = store.add_key(key("three", 2)?, Some(&newest)).await?;
    ensure_eq!(added, KeyAddition::Added, "a key after the newest");
    let again = store.create_account(account("clara", "anna")?).await?;
    ensure_eq!(again, AccountCreation::SubjectTaken, "a taken subject");
    store.create_account(account("boris", "boris")?).await?;
    ensure_eq!(store.sweep(after(100), 10).await?, 1, "sweeping what was over already");
    let start = head(&store).await?;
    let ended = store.revoke(&Scope::Subject(subject("anna")?), Reason::SignOut, after(100)).await?.ended;
    ensure_eq!((ended.len(), items_after(&store, start).await?.len()), (1, 1), "what ended");
    Ok(())
}

pub(super) async fn only_an_empty_store_is_filled(store: Store) -> Verdict {
    let (plain, filling) = (Stage::default(), Stage::of(Phase::Filling, MOVE));
    insert(&store, 1, "anna").await?;
    ensure_eq!(store.set_stage(plain, filling).await?, StageChange::NotEmpty, "a store with a session");
    store.revoke(&Scope::All, Reason::SignOut, after(2)).await?;
    go(&store, plain, filling).await?;
    let copy = SessionCopy { session: session(1, "anna")?, tokens: vec![row(2, 1)?] };
    let items = [Taken::Session(copy), Taken::Account(account("anna", "anna")?), Taken::Keys(vec![key("zero", 0)?])];
    ensure_eq!(store.take_in(MOVE, &items).await?, TakingIn::Taken, "what is taken in");
    // Given up: nothing of it is left.
    go(&store, filling, plain).await?;
    ensure_eq!(store.count().await?, 0, "the count");
    ensure_eq!(store.load(id(1)).await?, None, "the session");
    ensure_eq!(store.find_token(row(2, 1)?.id).await?, None, "its token");
    ensure_eq!(store.load_keys().await?, vec![], "the keys");
    ensure_eq!(store.list_accounts(None, 9).await?, vec![], "the accounts");
    store.create_account(account("anna", "anna")?).await?;
    ensure_eq!(store.set_stage(plain, filling).await?, StageChange::NotEmpty, "a store with an account");
    ensure_eq!(store.feed(Seq(0), 1).await?.phase, Phase::Serving, "the phase");
    Ok(())
}
