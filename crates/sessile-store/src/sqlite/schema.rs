//! The tables, and the way from any older version to them.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::fault;
use crate::error::{StoreError, WriteOutcome};

/// `SESL`, so that a database of another program is never mistaken for ours.
pub(super) const APPLICATION_ID: i64 = 0x5345_534c;

/// Step n leads from schema version n to n + 1. A step that was ever released is never edited.
pub(super) const STEPS: &[&str] = &[V1, V2, V3];

const V1: &str = "
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch BLOB NOT NULL,
    witness BLOB
) STRICT;
INSERT INTO store (one, epoch) VALUES (1, randomblob(16));

CREATE TABLE sessions (
    id BLOB PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL,
    storage TEXT NOT NULL,
    remember INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    absolute_end INTEGER NOT NULL,
    idle INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    client TEXT NOT NULL,
    sealed BLOB NOT NULL,
    over_bucket INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_subject ON sessions (subject);
CREATE INDEX sessions_by_end ON sessions (over_bucket);

CREATE TABLE feed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    session BLOB,
    reason TEXT
) STRICT;

CREATE TABLE signing_keys (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    revoked_at INTEGER,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE accounts (
    name TEXT PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    password_set_at INTEGER NOT NULL,
    disabled_at INTEGER,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE failures (
    key BLOB PRIMARY KEY NOT NULL,
    count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    subject TEXT,
    session BLOB,
    client TEXT,
    request TEXT
) STRICT;
";

const V2: &str = "
CREATE TABLE tokens (
    id BLOB PRIMARY KEY NOT NULL,
    session BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_session ON tokens (session);
";

const V3: &str = "
ALTER TABLE store ADD COLUMN phase TEXT NOT NULL DEFAULT 'serving';
ALTER TABLE store ADD COLUMN move BLOB;
";

/// Brings the database to the version that `steps` lead to, in one transaction: killed at any point, it is either
/// as it was or done. Of several processes at once, one does it and the others find it done (S22).
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if version(connection)? == known {
        return Ok(());
    }
    let sql = |error: rusqlite::Error| fault(&error, WriteOutcome::NotDone);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    let done = usize::try_from(found).map_err(|_| StoreError::Corrupt(format!("schema version {found}")))?;
    for step in &steps[done..] {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    transaction.pragma_update(None, "user_version", known).map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| fault(&error, WriteOutcome::NotDone))
}

#[cfg(test)]
mod tests {
    //! The machinery, with steps that no release has: it works on connections, which are private.

    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Barrier;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const NEXT: &str = "CREATE TABLE notes (text TEXT NOT NULL) STRICT; INSERT INTO notes VALUES ('kept');
         ALTER TABLE accounts ADD COLUMN note TEXT;";
    // Takes minutes; long enough to be killed in.
    const ENDLESS: &str = "CREATE TABLE counted AS
         WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 10000000000) SELECT max(n) FROM count;";

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection
    }

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// S22: each version leads to the newest, and what was there stays.
    #[test]
    fn older_versions_are_brought_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        migrate(&mut open(&path), STEPS).unwrap();
        let epoch = |connection: &Connection| -> Vec<u8> {
            connection.query_row("SELECT epoch FROM store", [], |row| row.get(0)).unwrap()
        };
        let before = epoch(&open(&path));
        let mut connection = open(&path);
        migrate(&mut connection, &[V1, V2, V3, NEXT]).unwrap();
        assert_eq!((version(&connection).unwrap(), epoch(&connection)), (4, before));
        assert!(tables(&connection).contains(&"notes".to_owned()));
        // Done is done: a second start runs nothing.
        migrate(&mut connection, &[V1, V2, V3, NEXT]).unwrap();
        let refused = migrate(&mut connection, STEPS).unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 4, known: 3 }), "{refused}");
    }

    /// S22: a step that fails leaves nothing behind, neither of itself nor of the steps before it.
    #[test]
    fn a_failed_step_undoes_them_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        migrate(&mut open(&path), STEPS).unwrap();
        let before = tables(&open(&path));
        let failing = [V1, V2, V3, NEXT, "CREATE TABLE half (one); INSERT INTO nowhere VALUES (1);"];
        migrate(&mut open(&path), &failing).unwrap_err();
        assert_eq!((version(&open(&path)).unwrap(), tables(&open(&path))), (3, before));
        // Negative control: without the fault the same steps go through.
        migrate(&mut open(&path), &failing[..4]).unwrap();
        assert_eq!(version(&open(&path)).unwrap(), 4);
    }

    /// S22: of many that start at once on an old schema, one migrates; the steps would fail if run twice.
    #[test]
    fn one_of_many_migrates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        migrate(&mut open(&path), STEPS).unwrap();
        let barrier = Barrier::new(5);
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let mut connection = open(&path);
                    barrier.wait();
                    migrate(&mut connection, &[V1, V2, V3, NEXT]).unwrap();
                    assert_eq!(version(&connection).unwrap(), 4);
                });
            }
        });
        let notes: i64 = open(&path).query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap();
        assert_eq!(notes, 1);
    }

    /// S22: killed between two steps, the store is as it was before the first, and the next start does them all.
    #[test]
    fn killed_while_migrating_nothing_is_half_done() {
        const CHILD: &str = "SESSILE_TEST_MIGRATING";
        if let Some(path) = std::env::var_os(CHILD) {
            migrate(&mut open(Path::new(&path)), &[V1, V2, V3, NEXT, ENDLESS]).unwrap();
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        migrate(&mut open(&path), STEPS).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::schema::tests::killed_while_migrating_nothing_is_half_done"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It is within its transaction once nobody else can begin one.
        let begun = Instant::now();
        let other = open(&path);
        other.busy_timeout(Duration::ZERO).unwrap();
        while other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the child never began");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut connection = open(&path);
        assert_eq!(version(&connection).unwrap(), 3);
        assert!(!tables(&connection).contains(&"notes".to_owned()));
        migrate(&mut connection, &[V1, V2, V3, NEXT]).unwrap();
        assert_eq!(version(&connection).unwrap(), 4);
    }
}
