//! The engine, the HTTP surface and the layers, on real stores.

mod flaky;
mod layers;
mod moving;
mod outage;
mod password;
mod password_throttle;
mod renewal;
mod respond;
mod storages;
mod surface_client;
mod surface_http;
mod surface_sessions;
mod surface_sign_in;
mod surface_sign_out;
mod surface_tokens;
mod surface_verify;
mod waiting;
mod world;
