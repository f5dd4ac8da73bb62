//! Revocation: ending sessions, and what a node knows about it.
//!
//! A revocation deletes the record and appends to the store's feed in one step. Every node follows the feed
//! into its [`View`], so the warm path needs no lookup, and a node that stopped hearing knows it.

mod view;

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

pub use view::{Applied, Lineage, Restart, Standing, View};

use crate::{SessionId, Subject};

/// What to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One session.
    Session(SessionId),
    /// Every session of a subject.
    Subject(Subject),
    /// Every session of a subject but one.
    SubjectExcept(Subject, SessionId),
    /// Every session there is.
    All,
}

/// Why a session ended. The names appear in the feed, in events and in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The user signed out.
    SignOut,
    /// The user ended it from another session.
    EndedByUser,
    /// An administrator or the command line ended it.
    EndedByAdministrator,
    /// The application ended it.
    EndedByApp,
    /// A client revoked one of its tokens (RFC 7009).
    TokenRevoked,
    /// A superseded session token was presented outside its grace.
    Reuse,
    /// A new sign-in on the same browser took its place.
    Replaced,
    /// The subject had too many sessions and this was the oldest.
    Evicted,
    /// The account was disabled or deleted.
    AccountDisabled,
    /// The password changed.
    PasswordChanged,
    /// A token newer than the record was presented: the store has lost writes.
    StoreRegressed,
}

impl Reason {
    /// The name as written everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::EndedByUser => "ended_by_user",
            Self::EndedByAdministrator => "ended_by_administrator",
            Self::EndedByApp => "ended_by_app",
            Self::TokenRevoked => "token_revoked",
            Self::Reuse => "reuse",
            Self::Replaced => "replaced",
            Self::Evicted => "evicted",
            Self::AccountDisabled => "account_disabled",
            Self::PasswordChanged => "password_changed",
            Self::StoreRegressed => "store_regressed",
        }
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [Reason; 11] = [
            Reason::SignOut,
            Reason::EndedByUser,
            Reason::EndedByAdministrator,
            Reason::EndedByApp,
            Reason::TokenRevoked,
            Reason::Reuse,
            Reason::Replaced,
            Reason::Evicted,
            Reason::AccountDisabled,
            Reason::PasswordChanged,
            Reason::StoreRegressed,
        ];
        ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Position in the feed. Grows by one with each entry; the order of entries is the order of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Names one unbroken history of a store. It changes when the store knows that it lost writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

/// One thing every node must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// A session's record is gone.
    Ended(SessionId, Reason),
    /// Every record is gone.
    AllEnded(Reason),
    /// The signing keys changed: load them again.
    KeysChanged,
}

/// An item and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its place.
    pub seq: Seq,
    /// What happened.
    pub item: FeedItem,
}

/// What the store answers to "what came after `seq`?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// The history this page belongs to.
    pub epoch: Epoch,
    /// The oldest entry the store still keeps, or `head` + 1 if it keeps none.
    pub oldest: Seq,
    /// The newest entry the store has ever written, kept or not.
    pub head: Seq,
    /// Entries after the asked position, in order, without holes. May stop short of `head`: ask again.
    pub entries: Vec<FeedEntry>,
    /// Whether the store serves.
    pub phase: Phase,
}

/// Where a store stands in a move of all sessions from one store to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It serves.
    #[default]
    Serving,
    /// What another store holds is being copied into it. What it lacks may live, so it answers for no session yet.
    Filling,
    /// It is being left: it still answers for its sessions, and takes no change that the other store might miss.
    Moving,
    /// It was left: the other store answers now. What it still holds may have ended there.
    Moved,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Serving, Self::Filling, Self::Moving, Self::Moved];

    /// The name as stores keep it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Filling => "filling",
            Self::Moving => "moving",
            Self::Moved => "moved",
        }
    }

    /// The phase with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether what the store holds says who is signed in.
    pub const fn answers(self) -> bool {
        match self {
            Self::Serving | Self::Moving => true,
            Self::Filling | Self::Moved => false,
        }
    }
}
