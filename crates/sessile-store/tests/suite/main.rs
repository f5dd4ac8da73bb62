//! What the store promises, proved from outside.

mod conformance;
mod crash;
mod faults;
mod master_key;
mod museum;
mod sealing;
mod sqlite_faults;
mod sqlite_files;
mod vault;
mod world;
