//! Negative controls of the conformance suite: backends with one flaw each, most of them seen in peers. The suite
//! must catch every one, and every check must catch something. What only shows with an engine above the store is in the
//! museum of `sessile`.
//!
//! | Peer | Flaw | Caught by |
//! |---|---|---|
//! | E1 Rack CVE-2025-46336 | `SavesBack` | `sessions::rotation_creates_nothing`, `races::nothing_outlives_its_revocation` |
//! | E6 tower-sessions 0.12.0 | `InsertUpserts` | `sessions::taken_id_is_refused`, `races::one_of_many_insertions_wins` |
//! | E7 fastify-session#237 | `ReadsThenCounts` | `races::every_failure_counts` |
//! | E9 aiohttp-session CVE-2018-1000814 | `RevivesTheOver` | `sessions::over_sessions_do_not_rotate` |
//! | E15 Better Auth GHSA-xg6x-h9c9-2m83 | `ConfirmsFromCache` | `sessions::confirmation_proves_presence`, `races::nothing_outlives_its_revocation` |
//! | E20 Mattermost CVE-2024-4183 | `NoCap` | `sessions::the_oldest_makes_room`, `races::as_many_survive_as_may` |
//! | E20 Mattermost CVE-2024-10214 | `CountsThenInserts` | `sessions::over_sessions_do_not_count`, `races::as_many_survive_as_may` |
//! | F1 Keycloak GHSA-m2w5-7xhv-w6fh | `ComparesThenRotates` | `races::one_of_many_rotations_wins` |
//! | F3 Keycloak PR #51885 | `WholeSeconds` | `sessions::inserted_is_loaded` |
//! | F12 Vault CVE-2020-25816 | `StretchesEnd` | `sessions::rotation_moves_one_generation` |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{Epoch, FeedItem, FeedPage, Phase, Reason, Scope, Seq};
use sessile_core::rotation::{Generation, RotationState};
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::record::{SealedAccount, SealedKey, SealedSession};
use sessile_store::{
    AccountChange, AccountCreation, AccountName, Accounts, Backend, Confirmation, Continuity, Durability, EventQuery,
    Events, FailureCount, Feed, Insertion, KeyAddition, KeyRevocation, Keys, MoveId, Moves, Revoked, RotateOutcome,
    SealedBlob, SessionCopy, Sessions, Stage, StageChange, StoreError, StoredEvent, Taken, TakingIn, ThrottleKey,
    Throttles, TokenAddition, TokenRow, Tokens, Use, conformance,
};
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing: the wrapper itself keeps the contract.
    None,
    /// Keeps moments in seconds.
    WholeSeconds,
    /// tower-sessions 0.12: creating overwrites.
    InsertUpserts,
    /// Knows no cap.
    NoCap,
    /// Counts the subject's sessions, then inserts.
    CountsThenInserts,
    /// Moves the absolute end with each rotation.
    StretchesEnd,
    /// Rotates whatever the generation is.
    IgnoresExpected,
    /// Keycloak GHSA-m2w5: compares the generation, then rotates.
    ComparesThenRotates,
    /// Rack CVE-2025-46336: saves back what it had loaded.
    SavesBack,
    /// Rotates sessions that are over.
    RevivesTheOver,
    /// Writes down any clock.
    BelievesClocks,
    /// Confirms whatever was presented.
    ConfirmsAnything,
    /// Answers from a cache.
    ConfirmsFromCache,
    /// Deletes without telling the feed.
    HidesEnds,
    /// Deletes first, tells the feed later.
    TellsLater,
    /// Ends what was there, reports what had been there.
    ReportsTheListed,
    /// Compares subjects without case.
    FoldsSubjects,
    /// Ends the session it was to keep.
    KeepsNobody,
    /// Ends all, one by one.
    AllOneByOne,
    /// Drops a record between two pages.
    SkipsOne,
    /// Sweeps by a clock of its own.
    SweepsTheLiving,
    /// Looks for what is over, then deletes it.
    LooksThenSweeps,
    /// Never tells what it forgot.
    LiesAboutOldest,
    /// Keeps the epoch over a loss.
    KeepsEpoch,
    /// Wakes nobody.
    SleepsThrough,
    /// Adds a key after whatever is there.
    AddsBlindly,
    /// Sorts keys by name.
    SortsKeys,
    /// Says "revoked" each time.
    RevokesAgain,
    /// Forgets the newest key too.
    ForgetsNewest,
    /// Says "created" each time.
    CreatesAlways,
    /// Says "changed" each time.
    ChangesAlways,
    /// Reads a counter, then writes it.
    ReadsThenCounts,
    /// Does not forget after a success.
    ForgetsNothing,
    /// Drops by age alone.
    SweepsByAgeAlone,
    /// Newest first.
    Reversed,
    /// The last witness wins.
    TakesAnyWitness,
    /// Adding a token's row overwrites.
    TokensUpsert,
    /// Adds a token's row without looking for its session.
    RegistersForAnybody,
    /// Finds tokens in a cache.
    FindsInCache,
    /// Drops a session's rows when it is renewed.
    RenewalDropsRows,
    /// Bounds no session's rows.
    KeepsAllRows,
    /// Writes down the last use it hears of.
    LastUseHeard,
    /// A use of what is not there creates it.
    UsesUpsert,
    /// Keeps its phase to itself: nodes are told, and the store goes on writing.
    PhaseIsAdvice,
    /// Goes to any stage from any.
    StagesBlindly,
    /// Looks at the phase, then writes.
    LooksThenWrites,
    /// Copies sessions without their tokens' rows.
    CopiesRecordsAlone,
    /// Takes sessions in as if they had just begun.
    TakesInAnew,
    /// Fills what is in use.
    FillsAnything,
}

/// Each flaw, and the checks that must notice it.
const MUSEUM: &[(Flaw, &[&str])] = &[
    (Flaw::WholeSeconds, &["sessions::inserted_is_loaded"]),
    (Flaw::InsertUpserts, &["sessions::taken_id_is_refused", "races::one_of_many_insertions_wins"]),
    (Flaw::NoCap, &["sessions::the_oldest_makes_room", "races::as_many_survive_as_may"]),
    (Flaw::CountsThenInserts, &["sessions::over_sessions_do_not_count", "races::as_many_survive_as_may"]),
    (Flaw::StretchesEnd, &["sessions::rotation_moves_one_generation"]),
    (Flaw::IgnoresExpected, &["sessions::rotation_expects_its_generation", "races::one_of_many_rotations_wins"]),
    (Flaw::ComparesThenRotates, &["races::one_of_many_rotations_wins"]),
    (Flaw::SavesBack, &["sessions::rotation_creates_nothing", "races::nothing_outlives_its_revocation"]),
    (Flaw::RevivesTheOver, &["sessions::over_sessions_do_not_rotate"]),
    (Flaw::BelievesClocks, &["sessions::time_does_not_go_back"]),
    (Flaw::ConfirmsAnything, &["sessions::confirmation_counts_once"]),
    (Flaw::ConfirmsFromCache, &["sessions::confirmation_proves_presence", "races::nothing_outlives_its_revocation"]),
    (
        Flaw::HidesEnds,
        &[
            "sessions::revocation_ends_one",
            "feed::entries_come_in_order_without_holes",
            "feed::a_follower_misses_nothing",
        ],
    ),
    (Flaw::TellsLater, &["feed::the_end_and_its_entry_are_one", "feed::a_follower_misses_nothing"]),
    (Flaw::ReportsTheListed, &["races::a_subject_is_ended_whole"]),
    (Flaw::FoldsSubjects, &["sessions::revocation_ends_a_subject"]),
    (Flaw::KeepsNobody, &["sessions::revocation_ends_the_others"]),
    (Flaw::AllOneByOne, &["sessions::revocation_ends_all"]),
    (Flaw::SkipsOne, &["sessions::pages_list_everything_once", "records::accounts_are_listed_in_pages"]),
    (Flaw::SweepsTheLiving, &["sessions::sweeping_takes_what_is_over"]),
    (Flaw::LooksThenSweeps, &["races::a_renewed_session_is_not_swept"]),
    (Flaw::LiesAboutOldest, &["feed::an_empty_feed_says_so", "feed::a_gap_is_told"]),
    (Flaw::KeepsEpoch, &["feed::a_new_history_ends_everything", "moves::a_store_is_filled_verbatim"]),
    (Flaw::SleepsThrough, &["feed::waiting_ends_with_a_change"]),
    (Flaw::AddsBlindly, &["races::one_of_many_keys_wins"]),
    (Flaw::SortsKeys, &["records::keys_keep_their_order"]),
    (Flaw::RevokesAgain, &["records::keys_are_revoked_for_good"]),
    (Flaw::ForgetsNewest, &["records::the_newest_key_is_kept"]),
    (Flaw::CreatesAlways, &["races::one_of_many_accounts_wins"]),
    (Flaw::ChangesAlways, &["records::accounts_are_found_and_changed"]),
    (Flaw::ReadsThenCounts, &["races::every_failure_counts"]),
    (Flaw::ForgetsNothing, &["records::failures_are_counted_and_cleared"]),
    (Flaw::SweepsByAgeAlone, &["records::a_flood_does_not_wash_locks_away", "records::events_are_forgotten"]),
    (Flaw::Reversed, &["records::events_are_read_both_ways"]),
    (Flaw::TakesAnyWitness, &["races::one_witness_is_kept"]),
    (Flaw::TokensUpsert, &["tokens::a_row_is_found_with_its_session"]),
    (Flaw::RegistersForAnybody, &["tokens::a_row_needs_a_live_session"]),
    (Flaw::FindsInCache, &["tokens::deleting_a_row_is_the_revocation", "tokens::rows_die_with_their_session"]),
    (Flaw::RenewalDropsRows, &["tokens::rows_outlive_renewal"]),
    (Flaw::KeepsAllRows, &["tokens::a_session_has_so_many_rows"]),
    (Flaw::LastUseHeard, &["tokens::uses_move_forward_alone"]),
    (Flaw::UsesUpsert, &["tokens::uses_create_nothing"]),
    (Flaw::PhaseIsAdvice, &["moves::a_store_that_is_left_changes_nothing", "moves::a_store_is_filled_verbatim"]),
    (Flaw::StagesBlindly, &["moves::a_stage_follows_the_expected_one"]),
    (Flaw::LooksThenWrites, &["moves::a_write_is_before_or_refused"]),
    (Flaw::CopiesRecordsAlone, &["moves::copies_are_whole"]),
    (Flaw::TakesInAnew, &["moves::a_store_is_filled_verbatim"]),
    (Flaw::FillsAnything, &["moves::only_an_empty_store_is_filled"]),
];

/// Whose failure a flaw is.
const PEERS: &[(&str, Flaw)] = &[
    ("E1 Rack CVE-2025-46336", Flaw::SavesBack),
    ("E6 tower-sessions 0.12.0", Flaw::InsertUpserts),
    ("E7 fastify-session#237", Flaw::ReadsThenCounts),
    ("E9 aiohttp-session CVE-2018-1000814", Flaw::RevivesTheOver),
    ("E15 Better Auth GHSA-xg6x-h9c9-2m83", Flaw::ConfirmsFromCache),
    ("E20 Mattermost CVE-2024-4183", Flaw::NoCap),
    ("E20 Mattermost CVE-2024-10214", Flaw::CountsThenInserts),
    ("F1 Keycloak GHSA-m2w5-7xhv-w6fh", Flaw::ComparesThenRotates),
    ("F3 Keycloak PR #51885", Flaw::WholeSeconds),
    ("F12 Vault CVE-2020-25816", Flaw::StretchesEnd),
];

/// The table above is these lists.
#[test]
fn the_table_is_the_lists() {
    let row = |(peer, flaw): &(&str, Flaw)| {
        let (_, noticed_by) = MUSEUM.iter().find(|(other, _)| other == flaw).expect("in the museum");
        let checks: Vec<String> = noticed_by.iter().map(|name| format!("`{name}`")).collect();
        format!("//! | {peer} | `{flaw:?}` | {} |", checks.join(", "))
    };
    let right: Vec<String> = PEERS.iter().map(row).collect();
    let table: Vec<&str> =
        include_str!("museum.rs").lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
    assert_eq!(table, right, "\n{}\n", right.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_flaw_is_caught() {
    let checks = conformance::checks();
    for (flaw, noticed_by) in MUSEUM {
        for name in *noticed_by {
            let check = checks.iter().find(|check| check.name == *name).expect("a check of this name");
            let verdict = check.run(Arc::new(Flawed::new(*flaw))).await;
            assert!(verdict.is_err(), "{name} did not notice a backend that {flaw:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_flaw_nothing_is_caught() {
    let make = || async { Arc::new(Flawed::new(Flaw::None)) as Arc<dyn Backend> };
    conformance::run(make).await.assert_passed();
}

#[test]
fn every_check_catches_something() {
    let all: BTreeSet<&str> = conformance::checks().into_iter().map(|check| check.name).collect();
    let used: BTreeSet<&str> = MUSEUM.iter().flat_map(|(_, noticed_by)| noticed_by.iter().copied()).collect();
    assert_eq!(all, used);
}

/// A store in memory with one flaw.
#[derive(Debug)]
pub(crate) struct Flawed {
    flaw: Flaw,
    inner: MemoryStore,
    seen: Mutex<BTreeMap<SessionId, SealedSession>>,
    forgotten: Mutex<Vec<KeyId>>,
    epoch: Mutex<Option<Epoch>>,
    untold: Mutex<Option<(Instant, Seq)>>,
    /// Every token's row that was ever added.
    rows: Mutex<BTreeMap<TokenId, TokenRow>>,
    heard: Mutex<Option<Timestamp>>,
    /// The stage, where the store beneath is not told.
    stage: Mutex<Stage>,
}

impl Flawed {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            inner: MemoryStore::new(),
            seen: Mutex::default(),
            forgotten: Mutex::default(),
            epoch: Mutex::default(),
            untold: Mutex::default(),
            rows: Mutex::default(),
            heard: Mutex::default(),
            stage: Mutex::default(),
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn remembered(&self, id: SessionId) -> Option<SealedSession> {
        self.seen.lock().unwrap().get(&id).cloned()
    }

    fn shown(&self, mut record: SealedSession) -> SealedSession {
        if self.is(Flaw::WholeSeconds) {
            record.absolute_end = Timestamp::from_secs(record.absolute_end.as_secs());
        }
        if self.is(Flaw::StretchesEnd) {
            record.absolute_end = record.absolute_end.plus(Duration::from_secs(record.rotation.generation));
        }
        record
    }

    fn keeps_its_stage(&self) -> bool {
        matches!(self.flaw, Flaw::PhaseIsAdvice | Flaw::LooksThenWrites)
    }

    async fn save_back(&self, id: SessionId) -> Result<(), StoreError> {
        if let Some(record) = self.remembered(id).filter(|_| self.is(Flaw::SavesBack)) {
            // What the slow request had loaded.
            self.inner.insert(record, 1000).await?;
        }
        Ok(())
    }
}

const A_WHILE: Duration = Duration::from_millis(2);

#[async_trait]
impl Sessions for Flawed {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        self.seen.lock().unwrap().insert(session.id, session.clone());
        match self.flaw {
            Flaw::InsertUpserts => {
                self.inner.revoke(&Scope::Session(session.id), Reason::Replaced, session.created_at).await?;
                self.inner.insert(session, cap).await
            }
            Flaw::NoCap => self.inner.insert(session, u32::MAX).await,
            Flaw::CountsThenInserts => {
                let mut others = self.inner.list(Some(&session.subject), None, 1000).await?;
                sleep(A_WHILE).await;
                others.sort_by_key(|other| other.created_at);
                let excess = (others.len() + 1).saturating_sub(cap as usize);
                let mut evicted = Vec::new();
                for other in others.into_iter().take(excess) {
                    let scope = Scope::Session(other.id);
                    evicted.extend(self.inner.revoke(&scope, Reason::Evicted, session.created_at).await?.ended);
                }
                self.inner.insert(session, u32::MAX).await?;
                Ok(Insertion::Inserted { evicted })
            }
            _ => self.inner.insert(session, cap).await,
        }
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        Ok(self.inner.load(id).await?.map(|record| self.shown(record)))
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        if self.is(Flaw::LooksThenWrites) {
            let phase = self.stage.lock().unwrap().phase;
            sleep(A_WHILE).await;
            if phase != Phase::Serving {
                return Err(StoreError::NotServing(phase));
            }
        }
        let (mut expected, mut asked) = (expected, now);
        let found = self.inner.load(id).await?;
        match (self.flaw, &found) {
            (Flaw::IgnoresExpected, Some(record)) => expected = record.rotation.generation,
            (Flaw::ComparesThenRotates, Some(record)) if record.rotation.generation == expected => {
                sleep(A_WHILE).await;
                expected = self.inner.load(id).await?.map_or(expected, |record| record.rotation.generation);
            }
            (Flaw::RevivesTheOver, Some(record)) => asked = record.last_seen_at,
            (Flaw::SavesBack, _) => self.save_back(id).await?,
            _ => {}
        }
        if self.is(Flaw::RenewalDropsRows) {
            for row in self.inner.list_tokens(id).await? {
                self.inner.remove_token(row.id).await?;
            }
        }
        Ok(match self.inner.rotate(id, expected, asked).await? {
            RotateOutcome::Rotated(mut record) => {
                if self.is(Flaw::BelievesClocks) {
                    record.rotation.rotated_at = now;
                }
                RotateOutcome::Rotated(self.shown(record))
            }
            other => other,
        })
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        match (self.flaw, self.inner.load(id).await?) {
            (Flaw::ConfirmsAnything, Some(record)) => self.inner.confirm(id, record.rotation.generation, now).await,
            (Flaw::ConfirmsFromCache, None) => Ok(self.remembered(id).map_or(Confirmation::Gone, Confirmation::Live)),
            (Flaw::SavesBack, _) => {
                self.save_back(id).await?;
                self.inner.confirm(id, generation, now).await
            }
            _ => self.inner.confirm(id, generation, now).await,
        }
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        if self.is(Flaw::TellsLater) {
            let head = self.inner.feed(Seq(0), 0).await?.head;
            self.untold.lock().unwrap().get_or_insert((Instant::now(), head));
        }
        match (self.flaw, scope) {
            (Flaw::ReportsTheListed, Scope::Subject(subject)) => {
                let listed = self.inner.list(Some(subject), None, 1000).await?;
                sleep(A_WHILE).await;
                let seq = self.inner.revoke(scope, reason, now).await?.seq;
                Ok(Revoked { ended: listed.into_iter().map(|record| record.id).collect(), seq })
            }
            (Flaw::FoldsSubjects, Scope::Subject(subject)) => {
                let mut ended = Vec::new();
                for record in self.inner.list(None, None, 1000).await? {
                    if record.subject.as_str().eq_ignore_ascii_case(subject.as_str()) {
                        ended.extend(self.inner.revoke(&Scope::Session(record.id), reason, now).await?.ended);
                    }
                }
                Ok(Revoked { ended, seq: self.inner.feed(Seq(0), 0).await?.head })
            }
            (Flaw::KeepsNobody, Scope::SubjectExcept(subject, _)) => {
                self.inner.revoke(&Scope::Subject(subject.clone()), reason, now).await
            }
            (Flaw::AllOneByOne, Scope::All) => {
                let mut ended = Vec::new();
                for record in self.inner.list(None, None, 1000).await? {
                    ended.extend(self.inner.revoke(&Scope::Session(record.id), reason, now).await?.ended);
                }
                Ok(Revoked { ended, seq: self.inner.feed(Seq(0), 0).await?.head })
            }
            _ => self.inner.revoke(scope, reason, now).await,
        }
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        let mut page = self.inner.list(subject, after, limit).await?;
        if self.is(Flaw::SkipsOne) && after.is_some() && !page.is_empty() {
            page.remove(0);
        }
        Ok(page)
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        match self.flaw {
            Flaw::SweepsTheLiving => self.inner.sweep(now.plus(Duration::from_secs(1800)), limit).await,
            Flaw::LooksThenSweeps => {
                let all = self.inner.list(None, None, 1000).await?;
                sleep(A_WHILE).await;
                let over: Vec<_> = all.into_iter().filter(|record| record.is_over(now)).collect();
                for record in &over {
                    self.inner.revoke(&Scope::Session(record.id), Reason::SignOut, now).await?;
                }
                Ok(over.len() as u32)
            }
            _ => self.inner.sweep(now, limit).await,
        }
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.inner.count().await
    }
}

#[async_trait]
impl Feed for Flawed {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        let mut page = self.inner.feed(after, limit).await?;
        if self.keeps_its_stage() {
            page.phase = self.stage.lock().unwrap().phase;
        }
        if self.is(Flaw::HidesEnds) {
            page.entries.retain(|entry| !matches!(entry.item, FeedItem::Ended(..)));
        }
        if let Some((_, told)) = self.untold.lock().unwrap().filter(|(since, _)| since.elapsed() < 10 * A_WHILE) {
            page.entries.retain(|entry| entry.seq <= told);
            page.head = told;
        }
        if self.is(Flaw::LiesAboutOldest) {
            page.oldest = Seq(0);
        }
        if self.is(Flaw::KeepsEpoch) {
            page.epoch = *self.epoch.lock().unwrap().get_or_insert(page.epoch);
        }
        Ok(page)
    }

    async fn changed(&self, after: Seq) {
        match self.flaw {
            Flaw::SleepsThrough => sleep(Duration::from_secs(1)).await,
            _ => self.inner.changed(after).await,
        }
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        self.inner.continuity().await
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.inner.restart_history(reason, now).await
    }
}

#[async_trait]
impl Keys for Flawed {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        let mut keys = self.inner.load_keys().await?;
        if self.is(Flaw::SortsKeys) {
            keys.sort_by(|one, other| one.id.cmp(&other.id));
        }
        keys.retain(|key| !self.forgotten.lock().unwrap().contains(&key.id));
        Ok(keys)
    }

    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        if self.is(Flaw::AddsBlindly) {
            loop {
                let known = self.inner.load_keys().await?;
                let newest = known.last().map(|key| key.id.clone());
                let added = self.inner.add_key(key.clone(), newest.as_ref()).await?;
                if added == KeyAddition::Added || known.iter().any(|other| other.id == key.id) {
                    return Ok(added);
                }
            }
        }
        self.inner.add_key(key, expected_newest).await
    }

    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        let outcome = self.inner.revoke_key(id, now).await?;
        Ok(if self.is(Flaw::RevokesAgain) { KeyRevocation::Revoked } else { outcome })
    }

    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        if self.is(Flaw::ForgetsNewest) {
            self.forgotten.lock().unwrap().extend_from_slice(ids);
        }
        self.inner.forget_keys(ids, now).await
    }
}

#[async_trait]
impl Accounts for Flawed {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        let outcome = self.inner.create_account(account).await?;
        Ok(if self.is(Flaw::CreatesAlways) { AccountCreation::Created } else { outcome })
    }

    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        self.inner.find_account(name).await
    }

    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        self.inner.set_password(name, sealed, seen, now).await
    }

    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        let outcome = self.inner.set_disabled(name, since).await?;
        Ok(if self.is(Flaw::ChangesAlways) { AccountChange::Changed } else { outcome })
    }

    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        let mut page = self.inner.list_accounts(after, limit).await?;
        if self.is(Flaw::SkipsOne) && after.is_some() && !page.is_empty() {
            page.remove(0);
        }
        Ok(page)
    }
}

#[async_trait]
impl Tokens for Flawed {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        if self.is(Flaw::TokensUpsert) {
            self.inner.remove_token(row.id).await?;
        }
        let added = self.inner.add_token(row.clone()).await?;
        self.rows.lock().unwrap().insert(row.id, row);
        Ok(match (self.flaw, added) {
            (Flaw::RegistersForAnybody, TokenAddition::Gone) => TokenAddition::Added,
            (_, added) => added,
        })
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        let found = self.inner.find_token(id).await?;
        let known = self.rows.lock().unwrap().get(&id).cloned();
        Ok(match (self.flaw, found, known) {
            (Flaw::FindsInCache, None, Some(row)) => self.remembered(row.session).map(|record| (row, record)),
            (Flaw::UsesUpsert, None, Some(row)) => self.remembered(row.session).map(|record| (row, record)),
            (Flaw::LastUseHeard, Some((row, record)), _) => {
                Some((TokenRow { last_used_at: *self.heard.lock().unwrap(), ..row }, record))
            }
            (_, found, _) => found,
        })
    }

    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        if self.is(Flaw::KeepsAllRows) {
            let rows = self.rows.lock().unwrap();
            return Ok(rows.values().filter(|row| row.session == session).cloned().collect());
        }
        self.inner.list_tokens(session).await
    }

    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        self.inner.remove_token(id).await
    }

    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        for one in uses {
            *self.heard.lock().unwrap() = Some(one.at);
            if let (Flaw::UsesUpsert, Some(token)) = (self.flaw, one.token) {
                let row = TokenRow {
                    id: token,
                    session: one.session,
                    subject: "anna".parse().unwrap(),
                    issued_at: one.at,
                    expires_at: one.at.plus(Duration::from_secs(60)),
                    last_used_at: None,
                };
                self.rows.lock().unwrap().entry(token).or_insert(row);
            }
        }
        self.inner.note_uses(uses).await
    }
}

#[async_trait]
impl Throttles for Flawed {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        if self.is(Flaw::ReadsThenCounts) {
            let found = self.inner.failures(key).await?;
            sleep(A_WHILE).await;
            self.inner.note_failure(key, now).await?;
            return Ok(found.one_more(now));
        }
        self.inner.note_failure(key, now).await
    }

    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        self.inner.failures(key).await
    }

    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        if self.is(Flaw::ForgetsNothing) { Ok(()) } else { self.inner.clear_failures(key).await }
    }

    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        let keep = if self.is(Flaw::SweepsByAgeAlone) { u64::MAX } else { keep };
        self.inner.sweep_failures(before, keep).await
    }
}

#[async_trait]
impl Events for Flawed {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        self.inner.append_events(events).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let mut found = self.inner.events(query).await?;
        if self.is(Flaw::Reversed) {
            found.reverse();
        }
        Ok(found)
    }

    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        let keep = if self.is(Flaw::SweepsByAgeAlone) { u64::MAX } else { keep };
        self.inner.sweep_events(before, keep).await
    }
}

#[async_trait]
impl Backend for Flawed {
    fn name(&self) -> &'static str {
        "flawed"
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        if self.is(Flaw::TakesAnyWitness) { Ok(witness) } else { self.inner.master_witness(witness).await }
    }
}

#[async_trait]
impl Moves for Flawed {
    async fn stage(&self) -> Result<Stage, StoreError> {
        if self.keeps_its_stage() { Ok(*self.stage.lock().unwrap()) } else { self.inner.stage().await }
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        match self.flaw {
            Flaw::PhaseIsAdvice | Flaw::LooksThenWrites => {
                *self.stage.lock().unwrap() = next;
                Ok(StageChange::Changed)
            }
            Flaw::StagesBlindly => self.inner.set_stage(self.inner.stage().await?, next).await,
            Flaw::FillsAnything if next.phase == Phase::Filling => {
                self.inner.set_stage(expected, Stage { phase: Phase::Moving, ..next }).await
            }
            _ => self.inner.set_stage(expected, next).await,
        }
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        let mut copies = self.inner.copies(after, limit).await?;
        if self.is(Flaw::CopiesRecordsAlone) {
            copies.iter_mut().for_each(|copy| copy.tokens.clear());
        }
        Ok(copies)
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        let mut items = items.to_vec();
        if self.is(Flaw::TakesInAnew) {
            for item in &mut items {
                if let Taken::Session(SessionCopy { session, .. }) = item {
                    session.rotation = RotationState::first(session.created_at);
                }
            }
        }
        self.inner.take_in(of, &items).await
    }
}
