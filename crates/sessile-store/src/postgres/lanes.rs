//! How an operation reaches the database: over which connection, by when, and what is known if it does not.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::Opener;
use super::fault::{Class, class, fault, outcome};
use super::flight::{Answer, Statement, Stopped, fly, statement};
use super::moves;
use super::pool::{Lease, Pool};
use super::server::{in_recovery, miscounted, refuse_standby};
use super::{PostgresOptions, SchemaName};
use crate::contract::PATIENCE_FOR_ALL;
use crate::error::{StoreError, WriteOutcome};

/// How often a collision is tried again (S11).
const RETRIES: u32 = 3;

/// The ways to the database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    opener: Arc<Opener>,
    common: Arc<Pool>,
    reserve: Arc<Pool>,
    schema: SchemaName,
    read_deadline: Duration,
    write_deadline: Duration,
}

impl Lanes {
    pub(super) fn new(opener: &Arc<Opener>, runtime: &Handle, options: &PostgresOptions) -> Self {
        let pool = |most| Pool::new(opener.clone(), runtime.clone(), most);
        Self {
            opener: opener.clone(),
            common: pool(usize::try_from(options.connections).unwrap_or(usize::MAX)),
            reserve: pool(1),
            schema: options.schema.clone(),
            read_deadline: options.read_deadline,
            write_deadline: options.write_deadline,
        }
    }

    /// The connection held back, so that sessions can be ended whatever else is asked for.
    pub(super) fn reserve(&self) -> &Arc<Pool> {
        &self.reserve
    }

    pub(super) fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(super) fn schema(&self) -> &SchemaName {
        &self.schema
    }

    /// Reads, all of one instant, from the primary.
    pub(super) async fn read(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        let mut guarded = vec![in_recovery()];
        guarded.extend(statements.iter().map(again));
        let deadline = Instant::now() + self.read_deadline;
        let mut again = true;
        loop {
            let lease = within(deadline, self.common.lease(), self.read_deadline).await?;
            let begin = self.begin_read(deadline - Instant::now());
            match timeout_at(deadline, fly(&lease.client, &begin, &guarded)).await {
                Ok(Ok(mut answers)) => {
                    if answers.is_empty() {
                        return Err(miscounted());
                    }
                    if let Err(standby) = refuse_standby(answers.remove(0).rows.first()) {
                        self.leave(lease);
                        return Err(standby);
                    }
                    return Ok(answers);
                }
                Ok(Err(stopped)) => {
                    let fault = fault(&stopped.error, WriteOutcome::NotDone);
                    match class(&stopped.error) {
                        // An idle connection whose server went away is noticed when it is used. A read may be repeated.
                        Class::Lost if again => lease.discard(),
                        Class::Collided if again => {}
                        Class::ReadOnly => {
                            self.leave(lease);
                            return Err(fault);
                        }
                        Class::Lost | Class::Collided | Class::Transaction => return Err(fault),
                    }
                    again = false;
                }
                Err(_) => {
                    lease.discard();
                    return Err(late("a read", self.read_deadline, WriteOutcome::NotDone));
                }
            }
        }
    }

    /// Reads what says who is signed in, if the store's phase lets it say so.
    pub(super) async fn answer(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        let mut asked = vec![statement!(moves::STAGE)];
        asked.extend(statements.iter().map(again));
        let mut answers = self.read(&asked).await?;
        let phase = moves::stage_of(answers.first())?.phase;
        if !phase.answers() {
            return Err(StoreError::NotServing(phase));
        }
        answers.remove(0);
        Ok(answers)
    }

    /// Writes: all of the statements or none; none if the store does not serve.
    pub(super) async fn write(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.commit_if_serving(&self.common, self.write_deadline, statements).await
    }

    /// Writes whatever the store's phase is.
    pub(super) async fn write_always(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.commit(&self.common, self.write_deadline, statements).await
    }

    /// Writes over the reserve: for what ends something. A flood of sign-ins never stands before a revocation (L3, S12).
    pub(super) async fn end(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.commit_if_serving(&self.reserve, self.write_deadline, statements).await
    }

    /// The same, for what may touch every record.
    pub(super) async fn end_all(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.commit_if_serving(&self.reserve, self.write_deadline * PATIENCE_FOR_ALL, statements).await
    }

    /// The same, whatever the store's phase is.
    pub(super) async fn change_all(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.commit(&self.reserve, self.write_deadline * PATIENCE_FOR_ALL, statements).await
    }

    async fn commit_if_serving(
        &self,
        pool: &Arc<Pool>,
        patience: Duration,
        statements: &[Statement<'_>],
    ) -> Result<Vec<Answer>, StoreError> {
        let mut guarded = vec![statement!("SELECT require_stage('serving', NULL)")];
        guarded.extend(statements.iter().map(again));
        let mut answers = self.commit(pool, patience, &guarded).await?;
        if answers.is_empty() {
            return Err(miscounted());
        }
        answers.remove(0);
        Ok(answers)
    }

    async fn commit(
        &self,
        pool: &Arc<Pool>,
        patience: Duration,
        statements: &[Statement<'_>],
    ) -> Result<Vec<Answer>, StoreError> {
        let deadline = Instant::now() + patience;
        let mut tries = 0;
        loop {
            let lease = self.lease(pool, deadline, patience).await?;
            let begin = self.begin_write(deadline - Instant::now());
            match timeout_at(deadline, fly(&lease.client, &begin, statements)).await {
                Ok(Ok(answers)) if !lease.is_doubtful() => return Ok(answers),
                Ok(Ok(_)) => {
                    lease.discard();
                    let why = "the server acknowledged a write before its replicas did".to_owned();
                    return Err(StoreError::Unavailable { why, outcome: WriteOutcome::Unknown });
                }
                Ok(Err(stopped)) => {
                    let tell = |stopped: &Stopped| fault(&stopped.error, outcome(stopped));
                    match class(&stopped.error) {
                        Class::Collided if tries < RETRIES => drop(lease),
                        Class::ReadOnly => {
                            self.leave(lease);
                            return Err(tell(&stopped));
                        }
                        Class::Lost => {
                            lease.discard();
                            return Err(tell(&stopped));
                        }
                        Class::Collided | Class::Transaction => return Err(tell(&stopped)),
                    }
                }
                Err(_) => {
                    lease.discard();
                    return Err(late("a write", patience, WriteOutcome::Unknown));
                }
            }
            tries += 1;
            sleep(jitter(tries)).await;
        }
    }

    // If there is no opening the reserve, the others may still be open.
    async fn lease(&self, pool: &Arc<Pool>, deadline: Instant, patience: Duration) -> Result<Lease, StoreError> {
        match within(deadline, pool.lease(), patience).await {
            Err(_) if Arc::ptr_eq(pool, &self.reserve) => within(deadline, self.common.lease(), patience).await,
            leased => leased,
        }
    }

    // The server behind these connections takes no writes: the next ones look for one that does.
    fn leave(&self, lease: Lease) {
        lease.discard();
        self.common.forget_idle();
        self.reserve.forget_idle();
    }

    /// Begins a read. Settings are of the transaction alone, and end with it.
    pub(super) fn begin_read(&self, left: Duration) -> String {
        self.begin("REPEATABLE READ, READ ONLY", left)
    }

    // Without READ WRITE: a server that was told to stand still is not overruled.
    fn begin_write(&self, left: Duration) -> String {
        self.begin("READ COMMITTED", left)
    }

    // The server gives up when we do. It would otherwise hold locks, and connections that we count as closed.
    fn begin(&self, mode: &str, left: Duration) -> String {
        // Zero would mean no limit.
        let millis = left.as_millis().max(1);
        format!(
            "BEGIN ISOLATION LEVEL {mode}; SET LOCAL search_path = {}; SET LOCAL statement_timeout = {millis}; \
             SET LOCAL idle_in_transaction_session_timeout = {millis}",
            self.schema.quoted()
        )
    }
}

fn again<'a>(statement: &Statement<'a>) -> Statement<'a> {
    Statement { sql: statement.sql, parameters: statement.parameters.clone() }
}

async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, StoreError>>,
    patience: Duration,
) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::not_done(format!("no connection was free within {patience:?}")));
    timeout_at(deadline, work).await.unwrap_or_else(late)
}

fn late(what: &str, patience: Duration, outcome: WriteOutcome) -> StoreError {
    StoreError::Unavailable { why: format!("no answer to {what} within {patience:?}"), outcome }
}

// Two that collided must not meet again. The seed that std draws for each hash map is random enough for that.
fn jitter(tries: u32) -> Duration {
    Duration::from_millis(u64::from(tries) * 5 + RandomState::new().hash_one(tries) % 10)
}
