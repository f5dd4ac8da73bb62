//! What the memory store holds, and the steps its verbs are made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use sessile_core::id::TokenId;
use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Scope, Seq};
use sessile_core::{SessionId, Subject, Timestamp};

use crate::contract::{FEED_KEEP_ENTRIES, FEED_KEEP_FOR, Stage};
use crate::record::{
    AccountName, FailureCount, SealedAccount, SealedBlob, SealedKey, SealedSession, StoredEvent, ThrottleKey, TokenRow,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
    pub(super) head: Seq,
    feed: VecDeque<(Timestamp, FeedEntry)>,
    pub(super) sessions: BTreeMap<SessionId, SealedSession>,
    by_subject: BTreeSet<(Subject, SessionId)>,
    by_end: BTreeSet<(Timestamp, SessionId)>,
    pub(super) tokens: BTreeMap<TokenId, TokenRow>,
    tokens_of: BTreeSet<(SessionId, Timestamp, TokenId)>,
    pub(super) keys: Vec<SealedKey>,
    pub(super) accounts: BTreeMap<AccountName, SealedAccount>,
    pub(super) failures: BTreeMap<ThrottleKey, FailureCount>,
    pub(super) events: VecDeque<StoredEvent>,
    pub(super) last_event: u64,
    pub(super) witness: Option<SealedBlob>,
}

impl State {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            stage: Stage::default(),
            head: Seq(0),
            feed: VecDeque::new(),
            sessions: BTreeMap::new(),
            by_subject: BTreeSet::new(),
            by_end: BTreeSet::new(),
            tokens: BTreeMap::new(),
            tokens_of: BTreeSet::new(),
            keys: Vec::new(),
            accounts: BTreeMap::new(),
            failures: BTreeMap::new(),
            events: VecDeque::new(),
            last_event: 0,
            witness: None,
        }
    }

    pub(super) fn position(&self) -> (Epoch, Seq) {
        (self.epoch, self.head)
    }

    // Adds or replaces; the verbs decide which of the two they may do.
    pub(super) fn put(&mut self, record: SealedSession) {
        self.take(record.id);
        self.by_subject.insert((record.subject.clone(), record.id));
        self.by_end.insert((record.over_at(), record.id));
        self.sessions.insert(record.id, record);
    }

    /// Removes a record with its tokens' rows.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.take(id);
        for token in self.tokens_of(id) {
            self.remove_token(token);
        }
    }

    fn take(&mut self, id: SessionId) {
        if let Some(record) = self.sessions.remove(&id) {
            self.by_end.remove(&(record.over_at(), id));
            self.by_subject.remove(&(record.subject, id));
        }
    }

    pub(super) fn clear_sessions(&mut self) {
        self.sessions.clear();
        self.by_subject.clear();
        self.by_end.clear();
        self.tokens.clear();
        self.tokens_of.clear();
    }

    /// The tokens of a session, oldest first.
    pub(super) fn tokens_of(&self, session: SessionId) -> Vec<TokenId> {
        let from = (session, Timestamp::default(), TokenId::from_bytes([0; 16]));
        self.tokens_of.range(from..).take_while(|(of, ..)| *of == session).map(|(.., id)| *id).collect()
    }

    pub(super) fn put_token(&mut self, row: TokenRow) {
        self.tokens_of.insert((row.session, row.issued_at, row.id));
        self.tokens.insert(row.id, row);
    }

    pub(super) fn remove_token(&mut self, id: TokenId) -> bool {
        let Some(row) = self.tokens.remove(&id) else { return false };
        self.tokens_of.remove(&(row.session, row.issued_at, id))
    }

    pub(super) fn of_subject(&self, subject: &Subject) -> Vec<SealedSession> {
        self.after(Some(subject), None).cloned().collect()
    }

    pub(super) fn after<'a>(
        &'a self,
        subject: Option<&'a Subject>,
        after: Option<SessionId>,
    ) -> Box<dyn Iterator<Item = &'a SealedSession> + 'a> {
        let Some(subject) = subject else {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            return Box::new(self.sessions.range((from, Bound::Unbounded)).map(|(_, record)| record));
        };
        let from = match after {
            Some(id) => Bound::Excluded((subject.clone(), id)),
            None => Bound::Included((subject.clone(), SessionId::from_bytes([0; 16]))),
        };
        let ids = self.by_subject.range((from, Bound::Unbounded)).take_while(move |(of, _)| of == subject);
        Box::new(ids.filter_map(|(_, id)| self.sessions.get(id)))
    }

    pub(super) fn in_scope(&self, scope: &Scope) -> Vec<SessionId> {
        match scope {
            Scope::Session(id) => self.sessions.contains_key(id).then_some(*id).into_iter().collect(),
            Scope::Subject(subject) => self.after(Some(subject), None).map(|record| record.id).collect(),
            Scope::SubjectExcept(subject, kept) => {
                self.after(Some(subject), None).map(|record| record.id).filter(|id| id != kept).collect()
            }
            Scope::All => self.sessions.keys().copied().collect(),
        }
    }

    pub(super) fn over(&self, now: Timestamp, limit: u32) -> Vec<SessionId> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.by_end.iter().take_while(|(end, _)| *end <= now).take(limit).map(|(_, id)| *id).collect()
    }

    pub(super) fn append(&mut self, item: FeedItem, at: Timestamp) {
        self.head = Seq(self.head.0 + 1);
        self.feed.push_back((at, FeedEntry { seq: self.head, item }));
        if self.feed.len() as u64 > FEED_KEEP_ENTRIES {
            self.feed.pop_front();
        }
    }

    pub(super) fn forget_feed(&mut self, now: Timestamp) {
        let before = now.minus(FEED_KEEP_FOR);
        while self.feed.front().is_some_and(|(at, _)| *at < before) {
            self.feed.pop_front();
        }
    }

    pub(super) fn page(&self, after: Seq, limit: u32) -> FeedPage {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let skip = self.feed.partition_point(|(_, entry)| entry.seq <= after);
        FeedPage {
            epoch: self.epoch,
            oldest: self.feed.front().map_or(Seq(self.head.0 + 1), |(_, entry)| entry.seq),
            head: self.head,
            entries: self.feed.iter().skip(skip).take(limit).map(|(_, entry)| entry.clone()).collect(),
            phase: self.stage.phase,
        }
    }
}
