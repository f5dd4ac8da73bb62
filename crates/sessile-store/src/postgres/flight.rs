//! A transaction that is sent whole: BEGIN, its statements and COMMIT leave together, before the first answer is
//! awaited.
//!
//! This costs one round trip, however many statements there are. Above all, no lock is ever held while a client
//! thinks or a packet travels: a node that stalls or dies in the middle of a verb holds up nobody.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

/// One statement with its parameters.
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    pub(super) parameters: Vec<(&'a (dyn ToSql + Sync), Type)>,
}

/// `statement!(SQL, one, two)`: the statement with `one` for `$1` and `two` for `$2`.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::postgres::flight::Statement {
            sql: $sql,
            parameters: vec![$($crate::postgres::flight::parameter(&$value)),*],
        }
    };
}
pub(super) use statement;

pub(super) fn parameter<T: super::row::Parameter>(value: &T) -> (&(dyn ToSql + Sync), Type) {
    (value, T::TYPE)
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// How many rows it wrote or read.
    pub(super) affected: u64,
}

/// Where a transaction came to an end before its time.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) error: Error,
    /// Whether it was the COMMIT that failed: then it may have taken effect.
    pub(super) at_commit: bool,
}

/// Sends `begin`, the statements and COMMIT, and waits for all of the answers.
pub(super) async fn fly(client: &Client, begin: &str, statements: &[Statement<'_>]) -> Result<Vec<Answer>, Stopped> {
    let mut sent: Vec<Slot<'_>> = Vec::with_capacity(statements.len() + 2);
    sent.push(Slot::Waiting(Box::pin(plain(client, begin))));
    sent.extend(statements.iter().map(|statement| Slot::Waiting(Box::pin(typed(client, statement)))));
    sent.push(Slot::Waiting(Box::pin(plain(client, "COMMIT"))));
    let commit = sent.len() - 1;
    let mut answers = Vec::with_capacity(sent.len());
    for (place, answer) in InOrder(sent).await.into_iter().enumerate() {
        // What follows the first failure failed because of it.
        answers.push(answer.map_err(|error| Stopped { error, at_commit: place == commit })?);
    }
    answers.pop();
    answers.remove(0);
    Ok(answers)
}

async fn plain(client: &Client, sql: &str) -> Result<Answer, Error> {
    client.batch_execute(sql).await.map(|()| Answer::default())
}

async fn typed(client: &Client, statement: &Statement<'_>) -> Result<Answer, Error> {
    let parameters = statement.parameters.iter().map(|(value, kind)| (*value, kind.clone()));
    let stream = client.query_typed_raw(statement.sql, parameters).await?;
    pin_mut!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    Ok(Answer { rows, affected: stream.rows_affected().unwrap_or(0) })
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

enum Slot<'a> {
    Waiting(Answering<'a>),
    Done(Result<Answer, Error>),
}

// The driver sends a request when its future is first polled. Polling them in their order therefore sends them in
// their order, all before anything is answered; a combinator that promises no order would not do.
struct InOrder<'a>(Vec<Slot<'a>>);

impl Future for InOrder<'_> {
    type Output = Vec<Result<Answer, Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut all = true;
        for slot in &mut self.0 {
            if let Slot::Waiting(answering) = slot {
                match answering.as_mut().poll(cx) {
                    Poll::Ready(answer) => *slot = Slot::Done(answer),
                    Poll::Pending => all = false,
                }
            }
        }
        if !all {
            return Poll::Pending;
        }
        let done = |slot| match slot {
            Slot::Done(answer) => Some(answer),
            Slot::Waiting(_) => None,
        };
        Poll::Ready(std::mem::take(&mut self.0).into_iter().filter_map(done).collect())
    }
}
