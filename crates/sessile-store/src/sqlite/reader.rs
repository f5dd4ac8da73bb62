//! The threads that read. In WAL mode they neither wait for the writer nor hold it up.

use std::fmt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

use super::connection::{Use, connect};
use super::fault::{Class, class};
use super::files::Files;
use super::queue::{Lane, Queue, Refused};
use crate::error::StoreError;

const THREADS: usize = 2;

/// A read: given a connection, or why there is none, it answers its caller and says what became of the connection.
pub(super) type Read = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Health + Send>;

/// Whether a connection may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Sound,
    Broken,
}

impl Health {
    pub(super) fn after(error: &rusqlite::Error) -> Self {
        match class(error) {
            Class::Broken => Self::Broken,
            Class::Full | Class::Busy | Class::Operation => Self::Sound,
        }
    }
}

pub(super) struct Readers {
    queue: Arc<Queue<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(files: &Arc<Files>) -> Result<Self, StoreError> {
        let mut readers = Self { queue: Arc::new(Queue::new()), threads: Vec::new() };
        for number in 0..THREADS {
            let (files, queue) = (files.clone(), readers.queue.clone());
            let thread = Builder::new()
                .name(format!("sessile-read-{number}"))
                .spawn(move || serve(&files, &queue))
                .map_err(|fault| StoreError::Internal(format!("a thread could not be started: {fault}")));
            match thread {
                Ok(thread) => readers.threads.push(thread),
                Err(fault) => {
                    readers.stop();
                    return Err(fault);
                }
            }
        }
        Ok(readers)
    }

    pub(super) fn push(&self, read: Read) -> Result<(), Refused> {
        self.queue.push(Lane::First, read)
    }

    pub(super) fn stop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // Its panic, if any, was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({})", self.threads.len())
    }
}

fn serve(files: &Files, queue: &Queue<Read>) {
    let _attendance = queue.attended();
    let mut connection: Option<Connection> = None;
    while let Some(work) = queue.take(1) {
        for read in work {
            let open = match connection.take() {
                Some(open) => Ok(open),
                None => connect(files, Use::Read),
            };
            match open {
                Ok(open) => match read(Ok(&open)) {
                    Health::Sound => connection = Some(open),
                    Health::Broken => {}
                },
                Err(fault) => {
                    read(Err(fault));
                }
            }
        }
    }
}
