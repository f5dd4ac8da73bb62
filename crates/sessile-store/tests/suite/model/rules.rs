//! The rules of a store, written down a second time: from what the product promises of a session's life and what the
//! contract promises of each verb, and from no backend. Slow and plain on purpose; it shares with the backends the
//! types of the contract, and none of the functions that decide.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use proptest::sample::{Index, select};
use proptest_state_machine::ReferenceStateMachine;
use sessile_core::client::Client;
use sessile_core::crypto::Algorithm;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedItem, Reason, Scope, Seq};
use sessile_core::rotation::RotationState;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Storage, Subject, Timestamp};
use sessile_store::record::{SealedKey, SealedSession};
use sessile_store::{
    Confirmation, FEED_KEEP_FOR, Insertion, KeyAddition, KeyRevocation, Revoked, RotateOutcome, SealedBlob,
    TOKENS_PER_SESSION, TokenAddition, TokenRow, Use,
};

/// Far ahead of the clock of any server that drops what is long over by itself.
const START: Timestamp = Timestamp::from_secs(4_000_000_000);

/// Sessions, subjects and keys that exist or might. Two subjects differ in case alone.
pub(super) const IDS: u8 = 8;
pub(super) const SUBJECTS: [&str; 3] = ["anna", "Anna", "boris"];
const KEYS: u8 = 5;

/// One call of a verb.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Insert {
        id: u8,
        of: &'static str,
        at: Timestamp,
        idle: Duration,
        absolute: Duration,
        cap: u32,
    },
    Rotate {
        id: u8,
        expected: u64,
        at: Timestamp,
    },
    Confirm {
        id: u8,
        generation: u64,
        at: Timestamp,
    },
    RevokeOne {
        id: u8,
        at: Timestamp,
    },
    RevokeSubject {
        of: &'static str,
        at: Timestamp,
    },
    RevokeOthers {
        of: &'static str,
        but: u8,
        at: Timestamp,
    },
    RevokeAll {
        at: Timestamp,
    },
    /// So many rows, each issued a millisecond after the one before.
    AddTokens {
        first: u16,
        many: u16,
        session: u8,
        at: Timestamp,
        life: Duration,
    },
    RemoveToken {
        token: u16,
    },
    NoteUses {
        uses: Vec<(u8, Option<u16>, Timestamp)>,
    },
    AddKey {
        key: u8,
        after: Option<u8>,
        at: Timestamp,
    },
    RevokeKey {
        key: u8,
        at: Timestamp,
    },
    ForgetKeys {
        keys: Vec<u8>,
        at: Timestamp,
    },
    RestartHistory {
        at: Timestamp,
    },
    /// Repeated until nothing is left to drop.
    Sweep {
        at: Timestamp,
        limit: u32,
    },
}

/// What a step must be answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    Insertion(Insertion),
    Rotation(RotateOutcome),
    Confirmation(Confirmation),
    Revoked(Revoked),
    Additions(Vec<TokenAddition>),
    Removed(bool),
    KeyAddition(KeyAddition),
    KeyRevocation(KeyRevocation),
    Forgotten(u32),
    Swept(u32),
}

/// What must be there, and what the last step must have come to.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) sessions: BTreeMap<SessionId, SealedSession>,
    pub(super) tokens: BTreeMap<TokenId, TokenRow>,
    pub(super) keys: Vec<SealedKey>,
    /// How many entries the feed has ever had.
    pub(super) head: u64,
    /// How often a new history began.
    pub(super) history: u32,
    /// Entries of moments before this may be forgotten.
    pub(super) forgettable: Timestamp,
    pub(super) answer: Answer,
    /// What the last step appended to the feed, in whatever order.
    pub(super) news: Vec<FeedItem>,
    /// Rows worth looking for, whether or not they are there.
    pub(super) watched: Vec<u16>,
    clock: Timestamp,
    next_token: u16,
}

pub(super) fn id(number: u8) -> SessionId {
    // Neighbours differ in their first octet or in their last, so that an order by text or by octets shows.
    let mut bytes = [0x77; 16];
    bytes[if number.is_multiple_of(2) { 0 } else { 15 }] = number.wrapping_mul(37);
    SessionId::from_bytes(bytes)
}

pub(super) fn token(number: u16) -> TokenId {
    let mut bytes = [0x42; 16];
    bytes[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
    TokenId::from_bytes(bytes)
}

pub(super) fn subject(name: &str) -> Subject {
    name.parse().unwrap()
}

pub(super) fn key_id(number: u8) -> KeyId {
    // Added in an order that is not the one of their names.
    format!("key-{}", (number * 3) % KEYS).parse().unwrap()
}

pub(super) fn session(id_: u8, of: &str, at: Timestamp, idle: Duration, absolute: Duration) -> SealedSession {
    SealedSession {
        id: id(id_),
        subject: subject(of),
        storage: if id_.is_multiple_of(3) { Storage::Database } else { Storage::Hybrid },
        remember: id_ % 2 == 1,
        created_at: at,
        authenticated_at: at.minus(Duration::from_millis(7)),
        last_seen_at: at,
        absolute_end: at.plus(absolute),
        idle,
        rotation: RotationState { generation: 0, rotated_at: at, confirmed_at: None },
        client: Client { browser: format!("Browser {id_}"), ..Client::default() },
        sealed: SealedBlob::from_bytes(at.as_millis().to_be_bytes().to_vec()),
    }
}

pub(super) fn row(token_: u16, of: &SessionId, whose: &Subject, at: Timestamp, life: Duration) -> TokenRow {
    TokenRow {
        id: token(token_),
        session: *of,
        subject: whose.clone(),
        issued_at: at,
        expires_at: at.plus(life),
        last_used_at: None,
    }
}

pub(super) fn key(number: u8, at: Timestamp) -> SealedKey {
    SealedKey {
        id: key_id(number),
        algorithm: Algorithm::Es256,
        created_at: at,
        active_from: at.plus(Duration::from_secs(300)),
        revoked_at: None,
        sealed: SealedBlob::from_bytes(vec![number; 40]),
    }
}

pub(super) fn uses(of: &[(u8, Option<u16>, Timestamp)]) -> Vec<Use> {
    of.iter().map(|(session, row, at)| Use { session: id(*session), token: row.map(token), at: *at }).collect()
}

/// Product section 3: at the absolute end, or once it was idle for its idle timeout, whichever is first.
fn end_of(session: &SealedSession) -> Timestamp {
    let idle = Timestamp::from_millis(session.last_seen_at.as_millis() + session.idle.as_millis() as u64);
    if idle < session.absolute_end { idle } else { session.absolute_end }
}

fn over(session: &SealedSession, now: Timestamp) -> bool {
    now >= end_of(session)
}

fn later(one: &mut Timestamp, other: Timestamp) {
    if other > *one {
        *one = other;
    }
}

impl State {
    fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            keys: Vec::new(),
            head: 0,
            history: 0,
            forgettable: Timestamp::default(),
            answer: Answer::Done,
            news: Vec::new(),
            watched: Vec::new(),
            clock: START,
            next_token: 0,
        }
    }

    /// Does what the step asks, and notes what it must be answered and what the feed must tell.
    fn take(&mut self, step: &Step) {
        self.news.clear();
        self.answer = match step {
            Step::Insert { id, of, at, idle, absolute, cap } => {
                Answer::Insertion(self.insert(session(*id, of, *at, *idle, *absolute), *cap))
            }
            Step::Rotate { id: number, expected, at } => Answer::Rotation(self.rotate(id(*number), *expected, *at)),
            Step::Confirm { id: number, generation, at } => {
                Answer::Confirmation(self.confirm(id(*number), *generation, *at))
            }
            Step::RevokeOne { id: number, at } => self.revoke(&Scope::Session(id(*number)), *at),
            Step::RevokeSubject { of, at } => self.revoke(&Scope::Subject(subject(of)), *at),
            Step::RevokeOthers { of, but, at } => self.revoke(&Scope::SubjectExcept(subject(of), id(*but)), *at),
            Step::RevokeAll { at } => self.revoke(&Scope::All, *at),
            Step::AddTokens { first, many, session, at, life } => {
                self.watched.push(*first);
                self.next_token = self.next_token.max(first + many);
                let added = (0..*many)
                    .map(|n| self.add_token(first + n, *session, at.plus(Duration::from_millis(u64::from(n))), *life));
                Answer::Additions(added.collect())
            }
            Step::RemoveToken { token: number } => Answer::Removed(self.tokens.remove(&token(*number)).is_some()),
            Step::NoteUses { uses: noted } => {
                for one in uses(noted) {
                    self.note_use(one);
                }
                Answer::Done
            }
            Step::AddKey { key: number, after, at } => Answer::KeyAddition(self.add_key(*number, *after, *at)),
            Step::RevokeKey { key: number, at } => Answer::KeyRevocation(self.revoke_key(&key_id(*number), *at)),
            Step::ForgetKeys { keys, .. } => Answer::Forgotten(self.forget_keys(keys)),
            Step::RestartHistory { .. } => {
                self.sessions.clear();
                self.tokens.clear();
                self.history += 1;
                self.news.push(FeedItem::AllEnded(Reason::StoreRegressed));
                Answer::Done
            }
            Step::Sweep { at, .. } => {
                let dropped: Vec<SessionId> = self.chosen(|session| over(session, *at));
                self.drop_records(&dropped);
                later(&mut self.forgettable, at.minus(FEED_KEEP_FOR));
                Answer::Swept(dropped.len() as u32)
            }
        };
        self.head += self.news.len() as u64;
        if let (Answer::Revoked(revoked), head) = (&mut self.answer, self.head) {
            revoked.seq = Seq(head);
        }
        if let Some(at) = step.at() {
            later(&mut self.clock, at);
        }
        if self.watched.len() > 8 {
            self.watched.remove(0);
        }
    }

    fn chosen(&self, wanted: impl Fn(&SealedSession) -> bool) -> Vec<SessionId> {
        self.sessions.values().filter(|session| wanted(session)).map(|session| session.id).collect()
    }

    // A row lives no longer than its session's record.
    fn drop_records(&mut self, ids: &[SessionId]) {
        self.sessions.retain(|id, _| !ids.contains(id));
        self.tokens.retain(|_, row| !ids.contains(&row.session));
    }

    // the oldest make room, the newest always stays. What is over takes no room, and goes without a word.
    fn insert(&mut self, new: SealedSession, cap: u32) -> Insertion {
        if self.sessions.contains_key(&new.id) {
            return Insertion::IdTaken;
        }
        let dead = self.chosen(|other| other.subject == new.subject && over(other, new.created_at));
        self.drop_records(&dead);
        let mut living: Vec<(Timestamp, SessionId)> = self
            .sessions
            .values()
            .filter(|other| other.subject == new.subject)
            .map(|other| (other.created_at, other.id))
            .collect();
        living.sort_unstable();
        let mut evicted = Vec::new();
        while living.len() + 1 > usize::max(cap as usize, 1) {
            let (_, oldest) = living.remove(0);
            evicted.push(oldest);
            self.news.push(FeedItem::Ended(oldest, Reason::Evicted));
        }
        self.drop_records(&evicted);
        self.sessions.insert(new.id, new);
        evicted.sort_unstable();
        Insertion::Inserted { evicted }
    }

    // I3: one generation at a time, of a live session, from where the caller saw it. I10: nothing moves its end.
    fn rotate(&mut self, id: SessionId, expected: u64, now: Timestamp) -> RotateOutcome {
        let Some(found) = self.sessions.get_mut(&id) else { return RotateOutcome::Gone };
        if found.rotation.generation != expected || over(found, now) {
            return RotateOutcome::Superseded(found.clone());
        }
        found.rotation.generation += 1;
        later(&mut found.rotation.rotated_at, now);
        found.rotation.confirmed_at = None;
        later(&mut found.last_seen_at, now);
        RotateOutcome::Rotated(found.clone())
    }

    // Rule 2: receipt is confirmed the first time anything of the newest generation is presented.
    fn confirm(&mut self, id: SessionId, generation: u64, now: Timestamp) -> Confirmation {
        match self.sessions.get_mut(&id) {
            Some(found) if !over(found, now) => {
                if found.rotation.generation == generation && found.rotation.confirmed_at.is_none() {
                    found.rotation.confirmed_at = Some(now);
                }
                Confirmation::Live(found.clone())
            }
            Some(_) | None => Confirmation::Gone,
        }
    }

    // I8, I9: what the scope names is gone, over or not, and the feed has one entry for each; one for everybody.
    fn revoke(&mut self, scope: &Scope, _: Timestamp) -> Answer {
        let ended = self.chosen(|session| match scope {
            Scope::Session(id) => session.id == *id,
            Scope::Subject(subject) => session.subject == *subject,
            Scope::SubjectExcept(subject, but) => session.subject == *subject && session.id != *but,
            Scope::All => true,
        });
        self.drop_records(&ended);
        match scope {
            Scope::All => self.news.push(FeedItem::AllEnded(REASON)),
            Scope::Session(_) | Scope::Subject(_) | Scope::SubjectExcept(..) => {
                self.news.extend(ended.iter().map(|id| FeedItem::Ended(*id, REASON)));
            }
        }
        Answer::Revoked(Revoked { ended, seq: Seq(0) })
    }

    fn add_token(&mut self, number: u16, of: u8, at: Timestamp, life: Duration) -> TokenAddition {
        if self.tokens.contains_key(&token(number)) {
            return TokenAddition::IdTaken;
        }
        let Some(session) = self.sessions.get(&id(of)).filter(|session| !over(session, at)) else {
            return TokenAddition::Gone;
        };
        let new = row(number, &session.id, &session.subject, at, life);
        self.tokens.insert(new.id, new);
        let mut rows = self.rows_of(id(of));
        while rows.len() > TOKENS_PER_SESSION as usize {
            self.tokens.remove(&rows.remove(0).id);
        }
        TokenAddition::Added
    }

    /// The rows of a session, oldest first.
    pub(super) fn rows_of(&self, session: SessionId) -> Vec<TokenRow> {
        let mut rows: Vec<TokenRow> = self.tokens.values().filter(|row| row.session == session).cloned().collect();
        rows.sort_by_key(|row| (row.issued_at, row.id));
        rows
    }

    // a use moves up, never back, and brings nothing back.
    fn note_use(&mut self, one: Use) {
        let Some(session) = self.sessions.get_mut(&one.session).filter(|session| !over(session, one.at)) else {
            return;
        };
        later(&mut session.last_seen_at, one.at);
        let row = one.token.and_then(|token| self.tokens.get_mut(&token));
        if let Some(row) = row.filter(|row| one.at < row.expires_at) {
            row.last_used_at = Some(row.last_used_at.map_or(one.at, |before| before.max(one.at)));
        }
    }

    fn add_key(&mut self, number: u8, after: Option<u8>, at: Timestamp) -> KeyAddition {
        let newest = self.keys.last().map(|key| key.id.clone());
        let taken = self.keys.iter().any(|key| key.id == key_id(number));
        if newest != after.map(key_id) || taken {
            return KeyAddition::Lost;
        }
        self.keys.push(key(number, at));
        self.news.push(FeedItem::KeysChanged);
        KeyAddition::Added
    }

    // X4: a key stays revoked, and since the first time.
    fn revoke_key(&mut self, id: &KeyId, now: Timestamp) -> KeyRevocation {
        let Some(key) = self.keys.iter_mut().find(|key| key.id == *id) else { return KeyRevocation::NoSuchKey };
        if key.revoked_at.is_some() {
            return KeyRevocation::AlreadyRevoked;
        }
        key.revoked_at = Some(now);
        self.news.push(FeedItem::KeysChanged);
        KeyRevocation::Revoked
    }

    fn forget_keys(&mut self, numbers: &[u8]) -> u32 {
        let newest = self.keys.last().map(|key| key.id.clone());
        let doomed: BTreeSet<KeyId> =
            numbers.iter().copied().map(key_id).filter(|id| Some(id) != newest.as_ref()).collect();
        let before = self.keys.len();
        self.keys.retain(|key| !doomed.contains(&key.id));
        let forgotten = before - self.keys.len();
        if forgotten > 0 {
            self.news.push(FeedItem::KeysChanged);
        }
        forgotten as u32
    }

    /// What a step may happen at: now or a little later, after a while, by the clock of a node that is behind, and about
    /// the moment at which the next session is over.
    fn moments(&self) -> BoxedStrategy<Timestamp> {
        let now = self.clock;
        let next = self.sessions.values().map(end_of).filter(|end| *end > now).min().unwrap_or(now);
        let ahead = move |millis: u64| now.plus(Duration::from_millis(millis));
        prop_oneof![
            12 => (0_u64..2000).prop_map(ahead),
            2 => select(vec![9_999, 10_000, 61_000, 299_000, 600_001]).prop_map(ahead),
            3 => (1_u64..60_000).prop_map(move |millis| now.minus(Duration::from_millis(millis))),
            1 => (0_u64..3).prop_map(move |millis| next.minus(Duration::from_millis(1)).plus(Duration::from_millis(millis))),
        ]
        .boxed()
    }

    /// A session that is there, or one of all there might be.
    fn ids(&self) -> BoxedStrategy<u8> {
        let there: Vec<u8> = (0..IDS).filter(|number| self.sessions.contains_key(&id(*number))).collect();
        if there.is_empty() { (0..IDS).boxed() } else { prop_oneof![6 => select(there), 1 => 0..IDS].boxed() }
    }

    /// A session and a generation of it: the newest, or one before or after.
    fn presented(&self) -> BoxedStrategy<(u8, u64)> {
        let generations: Vec<u64> = (0..IDS)
            .map(|number| self.sessions.get(&id(number)).map_or(0, |session| session.rotation.generation))
            .collect();
        let off = prop_oneof![4 => Just(0_i64), 1 => Just(-1), 1 => Just(1)];
        (self.ids(), off)
            .prop_map(move |(number, off)| (number, generations[usize::from(number)].saturating_add_signed(off)))
            .boxed()
    }

    /// A subject with a session, or any.
    fn subjects(&self) -> BoxedStrategy<&'static str> {
        let has_one = |name: &&str| self.sessions.values().any(|session| session.subject.as_str() == *name);
        let present: Vec<&str> = SUBJECTS.into_iter().filter(has_one).collect();
        let any = select(SUBJECTS.to_vec());
        if present.is_empty() { any.boxed() } else { prop_oneof![4 => select(present), 1 => any].boxed() }
    }

    /// A key that is there, or one of all there might be.
    fn some_key(&self) -> BoxedStrategy<u8> {
        let there = |number: &u8| self.keys.iter().any(|key| key.id == key_id(*number));
        let there: Vec<u8> = (0..KEYS).filter(there).collect();
        if there.is_empty() { (0..KEYS).boxed() } else { prop_oneof![4 => select(there), 1 => 0..KEYS].boxed() }
    }

    fn known_rows(&self) -> Vec<u16> {
        (0..self.next_token).filter(|number| self.tokens.contains_key(&token(*number))).collect()
    }

    /// A row that is there, or one of all there were, or the next.
    fn some_row(&self) -> BoxedStrategy<u16> {
        let (there, any) = (self.known_rows(), 0..=self.next_token);
        if there.is_empty() { any.boxed() } else { prop_oneof![3 => select(there), 1 => any].boxed() }
    }

    // A row is told used with its own session; now and then one is named that nobody has.
    fn uses(&self) -> BoxedStrategy<Vec<(u8, Option<u16>, Timestamp)>> {
        let owner = |row: &u16| (0..IDS).find(|number| id(*number) == self.tokens[&token(*row)].session);
        let rows: Vec<(u8, u16)> = self.known_rows().into_iter().filter_map(|row| Some((owner(&row)?, row))).collect();
        let nobodys = self.next_token;
        let of_row = (proptest::arbitrary::any::<Index>(), self.ids()).prop_map(move |(index, other)| {
            if rows.is_empty() {
                return (other, Some(nobodys));
            }
            let (session, row) = rows[index.index(rows.len())];
            (session, Some(row))
        });
        let of_session = self.ids().prop_map(|session| (session, None));
        let one = (prop_oneof![2 => of_row, 1 => of_session], self.moments())
            .prop_map(|((session, row), at)| (session, row, at));
        proptest::collection::vec(one, 0..4).boxed()
    }
}

/// Why sessions are revoked here; the store only carries it.
pub(super) const REASON: Reason = Reason::EndedByAdministrator;

impl Step {
    fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Insert { at, .. }
            | Self::Rotate { at, .. }
            | Self::Confirm { at, .. }
            | Self::RevokeOne { at, .. }
            | Self::RevokeSubject { at, .. }
            | Self::RevokeOthers { at, .. }
            | Self::RevokeAll { at }
            | Self::AddTokens { at, .. }
            | Self::AddKey { at, .. }
            | Self::RevokeKey { at, .. }
            | Self::ForgetKeys { at, .. }
            | Self::RestartHistory { at }
            | Self::Sweep { at, .. } => Some(*at),
            Self::NoteUses { uses } => uses.iter().map(|(.., at)| *at).max(),
            Self::RemoveToken { .. } => None,
        }
    }

    /// The moment its entries in the feed are of.
    pub(super) fn moment(&self) -> Timestamp {
        self.at().unwrap_or_default()
    }
}

/// The rules as a machine for proptest: it proposes steps that mean something where the store stands.
pub(super) struct Rules;

impl ReferenceStateMachine for Rules {
    type State = State;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<State> {
        Just(State::new()).boxed()
    }

    fn transitions(state: &State) -> BoxedStrategy<Step> {
        let minutes = |choices: &[u64]| select(choices.to_vec()).prop_map(|minutes| Duration::from_secs(60 * minutes));
        let newest = state.keys.last().map(|key| (0..KEYS).find(|number| key_id(*number) == key.id).unwrap());
        let after = prop_oneof![4 => Just(newest), 1 => proptest::option::of(0..KEYS)];
        let caps = prop_oneof![1 => 0_u32..2, 4 => 2_u32..6];
        let fresh = state.next_token;
        let number = prop_oneof![4 => Just(fresh), 1 => state.some_row()];
        let many = prop_oneof![12 => 1_u16..3, 1 => Just(TOKENS_PER_SESSION as u16 + 2)];
        let new_id = prop_oneof![4 => 0..IDS, 1 => state.ids()];
        let (idle, absolute) = (minutes(&[60, 60, 15, 1]), minutes(&[1440, 1440, 60, 2]));
        let at = || state.moments();
        prop_oneof![
            16 => (new_id, select(SUBJECTS.to_vec()), at(), idle, absolute, caps)
                .prop_map(|(id, of, at, idle, absolute, cap)| Step::Insert { id, of, at, idle, absolute, cap }),
            10 => (state.presented(), at()).prop_map(|((id, expected), at)| Step::Rotate { id, expected, at }),
            8 => (state.presented(), at()).prop_map(|((id, generation), at)| Step::Confirm { id, generation, at }),
            3 => (state.ids(), at()).prop_map(|(id, at)| Step::RevokeOne { id, at }),
            2 => (state.subjects(), at()).prop_map(|(of, at)| Step::RevokeSubject { of, at }),
            2 => (state.subjects(), state.ids(), at()).prop_map(|(of, but, at)| Step::RevokeOthers { of, but, at }),
            1 => at().prop_map(|at| Step::RevokeAll { at }),
            10 => (number, many, state.ids(), at(), minutes(&[5, 1])).prop_map(|(first, many, session, at, life)| {
                Step::AddTokens { first, many, session, at, life }
            }),
            3 => state.some_row().prop_map(|token| Step::RemoveToken { token }),
            8 => state.uses().prop_map(|uses| Step::NoteUses { uses }),
            6 => (0..KEYS, after, at()).prop_map(|(key, after, at)| Step::AddKey { key, after, at }),
            5 => (state.some_key(), at()).prop_map(|(key, at)| Step::RevokeKey { key, at }),
            3 => (proptest::collection::vec(state.some_key(), 0..3), at())
                .prop_map(|(keys, at)| Step::ForgetKeys { keys, at }),
            1 => at().prop_map(|at| Step::RestartHistory { at }),
            5 => (at(), 1_u32..4).prop_map(|(at, limit)| Step::Sweep { at, limit }),
        ]
        .boxed()
    }

    fn apply(mut state: State, step: &Step) -> State {
        state.take(step);
        state
    }
}
