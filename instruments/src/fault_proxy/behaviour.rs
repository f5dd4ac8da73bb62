use serde::{Deserialize, Serialize};

/// What a proxy does to connections. The module's documentation says it in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Behaviour {
    /// Nothing wrong.
    Pass,
    /// Connections are closed as they are made.
    Refuse,
    /// The port does not listen.
    Closed,
    /// Connections are taken and nothing passes.
    Silence,
    /// Connections are reset.
    Reset,
    /// Every byte arrives later.
    Delay {
        /// Milliseconds, from client to server.
        #[serde(default)]
        request_ms: u64,
        /// Milliseconds, from server to client.
        #[serde(default)]
        reply_ms: u64,
    },
    /// So much passes in a second, in each direction of each connection.
    Throttle {
        /// Zero counts as one.
        bytes_per_second: u64,
    },
    /// Connections are closed after so many bytes.
    Cut {
        /// Whose bytes count.
        direction: Direction,
        /// How many still pass.
        after: u64,
    },
    /// One direction ends, the other goes on.
    HalfClose {
        /// Which ends. What is sent there all the same is gone.
        direction: Direction,
    },
    /// One request is delivered and its reply is not.
    DropReply(DropReply),
    /// Bytes of replies are inverted.
    Corrupt {
        /// How many pass unharmed first.
        #[serde(default)]
        after: u64,
        /// How many are inverted then: all that follow unless given.
        #[serde(default = "all")]
        bytes: u64,
    },
    /// Only one direction passes.
    OneWay {
        /// Which.
        direction: Direction,
    },
}

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From client to server.
    Requests,
    /// From server to client.
    Replies,
}

/// Which reply is dropped, and what the client sees of it. The default is the next one, and an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropReply {
    /// What the request contains.
    #[serde(default)]
    pub matching: Option<String>,
    /// What the replies contain when there are enough of them.
    #[serde(default)]
    pub until: Option<String>,
    /// How it goes on with the client.
    #[serde(default)]
    pub then: Then,
}

/// What the client sees of a reply that was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The end of its connection.
    #[default]
    Close,
    /// Nothing, for as long as it keeps the connection.
    Silence,
}

fn all() -> u64 {
    u64::MAX
}
