//! What is measured, a file for each case.

mod cold;
mod memory;
mod renewals;
mod revocation;
mod sessions;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::gateway::{Gateway, Settings};
use crate::load::Wrk;
use crate::machine::Cores;
use crate::report::Outcome;
use crate::size::Size;
use crate::store::{Filling, Store};

/// A case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// Renewals beside single commits.
    Renewals,
    /// A full store beside a nearly empty one.
    Sessions,
    /// Resident memory.
    Memory,
    /// A revocation beside a round trip to the store.
    Revocation,
    /// The first sight of a token beside a bare signature check.
    Cold,
}

impl Case {
    /// All of them, in the order in which they are measured: no case may use a session that a later one must be the first to use.
    pub const ALL: [Self; 5] = [Self::Renewals, Self::Sessions, Self::Memory, Self::Revocation, Self::Cold];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Renewals => "renewals",
            Self::Sessions => "sessions",
            Self::Memory => "memory",
            Self::Revocation => "revocation",
            Self::Cold => "cold",
        }
    }

    /// Measures it.
    ///
    /// # Panics
    ///
    /// If anything is not as expected.
    pub fn measure(self, bench: &Bench) -> Outcome {
        let (load, begun) = (sessile_scale::units::load_average(), Instant::now());
        let outcome = match self {
            Self::Renewals => renewals::measure(bench),
            Self::Sessions => sessions::measure(bench),
            Self::Memory => memory::measure(bench),
            Self::Revocation => revocation::measure(bench),
            Self::Cold => cold::measure(bench),
        };
        Outcome { seconds: begun.elapsed().as_secs_f64(), load, ..outcome }
    }
}

/// What the cases have in common.
#[derive(Debug)]
pub struct Bench {
    /// The binary that is measured.
    pub program: PathBuf,
    /// Which core does what.
    pub cores: Cores,
    /// How much is measured.
    pub size: Size,
    app: App,
    wrk: Wrk,
    middle: OnceLock<Store>,
    full: OnceLock<Store>,
}

impl Bench {
    /// Prepares to measure.
    ///
    /// # Panics
    ///
    /// If the app cannot listen.
    pub fn new(program: PathBuf, size: Size) -> Self {
        let cores = Cores::of_this_process();
        let (app, wrk) = (App::start(cores.load), Wrk::on(cores.load));
        Self { program, cores, size, app, wrk, middle: OnceLock::new(), full: OnceLock::new() }
    }

    fn gateway(&self, store: &Store, further: &[(&'static str, String)]) -> Gateway {
        Gateway::start(&Settings {
            program: &self.program,
            core: self.cores.gateway,
            data: store.directory(),
            master: &store.master,
            app: Some(&self.app),
            further: further.to_vec(),
        })
    }

    // Those in use, and those that are seen for the first time in some round.
    fn fresh(&self) -> usize {
        self.size.fresh * self.size.rounds
    }

    /// A store in which everybody's cookies are kept: those that are used again and again first, then `fresh`.
    fn middle(&self) -> &Store {
        let visitors = self.size.active.max(self.size.many) + self.fresh();
        self.middle.get_or_init(|| Store::filled(Filling { visitors, others: 0, age: Duration::ZERO }))
    }

    /// The full store: those of its sessions that are used again and again first, then `fresh`.
    fn full(&self) -> &Store {
        let visitors = self.size.many + self.fresh();
        let others = self.size.live.saturating_sub(visitors);
        self.full.get_or_init(|| Store::filled(Filling { visitors, others, age: Duration::ZERO }))
    }
}

impl Outcome {
    // Time and load are noted by whoever called the case.
    fn of(method: String, figures: Vec<crate::report::Figure>, comparisons: Vec<crate::report::Comparison>) -> Self {
        Self { method, figures, comparisons, seconds: 0.0, load: 0.0 }
    }
}

/// The order of a round: every second one goes backwards, so that nobody is always first.
fn in_turn<T>(round: usize, mut all: Vec<T>) -> Vec<T> {
    if round % 2 == 1 {
        all.reverse();
    }
    all
}
