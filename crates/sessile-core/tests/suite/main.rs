//! What core promises, one module per part. Each test names the requirement it proves.

mod client;
mod cookie;
mod cors;
mod csrf;
mod headers;
mod json;
mod origin;
mod return_to;
mod revocation;
mod revocation_model;
mod rotation;
mod rotation_model;
mod scan;
mod session;
mod storage;
mod token_claims;
mod token_form;
mod token_keys;
mod token_mint;
mod token_world;
