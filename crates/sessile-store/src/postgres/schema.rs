//! The tables, and the way from any older version to them.

use tokio_postgres::Client;

use super::SchemaName;
use super::fault::{describe, fault};
use crate::error::{StoreError, WriteOutcome};

/// Step n leads from schema version n to n + 1. A step that was ever released is never edited.
pub(super) const STEPS: &[&str] = &[V1, V2];

// Texts that are compared or listed in order are compared by their bytes, whatever the database's language. What is
// sealed does not compress. Activity rewrites a session's row: room on its page keeps that off the indexes.
const V1: &str = r#"
CREATE TABLE store (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    witness bytea
);
INSERT INTO store DEFAULT VALUES;

CREATE TABLE sessions (
    id bytea PRIMARY KEY,
    subject text COLLATE "C" NOT NULL,
    storage text NOT NULL,
    remember boolean NOT NULL,
    created_at bigint NOT NULL,
    authenticated_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    absolute_end bigint NOT NULL,
    idle bigint NOT NULL,
    generation bigint NOT NULL,
    rotated_at bigint NOT NULL,
    confirmed_at bigint,
    client text NOT NULL,
    sealed bytea NOT NULL,
    over_bucket bigint NOT NULL
) WITH (fillfactor = 70);
ALTER TABLE sessions ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX sessions_by_subject ON sessions (subject);
CREATE INDEX sessions_by_end ON sessions (over_bucket);

CREATE TABLE tokens (
    id bytea PRIMARY KEY,
    session bytea NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    subject text COLLATE "C" NOT NULL,
    issued_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    last_used_at bigint
) WITH (fillfactor = 70);
CREATE INDEX tokens_by_session ON tokens (session);

CREATE TABLE feed_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bytea NOT NULL,
    seq bigint NOT NULL,
    cluster bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO feed_head (epoch, seq, cluster)
    SELECT uuid_send(gen_random_uuid()), 0, system_identifier FROM pg_control_system();

CREATE TABLE feed (
    seq bigint PRIMARY KEY,
    at bigint NOT NULL,
    kind bigint NOT NULL,
    session bytea,
    reason text
);

CREATE FUNCTION feed_moved() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || '_feed', '');
    RETURN NULL;
END
$body$;
CREATE TRIGGER feed_moved AFTER UPDATE ON feed_head FOR EACH ROW EXECUTE FUNCTION feed_moved();

CREATE TABLE signing_keys (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    algorithm text NOT NULL,
    created_at bigint NOT NULL,
    active_from bigint NOT NULL,
    revoked_at bigint,
    sealed bytea NOT NULL
);

CREATE TABLE accounts (
    name text COLLATE "C" PRIMARY KEY,
    subject text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    password_set_at bigint NOT NULL,
    disabled_at bigint,
    sealed bytea NOT NULL
);

CREATE TABLE failures (
    key bytea PRIMARY KEY,
    count bigint NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    subject text COLLATE "C",
    session bytea,
    client text,
    request text
);
CREATE INDEX events_by_time ON events (at);
"#;

// Writers hold the turn shared from before they look until their commit, and a change of stage holds it alone: it waits
// for the writes under way, and those that come later see it.
const V2: &str = r#"
ALTER TABLE store ADD COLUMN phase text NOT NULL DEFAULT 'serving', ADD COLUMN move bytea;

CREATE FUNCTION require_stage(wanted text, wanted_move bytea) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    found record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('sessile stage ' || current_schema(), 0));
    SELECT s.phase, s.move INTO found FROM store s;
    IF found.phase <> wanted OR (wanted_move IS NOT NULL AND found.move IS DISTINCT FROM wanted_move) THEN
        RAISE EXCEPTION '%', found.phase USING ERRCODE = 'SESTG';
    END IF;
END
$body$;
"#;

/// Brings the schema to the version that `steps` lead to, in one transaction: killed at any point, it is either as it
/// was or done. Of many that start at once, one does it and the others wait for it (S22).
pub(super) async fn migrate(client: &Client, schema: &SchemaName, steps: &[&str]) -> Result<(), StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    // A start on a schema that is up to date asks for no right to change it.
    if is_current(version(client, schema).await?, known)? {
        return Ok(());
    }
    execute(client, "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '60s'").await?;
    match bring_up(client, schema, steps, known).await {
        Ok(()) => execute(client, "COMMIT").await,
        Err(fault) => {
            // The connection is given up, which does the same if this cannot be said any more.
            let _ = client.batch_execute("ROLLBACK").await;
            Err(fault)
        }
    }
}

async fn bring_up(client: &Client, schema: &SchemaName, steps: &[&str], known: i64) -> Result<(), StoreError> {
    let quoted = schema.quoted();
    execute(client, &format!("SELECT pg_advisory_xact_lock(hashtextextended('sessile schema {schema}', 0))")).await?;
    let found = version(client, schema).await?;
    if is_current(found, known)? {
        return Ok(());
    }
    // `CREATE SCHEMA IF NOT EXISTS` would demand the right to create one even if there is no need.
    if !exists(client, &format!("SELECT FROM pg_namespace WHERE nspname = '{schema}'")).await? {
        execute(client, &format!("CREATE SCHEMA {quoted}")).await?;
    }
    execute(client, &format!("SET LOCAL search_path = {quoted}")).await?;
    let done = usize::try_from(found.unwrap_or(0)).unwrap_or(0);
    if found.is_none() {
        let table =
            "CREATE TABLE schema_version (one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
            INSERT INTO schema_version (version) VALUES (0)";
        execute(client, table).await?;
    }
    for step in steps.iter().skip(done) {
        execute(client, step).await?;
    }
    execute(client, &format!("UPDATE schema_version SET version = {known}")).await
}

/// The version of the schema; `None` if there is none of ours.
async fn version(client: &Client, schema: &SchemaName) -> Result<Option<i64>, StoreError> {
    // Reads the catalogue's tables: the names that a session remembers may be those of before it waited for the lock.
    let table = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'schema_version' AND n.nspname = ";
    if !exists(client, &format!("{table} '{schema}'")).await? {
        return Ok(None);
    }
    let table = format!("{}.schema_version", schema.quoted());
    let rows = client.query_typed(&format!("SELECT version FROM {table}"), &[]).await.map_err(|e| not_done(&e))?;
    let missing = || StoreError::Corrupt(format!("the table {table} has lost its row"));
    let row = rows.first().ok_or_else(missing)?;
    super::row::get(row, 0).map(Some)
}

fn is_current(found: Option<i64>, known: i64) -> Result<bool, StoreError> {
    match found {
        Some(found) if found > known => Err(StoreError::NewerSchema { found, known }),
        found => Ok(found == Some(known)),
    }
}

async fn exists(client: &Client, what: &str) -> Result<bool, StoreError> {
    client.query_typed(what, &[]).await.map(|rows| !rows.is_empty()).map_err(|e| not_done(&e))
}

async fn execute(client: &Client, sql: &str) -> Result<(), StoreError> {
    client.batch_execute(sql).await.map_err(|e| not_done(&e))
}

// Whatever stops it, the transaction did not happen; a COMMIT that got no answer is seen at the next start.
fn not_done(error: &tokio_postgres::Error) -> StoreError {
    match fault(error, WriteOutcome::NotDone) {
        StoreError::Unavailable { .. } | StoreError::Internal(_) | StoreError::Corrupt(_) => {
            StoreError::not_done(format!(
                "the tables could not be set up: {}. The role needs the right to create a schema in the database, or to own the one that is there",
                describe(error)
            ))
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "../../tests/suite/postgres_world.rs"]
#[allow(dead_code)] // The rest of it serves the tests from outside.
mod postgres_world;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::postgres_world::shared;
    use super::*;

    const NEXT: &str = "CREATE TABLE notes (text text NOT NULL); INSERT INTO notes VALUES ('kept');
        ALTER TABLE accounts ADD COLUMN note text;";

    fn schema(name: &str) -> SchemaName {
        name.parse().unwrap()
    }

    async fn text(client: &Client, sql: &str) -> String {
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn tables(client: &Client, schema: &SchemaName) -> i64 {
        let sql = format!("SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}'");
        client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// S22: each version leads to the newest, and what was there stays; a newer one is refused.
    #[tokio::test]
    async fn older_versions_are_brought_up() {
        let (client, schema) = (shared().client().await, schema("older"));
        migrate(&client, &schema, STEPS).await.unwrap();
        let epoch = "SELECT encode(epoch, 'hex') FROM older.feed_head";
        let before = text(&client, epoch).await;
        migrate(&client, &schema, &[V1, V2, NEXT]).await.unwrap();
        assert_eq!((version(&client, &schema).await.unwrap(), text(&client, epoch).await), (Some(3), before));
        // Done is done: a second start runs nothing.
        migrate(&client, &schema, &[V1, V2, NEXT]).await.unwrap();
        assert_eq!(text(&client, "SELECT count(*)::text FROM older.notes").await, "1");
        let refused = migrate(&client, &schema, STEPS).await.unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 3, known: 2 }), "{refused}");
    }

    /// S22: a step that fails leaves nothing behind, neither of itself nor of the steps before it.
    #[tokio::test]
    async fn a_failed_step_undoes_them_all() {
        let (client, schema) = (shared().client().await, schema("failing"));
        let failing = [V1, V2, NEXT, "CREATE TABLE half (one int); INSERT INTO nowhere VALUES (1);"];
        migrate(&client, &schema, &failing).await.unwrap_err();
        assert_eq!((version(&client, &schema).await.unwrap(), tables(&client, &schema).await), (None, 0));
        // Negative control: without the fault the same steps go through.
        migrate(&client, &schema, &failing[..3]).await.unwrap();
        assert_eq!(version(&client, &schema).await.unwrap(), Some(3));
    }

    /// S22: of many that start at once on an old schema, one migrates; the steps would fail if run twice.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_of_many_migrates() {
        migrate(&shared().client().await, &schema("many"), STEPS).await.unwrap();
        let mut starting = JoinSet::new();
        for _ in 0..5 {
            starting.spawn(async { migrate(&shared().client().await, &schema("many"), &[V1, V2, NEXT]).await });
        }
        for ended in starting.join_all().await {
            ended.unwrap();
        }
        assert_eq!(text(&shared().client().await, "SELECT count(*)::text FROM many.notes").await, "1");
    }

    /// S22: cut off between two steps, the schema is as it was before the first, and the next start does them all.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn cut_off_while_migrating_nothing_is_half_done() {
        let (client, schema) = (shared().client().await, schema("cut_off"));
        let migrating = tokio::spawn({
            let schema = schema.clone();
            async move {
                migrate(&shared().client().await, &schema, &[V1, V2, NEXT, "SELECT pg_sleep(60), 'cut_off'"]).await
            }
        });
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60), ''cut_off''%'";
        let begun = Instant::now();
        while client.execute(cut, &[]).await.unwrap() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it never came to the last step");
            sleep(Duration::from_millis(20)).await;
        }
        migrating.await.unwrap().unwrap_err();
        assert_eq!((version(&client, &schema).await.unwrap(), tables(&client, &schema).await), (None, 0));
        migrate(&client, &schema, &[V1, V2, NEXT]).await.unwrap();
        assert_eq!(version(&client, &schema).await.unwrap(), Some(3));
    }
}
