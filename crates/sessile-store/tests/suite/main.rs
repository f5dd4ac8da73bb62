//! What the store promises, proved from outside.

mod conformance;
mod crash;
mod faults;
mod master_key;
mod migration;
mod museum;
mod postgres_access;
mod postgres_conformance;
mod postgres_crash;
mod postgres_faults;
mod postgres_feed;
mod postgres_world;
mod redis_cluster;
mod redis_conformance;
mod redis_crash;
mod redis_errors;
mod redis_faults;
mod redis_topologies;
mod redis_world;
mod sealing;
mod sqlite_faults;
mod sqlite_files;
mod vault;
mod weak_end;
mod world;
