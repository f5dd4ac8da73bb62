//! Every error a server can answer with, from one that is made up: unavailable, never "gone" (S11 to S13).

use std::time::{Duration, Instant};

use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::fakes::{FakePostgres, Fault, Greeting, Says, Value, WRITE_COMMIT};
use sessile_store::postgres::{PostgresOptions, PostgresStore};
use sessile_store::{Sessions, StoreError, WriteOutcome};

use crate::postgres_world::{fresh_schema, patient};
use crate::world::{START, new_session};

const DELETE: &str = "DELETE FROM sessions";
const LOAD: &str = "FROM sessions WHERE id";

/// One that has our tables, and no session.
fn start() -> FakePostgres {
    let (text, yes) = (|text: &str| Value::Text(text.to_owned()), || Says::Rows(vec![vec![]]));
    let fake = FakePostgres::start();
    fake.always("SHOW transaction_read_only", Says::Rows(vec![vec![text("off")]]));
    fake.always("server_version_num", Says::Rows(vec![vec![Value::Int4(150_000), text("15.0"), text("UTF8")]]));
    fake.always("FROM pg_class", yes());
    fake.always("SELECT version FROM", Says::Rows(vec![vec![Value::Int8(2)]]));
    fake.always("SELECT phase, move FROM store", Says::Rows(vec![vec![text("serving"), Value::Null]]));
    fake.always("pg_is_in_recovery", Says::Rows(vec![vec![Value::Bool(false)]]));
    fake.always("SELECT seq FROM feed_head", Says::Rows(vec![vec![Value::Int8(0)]]));
    let state = vec![Value::Bytea(vec![7; 16]), Value::Int8(0), text("on"), text("on"), text("")];
    fake.always("current_setting('fsync')", Says::Rows(vec![state]));
    fake
}

async fn connect(fake: &FakePostgres) -> Result<PostgresStore, StoreError> {
    PostgresStore::connect(&fake.url().parse().unwrap(), patient(&fresh_schema())).await
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    NotDone,
    Unknown,
    Full,
    Corrupt,
    Internal,
}

fn meaning(fault: &StoreError) -> Means {
    match fault {
        StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. } => Means::NotDone,
        StoreError::Unavailable { outcome: WriteOutcome::Unknown, .. } => Means::Unknown,
        StoreError::Full(_) => Means::Full,
        StoreError::Corrupt(_) => Means::Corrupt,
        StoreError::Internal(_) => Means::Internal,
        other => panic!("{other}"),
    }
}

/// What a write that met it is known to have come to, at a statement and at its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_mean_unavailable() {
    use Means::{Corrupt, Full, Internal, NotDone, Unknown};
    let (error, fatal) = (|code| Says::Error(Fault::error(code)), |code| Says::Error(Fault::fatal(code)));
    let table = [
        // Two were in each other's way (S11).
        (error("40001"), NotDone, NotDone),
        (error("40P01"), NotDone, NotDone),
        // No connection, no memory, no lock to be had; too late; told to stop (S12).
        (error("53300"), NotDone, NotDone),
        (fatal("53300"), NotDone, Unknown),
        (error("53200"), NotDone, NotDone),
        (error("55P03"), NotDone, NotDone),
        (error("57014"), NotDone, NotDone),
        (fatal("25P03"), NotDone, Unknown),
        (error("42501"), NotDone, NotDone),
        // It takes no writes, ends, or begins (S13).
        (error("25006"), NotDone, NotDone),
        (fatal("57P01"), NotDone, Unknown),
        (fatal("57P02"), NotDone, Unknown),
        (fatal("57P03"), NotDone, Unknown),
        // Connections of somebody in between broke, while the commit was on its way with the rest.
        (error("08006"), Unknown, Unknown),
        (fatal("08006"), Unknown, Unknown),
        (fatal("08P01"), Unknown, Unknown),
        (error("08007"), Unknown, Unknown),
        (error("40003"), Unknown, Unknown),
        (Says::HangUp, Unknown, Unknown),
        // Disk and data.
        (error("53100"), Full, Full),
        (error("58030"), NotDone, NotDone),
        (error("XX000"), NotDone, NotDone),
        (error("XX001"), Corrupt, Corrupt),
        (error("42P01"), Corrupt, Corrupt),
        (error("23505"), Internal, Internal),
        (error("42601"), Internal, Internal),
        // Of no class we know.
        (error("ZZ999"), NotDone, NotDone),
    ];
    let fake = start();
    let store = connect(&fake).await.unwrap();
    let id = new_session("anna", START).session.id;
    for (says, at_statement, at_commit) in table {
        for (place, right) in [(DELETE, at_statement), (WRITE_COMMIT, at_commit)] {
            fake.always(place, says.clone());
            let write = store.revoke(&Scope::Session(id), Reason::SignOut, START).await.unwrap_err();
            assert_eq!(meaning(&write), right, "{says:?} at {place}: {write}");
            fake.always(place, Says::Rows(vec![]));
        }
        fake.always(LOAD, says.clone());
        let read = store.load(id).await.expect_err("gone");
        // A read changes nothing, whatever becomes of it.
        let right = if at_statement == Unknown { NotDone } else { at_statement };
        assert_eq!(meaning(&read), right, "{says:?}: a read: {read}");
        // The control: a server that answers "no such record" is believed.
        fake.always(LOAD, Says::Rows(vec![]));
        assert_eq!(store.load(id).await.unwrap(), None, "after {says:?}");
        assert_eq!(store.revoke(&Scope::Session(id), Reason::SignOut, START).await.unwrap().ended, []);
    }
}

/// S11: what collided is tried again, three times; the control: what did not is not, and a fourth time neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collisions_are_tried_again() {
    let fake = start();
    let store = connect(&fake).await.unwrap();
    let id = new_session("anna", START).session.id;
    for (code, place, times, tried, succeeds) in [
        ("40001", DELETE, 3, 4, true),
        ("40P01", DELETE, 3, 4, true),
        ("40001", WRITE_COMMIT, 3, 4, true),
        ("40001", DELETE, 1, 2, true),
        ("40001", DELETE, 4, 4, false),
        ("40P01", DELETE, 4, 4, false),
        ("55P03", DELETE, 1, 1, false),
    ] {
        fake.reset();
        fake.for_times(times, place, Says::Error(Fault::error(code)));
        let revoked = store.revoke(&Scope::Session(id), Reason::SignOut, START).await;
        assert_eq!((revoked.is_ok(), fake.asked(DELETE)), (succeeds, tried), "{code} {times} times: {revoked:?}");
    }
    for (times, succeeds) in [(1, true), (2, false)] {
        fake.reset();
        fake.for_times(times, LOAD, Says::Error(Fault::error("40001")));
        assert_eq!(store.load(id).await.is_ok(), succeeds, "a read that collided {times} times");
    }
}

/// S1, S12, S13: refused at the door, with the code in the reason; the control: the same one when it opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_at_the_door() {
    let fake = start();
    for code in ["53300", "57P03", "57P01", "28P01", "3D000", "08006", "25006"] {
        fake.greet(Greeting::Refuse(Fault::fatal(code)));
        let refused = connect(&fake).await.unwrap_err();
        assert_eq!(meaning(&refused), Means::NotDone, "{code}: {refused}");
        assert!(refused.to_string().contains(code) && !refused.to_string().contains("secret"), "{refused}");
    }
    fake.greet(Greeting::Welcome);
    connect(&fake).await.unwrap();
}

/// L2: rows that are too short, and silence, are faults in good time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_talks_nonsense() {
    let fake = start();
    let options = PostgresOptions {
        read_deadline: Duration::from_millis(300),
        write_deadline: Duration::from_millis(300),
        ..patient(&fresh_schema())
    };
    let store = PostgresStore::connect(&fake.url().parse().unwrap(), options).await.unwrap();
    let id = new_session("anna", START).session.id;
    for says in [Says::ShortRow, Says::Silence] {
        fake.always(LOAD, says.clone());
        fake.always(DELETE, says.clone());
        assert_eq!(meaning(&store.load(id).await.unwrap_err()), Means::NotDone, "{says:?}");
        let write = store.revoke(&Scope::Session(id), Reason::SignOut, START).await.unwrap_err();
        assert_eq!(meaning(&write), Means::Unknown, "{says:?}: {write}");
        fake.always(LOAD, Says::Rows(vec![]));
        fake.always(DELETE, Says::Rows(vec![]));
        let begun = Instant::now();
        while store.load(id).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no recovery after {says:?}");
        }
    }
}

/// L2: a server that asks for two thousand million hashes gets none. The control: at the usual number the client hashes, and
/// hears that its password is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_too_many_hashes() {
    let fake = start();
    for (iterations, hashes, why) in [(1 << 31, 0, "iteration"), (4096, 1, "28P01")] {
        fake.greet(Greeting::Scram { iterations });
        let refused = connect(&fake).await.unwrap_err();
        assert_eq!((meaning(&refused), fake.proofs()), (Means::NotDone, hashes), "{iterations}: {refused}");
        assert!(refused.to_string().contains(why), "{iterations}: {refused}");
    }
}
