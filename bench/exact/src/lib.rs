//! What the hot functions cost, counted rather than timed: instructions and allocations are the same in each run.
//!
//! The binary runs one [`case`](cases) by name. `ci/exact.mjs` runs it under Valgrind's Callgrind and DHAT, which count from where
//! [`counted`] is entered to where it is left, and compares with `docs/measured/exact.json`. What is set up before is not
//! counted; it is held still as far as it can be: the clock is set by hand, and no token's life is shortened by chance.

mod cases;
mod primitives;
mod world;

pub use cases::{Case, cases};

/// The one function whose cost is counted. Both tools find it by its name, so it must remain a function.
#[inline(never)]
pub fn counted<T>(subject: &mut T, work: fn(&mut T)) {
    work(subject);
    // Something to come back for: else the call would become a jump, and the function's end a matter of opinion.
    std::hint::black_box(subject);
}
