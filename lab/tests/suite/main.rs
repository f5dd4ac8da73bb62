//! The lab judged from outside: over HTTP, by a visitor that is not a browser but does what the lab asks of one.

mod api;
mod silence;
mod twin;
mod verdict;
mod visitor;
