//! The statements of a move of sessions.

use std::collections::HashMap;

use sessile_core::SessionId;
use sessile_core::revocation::Phase;

use super::accounts::account_columns;
use super::flight::{Answer, statement};
use super::lanes::Lanes;
use super::row::{column, get, millis, number, octets, session, session_columns, to_json, unreadable};
use super::server::miscounted;
use super::sessions::BUCKET_MILLIS;
use super::tokens::{token, token_columns};
use crate::contract::{MoveId, SessionCopy, Stage, StageChange, Taken, TakingIn};
use crate::error::StoreError;
use crate::record::{SealedAccount, SealedKey, SealedSession, TokenRow};

/// Where the store stands, for [`stage_of`].
pub(super) const STAGE: &str = "SELECT phase, move FROM store";

pub(super) fn stage_of(answer: Option<&Answer>) -> Result<Stage, StoreError> {
    let missing = || StoreError::Corrupt("the table store has lost its row".to_owned());
    let row = answer.ok_or_else(miscounted)?.rows.first().ok_or_else(missing)?;
    let of: Option<Vec<u8>> = get(row, 1)?;
    let of = of.map(|_| octets(row, 1).map(MoveId::from_bytes)).transpose()?;
    let name: String = get(row, 0)?;
    let unknown = || unreadable(row, 0, format_args!("a phase this program does not know, {name:?}"));
    Ok(Stage { phase: Phase::from_name(&name).ok_or_else(unknown)?, of })
}

pub(super) async fn stage(lanes: &Lanes) -> Result<Stage, StoreError> {
    stage_of(lanes.read(&[statement!(STAGE)]).await?.first())
}

pub(super) async fn set_stage(lanes: &Lanes, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
    // Alone: every write under way ends first. Its statement comes first, so that the next one sees what they did.
    const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('sessile stage ' || $1, 0))";
    macro_rules! change {
        ($($also:expr),*) => {
            concat!(
                "WITH changed AS (UPDATE store SET phase = $3, move = $4
                     WHERE phase = $1 AND move IS NOT DISTINCT FROM $2",
                $($also,)*
                " SELECT count(*) FROM changed"
            )
        };
    }
    const NEW_EPOCH: &str = change!(
        " RETURNING one), epoch AS (UPDATE feed_head SET epoch = uuid_send(gen_random_uuid())
             WHERE EXISTS (SELECT FROM changed))"
    );
    const NEW_EPOCH_AND_CLEAR: &str = change!(
        " RETURNING one), epoch AS (UPDATE feed_head SET epoch = uuid_send(gen_random_uuid())
             WHERE EXISTS (SELECT FROM changed)),
         sessions AS (DELETE FROM sessions WHERE EXISTS (SELECT FROM changed)),
         accounts AS (DELETE FROM accounts WHERE EXISTS (SELECT FROM changed)),
         keys AS (DELETE FROM signing_keys WHERE EXISTS (SELECT FROM changed))"
    );
    const IF_EMPTY: &str = change!(
        " AND NOT EXISTS (SELECT FROM sessions) AND NOT EXISTS (SELECT FROM accounts) RETURNING one),
         keys AS (DELETE FROM signing_keys WHERE EXISTS (SELECT FROM changed))"
    );
    const PLAIN: &str = change!(" RETURNING one)");
    let sql = match (expected.phase, next.phase) {
        (Phase::Serving, Phase::Filling) => IF_EMPTY,
        (Phase::Filling, _) if next.of.is_none() => NEW_EPOCH_AND_CLEAR,
        (Phase::Filling, _) => NEW_EPOCH,
        (Phase::Serving | Phase::Moving | Phase::Moved, _) => PLAIN,
    };
    let schema = lanes.schema().to_string();
    let (before, after) = (expected.phase.name(), next.phase.name());
    let [before_of, after_of] = [&expected, &next].map(|stage| stage.of.as_ref().map(|of| &of.as_bytes()[..]));
    let change = statement!(sql, before, before_of, after, after_of);
    let answers = lanes.change_all(&[statement!(TURN, schema), change, statement!(STAGE)]).await?;
    let [_, changed, now] = &answers[..] else { return Err(miscounted()) };
    if number(changed.rows.first().ok_or_else(miscounted)?, 0)? > 0 {
        return Ok(StageChange::Changed);
    }
    let current = stage_of(Some(now))?;
    Ok(if current == expected { StageChange::NotEmpty } else { StageChange::Otherwise(current) })
}

pub(super) async fn copies(
    lanes: &Lanes,
    after: Option<SessionId>,
    limit: u32,
) -> Result<Vec<SessionCopy>, StoreError> {
    const SESSIONS: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id > $1 ORDER BY id LIMIT $2");
    const TOKENS: &str = concat!(
        "SELECT ",
        token_columns!(),
        " FROM tokens WHERE session IN (SELECT id FROM sessions WHERE id > $1 ORDER BY id LIMIT $2) ORDER BY issued_at, id"
    );
    // The empty octet string sorts before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let limit = i64::from(limit);
    let answers = lanes.read(&[statement!(SESSIONS, after, limit), statement!(TOKENS, after, limit)]).await?;
    let [sessions, rows] = &answers[..] else { return Err(miscounted()) };
    let mut tokens: HashMap<SessionId, Vec<TokenRow>> = HashMap::new();
    for row in &rows.rows {
        let row = token(row, 0)?;
        tokens.entry(row.session).or_default().push(row);
    }
    let copy = |row| {
        let session = session(row, 0)?;
        Ok(SessionCopy { tokens: tokens.remove(&session.id).unwrap_or_default(), session })
    };
    sessions.rows.iter().map(copy).collect()
}

pub(super) async fn take_in(lanes: &Lanes, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
    const INSERT_SESSIONS: &str = concat!(
        "INSERT INTO sessions (",
        session_columns!(),
        ", over_bucket) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    );
    const INSERT_TOKENS: &str =
        concat!("INSERT INTO tokens (", token_columns!(), ") SELECT * FROM unnest($1, $2, $3, $4, $5, $6)");
    const INSERT_ACCOUNTS: &str =
        concat!("INSERT INTO accounts (", account_columns!(), ") SELECT * FROM unnest($1, $2, $3, $4, $5, $6)");
    const INSERT_KEYS: &str = "INSERT INTO signing_keys (id, algorithm, created_at, active_from, revoked_at, sealed)
        SELECT id, algorithm, created_at, active_from, revoked_at, sealed FROM unnest($1, $2, $3, $4, $5, $6)
            WITH ORDINALITY AS new (id, algorithm, created_at, active_from, revoked_at, sealed, place) ORDER BY place";
    let of: &[u8] = of.as_bytes();
    let batch = Batch::of(items);
    let (ids, names) = (&batch.replaced_sessions, &batch.replaced_accounts);
    let (sessions, accounts) = (&batch.sessions, &batch.accounts);
    let tokens: Vec<&TokenRow> = batch.tokens;

    let s_id = each(sessions, |one| &one.id.as_bytes()[..]);
    let s_subject = each(sessions, |one| one.subject.as_str());
    let s_storage = each(sessions, |one| one.storage.name());
    let s_remember = each(sessions, |one| one.remember);
    let s_created = each(sessions, |one| millis(one.created_at));
    let s_authenticated = each(sessions, |one| millis(one.authenticated_at));
    let s_seen = each(sessions, |one| millis(one.last_seen_at));
    let s_end = each(sessions, |one| millis(one.absolute_end));
    let s_idle = each(sessions, |one| i64::try_from(one.idle.as_millis()).unwrap_or(i64::MAX));
    let s_generation = each(sessions, |one| column(one.rotation.generation));
    let s_rotated = each(sessions, |one| millis(one.rotation.rotated_at));
    let s_confirmed = each(sessions, |one| one.rotation.confirmed_at.map(millis));
    let s_client: Vec<String> = sessions.iter().map(|one| to_json(&one.client)).collect::<Result<_, _>>()?;
    let s_sealed = each(sessions, |one| one.sealed.as_bytes());
    let s_bucket = each(sessions, |one| millis(one.over_at()) / BUCKET_MILLIS);

    let t_id = each(&tokens, |one| &one.id.as_bytes()[..]);
    let t_session = each(&tokens, |one| &one.session.as_bytes()[..]);
    let t_subject = each(&tokens, |one| one.subject.as_str());
    let t_issued = each(&tokens, |one| millis(one.issued_at));
    let t_expires = each(&tokens, |one| millis(one.expires_at));
    let t_used = each(&tokens, |one| one.last_used_at.map(millis));

    let a_name = each(accounts, |one| one.name.as_str());
    let a_subject = each(accounts, |one| one.subject.as_str());
    let a_created = each(accounts, |one| millis(one.created_at));
    let a_set = each(accounts, |one| millis(one.password_set_at));
    let a_disabled = each(accounts, |one| one.disabled_at.map(millis));
    let a_sealed = each(accounts, |one| one.sealed.as_bytes());

    let keys: Vec<&SealedKey> = batch.keys.into_iter().flatten().collect();
    let k_id = each(&keys, |one| one.id.as_str());
    let k_algorithm = each(&keys, |one| one.algorithm.name());
    let k_created = each(&keys, |one| millis(one.created_at));
    let k_active = each(&keys, |one| millis(one.active_from));
    let k_revoked = each(&keys, |one| one.revoked_at.map(millis));
    let k_sealed = each(&keys, |one| one.sealed.as_bytes());

    let mut statements = vec![
        statement!("SELECT require_stage('filling', $1)", of),
        statement!("DELETE FROM sessions WHERE id = ANY ($1)", *ids),
        statement!(
            INSERT_SESSIONS,
            s_id,
            s_subject,
            s_storage,
            s_remember,
            s_created,
            s_authenticated,
            s_seen,
            s_end,
            s_idle,
            s_generation,
            s_rotated,
            s_confirmed,
            s_client,
            s_sealed,
            s_bucket
        ),
        statement!(INSERT_TOKENS, t_id, t_session, t_subject, t_issued, t_expires, t_used),
        statement!("DELETE FROM accounts WHERE name = ANY ($1)", *names),
        statement!(INSERT_ACCOUNTS, a_name, a_subject, a_created, a_set, a_disabled, a_sealed),
    ];
    if batch.keys.is_some() {
        statements.push(statement!("DELETE FROM signing_keys"));
        statements.push(statement!(INSERT_KEYS, k_id, k_algorithm, k_created, k_active, k_revoked, k_sealed));
    }
    match lanes.write_always(&statements).await {
        Ok(_) => Ok(TakingIn::Taken),
        Err(StoreError::NotServing(_)) => Ok(TakingIn::Refused),
        Err(fault) => Err(fault),
    }
}

/// What is to be taken in, by kind.
#[derive(Default)]
struct Batch<'a> {
    replaced_sessions: Vec<&'a [u8]>,
    sessions: Vec<&'a SealedSession>,
    tokens: Vec<&'a TokenRow>,
    replaced_accounts: Vec<&'a str>,
    accounts: Vec<&'a SealedAccount>,
    keys: Option<&'a Vec<SealedKey>>,
}

impl<'a> Batch<'a> {
    fn of(items: &'a [Taken]) -> Self {
        let mut batch = Self::default();
        for item in items {
            match item {
                Taken::Session(SessionCopy { session, tokens }) => {
                    batch.replaced_sessions.push(session.id.as_bytes());
                    batch.sessions.push(session);
                    batch.tokens.extend(tokens);
                }
                Taken::NoSession(id) => batch.replaced_sessions.push(id.as_bytes()),
                Taken::Account(account) => {
                    batch.replaced_accounts.push(account.name.as_str());
                    batch.accounts.push(account);
                }
                Taken::NoAccount(name) => batch.replaced_accounts.push(name.as_str()),
                Taken::Keys(keys) => batch.keys = Some(keys),
            }
        }
        batch
    }
}

// One column of many rows.
fn each<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}
