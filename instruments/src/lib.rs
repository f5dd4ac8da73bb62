//! The instruments of the fault tests: what Sessile depends on, made to fail as a test wants it.
//!
//! * [`servers`]: real PostgreSQL and Redis servers on the loopback, which can be killed, frozen and started again.
//! * [`fault_proxy`]: stands between a client and a server, and delays, loses, cuts or spoils what passes.
//! * [`fakes`]: servers that are made up, for answers that a real one gives too rarely.
//!
//! The Rust tests use them as this library, those in `e2e` as the binary `sessile-instruments`. An instrument that
//! cannot do its work panics: a test without it would prove nothing.

pub mod fakes;
pub mod fault_proxy;
pub mod servers;
