//! The shared store for several nodes: PostgreSQL 14 or newer.
//!
//! ```no_run
//! # use sessile_store::postgres::{PostgresOptions, PostgresStore, PostgresUrl};
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! let url: PostgresUrl = "postgres://sessile@db.example.com/app?sslmode=verify-full".parse()?;
//! let store = PostgresStore::connect(&url, PostgresOptions::default()).await?;
//! # Ok(()) }
//! ```
//!
//! Its tables live in a schema of their own, beside an app's. The role must own that schema, or may create it.
//!
//! # How a verb runs
//!
//! Each verb is one transaction that leaves as a whole, from BEGIN to COMMIT, in one round trip (`flight`): no lock waits
//! for a packet. Rows are locked in the order of their ids, and the head of the feed last; so verbs do not block one
//! another in a circle. What collides all the same (40001, 40P01) is done again, three times at most (S11).
//!
//! # The feed does not skip
//!
//! A number drawn from a sequence becomes visible when its transaction commits, and transactions commit in any
//! order: a reader that saw 7 could meet 6 later, or never. So the numbers come from one row, `feed_head`. Whoever appends
//! has it locked from the moment it draws its numbers until its commit, and the next one draws after that: commits happen
//! in the order of the numbers. The lock is the last one taken, and is held for the end of one statement and the commit.
//! Pages are read at one instant (REPEATABLE READ).
//!
//! # What it notices, and what it cannot
//!
//! A node that is running notices a head that went back, and an epoch that changed: it compares each page with the
//! last one. At its start a store notices that its tables were carried to another database cluster, from a dump or by
//! `pg_upgrade` (the cluster's system identifier is kept beside the head), and says
//! [`Lost`](crate::Continuity::Lost); every session ends then. It does not notice an older dump that was put back into the same
//! cluster, nor a recovery to a point in time, nor a failover to a standby that was behind, if they happen while no node
//! runs. Run `sessile session revoke --all` after the first two; against the third there is synchronous replication, which
//! [`durability`](crate::Backend::durability) shows as [`Replicated`](crate::Durability::Replicated).
//!
//! # A move takes its turn
//!
//! Each write begins with `require_stage`, which holds an advisory lock shared until the commit and then looks at the
//! store's phase. A change of the phase holds the lock alone. It costs a write a few microseconds and no round trip, and
//! nobody has to wait until every node has heard of the new phase.
//!
//! # Poolers
//!
//! Between the store and the database there may be pgbouncer in transaction mode: there are no prepared statements
//! with names and no settings beyond a transaction. LISTEN does not work through it, so that news then comes by polling,
//! within a second, instead of at once. A pooler must lead to the primary: what is read from a standby is refused.
//!
//! Waiting for an answer uses tokio's timer: call from a runtime that has one. The connections themselves live on a
//! thread of the store's own, so they outlive the runtime that opened it.

mod accounts;
mod connection;
mod driver;
mod ending;
mod events;
mod fault;
mod feed;
mod flight;
mod keys;
mod lanes;
mod listener;
mod moves;
mod pool;
mod row;
mod schema;
mod server;
mod sessions;
mod store;
mod throttles;
mod tokens;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::revocation::{Epoch, Seq};

pub use url::{PostgresUrl, UrlRefused};

use crate::error::StoreError;
use connection::Opener;
use driver::Driver;
use lanes::Lanes;
use listener::News;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The schema its tables live in.
    pub schema: SchemaName,
    /// A file with the password, read again for each connection. Without one it is the URL's, and without that the
    /// environment's `PGPASSWORD`.
    pub password_file: Option<PathBuf>,
    /// How many connections serve requests. Two more are kept: one that is held back for ending sessions, and one that
    /// listens.
    pub connections: u32,
    /// How long a write may take, waiting included, before its caller is told that the outcome is unknown. Ending
    /// everything may take thirty times as long.
    pub write_deadline: Duration,
    /// How long a read may take, waiting included.
    pub read_deadline: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: SchemaName::default(),
            password_file: None,
            connections: 10,
            write_deadline: Duration::from_secs(2),
            read_deadline: Duration::from_millis(500),
        }
    }
}

/// The name of a schema: 1 to 48 characters out of `a`-`z`, `0`-`9` and `_`, none of the digits first, not beginning
/// with `pg_`. So it needs no folding, and its notifications' channel fits a name of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// As an identifier in a statement, even if it is a word of SQL.
    fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// The name of the notifications' channel.
    fn channel(&self) -> String {
        format!("\"{}_feed\"", self.0)
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("sessile".to_owned())
    }
}

impl FromStr for SchemaName {
    type Err = InvalidSchemaName;

    fn from_str(text: &str) -> Result<Self, InvalidSchemaName> {
        let allowed = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let begins = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit()) && !text.starts_with("pg_");
        if allowed && begins && text.len() <= 48 { Ok(Self(text.to_owned())) } else { Err(InvalidSchemaName) }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a name for a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a schema name has 1 to 48 characters out of a-z, 0-9 and _, no digit first, and does not begin with pg_")]
pub struct InvalidSchemaName;

type Position = (Epoch, Seq);

/// The shared store. Dropping it closes its connections.
#[derive(Debug)]
pub struct PostgresStore {
    lanes: Lanes,
    news: Arc<News>,
    // Last: what runs on it goes first.
    _driver: Driver,
}

impl PostgresStore {
    /// Connects, and makes the tables or brings them up to date.
    ///
    /// Fails if the database cannot be reached: whether to try again is the caller's decision, and the error says what
    /// was wrong. Fails for good if the tables are of a newer version of this program.
    pub async fn connect(url: &PostgresUrl, options: PostgresOptions) -> Result<Self, StoreError> {
        let driver = Driver::start()?;
        let opener = Arc::new(Opener::new(url, &options)?);
        let schema = options.schema.clone();
        let lanes = Lanes::new(&opener, driver.handle(), &options);
        let first = driver.run(async move {
            let connection = opener.open().await?;
            server::check(&connection.client, opener.place()).await?;
            schema::migrate(&connection.client, &schema, schema::STEPS).await?;
            Ok(connection)
        });
        lanes.reserve().adopt(first.await?);
        let state = server::state(&lanes.begin_read(Duration::from_secs(5)), &*lanes.reserve().lease().await?).await?;
        let news = Arc::new(News::new(state));
        driver.handle().spawn(listener::follow(lanes.clone(), news.clone(), options.schema));
        Ok(Self { lanes, news, _driver: driver })
    }
}
