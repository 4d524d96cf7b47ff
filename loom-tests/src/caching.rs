//! Pools whose threads have caches, as worlds use them: the one in production, and one as one
//! writes it after reading of magazines. Its owners pass by the [`Bias`] of production, and are
//! shut out as there; what is around that is naive, and each flaw is one thing that it omits.

use std::alloc::Layout;
use std::cell::RefCell;
use std::mem;
use std::task::{Poll, Waker};

use kva::Arena;
use kva::bias::{Bias, Owner};
use kva::sync::thread::yield_now;
use kva::sync::{Arc, GlobalMutex, Mutex, MutexGuard, UnsafeCell, Weak, block_on_until, thread_value};
use pool::{Builder, RawPool};

use crate::world::{self, Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages};

/// So many operations, while nobody waits, bring the caches back.
const CALM: usize = 4;

/// A pool whose threads have caches of two items. All of its items are put at the end, by whoever
/// has them.
pub trait Caching: Sized + Send + Sync + 'static {
    /// What it has.
    type Item: Send + 'static;

    /// Gets an item, waiting for it.
    fn get(&self) -> Self::Item;

    /// Gets several, waiting for all of them.
    fn get_many(&self, items: usize) -> Vec<Self::Item>;

    /// Gets an item if there is one.
    fn try_get(&self) -> Option<Self::Item>;

    /// Puts an item.
    fn put(&self, item: Self::Item);

    /// How many items are in the pool and in no cache.
    fn uncached(&self) -> usize;

    /// Takes back what is in caches, and gives up what nobody needs.
    fn drain(&self);

    /// What is put from now on goes where it came from, and so does what is in the pool.
    fn close(&self);

    /// Asserts that all is back and nobody waits.
    fn assert_at_rest(&self);

    /// Asserts of a closed pool that all went back to where it came from.
    fn assert_all_gone(&self);

    /// The thread has an item in its cache, and room for another, for which it takes no lock.
    fn warm_up(&self) {
        self.put(self.get());
    }

    /// What the operation after these brings the caches back in is the caller's to choose. To be
    /// called with no waiter and an item in the pool, which it gets.
    fn almost_calm(&self) -> Self::Item {
        self.drain();
        let mut item = self.get();
        for _ in 1..CALM / 2 {
            self.put(item);
            item = self.get();
        }
        item
    }
}

/// The one in production: items are the pages of an arena.
#[derive(Debug)]
pub struct Production {
    pool: RawPool,
    arena: Arena,
    /// Out from the first to the last.
    others: GlobalMutex<Vec<Item>>,
}

/// A pool of fewer items has no caches, if that is left to it; one of so many has one.
const ITEMS_FOR_ONE_CACHE: u32 = 8;

impl Production {
    /// Of so many items. Each thread has a cache.
    ///
    /// # Panics
    /// If there are more than eight.
    #[must_use]
    pub fn new(items: u32) -> Self {
        Self::build(items, 1, |builder| builder.magazine_rounds(1))
    }

    /// The same, but only the first thread that would have a cache has one, as long as it lives.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_one_cache(items: u32) -> Self {
        Self::with_room_for_pages(items, 1)
    }

    /// The same, and the limit allows so many pages, for all but one of which the arena has no room.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_room_for_pages(items: u32, limit: u32) -> Self {
        let this = Self::build(ITEMS_FOR_ONE_CACHE, limit, |builder| builder);
        let others = this.get_many((ITEMS_FOR_ONE_CACHE - items) as usize);
        this.others.with(|list| *list = others);
        this
    }

    fn build(items: u32, limit: u32, with: impl FnOnce(Builder<Layout>) -> Builder<Layout>) -> Self {
        let arena = arena((items as usize).next_power_of_two(), 0);
        // On one page, which is found at the first look wherever it lies: what is not found goes past
        // the caches.
        let builder = with(pages(limit).items_per_page(items).max_growing(1).bypass(0));
        let pool = builder.build(arena.clone()).expect("a good pool");
        Self { pool, arena, others: GlobalMutex::new(Vec::new()) }
    }

    fn put_others(&self) {
        self.others.with(mem::take).into_iter().for_each(|item| self.put(item));
    }
}

impl Caching for Production {
    type Item = Item;

    fn get(&self) -> Item {
        get(&self.pool).expect("an item comes")
    }

    fn get_many(&self, items: usize) -> Vec<Item> {
        let items = self.pool.get_many(items).expect("items come");
        items.into_iter().map(Item::from).collect()
    }

    fn try_get(&self) -> Option<Item> {
        self.pool.try_get().map(Item::from).ok()
    }

    fn put(&self, item: Item) {
        world::put(&self.pool, item);
    }

    fn uncached(&self) -> usize {
        let stats = self.pool.stats();
        stats.idle - stats.cached
    }

    fn drain(&self) {
        self.pool.drain();
    }

    fn close(&self) {
        self.pool.close();
    }

    fn assert_at_rest(&self) {
        self.put_others();
        assert_pool_at_rest(&self.pool, 0);
        assert_arena_whole(&self.arena);
    }

    fn assert_all_gone(&self) {
        self.put_others();
        assert_arena_whole(&self.arena);
    }
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A getter that finds nothing sleeps, whatever is in caches, as in the slab allocators.
    SweepsNothing,
    /// It takes what is in a cache whose owner is inside.
    SweepsPastTheBusy,
    /// It takes what is in caches, and not what is in the depot.
    SweepsNoDepot,
    /// A try looks into the caller's cache, and into no other.
    TriesWithoutSweeping,
    /// One that finds that another sweeps does not wait for that.
    TriesBesideSweep,
    /// A thread ends, and so does what is in its cache.
    ForgetsTheDead,
    /// Caches come back while somebody waits.
    RestoresBesideWaiters,
    /// A close gives up what is idle, and nothing that is in caches.
    ClosesUnswept,
}

/// How much there is room for in a cache.
const ROOM: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Caching,
    Sweeping,
    Scarce,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    sweeps: u32,
    calm: usize,
    free: usize,
    depot: usize,
    /// What each wants.
    waiters: Vec<(usize, Waker)>,
    caches: Vec<Arc<Cache>>,
    closed: bool,
    gone: usize,
}

#[derive(Debug, Default)]
struct Cache {
    owner: Owner,
    items: Items,
}

#[derive(Debug)]
struct Items(UnsafeCell<usize>);

impl Default for Items {
    fn default() -> Self {
        Self(UnsafeCell::new(0))
    }
}

// SAFETY: it is a number, and loom fails before two are at it at a time.
unsafe impl Send for Items {}
// SAFETY: as above.
unsafe impl Sync for Items {}

impl Items {
    fn with<R>(&self, f: impl FnOnce(&mut usize) -> R) -> R {
        // SAFETY: as above.
        self.0.with_mut(|items| f(unsafe { &mut *items }))
    }
}

/// The same with a flaw: items are counted, and that is all.
#[derive(Debug)]
pub struct Flawed {
    flaw: Flaw,
    this: Weak<Self>,
    items: usize,
    bias: Bias,
    state: Mutex<State>,
}

/// A thread's right to its cache.
struct Owned {
    pool: Weak<Flawed>,
    cache: Arc<Cache>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.retire(&self.cache);
        }
    }
}

// There is one pool in a world.
thread_value! {
    static OWNED: RefCell<Option<Owned>> = RefCell::new(None);
}

impl Flawed {
    /// With so many items.
    #[must_use]
    pub fn new(flaw: Flaw, items: usize) -> Arc<Self> {
        let state = State {
            phase: Phase::Caching,
            sweeps: 0,
            calm: 0,
            free: items,
            depot: 0,
            waiters: Vec::new(),
            caches: Vec::new(),
            closed: false,
            gone: 0,
        };
        let (bias, state) = (Bias::new(), Mutex::new(state));
        Arc::new_cyclic(|this| Self { flaw, this: this.clone(), items, bias, state })
    }

    /// Calls `f` with what is in the thread's cache, if it may use that.
    fn with_cache<R>(&self, f: impl FnOnce(&mut usize) -> Option<R>) -> Option<R> {
        let with = |owned: &RefCell<Option<Owned>>| {
            let mut owned = owned.borrow_mut();
            let cache = &owned.get_or_insert_with(|| self.register()).cache;
            let _inside = cache.owner.enter(&self.bias)?;
            cache.items.with(f)
        };
        OWNED.try_with(with).ok().flatten()
    }

    fn register(&self) -> Owned {
        let cache = Arc::new(Cache::default());
        self.state.lock().caches.push(cache.clone());
        Owned { pool: self.this.clone(), cache }
    }

    fn retire(&self, cache: &Arc<Cache>) {
        let mut state = self.state.lock();
        state.caches.retain(|other| !Arc::ptr_eq(other, cache));
        if self.flaw != Flaw::ForgetsTheDead {
            let items = cache.items.with(mem::take);
            Self::put_back(state, items);
        }
    }

    /// Puts back what was in caches, and wakes all for whom there is enough.
    fn put_back(mut state: MutexGuard<'_, State>, items: usize) {
        if state.closed {
            state.gone += items;
        } else {
            state.free += items;
        }
        let free = state.free;
        let woken: Vec<_> = state.waiters.extract_if(.., |(items, _)| *items <= free).collect();
        drop(state);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn note_calm(&self, state: &mut State) {
        let is_calm = state.phase == Phase::Scarce && state.waiters.is_empty() && !state.closed;
        let restores = self.flaw == Flaw::RestoresBesideWaiters && state.phase != Phase::Caching;
        if is_calm || restores {
            state.calm += 1;
            if state.calm == CALM {
                state.phase = Phase::Caching;
                self.bias.restore();
            }
        }
    }

    fn take(&self, state: &mut State, items: usize) -> bool {
        let takes = state.free >= items;
        if takes {
            state.free -= items;
            if items == 1 {
                self.note_calm(state);
            }
        }
        takes
    }

    fn sweep(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Scarce => return,
            Phase::Sweeping => {}
            Phase::Caching => {
                state.phase = Phase::Sweeping;
                state.sweeps += 1;
                self.bias.revoke();
            }
        }
        let nth = state.sweeps;
        drop(state);
        self.bias.barrier();
        while !self.swept(nth) {
            yield_now();
        }
    }

    fn swept(&self, nth: u32) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Sweeping || state.sweeps != nth {
            return true;
        }
        let (mut all, mut items) = (true, 0);
        if self.flaw != Flaw::SweepsNoDepot {
            items += mem::take(&mut state.depot);
        }
        for cache in &state.caches {
            if cache.owner.is_inside() && self.flaw != Flaw::SweepsPastTheBusy {
                all = false;
            } else {
                items += cache.items.with(mem::take);
            }
        }
        if all {
            (state.phase, state.calm) = (Phase::Scarce, 0);
        }
        Self::put_back(state, items);
        all
    }

    fn take_or_queue(&self, waker: &Waker, items: usize) -> Poll<()> {
        let mut state = self.state.lock();
        state.waiters.retain(|(_, other)| !other.will_wake(waker));
        if self.take(&mut state, items) {
            return Poll::Ready(());
        }
        if self.flaw != Flaw::RestoresBesideWaiters {
            state.calm = 0;
        }
        state.waiters.push((items, waker.clone()));
        Poll::Pending
    }

    fn poll(&self, waker: &Waker, items: usize) -> Poll<()> {
        let first = self.take_or_queue(waker, items);
        if first.is_ready() || self.flaw == Flaw::SweepsNothing {
            return first;
        }
        self.sweep();
        self.take_or_queue(waker, items)
    }
}

fn take_one(items: &mut usize) -> Option<()> {
    *items = items.checked_sub(1)?;
    Some(())
}

impl Caching for Arc<Flawed> {
    type Item = ();

    fn get(&self) {
        if self.with_cache(take_one).is_none() {
            block_on_until(None, |waker| self.poll(waker, 1)).expect("no deadline");
        }
    }

    fn get_many(&self, items: usize) -> Vec<()> {
        let own = self.with_cache(|items| Some(mem::take(items)));
        Flawed::put_back(self.state.lock(), own.unwrap_or_default());
        block_on_until(None, |waker| self.poll(waker, items)).expect("no deadline");
        vec![(); items]
    }

    fn try_get(&self) -> Option<()> {
        if self.with_cache(take_one).is_some() || self.take(&mut self.state.lock(), 1) {
            return Some(());
        }
        let sweeps = match self.flaw {
            Flaw::TriesWithoutSweeping => false,
            Flaw::TriesBesideSweep => self.state.lock().phase == Phase::Caching,
            _ => true,
        };
        if sweeps {
            self.sweep();
        }
        self.take(&mut self.state.lock(), 1).then_some(())
    }

    fn put(&self, (): ()) {
        let cached = self.with_cache(|items| {
            let has_room = *items < ROOM;
            *items += usize::from(has_room);
            has_room.then_some(())
        });
        if cached.is_some() {
            return;
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Caching {
            state.depot += 1;
        } else {
            self.note_calm(&mut state);
            Flawed::put_back(state, 1);
        }
    }

    fn uncached(&self) -> usize {
        self.state.lock().free
    }

    fn drain(&self) {
        self.sweep();
        self.state.lock().calm = 0;
    }

    fn close(&self) {
        self.state.lock().closed = true;
        if self.flaw != Flaw::ClosesUnswept {
            self.sweep();
        }
        let mut state = self.state.lock();
        state.gone += mem::take(&mut state.free);
    }

    fn assert_at_rest(&self) {
        self.sweep();
        let state = self.state.lock();
        assert_eq!((state.free, state.depot), (self.items, 0), "rest: an item was lost");
    }

    fn assert_all_gone(&self) {
        assert_eq!(self.state.lock().gone, self.items, "rest: an item was lost");
    }
}
