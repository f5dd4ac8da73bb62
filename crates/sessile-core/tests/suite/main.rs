//! What core promises, one module per part. Each test names the requirement it proves.

mod revocation;
mod rotation;
mod rotation_model;
mod session;
