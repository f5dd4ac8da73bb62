//! Tests of the wire gate. What clients send stands in the corpus beside the tests of the binary.

#[path = "../../../tests/suite/wire_corpus.rs"]
pub(super) mod corpus;

mod connection;
mod pure;
mod replies;
mod server;
