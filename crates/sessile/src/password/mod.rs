//! Password accounts: which passwords may be chosen, how they are kept and checked, and how guessing is slowed.
//!
//! [`Accounts`] is what the command line uses on a vault, with or without an engine beside it. An engine checks
//! passwords by [`Engine::sign_in_with_password`](crate::Engine::sign_in_with_password).

mod accounts;
mod blocklist;
mod hash;
mod policy;
mod sign_in;
mod throttle;

pub use accounts::{AccountError, Accounts};
pub use blocklist::Blocklist;
pub use hash::{Argon2Cost, HashFault, HashingPool, Verdict};
pub use policy::{PasswordPolicy, PasswordRefused};
pub use sign_in::{PasswordAttempt, PasswordSignIn, PasswordSignInError};
pub use throttle::ThrottlePolicy;
