//! Every error a server can answer with, from one that is made up: unavailable, never "gone" (S6).

use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::fakes::FakeRedis;
use sessile_store::redis::{ConnectError, RedisStore, Unfit};
use sessile_store::{Sessions, StoreError, WriteOutcome};

use crate::redis_world::options;
use crate::world::{START, new_session};

/// What opening a store answers: a history that is there.
const OPENED: &str = "*4\r\n$1\r\n1\r\n$32\r\n00112233445566778899aabbccddeeff\r\n$1\r\n0\r\n$0\r\n\r\n";

async fn connect(fake: &FakeRedis) -> Result<RedisStore, ConnectError> {
    RedisStore::connect(&fake.url().parse().unwrap(), options()).await
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    NotDone,
    Unknown,
    Full,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_mean_unavailable() {
    use Means::{Full, NotDone, Unknown};
    let table = [
        (Some("LOADING Redis is loading the dataset in memory"), NotDone, false),
        (Some("READONLY You can't write against a read only replica."), NotDone, true),
        (Some("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), NotDone, true),
        (Some("NOAUTH Authentication required."), NotDone, true),
        (Some("NOPERM User default has no permissions to run the 'evalsha' command"), NotDone, false),
        (Some("BUSY Redis is busy running a script."), NotDone, false),
        (
            Some("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"),
            NotDone,
            false,
        ),
        (Some("OOM command not allowed when used memory > 'maxmemory'."), Full, false),
        (
            Some("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"),
            Full,
            false,
        ),
        (Some("NOREPLICAS Not enough good replicas to write."), NotDone, false),
        (Some("CLUSTERDOWN The cluster is down"), NotDone, false),
        (Some("TRYAGAIN Multiple keys request during rehashing of slot"), NotDone, false),
        (Some("MOVED 866 127.0.0.1:1"), NotDone, false),
        (
            Some("WRONGTYPE Operation against a key holding the wrong kind of value script: x, on @user_script:1."),
            Unknown,
            false,
        ),
        (Some("ERR user_script:1: something is nil"), Unknown, false),
        (None, Unknown, true),
    ];
    let fake = FakeRedis::start("7.2.4", OPENED);
    let store = connect(&fake).await.unwrap();
    let id = new_session("anna", START).session.id;
    for (error, meaning, reconnects) in table {
        fake.say(error.map(|error| format!("-{error}\r\n")).as_deref());
        let greeted = fake.greeted();
        let write = store.revoke(&Scope::Session(id), Reason::SignOut, START).await.unwrap_err();
        let found = match &write {
            StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. } => NotDone,
            StoreError::Unavailable { outcome: WriteOutcome::Unknown, .. } => Unknown,
            StoreError::Full(_) => Full,
            other => panic!("{error:?}: {other}"),
        };
        assert_eq!(found, meaning, "{error:?}: {write}");
        match store.load(id).await {
            Err(StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. }) => assert_ne!(meaning, Full),
            Err(StoreError::Full(_)) => assert_eq!(meaning, Full),
            other => panic!("{error:?}: a read came to {other:?}"),
        }
        assert_eq!(fake.greeted() > greeted, reconnects, "{error:?}: whether it reconnected");
        // The control: a server that answers "no such record" is believed.
        fake.say(Some("*-1\r\n"));
        assert_eq!(store.load(id).await.unwrap(), None, "after {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old() {
    for (version, taken) in [("6.2.14", false), ("", false), ("7.0.0", true), ("8.2.1", true)] {
        match connect(&FakeRedis::start(version, OPENED)).await {
            Ok(_) => assert!(taken, "{version}"),
            Err(ConnectError::Unfit { unfit: Unfit::TooOld(found), .. }) => assert!(!taken && found == version),
            Err(other) => panic!("{version}: {other}"),
        }
    }
}
