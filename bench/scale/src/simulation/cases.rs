//! The deployments of the page, from one machine to a thousand nodes.

use serde::Serialize;

use super::{Case, Network, Outcome, Plan, Rules, Traffic, run};

/// Nodes and live sessions.
const SIZES: [(u32, u64); 5] = [(1, 10_000), (3, 1_000_000), (30, 10_000_000), (300, 30_000_000), (1000, 100_000_000)];
/// Sessions that are simulated one by one at most.
const SAMPLE: u32 = 40_000;
const SEED: u64 = 1;

/// What `simulate` prints.
#[derive(Debug, Serialize)]
pub struct Page {
    /// How people use the app; `affinity` differs between the outcomes.
    pub traffic: Traffic,
    /// What the network does.
    pub network: Network,
    /// When things happen.
    pub plan: Plan,
    /// Where the random numbers begin.
    pub seed: u64,
    /// The deployments.
    pub outcomes: Vec<Outcome>,
    /// One deployment with samples of several sizes: what a sample says of the whole must not depend on its size.
    pub samples: Vec<Outcome>,
    /// A small deployment, whole and sampled, that the tests run again.
    pub small: Vec<Outcome>,
}

/// Runs every deployment of the page; tells which one it is at.
pub fn page(mut tell: impl FnMut(&Case)) -> Page {
    let mut one = |case: Case, plan: Plan| {
        tell(&case);
        run(case, Rules::of_program(std::time::Duration::from_secs(case.access_secs)), plan)
    };
    let mut outcomes = Vec::new();
    for traffic in [Traffic::STICKY, Traffic::SCATTERED] {
        for access_secs in [300, 900] {
            for (nodes, sessions) in SIZES {
                if nodes == 1 && traffic.affinity == 0.0 {
                    continue;
                }
                let sample = SAMPLE.min(u32::try_from(sessions).unwrap_or(SAMPLE));
                outcomes.push(one(case(nodes, sessions, access_secs, sample, traffic), Plan::FULL));
            }
        }
    }
    let samples =
        [10_000, 20_000, 80_000].map(|sample| one(case(3, 1_000_000, 300, sample, Traffic::STICKY), Plan::FULL));
    let small = SMALL.map(|sample| one(small(sample), Plan::SHORT));
    Page {
        traffic: Traffic::STICKY,
        network: Network::LOCAL,
        plan: Plan::FULL,
        seed: SEED,
        outcomes,
        samples: samples.into(),
        small: small.into(),
    }
}

/// Sizes of the samples of the small deployment; the last is all of it.
pub const SMALL: [u32; 2] = [1000, 4000];

/// The small deployment: four nodes, so that each disturbance has one of its own.
pub fn small(sample: u32) -> Case {
    case(4, 4000, 300, sample, Traffic::STICKY)
}

fn case(nodes: u32, sessions: u64, access_secs: u64, sample: u32, traffic: Traffic) -> Case {
    Case { nodes, sessions, access_secs, sample, traffic, network: Network::LOCAL, seed: SEED }
}
