//! Which caches a thread has, by pool.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use hashbrown::HashTable;
use kva::sync::thread_value;
use kva::sync::unseen::AtomicU64;

use super::Owned;

/// Where the cache of a pool would be: `pool` is 0 where there is none.
struct Place {
    pool: Cell<u64>,
    owned: Cell<*const Owned>,
}

impl Place {
    const fn none() -> Self {
        Self { pool: Cell::new(0), owned: Cell::new(ptr::null()) }
    }
}

/// The places for caches that are found at once. Pools are numbered one after the other, so those
/// of a program that has no more than this many have a place each.
const PLACES: usize = 64;

/// All of a thread's caches. When the thread ends, they are retired.
struct Directory {
    all: RefCell<HashTable<(u64, Rc<Owned>)>>,
    /// Two places for each or more, once two caches shared one of the first.
    more: RefCell<Vec<Place>>,
}

/// Where `Directory::more` is; how many places it has is a power of two, or nothing.
struct More {
    first: Cell<*const Place>,
    places: Cell<usize>,
}

// Apart, since what has no destructor is found without a look whether it is there.
//
// Invariants:
// 1. What a place points to is in `DIRECTORY`, from which nothing goes but after its place.
// 2. `MORE` says where `Directory::more` is, which is changed only after `MORE` was cleared.
thread_value! {
    static FOUND: [Place; PLACES] = [const { Place::none() }; PLACES];
}

thread_value! {
    static MORE: More = More { first: Cell::new(ptr::null()), places: Cell::new(0) };
}

thread_value! {
    static DIRECTORY: Directory =
        Directory { all: RefCell::new(HashTable::new()), more: RefCell::new(Vec::new()) };
}

/// A number that no other pool of this process has or had: they follow one another.
pub(crate) fn next_pool() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.add(1) + 1
}

fn hash(pool: u64) -> u64 {
    // Numbers that follow each other are as good as random ones; the table wants its upper bits
    // mixed too.
    pool.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Calls `f` with the place that a pool's cache may be in, unless the thread has ended.
#[inline]
fn with_place<R>(pool: u64, f: impl FnOnce(&Place) -> R) -> Option<R> {
    FOUND.try_with(|places| f(&places[pool as usize % PLACES])).ok()
}

/// As [`with_place`], of the places that there are besides.
fn with_more<R>(pool: u64, f: impl FnOnce(&Place) -> R) -> Option<R> {
    let find = |more: &More| {
        let at = pool as usize & more.places.get().checked_sub(1)?;
        let place = more.first.get().wrapping_add(at);
        // SAFETY: invariant 2: there are more than `at` places from `first` on.
        Some(f(unsafe { &*place }))
    };
    MORE.try_with(find).ok().flatten()
}

impl Place {
    /// Calls `f` with the cache of the pool, if it is here.
    #[inline]
    fn with<R>(&self, pool: u64, f: impl FnOnce(&Owned) -> R) -> Option<R> {
        // SAFETY: invariant 1.
        (self.pool.get() == pool).then(|| f(unsafe { &*self.owned.get() }))
    }

    fn set(&self, pool: u64, owned: &Rc<Owned>) {
        self.pool.set(pool);
        self.owned.set(Rc::as_ptr(owned));
    }

    fn clear(&self, pool: u64) {
        if self.pool.get() == pool {
            self.pool.set(0);
        }
    }
}

/// Forgets where the cache of a pool is.
fn displace(pool: u64) {
    with_place(pool, |place| place.clear(pool));
    with_more(pool, |place| place.clear(pool));
}

impl Directory {
    fn share(&self, pool: u64) -> Option<Rc<Owned>> {
        let all = self.all.borrow();
        let (_, owned) = all.find(hash(pool), |(other, _)| *other == pool)?;
        let is_displaced = with_place(pool, |place| ![0, pool].contains(&place.pool.replace(pool)));
        with_place(pool, |place| place.set(pool, owned));
        if is_displaced == Some(true) {
            self.make_places(all.len());
        }
        with_more(pool, |place| place.set(pool, owned));
        Some(owned.clone())
    }

    /// Makes more places, where caches share one, and there are not enough for so many. All are found
    /// anew.
    fn make_places(&self, caches: usize) {
        let mut more = self.more.borrow_mut();
        if caches <= more.len() / 2 {
            return;
        }
        let _ = MORE.try_with(|found| {
            found.places.set(0);
            *more = std::iter::repeat_with(Place::none).take((caches * 4).next_power_of_two()).collect();
            found.first.set(more.as_ptr());
            found.places.set(more.len());
        });
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

    fn insert(&self, pool: u64, owned: &Rc<Owned>) {
        self.tidy_up();
        self.all.borrow_mut().insert_unique(hash(pool), (pool, owned.clone()), |(pool, _)| hash(*pool));
    }
}

/// Calls `f` with this thread's cache for a pool, if it is in the first place for it and the thread
/// does not end. `f` is our own code, and comes to no other cache.
#[inline]
pub(crate) fn with<R>(pool: u64, f: impl FnOnce(&Owned) -> R) -> Option<R> {
    with_place(pool, |place| place.with(pool, f))?
}

/// Whether the thread has so many caches that one may be elsewhere than [`with`] looks.
pub(crate) fn has_many() -> bool {
    MORE.try_with(|more| more.places.get() > 0).unwrap_or(false)
}

/// As [`with`], if the thread has so many caches that it may be elsewhere.
pub(crate) fn with_one_of_many<R>(pool: u64, f: impl FnOnce(&Owned) -> R) -> Option<R> {
    with_more(pool, |place| place.with(pool, f))?
}

/// This thread's cache for a pool, if it has one and does not end. It is in its place from now on,
/// until another needs that.
pub(crate) fn share(pool: u64) -> Option<Rc<Owned>> {
    DIRECTORY.try_with(|directory| directory.share(pool)).ok().flatten()
}

/// Remembers this thread's cache for a pool, for which it has none; whether it could: not while the
/// thread ends.
pub(crate) fn insert(pool: u64, owned: &Rc<Owned>) -> bool {
    DIRECTORY.try_with(|directory| directory.insert(pool, owned)).is_ok()
}

/// The thread ends. Retiring a cache is putting, and what that calls may get and put: without
/// caches, since nothing finds this any more.
impl Drop for Directory {
    fn drop(&mut self) {
        let all = std::mem::take(self.all.get_mut());
        all.iter().for_each(|(pool, _)| displace(*pool));
        let _ = MORE.try_with(|more| more.places.set(0));
    }
}
