//! What the store promises, proved from outside.

mod conformance;
