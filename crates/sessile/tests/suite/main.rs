//! The engine, the HTTP surface and the layers, on real stores.

mod counting;
mod flaky;
mod layers;
mod moving;
mod museum;
mod nth_operation;
mod outage;
mod pace;
mod password;
mod password_throttle;
#[allow(dead_code)] // What the tests of the store need of it besides.
#[path = "../../../sessile-store/tests/suite/postgres_world.rs"]
mod postgres_world;
#[allow(dead_code)]
#[path = "../../../sessile-store/tests/suite/redis_world.rs"]
mod redis_world;
mod renewal;
mod respond;
mod storages;
mod store_operations;
mod surface_client;
mod surface_http;
mod surface_sessions;
mod surface_sign_in;
mod surface_sign_out;
mod surface_tokens;
mod surface_verify;
mod waiting;
mod world;
