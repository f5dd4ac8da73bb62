//! Administration: sessions, subjects, keys, audit. Every listing goes on by a sealed cursor (K2).

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};
use sessile::engine::KeyChange;
use sessile::password::Accounts;
use sessile::{Actor, Engine};
use sessile_core::event::EventName;
use sessile_core::revocation::{Reason, Scope};
use sessile_core::session::Life;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject};
use sessile_store::{Account, AccountName, EventQuery, EventsFrom};

use super::answer::{Problem, json};
use super::{Call, Ops};
use crate::views;

const DEFAULT_LIMIT: u32 = 100;
const MOST: u32 = 1000;
/// Accounts looked through at a time when one is sought by its subject.
const ACCOUNTS_PAGE: u32 = 1000;

type Answer = Result<Response, Problem>;

fn limit(call: &Call) -> Result<u32, Problem> {
    match call.query.parse::<u32>("limit")? {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::BadParameter("limit")),
    }
}

fn path_as<T: std::str::FromStr>(call: &Call, name: &str) -> Result<T, Problem> {
    call.path(name).parse().map_err(|_| Problem::BadPath)
}

/// `GET /admin/v1/sessions`: live sessions, a subject's or everybody's.
pub(super) async fn list_sessions(ops: Arc<Ops>, call: Call) -> Answer {
    let engine = &ops.engine;
    let subject: Option<Subject> = call.query.parse("subject")?;
    // A cursor is good for the listing it came from and no other.
    let listing = format!("sessions/{}", subject.as_ref().map_or("", Subject::as_str));
    let after = match call.query.get("cursor") {
        None => None,
        Some(cursor) => Some(read_position::<16>(engine, &listing, cursor).map(SessionId::from_bytes)?),
    };
    let page = engine.vault().list(subject.as_ref(), after, limit(&call)?).await?;
    let now = engine.now().wall;
    let live = page.sessions.iter().filter(|session| matches!(session.life(engine.limits(), now), Life::LiveUntil(_)));
    let sessions: Vec<Value> = live.map(|session| views::session(session, engine.config())).collect();
    let next = page.next.map(|id| engine.vault().seal_cursor(&listing, id.as_bytes())).transpose()?;
    Ok(json(&json!({ "sessions": sessions, "next": next })))
}

/// `GET /admin/v1/sessions/{id}`: a session, with the rows of its tokens if its storage keeps some.
pub(super) async fn one_session(ops: Arc<Ops>, call: Call) -> Answer {
    let session = ops.engine.session(path_as(&call, "id")?).await?.ok_or(Problem::NotFound)?;
    let tokens = ops.engine.vault().list_tokens(session.id).await?;
    let mut view = views::session(&session, ops.engine.config());
    view["tokens"] = tokens.iter().map(views::token).collect();
    Ok(json(&view))
}

/// `DELETE /admin/v1/sessions/{id}`. Ending what has ended succeeds.
pub(super) async fn end_session(ops: Arc<Ops>, call: Call) -> Answer {
    end(&ops.engine, Scope::Session(path_as(&call, "id")?)).await
}

/// `DELETE /admin/v1/sessions?all=true`: the parameter is the confirmation.
pub(super) async fn end_all_sessions(ops: Arc<Ops>, call: Call) -> Answer {
    match call.query.get("all") {
        Some("true") => end(&ops.engine, Scope::All).await,
        _ => Err(Problem::BadParameter("all")),
    }
}

/// `DELETE /admin/v1/subjects/{subject}/sessions`.
pub(super) async fn end_subject(ops: Arc<Ops>, call: Call) -> Answer {
    end(&ops.engine, Scope::Subject(path_as(&call, "subject")?)).await
}

async fn end(engine: &Engine, scope: Scope) -> Answer {
    let ended = engine.revoke(&scope, Reason::EndedByAdministrator, &Actor::Administrator).await?;
    let durability = engine.vault().durability().name();
    Ok(json(&json!({ "ended": ended, "durability": durability })))
}

/// `GET /admin/v1/subjects/{subject}`: its account, if it has one here, and how many sessions it has.
pub(super) async fn subject(ops: Arc<Ops>, call: Call) -> Answer {
    let subject: Subject = path_as(&call, "subject")?;
    let account = account_of(&ops.engine, &subject).await?;
    let sessions = ops.engine.sessions_of(&subject).await?.len();
    if account.is_none() && sessions == 0 {
        return Err(Problem::NotFound);
    }
    let account = account.map(|account| {
        json!({
            "name": account.name.as_str(),
            "created_at": views::rfc3339(account.created_at),
            "password_set_at": views::rfc3339(account.password_set_at),
            "disabled_at": account.disabled_at.map(views::rfc3339),
        })
    });
    Ok(json(&json!({ "subject": subject, "account": account, "sessions": sessions })))
}

/// `POST /admin/v1/subjects/{subject}/disable`: no more sign-ins, and every session ends.
pub(super) async fn disable_subject(ops: Arc<Ops>, call: Call) -> Answer {
    let account = account_of(&ops.engine, &path_as(&call, "subject")?).await?.ok_or(Problem::NotFound)?;
    let ended = accounts(&ops.engine).disable(account.name.as_str(), ops.engine.now().wall).await?;
    Ok(json(&json!({ "ended": ended, "durability": ops.engine.vault().durability().name() })))
}

/// `POST /admin/v1/subjects/{subject}/enable`.
pub(super) async fn enable_subject(ops: Arc<Ops>, call: Call) -> Answer {
    let account = account_of(&ops.engine, &path_as(&call, "subject")?).await?.ok_or(Problem::NotFound)?;
    accounts(&ops.engine).enable(account.name.as_str(), ops.engine.now().wall).await?;
    Ok(json(&json!({})))
}

fn accounts(engine: &Engine) -> Accounts<'_> {
    Accounts {
        vault: engine.vault(),
        policy: &engine.config().passwords,
        hashing: engine.hashing(),
        entropy: engine.entropy(),
    }
}

/// The account of a subject. Usually its name is the subject; otherwise all accounts are looked through.
async fn account_of(engine: &Engine, subject: &Subject) -> Result<Option<Account>, Problem> {
    if let Ok(name) = subject.as_str().parse::<AccountName>()
        && let Some((account, _)) = engine.vault().find_account(&name).await?
        && account.subject == *subject
    {
        return Ok(Some(account));
    }
    let mut after = None;
    loop {
        let page = engine.vault().list_accounts(after.as_ref(), ACCOUNTS_PAGE).await?;
        let last = page.len() < ACCOUNTS_PAGE as usize;
        after = page.last().map(|account| account.name.clone());
        if let Some(found) = page.into_iter().find(|account| account.subject == *subject) {
            return Ok(Some(found));
        }
        if last {
            return Ok(None);
        }
    }
}

/// `GET /admin/v1/keys`.
pub(super) async fn list_keys(ops: Arc<Ops>, _: Call) -> Answer {
    let keys: Vec<Value> = ops.engine.key_status().iter().map(views::key).collect();
    Ok(json(&json!({ "keys": keys })))
}

/// `POST /admin/v1/keys`: publishes the next key now.
pub(super) async fn rotate_keys(ops: Arc<Ops>, _: Call) -> Answer {
    let added = match ops.engine.rotate_keys().await? {
        KeyChange::Added(id) => Some(id),
        KeyChange::AlreadyChanged => None,
    };
    Ok(json(&json!({ "added": added })))
}

/// `DELETE /admin/v1/keys/{id}`: refuses at once whatever the key signed.
pub(super) async fn revoke_key(ops: Arc<Ops>, call: Call) -> Answer {
    let id: KeyId = path_as(&call, "id")?;
    if ops.engine.revoke_key(&id).await? { Ok(json(&json!({ "revoked": id }))) } else { Err(Problem::NotFound) }
}

/// `GET /admin/v1/audit`: events, the newest page first; the cursor leads back in time.
pub(super) async fn audit(ops: Arc<Ops>, call: Call) -> Answer {
    const LISTING: &str = "audit";
    let vault = ops.engine.vault();
    let name = match call.query.get("event") {
        Some(name) if EventName::ALL.iter().any(|known| known.name() == name) => Some(name.to_owned()),
        Some(_) => return Err(Problem::BadParameter("event")),
        None => None,
    };
    let from = match call.query.get("cursor") {
        None => EventsFrom::Newest,
        Some(cursor) => EventsFrom::Before(u64::from_be_bytes(read_position::<8>(&ops.engine, LISTING, cursor)?)),
    };
    let query = EventQuery {
        from,
        subject: call.query.parse("subject")?,
        session: call.query.parse("session")?,
        name,
        limit: limit(&call)?,
    };
    let events = vault.events(&query).await?;
    let full = events.len() as u64 >= u64::from(query.limit);
    let oldest = events.first().map(|event| event.seq).filter(|_| full);
    let next = oldest.map(|seq| vault.seal_cursor(LISTING, &seq.to_be_bytes())).transpose()?;
    let events: Vec<Value> = events.iter().map(views::event).collect();
    Ok(json(&json!({ "events": events, "next": next })))
}

fn read_position<const N: usize>(engine: &Engine, listing: &str, cursor: &str) -> Result<[u8; N], Problem> {
    let position = engine.vault().open_cursor(listing, cursor).ok_or(Problem::BadParameter("cursor"))?;
    position.try_into().map_err(|_| Problem::BadParameter("cursor"))
}
