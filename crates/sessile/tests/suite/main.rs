//! The engine, the HTTP surface and the layers, on real stores.

mod renewal;
mod world;
