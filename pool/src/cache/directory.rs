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

/// All of a thread's caches. When the thread ends, they are retired.
struct Directory {
    all: RefCell<HashTable<(u32, Rc<Owned>)>>,
}

// Apart, since what has no destructor is found without a look whether it is there.
//
// Invariant: what a place points to is in `DIRECTORY`, from which nothing goes but after its place.
thread_value! {
    static FOUND: [Place; PLACES] = [const { Place { pool: Cell::new(0), owned: Cell::new(ptr::null()) } }; PLACES];
}

thread_value! {
    static DIRECTORY: Directory = Directory { all: RefCell::new(HashTable::new()) };
}

fn hash(pool: u32) -> u64 {
    // Numbers that follow each other are as good as random ones; the table wants its upper bits
    // mixed too.
    u64::from(pool).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Calls `f` with the place that a pool's cache may be in, unless the thread has ended.
#[inline]
fn with_place<R>(pool: u32, f: impl FnOnce(&Place) -> R) -> Option<R> {
    FOUND.try_with(|places| f(&places[pool as usize % PLACES])).ok()
}

/// Forgets where the cache of a pool is.
fn displace(pool: u32) {
    with_place(pool, |place| {
        if place.pool.get() == pool {
            place.pool.set(0);
        }
    });
}

impl Directory {
    fn share(&self, pool: u32) -> Option<Rc<Owned>> {
        let all = self.all.borrow();
        let (_, owned) = all.find(hash(pool), |(other, _)| *other == pool)?;
        with_place(pool, |place| {
            place.pool.set(pool);
            place.owned.set(Rc::as_ptr(owned));
        });
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
            if !keep {
                displace(*pool);
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
    with_place(pool, |place| {
        // SAFETY: the invariant.
        (place.pool.get() == pool).then(|| f(unsafe { &*place.owned.get() }))
    })?
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
        let all = std::mem::take(self.all.get_mut());
        all.iter().for_each(|(pool, _)| displace(*pool));
    }
}
