//! How far Sessile goes: what one session costs, measured on real servers ([`units`]), and what many of them come to on many
//! nodes, simulated by the program's own rules ([`simulation`]). The figures of `docs/scale.md` come from here.

pub mod simulation;
pub mod units;
