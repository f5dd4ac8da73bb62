//! Waits for the feed on a connection of its own, so that a revocation of another node is heard at once.
//!
//! It only wakes; what happened is read by [`feed`](crate::Feed::feed). Whoever waits is woken each second in any case.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Value};
use sessile_core::revocation::{Epoch, Seq};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::link::{Connection, Link};
use super::reply;

/// As much of a second as the server may keep the connection waiting.
const BLOCK: Duration = Duration::from_millis(900);
// For what takes no longer than that unless the connection is dead.
const PATIENCE: Duration = Duration::from_secs(4);
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
// Two questions are at least so far apart: what is appended meanwhile is heard of together. After a quiet moment at once.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn follow(link: Arc<Link>, position: Arc<watch::Sender<(Epoch, Seq)>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Ok(Ok(mut connection)) = timeout(PATIENCE, link.dial()).await {
            // The position is published first, so whoever missed something while there was no connection wakes.
            let mut looked = Instant::now();
            while let Ok(Ok(())) = timeout(PATIENCE, once(&link, &mut connection, &position)).await {
                pause = FIRST_PAUSE;
                if looked.elapsed() >= BETWEEN_LOOKS {
                    let Ok(Ok(())) = timeout(PATIENCE, link.look_again(&mut connection)).await else { break };
                    looked = Instant::now();
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn once(link: &Link, connection: &mut Connection, position: &watch::Sender<(Epoch, Seq)>) -> RedisResult<()> {
    let asked = Instant::now();
    let mut where_it_stands = redis::cmd("HMGET");
    where_it_stands.arg(link.key("store")).arg("epoch").arg("head");
    let head = publish(connection.send(&where_it_stands).await?, position);
    let mut wait = redis::cmd("XREAD");
    wait.arg("COUNT").arg(1).arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX));
    wait.arg("STREAMS").arg(link.key("feed")).arg(format!("{head}-0"));
    // What it answers is of no interest, only that it does.
    connection.send(&wait).await?;
    // Not `sleep` for what is left: even of no time at all it comes back only with the timer's next millisecond.
    sleep_until(asked + BETWEEN_QUESTIONS).await;
    Ok(())
}

// A store that lost everything has neither: that is a position too, and not the one anybody waits at.
fn publish(found: Value, position: &watch::Sender<(Epoch, Seq)>) -> u64 {
    let [epoch, head] = reply::exactly(found).unwrap_or([Value::Nil, Value::Nil]);
    let head = reply::number(head).unwrap_or(0);
    let new = (Epoch(reply::octets(epoch).unwrap_or_default()), Seq(head));
    position.send_if_modified(|seen| std::mem::replace(seen, new) != new);
    head
}
