//! The witness: the last acknowledged position of the feed, kept outside the database (S7, I16).
//!
//! 32 bytes at the start of the lock file: epoch (16), head (8, big-endian), checksum of both (8). It is written
//! after the commit and before the acknowledgement, in place, so it survives the process; a database that is
//! behind it has lost something that was acknowledged.

use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;

use sessile_core::revocation::{Epoch, Seq};

use super::Position;

/// Its size; what follows in the file is a note for people.
pub(super) const WITNESS_BYTES: u64 = 32;

// Further than any feed will come.
const CONDEMNED: Seq = Seq(u64::MAX);

/// What the lock file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// Nothing was ever written.
    None,
    /// This position was acknowledged.
    At(Position),
    /// Something is there that we did not write.
    Unreadable,
}

pub(super) fn read(lock: &File) -> Result<Witness> {
    let mut bytes = [0; WITNESS_BYTES as usize];
    match lock.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(decode(&bytes)),
        Err(short) if short.kind() == ErrorKind::UnexpectedEof => Ok(Witness::None),
        Err(fault) => Err(fault),
    }
}

/// Notes `position`. Within one history the witness never goes back: a database that has lost writes stays found
/// out until it begins a new history.
pub(super) fn write(lock: &File, position: Position) -> Result<()> {
    match read(lock)? {
        Witness::At((epoch, head)) if epoch == position.0 && head >= position.1 => Ok(()),
        Witness::At(_) | Witness::None | Witness::Unreadable => lock.write_all_at(&encode(position), 0),
    }
}

/// Notes that the history of `epoch` has lost something: whatever is appended to it from here on, it stays found
/// out, at each start, until a new history begins.
pub(super) fn condemn(lock: &File, epoch: Epoch) -> Result<()> {
    lock.write_all_at(&encode((epoch, CONDEMNED)), 0)
}

/// Compares what was acknowledged with what the database holds; says what is missing.
pub(super) fn compare(witness: Witness, database: Position) -> Option<String> {
    let (epoch, head) = database;
    match witness {
        Witness::At((seen, _)) if seen != epoch => {
            Some("the database belongs to another history than its witness".to_owned())
        }
        Witness::At((_, CONDEMNED)) => {
            Some("a loss was noticed at an earlier start, and no new history has begun since".to_owned())
        }
        Witness::At((_, acknowledged)) if acknowledged > head => Some(format!(
            "the database ends at feed entry {}, but entry {} was acknowledged: it is an older copy, or its log was lost",
            head.0, acknowledged.0
        )),
        Witness::At(_) => None,
        Witness::None => Some("the database has no witness beside it: it was copied here from elsewhere".to_owned()),
        Witness::Unreadable => Some("the witness beside the database is not readable".to_owned()),
    }
}

fn encode((epoch, head): Position) -> [u8; WITNESS_BYTES as usize] {
    let mut bytes = [0; WITNESS_BYTES as usize];
    bytes[..16].copy_from_slice(&epoch.0);
    bytes[16..24].copy_from_slice(&head.0.to_be_bytes());
    let sum = checksum(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; WITNESS_BYTES as usize]) -> Witness {
    if bytes.iter().all(|byte| *byte == 0) {
        return Witness::None;
    }
    let (epoch, head) = bytes.split_at(16);
    let (head, sum) = head.split_at(8);
    match (epoch.try_into(), head.try_into(), sum.try_into()) {
        (Ok(epoch), Ok(head), Ok(sum)) if u64::from_be_bytes(sum) == checksum(&bytes[..24]) => {
            Witness::At((Epoch(epoch), Seq(u64::from_be_bytes(head))))
        }
        _ => Witness::Unreadable,
    }
}

// FNV-1a, against accidents alone: whoever can write this file can also delete it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
