//! Which caches a thread has, by pool.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use hashbrown::HashTable;
use kva::sync::thread_value;

use super::Owned;

/// The places for caches that are found at once. Pools are numbered one after the other, so those
/// of a program that has no more than this many have a place each.
const PLACES: usize = 64;

/// Where the cache of a pool would be: `pool` is 0 where there is none.
struct Place {
    pool: Cell<u32>,
    owned: Cell<*const Owned>,
}

/// A thread's caches.
///
/// Invariant: what a place points to is in `all`, from which nothing goes but after its place.
struct Directory {
    places: [Place; PLACES],
    all: RefCell<HashTable<(u32, Rc<Owned>)>>,
}

thread_value! {
    static DIRECTORY: Directory = Directory::new();
}

fn hash(pool: u32) -> u64 {
    // Numbers that follow each other are as good as random ones; the table wants its upper bits
    // mixed too.
    u64::from(pool).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Directory {
    const fn new() -> Self {
        const NONE: Place = Place { pool: Cell::new(0), owned: Cell::new(ptr::null()) };
        Self { places: [NONE; PLACES], all: RefCell::new(HashTable::new()) }
    }

    #[inline]
    fn place(&self, pool: u32) -> &Place {
        &self.places[pool as usize % PLACES]
    }

    #[inline]
    fn find(&self, pool: u32) -> Option<&Owned> {
        let place = self.place(pool);
        // SAFETY: the invariant.
        (place.pool.get() == pool).then(|| unsafe { &*place.owned.get() })
    }

    fn share(&self, pool: u32) -> Option<Rc<Owned>> {
        let all = self.all.borrow();
        let (_, owned) = all.find(hash(pool), |(other, _)| *other == pool)?;
        let place = self.place(pool);
        place.pool.set(pool);
        place.owned.set(Rc::as_ptr(owned));
        Some(owned.clone())
    }

    /// Those of pools that are gone go, now and then.
    fn tidy_up(&self) {
        let mut all = self.all.borrow_mut();
        if !all.len().is_power_of_two() {
            return;
        }
        all.retain(|(pool, owned)| {
            let keep = !owned.is_left();
            let place = self.place(*pool);
            if !keep && place.pool.get() == *pool {
                place.pool.set(0);
            }
            keep
        });
    }

    fn insert(&self, pool: u32, owned: &Rc<Owned>) {
        self.tidy_up();
        self.all.borrow_mut().insert_unique(hash(pool), (pool, owned.clone()), |(pool, _)| hash(*pool));
    }
}

/// Calls `f` with this thread's cache for a pool, if it is in its place and the thread does not end.
/// `f` is our own code, and comes to no other cache.
#[inline]
pub(crate) fn with<R>(pool: u32, f: impl FnOnce(&Owned) -> R) -> Option<R> {
    DIRECTORY.try_with(|directory| directory.find(pool).map(f)).ok().flatten()
}

/// This thread's cache for a pool, if it has one and does not end. It is in its place from now on,
/// until another needs that.
pub(crate) fn share(pool: u32) -> Option<Rc<Owned>> {
    DIRECTORY.try_with(|directory| directory.share(pool)).ok().flatten()
}

/// Remembers this thread's cache for a pool, for which it has none; whether it could: not while the
/// thread ends.
pub(crate) fn insert(pool: u32, owned: &Rc<Owned>) -> bool {
    DIRECTORY.try_with(|directory| directory.insert(pool, owned)).is_ok()
}

/// The thread ends. Retiring a cache is putting, and what that calls may get and put: without
/// caches, since nothing finds this any more.
impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::mem::take(self.all.get_mut()));
    }
}
