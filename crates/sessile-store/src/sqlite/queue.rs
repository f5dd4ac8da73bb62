//! Work for the store's threads, bounded: what does not fit is refused at once.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Which queue a piece of work waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Taken first: ending and renewing sessions. A flood of sign-ins never stands before a revocation (L3).
    First,
    /// Everything else.
    Second,
}

/// Why work was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Overloaded,
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct Lanes<T> {
    first: VecDeque<T>,
    second: VecDeque<T>,
    open: bool,
}

impl<T> Queue<T> {
    const CAPACITY: usize = 4096;

    pub(super) fn new() -> Self {
        let lanes = Lanes { first: VecDeque::new(), second: VecDeque::new(), open: true };
        Self { lanes: Mutex::new(lanes), ready: Condvar::new() }
    }

    pub(super) fn push(&self, lane: Lane, work: T) -> Result<(), Refused> {
        let mut lanes = self.lock();
        if !lanes.open {
            return Err(Refused::Closed);
        }
        let queue = match lane {
            Lane::First => &mut lanes.first,
            Lane::Second => &mut lanes.second,
        };
        if queue.len() >= Self::CAPACITY {
            return Err(Refused::Overloaded);
        }
        queue.push_back(work);
        drop(lanes);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work and takes at most `most` pieces, a quarter of them kept for the second lane; `None` once the
    /// queue is closed and empty.
    pub(super) fn take(&self, most: usize) -> Option<Vec<T>> {
        let mut lanes = self.lock();
        loop {
            let kept = lanes.second.len().min(most / 4);
            let first = lanes.first.len().min(most - kept);
            let second = lanes.second.len().min(most - first);
            if first + second > 0 {
                let mut work: Vec<T> = lanes.first.drain(..first).collect();
                work.extend(lanes.second.drain(..second));
                return Some(work);
            }
            if !lanes.open {
                return None;
            }
            lanes = self.ready.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more work; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.ready.notify_all();
    }

    /// For the thread that serves the queue: when it ends, even by a panic, nobody waits for it in vain.
    pub(super) fn attended(&self) -> Attendance<'_, T> {
        Attendance(self)
    }

    // No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue and drops what waits in it.
pub(super) struct Attendance<'a, T>(&'a Queue<T>);

impl<T> Drop for Attendance<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        let mut lanes = self.0.lock();
        let unserved = (take(&mut lanes.first), take(&mut lanes.second));
        // Outside the lock: dropping work wakes whoever waits for its answer.
        drop(lanes);
        drop(unserved);
    }
}
