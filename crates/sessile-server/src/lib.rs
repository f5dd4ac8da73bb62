//! The sessile binary's parts.

pub mod cli;
pub mod config;
pub mod gateway;
pub mod log;
pub mod ops;
pub mod output;
pub mod views;
