//! Whether ours stay as they are when there is much of something: pages held, getters that wait,
//! pools.

mod pages;
mod pools;
mod waiters;

use crate::case::Case;

/// Adds the cases, of ours only.
pub(crate) fn add(cases: &mut Vec<Case>) {
    for held in [1, 1_000, 1_000_000] {
        pages::add(cases, held);
    }
    for waiting in [1, 100, 10_000] {
        waiters::add(cases, waiting);
    }
    for count in [1, 10, 100, 1_000] {
        pools::add(cases, count);
    }
}
