//! Objects set aside.

use std::fmt;

use kva::Arena;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::guard::OwnedItem;
use crate::lend::Good;
use crate::loan::{Loan, Round};
use crate::object::Shelf;

/// Objects set aside for one who will need them: [`get`](Self::get) neither waits nor fails.
///
/// "It is too late to fail with EAGAIN at that point": who needs several objects in the course
/// of something that cannot be undone halfway reserves them before it begins, and fails or
/// waits then, holding nothing. That is also how not to deadlock: two getters that each hold
/// one object and wait for another's may wait for ever.
///
/// They are constructed, and count as out. Dropping the reservation puts back what is left.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Pool, TryGetError};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(3, || [0_u8; 4096]).build(arena)?;
/// let mut both = pool.try_reserve(2)?;
/// assert!(matches!(pool.try_reserve(2), Err(TryGetError::Exhausted))); // now, not later
/// let first = both.get().expect("reserved");
/// let second = both.get().expect("reserved");
/// assert!(both.get().is_none()); // no more were
/// # drop((first, second));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "what is reserved goes back when the reservation is dropped"]
pub struct Reservation<T, B: Backend = Arena> {
    shelf: Arc<Shelf<T, B>>,
    /// Invariant: constructed, all of them.
    loans: Vec<Loan>,
}

// SAFETY: a reservation is the exclusive use of its objects, and shares its pool, which is
// `Sync`.
unsafe impl<T: Send, B: Backend> Send for Reservation<T, B> {}
// SAFETY: a shared reservation gives out nothing of its objects.
unsafe impl<T: Send, B: Backend> Sync for Reservation<T, B> {}

impl<T, B: Backend> Reservation<T, B> {
    pub(crate) const fn empty(shelf: Arc<Shelf<T, B>>) -> Self {
        Self { shelf, loans: Vec::new() }
    }

    /// Of these objects.
    pub(crate) fn new(shelf: Arc<Shelf<T, B>>, (first, mut loans): Good) -> Self {
        loans.push(first);
        Self { shelf, loans }
    }

    /// One of the objects; `None` once all that were reserved have been got. Never waits and
    /// takes no lock.
    pub fn get(&mut self) -> Option<OwnedItem<T, B>> {
        let loan = self.loans.pop()?;
        Some(OwnedItem::new(self.shelf.clone(), Round::of(loan)))
    }

    /// How many are left.
    pub const fn len(&self) -> usize {
        self.loans.len()
    }

    /// Whether none is left.
    pub const fn is_empty(&self) -> bool {
        self.loans.is_empty()
    }
}

impl<T, B: Backend> Drop for Reservation<T, B> {
    fn drop(&mut self) {
        self.shelf.core.put_loans(&mut self.loans.drain(..));
    }
}

impl<T, B: Backend> fmt::Debug for Reservation<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation of {} objects", self.len())
    }
}
