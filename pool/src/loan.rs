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
    /// Whether that came with the page just now.
    pub(crate) fresh: bool,
}

/// An item by where it is, with an object in it if its pool keeps objects: what magazines are
/// loaded with, and what a guard holds. A word, since it moves with every get and put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) ptr: NonNull<u8>,
}

// SAFETY: as for a loan.
unsafe impl Send for Round {}

impl Round {
    /// Of a loan.
    #[inline]
    pub(crate) const fn of(loan: Loan) -> Self {
        Self { ptr: loan.ptr }
    }
}

impl Loan {
    /// Without its object.
    pub(crate) const fn emptied(self) -> Self {
        Self { constructed: false, fresh: false, ..self }
    }

    /// With an object.
    pub(crate) const fn filled(self) -> Self {
        Self { constructed: true, fresh: false, ..self }
    }
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
    pub(crate) rest: Rest,
}

impl Loans {
    /// One item.
    pub(crate) fn one(first: Loan) -> Self {
        Self { first, rest: Rest::default() }
    }

    /// One by one.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Loan> {
        std::iter::once(self.first).chain(self.rest.into_list())
    }
}

/// All loans but the first, and room for them. Most getters want one item and have none: a
/// word, since it moves with every get.
#[derive(Debug, Default)]
#[allow(clippy::box_collection, reason = "see above")]
pub(crate) struct Rest(Option<Box<Vec<Loan>>>);

impl Rest {
    /// With room for `items` loans; `None`: there is no memory for them.
    pub(crate) fn with_room(items: usize) -> Option<Self> {
        let mut list = Vec::new();
        list.try_reserve_exact(items).ok()?;
        Some(Self(Some(Box::new(list))))
    }

    /// With room for all but the first of `items`; `None`: there is no memory for them.
    pub(crate) fn of(items: u32) -> Option<Self> {
        if items == 1 { Some(Self::default()) } else { Self::with_room(items as usize) }
    }

    /// How many there is room for.
    pub(crate) fn room(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.capacity())
    }

    /// Adds one, for which there must be room.
    pub(crate) fn push(&mut self, loan: Loan) {
        debug_assert!(self.0.as_ref().is_some_and(|list| list.len() < list.capacity()));
        self.0.get_or_insert_default().push(loan);
    }

    /// One by one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Loan> {
        self.0.iter().flat_map(|list| list.iter())
    }

    /// The list of them.
    pub(crate) fn into_list(self) -> Vec<Loan> {
        self.0.map_or_else(Vec::new, |list| *list)
    }
}
