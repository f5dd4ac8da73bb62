//! Space held back for bad days: on a full disk SQLite refuses even a DELETE, and sessions must still end (S15).

use std::io::{Result, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Role;
use super::files::private;

/// The ballast file, and whether it is in place.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
    role: Role,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    InPlace,
    // Given back to the disk. `tried` spaces the attempts to take it again.
    Released { tried: Instant },
}

impl Ballast {
    const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

    /// The server puts the ballast in place, if the disk has room for it. A visitor leaves it alone: filling it would
    /// take the space that the server has just given back.
    pub(super) fn new(path: PathBuf, bytes: u64, role: Role) -> Self {
        let mut ballast = Self { path, bytes, role, state: State::InPlace };
        if ballast.role == Role::Server
            && let Err(fault) = ballast.fill()
        {
            tracing::warn!(path = %ballast.path.display(), %fault, "no room for the ballast: new sessions are refused until there is");
            ballast.release();
        }
        ballast
    }

    /// Whether the disk has been full and the ballast is not back yet: what needs room is refused.
    pub(super) fn is_released(&self) -> bool {
        matches!(self.state, State::Released { .. })
    }

    /// Gives the space back to the disk.
    pub(super) fn release(&mut self) {
        if let Err(fault) = private().create(true).truncate(true).open(&self.path) {
            tracing::error!(path = %self.path.display(), %fault, "the ballast could not be released");
        }
        self.state = State::Released { tried: Instant::now() };
    }

    /// Takes the space again if it is free by now; at most once a second, and only as the server.
    pub(super) fn restore(&mut self) {
        match self.state {
            State::InPlace => {}
            State::Released { .. } if self.role == Role::Visitor => {}
            State::Released { tried } if tried.elapsed() < Self::BETWEEN_ATTEMPTS => {}
            State::Released { .. } => match self.fill() {
                Ok(()) => {
                    self.state = State::InPlace;
                    tracing::info!("the disk has room again; new sessions are taken");
                }
                Err(_) => self.release(),
            },
        }
    }

    // Real blocks, which a hole or a compressed run of zeros would not be. There must be room for twice as much:
    // a disk that just takes the ballast would be full again with the next session.
    fn fill(&self) -> Result<()> {
        let mut file = private().create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() == self.bytes {
            return Ok(());
        }
        file.set_len(0)?;
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        let mut left = self.bytes.saturating_mul(2);
        let mut block = Vec::with_capacity(64 * 1024);
        while left > 0 {
            block.clear();
            let size = left.min(64 * 1024);
            while (block.len() as u64) < size {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                block.extend_from_slice(&noise.to_be_bytes());
            }
            block.truncate(usize::try_from(size).unwrap_or(block.len()));
            file.write_all(&block)?;
            left -= size;
        }
        file.set_len(self.bytes)?;
        file.sync_all()
    }
}
