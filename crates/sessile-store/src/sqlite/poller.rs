//! Noticing what other processes write: SQLite tells nobody, so ask it twenty times a second.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::Position;
use super::connection::{Use, connect, position};
use super::files::Files;
use crate::error::StoreError;

const EVERY: Duration = Duration::from_millis(50);

/// Ends the thread between two looks.
#[derive(Debug, Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn within(&self, patience: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, patience, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

pub(super) fn start(
    files: Arc<Files>,
    seen: Arc<watch::Sender<Position>>,
) -> Result<(Arc<Stop>, JoinHandle<()>), StoreError> {
    let stop = Arc::new(Stop::default());
    let stopped = stop.clone();
    let thread = Builder::new()
        .name("sessile-poll".to_owned())
        .spawn(move || {
            let mut watched = None;
            while !stopped.within(EVERY) {
                look(&files, &mut watched, &seen);
            }
        })
        .map_err(|fault| StoreError::Internal(format!("a thread could not be started: {fault}")))?;
    Ok((stop, thread))
}

// A fault is not reported from here: whoever reads or writes meets it and says so.
fn look(files: &Files, watched: &mut Option<(Connection, Option<i64>)>, seen: &watch::Sender<Position>) {
    if watched.is_none() {
        *watched = connect(files, Use::Read).ok().map(|connection| (connection, None));
    }
    let Some((connection, last)) = watched else {
        return;
    };
    match changed_position(connection, last) {
        Ok(None) => {}
        Ok(Some(position)) => publish(seen, position),
        Err(_) => *watched = None,
    }
}

fn changed_position(connection: &Connection, last: &mut Option<i64>) -> rusqlite::Result<Option<Position>> {
    let version: i64 = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
    if *last == Some(version) {
        return Ok(None);
    }
    let position = position(connection)?;
    *last = Some(version);
    Ok(Some(position))
}

/// Tells those who wait. Within one history the position never goes back, whoever is slow to report it.
pub(super) fn publish(seen: &watch::Sender<Position>, position: Position) {
    seen.send_if_modified(|known| {
        let news = known.0 != position.0 || known.1 < position.1;
        if news {
            *known = position;
        }
        news
    });
}
