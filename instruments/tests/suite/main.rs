//! What the instruments promise to the tests that use them.

mod fault_proxy;
mod servers;
