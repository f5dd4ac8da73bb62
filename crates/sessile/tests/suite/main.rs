//! The engine, the HTTP surface and the layers, on real stores.

mod flaky;
mod layers;
mod outage;
mod renewal;
mod surface_client;
mod surface_http;
mod world;
