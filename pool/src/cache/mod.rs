//! Caches: free items that a thread keeps at hand, so that most gets and puts take no lock.
//!
//! As in Bonwick and Adams, "Magazines and Vmem" (USENIX 2001): a thread has two *magazines*, the
//! loaded one and the previous one, and exchanges a full one for an empty one, or the other way
//! round, with the pool's *depot*, one lock for many items. Unlike there, and in every slab
//! allocator since, nothing is stranded: whoever is about to wait takes everything back first.
//!
//! # Who has what
//!
//! | phase of the depot | owners of caches | what is in caches | becomes |
//! | --- | --- | --- | --- |
//! | `Caching` | get and put there without the lock | is theirs | `Sweeping`, when somebody is about to wait or to fail, or needs idle pages |
//! | `Sweeping` | take the lock | is being put back | `Scarce`, when all caches have been swept |
//! | `Scarce` | take the lock | nothing | `Caching`, when nobody has had to wait for a while |
//!
//! Owners are shut out by a [`Bias`], which is revoked in `Sweeping` and `Scarce`: see there for
//! why they need neither a locked instruction nor a fence.
//!
//! # Invariants
//!
//! 1. A cache's magazines are touched by its owner's thread while it is inside (`Owner::enter`);
//!    or by that thread while it has the pool's lock and the phase is `Caching`, or while it ends;
//!    or by whoever has the pool's lock, after the barrier that followed the revocation, while the
//!    owner is outside.
//! 2. A cache has one [`Owned`], which is neither `Send` nor `Sync`, until that is retired.
//! 3. In `Scarce` all caches are empty, and nothing comes in.
//! 4. Nobody is in line, or asleep in a back-end, but in `Scarce`: a getter sweeps before that (P2,
//!    P4). So nothing that goes past the lock concerns anybody who waits.
//! 5. A round is an item that is out, as far as [`Pages`](crate::pages::Pages) are concerned: it is
//!    inside the bound (P1).

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::fmt;
use std::marker::PhantomData;
use std::mem;

use crossbeam_utils::CachePadded;
use kva::bias::{Bias, Owner};
use kva::sync::unseen::AtomicU64;
use kva::sync::{Arc, UnsafeCell, Weak};

use crate::loan::Round;
use kva::panics::FirstPanic;

mod depot;
pub(crate) mod directory;
mod magazine;

pub(crate) use depot::{Depot, Registered, Shelves, Spare};
use magazine::Magazine;

/// The magazines of one thread, for one pool.
#[derive(Debug)]
pub(crate) struct Cache {
    owner: Owner,
    magazines: UnsafeCell<Magazines>,
    /// Of the owner's doing, for statistics.
    gets: AtomicU64,
    puts: AtomicU64,
}

// SAFETY: the magazines are touched by one thread at a time (invariant 1).
unsafe impl Sync for Cache {}

#[derive(Debug)]
pub(crate) struct Magazines {
    loaded: Box<Magazine>,
    previous: Box<Magazine>,
}

impl Magazines {
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Round> {
        if let Some(round) = self.loaded.pop() {
            return Some(round);
        }
        mem::swap(&mut self.loaded, &mut self.previous);
        self.loaded.pop()
    }

    /// Whether there was room for it.
    #[inline(always)]
    pub(crate) fn push(&mut self, round: Round) -> bool {
        if self.loaded.push(round) {
            return true;
        }
        mem::swap(&mut self.loaded, &mut self.previous);
        self.loaded.push(round)
    }

    /// Loads another, and takes the one out that was loaded.
    #[allow(clippy::unnecessary_box_returns, reason = "it is another magazine's box")]
    pub(crate) fn exchange(&mut self, other: Box<Magazine>) -> Box<Magazine> {
        mem::replace(&mut self.loaded, other)
    }

    pub(crate) fn resize(&mut self, rounds: usize) {
        self.loaded.resize(rounds);
        self.previous.resize(rounds);
    }
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            owner: Owner::new(),
            magazines: UnsafeCell::new(Magazines { loaded: Magazine::new(), previous: Magazine::new() }),
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
        }
    }

    /// How many items its owners got from it, and put into it.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.gets.get(), self.puts.get())
    }

    /// Calls `f` with the magazines, if the owner is outside.
    ///
    /// # Safety
    /// The caller has the pool's lock, the bias is revoked, and a barrier came after that.
    pub(crate) unsafe fn swept<R>(&self, f: impl FnOnce(&mut Magazines) -> R) -> Option<R> {
        if self.owner.is_inside() {
            return None;
        }
        // SAFETY: invariant 1.
        Some(self.magazines.with_mut(|magazines| f(unsafe { &mut *magazines })))
    }
}

/// A pool whose caches' owners end.
pub(crate) trait Retire: Send + Sync {
    /// Takes back what is in a cache whose owner ends, and then the cache.
    fn retire(&self, owned: &Owned);
}

/// The right to be a cache's owner, of the thread that has this. When it is dropped, what is in the
/// cache goes back as by a put.
pub(crate) struct Owned {
    cache: Arc<CachePadded<Cache>>,
    pool: Weak<dyn Retire>,
    _of_one_thread: PhantomData<*mut ()>,
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").finish_non_exhaustive()
    }
}

impl Owned {
    /// # Safety
    /// The cache has no other.
    pub(crate) unsafe fn new(cache: Arc<CachePadded<Cache>>, pool: Weak<dyn Retire>) -> Self {
        Self { cache, pool, _of_one_thread: PhantomData }
    }

    /// Of a cache that is in no depot, and so never has anything.
    pub(crate) fn of_nothing<P: Retire + 'static>() -> Self {
        // SAFETY: it is new.
        unsafe { Self::new(Arc::new(CachePadded::new(Cache::new())), Weak::<P>::new()) }
    }

    pub(crate) const fn cache(&self) -> &Arc<CachePadded<Cache>> {
        &self.cache
    }

    /// Whether the pool is gone.
    pub(crate) fn is_left(&self) -> bool {
        self.pool.strong_count() == 0
    }

    /// Takes an item. `None`: it has none, or the bias is revoked.
    #[inline(always)]
    pub(crate) fn take(&self, bias: &Bias) -> Option<Round> {
        let _inside = self.cache.owner.enter(bias)?;
        // SAFETY: the owner is inside, and this is its thread (invariants 1 and 2).
        let round = self.cache.magazines.with_mut(|magazines| unsafe { &mut *magazines }.pop())?;
        self.cache.gets.count();
        Some(round)
    }

    /// Puts an item. `false`: it has no room, or the bias is revoked.
    #[inline(always)]
    pub(crate) fn put(&self, bias: &Bias, round: Round) -> bool {
        let Some(_inside) = self.cache.owner.enter(bias) else { return false };
        // SAFETY: as in `take`.
        let took = self.cache.magazines.with_mut(|magazines| unsafe { &mut *magazines }.push(round));
        if took {
            self.cache.puts.count();
        }
        took
    }

    /// Calls `f` with the magazines.
    ///
    /// # Safety
    /// The caller has the pool's lock, and the phase is `Caching` or the owner ends.
    pub(crate) unsafe fn locked<R>(&self, f: impl FnOnce(&mut Magazines) -> R) -> R {
        // SAFETY: invariants 1 and 2: this is the owner's thread, and it is outside, since nothing
        // that runs inside takes a lock.
        self.cache.magazines.with_mut(|magazines| f(unsafe { &mut *magazines }))
    }

    /// Counts a get that was served otherwise than by [`take`](Self::take).
    pub(crate) fn count_get(&self) {
        self.cache.gets.count();
    }

    /// Counts a put.
    pub(crate) fn count_put(&self) {
        self.cache.puts.count();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        // A thread that ends has nobody to tell of a destructor that panicked: that the panic goes on
        // would end the process.
        FirstPanic::default().guard(move || {
            pool.retire(self);
            drop(pool);
        });
    }
}
