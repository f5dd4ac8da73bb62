//! Counting what is asked of the backend: for the metric, and to prove that the warm path asks nothing.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! ops {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// An operation of the store; its name is the `op` label of `sessile_store_ops_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // Each is the verb of that name.
        pub enum Op { $($variant),+ }

        impl Op {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

ops! {
    Insert = "insert",
    Load = "load",
    Rotate = "rotate",
    Confirm = "confirm",
    Revoke = "revoke",
    List = "list",
    Sweep = "sweep",
    Count = "count",
    AddToken = "add_token",
    FindToken = "find_token",
    ListTokens = "list_tokens",
    RemoveToken = "remove_token",
    NoteUses = "note_uses",
    Feed = "feed",
    RestartHistory = "restart_history",
    LoadKeys = "load_keys",
    AddKey = "add_key",
    RevokeKey = "revoke_key",
    ForgetKeys = "forget_keys",
    CreateAccount = "create_account",
    FindAccount = "find_account",
    SetPassword = "set_password",
    SetDisabled = "set_disabled",
    ListAccounts = "list_accounts",
    NoteFailure = "note_failure",
    Failures = "failures",
    ClearFailures = "clear_failures",
    SweepFailures = "sweep_failures",
    AppendEvents = "append_events",
    Events = "events",
    SweepEvents = "sweep_events",
}

const OPS: usize = Op::ALL.len();

#[derive(Debug)]
pub(super) struct Counters([AtomicU64; OPS]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    pub(super) fn note(&self, op: Op) {
        self.0[op as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> OpCounts {
        OpCounts(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }
}

/// How often each operation was asked for, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpCounts([u64; OPS]);

impl OpCounts {
    /// One operation's count.
    pub fn of(&self, op: Op) -> u64 {
        self.0[op as usize]
    }

    /// Each label and its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Op::ALL.iter().map(|op| (op.name(), self.of(*op)))
    }

    /// All of them together, without [`Op::Feed`], which a node's background task asks for.
    pub fn foreground(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.of(Op::Feed)
    }
}
