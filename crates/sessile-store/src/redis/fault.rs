//! What an error of the driver or the server means.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use sessile_core::revocation::Phase;

use crate::error::{StoreError, WriteOutcome};

/// Errors by what must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The server has no memory left for what asks for some.
    Full,
    /// The server refused before it did anything, and will go on refusing on this connection: reconnect.
    WrongServer,
    /// The server refused before it did anything; another time it may not.
    Refused,
    /// The script failed on its way: what is stored is not what it takes it to be.
    Script,
    /// The connection is gone, and with it what became of the call.
    Broken,
}

pub(super) fn class(error: &RedisError) -> Class {
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown => Class::WrongServer,
            ServerErrorKind::ResponseError => by_text(error),
            _ => Class::Refused,
        },
        ErrorKind::Extension => by_code(error.code().unwrap_or_default()),
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel
        | ErrorKind::EmptySentinelList
        | ErrorKind::ClusterConnectionNotFound => Class::WrongServer,
        _ => Class::Broken,
    }
}

fn by_code(code: &str) -> Class {
    match code {
        "OOM" => Class::Full,
        "NOAUTH" | "WRONGPASS" => Class::WrongServer,
        "BUSY" | "MISCONF" | "NOREPLICAS" | "UNKILLABLE" => Class::Refused,
        // A command in the middle of a script brings its code along, such as WRONGTYPE.
        _ => Class::Script,
    }
}

// An error of a command within a script arrives as the script's; the server's code then stands within the text.
fn by_text(error: &RedisError) -> Class {
    let text = error.detail().unwrap_or_default();
    if text.contains("OOM ") || text.contains("allow-oom") {
        Class::Full
    } else if text.contains("max number of clients") {
        Class::WrongServer
    } else {
        Class::Script
    }
}

/// The fault to report; `outcome` is what is known of a call that got no answer.
pub(super) fn fault(verb: &str, error: &RedisError, outcome: WriteOutcome) -> StoreError {
    if error.code() == Some("NOTSERVING") {
        let name = error.detail().unwrap_or_default();
        let unknown =
            || StoreError::Corrupt(format!("the store is in a phase {name:?}, which this program does not know"));
        return Phase::from_name(name).map_or_else(unknown, StoreError::NotServing);
    }
    match class(error) {
        Class::Full => StoreError::Full(format!(
            "the Redis server is at its maxmemory and refused `{verb}` ({error}); sessions can still be ended"
        )),
        Class::WrongServer | Class::Refused => StoreError::not_done(format!("{verb}: {error}")),
        Class::Script | Class::Broken => StoreError::Unavailable { why: format!("{verb}: {error}"), outcome },
    }
}
