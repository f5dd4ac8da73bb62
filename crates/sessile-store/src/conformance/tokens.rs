//! The token registry of storage `database`, and the record of use.

use std::time::Duration;

use sessile_core::id::TokenId;
use sessile_core::revocation::{Reason, Scope};

use super::world::{ABSOLUTE, IDLE, START, Store, Verdict, after, id, insert, session, subject};
use super::{Violation, ensure, ensure_eq};
use crate::contract::{TOKENS_PER_SESSION, TokenAddition};
use crate::record::{TokenRow, Use};

fn token_id(number: u64) -> TokenId {
    let mut bytes = [0x70; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TokenId::from_bytes(bytes)
}

/// Token `number` of session `of`, issued `number` seconds after [`START`].
fn token(number: u64, of: u64) -> Result<TokenRow, Violation> {
    Ok(TokenRow {
        id: token_id(number),
        session: id(of),
        subject: subject("anna")?,
        issued_at: after(number),
        expires_at: START.plus(ABSOLUTE),
        last_used_at: None,
    })
}

async fn add(store: &Store, number: u64, of: u64) -> Result<TokenRow, Violation> {
    let row = token(number, of)?;
    ensure_eq!(store.add_token(row.clone()).await?, TokenAddition::Added, "token {number} of session {of}");
    Ok(row)
}

pub(super) async fn a_row_is_found_with_its_session(store: Store) -> Verdict {
    let record = insert(&store, 1, "anna").await?;
    ensure_eq!(store.find_token(token_id(10)).await?, None, "a token nobody added");
    let row = add(&store, 10, 1).await?;
    ensure_eq!(store.find_token(row.id).await?, Some((row.clone(), record)), "the token and its session");
    // The same id again, for whichever session: refused, and nothing changed.
    insert(&store, 2, "anna").await?;
    let twin = TokenRow { id: row.id, ..token(11, 2)? };
    ensure_eq!(store.add_token(twin).await?, TokenAddition::IdTaken, "a taken id");
    ensure_eq!(store.list_tokens(id(1)).await?, vec![row], "the rows of the session");
    ensure_eq!(store.list_tokens(id(2)).await?, vec![], "the rows of the other session");
    Ok(())
}

pub(super) async fn a_row_needs_a_live_session(store: Store) -> Verdict {
    ensure_eq!(store.add_token(token(10, 1)?).await?, TokenAddition::Gone, "a token of no session");
    ensure_eq!(store.find_token(token_id(10)).await?, None, "its row");
    let record = insert(&store, 1, "anna").await?;
    for over in [record.last_seen_at.plus(IDLE), record.absolute_end] {
        let late = TokenRow { issued_at: over, ..token(11, 1)? };
        ensure_eq!(store.add_token(late).await?, TokenAddition::Gone, "a token issued when the session is over");
    }
    store.revoke(&Scope::Session(id(1)), Reason::SignOut, after(20)).await?;
    ensure_eq!(store.add_token(token(12, 1)?).await?, TokenAddition::Gone, "a token of an ended session");
    Ok(())
}

pub(super) async fn deleting_a_row_is_the_revocation(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    let (gone, kept) = (add(&store, 10, 1).await?, add(&store, 11, 1).await?);
    ensure!(store.remove_token(gone.id).await?, "the row was there");
    ensure!(!store.remove_token(gone.id).await?, "it was removed twice");
    ensure_eq!(store.find_token(gone.id).await?, None, "the removed token");
    ensure!(store.find_token(kept.id).await?.is_some(), "its neighbour is gone too");
    ensure!(store.load(id(1)).await?.is_some(), "the session ended with one of its tokens");
    // A use of it brings nothing back.
    store.note_uses(&[Use { session: id(1), token: Some(gone.id), at: after(30) }]).await?;
    ensure_eq!(store.find_token(gone.id).await?, None, "the removed token after a late use");
    Ok(())
}

pub(super) async fn rows_die_with_their_session(store: Store) -> Verdict {
    let ended = || Scope::Session(id(1));
    for (number, scope) in [ended(), Scope::Subject(subject("anna")?), Scope::All].into_iter().enumerate() {
        let number = number as u64;
        insert(&store, 1, "anna").await?;
        insert(&store, 2, "boris").await?;
        let row = add(&store, 10 + number, 1).await?;
        let other = add(&store, 20 + number, 2).await?;
        store.revoke(&scope, Reason::SignOut, after(30)).await?;
        ensure_eq!(store.find_token(row.id).await?, None, "a token after {scope:?}");
        ensure_eq!(store.list_tokens(id(1)).await?, vec![], "the rows after {scope:?}");
        let others_live = store.find_token(other.id).await?.is_some();
        ensure_eq!(others_live, scope != Scope::All, "another subject's token after {scope:?}");
        store.revoke(&Scope::All, Reason::SignOut, after(31)).await?;
    }
    // Evicted, swept, and by a new history.
    insert(&store, 1, "anna").await?;
    let evicted = add(&store, 40, 1).await?;
    store.insert(session(3, "anna")?, 1).await?;
    ensure_eq!(store.find_token(evicted.id).await?, None, "a token of an evicted session");
    let swept = add(&store, 41, 3).await?;
    store.sweep(START.plus(ABSOLUTE * 2), 10).await?;
    ensure_eq!(store.find_token(swept.id).await?, None, "a token of a swept session");
    insert(&store, 4, "anna").await?;
    let last = add(&store, 42, 4).await?;
    store.restart_history(Reason::StoreRegressed, after(50)).await?;
    ensure_eq!(store.find_token(last.id).await?, None, "a token of another history");
    Ok(())
}

pub(super) async fn rows_outlive_renewal(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    let row = add(&store, 10, 1).await?;
    store.rotate(id(1), 0, after(20)).await?;
    store.confirm(id(1), 1, after(21)).await?;
    ensure!(store.find_token(row.id).await?.is_some(), "a renewal dropped a token's row");
    Ok(())
}

pub(super) async fn a_session_has_so_many_rows(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    let most = u64::from(TOKENS_PER_SESSION);
    for number in 0..most + 3 {
        add(&store, 100 + number, 1).await?;
    }
    let left: Vec<_> = store.list_tokens(id(1)).await?.iter().map(|row| row.id).collect();
    let newest: Vec<_> = (3..most + 3).map(|number| token_id(100 + number)).collect();
    ensure_eq!(left, newest, "the rows that are left");
    Ok(())
}

pub(super) async fn uses_move_forward_alone(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    let row = add(&store, 10, 1).await?;
    let (used, seen) = (after(200), after(300));
    store
        .note_uses(&[
            Use { session: id(1), token: Some(row.id), at: used },
            Use { session: id(1), token: None, at: seen },
            Use { session: id(1), token: Some(row.id), at: after(100) },
        ])
        .await?;
    let (found, record) = store.find_token(row.id).await?.ok_or_else(|| Violation("the token is gone".to_owned()))?;
    ensure_eq!(found, TokenRow { last_used_at: Some(used), ..row.clone() }, "the row after its uses");
    ensure_eq!(record.last_seen_at, seen, "when the session was last seen");
    ensure_eq!(record.rotation, session(1, "anna")?.rotation, "the rotation");
    // What was seen late lives on from there: the idle timeout counts from the last use.
    let late = seen.plus(IDLE).minus(Duration::from_millis(1));
    ensure_eq!(store.sweep(late, 10).await?, 0, "sweeping a session that was used");
    ensure_eq!(store.sweep(seen.plus(IDLE), 10).await?, 1, "sweeping it once it is over");
    Ok(())
}

pub(super) async fn uses_create_nothing(store: Store) -> Verdict {
    insert(&store, 1, "anna").await?;
    let row = add(&store, 10, 1).await?;
    let over = after(20).plus(IDLE);
    store
        .note_uses(&[
            Use { session: id(7), token: Some(token_id(70)), at: after(20) },
            Use { session: id(1), token: Some(token_id(71)), at: after(20) },
            Use { session: id(1), token: Some(row.id), at: over },
        ])
        .await?;
    ensure_eq!(store.load(id(7)).await?, None, "a session that was only used");
    ensure_eq!(store.find_token(token_id(70)).await?, None, "a token that was only used");
    ensure_eq!(store.find_token(token_id(71)).await?, None, "a token that was only used, of a live session");
    let seen = store.load(id(1)).await?.map(|record| record.last_seen_at);
    ensure_eq!(seen, Some(after(20)), "the live session: seen by the use in time, not by the one when it was over");
    Ok(())
}
