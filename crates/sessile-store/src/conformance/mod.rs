//! The contract of a backend as a suite of checks, for every backend, ours and others'.
//!
//! ```
//! # use std::sync::Arc;
//! # use sessile_store::{Backend, conformance, memory::MemoryStore};
//! # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let report = conformance::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Backend> }).await;
//! report.assert_passed();
//! # });
//! ```
//!
//! Each check gets an empty store of its own. Run it on a multi-thread runtime with time enabled: half of the
//! checks are races, and on one thread most races do not happen. A check that passes proves nothing about a
//! backend's durability; that needs a process to kill (see `tests/suite/crash.rs` of this crate).
//!
//! The suite itself is tested against deliberately broken backends (`tests/suite/museum.rs`): each must fail it.

mod feed;
mod moves;
mod races;
mod records;
mod sessions;
mod tokens;
mod world;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::Backend;
use crate::error::StoreError;

type Running = Pin<Box<dyn Future<Output = Result<(), Violation>> + Send>>;

/// One property of the contract.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, `module::function` within this suite.
    pub name: &'static str,
    /// What it proves: requirement, invariant or fault row.
    pub proves: &'static str,
    run: fn(Arc<dyn Backend>) -> Running,
}

impl Check {
    /// Runs it on an empty store; no answer within a minute is a violation too.
    pub async fn run(&self, store: Arc<dyn Backend>) -> Result<(), Violation> {
        const LONGEST: Duration = Duration::from_secs(60);
        let late = |_| Err(Violation(format!("no end within {LONGEST:?}")));
        tokio::time::timeout(LONGEST, (self.run)(store)).await.unwrap_or_else(late)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({}: {})", self.name, self.proves)
    }
}

/// How a backend breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl From<StoreError> for Violation {
    fn from(fault: StoreError) -> Self {
        Self(format!("the store failed: {fault}"))
    }
}

/// What became of each check.
#[derive(Debug)]
pub struct Report {
    /// In the order they ran.
    pub outcomes: Vec<(Check, Result<(), Violation>)>,
}

impl Report {
    /// The names of the checks that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(check, _)| check.name).collect()
    }

    /// Panics with every violation, unless there is none.
    pub fn assert_passed(&self) {
        let violations: Vec<String> = self
            .outcomes
            .iter()
            .filter_map(|(check, outcome)| {
                outcome.as_ref().err().map(|violation| format!("{} ({}): {violation}", check.name, check.proves))
            })
            .collect();
        assert!(violations.is_empty(), "the backend breaks its contract:\n  {}", violations.join("\n  "));
    }
}

/// Runs every check, each on a store that `make` has just made.
pub async fn run<F, Fut>(make: F) -> Report
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Backend>>,
{
    let mut outcomes = Vec::new();
    for check in checks() {
        let outcome = check.run(make().await).await;
        outcomes.push((check, outcome));
    }
    Report { outcomes }
}

macro_rules! checks {
    ($($module:ident::$name:ident proves $what:literal;)+) => {
        /// Every check, to run one by one.
        pub fn checks() -> Vec<Check> {
            vec![$(Check {
                name: concat!(stringify!($module), "::", stringify!($name)),
                proves: $what,
                run: |store| Box::pin($module::$name(store)),
            }),+]
        }
    };
}

checks! {
    sessions::inserted_is_loaded proves "I12; T4: the ends of time too";
    sessions::taken_id_is_refused proves "I12, E6";
    sessions::the_oldest_makes_room proves "R-029";
    sessions::over_sessions_do_not_count proves "R-029";
    sessions::rotation_moves_one_generation proves "I3, I10, I13";
    sessions::rotation_expects_its_generation proves "I1, I3";
    sessions::rotation_creates_nothing proves "I8, E1";
    sessions::over_sessions_do_not_rotate proves "I10, I11";
    sessions::time_does_not_go_back proves "T3, F3";
    sessions::confirmation_counts_once proves "I6";
    sessions::confirmation_proves_presence proves "I8, E1";
    sessions::revocation_ends_one proves "I8, S3";
    sessions::revocation_ends_a_subject proves "I9";
    sessions::revocation_ends_the_others proves "I9";
    sessions::revocation_ends_all proves "I9";
    sessions::pages_list_everything_once proves "R-018, K2";
    sessions::sweeping_takes_what_is_over proves "S23, R-177";
    tokens::a_row_is_found_with_its_session proves "the token registry";
    tokens::a_row_needs_a_live_session proves "I8, E1";
    tokens::deleting_a_row_is_the_revocation proves "R-069, I8";
    tokens::rows_die_with_their_session proves "I8, I9";
    tokens::rows_outlive_renewal proves "the token registry";
    tokens::a_session_has_so_many_rows proves "R-177";
    tokens::uses_move_forward_alone proves "R-022, T3";
    tokens::uses_create_nothing proves "I8, E1";
    races::one_of_many_rotations_wins proves "R-173, I1, F1";
    races::as_many_survive_as_may proves "R-029, R-173";
    races::one_of_many_insertions_wins proves "I12, R-173";
    races::nothing_outlives_its_revocation proves "I8, E1";
    races::a_subject_is_ended_whole proves "I9";
    races::a_renewed_session_is_not_swept proves "S23";
    races::one_of_many_keys_wins proves "R-173";
    races::one_of_many_accounts_wins proves "R-173";
    races::every_failure_counts proves "K6, R-173";
    races::one_witness_is_kept proves "X5";
    feed::an_empty_feed_says_so proves "I16";
    feed::entries_come_in_order_without_holes proves "I7, N6";
    feed::a_follower_misses_nothing proves "I7, N4";
    feed::the_end_and_its_entry_are_one proves "I7, I8";
    feed::waiting_ends_with_a_change proves "I7";
    feed::a_gap_is_told proves "S10, N4";
    feed::a_new_history_ends_everything proves "S7, I16";
    records::keys_keep_their_order proves "I19";
    records::keys_are_revoked_for_good proves "X4";
    records::the_newest_key_is_kept proves "X3";
    records::accounts_are_found_and_changed proves "R-173";
    records::accounts_are_listed_in_pages proves "K2";
    records::failures_are_counted_and_cleared proves "K6";
    records::a_flood_does_not_wash_locks_away proves "R-177";
    records::events_are_read_both_ways proves "R-168";
    records::events_are_forgotten proves "R-177";
    moves::a_store_that_is_left_changes_nothing proves "I8, I17: nothing is acknowledged that the other store would not have";
    moves::a_stage_follows_the_expected_one proves "R-173";
    moves::a_write_is_before_or_refused proves "I8, I17, R-173";
    moves::copies_are_whole proves "I12, K2";
    moves::a_store_is_filled_verbatim proves "I8, I10, I13";
    moves::only_an_empty_store_is_filled proves "I8, E1";
}

macro_rules! ensure {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Violation(format!($($otherwise)+)));
        }
    };
}

macro_rules! ensure_eq {
    ($found:expr, $right:expr, $($what:tt)+) => {{
        match (&$found, &$right) {
            (found, right) => {
                ensure!(found == right, "{}: found {found:?}, right is {right:?}", format!($($what)+));
            }
        }
    }};
}

use {ensure, ensure_eq};
