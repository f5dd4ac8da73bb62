//! Sessile keeps a web app's JWTs where scripts cannot take them.
//!
//! This crate is the engine, and the tower layer and axum extractors for a Rust service that wants it without
//! the gateway. [`Engine`] orchestrates what `sessile-core` decides and `sessile-store` keeps;
//! [`SessileLayer`] guards a service; [`extract::Session`] tells a handler who is signed in.

pub mod arrival;
pub mod clock;
pub mod config;
pub mod engine;
pub mod extract;
pub mod fields;
pub mod guard;
mod layer;
pub mod log;
pub mod metrics;
mod node;
mod pages;
pub mod password;
pub mod respond;
pub mod sharing;
pub mod streams;
pub mod surface;

pub use arrival::{Arrival, Peer};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ApiClient, EngineConfig, KeyPolicy};
pub use engine::{Actor, Admission, Engine, EngineError, Pass, Proof, SignInError, SignedIn, StartError, Which};
pub use extract::Session;
pub use guard::{Access, Forward, Guarded, PastStaleness, RoutePolicy};
pub use layer::{GuardedBody, Sessile, SessileLayer};
pub use {sessile_core as core, sessile_store as store};
