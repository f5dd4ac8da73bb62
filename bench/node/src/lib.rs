//! What one node does, measured beside what its own machine can do: renewals beside single commits, a full store beside a
//! nearly empty one, a revocation beside a round trip to the store, the first sight of a token beside a bare signature check,
//! and resident memory. The figures of `docs/measured/node.json` come from here.
//!
//! Whatever is counted was answered as expected; a run in which anything else happens panics. What is compared is measured in
//! turns, and a comparison is made within each round.

pub mod app;
pub mod cases;
pub mod client;
pub mod gateway;
pub mod load;
pub mod machine;
pub mod report;
pub mod size;
pub mod store;
