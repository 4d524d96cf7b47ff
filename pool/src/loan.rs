//! Items that are out.

use std::ptr::NonNull;

/// An item, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) page: u32,
    pub(crate) index: u32,
}

/// An item that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loan {
    pub(crate) slot: Slot,
    pub(crate) ptr: NonNull<u8>,
    /// Whether there is an object in it.
    pub(crate) constructed: bool,
}

// SAFETY: a loan is the right to use an item's memory; whoever holds it may pass it on
// to another thread, as a pool does when a put serves a waiter. What is constructed in it
// is `Send`, or could not have been pooled.
unsafe impl Send for Loan {}

/// All the items that one getter was lent: at least one. Those after the first are where
/// the getter made room for them before it came, so that lending allocates nothing (P7).
#[derive(Debug)]
pub(crate) struct Loans {
    pub(crate) first: Loan,
    pub(crate) rest: Vec<Loan>,
}

impl Loans {
    /// One by one.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Loan> {
        std::iter::once(self.first).chain(self.rest)
    }
}
