//! The binary's parts: configuration, command line, operations listener, log; and the gateway.

mod cli_commands;
mod cli_migrate;
mod cli_refusals;
mod cli_serve;
mod cli_world;
mod config_corpus;
mod config_defaults;
mod config_reading;
mod config_secrets;
mod gateway_drain;
mod gateway_faults;
mod gateway_files;
mod gateway_headers;
mod gateway_paths;
mod gateway_sign_in;
mod gateway_streams;
mod gateway_tls;
mod gateway_world;
mod log_lines;
mod ops_api;
mod ops_gate;
mod ops_world;
